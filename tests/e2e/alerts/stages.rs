//! The faults, one after the other on the same stack, each mended at the end of its stage.

use std::time::{Duration, Instant};

use bytes::Bytes;
use clock::Wall;
use queue::{Append, Queue, RawTopic};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use super::Stage;
use super::ready::{not_ready, ready};
use super::sight::Sight;
use crate::cluster::strangers::{frame, kafka, keys_of, log};
use crate::gatemeter::{DEADLINE, free_ports, get, post, wait_for};
use crate::stack::Stack;

/// Enough of a kind: rules speak of more than 30 requests in five minutes.
const MANY: usize = 60;
/// More frames than may wait, as the limit is scaled.
const FRAMES: usize = 300;
/// Ids that a small budget of the dedup sets has no room for.
const IDS: usize = 600;
/// More messages than may wait in a raw topic.
const BEHIND: usize = 12_000;
const RAW: &str = "gatemeter.raw";
const HOURS_US: i64 = 2 * 3_600 * 1_000_000;
/// A load of single events.
const SMALL: [&str; 9] =
    ["synthetic", "--count", "1000000", "--rate", "300", "--batch", "1", "--namespaces", "2"];

pub fn event(id: &str) -> Value {
    json!({
        "id": id, "time": Wall::now().as_us(), "namespace": "wechat", "upstream": "openai",
        "model": "gpt-4o", "method": "POST", "endpoint": "/v1/chat/completions", "status": 200,
        "duration_ms": 7,
        "usage": {"input_tokens": 3, "output_tokens": 2},
    })
}

/// Many events of which each is changed in the same way.
fn many(name: &str, change: impl Fn(&mut Value)) -> Vec<Value> {
    let one = |n| {
        let mut one = event(&format!("{name}-{n}"));
        change(&mut one);
        one
    };
    (0..MANY).map(one).collect()
}

fn send(stack: &Stack, events: &[Value]) -> u16 {
    let body = Value::from(events).to_string();
    let answer = post(stack.port("ingest"), "/v1/events", &[], body.as_bytes());
    answer.expect("ingest answers").status
}

/// Publishes to a raw topic.
pub fn publish_to(stack: &Stack, topic: &str, messages: Vec<Bytes>) {
    stack.runtime.block_on(async {
        let topic = RawTopic::find(&log(stack, 1), topic).await.expect("the topic");
        topic.publish(messages).await.expect("published");
        topic.close().await;
    });
}

/// Appends records to the log past ingest.
fn append(stack: &Stack, records: Vec<Append>) {
    stack.runtime.block_on(async {
        let queue = Queue::open_kafka_producer(&log(stack, 1)).await.expect("the log");
        queue.append(records).await.expect("appended");
        queue.close().await;
    });
}

fn admin(stack: &Stack) -> AdminClient<DefaultClientContext> {
    kafka(stack).create().expect("a client")
}

pub fn senders_make_mistakes(stack: &Stack, sight: &Sight) {
    let failing = many("failing", |one| {
        one["status"] = 500.into();
        one["namespace"] = "failing".into();
        one["upstream"] = "broken".into();
    });
    assert_eq!(send(stack, &failing), 200);
    let slow = many("slow", |one| {
        one["duration_ms"] = 300_000.into();
        one["namespace"] = "slow".into();
    });
    assert_eq!(send(stack, &slow), 200);
    assert_eq!(
        send(stack, &many("ahead", |one| one["time"] = (Wall::now().as_us() + HOURS_US).into())),
        200
    );
    assert_eq!(send(stack, &many("bad", |one| one["status"] = 99.into())), 422);
    let ids: Vec<Value> = (0..IDS).map(|n| event(&format!("id-{n}"))).collect();
    assert_eq!(send(stack, &ids), 200);
    let mut same = event("same");
    assert_eq!(send(stack, &[same.clone()]), 200);
    same["usage"]["input_tokens"] = 4_000.into();
    assert_eq!(send(stack, &[same]), 200);
    // One is enough, of each.
    append(stack, vec![Append { partition: 0, bytes: b"no frame".to_vec().into() }]);
    publish_to(stack, RAW, vec![Bytes::from_static(b"no event")]);
    sight.all_fired(Stage::Senders);
    sight.labels_are_ours("failing");
}

