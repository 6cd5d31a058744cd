//! A real MariaDB server for tests, in a temporary folder, which a socket in it leads to.
//!
//! It runs below a shell that waits for the end of its own input: when the test process ends, in
//! whatever way, that input ends, and the shell kills the server and removes the folder.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// How long a server may take to answer.
const START_MAX: Duration = Duration::from_secs(60);

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
pub struct Server {
    folder: PathBuf,
    extra: Vec<String>,
    guard: Mutex<Child>,
}

impl Server {
    /// The one that all tests share.
    pub fn shared() -> Arc<Server> {
        static SHARED: OnceLock<Arc<Server>> = OnceLock::new();
        Arc::clone(SHARED.get_or_init(|| Server::start(Vec::new())))
    }

    /// Makes and starts a server of its own.
    pub fn start(extra: Vec<String>) -> Arc<Server> {
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

    /// Where the server listens.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("sql.sock")
    }

    /// Runs statements as the administrator, once the server answers.
    pub fn sql(&self, statements: &str) {
        let end = Instant::now() + START_MAX;
        loop {
            let output = Command::new("mariadb")
                .args(["--no-defaults", "--user=root", "--execute", statements])
                .arg(format!("--socket={}", self.socket().display()))
                .stdin(Stdio::null())
                .output()
                .expect("mariadb runs: scripts/test.sh installs it");
            if output.status.success() {
                return;
            }
            let error = String::from_utf8_lossy(&output.stderr);
            let is_early = error.contains("Can't connect") && Instant::now() < end;
            assert!(is_early, "{statements}: {error}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Kills the server as a power cut would and starts it again on the same files.
    pub fn kill_and_restart(&self) {
        self.kill();
        let mut guard = self.guard.lock().unwrap();
        *guard = run(&self.folder, &self.extra);
    }

    fn kill(&self) {
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
