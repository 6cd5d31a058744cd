//! Labels and their budgets.
//!
//! A label is counted against its budget in the transaction that stores it, so that of two
//! registrations racing for the last slot only one wins. Labels are never removed: a name that was
//! accepted stays accepted.

use std::collections::{BTreeMap, BTreeSet};

use clock::Wall;
use sqlx::AssertSqlSafe;

use crate::error::{Result, StoreError};
use crate::many::{look_max, marks, padded, pieces, rows_max};
use crate::namespace::{self, NamespaceRow};
use crate::read::Reader;
use crate::rows::{get, number};
use crate::sql::{Backend, Bound, Row};
use crate::steps::Steps;

/// Kind of a label. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum LabelKind {
    /// Tenant; also gets a row among the namespaces.
    Namespace = 1,
    /// Model.
    Model = 2,
    /// Provider.
    Upstream = 3,
    /// Route template.
    Endpoint = 4,
    /// Policy.
    Policy = 5,
    /// Key or user alias; its scope is the namespace.
    Consumer = 6,
}

impl LabelKind {
    /// All kinds.
    pub const EACH: [LabelKind; 6] = [
        LabelKind::Namespace,
        LabelKind::Model,
        LabelKind::Upstream,
        LabelKind::Endpoint,
        LabelKind::Policy,
        LabelKind::Consumer,
    ];
}

/// A name to be registered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LabelName {
    /// Kind of the label.
    pub kind: LabelKind,
    /// The namespace for consumers, else empty.
    pub scope: String,
    /// Name to register.
    pub name: String,
}

/// A name with the budget of its kind and scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelRequest {
    /// Name to register.
    pub label: LabelName,
    /// Budget; `None` registers the name regardless of it.
    pub max: Option<i64>,
}

/// Result of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// It was registered before.
    Known,
    /// It is registered now.
    Added,
    /// Its budget is used up.
    OverBudget,
}

/// Kind and scope: what a budget is for.
type Group = (LabelKind, String);

/// A locked budget.
#[derive(Clone, Copy, Debug, Default)]
struct Budget {
    /// Slots that registered names use.
    used: i64,
    /// Slots that were taken when it was locked, one for each name that was missing then.
    n_taken: i64,
    /// Slots of these that are needed.
    n_added: i64,
}

impl LabelName {
    fn group(&self) -> Group {
        (self.kind, self.scope.clone())
    }
}

/// Registers names in one transaction. The answers are in the order of the requests, and the same
/// as if each were registered alone, in that order.
///
/// It takes hardly more statements for some hundred names than for one.
pub(crate) async fn register(
    steps: &mut Steps,
    requests: &[LabelRequest],
    now: Wall,
) -> Result<Vec<Registration>> {
    let wanted: BTreeSet<&LabelName> = requests.iter().map(|request| &request.label).collect();
    // Known names wait for no lock.
    let mut known = registered(steps, &wanted).await?;
    let missing: BTreeSet<&LabelName> = wanted.difference(&known).copied().collect();
    if missing.is_empty() {
        return Ok(vec![Registration::Known; requests.len()]);
    }
    let mut budgets = lock(steps, &missing).await?;
    // Of two processes that register the same new name one stores it, and the other finds it once
    // it has the budget. Nobody else writes to a file.
    if steps.backend() == Backend::Mysql {
        known.extend(registered(steps, &missing).await?);
    }
    let (verdicts, added) = decide(requests, known, &mut budgets);
    budgets.retain(|_, budget| budget.n_added != budget.n_taken);
    change_budgets(steps, &budgets, |budget| budget.n_added - budget.n_taken).await?;
    insert(steps, &added).await?;
    let is_namespace = |label: &&&LabelName| label.kind == LabelKind::Namespace;
    let codes: Vec<&str> = added.iter().filter(is_namespace).map(|l| l.name.as_str()).collect();
    namespace::insert(steps, &codes, now).await?;
    Ok(verdicts)
}

/// Locks the budgets of missing names by taking a slot for each name, which saves a statement where
/// all of them fit. Two processes that lock budgets in one order never wait for each other in a
/// ring.
async fn lock(
    steps: &mut Steps,
    missing: &BTreeSet<&LabelName>,
) -> Result<BTreeMap<Group, Budget>> {
    let mut budgets: BTreeMap<Group, Budget> = BTreeMap::new();
    for label in missing {
        budgets.entry(label.group()).or_default().n_taken += 1;
    }
    change_budgets(steps, &budgets, |budget| budget.n_taken).await?;
    let backend = steps.backend();
    let groups: Vec<Group> = budgets.keys().cloned().collect();
    let mut n_found = 0;
    for chunk in groups.chunks(look_max(backend, 2)) {
        let rows = padded(chunk);
        let sql = "SELECT kind, scope, used FROM label_budget WHERE (kind, scope) IN";
        let sql = format!("{sql} ({})", keys(backend, rows.len(), 2));
        let query = backend.query(AssertSqlSafe(sql));
        let query = rows.fold(query, |query, (kind, scope)| query.bind(*kind as u8).bind(scope));
        for row in steps.all(query, REGISTER).await? {
            if let Some(budget) = budgets.get_mut(&(kind(&row)?, get(&row, 1)?)) {
                budget.used = get::<i64>(&row, 2)? - budget.n_taken;
                n_found += 1;
            }
        }
    }
    if n_found == budgets.len() {
        return Ok(budgets);
    }
    Err(StoreError::Fatal { reason: "a budget of labels has no row".to_owned() })
}