pub fn prometheus_has_no_room(cramped: &Sight) {
    cramped.fires("PrometheusDiskNearLimit");
    cramped.fires("PrometheusHistoryCut");
    cramped.damage();
    cramped.fires("PrometheusStorageFails");
}

pub fn database_is_killed(stack: &Stack, sight: &Sight) {
    stack.kill("mysql");
    // A frame each, of names that are known.
    for n in 0..FRAMES {
        assert_eq!(send(stack, &[event(&format!("meanwhile-{n}"))]), 200, "what is known is taken");
    }
    ready(stack.port("ingest"));
    // Names that cannot be registered now.
    let strange = |n: usize| {
        let mut one = event(&format!("strange-{n}"));
        one["namespace"] = "stranger-than-known".into();
        Bytes::from(one.to_string())
    };
    publish_to(stack, RAW, (0..BEHIND).map(strange).collect());
    let port = stack.port("api");
    // All at once: each is answered when the ledger was waited for.
    std::thread::scope(|scope| {
        for n in 0..MANY {
            scope.spawn(move || {
                let answer = get(port, &format!("/api/namespaces/none-{n}"), &[]);
                assert_eq!(answer.map(|answer| answer.status), Some(503), "it says that it cannot");
            });
        }
    });
    not_ready(stack.port("ingest"), "events are refused: the ledger does not answer");
    not_ready(stack.port("aggregator"), "the ledger does not answer");
    not_ready(port, "ledger: does not answer");
    let other = free_ports()[0];
    let began = stack.role("api", other, "api-2", &[]);
    wait_for("a start is there", || get(other, "/healthz", &[]).is_some());
    not_ready(other, "starting: the ledger at");
    sight.all_fired(Stage::Database);
    stack.start();
    for role in ["aggregator", "api", "ingest"] {
        ready(stack.port(role));
    }
    ready(other);
    began.stop();
    wait_for("the raw topic is read", || {
        stack.own("ingest", &format!("gatemeter_raw_lag_messages{{topic=\"{RAW}\"}}")) == 0
    });
}

pub fn settings_are_wrong(stack: &Stack, sight: &Sight) {
    let rule = "  - {record: wrong, expr: up * on (namespace) up}\n";
    sight.rule("own.yml", &format!("groups:\n- name: own\n  interval: 1s\n  rules:\n{rule}"));
    let twice = format!(
        "  - job_name: again\n    honor_labels: true\n    params: {{section: [business]}}\n    \
         relabel_configs: [{{target_label: job, replacement: gatemeter-aggregator}}]\n    \
         static_configs: [{{targets: ['127.0.0.1:{}']}}]\n",
        stack.port("aggregator")
    );
    sight.reload(stack, &twice);
    sight.all_fired(Stage::Settings);
    sight.rule("own.yml", "groups: []\n");
    sight.reload(stack, "");
}

pub fn brokers_are_killed(stack: &Stack, sight: &Sight) {
    stack.kill("kafka");
    stack.kill("redis");
    not_ready(stack.port("ingest"), "the log at");
    not_ready(stack.port("aggregator"), "the log at");
    // It answers from the ledger, without the log and with its own memory alone: it is ready, and
    // its system endpoint names what is missing.
    for name in ["log", "redis"] {
        wait_for("the api names it", || missing(stack).iter().any(|missing| missing == name));
    }
    ready(stack.port("api"));
    let load = stack.load(&SMALL);
    let [one, other, _] = free_ports();
    let (waiting, given_up) =
        (stack.role("ingest", one, "ingest-2", &[]), stack.role("ingest", other, "ingest-3", &[]));
    for port in [one, other] {
        wait_for("a start is there", || get(port, "/healthz", &[]).is_some());
        not_ready(port, "starting: the log at");
    }
    assert_eq!(get(one, "/healthz", &[]).map(|answer| answer.status), Some(200), "it is alive");
    // A process that is stopped while starting exits cleanly.
    given_up.stop();
    sight.all_fired(Stage::Brokers);
    drop(load);
    stack.start();
    for port in [stack.port("ingest"), stack.port("aggregator"), one] {
        ready(port);
    }
    wait_for("the api misses nothing", || missing(stack).is_empty());
    waiting.stop();
}

