//! What operators are told and may do where two aggregators share the partitions, whichever of them
//! they ask.

use std::process::Command;
use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::Value;

use super::logs::{self, Own};
use super::strangers::kafka;
use crate::gatemeter::{get, program, wait_for};
use crate::stack::Stack;

/// Behind those of `logs`.
const GENERATION: u32 = 8;
const DEADLINE: Duration = Duration::from_secs(60);

/// `gatemeter admin status`: exit code and what it says.
fn status(own: &Own<'_>) -> (Option<i32>, Value) {
    let output = own.command(&["admin", "status", "--json"]).output().expect("it runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let said = serde_json::from_slice(&output.stdout);
    (output.status.code(), said.unwrap_or_else(|error| panic!("{error}: {stderr}")))
}

/// Owners of all partitions, as operators are told.
fn owners(status: &Value) -> Vec<&str> {
    let rows = status["partitions"].as_array().expect("a list");
    rows.iter().map(|row| row["owner"].as_str().unwrap_or("none")).collect()
}

/// Roles of the processes that are alive, as operators are told.
fn alive(status: &Value) -> Vec<&str> {
    let rows = status["processes"].as_array().expect("a list");
    let alive = rows.iter().filter(|row| row["alive"] == true);
    alive.map(|row| row["role"].as_str().expect("a role")).collect()
}

/// After the runs of `logs`, which need the ports too.
pub fn operators_may_ask_any_aggregator(stack: &Stack) {
    logs::on_its_own(stack, GENERATION, operators);
}

fn operators(own: &Own<'_>) {
    let stack = own.stack;
    let [here, there] =
        ["aggregator", "aggregator-2"].map(|name| format!("127.0.0.1:{}", stack.port(name)));
    let ingest = own.role("ingest");
    let first = own.role("aggregator");
    own.send("2000");
    own.wait_counted(2_000);
    let second = own.role_at("aggregator", "aggregator-2");
    wait_for("both have partitions", || {
        let (code, said) = status(own);
        let owners = owners(&said);
        code == Some(0) && owners.contains(&here.as_str()) && owners.contains(&there.as_str())
    });
    let (_, said) = status(own);
    assert_eq!(alive(&said), ["aggregator", "aggregator", "ingest"], "{said}");
    assert_eq!(said["publisher"]["address"], here.as_str(), "{said}");
    assert!(said["partitions"][0]["lag_frames"].is_u64(), "{said}");
    a_standby_is_said_to_be_one(own, &here);

    let number = owners(&said).iter().position(|owner| *owner == there).expect("it has one");
    a_hole_is_accepted(own, &number.to_string(), &there);

    drop(second);
    wait_for("the first has all partitions", || {
        let (code, said) = status(own);
        code == Some(0) && owners(&said).iter().all(|owner| *owner == here)
    });
    // As if the second had been killed a minute ago.
    stack.sql(&format!(
        "UPDATE gatemeter{}.process SET seen_us = seen_us - 60000000 WHERE address = '{there}'",
        own.generation
    ));
    let (_, said) = status(own);
    assert_eq!(alive(&said), ["aggregator", "ingest"], "{said}");
    assert_eq!(said["processes"].as_array().map(Vec::len), Some(3), "{said}");

    ingest.stop();
    first.stop();
    let (code, said) = status(own);
    assert_eq!((code, &said["publisher"]), (Some(3), &Value::Null), "{said}");
    assert_eq!(said["processes"].as_array().map(Vec::len), Some(1), "{said}");
    assert!(
        said["partitions"]
            .as_array()
            .expect("rows")
            .iter()
            .all(|row| { row["state"] == "unowned" })
    );
}

fn a_standby_is_said_to_be_one(own: &Own<'_>, publisher: &str) {
    let standby = own.stack.url("aggregator-2");
    let output = own.command(&["recount", "--metrics", &standby]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let words = format!("is a standby, and the publisher is the one at {publisher}");
    assert!(output.status.code() == Some(2) && said.contains(&words), "{said}");
}

/// Another producer's transaction halts a partition of the second aggregator; the first is asked.
fn a_hole_is_accepted(own: &Own<'_>, number: &str, owner: &str) {
    let (stack, partition) = (own.stack, number.parse::<usize>().expect("a number"));
    let mut config = kafka(stack);
    config.set("transactional.id", "stranger-of-operators");
    let producer: BaseProducer = config.create().expect("a producer");
    producer.init_transactions(DEADLINE).expect("transactions");
    producer.begin_transaction().expect("begun");
    let topic = own.topic();
    let idx = i32::try_from(partition).expect("a number");
    let record = BaseRecord::<(), str>::to(&topic).partition(idx).payload("stranger");
    producer.send(record).expect("sent");
    producer.commit_transaction(DEADLINE).expect("committed");
    own.send("1000");
    let mut said = Value::Null;
    wait_for("status says that it is halted", || {
        let (code, found) = status(own);
        said = found;
        code == Some(3) && said["partitions"][partition]["state"] == "halted"
    });
    let row = &said["partitions"][partition];
    assert_eq!(row["owner"], owner, "{said}");
    let next = row["resumes_at"].as_u64().expect("an offset").to_string();
    let reason = row["halted"].as_str().expect("a reason");
    assert!(reason.contains("has no frame at offset"), "{reason}");
    let metric = format!("gatemeter_partition_halted{{partition=\"{number}\"}}");
    wait_for("the other one tells of it too", || stack.own("aggregator", &metric) == 1);
    let ready = get(stack.port("aggregator"), "/readyz", &[]).map(|answer| answer.status);
    assert_eq!(ready, Some(200), "it can do what is its own");

    let (code, said) = stack.operator(&["accept-loss", number]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("--next {next}")), "{said}");
    let (code, said) = stack.operator(&["accept-loss", number, "--next", &next]);
    assert!(code == Some(0) && said.contains(&format!("goes on at offset {next}")), "{said}");
    wait_for("nothing is halted", || status(own).0 == Some(0));
    let counted = Command::new(program())
        .args(["admin", "partitions", "--at", &stack.url("aggregator-2")])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&counted.stdout);
    assert!(counted.status.success() && said.matches("  counted\n").count() == 6, "{said}");
}
