//! The same trace through HTTP, through the raw topic, and through both with copies between them.

use crate::gatemeter::{repository, wait_for};
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
        let copies = stack.events("duplicate");
        let mut args = vec![trace.as_str(), "--count", EVENTS];
        args.extend(ways);
        let sent = stack.sent_by(&args);
        assert_eq!(sent["exact"], true, "{what}: {sent}");
        books.add(&sent);
        let expected = copies + sent["events"]["duplicate"].as_i64().expect("whole");
        wait_for("every copy is recognised", || stack.events("duplicate") >= expected);
        stack.settle(what, books);
        assert_eq!(stack.events("duplicate"), expected, "{what}");
    }
    assert_eq!(stack.own("ingest", "gatemeter_raw_lost_messages_total"), 0);
}
