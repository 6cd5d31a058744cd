//! Tells `perf` when to look, for scripts/profile.sh: only while the work of one path runs, so that
//! what comes before and between, baselines included, is not in the profile.
//!
//! The script starts `perf record` with its events off and commands over two FIFOs (perf-record(1),
//! `--control`). A path that is recorded switches them on and off again, and notes which processes
//! did the work and on how much. Without the script's variables nothing is recorded.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::PathBuf;

/// The path that the script wants recorded.
const PATH: &str = "GATEMETER_PROFILE";
/// The folder of its FIFOs, `control` and `ack`, and of `noted`.
const FOLDER: &str = "GATEMETER_PROFILE_FOLDER";

/// Whether anything is recorded; then figures are not for comparing.
pub fn is_on() -> bool {
    std::env::var_os(PATH).is_some()
}

/// A recording that runs.
pub struct Recording(PathBuf);

/// Begins to record, if this is the wanted path.
pub fn begin(path: &str) -> Option<Recording> {
    let is_wanted = std::env::var(PATH).is_ok_and(|wanted| wanted == path);
    let recording = is_wanted.then(|| Recording(folder()));
    recording.inspect(|recording| recording.command("enable"))
}

impl Recording {
    /// Ends it: these processes did the work on so many units.
    pub fn end(self, pids: &[u32], n_units: u64) {
        self.command("disable");
        let noted = OpenOptions::new().create(true).append(true).open(self.0.join("noted"));
        let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
        writeln!(noted.expect("a file"), "{n_units} {}", pids.join(",")).expect("noted");
    }

    /// Gives perf a command and waits until it has obeyed.
    fn command(&self, command: &str) {
        let control = OpenOptions::new().write(true).open(self.0.join("control"));
        writeln!(control.expect("perf listens"), "{command}").expect("perf listens");
        let mut answer = [0; 16];
        let ack = File::open(self.0.join("ack")).and_then(|mut ack| ack.read(&mut answer));
        ack.expect("an answer");
        assert!(answer.starts_with(b"ack"), "perf did not take the command {command}");
    }
}

fn folder() -> PathBuf {
    std::env::var_os(FOLDER).map(PathBuf::from).expect("scripts/profile.sh sets both variables")
}
