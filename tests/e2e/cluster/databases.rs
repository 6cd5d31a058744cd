//! MariaDB that loses answers, holds locks, refuses writes, hangs, or goes back in time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clock::Wall;
use serde_json::{Value, json};

use super::LOAD;
use crate::gatemeter::{get, post, wait_for};
use crate::stack::{Books, Stack};

/// How long the server hangs, as the test plan has it.
const HANG: Duration = Duration::from_secs(60);
/// Longest time of a shutdown.
const END_MAX: Duration = Duration::from_secs(10);
/// MariaDB's error for a lock that another session holds for too long.
const LOCKED: &str = "Lock wait timeout exceeded";
/// What the aggregator may hold while nothing can be committed, bytes.
const MEMORY_MAX: u64 = 400 << 20;

pub fn database_refuses_hangs_and_goes_back(stack: &Stack, books: &mut Books) {
    let raw = stack.raw();
    let load = [&LOAD[..], &["--also", &raw]].concat();
    stack.under_load("answers to COMMIT are lost", books, &load, || {
        stack.sql.set(|faults| faults.n_commit_answers_dropped = 5);
        let seen =
            stack.sql.wait("five answers are lost", |seen| seen.n_commit_answers_dropped >= 5);
        stack.runtime.block_on(seen);
    });
    stack.under_load("rows are locked by others", books, &load, || {
        let held = "START TRANSACTION; SELECT count(*) FROM (SELECT next FROM partition_state \
                    FOR UPDATE) held; SELECT SLEEP(5); ROLLBACK";
        stack.until_said("aggregator", LOCKED, || stack.sql_beside(held).wait());
    });
    rows_are_locked_while_an_outcome_is_unknown(stack, books, &load);
    stack.under_load("deadlocks", books, &load, || {
        let before = deadlocks(stack);
        let ring = "START TRANSACTION; SELECT v FROM ledger_version FOR UPDATE; SELECT SLEEP(1.2); \
                    SELECT next FROM partition_state FOR UPDATE; ROLLBACK";
        wait_for("there is a deadlock", || {
            stack.sql_beside(ring).wait();
            deadlocks(stack) > before
        });
    });
    stack.under_load("the server is read-only", books, &load, || {
        stack.until_said("aggregator", "--read-only", || {
            stack.sql("SET GLOBAL read_only = 1");
        });
        for (role, status) in [("aggregator", 503), ("ingest", 503), ("api", 200)] {
            wait_for("readiness follows", || {
                let answer = get(stack.port(role), "/readyz", &[]).expect("an answer");
                let is_told = status == 200 || answer.body.contains("is read-only");
                answer.status == status && is_told
            });
        }
        stack.sql("SET GLOBAL read_only = 0");
        for role in ["aggregator", "ingest"] {
            wait_for("it is ready again", || {
                get(stack.port(role), "/readyz", &[]).is_some_and(|answer| answer.status == 200)
            });
        }
    });
    disk_is_full(stack, books);
    newest_row_is_claimed(stack, books);
    ledger_goes_back(stack, books);
    server_hangs(stack, books);
}

/// The reply to a COMMIT is lost, and the query for its outcome finds the row locked for longer
/// than its timeout. The process still ends in time, and the next one counts on.
fn rows_are_locked_while_an_outcome_is_unknown(stack: &Stack, books: &mut Books, load: &[&str]) {
    const LOOKING: &str = "the ledger could not look a commit up";
    let held = "START TRANSACTION; SELECT count(*) FROM (SELECT next FROM partition_state \
                FOR UPDATE) held; SELECT SLEEP(12); ROLLBACK";
    stack.under_load("rows are locked while an outcome is unknown", books, load, || {
        // Commits take long, so that the lock stands behind some of them.
        stack.sql.set(|faults| {
            faults.to_client.delay = Duration::from_millis(100);
            faults.n_commit_answers_dropped = u64::MAX;
        });
        let before = stack.said("aggregator").matches(LOOKING).count();
        let mut lock = stack.sql_beside(held);
        wait_for("a commit meets the lock", || {
            // No commit was under way while it was held.
            if lock.has_ended() {
                lock = stack.sql_beside(held);
            }
            stack.said("aggregator").matches(LOOKING).count() > before
        });
        stack.sql.heal();
        let asked = Instant::now();
        stack.signal("aggregator", "TERM");
        stack.wait_gone("aggregator");
        assert!(asked.elapsed() < END_MAX, "{:?}", asked.elapsed());
        lock.wait();
        stack.start();
    });
}

/// Nothing can be written, and MariaDB may give up over it; once there is room all goes on.
fn disk_is_full(stack: &Stack, books: &mut Books) {
    const REFUSED: &str = "ledger did not answer, retrying";
    let Some(disk) = &stack.disk else {
        println!("NOT RUN: a full disk of the server, for only root may mount a small one");
        return;
    };
    // What is kept of late events needs room soon.
    let load = ["synthetic", "--count", "1000000", "--rate", "1200", "--batch", "50", "--late"];
    let load = [&load[..], &["50%", "--namespaces", "8"]].concat();
    stack.under_load("the disk of the server is full", books, &load, || {
        let refusals = || stack.said("aggregator").matches(REFUSED).count();
        let before = refusals();
        wait_for("a commit fails for want of room", || {
            disk.fill();
            refusals() > before
        });
        let page = get(stack.port("ingest"), "/readyz", &[]).expect("ingest answers");
        assert_eq!(page.status, 200, "events are taken on: {}", page.body);
        disk.free();
        // A server that gave up is started again.
        stack.start();
    });
    let said = stack.said("mysql");
    assert!(said.contains("error 28") || said.contains("is full"), "the disk was full: {said}");
}

