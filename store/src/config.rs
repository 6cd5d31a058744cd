//! Configuration rows: labels and their budgets, namespaces, connections, access keys.
//!
//! Ingest registers labels, the api configures the rest. A label is counted against its budget in
//! the same transaction that stores it, so that two who race for the last place cannot both win,
//! and it is never removed: what was accepted once is accepted again.

use sqlx::Executor;
use sqlx::sqlite::SqliteConnection;

use crate::error::{Result, StoreError};
use crate::read::Reader;
use crate::rows::{bytes, get, number};

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

/// Registers names in one transaction.
pub(crate) async fn register(
    conn: &mut SqliteConnection,
    requests: &[LabelRequest],
    now_us: i64,
) -> Result<Vec<Registration>> {
    let mut verdicts = Vec::with_capacity(requests.len());
    for request in requests {
        verdicts.push(register_one(conn, request, now_us).await?);
    }
    Ok(verdicts)
}

async fn register_one(
    conn: &mut SqliteConnection,
    request: &LabelRequest,
    now_us: i64,
) -> Result<Registration> {
    const ACTION: &str = "register a label";
    let label = &request.label;
    let kind = label.kind as u8;
    let known: i64 =
        sqlx::query_scalar("SELECT count(*) FROM label WHERE kind = ? AND scope = ? AND name = ?")
            .bind(kind)
            .bind(&label.scope)
            .bind(&label.name)
            .fetch_one(&mut *conn)
            .await
            .map_err(StoreError::sql(ACTION))?;
    if known > 0 {
        return Ok(Registration::Known);
    }
    sqlx::query("INSERT INTO label_budget VALUES (?, ?, 0) ON CONFLICT DO NOTHING")
        .bind(kind)
        .bind(&label.scope)
        .execute(&mut *conn)
        .await
        .map_err(StoreError::sql(ACTION))?;
    let taken = sqlx::query(
        "UPDATE label_budget SET used = used + 1 WHERE kind = ? AND scope = ? AND used < ?",
    )
    .bind(kind)
    .bind(&label.scope)
    .bind(request.max.unwrap_or(i64::MAX))
    .execute(&mut *conn)
    .await
    .map_err(StoreError::sql(ACTION))?;
    if taken.rows_affected() == 0 {
        return Ok(Registration::OverBudget);
    }
    sqlx::query("INSERT INTO label VALUES (?, ?, ?)")
        .bind(kind)
        .bind(&label.scope)
        .bind(&label.name)
        .execute(&mut *conn)
        .await
        .map_err(StoreError::sql(ACTION))?;
    if label.kind == LabelKind::Namespace {
        sqlx::query(
            "INSERT INTO namespace (code, name, status, created_us, updated_us) \
             VALUES (?1, ?1, 1, ?2, ?2) ON CONFLICT DO NOTHING",
        )
        .bind(&label.name)
        .bind(now_us)
        .execute(&mut *conn)
        .await
        .map_err(StoreError::sql(ACTION))?;
    }
    Ok(Registration::Added)
}

/// Makes a namespace by hand, beyond the budget if need be.
pub(crate) async fn create_namespace(
    conn: &mut SqliteConnection,
    code: &str,
    name: &str,
    now_us: i64,
) -> Result<NamespaceRow> {
    if namespace_where(conn, "code = ?1", code.to_owned()).await?.is_some() {
        return Err(StoreError::Exists(code.to_owned()));
    }
    let label =
        LabelName { kind: LabelKind::Namespace, scope: String::new(), name: code.to_owned() };
    register_one(conn, &LabelRequest { label, max: None }, now_us).await?;
    sqlx::query("UPDATE namespace SET name = ? WHERE code = ?")
        .bind(name)
        .bind(code)
        .execute(&mut *conn)
        .await
        .map_err(StoreError::sql("name a namespace"))?;
    namespace_where(conn, "code = ?1", code.to_owned())
        .await?
        .ok_or_else(|| StoreError::Fatal { reason: "a new namespace has no row".to_owned() })
}

/// Enables or disables a namespace; nothing if there is none of this number.
pub(crate) async fn set_status(
    conn: &mut SqliteConnection,
    id: i64,
    status: NamespaceStatus,
    now_us: i64,
) -> Result<Option<NamespaceRow>> {
    sqlx::query("UPDATE namespace SET status = ?1, updated_us = ?2 WHERE id = ?3 AND status <> ?1")
        .bind(status.code())
        .bind(now_us)
        .bind(id)
        .execute(&mut *conn)
        .await
        .map_err(StoreError::sql("change a namespace"))?;
    namespace_where(conn, "id = ?1", id.to_string()).await
}

