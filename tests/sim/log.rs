//! The log of one partition, with what must be counted of each record beside it.

use event::frame::Version;
use ledger::core::{Core, LogView};

use crate::producer::{Fate, Made, frame};
use crate::reference::{Delta, Reference, Second};

/// One record.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// When the log took it, by the log's wall clock.
    pub append_us: i64,
    /// Whether its row holds its checksum.
    pub intact: bool,
    /// What it adds, if it is not lost.
    pub delta: Delta,
    events: Vec<Made>,
    ingest_us: i64,
    fate: Fate,
}

/// One partition.
#[derive(Clone, Debug)]
pub struct Partition {
    number: u32,
    keep_us: i64,
    records: Vec<Stored>,
    /// Oldest offset that is still there.
    pub low: u64,
    /// Offsets `lost.0 .. lost.1` left the log before anybody counted them.
    pub lost: Option<(u64, u64)>,
    /// The log was cut below what was counted, or replaced: the partition has to be halted.
    pub is_broken: bool,
    /// What was counted of the log before it was broken.
    pub counted_before: Vec<Made>,
    reference: Reference,
}

impl Partition {
    /// An empty log.
    #[must_use]
    pub fn new(number: u32, keep_us: i64) -> Partition {
        Partition {
            number,
            keep_us,
            records: Vec::new(),
            low: 0,
            lost: None,
            is_broken: false,
            counted_before: Vec::new(),
            reference: Reference::new(number, keep_us),
        }
    }

    /// Appends a frame.
    pub fn append(
        &mut self,
        events: Vec<Made>,
        append_us: i64,
        ingest_us: i64,
        fate: Fate,
        version: Version,
    ) {
        let delta = self.reference.read(&events, append_us, ingest_us, fate);
        self.records.push(Stored {
            bytes: frame(&events, ingest_us, fate, version),
            append_us,
            intact: fate != Fate::BadRow,
            delta,
            events,
            ingest_us,
            fate,
        });
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Offset that is written next.
    #[must_use]
    pub fn high(&self) -> u64 {
        self.records.len() as u64
    }

    /// The record at an offset that is still there.
    #[must_use]
    pub fn get(&self, offset: u64) -> Option<&Stored> {
        let stored = self.records.get(usize::try_from(offset).ok()?)?;
        (offset >= self.low).then_some(stored)
    }

    /// What an owner sees of it.
    #[must_use]
    pub fn view(&self, next: u64) -> LogView {
        let before = next.checked_sub(1).and_then(|offset| self.get(offset));
        let last_print = before.map(|stored| Core::print(&stored.bytes));
        LogView { low: self.low, high: self.high(), last_print, is_remade: false }
    }

    /// What must be counted of a stretch, lost records left out.
    pub fn deltas(&self, base: u64, next: u64) -> impl Iterator<Item = &Delta> {
        let (from, to) = self.lost.unwrap_or((0, 0));
        (base..next)
            .filter(move |offset| !(from..to).contains(offset))
            .filter_map(|offset| self.records.get(usize::try_from(offset).ok()?))
            .map(|stored| &stored.delta)
    }

    /// The late events of a stretch.
    pub fn late(&self, base: u64, next: u64) -> impl Iterator<Item = &(Made, Second)> {
        self.deltas(base, next).flat_map(|delta| &delta.late)
    }

    /// Whether everything that was ever counted can still be read.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.low == 0 && self.lost.is_none() && !self.is_broken
    }

    /// How many lost offsets lie in a stretch.
    #[must_use]
    pub fn n_lost(&self, base: u64, next: u64) -> i64 {
        let (from, to) = self.lost.unwrap_or((0, 0));
        let lost = to.min(next).saturating_sub(from.max(base));
        i64::try_from(lost).expect("few")
    }

    /// Retention deletes frames that are no longer needed.
    pub fn retain(&mut self, low: u64) {
        self.low = self.low.max(low);
    }

    /// Retention overtakes counting: the deleted frames are neither counted nor remembered.
    pub fn overtake(&mut self, next: u64, low: u64) {
        self.low = low;
        self.lost = Some((next, low));
        self.account_anew();
    }

    /// The log loses its tail, as after the crash of a broker that had not synced.
    pub fn cut(&mut self, high: u64) {
        self.records.truncate(usize::try_from(high).expect("few"));
        self.account_anew();
    }

    /// Below `next`, up to which it is counted, it is cut to `high`, or another log takes its
    /// place.
    pub fn break_below(&mut self, next: u64, high: Option<u64>) {
        let counted: Vec<Made> = self.deltas(0, next).flat_map(|it| &it.counted).copied().collect();
        match high {
            Some(high) => self.cut(high),
            None => *self = Partition::new(self.number, self.keep_us),
        }
        self.is_broken = true;
        self.counted_before = counted;
    }

    /// The loss is accepted while the ledger's clock is `clock_us`: what counts from `next` on.
    pub fn accept_loss(&mut self, next: u64, clock_us: Option<i64>) {
        self.reference = Reference::behind_loss(self.number, self.keep_us, clock_us);
        for stored in self.records.iter_mut().skip(usize::try_from(next).expect("few")) {
            let (append_us, ingest_us) = (stored.append_us, stored.ingest_us);
            stored.delta = self.reference.read(&stored.events, append_us, ingest_us, stored.fate);
        }
    }

    /// Runs the plain account again from the beginning, over what an owner can still know.
    fn account_anew(&mut self) {
        let mut reference = Reference::new(self.number, self.keep_us);
        for (offset, stored) in (0..).zip(&mut self.records) {
            if let Some((from, to)) = self.lost {
                if offset == to {
                    reference.forget();
                }
                if (from..to).contains(&offset) {
                    continue;
                }
            }
            let (append_us, ingest_us) = (stored.append_us, stored.ingest_us);
            stored.delta = reference.read(&stored.events, append_us, ingest_us, stored.fate);
        }
        if self.lost.is_some_and(|(_, to)| to == self.records.len() as u64) {
            reference.forget();
        }
        self.reference = reference;
    }
}
