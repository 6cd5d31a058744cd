//! Records that ingest did not write: in the wrong partition, garbled, or not frames at all; and
//! raw messages that are not events.

use std::time::Duration;

use clock::Wall;
use event::frame::{FrameBuilder, Stamp};
use event::{Facts, Key, Labels, Method, Outcome, Secret, ServiceTier, Usage, UsageSource};
use queue::{Append, KafkaOptions, Queue, RawTopic};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ConfigSource, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::{Value, json};
use service::letters::REPLAY_BYTES_MAX;

use crate::gatemeter::{Answer, get, post, wait_for};
use crate::stack::{Books, Stack};

const PARTITIONS: u32 = 6;
/// Bytes of an oversized record.
const HUGE: usize = 10_000_000;

/// The log of the stack, as its settings lay it out.
pub fn log(stack: &Stack, generation: u32) -> KafkaOptions {
    KafkaOptions {
        brokers: format!("127.0.0.1:{}", stack.port("kafka")),
        generation,
        partitions: PARTITIONS,
        replication_factor: 1,
        ..KafkaOptions::default()
    }
}

/// A frame of events with these keys, each a request of 30 input and 12 output tokens.
pub fn frame(keys: &[Key]) -> Vec<u8> {
    let labels = Labels {
        status: 200,
        method: Method::Post,
        outcome: Outcome::Success,
        service_tier: ServiceTier::Standard,
        source: UsageSource::Reported,
        is_final: true,
        namespace: "stranger",
        upstream: "openai",
        model: "gpt-4o",
        endpoint: "/v1/chat/completions",
        limited_by: None,
        stream: false,
        requested_model: None,
        consumer: None,
    };
    let mut builder = FrameBuilder::default();
    for key in keys {
        let usage = Usage { input: Some(30), output: Some(12), ..Usage::default() };
        let facts = Facts {
            key: *key,
            time_us: Wall::now().as_us(),
            duration_us: 800_000,
            ttft_us: None,
            usage,
            cost_nano: None,
            attempt: 0,
            fingerprint: 7,
        };
        builder.push(&labels, &facts).expect("a frame has room");
    }
    builder.encode(Stamp { ingest_us: Wall::now().as_us(), ..Stamp::default() })
}

/// Keys of a partition.
pub fn keys_of(partition: u32, n: usize) -> Vec<Key> {
    let made =
        (0_u32..).map(|n| Key::of(&Secret([9; 32]), "stranger", &format!("id-{partition}-{n}")));
    made.filter(|key| key.partition(PARTITIONS) == partition).take(n).collect()
}

/// Appends records past ingest.
pub fn append(stack: &Stack, records: Vec<Append>) {
    let options = log(stack, 1);
    stack.runtime.block_on(async {
        let queue = Queue::open_kafka_producer(&options).await.expect("the log");
        queue.append(records).await.expect("appended");
        queue.close().await;
    });
}

/// Carries something out while the topic takes messages of this size at most.
pub fn with_messages_of<T>(stack: &Stack, bytes_max: usize, act: impl FnOnce() -> T) -> T {
    let admin: AdminClient<DefaultClientContext> =
        kafka(stack).create().expect("a client of Kafka");
    let topic = log(stack, 1).topic();
    let (specifier, options) = (ResourceSpecifier::Topic(&topic), AdminOptions::new());
    let described = stack.runtime.block_on(admin.describe_configs([&specifier], &options));
    let described = described.expect("an answer").remove(0).expect("the topic's settings");
    // What is not named again falls back to the broker's.
    let own = described.entries.iter().filter(|entry| entry.source == ConfigSource::DynamicTopic);
    let own: Vec<(&str, &str)> =
        own.map(|entry| (entry.name.as_str(), entry.value.as_deref().expect("a value"))).collect();
    let alter = |more: Option<(&str, &str)>| {
        let all = own.iter().copied().chain(more);
        let alter = AlterConfig { specifier, entries: all.collect() };
        let answer = stack.runtime.block_on(admin.alter_configs([&alter], &options));
        assert!(answer.expect("an answer").iter().all(Result::is_ok));
    };
    alter(Some(("max.message.bytes", &bytes_max.to_string())));
    let result = act();
    alter(None);
    result
}

