//! Death of the process: a child that appends is killed at random moments, and everything that
//! was acknowledged to it must be there. The child is this test binary, called again with one
//! test and a folder in the environment.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::*;
use crate::DirectoryLock;
use crate::checkpoint::CheckpointLimits;

const DIR: &str = "GATEMETER_QUEUE_TEST_DIR";
const ROUND: &str = "GATEMETER_QUEUE_TEST_ROUND";
const ROUNDS: u64 = 6;
const APPENDERS: u64 = 4;

fn child(test: &str, dir: &Path, round: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The record that appender `who` of a round makes as its `n`-th; up to 6 KB, so that rows with
/// and without overflow pages are met.
fn made(round: u64, who: u64, n: u64) -> Bytes {
    let seed = (round << 40) | (who << 32) | n;
    payload(seed, (seed.wrapping_mul(7_919) % 6_000) as usize)
}

/// Does nothing unless it is called as a child; then it appends until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_appends_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let dir = Path::new(&dir);
    let round: u64 = std::env::var(ROUND).unwrap().parse().unwrap();
    let _lock = DirectoryLock::acquire(dir).unwrap();
    let limits = CheckpointLimits { every_bytes: 64 << 10, inline_bytes_max: 1 << 20 };
    let internals = Internals { checkpoint: limits, ..Internals::default() };
    let queue = Arc::new(open_with(dir, options(), internals).await.unwrap());
    let mut appenders = tokio::task::JoinSet::new();
    for who in 0..APPENDERS {
        let queue = Arc::clone(&queue);
        appenders.spawn(async move {
            for n in 0.. {
                let position = queue.append(vec![record(made(round, who, n))]).await.unwrap()[0];
                println!("acked {} {who} {n}", position.offset);
            }
        });
    }
    appenders.join_all().await;
}

/// Reads acknowledgements, kills the child after `n_acks`, and returns all that it gave.
fn acks_until_killed(mut child: Child, n_acks: usize) -> HashMap<u64, (u64, u64)> {
    let mut acks = HashMap::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while output.read_line(&mut line).unwrap() > 0 {
        // The kill may cut the last line: then that record was not acknowledged.
        if let Some(ack) = line.strip_prefix("acked ").and_then(|l| l.strip_suffix('\n')) {
            let numbers: Vec<u64> = ack.split(' ').map(|n| n.parse().unwrap()).collect();
            assert_eq!(acks.insert(numbers[0], (numbers[1], numbers[2])), None);
        }
        if acks.len() == n_acks {
            child.kill().unwrap();
        }
        line.clear();
    }
    child.wait().unwrap();
    assert!(acks.len() >= n_acks, "the child ended by itself after {} appends", acks.len());
    acks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_writer_keeps_every_acknowledged_record() {
    let temp = tempfile::tempdir().unwrap();
    let mut acked = HashMap::new();
    for round in 0..ROUNDS {
        let child = child("tests::crash::child_appends_until_it_is_killed", temp.path(), round);
        let n_acks = 20 + (round as usize * 7_919) % 400;
        for (offset, (who, n)) in acks_until_killed(child, n_acks) {
            assert_eq!(acked.insert(offset, made(round, who, n)), None, "offset given twice");
        }
        // The kernel has released the lock with the process.
        let _lock = DirectoryLock::acquire(temp.path()).unwrap();
        let reader = Queue::open_embedded_read_only(temp.path()).await.unwrap();
        let seen = reader.watermarks(0).await.unwrap();
        reader.close().await;
        let queue = open(temp.path()).await;
        assert_eq!(queue.watermarks(0).await.unwrap(), seen);
        let records = read_all(&queue).await.unwrap();
        assert!(records.iter().all(|r| r.intact));
        for (offset, bytes) in &acked {
            assert_eq!(&records[*offset as usize].bytes, bytes, "offset {offset}");
        }
        let mut conn = stranger(temp.path()).await;
        let check: String =
            sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut conn).await.unwrap();
        assert_eq!(check, "ok");
        queue.close().await;
    }
}

/// Does nothing unless it is called as a child; then it reports whether it gets the lock.
#[test]
fn child_tries_the_lock() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    match DirectoryLock::acquire(Path::new(&dir)) {
        Ok(_) => println!("lock taken"),
        Err(error) => println!("lock refused: {error}"),
    }
}

#[test]
fn second_process_is_refused_the_directory() {
    let temp = tempfile::tempdir().unwrap();
    let tries = || {
        let child = child("tests::crash::child_tries_the_lock", temp.path(), 0);
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    };
    let lock = DirectoryLock::acquire(temp.path()).unwrap();
    let answer = tries();
    let holder = format!("process {}", std::process::id());
    assert!(answer.contains("lock refused") && answer.contains(&holder), "{answer}");
    drop(lock);
    assert!(tries().contains("lock taken"));
}

/// Power loss: what lies past the last synced byte may be cut or garbled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_loss_keeps_what_was_synced_and_a_prefix_of_the_rest() {
    for seed in 0..40u64 {
        let temp = tempfile::tempdir().unwrap();
        let queue = open(temp.path()).await;
        let call = |n: u64| {
            let records = (0..1 + n % 3).map(|i| record(made(seed, n, i)));
            records.collect::<Vec<Append>>()
        };
        let n_synced = 1 + seed % 7;
        let mut expected: Vec<Bytes> = Vec::new();
        let mut ends_of_calls = vec![0];
        let mut synced = (0, 0);
        for n in 0..n_synced + 5 {
            expected.extend(call(n).into_iter().map(|r| r.bytes));
            queue.append(call(n)).await.unwrap();
            ends_of_calls.push(expected.len());
            if n + 1 == n_synced {
                synced = (expected.len(), queue.wal_bytes() as usize);
            }
        }
        let copy = tempfile::tempdir().unwrap();
        std::fs::copy(temp.path().join(schema::FILE), copy.path().join(schema::FILE)).unwrap();
        let mut wal = std::fs::read(temp.path().join(schema::WAL_FILE)).unwrap();
        damage_tail(&mut wal, synced.1, seed);
        std::fs::write(copy.path().join(schema::WAL_FILE), wal).unwrap();
        queue.close().await;

        let after = open(copy.path()).await;
        let found = read_all(&after).await.unwrap();
        assert!(found.len() >= synced.0, "seed {seed}: {} of {}", found.len(), synced.0);
        assert!(ends_of_calls.contains(&found.len()), "seed {seed}: part of a call");
        assert!(found.iter().all(|r| r.intact));
        assert!(found.iter().zip(&expected).all(|(r, bytes)| r.bytes == bytes), "seed {seed}");
        let next = after.append(vec![record("more")]).await.unwrap()[0].offset;
        assert_eq!(next, found.len() as u64);
        after.close().await;
    }
}

/// Cuts a file at a random byte past `synced`, or garbles what follows that byte.
fn damage_tail(file: &mut Vec<u8>, synced: usize, seed: u64) {
    let noise = payload(seed + 1, 4_096);
    let at = synced + usize::from(noise[0]) * (file.len() - synced) / 256;
    if noise[1].is_multiple_of(2) {
        file.truncate(at);
    }
    for (byte, noise) in file.iter_mut().skip(at).zip(noise.iter().cycle()) {
        *byte ^= noise;
    }
    if noise[2].is_multiple_of(3) {
        file.extend_from_slice(&noise);
    }
}
