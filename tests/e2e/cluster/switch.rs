//! The primary moves to a second MariaDB server and back, as operators do it: first by hand, with a
//! copy, while the old one stays up read-only; then after the death of the primary, to a replica
//! that has everything acknowledged. Events arrive all the time, also with new names.
//!
//! Commits must resume within seconds, nothing may be counted twice or lost, and no counter may
//! decrease. The load and the books are the cluster's; queries about the servers bypass the proxy.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clock::Wall;
use serde_json::json;

use super::LOAD;
use crate::gatemeter::{post, wait_for};
use crate::stack::{Books, Stack};

/// How soon commits go on after a switch.
const SWITCH_MAX: Duration = Duration::from_secs(10);
/// Commits after which they go on: one a second, of all partitions.
const COMMITS: i64 = 4;
/// The number of the last commit: none is skipped, and none is given twice.
const VERSION: &str = "SELECT v FROM gatemeter.ledger_version";
/// How a place in the log of the second server begins: its domain, and the server's number.
const PLACE: &str = "0-2-";
/// Connections of the roles.
const ROLES: &str = "SELECT count(*) FROM information_schema.processlist WHERE user = 'gatemeter'";

pub fn primary_moves_by_hand_and_back(stack: &Stack, books: &mut Books) {
    let first = SocketAddr::from(([127, 0, 0, 1], stack.port("mysql")));
    let second = Server::start();
    let mut left_at = 0;
    expect_new_name(books);
    stack.under_load("the primary moves while the old one lives on", books, &LOAD, || {
        // Returns once the commits that were let in before it are done.
        stack.sql("SET GLOBAL read_only = 1");
        let held = stack.sql(ROLES);
        assert_ne!(held, "0", "connections to the old primary live on");
        second.take(stack);
        left_at = version(&stack.sql(VERSION));
        assert_eq!(version(&second.sql(VERSION)), left_at, "the new primary has everything");
        goes_on_at(stack, second.address, "moved", || version(&second.sql(VERSION)));
    });
    wait_for("nobody is left at the old primary", || stack.sql(ROLES) == "0");
    assert_eq!(version(&stack.sql(VERSION)), left_at, "the old primary took no more");

    follow(stack, &second);
    expect_new_name(books);
    stack.under_load("the primary is killed and a replica takes over", books, &LOAD, || {
        assert_eq!(second.state("Rpl_semi_sync_master_status"), "ON", "it waits for its replica");
        let seen = version(&second.sql(VERSION));
        // As power that fails: nothing is said to anybody.
        drop(second);
        promote(stack);
        assert!(version(&stack.sql(VERSION)) >= seen, "the replica has what was acknowledged");
        goes_on_at(stack, first, "killed", || version(&stack.sql(VERSION)));
    });
}

fn version(row: &str) -> i64 {
    row.parse().unwrap_or_else(|_| panic!("a version, not {row:?}"))
}

/// Moves the address; commits resume there in time, a new name is registered there, and the page is
/// served again.
fn goes_on_at(stack: &Stack, server: SocketAddr, name: &str, version: impl Fn() -> i64) {
    let before = version();
    let switched = Instant::now();
    stack.sql.lead_to(server);
    wait_for("commits go on", || version() >= before + COMMITS);
    let waited = switched.elapsed();
    wait_for("a name is registered", || sends_new_name(stack, name));
    wait_for("there is a page", || stack.shown("gatemeter_events_total{").is_some());
    println!(
        "{COMMITS} commits {} ms, a new name and a page {} ms after the switch",
        waited.as_millis(),
        switched.elapsed().as_millis()
    );
    assert!(switched.elapsed() < SWITCH_MAX, "{:?}", switched.elapsed());
}

/// What the event of a new name adds to the books.
fn expect_new_name(books: &mut Books) {
    books.counted += 1;
    books.requests += 1;
    books.input += 3;
    books.output += 2;
}

/// Whether an event of a namespace of its own is taken, which the ledger has to know for that.
fn sends_new_name(stack: &Stack, name: &str) -> bool {
    let event = json!({
        "id": format!("switch-{name}"), "time": Wall::now().as_us(),
        "namespace": format!("switch-{name}"), "upstream": "openai", "model": "gpt-4o",
        "method": "POST", "endpoint": "/v1/chat/completions", "status": 200, "duration_ms": 7,
        "usage": {"input_tokens": 3, "output_tokens": 2},
    });
    post(stack.port("ingest"), "/v1/events", &[], event.to_string().as_bytes())
        .is_some_and(|answer| answer.status == 200)
}

/// The first server becomes a replica of the second one, which waits for it with each commit.
fn follow(stack: &Stack, second: &Server) {
    second.sql(
        "SET GLOBAL rpl_semi_sync_master_wait_point = 'AFTER_SYNC'; \
         SET GLOBAL rpl_semi_sync_master_timeout = 60000; \
         SET GLOBAL rpl_semi_sync_master_enabled = 1",
    );
    stack.sql(&format!(
        "SET GLOBAL rpl_semi_sync_slave_enabled = 1; \
         CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {}, MASTER_USER = 'copy', \
         MASTER_PASSWORD = 'copy', MASTER_USE_GTID = slave_pos; START SLAVE",
        second.address.port()
    ));
    wait_for("the replica keeps up", || {
        second.state("Rpl_semi_sync_master_clients") == "1"
            && stack.sql("SELECT @@GLOBAL.gtid_slave_pos")
                == second.sql("SELECT @@GLOBAL.gtid_binlog_pos")
    });
}

