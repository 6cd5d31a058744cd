//! Databases of tests on a real MariaDB server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, Row};

use super::fixture::{source, until};
use super::mariadb::Server;
use crate::{MysqlOptions, MysqlTls};

/// A connection of the administrator, once the server answers.
pub(super) async fn admin(server: &Server) -> MySqlConnection {
    let options = MySqlConnectOptions::new()
        .socket(server.socket())
        .username("root")
        .disable_statement_logging();
    let mut found = None;
    until("a server that answers", async || {
        found = options.connect().await.ok();
        found.is_some()
    })
    .await;
    found.expect("a connection")
}

/// An empty database of a test.
pub(super) struct Database {
    pub server: Arc<Server>,
    pub name: String,
}

impl Database {
    /// One on the server that all tests share.
    pub(super) async fn shared() -> Database {
        Database::on(Server::shared).await
    }

    /// One on a server of its own.
    pub(super) async fn alone(extra: Vec<String>) -> Database {
        Database::on(|| Server::start(extra)).await
    }

    async fn on(server: impl FnOnce() -> Arc<Server> + Send + 'static) -> Database {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        // The names of the ledger compare by bytes whatever the server or the database prefers.
        let sql = format!(
            "CREATE DATABASE {name} CHARACTER SET latin1; \
             CREATE USER {name} IDENTIFIED BY 'secret of {name}'; \
             GRANT ALL ON {name}.* TO {name}"
        );
        let made = tokio::task::spawn_blocking(move || {
            let server = server();
            server.sql(&sql);
            server
        });
        let server = made.await.expect("a server");
        Database { server, name }
    }

    /// A ledger that these steps made, with the rows of another one. Later formats may have more
    /// tables, and more columns in them.
    pub(super) async fn of_before(steps: &[&'static str], other: &Database) -> Database {
        let database = Database::shared().await;
        let mut admin = database.admin().await;
        for step in steps {
            sqlx::raw_sql(*step).execute(&mut admin).await.expect("a step of before");
        }
        let sql = "SELECT table_name, GROUP_CONCAT(CONCAT('`', column_name, '`')) \
                   FROM information_schema.columns WHERE table_schema = ? \
                   AND table_name <> 'meta' GROUP BY table_name";
        let tables = sqlx::query(sql).bind(&database.name).fetch_all(&mut admin).await;
        admin.execute("SET foreign_key_checks = 0").await.expect("done");
        for table in tables.expect("tables") {
            let columns: String = table.try_get_unchecked(1).expect("names");
            let table: String = table.try_get_unchecked(0).expect("a name");
            // That table once took two gateways for one; the rest of its rows is kept.
            let kept = if table == "connections" { "INSERT IGNORE" } else { "REPLACE" };
            let sql = format!(
                "{kept} INTO {table} ({columns}) SELECT {columns} FROM {}",
                source(&other.name, &table)
            );
            admin.execute(AssertSqlSafe(sql)).await.expect("the rows are copied");
        }
        database
    }

    /// Options with short limits.
    pub(super) fn options(&self) -> MysqlOptions {
        MysqlOptions {
            host: "localhost".to_owned(),
            port: 1,
            socket: Some(self.server.socket()),
            user: self.name.clone(),
            password: Some(format!("secret of {}", self.name)),
            database: self.name.clone(),
            tls: MysqlTls::Preferred,
            ca_file: None,
            writers_max: 8,
            readers_max: 4,
            connect_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(20),
            lock_timeout: Duration::from_secs(10),
        }
    }

    /// A connection of the administrator to this database.
    pub(super) async fn admin(&self) -> MySqlConnection {
        let mut conn = admin(&self.server).await;
        let sql = format!("USE {}", self.name);
        conn.execute(AssertSqlSafe(sql)).await.expect("the database is used");
        conn
    }

    /// Waits until a statement of the program waits for a lock, which is the only thing that takes
    /// one so long here; the number of its connection.
    pub(super) async fn blocked(&self) -> u64 {
        let mut admin = self.admin().await;
        let mut found = None;
        until("a statement that waits", async || {
            found = sqlx::query_scalar::<_, u64>(
                "SELECT CAST(id AS UNSIGNED) FROM information_schema.processlist \
                 WHERE user = ? AND command <> 'Sleep' AND time_ms > 200",
            )
            .bind(&self.name)
            .fetch_optional(&mut admin)
            .await
            .expect("an answer");
            found.is_some()
        })
        .await;
        found.expect("a connection")
    }

    /// Kills all connections of the program.
    pub(super) async fn kill_connections(&self) {
        let mut admin = self.admin().await;
        admin
            .execute(AssertSqlSafe(format!("KILL HARD CONNECTION USER {}", self.name)))
            .await
            .expect("the connections are killed");
    }
}
