//! Configuration rows: labels and their budgets, namespaces, connections, access keys.
//!
//! Ingest registers labels, the api configures the rest. A label is counted against its budget in
//! the same transaction that stores it, so that two who race for the last place cannot both win,
//! and it is never removed: what was accepted once is accepted again.

use crate::error::{Result, StoreError};
use crate::read::Reader;
use crate::rows::{bytes, get, number};
use crate::sql::{Conn, Row};

/// What a name is a label of. The numbers are stored.
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
    /// Every kind.
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
    /// What it is a label of.
    pub kind: LabelKind,
    /// The namespace for consumers, else empty.
    pub scope: String,
    /// The name.
    pub name: String,
}

/// A name and how many of its kind and scope there may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelRequest {
    /// The name.
    pub label: LabelName,
    /// Budget; nothing for a name that is registered whatever the budget says.
    pub max: Option<i64>,
}

/// What became of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// It was registered before.
    Known,
    /// It is registered now.
    Added,
    /// Its budget is used up.
    OverBudget,
}

/// Whether a namespace is enabled. Disabling one never rejects events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceStatus {
    /// In use.
    Enabled,
    /// Switched off.
    Disabled,
}

impl NamespaceStatus {
    /// The word that users see.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            NamespaceStatus::Enabled => "enabled",
            NamespaceStatus::Disabled => "disabled",
        }
    }

    fn code(self) -> i64 {
        i64::from(self == NamespaceStatus::Enabled)
    }
}

/// A namespace as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceRow {
    /// Number, from 1.
    pub id: i64,
    /// Code: the label.
    pub code: String,
    /// Name for people.
    pub name: String,
    /// Whether it is enabled.
    pub status: NamespaceStatus,
    /// When it was made, microseconds since the epoch.
    pub created_us: i64,
    /// When it was last changed, microseconds since the epoch.
    pub updated_us: i64,
}

/// Which namespaces a list has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceFilter {
    /// Page, from 1.
    pub page: i64,
    /// Rows per page.
    pub size: i64,
    /// Part of code or name, in any case of letters.
    pub keyword: Option<String>,
    /// Only those of this status.
    pub status: Option<NamespaceStatus>,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Rows of all pages.
    pub total: i64,
}

/// A gateway's report of its open connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionsRow {
    /// The gateway.
    pub gateway: String,
    /// The namespace.
    pub namespace: String,
    /// Open connections.
    pub active: i64,
    /// When it was so, microseconds since the epoch.
    pub seen_us: i64,
}

/// A stored key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// The source that its events belong to.
    pub source: String,
    /// SHA-256 of the key.
    pub sha256: [u8; 32],
}

/// Registers names in one transaction; the answers are in the order of the requests.
pub(crate) async fn register(
    conn: &mut Conn,
    requests: &[LabelRequest],
    now_us: i64,
) -> Result<Vec<Registration>> {
    let mut verdicts = vec![Registration::Known; requests.len()];
    // Two processes that lock the budgets in one order never wait for each other in a ring.
    let mut order: Vec<usize> = (0..requests.len()).collect();
    order.sort_by_key(|idx| {
        let label = &requests[*idx].label;
        (label.kind, &label.scope)
    });
    for idx in order {
        verdicts[idx] = register_one(conn, &requests[idx], now_us).await?;
    }
    Ok(verdicts)
}

const REGISTER: &str = "register a label";

