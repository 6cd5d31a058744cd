//! A member of the group of ingests, as the client calls it back: on the reader's thread, within a
//! poll.
//!
//! A partition that is given waits at its end until it is known where to start. One that is taken
//! away is remembered as it was: if its topic is deleted, somebody has to tell what was not read.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use crate::kafka::listener::Listener;
use crate::kafka::raw_parts::{Part, Shared, lock};

/// A member of the group.
pub(super) struct Member {
    pub shared: Arc<Shared>,
    pub listener: Listener,
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        Listener::line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.listener.global(&error, reason);
    }
}

impl ConsumerContext for Member {
    fn rebalance(
        &self,
        client: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let (n_answers, of_topic) = {
            let answers = lock(&self.shared.answers);
            (answers.n, answers.of_topic.clone())
        };
        let done = if what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            // Nothing that comes before the start is handed over.
            let mut at_end = TopicPartitionList::new();
            for (topic, number) in self.shared.keys(list) {
                let name = &self.shared.topics[topic];
                at_end
                    .add_partition_offset(name, number, Offset::End)
                    .expect("a list takes any of our offsets");
                self.shared.parts().insert((topic, number), Part::new(n_answers));
                tracing::info!(topic = name, partition = number, "raw partition assigned");
            }
            self.shared.is_waiting.store(true, Ordering::Relaxed);
            client.incremental_assign(&at_end)
        } else {
            keep(client, &self.shared, CommitMode::Async);
            for (topic, number) in self.shared.keys(list) {
                let removed = self.shared.parts().remove(&(topic, number));
                if let Some(mut part) = removed {
                    // Nobody reads a topic that is gone.
                    let answer = of_topic.get(topic);
                    part.is_last = answer.is_some_and(|a| a.is_known && a.id.is_none());
                    if !part.id.is_unknown() {
                        lock(&self.shared.left).insert((topic, number), part);
                    }
                }
                let name = &self.shared.topics[topic];
                tracing::info!(topic = name, partition = number, "raw partition revoked");
            }
            client.incremental_unassign(list)
        };
        if let Err(error) = done {
            tracing::error!(%error, "group assignment of raw topics failed");
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(%error, "offset commit of raw topics failed");
            forget_kept(&self.shared);
        }
    }
}

/// Has Kafka keep how far the work is done, and in which topic.
pub(super) fn keep(client: &BaseConsumer<Member>, shared: &Shared, mode: CommitMode) {
    let mut list = TopicPartitionList::new();
    let mut parts = shared.parts();
    for (key, part) in parts.iter_mut().filter(|(_, p)| p.is_started && p.done > p.kept) {
        part.kept = part.done;
        let mut element = list.add_partition(&shared.topics[key.0], key.1);
        element.set_offset(Offset::Offset(part.done)).expect("a list takes any of our offsets");
        if !part.id.is_unknown() {
            element.set_metadata(part.id.to_string());
        }
    }
    drop(parts);
    if list.count() > 0
        && let Err(error) = client.commit(&list, mode)
    {
        tracing::debug!(%error, "offset commit of raw topics failed");
        forget_kept(shared);
    }
}

/// Has every offset kept again.
fn forget_kept(shared: &Shared) {
    shared.parts().values_mut().for_each(|part| part.kept = -1);
}