/// Keeps the newest report of each gateway and namespace.
pub(crate) async fn put_connections(
    conn: &mut SqliteConnection,
    rows: &[ConnectionsRow],
) -> Result<()> {
    for row in rows {
        sqlx::query(
            "INSERT INTO connections VALUES (?, ?, ?, ?) ON CONFLICT (gateway, namespace) \
             DO UPDATE SET active = excluded.active, seen_us = excluded.seen_us \
             WHERE excluded.seen_us >= seen_us",
        )
        .bind(&row.gateway)
        .bind(&row.namespace)
        .bind(row.active)
        .bind(row.seen_us)
        .execute(&mut *conn)
        .await
        .map_err(StoreError::sql("keep connections"))?;
    }
    Ok(())
}

/// Stores the hash of a key.
pub(crate) async fn put_key(
    conn: &mut SqliteConnection,
    role: &str,
    source: &str,
    sha256: [u8; 32],
    now_us: i64,
) -> Result<()> {
    let query = sqlx::query("INSERT INTO access_key VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING")
        .bind(role)
        .bind(source)
        .bind(sha256.to_vec())
        .bind(now_us);
    conn.execute(query).await.map_err(StoreError::sql("store a key"))?;
    Ok(())
}

const NAMESPACE: &str = "SELECT id, code, name, status, created_us, updated_us FROM namespace";

fn namespace(row: &sqlx::sqlite::SqliteRow) -> Result<NamespaceRow> {
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

async fn namespace_where(
    conn: &mut SqliteConnection,
    condition: &'static str,
    value: String,
) -> Result<Option<NamespaceRow>> {
    let sql = format!("{NAMESPACE} WHERE {condition}");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(value)
        .fetch_optional(conn)
        .await
        .map_err(StoreError::sql("read a namespace"))?;
    row.as_ref().map(namespace).transpose()
}

impl Reader {
    /// The namespace of a number.
    ///
    /// # Errors
    /// As every read.
    pub async fn namespace_by_id(&mut self, id: i64) -> Result<Option<NamespaceRow>> {
        namespace_where(&mut self.transaction, "id = ?1", id.to_string()).await
    }

    /// The namespace of a code.
    ///
    /// # Errors
    /// As every read.
    pub async fn namespace_by_code(&mut self, code: &str) -> Result<Option<NamespaceRow>> {
        namespace_where(&mut self.transaction, "code = ?1", code.to_owned()).await
    }

    /// One page of the namespaces that a filter lets pass, by number.
    ///
    /// # Errors
    /// As every read.
    pub async fn namespaces(&mut self, filter: &NamespaceFilter) -> Result<Page<NamespaceRow>> {
        const CONDITION: &str = "WHERE (?1 IS NULL OR instr(lower(code), lower(?1)) > 0 \
             OR instr(lower(name), lower(?1)) > 0) AND (?2 IS NULL OR status = ?2)";
        let status = filter.status.map(NamespaceStatus::code);
        let sql = format!("SELECT count(*) FROM namespace {CONDITION}");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(&filter.keyword).bind(status);
        let rows = self.rows(query).await?;
        let total = rows.first().map_or(Ok(0), |row| get(row, 0))?;
        let sql = format!("{NAMESPACE} {CONDITION} ORDER BY id LIMIT ?3 OFFSET ?4");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(&filter.keyword)
            .bind(status)
            .bind(filter.size)
            .bind((filter.page - 1).max(0).saturating_mul(filter.size));
        let rows = self.rows(query).await?;
        Ok(Page { items: rows.iter().map(namespace).collect::<Result<_>>()?, total })
    }

    /// Namespaces with a number above this, by number.
    ///
    /// # Errors
    /// As every read.
    pub async fn namespaces_after(&mut self, id: i64) -> Result<Vec<NamespaceRow>> {
        let sql = format!("{NAMESPACE} WHERE id > ? ORDER BY id");
        let rows = self.rows(sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id)).await?;
        rows.iter().map(namespace).collect()
    }

    /// How many namespaces are enabled, and how many disabled.
    ///
    /// # Errors
    /// As every read.
    pub async fn namespace_counts(&mut self) -> Result<(i64, i64)> {
        let sql = "SELECT count(*) FILTER (WHERE status = 1), \
                   count(*) FILTER (WHERE status = 0) FROM namespace";
        let rows = self.rows(sqlx::query(sql)).await?;
        rows.first().map_or(Ok((0, 0)), |row| Ok((get(row, 0)?, get(row, 1)?)))
    }

    /// Every registered name.
    ///
    /// # Errors
    /// As every read.
    pub async fn labels(&mut self) -> Result<Vec<LabelName>> {
        let rows = self.rows(sqlx::query("SELECT kind, scope, name FROM label")).await?;
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

    /// Keys of a role.
    ///
    /// # Errors
    /// As every read.
    pub async fn keys(&mut self, role: &str) -> Result<Vec<KeyRow>> {
        let query = sqlx::query("SELECT source, sha256 FROM access_key WHERE role = ?").bind(role);
        let rows = self.rows(query).await?;
        rows.iter().map(|row| Ok(KeyRow { source: get(row, 0)?, sha256: bytes(row, 1)? })).collect()
    }
}