/// The replica carries out whatever it has received, and is a primary then.
fn promote(stack: &Stack) {
    stack.sql("STOP SLAVE IO_THREAD");
    wait_for("the replica has carried out what it received", || {
        // The only place in the row: that up to which it has received.
        let state = stack.sql("SHOW SLAVE STATUS");
        let received = state.split('\t').find(|field| field.starts_with(PLACE));
        received.expect("a place") == stack.sql("SELECT @@GLOBAL.gtid_slave_pos")
    });
    stack.sql(
        "STOP SLAVE; RESET SLAVE ALL; SET GLOBAL rpl_semi_sync_slave_enabled = 0; \
         SET GLOBAL read_only = 0",
    );
}

/// A server beside that of the stack; killed when it is dropped.
struct Server {
    folder: tempfile::TempDir,
    address: SocketAddr,
    child: Child,
}

impl Server {
    fn start() -> Server {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let made = Command::new("mariadb-install-db")
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .arg(format!("--datadir={}", data.display()))
            .args(user())
            .stdin(Stdio::null())
            .output()
            .expect("mariadb-install-db runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|it| it.local_addr());
        let address = free.expect("a free port");
        let log = std::fs::File::create(folder.path().join("log")).expect("a log file");
        let child = Command::new("mariadbd")
            .args(["--no-defaults", "--bind-address=127.0.0.1", "--server-id=2", "--log-bin=log"])
            .args(["--binlog-format=ROW", "--innodb-buffer-pool-size=64M"])
            .arg("--character-set-server=utf8mb4")
            .arg(format!("--port={}", address.port()))
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--socket={}", socket(folder.path()).display()))
            .args(user())
            // Servers are there, which is no part of everybody's path.
            .env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("mariadbd runs");
        let server = Server { folder, address, child };
        wait_for("the second server answers", || {
            server.client("SELECT 1").output().is_ok_and(|it| it.status.success())
        });
        server
    }

    fn client(&self, statements: &str) -> Command {
        let mut command = Command::new("mariadb");
        command
            .args(["--no-defaults", "--batch", "--skip-column-names", "--user=root"])
            .arg(format!("--socket={}", socket(self.folder.path()).display()))
            .args(["--execute", statements])
            .stdin(Stdio::null());
        command
    }

    /// Runs statements as the owner of the server; gives the rows as text.
    fn sql(&self, statements: &str) -> String {
        let output = self.client(statements).output().expect("mariadb runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{statements}: {said}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// A variable that shows how the server is.
    fn state(&self, name: &str) -> String {
        let row = self.sql(&format!("SHOW GLOBAL STATUS LIKE '{name}'"));
        row.split_whitespace().last().unwrap_or_default().to_owned()
    }

    /// Takes everything that the first server has, which takes no writes meanwhile. None of it goes
    /// into the log for replicas.
    fn take(&self, stack: &Stack) {
        let password = std::fs::read_to_string(stack.dir().join("mysql.password"));
        let mut statements = format!(
            "SET SESSION sql_log_bin = 0; SET SESSION foreign_key_checks = 0; \
             CREATE USER gatemeter@'127.0.0.1' IDENTIFIED BY '{}'; \
             GRANT ALL ON gatemeter.* TO gatemeter@'127.0.0.1'; \
             CREATE USER copy@'127.0.0.1' IDENTIFIED BY 'copy'; \
             GRANT REPLICATION SLAVE ON *.* TO copy@'127.0.0.1'; \
             CREATE DATABASE gatemeter CHARACTER SET utf8mb4 COLLATE utf8mb4_bin; USE gatemeter",
            password.expect("a password").trim()
        );
        let mut unloads = Vec::new();
        for table in stack.sql("SHOW TABLES").split_whitespace() {
            let file = format!("'{}'", self.folder.path().join(table).display());
            unloads.push(format!("SELECT * FROM {table} INTO OUTFILE {file} CHARACTER SET binary"));
            // The client writes the ends of lines of a statement as two letters.
            let made = stack.sql(&format!("SHOW CREATE TABLE {table}")).replace("\\n", " ");
            let (_, made) = made.split_once('\t').expect("a name and its statement");
            statements.push_str(&format!(
                "; {made}; LOAD DATA INFILE {file} INTO TABLE {table} CHARACTER SET binary"
            ));
        }
        stack.sql(&unloads.join("; "));
        self.sql(&statements);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("sql.sock")
}

/// A server that is started by root wants to hear that it may run as root.
fn user() -> Option<&'static str> {
    let id = Command::new("id").arg("-u").output().expect("id runs");
    (id.stdout == b"0\n").then_some("--user=root")
}
