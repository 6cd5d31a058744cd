//! The same trace through HTTP, through the raw topic, and through both with copies between them.

use crate::gatemeter::{free_ports, get, repository, wait_for};
use crate::stack::{Books, Stack};

/// Events of each run.
const EVENTS: &str = "200000";

pub fn one_way_the_other_way_and_both(stack: &Stack, books: &mut Books) {
    let trace = format!("servegen:{}", repository("data/servegen/deepseek-r1").display());
    let (ingest, raw) = (stack.url("ingest"), stack.raw());
    for (what, ways) in [
        ("through HTTP", vec!["--to", &ingest]),
        ("through the raw topic", vec!["--to", &raw]),
        (
            "through HTTP, every other copy through the topic",
            vec!["--to", &ingest, "--also", &raw, "--duplicates", "5%"],
        ),
        (
            "through the topic event by event, every other copy through HTTP",
            vec!["--to", &raw, "--message", "event", "--also", &ingest, "--duplicates", "5%"],
        ),
    ] {
        let args = [&[trace.as_str(), "--count", EVENTS], &ways[..]].concat();
        every_copy_is_recognised(stack, books, what, &args);
    }
    assert_eq!(stack.own("ingest", "gatemeter_raw_lost_messages_total"), 0);

    // A second ingest, which reads its share of the raw topic as well.
    let [port, ..] = free_ports();
    let second = stack.role("ingest", port, "ingest-2", &[]);
    wait_for("the second ingest is ready", || {
        get(port, "/readyz", &[]).is_some_and(|answer| answer.status == 200)
    });
    let other = format!("http://127.0.0.1:{port}");
    for (what, to, also) in [
        ("through two ingests", &ingest, &other),
        ("through the raw topic of two ingests", &raw, &other),
    ] {
        let ways = ["--to", to, "--also", also, "--duplicates", "20%"];
        let args = [&[trace.as_str(), "--count", "40000"], &ways[..]].concat();
        every_copy_is_recognised(stack, books, what, &args);
    }
    second.stop();
}

/// Sends a trace, and waits until what it says that must be counted is, and each copy is known.
fn every_copy_is_recognised(stack: &Stack, books: &mut Books, what: &str, args: &[&str]) {
    let copies = stack.events("duplicate");
    let sent = stack.sent_by(args);
    assert_eq!(sent["exact"], true, "{what}: {sent}");
    books.add(&sent);
    let expected = copies + sent["events"]["duplicate"].as_i64().expect("whole");
    wait_for("every copy is recognised", || stack.events("duplicate") >= expected);
    stack.settle(what, books);
    assert_eq!(stack.events("duplicate"), expected, "{what}");
}
