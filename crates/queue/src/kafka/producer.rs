//! Appends records to the topic and waits until the brokers have acknowledged all of a call.
//!
//! Records go into the client's own bounded buffer with their partition; a delivery report for
//! each comes back on the client's thread and completes the call. A call is answered when its last
//! report is there, so that nothing of it is under way any more. The producer never reads.
//!
//! An idempotent client that has lost the sequence of its records can do nothing more. Another one
//! takes its place: what was under way is refused and sent again by its producer, and copies are
//! recognised by their ids, so that nothing depends on the sequence.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig,
};
use rdkafka::{ClientContext, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, oneshot, watch};

use super::listener::Listener;
use super::options::Topic;
use super::poller::Stop;
use crate::error::QueueError;
use crate::limits::{
    APPEND_BYTES_MAX, KAFKA_BATCH_BYTES_MAX, KAFKA_CLOSE_SECONDS_MAX, KAFKA_DELIVERY_MS_MAX,
    KAFKA_RECORD_BYTES_MAX, KAFKA_RECORD_ROOM_MIN, KAFKA_RECORDS_WAITING_MAX,
    KAFKA_REPORTS_SECONDS_MAX, KAFKA_REQUEST_MS_MAX,
};
use crate::record::{Append, Position};

const APPEND: &str = "append to the topic";

/// Longest poll for delivery reports.
const REPORTS_MAX: Duration = Duration::from_secs(KAFKA_REPORTS_SECONDS_MAX);
/// Longest wait for the reports of a client that was replaced.
const RETIRE_MAX: Duration = Duration::from_secs(KAFKA_CLOSE_SECONDS_MAX);

/// Appends to one topic.
pub(super) struct Producer {
    client: RwLock<Option<Arc<Reporting>>>,
    /// What another client is made with.
    config: ClientConfig,
    listener: Listener,
    generation: u32,
    topic: String,
    room: Arc<Semaphore>,
    ends: Arc<[watch::Sender<u64>]>,
    fatal: watch::Receiver<bool>,
}

impl Producer {
    pub(super) fn open(
        topic: Topic,
        config: &ClientConfig,
        listener: Listener,
        fatal: watch::Receiver<bool>,
    ) -> Result<Producer, QueueError> {
        let ends: Arc<[watch::Sender<u64>]> =
            (0..topic.partitions).map(|_| watch::Sender::new(0)).collect();
        let mut producer = Producer {
            client: RwLock::new(None),
            config: settings(config),
            listener,
            generation: topic.generation,
            topic: topic.name,
            room: Arc::new(Semaphore::new(APPEND_BYTES_MAX)),
            ends,
            fatal,
        };
        producer.client = RwLock::new(Some(producer.connect()?));
        Ok(producer)
    }

    /// A new client.
    fn connect(&self) -> Result<Arc<Reporting>, QueueError> {
        let is_broken = Arc::new(AtomicBool::new(false));
        let reports = Reports {
            listener: self.listener.clone(),
            generation: self.generation,
            ends: Arc::clone(&self.ends),
            is_broken: Arc::clone(&is_broken),
        };
        let client = self.config.create_with_context(reports);
        let client = client.map_err(QueueError::kafka("set up the producer"))?;
        Ok(Arc::new(Reporting::start(client, is_broken)?))
    }

    pub(super) async fn append(&self, records: Vec<Append>) -> Result<Vec<Position>, QueueError> {
        for record in &records {
            self.end(record.partition)?;
        }
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let room = self.room_for(&records)?;
        let client = self.client()?;
        let (call, answered) = Call::new(records.len(), room);
        for (idx, record) in records.iter().enumerate() {
            let ticket = Ticket { call: Arc::clone(&call), idx };
            if let Err(error) = self.send(&client, record, ticket) {
                // What was sent before is under way: the call ends when that has ended.
                call.give_up(records.len() - idx, error);
                break;
            }
        }
        drop((records, client));
        answered.await.unwrap_or_else(|_| Err(self.gone()))
    }

    fn send(&self, client: &Reporting, record: &Append, ticket: Ticket) -> Result<(), QueueError> {
        let bytes: &[u8] = &record.bytes;
        let sent = BaseRecord::<(), [u8], Box<Ticket>>::with_opaque_to(&self.topic, ticket.into())
            .partition(i32::try_from(record.partition).unwrap_or(i32::MAX))
            .payload(bytes);
        client.client.send(sent).map_err(|(error, _)| {
            client.is_broken.fetch_or(is_fatal(&error), Ordering::Relaxed);
            failed(error)
        })
    }

