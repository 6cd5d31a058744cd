//! One interface to both databases: statement, row and connection of either kind.
//!
//! Everything above is written once. Where the dialects differ, it asks for the `Backend` and
//! chooses the SQL; nothing else depends on which one it is. Parameters are `?` in order, and the
//! column `partition` is in backticks, which both understand.

use std::pin::Pin;

use futures_util::TryStreamExt as _;
use sqlx::mysql::{MySql, MySqlArguments, MySqlRow};
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteRow};
use sqlx::{Decode, Encode, Row as _, SqlSafeStr, Transaction, Type};

use crate::error::{Result, StoreError};
use crate::file::FileConn;
use crate::server::{Link, Sink};

/// A future of a driver, behind a pointer: the state machines of both drivers are compiled here
/// once, not again in every crate that awaits them.
pub(crate) type Boxed<'t, T> = Pin<Box<dyn Future<Output = T> + Send + 't>>;

/// Kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// A local SQLite file.
    Sqlite,
    /// A server: MySQL or MariaDB.
    Mysql,
}

impl Backend {
    /// The text for this database.
    pub(crate) fn text(self, sqlite: &'static str, mysql: &'static str) -> &'static str {
        match self {
            Backend::Sqlite => sqlite,
            Backend::Mysql => mysql,
        }
    }

    /// A statement to be bound.
    pub(crate) fn query<'q>(self, sql: impl SqlSafeStr) -> Bound<'q> {
        match self {
            Backend::Sqlite => Bound::Sqlite(sqlx::query(sql)),
            Backend::Mysql => Bound::Mysql(sqlx::query(sql)),
        }
    }

    /// For `map_err`.
    pub(crate) fn error(self, action: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
        move |source| match self {
            Backend::Sqlite => StoreError::of(action, source),
            Backend::Mysql => StoreError::of_server(action, source),
        }
    }
}

/// A statement being bound.
pub(crate) enum Bound<'q> {
    Sqlite(Query<'q, Sqlite, SqliteArguments>),
    Mysql(Query<'q, MySql, MySqlArguments>),
}

impl<'q> Bound<'q> {
    /// Binds the next parameter.
    pub(crate) fn bind<T>(self, value: T) -> Bound<'q>
    where
        T: 'q + Encode<'q, Sqlite> + Type<Sqlite> + Encode<'q, MySql> + Type<MySql>,
    {
        match self {
            Bound::Sqlite(query) => Bound::Sqlite(query.bind(value)),
            Bound::Mysql(query) => Bound::Mysql(query.bind(value)),
        }
    }

    /// Binds a whole number. To a server it is sent in as few bytes as it needs, because most of
    /// the numbers of a row are small and there are many; there it is again what the column is.
    pub(crate) fn bind_number(self, number: i64) -> Bound<'q> {
        let query = match self {
            Bound::Sqlite(query) => return Bound::Sqlite(query.bind(number)),
            Bound::Mysql(query) => query,
        };
        let small = (i8::try_from(number), i16::try_from(number), i32::try_from(number));
        Bound::Mysql(match small {
            (Ok(number), ..) => query.bind(number),
            (_, Ok(number), _) => query.bind(number),
            (_, _, Ok(number)) => query.bind(number),
            _ => query.bind(number),
        })
    }
}

/// A row of an answer.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Mysql(MySqlRow),
}

impl Row {
    /// Reads a column.
    pub(crate) fn get<'r, T>(&'r self, at: usize) -> Result<T>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, MySql> + Type<MySql>,
    {
        match self {
            Row::Sqlite(row) => row.try_get_unchecked(at).map_err(StoreError::sql("read a row")),
            Row::Mysql(row) => row.try_get_unchecked(at).map_err(StoreError::server("read a row")),
        }
    }

    /// Reads a sum of whole numbers; that of no rows is 0. A server sums beyond 64 bits and answers
    /// in decimal digits; what does not fit is an error, as it is in SQLite.
    pub(crate) fn sum(&self, at: usize) -> Result<i64> {
        let digits = match self {
            Row::Sqlite(_) => return Ok(self.get::<Option<i64>>(at)?.unwrap_or(0)),
            Row::Mysql(_) => self.get::<Option<String>>(at)?,
        };
        digits.map_or(Ok(0), |digits| digits.parse()).map_err(|_| StoreError::Fatal {
            reason: "a sum of rows does not fit into 64 bits".to_owned(),
        })
    }
}

/// Effect of a statement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    /// Rows affected. A server counts matched rows, changed or not, as the driver requests.
    pub rows: u64,
    /// The number that `LAST_INSERT_ID(..)` was given, on a server.
    pub last_id: u64,
}

/// A connection of either database.
#[derive(Debug)]
pub(crate) enum Conn {
    /// The one that writes a file.
    Sqlite(FileConn),
    /// A snapshot of a file.
    SqliteRead(Transaction<'static, Sqlite>),
    /// A connection to a server.
    Mysql(Link),
}

impl Conn {
    /// Kind of its database.
    pub(crate) fn backend(&self) -> Backend {
        match self {
            Conn::Sqlite(_) | Conn::SqliteRead(_) => Backend::Sqlite,
            Conn::Mysql(_) => Backend::Mysql,
        }
    }

    /// Whether its server is read-only: a replica, or a former primary.
    pub(crate) fn is_read_only(&self) -> bool {
        match self {
            Conn::Sqlite(_) | Conn::SqliteRead(_) => false,
            Conn::Mysql(link) => link.is_read_only(),
        }
    }

