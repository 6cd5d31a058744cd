//! A real MariaDB server for tests: made in a temporary folder, reached through a socket in it.
//!
//! It runs below a shell that waits for the end of its own input: when the test process ends, in
//! whatever way, that input ends, and the shell kills the server and removes the folder.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};

use super::fixture::until;
use crate::{MysqlOptions, MysqlTls};

/// Runs the server and stops it when the input ends.
const GUARD: &str = r#"folder=$1; shift
"$@" >> "$folder/log" 2>&1 &
server=$!
echo "$server" > "$folder/pid.new" && mv "$folder/pid.new" "$folder/pid"
cat > /dev/null
kill -9 "$server" 2> /dev/null
wait
[ -e "$folder/keep" ] || rm -rf "$folder""#;

/// A server.
pub(super) struct Server {
    folder: PathBuf,
    extra: Vec<String>,
    guard: Mutex<Child>,
}

impl Server {
    /// The one that all tests share.
    fn shared() -> Arc<Server> {
        static SHARED: OnceLock<Arc<Server>> = OnceLock::new();
        Arc::clone(SHARED.get_or_init(|| Server::start(Vec::new())))
    }

    /// Makes and starts a server of its own.
    pub(super) fn start(extra: Vec<String>) -> Arc<Server> {
        let folder = tempfile::Builder::new()
            .prefix("gatemeter-mariadb-")
            .tempdir()
            .expect("a folder")
            .keep();
        // A server that starts removes what it finds of temporary tables: each has its own folder.
        std::fs::create_dir(folder.join("tmp")).expect("a folder");
        let made = Command::new("mariadb-install-db")
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .arg(format!("--datadir={}", folder.join("data").display()))
            .arg(format!("--tmpdir={}", folder.join("tmp").display()))
            .arg(format!("--user={}", user()))
            .args(&extra)
            .output()
            .expect("mariadb-install-db runs: scripts/test.sh installs it");
        let said = [made.stdout, made.stderr].concat();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&said));
        let guard = Mutex::new(run(&folder, &extra));
        Arc::new(Server { folder, extra, guard })
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("sql.sock")
    }

    /// Kills the server as a power cut would and starts it again on the same files.
    pub(super) async fn kill_and_restart(&self) {
        self.kill().await;
        let mut guard = self.guard.lock().unwrap();
        *guard = run(&self.folder, &self.extra);
    }

    async fn kill(&self) {
        std::fs::write(self.folder.join("keep"), "").expect("a file");
        let pid = std::fs::read_to_string(self.folder.join("pid")).expect("a process");
        let done = Command::new("kill").args(["-9", pid.trim()]).status().expect("kill runs");
        assert!(done.success());
        self.end_guard();
        std::fs::remove_file(self.folder.join("pid")).expect("the old number goes");
        std::fs::remove_file(self.folder.join("keep")).expect("the file goes");
    }

    /// Ends the shell above the server, and so the server.
    fn end_guard(&self) {
        let mut guard = self.guard.lock().unwrap();
        drop(guard.stdin.take());
        guard.wait().expect("the shell ends");
    }

    /// A connection of the administrator, once the server answers.
    pub(super) async fn admin(&self) -> MySqlConnection {
        let options = MySqlConnectOptions::new()
            .socket(self.socket())
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

    /// Where the server listens.
    pub(super) fn socket_path(&self) -> PathBuf {
        self.socket()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end_guard();
    }
}

fn run(folder: &Path, extra: &[String]) -> Child {
    let at = |name: &str| folder.join(name).display().to_string();
    Command::new("sh")
        .args(["-c", GUARD, "sh"])
        .arg(folder)
        .args(["mariadbd", "--no-defaults", "--skip-networking", "--max-connections=300"])
        .args(["--innodb-buffer-pool-size=64M", "--innodb-log-file-size=32M"])
        .args(["--character-set-server=latin1", "--skip-name-resolve"])
        .arg(format!("--user={}", user()))
        .arg(format!("--datadir={}", at("data")))
        .arg(format!("--tmpdir={}", at("tmp")))
        .arg(format!("--socket={}", at("sql.sock")))
        .arg(format!("--pid-file={}", at("server.pid")))
        .args(extra)
        .env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell")
}

/// Who runs the tests: the server wants to hear it before it runs as root.
fn user() -> String {
    let output = Command::new("id").arg("-un").output().expect("id runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// An empty database of a test.
pub(super) struct Database {
    pub server: Arc<Server>,
    pub name: String,
}

impl Database {
    /// One on the server that all tests share.
    pub(super) async fn shared() -> Database {
        let server = tokio::task::spawn_blocking(Server::shared).await.expect("a server");
        Database::on(server).await
    }

    /// One on a server of its own.
    pub(super) async fn alone(extra: Vec<String>) -> Database {
        let server = tokio::task::spawn_blocking(|| Server::start(extra)).await;
        Database::on(server.expect("a server")).await
    }

    async fn on(server: Arc<Server>) -> Database {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        // The names of the ledger compare by bytes whatever the server or the database prefers.
        let sql = format!(
            "CREATE DATABASE {name} CHARACTER SET latin1; \
             CREATE USER {name} IDENTIFIED BY 'secret of {name}'; \
             GRANT ALL ON {name}.* TO {name}"
        );
        server.admin().await.execute(AssertSqlSafe(sql)).await.expect("a database");
        Database { server, name }
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
        let mut conn = self.server.admin().await;
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
