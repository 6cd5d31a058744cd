//! Answers of a server that are read row by row.

use futures_util::TryStreamExt as _;
use sqlx::mysql::{MySql, MySqlArguments, MySqlRow};
use sqlx::query::Query;
use tokio::time::timeout;

use super::{Link, late};

/// Takes rows as they arrive.
pub(crate) trait Sink<R>: Send {
    /// Takes a row; false ends the reading.
    fn take(&mut self, row: R) -> impl Future<Output = bool> + Send;
}

impl Link {
    /// Hands over every row of an answer, each within the statement timeout. A sink that ends the
    /// reading closes the connection: rows of the answer are still on their way.
    pub(crate) async fn each(
        &mut self,
        query: Query<'_, MySql, MySqlArguments>,
        sink: &mut impl Sink<MySqlRow>,
    ) -> sqlx::Result<()> {
        let mut wire = self.take()?;
        let limit = self.pool.options.statement_timeout;
        let mut answer = query.fetch(&mut wire.conn);
        let end = loop {
            match timeout(limit, answer.try_next()).await {
                Err(_) => return Err(late("answer")),
                Ok(Ok(Some(row))) => {
                    if !sink.take(row).await {
                        return Ok(());
                    }
                }
                Ok(Ok(None)) => break Ok(()),
                Ok(Err(error)) => break Err(error),
            }
        };
        drop(answer);
        self.put_back(wire, Ok(end))
    }
}
