//! A load on one topic for as long as that topic has its name: what was sent to it, what the broker
//! took, and where each partition ended.
//!
//! Every message is an event with an id of its own, or one that ingest must reject. Nothing is sent
//! twice, so that an offset is a message and a message is an event.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clock::Wall;
use rdkafka::ClientContext;
use rdkafka::message::Message as _;
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer,
};
use serde_json::json;

use crate::cluster::strangers::kafka;
use crate::gatemeter::wait_for;
use crate::stack::Stack;

/// Time between two rows of messages, one for each partition.
const ROW_EVERY: Duration = Duration::from_millis(20);
/// One of so many messages is an event that ingest must reject.
const BAD_EVERY: u64 = 9;

/// What brokers said of the messages.
#[derive(Default)]
pub struct Tally {
    /// Partition and offset of each message that is in the topic, and when that was known.
    taken: Mutex<Vec<(i32, i64, Instant)>>,
    failed: AtomicU64,
}

struct Recorder(Arc<Tally>);

impl ClientContext for Recorder {}

impl ProducerContext for Recorder {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(message) => {
                let place = (message.partition(), message.offset(), Instant::now());
                self.0.taken.lock().expect("no panic").push(place);
            }
            Err(_) => drop(self.0.failed.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

/// The load.
pub struct Load {
    pub topic: &'static str,
    pub namespace: String,
    pub partitions: i32,
    tally: Arc<Tally>,
    producer: Arc<ThreadedProducer<Recorder>>,
    /// Whether nothing is sent; held while something is.
    is_paused: Arc<Mutex<bool>>,
    sender: Option<JoinHandle<()>>,
    end: Option<std::sync::mpsc::SyncSender<()>>,
}

impl Load {
    pub fn start(stack: &Stack, topic: &'static str, n: u32, partitions: i32) -> Load {
        let tally = Arc::<Tally>::default();
        let mut config = kafka(stack);
        config
            .set("linger.ms", "1")
            .set("message.timeout.ms", "10000")
            .set("topic.metadata.refresh.interval.ms", "100")
            // What is sent again has another offset, and would be two messages.
            .set("retries", "0");
        let context = Recorder(Arc::clone(&tally));
        let producer = config.create_with_context::<_, ThreadedProducer<_>>(context);
        let producer = Arc::new(producer.expect("a producer"));
        let is_paused = Arc::new(Mutex::new(false));
        let (end, ended) = std::sync::mpsc::sync_channel::<()>(0);
        let namespace = format!("churn-{n:03}");
        let (own, gate, name) = (Arc::clone(&producer), Arc::clone(&is_paused), namespace.clone());
        let sender = std::thread::spawn(move || {
            let mut n_sent = 0;
            while ended.recv_timeout(ROW_EVERY) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let is_paused = gate.lock().expect("no panic");
                for partition in (0..partitions).filter(|_| !*is_paused) {
                    let event = event(&name, n_sent);
                    let record = BaseRecord::<(), str>::to(topic).payload(&event);
                    assert!(own.send(record.partition(partition)).is_ok(), "there is room");
                    n_sent += 1;
                }
            }
        });
        let (sender, end) = (Some(sender), Some(end));
        Load { topic, namespace, partitions, tally, producer, is_paused, sender, end }
    }

    /// Sends no more, and waits until the broker has taken all that was sent.
    pub fn pause(&self) {
        *self.is_paused.lock().expect("no panic") = true;
        wait_for("all that was sent is answered", || self.producer.in_flight_count() == 0);
    }

    pub fn resume(&self) {
        *self.is_paused.lock().expect("no panic") = false;
    }

    /// The next offset of each partition that has messages.
    pub fn ends(&self) -> BTreeMap<i32, i64> {
        let mut ends = BTreeMap::new();
        for (partition, offset, _) in self.tally.taken.lock().expect("no panic").iter() {
            let end = ends.entry(*partition).or_insert(0);
            *end = (offset + 1).max(*end);
        }
        ends
    }

    pub fn n_taken(&self) -> i64 {
        i64::try_from(self.tally.taken.lock().expect("no panic").len()).expect("a number")
    }

    pub fn n_failed(&self) -> i64 {
        i64::try_from(self.tally.failed.load(Ordering::Relaxed)).expect("a number")
    }

    /// Messages that the broker took after this moment.
    pub fn n_taken_since(&self, moment: Instant) -> i64 {
        let taken = self.tally.taken.lock().expect("no panic");
        let later = taken.iter().filter(|(_, _, at)| *at > moment).count();
        i64::try_from(later).expect("a number")
    }

    /// Ends the load, whose topic is gone: nothing of it may come into the next one.
    pub fn end(&mut self) {
        self.end = None;
        if let Some(sender) = self.sender.take() {
            sender.join().expect("it sends");
        }
        self.producer.purge(PurgeConfig::default().queue().inflight());
        wait_for("nothing is under way", || self.producer.in_flight_count() == 0);
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end = None;
    }
}

fn event(namespace: &str, n: u64) -> String {
    let status = if n.is_multiple_of(BAD_EVERY) { 99 } else { 200 };
    let event = json!({
        "id": format!("{namespace}-{n}"), "time": Wall::now().as_us(), "namespace": namespace,
        "upstream": "openai", "model": "gpt-4o", "method": "POST",
        "endpoint": "/v1/chat/completions", "status": status, "duration_ms": 5,
        "usage": {"input_tokens": 2, "output_tokens": 1},
    });
    event.to_string()
}