/// Takes a place of the budget and stores the name. The row of the budget is locked before the
/// name is looked for a second time, so that of two processes which meet the same new name one
/// stores it and the other finds it.
async fn register_one(
    conn: &mut Conn,
    request: &LabelRequest,
    now_us: i64,
) -> Result<Registration> {
    let label = &request.label;
    let kind = label.kind as u8;
    let backend = conn.backend();
    if is_registered(conn, label).await? {
        return Ok(Registration::Known);
    }
    let lock = backend.text(
        "INSERT INTO label_budget VALUES (?, ?, 0) ON CONFLICT DO NOTHING",
        "INSERT INTO label_budget VALUES (?, ?, 0) ON DUPLICATE KEY UPDATE used = used",
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
    let query = backend.query("INSERT INTO label VALUES (?, ?, ?)");
    let query = query.bind(kind).bind(&label.scope).bind(&label.name);
    conn.execute(query, REGISTER).await?;
    if label.kind == LabelKind::Namespace {
        let sql = backend.text(
            "INSERT INTO namespace (code, name, status, created_us, updated_us) \
             VALUES (?, ?, 1, ?, ?) ON CONFLICT DO NOTHING",
            "INSERT INTO namespace (code, name, status, created_us, updated_us) \
             VALUES (?, ?, 1, ?, ?) ON DUPLICATE KEY UPDATE code = code",
        );
        let query = backend.query(sql).bind(&label.name).bind(&label.name);
        conn.execute(query.bind(now_us).bind(now_us), REGISTER).await?;
    }
    Ok(Registration::Added)
}

async fn is_registered(conn: &mut Conn, label: &LabelName) -> Result<bool> {
    let sql = "SELECT count(*) FROM label WHERE kind = ? AND scope = ? AND name = ?";
    let query = conn.query(sql).bind(label.kind as u8).bind(&label.scope).bind(&label.name);
    Ok(conn.fetch_one(query, REGISTER).await?.get::<i64>(0)? > 0)
}

/// Makes a namespace by hand, beyond the budget if need be.
pub(crate) async fn create_namespace(
    conn: &mut Conn,
    code: &str,
    name: &str,
    now_us: i64,
) -> Result<NamespaceRow> {
    if namespace_of_code(conn, code).await?.is_some() {
        return Err(StoreError::Exists(code.to_owned()));
    }
    let label =
        LabelName { kind: LabelKind::Namespace, scope: String::new(), name: code.to_owned() };
    let made = register_one(conn, &LabelRequest { label, max: None }, now_us).await?;
    if made != Registration::Added {
        // Another process made it between the two looks.
        return Err(StoreError::Exists(code.to_owned()));
    }
    let query = conn.query("UPDATE namespace SET name = ? WHERE code = ?").bind(name).bind(code);
    conn.execute(query, "name a namespace").await?;
    namespace_of_code(conn, code)
        .await?
        .ok_or_else(|| StoreError::Fatal { reason: "a new namespace has no row".to_owned() })
}

/// Enables or disables a namespace; `None` if there is none of this number.
pub(crate) async fn set_status(
    conn: &mut Conn,
    id: i64,
    status: NamespaceStatus,
    now_us: i64,
) -> Result<Option<NamespaceRow>> {
    let sql = "UPDATE namespace SET status = ?, updated_us = ? WHERE id = ? AND status <> ?";
    let query = conn.query(sql).bind(status.code()).bind(now_us).bind(id).bind(status.code());
    conn.execute(query, "change a namespace").await?;
    namespace_of_id(conn, id).await
}

/// Keeps the newest report of each gateway and namespace.
pub(crate) async fn put_connections(conn: &mut Conn, rows: &[ConnectionsRow]) -> Result<()> {
    let backend = conn.backend();
    // A server assigns from left to right: the time comes last, for the rest depends on it.
    let sql = backend.text(
        "INSERT INTO connections VALUES (?, ?, ?, ?) ON CONFLICT (gateway, namespace) \
         DO UPDATE SET active = excluded.active, seen_us = excluded.seen_us \
         WHERE excluded.seen_us >= seen_us",
        "INSERT INTO connections VALUES (?, ?, ?, ?) ON DUPLICATE KEY UPDATE \
         active = IF(VALUES(seen_us) >= seen_us, VALUES(active), active), \
         seen_us = GREATEST(seen_us, VALUES(seen_us))",
    );
    let mut sorted: Vec<&ConnectionsRow> = rows.iter().collect();
    sorted.sort_by_key(|row| (&row.gateway, &row.namespace));
    for row in sorted {
        let query = backend.query(sql).bind(&row.gateway).bind(&row.namespace);
        conn.execute(query.bind(row.active).bind(row.seen_us), "keep connections").await?;
    }
    Ok(())
}

/// Notes that an aggregator has no memory left for recognising copies.
pub(crate) async fn put_pressure(conn: &mut Conn, now_us: i64) -> Result<()> {
    let backend = conn.backend();
    let sql = backend.text(
        "INSERT INTO pressure VALUES (1, ?) ON CONFLICT (one) \
         DO UPDATE SET seen_us = max(seen_us, excluded.seen_us)",
        "INSERT INTO pressure VALUES (1, ?) ON DUPLICATE KEY UPDATE \
         seen_us = GREATEST(seen_us, VALUES(seen_us))",
    );
    conn.execute(backend.query(sql).bind(now_us), "note that memory is short").await.map(|_| ())
}

/// Stores the hash of a key.
pub(crate) async fn put_key(
    conn: &mut Conn,
    role: &str,
    source: &str,
    sha256: [u8; 32],
    now_us: i64,
) -> Result<()> {
    let backend = conn.backend();
    let sql = backend.text(
        "INSERT INTO access_key VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        "INSERT INTO access_key VALUES (?, ?, ?, ?) ON DUPLICATE KEY UPDATE source = source",
    );
    let query = backend.query(sql).bind(role).bind(source).bind(sha256.to_vec()).bind(now_us);
    conn.execute(query, "store a key").await.map(|_| ())
}

const NAMESPACE: &str = "SELECT id, code, name, status, created_us, updated_us FROM namespace";

fn namespace(row: &Row) -> Result<NamespaceRow> {
    let is_enabled = get::<i64>(row, 3)? == NamespaceStatus::Enabled.code();
    Ok(NamespaceRow {
        id: get(row, 0)?,
        code: get(row, 1)?,
        name: get(row, 2)?,
        status: if is_enabled { NamespaceStatus::Enabled } else { NamespaceStatus::Disabled },
        created_us: get(row, 4)?,
        updated_us: get(row, 5)?,
    })
}

async fn namespace_of_id(conn: &mut Conn, id: i64) -> Result<Option<NamespaceRow>> {
    let sql = format!("{NAMESPACE} WHERE id = ?");
    let query = conn.query(sqlx::AssertSqlSafe(sql)).bind(id);
    let row = conn.fetch_optional(query, "read a namespace").await?;
    row.as_ref().map(namespace).transpose()
}

async fn namespace_of_code(conn: &mut Conn, code: &str) -> Result<Option<NamespaceRow>> {
    let sql = format!("{NAMESPACE} WHERE code = ?");
    let query = conn.query(sqlx::AssertSqlSafe(sql)).bind(code);
    let row = conn.fetch_optional(query, "read a namespace").await?;
    row.as_ref().map(namespace).transpose()
}

impl NamespaceFilter {
    /// Whether a namespace is listed. Letters are folded here and not by a database, each of which
    /// folds others: one by one, so that what is found does not depend on what stands beside it.
    fn lets_pass(&self, row: &NamespaceRow, keyword: Option<&str>) -> bool {
        let has = |keyword: &str| {
            folded(&row.code).contains(keyword) || folded(&row.name).contains(keyword)
        };
        self.status.is_none_or(|status| row.status == status) && keyword.is_none_or(has)
    }
}

/// A text in small letters, in every script.
fn folded(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

impl Reader {
    /// The namespace of a number.
    ///
    /// # Errors
    /// As every read.
    pub async fn namespace_by_id(&mut self, id: i64) -> Result<Option<NamespaceRow>> {
        let query = self.conn.query(sqlx::AssertSqlSafe(format!("{NAMESPACE} WHERE id = ?")));
        self.rows(query.bind(id)).await?.first().map(namespace).transpose()
    }

    /// The namespace of a code.
    ///
    /// # Errors
    /// As every read.
    pub async fn namespace_by_code(&mut self, code: &str) -> Result<Option<NamespaceRow>> {
        let query = self.conn.query(sqlx::AssertSqlSafe(format!("{NAMESPACE} WHERE code = ?")));
        self.rows(query.bind(code)).await?.first().map(namespace).transpose()
    }

    /// One page of the namespaces that a filter lets pass, by number. All are read: there are few.
    ///
    /// # Errors
    /// As every read.
    pub async fn namespaces(&mut self, filter: &NamespaceFilter) -> Result<Page<NamespaceRow>> {
        let keyword = filter.keyword.as_deref().map(folded);
        let mut found = self.namespaces_after(0).await?;
        found.retain(|row| filter.lets_pass(row, keyword.as_deref()));
        let total = i64::try_from(found.len()).unwrap_or(i64::MAX);
        let skip = (filter.page - 1).max(0).saturating_mul(filter.size);
        let rows = found.into_iter().skip(usize::try_from(skip).unwrap_or(usize::MAX));
        Ok(Page { items: rows.take(usize::try_from(filter.size).unwrap_or(0)).collect(), total })
    }

    /// Namespaces with a number above this, by number.
    ///
    /// # Errors
    /// As every read.
    pub async fn namespaces_after(&mut self, id: i64) -> Result<Vec<NamespaceRow>> {
        let sql = format!("{NAMESPACE} WHERE id > ? ORDER BY id");
        let rows = self.rows(self.conn.query(sqlx::AssertSqlSafe(sql)).bind(id)).await?;
        rows.iter().map(namespace).collect()
    }

    /// Every registered name.
    ///
    /// # Errors
    /// As every read.
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
    /// As every read.
    pub async fn label_names(&mut self, kind: LabelKind) -> Result<Vec<String>> {
        let query = self.conn.query("SELECT name FROM label WHERE kind = ?").bind(kind as u8);
        self.rows(query).await?.iter().map(|row| get(row, 0)).collect()
    }

    /// Keys of a role, the one that was stored first at the front: where several processes made
    /// one at a first start, all take that.
    ///
    /// # Errors
    /// As every read.
    pub async fn keys(&mut self, role: &str) -> Result<Vec<KeyRow>> {
        let sql =
            "SELECT source, sha256 FROM access_key WHERE role = ? ORDER BY created_us, sha256";
        let rows = self.rows(self.conn.query(sql).bind(role)).await?;
        rows.iter().map(|row| Ok(KeyRow { source: get(row, 0)?, sha256: bytes(row, 1)? })).collect()
    }
}