/// Settings of a client of the stack's broker.
pub fn kafka(stack: &Stack) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", format!("127.0.0.1:{}", stack.port("kafka")));
    config
}

/// A record of 10 MB, larger than ingest would write and the topic would take.
fn append_huge(stack: &Stack, partition: i32) {
    let topic = log(stack, 1).topic();
    with_messages_of(stack, HUGE + (64 << 10), || {
        let mut config = kafka(stack);
        config.set("message.max.bytes", (2 * HUGE).to_string());
        let producer: BaseProducer = config.create().expect("a producer");
        let payload = vec![0xa5; HUGE];
        let record = BaseRecord::<(), [u8]>::to(&topic).partition(partition).payload(&payload);
        producer.send(record).expect("sent");
        // What the broker refuses is flushed, too: the class of the record shows that it is there.
        producer.flush(Duration::from_secs(20)).expect("flushed");
    });
}

pub fn what_others_write_is_kept_and_counted_once_when_it_is_sent_again(
    stack: &Stack,
    books: &mut Books,
) {
    // Events of partition 2 in partition 3, and behind them one that is where it belongs.
    let misrouted = keys_of(2, 5);
    let good = keys_of(3, 1);
    let mut garbled = frame(&keys_of(3, 4));
    let last = garbled.len() - 1;
    garbled[last] ^= 0xff;
    let mut versioned = frame(&keys_of(3, 2));
    versioned[0] = 77;
    let records = [
        frame(&misrouted),
        b"no frame at all".to_vec(),
        Vec::new(),
        versioned,
        garbled,
        // The largest that the topic takes as it was made.
        vec![0xa5; queue::KAFKA_RECORD_BYTES_MAX],
        frame(&good),
    ];
    let (poison, misplaced) = (stack.events("poison"), stack.events("misrouted"));
    append_huge(stack, 3);
    let append_to_3 = |bytes: Vec<u8>| Append { partition: 3, bytes: bytes.into() };
    append(stack, records.into_iter().map(append_to_3).collect());
    books.counted += 1;
    books.requests += 1;
    books.input += 30;
    books.output += 12;
    stack.settle("records of strangers", books);
    // One each, but for the garbled frame, whose envelope says that it had four.
    assert_eq!(stack.events("poison") - poison, 1 + 1 + 1 + 1 + 4 + 1);
    assert_eq!(stack.events("misrouted") - misplaced, 5);

    let listed = stack.run(&["dlq", "list", "--class", "misrouted", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("letters in JSON");
    assert_eq!(listed.as_array().map(Vec::len), Some(5), "{listed}");
    let ingest = stack.url("ingest");
    for (round, copies) in [(1, 0), (2, 5)] {
        let before = stack.events("duplicate");
        let replay = ["dlq", "replay", "--class", "misrouted", "--to", &ingest];
        let output = stack.run(&replay);
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && stdout.contains("5 sent again, 0 refused"), "{stdout}");
        if round == 1 {
            books.counted += 5;
            books.requests += 5;
            books.input += 5 * 30;
            books.output += 5 * 12;
        }
        wait_for("copies are recognised", || stack.events("duplicate") >= before + copies);
        stack.settle("misrouted events that are sent again", books);
        assert_eq!(stack.events("duplicate"), before + copies, "counted once");
    }
    let refused = stack.run(&["dlq", "replay", "--class", "poison", "--to", &ingest]);
    assert_eq!(refused.status.code(), Some(1), "what cannot be read cannot be counted");
    letters_go_from_the_page(stack, books);
    unreadable_messages(stack, books);
}

/// The page of the stack can send letters again: its api knows an ingest, and nginx lets pass what
/// the api takes.
fn letters_go_from_the_page(stack: &Stack, books: &Books) {
    let (port, path) = (stack.port("frontend"), "/api/dead-letters/replay");
    let data = |answer: Option<Answer>| {
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str::<Value>(&answer.body).expect("JSON")["data"].take()
    };
    let way = data(get(port, path, &[]));
    assert_eq!(way["available"], true, "{way}");
    let listed = data(get(port, "/api/dead-letters?source=log&class=misrouted", &[]));
    let items = listed["items"].as_array().expect("letters");
    let letters: Vec<&Value> = items.iter().map(|item| &item["letter"]).collect();
    assert_eq!(letters.len(), 5, "{listed}");
    let before = stack.events("duplicate");
    let send = |bytes: usize| {
        let body = json!({"letters": letters}).to_string();
        let body = [&body, " ".repeat(bytes - body.len()).as_str()].concat();
        post(port, path, &["content-type: application/json"], body.as_bytes())
    };
    let sent = data(send(REPLAY_BYTES_MAX));
    assert_eq!((&sent["accepted"], &sent["rejected"]), (&json!(5), &json!([])), "{sent}");
    wait_for("its copies are recognised", || stack.events("duplicate") >= before + 5);
    stack.settle("letters that the page sends again", books);
    assert_eq!(stack.events("duplicate"), before + 5, "they were counted before");
    let refused = send(REPLAY_BYTES_MAX + 1).expect("an answer");
    assert!(refused.status == 413 && refused.body.contains("\"message\""), "{}", refused.body);
}

/// Messages of the raw topic that are no events, and one that is half good.
fn unreadable_messages(stack: &Stack, books: &mut Books) {
    let event = |id: &str, status: u16| {
        format!(
            "{{\"id\":\"{id}\",\"time\":{},\"namespace\":\"stranger\",\"upstream\":\"openai\",\
             \"method\":\"POST\",\"endpoint\":\"/v1/chat/completions\",\"status\":{status},\
             \"duration_ms\":5,\"text\":{{\"output\":\"planted prompt\"}}}}",
            Wall::now().as_us()
        )
    };
    let messages = [
        "not json: planted prompt".to_owned(),
        String::new(),
        format!("[{},{}]", event("raw-1", 200), event("raw-2", 99)),
        format!("{}\n{{\"broken\n{}", event("raw-3", 200), event("raw-4", 200)),
    ];
    let options = log(stack, 1);
    stack.runtime.block_on(async {
        let topic = RawTopic::find(&options, "gatemeter.raw").await.expect("the topic");
        let messages = messages.iter().map(|text| text.clone().into_bytes().into()).collect();
        topic.publish(messages).await.expect("published");
        topic.close().await;
    });
    books.counted += 3;
    books.requests += 3;
    // "planted prompt" has three tokens; nobody reported them.
    books.output += 3 * 3;
    stack.settle("raw messages that are no events", books);
    let mut letters = Value::Null;
    wait_for("letters are kept", || {
        let output = stack.run(&["dlq", "list", "--json", "--limit", "1000"]);
        letters = serde_json::from_slice(&output.stdout).expect("letters in JSON");
        let all = letters.as_array().expect("letters");
        all.iter().filter(|letter| of_raw(letter)).count() == 4
    });
    let all = letters.as_array().expect("letters");
    let mut classes: Vec<&str> =
        all.iter().filter(|l| of_raw(l)).map(|l| l["class"].as_str().expect("a word")).collect();
    classes.sort_unstable();
    assert_eq!(classes, ["range", "syntax", "unreadable", "unreadable"]);
    assert!(!letters.to_string().contains("planted prompt"), "no prompt is stored");
    let bad = all.iter().find(|l| l["class"] == "range").expect("it is there");
    assert_eq!(bad["event_id"], "raw-2");
    let address = bad["address"].as_str().expect("an address");
    let shown = stack.run(&["dlq", "show", address, "--content"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("status") && shown.contains("planted prompt"), "{shown}");
}

fn of_raw(letter: &Value) -> bool {
    letter["address"].as_str().is_some_and(|address| address.starts_with("raw:"))
}
