//! The ledger on the server is backed up under load, its database is lost, and an empty one takes
//! its place.

use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::LOAD;
use crate::gatemeter::{DEADLINE, get};
use crate::stack::{Books, Stack};

/// Events that are counted between backup and loss.
const LACKS_MIN: i64 = 4_000;
/// Roles that have the ledger open.
const ROLES: [&str; 3] = ["api", "ingest", "aggregator"];

pub fn ledger_is_restored_into_an_empty_database(stack: &Stack, books: &mut Books) {
    let file = stack.dir().with_file_name("ledger.backup");
    let file = file.to_str().expect("a path in UTF-8").to_owned();
    let raw = stack.raw();
    let load: Vec<&str> =
        LOAD.iter().map(|word| if *word == "1200" { "2000" } else { word }).collect();
    let load = [&load[..], &["--also", &raw]].concat();
    stack.under_load("the ledger is restored from a backup", books, &load, || {
        let made = json(stack.run(&["backup", &file, "--json", "--quiet"]));
        assert_eq!(made["partitions"].as_array().map(Vec::len), Some(6), "{made}");
        let counted = stack.counted();
        while stack.counted() < counted + LACKS_MIN {
            stack.wait_progress();
        }
        for role in ROLES {
            stack.signal(role, "TERM");
            stack.wait_gone(role);
        }
        let output = stack.run(&["restore", &file]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains("it holds a ledger"), "{stderr}");
        stack.sql(
            "DROP DATABASE gatemeter; \
             CREATE DATABASE gatemeter CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        );
        let restored = json(stack.run(&["restore", &file, "--json", "--quiet"]));
        assert_eq!(restored, made);
        assert!(n_refused_until_started(stack) > 0, "no page before the log is counted again");
    });
    std::fs::remove_file(file).expect("the backup is there");
}

/// Starts the roles; how often the page was refused before.
fn n_refused_until_started(stack: &Stack) -> u32 {
    let (port, is_started) = (stack.port("aggregator"), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let (began, mut n_refused) = (Instant::now(), 0);
            while !is_started.load(Ordering::SeqCst) && began.elapsed() < DEADLINE {
                let page = get(port, "/metrics?section=business", &[]);
                n_refused += u32::from(page.is_some_and(|page| page.status == 503));
                std::thread::park_timeout(Duration::from_millis(10));
            }
            n_refused
        });
        stack.start();
        is_started.store(true, Ordering::SeqCst);
        asked.join().expect("it asks")
    })
}

/// What a command that succeeded printed as JSON.
fn json(output: Output) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    serde_json::from_slice(&output.stdout).expect("JSON")
}