    /// Takes the call's part of the bytes that may wait.
    fn room_for(&self, records: &[Append]) -> Result<OwnedSemaphorePermit, QueueError> {
        let largest = records.iter().map(|record| record.bytes.len()).max().unwrap_or(0);
        if largest > KAFKA_RECORD_BYTES_MAX {
            return Err(QueueError::TooLarge { bytes: largest, bytes_max: KAFKA_RECORD_BYTES_MAX });
        }
        let bytes: usize = records.iter().map(|r| r.bytes.len().max(KAFKA_RECORD_ROOM_MIN)).sum();
        if bytes > APPEND_BYTES_MAX {
            return Err(QueueError::TooLarge { bytes, bytes_max: APPEND_BYTES_MAX });
        }
        let permits = u32::try_from(bytes).expect("bounded by a constant below 2^32");
        match Arc::clone(&self.room).try_acquire_many_owned(permits) {
            Ok(room) => Ok(room),
            Err(TryAcquireError::NoPermits) => Err(QueueError::Full),
            Err(TryAcquireError::Closed) => Err(self.gone()),
        }
    }

    /// Follows the offset behind the last record of ours that was acknowledged.
    pub(super) fn subscribe(&self, partition: u32) -> Result<watch::Receiver<u64>, QueueError> {
        Ok(self.end(partition)?.subscribe())
    }

    /// Bytes that wait to be acknowledged.
    pub(super) fn bytes(&self) -> u64 {
        APPEND_BYTES_MAX.saturating_sub(self.room.available_permits()) as u64
    }

    /// Takes no more appends, waits for those under way, and ends the client.
    pub(super) async fn close(&self) {
        self.room.close();
        let client = self.client.write().unwrap_or_else(PoisonError::into_inner).take();
        let Some(client) = client else { return };
        let ended = tokio::task::spawn_blocking(move || {
            let rest = client.client.flush(Duration::from_secs(KAFKA_CLOSE_SECONDS_MAX));
            if let Err(error) = rest {
                tracing::warn!(%error, "appends were not acknowledged before the end");
            }
        });
        let _ = ended.await;
    }

    fn client(&self) -> Result<Arc<Reporting>, QueueError> {
        let client = self.client.read().unwrap_or_else(PoisonError::into_inner).clone();
        let client = client.ok_or_else(|| self.gone())?;
        if client.is_broken.load(Ordering::Relaxed) { self.replace(&client) } else { Ok(client) }
    }

    /// Another client in the place of a broken one.
    fn replace(&self, broken: &Arc<Reporting>) -> Result<Arc<Reporting>, QueueError> {
        let mut current = self.client.write().unwrap_or_else(PoisonError::into_inner);
        let Some(other) = &*current else { return Err(self.gone()) };
        if !Arc::ptr_eq(other, broken) {
            return Ok(Arc::clone(other));
        }
        let client = self.connect()?;
        tracing::warn!(topic = self.topic, "the producer was replaced");
        let old = current.replace(Arc::clone(&client));
        drop(current);
        old.into_iter().for_each(retire);
        Ok(client)
    }

    fn end(&self, partition: u32) -> Result<&watch::Sender<u64>, QueueError> {
        let partitions = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
        let end = usize::try_from(partition).ok().and_then(|at| self.ends.get(at));
        end.ok_or(QueueError::Partition { partition, partitions })
    }

    /// Why a call cannot be answered any more.
    fn gone(&self) -> QueueError {
        match *self.fatal.borrow() {
            true => QueueError::Fatal,
            false => QueueError::Closed,
        }
    }
}

/// A client with a thread that takes its delivery reports. The thread of `ThreadedProducer` polls
/// ten times a second and spins for the last millisecond of each poll, a hundredth of a core.
struct Reporting {
    client: Arc<BaseProducer<Reports>>,
    stop: Stop,
    /// Whether it can do nothing more.
    is_broken: Arc<AtomicBool>,
}

/// Refuses what a broken client still has: it may be in the log or not.
fn retire(client: Arc<Reporting>) {
    let run = move || {
        client.client.purge(PurgeConfig::default().queue().inflight());
        if let Err(error) = client.client.flush(RETIRE_MAX) {
            tracing::warn!(%error, "appends of a broken client were not reported");
        }
    };
    // Without a thread the client does the same when it is dropped, if it has the time.
    if let Err(error) = std::thread::Builder::new().name("kafka-retire".to_owned()).spawn(run) {
        tracing::warn!(%error, "a broken client was dropped");
    }
}

impl Reporting {
    fn start(
        client: BaseProducer<Reports>,
        is_broken: Arc<AtomicBool>,
    ) -> Result<Reporting, QueueError> {
        let (client, stop) = (Arc::new(client), Stop::default());
        let (own, stopped) = (Arc::clone(&client), stop.clone());
        let run = move || {
            while !stopped.is_set() {
                own.poll(REPORTS_MAX);
            }
        };
        let name = "kafka-reports";
        let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(run);
        spawned.map_err(|source| QueueError::io("start the thread for", name, source))?;
        Ok(Reporting { client, stop, is_broken })
    }
}

impl Drop for Reporting {
    /// The thread ends after its poll. Nothing waits for it: what was sent is acknowledged by then,
    /// or given up.
    fn drop(&mut self) {
        self.stop.set();
    }
}

