//! A log that is not what it was: shortened before it was counted, cut, recreated, or with a hole.
//!
//! Each run has a generation and a ledger of its own on the servers of the stack, and a referee.
//! What can be said is said: lost frames are counted to the frame, and a partition that contradicts
//! its ledger stands still with its reason, until an operator accepts what was lost.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clock::Wall;
use queue::{Append, Queue};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

use serde_json::{Value, json};

use super::strangers::{frame, kafka, keys_of, log};
use crate::beside::Role;
use crate::gatemeter::{get, post, program, wait_for};
use crate::referee::Referee;
use crate::stack::Stack;

const DEADLINE: Duration = Duration::from_secs(60);

/// Roles of a generation of its own.
pub struct Own<'a> {
    pub stack: &'a Stack,
    referee: &'a Referee,
    pub generation: u32,
}

impl<'a> Own<'a> {
    fn new(stack: &'a Stack, referee: &'a Referee, generation: u32) -> Own<'a> {
        stack.sql(&format!(
            "CREATE DATABASE gatemeter{generation} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin; \
             GRANT ALL ON gatemeter{generation}.* TO gatemeter@'127.0.0.1'"
        ));
        Own { stack, referee, generation }
    }

    /// What tells processes of this generation from those of the stack.
    fn env(&self) -> [(&'static str, String); 3] {
        [
            ("GATEMETER_KAFKA__GENERATION", self.generation.to_string()),
            ("GATEMETER_KAFKA__RAW_TOPICS", String::new()),
            ("GATEMETER_MYSQL__DATABASE", format!("gatemeter{}", self.generation)),
        ]
    }

    pub fn role(&self, name: &str) -> Role {
        self.role_at(name, name)
    }

    /// A role on the port that the stack has for another name.
    pub fn role_at(&self, name: &str, place: &str) -> Role {
        let log = format!("{place}-g{}", self.generation);
        self.stack.role(name, self.stack.port(place), &log, &self.env())
    }

    /// A subcommand that reads log and ledger of this generation.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .args(args)
            .args(["--cluster", "--config"])
            .arg(self.stack.dir().join("gatemeter.toml"))
            .envs(self.stack.env())
            .envs(self.env())
            .stdin(Stdio::null());
        command
    }

    /// Sends so many events over HTTP, which must all be taken.
    pub fn send(&self, count: &str) {
        wait_for("ingest is ready", || {
            get(self.stack.port("ingest"), "/readyz", &[]).is_some_and(|a| a.status == 200)
        });
        let args = ["synthetic", "--count", count, "--batch", "20", "--connections", "4"];
        let sent = self.stack.sent(self.stack.load(&args));
        assert_eq!(sent["exact"], true, "{sent}");
    }

    /// Waits until so many events are counted and the referee has seen it; what the roles log is
    /// shown if it takes long.
    pub fn wait_counted(&self, n: i64) {
        let end = Instant::now() + DEADLINE - Duration::from_secs(5);
        wait_for(&format!("{n} are counted"), || {
            let counted = self.stack.counted();
            if counted != n && Instant::now() > end {
                let ready = get(self.stack.port("aggregator"), "/readyz", &[]);
                let said = |name: &str| self.stack.said(&format!("{name}-g{}", self.generation));
                panic!("{counted} of {n}: {ready:?}\n{}\n{}", said("ingest"), said("aggregator"));
            }
            counted == n
        });
        self.referee.wait_look();
    }

    fn next(&self, partition: u32) -> u64 {
        let sql = format!(
            "SELECT next FROM gatemeter{}.partition_state WHERE `partition` = {partition}",
            self.generation
        );
        self.stack.sql(&sql).parse().expect("an offset")
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        kafka(self.stack).create().expect("a client")
    }

    pub fn topic(&self) -> String {
        log(self.stack, self.generation).topic()
    }

    /// Deletes the topic, and makes it again with so many records in each partition.
    fn make_anew(&self, n: impl Fn(u32) -> u64) {
        let (options, topic) = (log(self.stack, self.generation), self.topic());
        self.stack.runtime.block_on(async {
            let deleted = self.admin().delete_topics(&[&topic], &AdminOptions::new()).await;
            deleted.expect("an answer").into_iter().for_each(|one| assert!(one.is_ok(), "{one:?}"));
            let made = async {
                // The name is free some time after the brokers have said so.
                loop {
                    match Queue::open_kafka_producer(&options).await {
                        Ok(queue) => return queue,
                        Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                    }
                }
            };
            let queue = tokio::time::timeout(DEADLINE, made).await.expect("made again");
            for partition in 0..options.partitions {
                let record = |_| Append { partition, bytes: b"other".to_vec().into() };
                let records: Vec<Append> = (0..n(partition)).map(record).collect();
                queue.append(records).await.expect("appended");
            }
            queue.close().await;
        });
    }

    /// Counts the log again, and compares it with ledger and page: exit code and output.
    fn recount(&self) -> (Option<i32>, String) {
        let metrics = self.stack.url("aggregator");
        let output = self.command(&["recount", "--metrics", &metrics]).output();
        let output = output.expect("recount runs");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), stdout + &String::from_utf8_lossy(&output.stderr))
    }

    /// An operator accepts what every partition has lost, each of which is halted.
    fn accept_losses(&self) {
        let mut n_lost = 0;
        let (code, said) = self.stack.operator(&["partitions"]);
        assert!(code == Some(1) && said.contains("halted: "), "{said}");
        for partition in 0..log(self.stack, self.generation).partitions {
            let (number, next) = (partition.to_string(), self.next(partition));
            let (code, said) = self.stack.operator(&["accept-loss", &number]);
            assert!(code == Some(1) && said.contains(&format!("--next {next}")), "{said}");
            let (code, said) = self.stack.operator(&["accept-loss", &number, "--next", "1000000"]);
            assert!(code == Some(1) && said.contains("check the partition again"), "{said}");
            let args = ["accept-loss", &number, "--next", &next.to_string()];
            let (code, said) = self.stack.operator(&args);
            assert_eq!(code, Some(0), "{said}");
            // Every frame before it was written after the last one that was counted.
            assert!(said.contains(&format!("; frames lost: {next}\n")), "{said}");
            n_lost += i64::try_from(next).expect("a number");
            let (code, said) = self.stack.operator(&args);
            assert!(code == Some(1) && said.contains("is not halted"), "{said}");
        }
        assert_eq!(self.stack.shown("gatemeter_lost_frames_total"), Some(n_lost));
        let (code, said) = self.stack.operator(&["partitions"]);
        assert!(code == Some(0) && !said.contains("halted"), "{said}");
        let ready = get(self.stack.port("aggregator"), "/readyz", &[]);
        assert_eq!(ready.map(|answer| answer.status), Some(200));
    }

    /// Events newer than any that may have been counted are counted, and a recount agrees.
    fn counting_goes_on(&self) {
        let (counted, mut time) = (self.stack.counted(), 0);
        let sql = "SELECT MAX(clock_us) - 3600000000 FROM gatemeter";
        let oldest = self.stack.sql(&format!("{sql}{}.partition_state", self.generation));
        let oldest: i64 = oldest.parse().expect("a time");
        wait_for("an event is neither late nor of the future", || {
            time = Wall::now().as_us() + 295_000_000;
            time >= oldest
        });
        let event = |n: i64| {
            json!({
                "id": format!("new-{n}"), "time": time, "namespace": "patient",
                "upstream": "openai", "model": "gpt-4o", "method": "POST",
                "endpoint": "/v1/chat/completions", "status": 200, "duration_ms": 7,
                "usage": {"input_tokens": 3, "output_tokens": 2},
            })
        };
        let body = Value::from((0..20).map(event).collect::<Vec<_>>()).to_string();
        for _ in 0..2 {
            let answer = post(self.stack.port("ingest"), "/v1/events", &[], body.as_bytes());
            assert_eq!(answer.map(|answer| answer.status), Some(200));
        }
        wait_for("what is new is counted", || self.stack.counted() == counted + 20);
        wait_for("duplicates are counted", || self.stack.events("duplicate") == 20);
        let (code, said) = self.recount();
        assert!(code == Some(0) && said.contains("from the baseline of version"), "{said}");
    }

    /// Waits until the aggregator says that a partition is halted, for a reason with this word.
    fn wait_halted(&self, word: &str) {
        let mut said = String::new();
        wait_for(&format!("halted: {word}"), || {
            let answer = get(self.stack.port("aggregator"), "/readyz", &[]);
            said = answer.map(|answer| answer.body).unwrap_or_default();
            said.contains("is halted") && said.contains(word)
        });
    }
}