/// Answers the requests, and returns the names to be added, in order.
fn decide<'a>(
    requests: &'a [LabelRequest],
    mut known: BTreeSet<&'a LabelName>,
    budgets: &mut BTreeMap<Group, Budget>,
) -> (Vec<Registration>, Vec<&'a LabelName>) {
    let mut added = Vec::new();
    let verdicts = requests.iter().map(|LabelRequest { label, max }| {
        if known.contains(label) {
            return Registration::Known;
        }
        let budget = budgets.get_mut(&label.group()).expect("those of missing names are locked");
        if budget.used + budget.n_added >= max.unwrap_or(i64::MAX) {
            return Registration::OverBudget;
        }
        budget.n_added += 1;
        known.insert(label);
        added.push(label);
        Registration::Added
    });
    (verdicts.collect(), added)
}

const REGISTER: &str = "register a label";

/// Which of these names are registered.
async fn registered<'a>(
    steps: &mut Steps,
    names: &BTreeSet<&'a LabelName>,
) -> Result<BTreeSet<&'a LabelName>> {
    let backend = steps.backend();
    let sorted: Vec<&LabelName> = names.iter().copied().collect();
    let mut found = BTreeSet::new();
    for chunk in sorted.chunks(look_max(backend, 3)) {
        let rows = padded(chunk);
        let sql = "SELECT kind, scope, name FROM label WHERE (kind, scope, name) IN";
        let sql = format!("{sql} ({})", keys(backend, rows.len(), 3));
        let query = rows.fold(backend.query(AssertSqlSafe(sql)), bind_name);
        for row in steps.all(query, REGISTER).await? {
            found.extend(names.get(&label_name(&row)?).copied());
        }
    }
    Ok(found)
}

/// Adds to the used slots of budgets, in their order; makes those that are not there.
async fn change_budgets(
    steps: &mut Steps,
    budgets: &BTreeMap<Group, Budget>,
    change: impl Fn(&Budget) -> i64,
) -> Result<()> {
    let backend = steps.backend();
    let known = backend.text(
        "ON CONFLICT (kind, scope) DO UPDATE SET used = used + excluded.used",
        "ON DUPLICATE KEY UPDATE used = used + VALUES(used)",
    );
    let budgets: Vec<(&Group, &Budget)> = budgets.iter().collect();
    for piece in pieces(&budgets, rows_max(backend, 3)) {
        let marks = marks(piece.len(), 3);
        let sql = format!("INSERT INTO label_budget (kind, scope, used) VALUES {marks} {known}");
        let mut query = backend.query(AssertSqlSafe(sql));
        for ((kind, scope), budget) in piece {
            query = query.bind(*kind as u8).bind(scope).bind(change(budget));
        }
        steps.run(query, REGISTER).await?;
    }
    Ok(())
}

/// Inserts names that are not there.
async fn insert(steps: &mut Steps, names: &[&LabelName]) -> Result<()> {
    let backend = steps.backend();
    for piece in pieces(names, rows_max(backend, 3)) {
        let marks = marks(piece.len(), 3);
        let sql = format!("INSERT INTO label (kind, scope, name) VALUES {marks}");
        let query = piece.iter().fold(backend.query(AssertSqlSafe(sql)), bind_name);
        steps.run(query, REGISTER).await?;
    }
    Ok(())
}

fn bind_name<'q>(query: Bound<'q>, label: &&'q LabelName) -> Bound<'q> {
    query.bind(label.kind as u8).bind(&label.scope).bind(&label.name)
}

/// Keys of several columns in the list of an IN.
fn keys(backend: Backend, n_rows: usize, n_columns: usize) -> String {
    let marks = marks(n_rows, n_columns);
    match backend {
        Backend::Sqlite => format!("VALUES {marks}"),
        Backend::Mysql => marks,
    }
}

/// Creates a namespace on an operator's request, even beyond the budget.
pub(crate) async fn create_namespace(
    steps: &mut Steps,
    code: &str,
    name: &str,
    now: Wall,
) -> Result<NamespaceRow> {
    if namespace::of_code(&mut steps.conn, code).await?.is_some() {
        return Err(StoreError::Exists(code.to_owned()));
    }
    let label =
        LabelName { kind: LabelKind::Namespace, scope: String::new(), name: code.to_owned() };
    let made = register(steps, &[LabelRequest { label, max: None }], now).await?;
    if made != [Registration::Added] {
        // Another process made it between the two looks.
        return Err(StoreError::Exists(code.to_owned()));
    }
    let query = steps.backend().query("UPDATE namespace SET name = ? WHERE code = ?");
    steps.run(query.bind(name).bind(code), "name a namespace").await?;
    namespace::of_code(&mut steps.conn, code)
        .await?
        .ok_or_else(|| StoreError::Fatal { reason: "a new namespace has no row".to_owned() })
}

impl Reader {
    /// Every registered name.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn labels(&mut self) -> Result<Vec<LabelName>> {
        let rows = self.rows(self.conn.query("SELECT kind, scope, name FROM label")).await?;
        rows.iter().map(label_name).collect()
    }

    /// The registered names of a kind, of all scopes.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn label_names(&mut self, kind: LabelKind) -> Result<Vec<String>> {
        let query = self.conn.query("SELECT name FROM label WHERE kind = ?").bind(kind as u8);
        self.rows(query).await?.iter().map(|row| get(row, 0)).collect()
    }
}

/// Reads kind, scope and name.
fn label_name(row: &Row) -> Result<LabelName> {
    Ok(LabelName { kind: kind(row)?, scope: get(row, 1)?, name: get(row, 2)? })
}

/// Reads a kind in the first column.
fn kind(row: &Row) -> Result<LabelKind> {
    let code: u8 = number(row, 0, "label kind")?;
    let kind = LabelKind::EACH.into_iter().find(|kind| *kind as u8 == code);
    kind.ok_or_else(|| StoreError::Fatal { reason: "a label has an unknown kind".to_owned() })
}