    /// A statement to be bound.
    pub(crate) fn query<'q>(&self, sql: impl SqlSafeStr) -> Bound<'q> {
        self.backend().query(sql)
    }

    /// Executes a statement.
    pub(crate) fn execute<'t>(
        &'t mut self,
        query: Bound<'t>,
        action: &'static str,
    ) -> Boxed<'t, Result<Done>> {
        Box::pin(async move {
            let backend = self.backend();
            let done = match (self, query) {
                (Conn::Sqlite(file), Bound::Sqlite(query)) => {
                    query.execute(&mut file.conn).await.map(|done| (done.rows_affected(), 0))
                }
                (Conn::SqliteRead(conn), Bound::Sqlite(query)) => {
                    query.execute(&mut **conn).await.map(|done| (done.rows_affected(), 0))
                }
                (Conn::Mysql(link), Bound::Mysql(query)) => {
                    let done = link.execute(query).await;
                    done.map(|done| (done.rows_affected(), done.last_insert_id()))
                }
                _ => return Err(mixed()),
            };
            done.map(|(rows, last_id)| Done { rows, last_id }).map_err(backend.error(action))
        })
    }

    /// All rows of an answer.
    pub(crate) fn fetch_all<'t>(
        &'t mut self,
        query: Bound<'t>,
        action: &'static str,
    ) -> Boxed<'t, Result<Vec<Row>>> {
        Box::pin(async move {
            let rows = match (self, query) {
                (Conn::Sqlite(file), Bound::Sqlite(query)) => query.fetch_all(&mut file.conn).await,
                (Conn::SqliteRead(conn), Bound::Sqlite(query)) => {
                    query.fetch_all(&mut **conn).await
                }
                (Conn::Mysql(link), Bound::Mysql(query)) => {
                    let rows = link.fetch_all(query).await.map_err(StoreError::server(action))?;
                    return Ok(rows.into_iter().map(Row::Mysql).collect());
                }
                _ => return Err(mixed()),
            };
            let rows = rows.map_err(StoreError::sql(action))?;
            Ok(rows.into_iter().map(Row::Sqlite).collect())
        })
    }

    /// Hands over each row of an answer as it arrives, until `sink` ends that.
    pub(crate) async fn each(
        &mut self,
        query: Bound<'_>,
        action: &'static str,
        sink: &mut impl Sink<Row>,
    ) -> Result<()> {
        match (self, query) {
            (Conn::SqliteRead(conn), Bound::Sqlite(query)) => {
                let mut rows = query.fetch(&mut **conn);
                while let Some(row) = rows.try_next().await.map_err(StoreError::sql(action))? {
                    if !sink.take(Row::Sqlite(row)).await {
                        break;
                    }
                }
                Ok(())
            }
            (Conn::Mysql(link), Bound::Mysql(query)) => {
                let done = link.each(query, &mut OfServer(sink)).await;
                done.map_err(StoreError::server(action))
            }
            _ => Err(mixed()),
        }
    }

    /// The first row of an answer.
    pub(crate) async fn fetch_optional(
        &mut self,
        query: Bound<'_>,
        action: &'static str,
    ) -> Result<Option<Row>> {
        Ok(self.fetch_all(query, action).await?.into_iter().next())
    }

    /// The only row of an answer.
    pub(crate) async fn fetch_one(
        &mut self,
        query: Bound<'_>,
        action: &'static str,
    ) -> Result<Row> {
        let backend = self.backend();
        let row = self.fetch_optional(query, action).await?;
        row.ok_or_else(|| backend.error(action)(sqlx::Error::RowNotFound))
    }

    /// Begins to write; on a server, unless a transaction is open.
    pub(crate) fn begin(&mut self) -> Boxed<'_, Result<()>> {
        Box::pin(async move {
            match self {
                Conn::Sqlite(file) => file.begin().await,
                Conn::SqliteRead(_) => Err(StoreError::ReadOnly),
                Conn::Mysql(link) => link.begin().await.map_err(StoreError::server("begin")),
            }
        })
    }

    /// Commits. After an error of a server the outcome is unknown.
    pub(crate) fn commit(&mut self) -> Boxed<'_, Result<()>> {
        Box::pin(async move {
            match self {
                Conn::Sqlite(file) => file.commit().await,
                Conn::SqliteRead(_) => Err(StoreError::ReadOnly),
                Conn::Mysql(link) => link.commit().await.map_err(StoreError::server("commit")),
            }
        })
    }

    /// Rolls back what has not been committed; returns whether it is certainly gone. A server rolls
    /// back what a lost connection did not commit.
    pub(crate) fn rollback(&mut self) -> Boxed<'_, bool> {
        Box::pin(async move {
            match self {
                Conn::Sqlite(file) => file.rollback().await,
                Conn::SqliteRead(_) => true,
                Conn::Mysql(link) => {
                    link.rollback().await;
                    true
                }
            }
        })
    }
}

/// Takes the rows of a server.
struct OfServer<'t, S>(&'t mut S);

impl<S: Sink<Row>> Sink<MySqlRow> for OfServer<'_, S> {
    async fn take(&mut self, row: MySqlRow) -> bool {
        self.0.take(Row::Mysql(row)).await
    }
}

/// The error for a statement of the other database.
fn mixed() -> StoreError {
    StoreError::Fatal { reason: "a statement was made for another database".to_owned() }
}