pub fn log_that_is_not_what_it_was_is_told(stack: &Stack) {
    for name in ["ingest", "aggregator", "api"] {
        stack.kill(name);
    }
    let runs: [fn(&Own<'_>); 6] = [
        retention_overtakes_the_ledger,
        log_is_cut,
        log_is_made_anew_at_the_same_length,
        log_is_made_anew_and_only_its_id_tells,
        hole_stops_its_partition_alone,
        newer_frame_stops_its_partition_alone,
    ];
    for (run, generation) in runs.into_iter().zip(2..) {
        on_its_own(stack, generation, run);
    }
}

/// Runs on a log and a ledger of their own, on the ports of the stack, whose roles are gone.
pub fn on_its_own(stack: &Stack, generation: u32, run: fn(&Own<'_>)) {
    let metrics = format!("{}/metrics", stack.url("aggregator"));
    let referee = Referee::start(&metrics, Duration::from_millis(200));
    let began = Instant::now();
    run(&Own::new(stack, &referee, generation));
    let report = referee.finish().unwrap_or_else(|faults| panic!("{}", faults.join("\n")));
    println!("log of generation {generation}: {:.1?}, {report:?}", began.elapsed());
    assert!(report.good > 5, "{report:?}");
}

fn retention_overtakes_the_ledger(own: &Own<'_>) {
    let stack = own.stack;
    let _ingest = own.role("ingest");
    let aggregator = own.role("aggregator");
    own.send("2000");
    own.wait_counted(2_000);
    drop(aggregator);
    let next = own.next(0);
    own.send("3000");
    let high = stack.runtime.block_on(async {
        let log = Queue::open_kafka_read_only(&log(stack, own.generation)).await.expect("a log");
        let high = log.watermarks(0).await.expect("ends").high;
        log.close().await;
        high
    });
    assert!(high > next + 3, "frames that are not counted: {next} of {high}");
    let mut list = TopicPartitionList::new();
    let low = i64::try_from(high - 1).expect("an offset");
    list.add_partition_offset(&own.topic(), 0, Offset::Offset(low)).expect("a list");
    let deleted = stack.runtime.block_on(own.admin().delete_records(&list, &AdminOptions::new()));
    assert_eq!(deleted.expect("an answer").elements()[0].error(), Ok(()));
    let _aggregator = own.role("aggregator");
    let lost = i64::try_from(high - 1 - next).expect("a number");
    wait_for("the loss is reported to the frame", || {
        stack.shown("gatemeter_lost_frames_total") == Some(lost)
    });
    let text = stack.said(&format!("aggregator-g{}", own.generation));
    let lost_range = format!("Lost {{ from: {next}, frames: {lost} }}");
    assert!(text.contains(&lost_range), "the lost offsets are reported: {lost_range}: {text}");
    wait_for("counting goes on", || own.next(0) == high);
    assert!(stack.counted() > 2_000 && stack.counted() < 5_000, "nothing is reset or made up");
    let (code, said) = own.recount();
    assert_eq!(code, Some(0), "all that is still there, behind the gap: {said}");
    assert!(said.contains("from the baseline of version"), "{said}");
    own.send("1000");
    let (code, said) = own.recount();
    assert_eq!(code, Some(0), "and what comes later: {said}");
}

fn log_is_cut(own: &Own<'_>) {
    let ingest = own.role("ingest");
    let aggregator = own.role("aggregator");
    own.send("2000");
    own.wait_counted(2_000);
    drop((ingest, aggregator));
    own.make_anew(|partition| own.next(partition) - 1);
    let _aggregator = own.role("aggregator");
    own.wait_halted("truncated");
    own.wait_counted(2_000);
    let (code, said) = own.recount();
    assert!(code == Some(2) && said.contains("but the ledger counted up to"), "{said}");
    let (code, said) =
        own.stack.operator(&["accept-loss", "0", "--next", &own.next(0).to_string()]);
    assert!(code == Some(1) && said.contains("the log has to grow beyond that first"), "{said}");
    let _ingest = own.role("ingest");
    own.send("1000");
    own.accept_losses();
    wait_for("what nobody can tell from a copy is late", || own.stack.events("late") > 0);
    assert_eq!(own.stack.counted(), 2_000, "nothing is counted twice");
    own.counting_goes_on();
}

fn log_is_made_anew_at_the_same_length(own: &Own<'_>) {
    let ingest = own.role("ingest");
    let aggregator = own.role("aggregator");
    own.send("2000");
    own.wait_counted(2_000);
    drop((ingest, aggregator));
    own.make_anew(|partition| own.next(partition));
    let _aggregator = own.role("aggregator");
    own.wait_halted("replaced");
    own.wait_counted(2_000);
    let (code, said) = own.recount();
    assert_eq!(code, Some(1), "this log is not the one that was counted: {said}");
    own.accept_losses();
    let (code, said) = own.recount();
    assert_eq!(code, Some(0), "nothing of this log is counted yet: {said}");
    let _ingest = own.role("ingest");
    wait_for("ingest is ready", || {
        get(own.stack.port("ingest"), "/readyz", &[]).is_some_and(|a| a.status == 200)
    });
    own.counting_goes_on();
}

/// The new topic is longer, and no frame is left that could be compared with the last counted one.
fn log_is_made_anew_and_only_its_id_tells(own: &Own<'_>) {
    let ingest = own.role("ingest");
    let aggregator = own.role("aggregator");
    own.send("2000");
    own.wait_counted(2_000);
    drop((ingest, aggregator));
    own.make_anew(|partition| own.next(partition) + 3);
    let mut list = TopicPartitionList::new();
    for partition in 0..log(own.stack, own.generation).partitions {
        let (number, next) = (i32::try_from(partition), i64::try_from(own.next(partition)));
        let (number, next) = (number.expect("a number"), next.expect("a number"));
        list.add_partition_offset(&own.topic(), number, Offset::Offset(next)).expect("a list");
    }
    // No answer comes in once the client is dropped.
    let client = own.admin();
    let deleted = client.delete_records(&list, &AdminOptions::new());
    own.stack.runtime.block_on(deleted).expect("an answer");
    let aggregator = own.role("aggregator");
    own.wait_halted("recreated");
    let n_halted = || own.stack.operator(&["partitions"]).1.matches("halted: ").count();
    wait_for("every partition is halted", || n_halted() == 6);
    own.wait_counted(2_000);
    assert_eq!(own.stack.events("poison"), 0, "nothing of it is read");
    let (code, said) =
        own.stack.operator(&["accept-loss", "2", "--next", &own.next(2).to_string()]);
    assert_eq!(code, Some(0), "{said}");
    wait_for("what is accepted is read", || own.stack.events("poison") == 3);
    drop(aggregator);
    let _aggregator = own.role("aggregator");
    own.wait_halted("recreated");
    wait_for("what was accepted is remembered", || n_halted() == 5);
    own.wait_counted(2_000);
}

/// Another producer's transaction leaves an offset without a record.
fn hole_stops_its_partition_alone(own: &Own<'_>) {
    let stack = own.stack;
    let _ingest = own.role("ingest");
    let _aggregator = own.role("aggregator");
    own.send("2000");
    own.wait_counted(2_000);
    let mut config = kafka(stack);
    config.set("transactional.id", "stranger");
    let producer: BaseProducer = config.create().expect("a producer");
    producer.init_transactions(DEADLINE).expect("transactions");
    producer.begin_transaction().expect("begun");
    let topic = own.topic();
    let record = BaseRecord::<(), str>::to(&topic).partition(0).payload("stranger");
    producer.send(record).expect("sent");
    producer.commit_transaction(DEADLINE).expect("committed");
    own.send("3000");
    own.wait_halted("has no frame at offset");
    let counted = stack.counted();
    wait_for("the other partitions are counted", || stack.counted() > 2_000 + 2_000);
    assert!(counted <= stack.counted() && stack.counted() < 5_000, "one partition stands still");
    assert!(stack.events("poison") >= 1, "what the stranger wrote is kept");
    let (code, said) = own.recount();
    assert_eq!(code, Some(0), "all that was counted is in the log: {said}");
    let (number, next) = ("0", own.next(0) + 1);
    let (code, said) = own.stack.operator(&["accept-loss", number, "--next", &next.to_string()]);
    assert!(code == Some(0) && said.contains("; frames lost: 1\n"), "{said}");
    wait_for("counting goes on behind the hole", || own.next(0) > next);
    let (code, said) = own.recount();
    assert_eq!(code, Some(0), "all that is behind the hole: {said}");
}

/// A whole frame of a version that only a program to come knows: nothing of it is poison, and
/// nothing can be accepted as lost.
fn newer_frame_stops_its_partition_alone(own: &Own<'_>) {
    let stack = own.stack;
    let _ingest = own.role("ingest");
    let aggregator = own.role("aggregator");
    own.send("2000");
    own.wait_counted(2_000);
    let mut newer = frame(&keys_of(0, 1));
    newer[0] = 3;
    let checksum = crc32c::crc32c(&newer[..44]);
    newer[44..48].copy_from_slice(&checksum.to_le_bytes());
    let at = stack.runtime.block_on(async {
        let options = log(stack, own.generation);
        let log = Queue::open_kafka_producer(&options).await.expect("the log");
        let record = Append { partition: 0, bytes: newer.into() };
        let appended = log.append(vec![record]).await.expect("appended");
        log.close().await;
        appended.first().expect("a place").offset
    });
    own.send("3000");
    let halted = format!("frame at offset {at} has version 3, this program reads up to 2");
    own.wait_halted(&halted);
    wait_for("what is before it is committed", || own.next(0) == at);
    wait_for("the other partitions are counted", || stack.counted() > 2_000 + 2_000);
    assert!(stack.counted() < 5_000, "one partition stands still");
    assert_eq!(stack.events("poison"), 0, "a newer program counts it");
    let args = ["accept-loss", "0", "--next", &(at + 1).to_string()];
    let (code, said) = stack.operator(&args);
    assert!(code == Some(1) && said.contains("nothing is lost"), "{said}");
    let (code, said) = own.recount();
    assert_eq!(code, Some(0), "all that was counted is in the log: {said}");
    drop(aggregator);
    let _aggregator = own.role("aggregator");
    own.wait_halted(&halted);
    assert_eq!(own.next(0), at, "nor does a new process pass it over");
}
