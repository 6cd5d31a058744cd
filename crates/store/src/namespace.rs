//! Configured namespaces. Each is also a label, and takes a slot of that budget.

use clock::Wall;
use sqlx::AssertSqlSafe;

use crate::error::Result;
use crate::many::{marks, pieces, rows_max};
use crate::read::Reader;
use crate::rows::get;
use crate::sql::{Conn, Row};
use crate::steps::Steps;

/// Whether a namespace is enabled. Disabling one never rejects events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceStatus {
    /// It is in use.
    Enabled,
    /// It is switched off.
    Disabled,
}

impl NamespaceStatus {
    /// Its name in the API.
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
    /// Display name.
    pub name: String,
    /// Whether it is enabled.
    pub status: NamespaceStatus,
    /// When it was created, microseconds since the epoch.
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
    /// Substring of code or name, case-insensitive.
    pub keyword: Option<String>,
    /// Only those of this status.
    pub status: Option<NamespaceStatus>,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// Rows of this page.
    pub items: Vec<T>,
    /// Rows of all pages.
    pub total: i64,
}

/// Inserts the rows of namespaces for their labels, in this order.
pub(crate) async fn insert(steps: &mut Steps, codes: &[&str], now: Wall) -> Result<()> {
    let backend = steps.backend();
    let known = backend.text("ON CONFLICT DO NOTHING", "ON DUPLICATE KEY UPDATE code = code");
    for piece in pieces(codes, rows_max(backend, 5)) {
        let sql = format!(
            "INSERT INTO namespace (code, name, status, created_us, updated_us) VALUES {} {known}",
            marks(piece.len(), 5)
        );
        let mut query = backend.query(AssertSqlSafe(sql));
        for code in piece {
            let status = NamespaceStatus::Enabled.code();
            query = query.bind(*code).bind(*code).bind(status).bind(now.as_us()).bind(now.as_us());
        }
        steps.run(query, "register a namespace").await?;
    }
    Ok(())
}

/// Enables or disables a namespace; `None` if the number is unknown.
pub(crate) async fn set_status(
    conn: &mut Conn,
    id: i64,
    status: NamespaceStatus,
    now: Wall,
) -> Result<Option<NamespaceRow>> {
    let sql = "UPDATE namespace SET status = ?, updated_us = ? WHERE id = ? AND status <> ?";
    let query = conn.query(sql).bind(status.code()).bind(now.as_us()).bind(id).bind(status.code());
    conn.execute(query, "change a namespace").await?;
    of_id(conn, id).await
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

async fn of_id(conn: &mut Conn, id: i64) -> Result<Option<NamespaceRow>> {
    let sql = format!("{NAMESPACE} WHERE id = ?");
    let query = conn.query(AssertSqlSafe(sql)).bind(id);
    let row = conn.fetch_optional(query, "read a namespace").await?;
    row.as_ref().map(namespace).transpose()
}

pub(crate) async fn of_code(conn: &mut Conn, code: &str) -> Result<Option<NamespaceRow>> {
    let sql = format!("{NAMESPACE} WHERE code = ?");
    let query = conn.query(AssertSqlSafe(sql)).bind(code);
    let row = conn.fetch_optional(query, "read a namespace").await?;
    row.as_ref().map(namespace).transpose()
}

impl NamespaceFilter {
    /// Whether the filter matches a namespace. Case is folded here and not in SQL, since databases
    /// fold differently: character by character, so that a match does not depend on its neighbours.
    fn lets_pass(&self, row: &NamespaceRow, keyword: Option<&str>) -> bool {
        let has = |keyword: &str| {
            folded(&row.code).contains(keyword) || folded(&row.name).contains(keyword)
        };
        self.status.is_none_or(|status| row.status == status) && keyword.is_none_or(has)
    }
}

/// A text in lower case, in every script.
#[must_use]
pub fn folded(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

impl Reader {
    /// The namespace of a number.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn namespace_by_id(&mut self, id: i64) -> Result<Option<NamespaceRow>> {
        let query = self.conn.query(AssertSqlSafe(format!("{NAMESPACE} WHERE id = ?")));
        self.rows(query.bind(id)).await?.first().map(namespace).transpose()
    }

    /// The namespace of a code.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn namespace_by_code(&mut self, code: &str) -> Result<Option<NamespaceRow>> {
        let query = self.conn.query(AssertSqlSafe(format!("{NAMESPACE} WHERE code = ?")));
        self.rows(query.bind(code)).await?.first().map(namespace).transpose()
    }

    /// One page of the namespaces that match a filter, by number. All rows are read: there are few.
    ///
    /// # Errors
    /// See [`Reader`].
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
    /// See [`Reader`].
    pub async fn namespaces_after(&mut self, id: i64) -> Result<Vec<NamespaceRow>> {
        let sql = format!("{NAMESPACE} WHERE id > ? ORDER BY id");
        let rows = self.rows(self.conn.query(AssertSqlSafe(sql)).bind(id)).await?;
        rows.iter().map(namespace).collect()
    }
}