/// Settings of an idempotent producer: the brokers drop duplicates of a retry and keep the
/// order of a partition.
fn settings(config: &ClientConfig) -> ClientConfig {
    let mut config = config.clone();
    let number = |n: usize| n.to_string();
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", "lz4")
        // Records are batches of events already; what comes while requests are under way is
        // joined all the same.
        .set("linger.ms", "0")
        .set("delivery.timeout.ms", KAFKA_DELIVERY_MS_MAX.to_string())
        .set("request.timeout.ms", KAFKA_REQUEST_MS_MAX.to_string())
        .set("message.max.bytes", number(KAFKA_BATCH_BYTES_MAX))
        .set("queue.buffering.max.messages", number(KAFKA_RECORDS_WAITING_MAX))
        // Above our own bound, which is reached first.
        .set("queue.buffering.max.kbytes", number(2 * APPEND_BYTES_MAX / 1_024));
    config
}

/// Whether the client can do nothing more.
fn is_fatal(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal)
}

/// Why a record was not acknowledged.
fn failed(error: KafkaError) -> QueueError {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::QueueFull) => QueueError::Full,
        _ => QueueError::kafka(APPEND)(error),
    }
}

/// One append call that waits for its reports.
struct Call {
    state: Mutex<CallState>,
}

struct CallState {
    positions: Vec<Option<Position>>,
    /// Records without a report.
    n_waiting: usize,
    error: Option<QueueError>,
    answer: Option<oneshot::Sender<Result<Vec<Position>, QueueError>>>,
    /// Its part of the bytes that may wait; given back with the answer.
    room: Option<OwnedSemaphorePermit>,
}

/// The call that a record belongs to.
struct Ticket {
    call: Arc<Call>,
    idx: usize,
}

impl Call {
    fn new(
        n_records: usize,
        room: OwnedSemaphorePermit,
    ) -> (Arc<Call>, oneshot::Receiver<Result<Vec<Position>, QueueError>>) {
        let (answer, answered) = oneshot::channel();
        let state = CallState {
            positions: vec![None; n_records],
            n_waiting: n_records,
            error: None,
            answer: Some(answer),
            room: Some(room),
        };
        (Arc::new(Call { state: Mutex::new(state) }), answered)
    }

    /// Notes the delivery report of a record.
    fn report(&self, idx: usize, result: Result<Position, QueueError>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(position) => state.positions[idx] = Some(position),
            Err(error) => state.error = Some(state.error.take().unwrap_or(error)),
        }
        state.n_waiting -= 1;
        state.answer_if_complete();
    }

    /// The last `n_records` were not sent.
    fn give_up(&self, n_records: usize, error: QueueError) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.error = Some(state.error.take().unwrap_or(error));
        state.n_waiting -= n_records;
        state.answer_if_complete();
    }
}

impl CallState {
    fn answer_if_complete(&mut self) {
        if self.n_waiting > 0 {
            return;
        }
        let positions: Option<Vec<Position>> = self.positions.drain(..).collect();
        let result = match (self.error.take(), positions) {
            (Some(error), _) => Err(error),
            (None, Some(positions)) => Ok(positions),
            (None, None) => Err(QueueError::Closed),
        };
        // Released before the answer, so that a caller that appends again finds room.
        drop(self.room.take());
        if let Some(answer) = self.answer.take() {
            // A caller that is gone gets no answer; its records are in the log all the same.
            let _ = answer.send(result);
        }
    }
}

/// Takes delivery reports, on the client's thread.
struct Reports {
    listener: Listener,
    generation: u32,
    ends: Arc<[watch::Sender<u64>]>,
    /// Of the client.
    is_broken: Arc<AtomicBool>,
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        Listener::line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if is_fatal(&error) {
            self.is_broken.store(true, Ordering::Relaxed);
            tracing::warn!(reason, "the producer lost the sequence of its records");
        } else {
            self.listener.global(&error, reason);
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, report: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        let result = match report {
            Ok(record) => self.position(record.partition(), record.offset(), record.timestamp()),
            Err((error, _)) => {
                self.is_broken.fetch_or(is_fatal(error), Ordering::Relaxed);
                Err(failed(error.clone()))
            }
        };
        if let Ok(position) = result {
            let end = &self.ends[position.partition as usize];
            end.send_if_modified(|end| {
                let is_later = position.offset + 1 > *end;
                *end = (position.offset + 1).max(*end);
                is_later
            });
        }
        ticket.call.report(ticket.idx, result);
    }
}

impl Reports {
    /// Where a record is, by the report of the brokers.
    fn position(
        &self,
        partition: i32,
        offset: i64,
        time: Timestamp,
    ) -> Result<Position, QueueError> {
        let known = |partition: &u32| (*partition as usize) < self.ends.len();
        let place = u32::try_from(partition).ok().filter(known);
        let offset = u64::try_from(offset).ok();
        let (Some(partition), Some(offset), Some(ms)) = (place, offset, time.to_millis()) else {
            // Without an offset, the record is not acknowledged.
            return Err(QueueError::kafka(APPEND)(KafkaError::NoMessageReceived));
        };
        let append_time_us = ms.saturating_mul(1_000);
        Ok(Position { generation: self.generation, partition, offset, append_time_us })
    }
}

#[cfg(test)]
mod tests;
