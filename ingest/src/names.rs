//! The names that are known, each with the number that stands for it in columns of events.
//!
//! Names are only added: a number means the same text for the life of the process, and the budgets
//! of labels bound how many there are. The hash is keyed, so that nobody can choose names that
//! collide.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Instant;

use event::frame::{TextId, Texts};
use event::name::{NONE, OTHER};
use hashbrown::HashTable;
use store::{LabelKind, LabelName};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The word `none`.
pub const NONE_ID: TextId = TextId(1);
/// The word `other`.
pub const OTHER_ID: TextId = TextId(2);

/// One name of a kind and scope.
#[derive(Debug)]
struct Entry {
    /// `None` for reserved words, which no look-up finds.
    kind: Option<LabelKind>,
    /// The namespace of a consumer, else `TextId::ABSENT`.
    scope: TextId,
    /// The number of its text: its own, or that of a reserved word.
    id: TextId,
    /// Whether events may use it: a namespace that only its consumers name is not registered.
    is_registered: bool,
    begin: usize,
    end: usize,
}

/// The names that are known.
#[derive(Debug)]
pub struct KnownNames {
    /// By number.
    entries: Vec<Entry>,
    /// The texts of all entries, one behind the other.
    texts: String,
    /// Numbers by kind, scope and text.
    numbers: HashTable<u32>,
    seed: u64,
    /// Exhausted budgets by kind and scope, and when each entry expires.
    full: HashMap<(LabelKind, TextId), Instant>,
    /// Highest id of a namespace loaded from the store.
    pub newest_namespace: i64,
    /// Models are not looked up before this, because the store did not answer.
    pub models_unread_until: Option<Instant>,
}

impl Default for KnownNames {
    fn default() -> KnownNames {
        let mut known = KnownNames {
            entries: Vec::new(),
            texts: String::new(),
            numbers: HashTable::new(),
            seed: RandomState::new().hash_one(0),
            full: HashMap::new(),
            newest_namespace: 0,
            models_unread_until: None,
        };
        for (id, word) in [(TextId::ABSENT, ""), (NONE_ID, NONE), (OTHER_ID, OTHER)] {
            let number = known.push(None, TextId::ABSENT, word);
            debug_assert_eq!(TextId(number), id);
        }
        known
    }
}

impl KnownNames {
    /// The number of a registered name.
    #[must_use]
    #[inline]
    pub fn id(&self, kind: LabelKind, scope: TextId, name: &str) -> Option<TextId> {
        let entry = &self.entries[self.number(kind, scope, name)? as usize];
        entry.is_registered.then_some(entry.id)
    }

    /// The number of a registered namespace.
    #[must_use]
    #[inline]
    pub fn namespace(&self, name: &str) -> Option<TextId> {
        self.id(LabelKind::Namespace, TextId::ABSENT, name)
    }

    /// Whether a name is registered.
    #[must_use]
    pub fn has(&self, label: &LabelName) -> bool {
        let LabelName { kind, scope, name } = label;
        self.scope(scope).is_some_and(|scope| self.id(*kind, scope, name).is_some())
    }

    /// Adds a registered name.
    pub fn insert(&mut self, label: &LabelName) {
        let LabelName { kind, scope, name } = label;
        let scope = self.scope(scope).unwrap_or_else(|| {
            TextId(self.push(Some(LabelKind::Namespace), TextId::ABSENT, scope))
        });
        let known = self.number(*kind, scope, name);
        let number = known.unwrap_or_else(|| self.push(Some(*kind), scope, name));
        self.entries[number as usize].is_registered = true;
    }

    /// Whether the budget of a kind and scope was exhausted when last seen.
    #[must_use]
    pub fn is_full(&self, kind: LabelKind, scope: TextId, now: Instant) -> bool {
        self.full.get(&(kind, scope)).is_some_and(|until| now < *until)
    }

    /// Whether the budget that a name counts against was exhausted when last seen.
    #[must_use]
    pub fn budget_is_full(&self, label: &LabelName, now: Instant) -> bool {
        self.scope(&label.scope).is_some_and(|scope| self.is_full(label.kind, scope, now))
    }

    /// Notes that the budget that a name counts against is exhausted until `until`. A namespace
    /// that is not known has none.
    pub fn note_full(&mut self, label: &LabelName, until: Instant) {
        if let Some(scope) = self.scope(&label.scope) {
            self.full.insert((label.kind, scope), until);
        }
    }

    /// Forgets budgets that may have been raised.
    pub fn forget_full(&mut self, now: Instant) {
        self.full.retain(|_, until| now < *until);
    }

    /// The number of a scope: a namespace, or none.
    fn scope(&self, scope: &str) -> Option<TextId> {
        if scope.is_empty() {
            return Some(TextId::ABSENT);
        }
        self.number(LabelKind::Namespace, TextId::ABSENT, scope).map(TextId)
    }

    #[inline]
    fn number(&self, kind: LabelKind, scope: TextId, name: &str) -> Option<u32> {
        let is_it = |number: &u32| {
            let entry = &self.entries[*number as usize];
            (entry.kind, entry.scope) == (Some(kind), scope)
                && self.texts.as_bytes()[entry.begin..entry.end] == *name.as_bytes()
        };
        self.numbers.find(hash(self.seed, kind, scope, name), is_it).copied()
    }

    fn push(&mut self, kind: Option<LabelKind>, scope: TextId, name: &str) -> u32 {
        let number = u32::try_from(self.entries.len()).expect("budgets bound the names");
        let begin = self.texts.len();
        self.texts.push_str(name);
        let id = match name {
            NONE => NONE_ID,
            OTHER => OTHER_ID,
            _ => TextId(number),
        };
        let end = self.texts.len();
        self.entries.push(Entry { kind, scope, id, is_registered: false, begin, end });
        if let Some(kind) = kind {
            let KnownNames { entries, texts, numbers, seed, .. } = self;
            let again = |number: &u32| {
                let entry = &entries[*number as usize];
                let kind = entry.kind.expect("reserved words have no place in the table");
                hash(*seed, kind, entry.scope, &texts[entry.begin..entry.end])
            };
            numbers.insert_unique(hash(*seed, kind, scope, name), number, again);
        }
        number
    }
}

impl Texts for KnownNames {
    #[inline]
    fn text(&self, id: TextId) -> &str {
        let entry = &self.entries[id.0 as usize];
        &self.texts[entry.begin..entry.end]
    }
}

#[inline]
fn hash(seed: u64, kind: LabelKind, scope: TextId, name: &str) -> u64 {
    let seed = seed ^ (u64::from(scope.0) << 8 | kind as u64);
    xxh3_64_with_seed(name.as_bytes(), seed)
}

#[cfg(test)]
mod tests;