/// What the api does without.
fn missing(stack: &Stack) -> Vec<String> {
    let answer = get(stack.port("api"), "/api/metrics/system", &[]).expect("an answer");
    let answer: Value = serde_json::from_str(&answer.body).expect("JSON");
    let all = answer["data"]["dependencies"].as_array().expect("dependencies");
    let down = all.iter().filter(|each| each["status"] != "up");
    down.map(|each| each["name"].as_str().expect("a name").to_owned()).collect()
}

pub fn roles_are_killed(stack: &Stack, sight: &Sight) {
    stack.kill("ingest");
    stack.kill("aggregator");
    let one = |bytes: Vec<u8>| Append { partition: 1, bytes: bytes.into() };
    append(stack, keys_of(1, MANY).iter().map(|key| one(frame(&[*key]))).collect());
    let gone = (0..MANY).map(|n| event(&format!("gone-{n}")).to_string().into());
    publish_to(stack, RAW, gone.collect());
    everything_is_deleted(stack, &log(stack, 1).topic());
    everything_is_deleted(stack, RAW);
    let dropped = || stack.own("gateway", "gatemeter_gateway_events_dropped_total");
    let request = || {
        let headers = ["x-namespace: wechat", "x-mock-plain: 1"];
        let body = b"{\"model\":\"gpt-4o\"}";
        post(stack.port("gateway"), "/v1/chat/completions", &headers, body)
    };
    wait_for("the gateway has no more room", || {
        (0..MANY).for_each(|_| assert!(request().is_some_and(|answer| answer.status == 200)));
        dropped() > 0
    });
    let since = stack.own("gateway", "gatemeter_gateway_start_time_seconds");
    assert!((0..3_600).contains(&(Wall::now().as_us() / 1_000_000 - since)), "it began at {since}");
    sight.fires("GatemeterTargetDown");
    stack.start();
    sight.all_fired(Stage::Roles);
}

/// Deletes every record of a topic, as retention does.
fn everything_is_deleted(stack: &Stack, topic: &str) {
    let admin = admin(stack);
    let mut until = TopicPartitionList::new();
    for partition in 0..i32::try_from(log(stack, 1).partitions).expect("few") {
        until.add_partition_offset(topic, partition, Offset::End).expect("an offset");
    }
    let deleted = stack.runtime.block_on(admin.delete_records(&until, &AdminOptions::new()));
    deleted.expect("deleted");
}

pub fn topics_are_made_anew(stack: &Stack, sight: &Sight) {
    stack.kill("ingest");
    stack.kill("aggregator");
    let (options, topic) = (log(stack, 1), log(stack, 1).topic());
    stack.runtime.block_on(async {
        let deleted = admin(stack).delete_topics(&[&topic, RAW], &AdminOptions::new()).await;
        deleted.expect("an answer").into_iter().for_each(|one| assert!(one.is_ok(), "{one:?}"));
        // The name is free some time after the brokers have said so.
        let end = Instant::now() + DEADLINE;
        while let Err(error) = Queue::open_kafka_producer(&options).await {
            assert!(Instant::now() < end, "{error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let ingest = stack.role("ingest", stack.port("ingest"), "ingest", &[]);
    let aggregator = stack.role("aggregator", stack.port("aggregator"), "aggregator", &[]);
    wait_for("a start is there", || get(stack.port("aggregator"), "/healthz", &[]).is_some());
    not_ready(stack.port("aggregator"), "is halted");
    sight.all_fired(Stage::Topics);
    ingest.stop();
    aggregator.stop();
}