fn deadlocks(stack: &Stack) -> u64 {
    let shown = stack.sql("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'");
    shown.split_whitespace().last().and_then(|n| n.parse().ok()).expect("a number")
}

/// A claim that waits for the row of its partition sees what was committed meanwhile, and not what
/// stood there when it began.
fn newest_row_is_claimed(stack: &Stack, books: &Books) {
    let epoch = || -> i64 {
        let row = "SELECT epoch FROM partition_state WHERE generation = 1 AND `partition` = 0";
        stack.sql(row).parse().expect("a number")
    };
    let before = epoch();
    // Partitions of an aggregator that leaves its group are free at once.
    stack.signal("aggregator", "TERM");
    stack.wait_gone("aggregator");
    let change = "START TRANSACTION; UPDATE partition_state SET epoch = epoch + 7 \
                  WHERE generation = 1 AND `partition` = 0; SELECT SLEEP(12); COMMIT";
    let change = stack.sql_beside(change);
    wait_for("the row is changed", || {
        stack.sql_is_refused(
            "SELECT epoch FROM partition_state WHERE generation = 1 AND `partition` = 0 \
             FOR UPDATE NOWAIT",
        )
    });
    stack.until_said("aggregator", LOCKED, || stack.start());
    change.wait();
    wait_for("the partition is claimed", || epoch() > before + 7);
    stack.settle("a claim behind another transaction", books);
}

/// The ledger as it was some seconds ago: no page before it has caught up, then the same numbers.
fn ledger_goes_back(stack: &Stack, books: &mut Books) {
    let tables = stack.sql("SHOW TABLES");
    let each = |statement: &dyn Fn(&str) -> String| {
        let statements: Vec<String> = tables.split_whitespace().map(statement).collect();
        format!("SET FOREIGN_KEY_CHECKS = 0; {}", statements.join("; "))
    };
    stack.sql("CREATE DATABASE saved");
    stack.sql(&each(&|table| format!("CREATE TABLE saved.{table} AS SELECT * FROM {table}")));
    let more = ["synthetic", "--count", "6000", "--namespaces", "8"];
    books.add(&stack.sent(stack.load(&more)));
    stack.settle("what the copy lacks", books);
    stack.kill("aggregator");
    stack.sql(&each(&|table| {
        format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM saved.{table}")
    }));
    stack.sql("DROP DATABASE saved");
    // The referee sees that the page comes back with no less than it had.
    let (port, is_started) = (stack.port("aggregator"), AtomicBool::new(false));
    let n_refused = std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let (began, mut n_refused) = (Instant::now(), 0);
            while !is_started.load(Ordering::SeqCst) && began.elapsed() < HANG {
                let page = get(port, "/metrics?section=business", &[]);
                n_refused += u32::from(page.is_some_and(|page| page.status == 503));
                std::thread::park_timeout(Duration::from_millis(10));
            }
            n_refused
        });
        stack.start();
        is_started.store(true, Ordering::SeqCst);
        asked.join().expect("it asks")
    });
    assert!(n_refused > 0, "no page before the log is counted again");
    let shown = stack.counted();
    assert_eq!(shown, books.counted, "the first page has everything");
    stack.settle("a ledger that went back", books);
}

/// Nothing is counted for a minute; ingest takes events of names that it knows, memory stays
/// bounded, answers are stale.
fn server_hangs(stack: &Stack, books: &mut Books) {
    let mut n_posted = 0;
    let mut post_some = || {
        let events: Vec<Value> = (n_posted..n_posted + 20).map(event).collect();
        let body = Value::from(events).to_string();
        let answer = post(stack.port("ingest"), "/v1/events", &[], body.as_bytes());
        let answer = answer.expect("ingest answers");
        assert_eq!(answer.status, 200, "{}", answer.body);
        n_posted += 20;
    };
    post_some();
    get(stack.port("api"), "/api/metrics/system", &[]).expect("an answer to give again");
    stack.signal("mysql", "STOP");
    let began = Instant::now();
    while began.elapsed() < HANG {
        post_some();
        assert!(stack.memory("aggregator") < MEMORY_MAX, "the aggregator's memory is bounded");
        assert!(stack.memory("ingest") < MEMORY_MAX, "the memory of ingest is bounded");
        std::thread::park_timeout(Duration::from_millis(100));
    }
    let page = get(stack.port("aggregator"), "/metrics?section=business", &[]).expect("an answer");
    assert_eq!(page.status, 503, "nobody stands behind a page");
    let answer = get(stack.port("api"), "/api/metrics/system", &[]).expect("an answer");
    assert!(answer.body.contains("\"stale\":true"), "{}", answer.body);
    stack.signal("mysql", "CONT");
    let n_posted: i64 = n_posted;
    books.counted += n_posted;
    books.requests += n_posted;
    books.input += 3 * n_posted;
    books.output += 2 * n_posted;
    stack.settle("a server that hung", books);
    println!("the server hangs: {n_posted} events, {:.1} s", began.elapsed().as_secs_f64());
}

/// An event of names that are known after the first one.
fn event(n: i64) -> Value {
    json!({
        "id": format!("hang-{n}"), "time": Wall::now().as_us(), "namespace": "patient",
        "upstream": "openai", "model": "gpt-4o", "method": "POST",
        "endpoint": "/v1/chat/completions", "status": 200, "duration_ms": 7,
        "usage": {"input_tokens": 3, "output_tokens": 2},
    })
}
