//! The thread that polls a Kafka consumer: one loop for the log and for raw topics.
//!
//! It owns the client, and no other thread calls it. It never waits for a reader: a partition
//! whose reader falls behind is paused, and polling goes on, so that the group does not take this
//! member for dead. What differs between the log and raw topics is a [`Handler`]: where a
//! partition starts, what becomes of a message, which partitions are to be paused, and which
//! offsets are committed. The handler is a type parameter, so that a message costs no dynamic
//! call.

mod client;
mod thread;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::CommitMode;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;

pub(super) use self::client::{Assignment, Client, Key, Membership, list_of, settings};
pub(super) use self::thread::{PollerThread, Stop};
use crate::limits::{KAFKA_POLL_MS_MAX, KAFKA_ROUND_MESSAGES_MAX};

/// Time between two ticks of a handler, and the longest poll when nothing waits.
pub(super) const TICK: Duration = Duration::from_millis(KAFKA_POLL_MS_MAX);

/// What differs between the topics that a poller reads. Everything here runs on its thread.
pub(super) trait Handler: Send + 'static {
    /// What it shares with the callbacks of the client.
    type Assignment: Assignment;
    /// Time between two offset commits.
    const COMMIT_EVERY: Duration;
    /// Whether the offset commit before the end is waited for.
    const LAST_COMMIT: CommitMode;

    /// Called before each poll: starts the partitions that are to be read from another offset on.
    fn before_poll(&mut self, client: &mut Client<Self::Assignment>);

    /// Longest time that the next poll may wait for a message.
    fn poll_max(&self) -> Duration {
        TICK
    }

    /// Takes a message. `Break` ends the round of polls, so that flow control comes next.
    fn message(&mut self, message: &BorrowedMessage<'_>) -> ControlFlow<()>;

    /// A round of polls is over.
    fn end_round(&mut self) {}

    /// Called about every [`TICK`].
    fn tick(&mut self, _client: &mut Client<Self::Assignment>, _now: Instant) {}

    /// Whether [`Handler::full`] may have changed since the last call. Asked before each poll.
    fn flow_changed(&mut self) -> bool;

    /// The partitions that must not be fetched until their readers have caught up.
    fn full(&self) -> BTreeSet<Key>;

    /// The client refused to pause or resume these partitions; it is asked again.
    fn flow_refused(&mut self, keys: &[Key], error: KafkaError);

    /// Offsets may not be where they were, or a topic may be another one. The error does not name
    /// the partition, so all of them have to be checked.
    fn log_changed(&mut self, error: KafkaError);
}

/// A client with its handler.
pub(super) struct Poller<H: Handler> {
    // Dropped first: the client leaves its group while the handler's channels are still open.
    client: Client<H::Assignment>,
    handler: H,
    ticks: Every,
    commits: Every,
}

impl<H: Handler> Poller<H> {
    pub(super) fn new(client: Client<H::Assignment>, handler: H) -> Poller<H> {
        Poller { client, handler, ticks: Every::new(TICK), commits: Every::new(H::COMMIT_EVERY) }
    }

    /// Polls until it is stopped, then leaves the group.
    fn run(mut self, stop: &Stop) {
        let _close = CloseOnDrop(Arc::clone(self.client.shared()));
        while !stop.is_set() {
            self.handler.before_poll(&mut self.client);
            self.control_flow();
            self.poll_round();
            let now = Instant::now();
            if self.ticks.is_due(now) {
                self.handler.tick(&mut self.client, now);
            }
            if self.commits.is_due(now) {
                self.client.commit(CommitMode::Async);
            }
        }
        self.client.commit(H::LAST_COMMIT);
    }

    /// Waits for a message and takes those that are there, so that what a round costs is shared by
    /// many.
    fn poll_round(&mut self) {
        let mut wait_max = self.handler.poll_max();
        for _ in 0..KAFKA_ROUND_MESSAGES_MAX {
            match self.client.poll(wait_max) {
                None => break,
                Some(Ok(message)) => {
                    if self.handler.message(&message).is_break() {
                        break;
                    }
                }
                Some(Err(error)) => {
                    self.handler.end_round();
                    return self.failed(error);
                }
            }
            wait_max = Duration::ZERO;
        }
        self.handler.end_round();
    }

    /// Pauses the partitions that are full and resumes those that no longer are. A partition that
    /// was started is not paused in the client, so it is looked at again too.
    fn control_flow(&mut self) {
        let was_started = self.client.take_started();
        if !self.handler.flow_changed() && !was_started && !self.client.is_flow_refused() {
            return;
        }
        let full = self.handler.full();
        if let Err((keys, error)) = self.client.pause_only(&full) {
            self.handler.flow_refused(&keys, error);
        }
    }

    /// Sorts an error of the client by what it means for the log.
    fn failed(&mut self, error: KafkaError) {
        match ErrorClass::of(&error) {
            ErrorClass::Fatal => self.client.fail(&error.to_string()),
            ErrorClass::ConcernsTheLog => {
                let topics = self.client.shared().topics();
                tracing::warn!(%error, ?topics, "topic metadata must be refreshed");
                self.handler.log_changed(error);
            }
            ErrorClass::Recovers => {
                tracing::debug!(%error, "kafka client recovers from an error");
            }
        }
    }
}

/// What an error of the client means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ErrorClass {
    /// The client can do nothing more.
    Fatal,
    /// Offsets may not be where they were, or the topic may be another one.
    ConcernsTheLog,
    /// The client deals with it.
    Recovers,
}

impl ErrorClass {
    fn of(error: &KafkaError) -> ErrorClass {
        if let KafkaError::MessageConsumptionFatal(_) = error {
            return ErrorClass::Fatal;
        }
        match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::AutoOffsetReset
                | RDKafkaErrorCode::LogTruncation
                | RDKafkaErrorCode::OffsetOutOfRange
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopicId
                | RDKafkaErrorCode::BadMessage,
            ) => ErrorClass::ConcernsTheLog,
            _ => ErrorClass::Recovers,
        }
    }
}

/// Something that is done at intervals.
pub(super) struct Every {
    period: Duration,
    last: Instant,
}

impl Every {
    pub(super) fn new(period: Duration) -> Every {
        Every { period, last: Instant::now() }
    }

    /// Whether a period has passed; the next one begins now if so.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = now.saturating_duration_since(self.last) >= self.period;
        if is_due {
            self.last = now;
        }
        is_due
    }
}

/// Closes the assignment when the loop ends, also by a panic, before the client leaves its group.
struct CloseOnDrop<A: Assignment>(Arc<A>);

impl<A: Assignment> Drop for CloseOnDrop<A> {
    fn drop(&mut self) {
        self.0.close();
    }
}
