//! Labels and their budgets.
//!
//! A label is counted against its budget in the transaction that stores it, so that of two
//! registrations racing for the last slot only one wins. Labels are never removed: a name that was
//! accepted stays accepted.

use clock::Wall;

use crate::error::{Result, StoreError};
use crate::namespace::{self, NamespaceRow};
use crate::read::Reader;
use crate::rows::{get, number};
use crate::sql::Conn;

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

/// Registers names in one transaction; the answers are in the order of the requests.
pub(crate) async fn register(
    conn: &mut Conn,
    requests: &[LabelRequest],
    now: Wall,
) -> Result<Vec<Registration>> {
    let mut verdicts = vec![Registration::Known; requests.len()];
    // Two processes that lock the budgets in one order never wait for each other in a ring.
    let mut order: Vec<usize> = (0..requests.len()).collect();
    order.sort_by_key(|idx| {
        let label = &requests[*idx].label;
        (label.kind, &label.scope)
    });
    for idx in order {
        verdicts[idx] = register_one(conn, &requests[idx], now).await?;
    }
    Ok(verdicts)
}

const REGISTER: &str = "register a label";

/// Takes a slot of the budget and stores the name. The budget row is locked before the name is
/// looked up again, so that of two processes registering the same new name one stores it and the
/// other finds it.
async fn register_one(conn: &mut Conn, request: &LabelRequest, now: Wall) -> Result<Registration> {
    let label = &request.label;
    let kind = label.kind as u8;
    let backend = conn.backend();
    if is_registered(conn, label).await? {
        return Ok(Registration::Known);
    }
    let lock = backend.text(
        "INSERT INTO label_budget (kind, scope, used) VALUES (?, ?, 0) ON CONFLICT DO NOTHING",
        "INSERT INTO label_budget (kind, scope, used) VALUES (?, ?, 0) \
         ON DUPLICATE KEY UPDATE used = used",
    );
    conn.execute(backend.query(lock).bind(kind).bind(&label.scope), REGISTER).await?;
    if is_registered(conn, label).await? {
        return Ok(Registration::Known);
    }
    let sql = "UPDATE label_budget SET used = used + 1 WHERE kind = ? AND scope = ? AND used < ?";
    let max = request.max.unwrap_or(i64::MAX);
    let query = backend.query(sql).bind(kind).bind(&label.scope).bind(max);
    if conn.execute(query, REGISTER).await?.rows == 0 {
        return Ok(Registration::OverBudget);
    }
    let query = backend.query("INSERT INTO label (kind, scope, name) VALUES (?, ?, ?)");
    let query = query.bind(kind).bind(&label.scope).bind(&label.name);
    conn.execute(query, REGISTER).await?;
    if label.kind == LabelKind::Namespace {
        namespace::insert(conn, &label.name, now).await?;
    }
    Ok(Registration::Added)
}

async fn is_registered(conn: &mut Conn, label: &LabelName) -> Result<bool> {
    let sql = "SELECT count(*) FROM label WHERE kind = ? AND scope = ? AND name = ?";
    let query = conn.query(sql).bind(label.kind as u8).bind(&label.scope).bind(&label.name);
    Ok(conn.fetch_one(query, REGISTER).await?.get::<i64>(0)? > 0)
}

/// Creates a namespace on an operator's request, even beyond the budget.
pub(crate) async fn create_namespace(
    conn: &mut Conn,
    code: &str,
    name: &str,
    now: Wall,
) -> Result<NamespaceRow> {
    if namespace::of_code(conn, code).await?.is_some() {
        return Err(StoreError::Exists(code.to_owned()));
    }
    let label =
        LabelName { kind: LabelKind::Namespace, scope: String::new(), name: code.to_owned() };
    let made = register_one(conn, &LabelRequest { label, max: None }, now).await?;
    if made != Registration::Added {
        // Another process made it between the two looks.
        return Err(StoreError::Exists(code.to_owned()));
    }
    let query = conn.query("UPDATE namespace SET name = ? WHERE code = ?").bind(name).bind(code);
    conn.execute(query, "name a namespace").await?;
    namespace::of_code(conn, code)
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
        rows.iter()
            .map(|row| {
                let code: u8 = number(row, 0, "label kind")?;
                let kind = LabelKind::EACH.into_iter().find(|kind| *kind as u8 == code);
                let kind = kind.ok_or_else(|| StoreError::Fatal {
                    reason: "a label has an unknown kind".to_owned(),
                })?;
                Ok(LabelName { kind, scope: get(row, 1)?, name: get(row, 2)? })
            })
            .collect()
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
