//! The assignment of raw partitions to this member, as the callbacks of the client change it.
//!
//! A partition that is assigned waits at its end until it is known where to start. One that is
//! revoked is remembered as it was: if its topic is deleted, what was not read must be accounted
//! for.

use std::sync::atomic::Ordering;

use rdkafka::{Offset, TopicPartitionList};

use crate::kafka::poller::{Assignment, Key};
use crate::kafka::raw_parts::{Part, RawState, lock};

impl Assignment for RawState {
    fn topics(&self) -> &[String] {
        &self.topics
    }

    fn assign(&self, keys: &[Key]) {
        self.n_assigned.fetch_add(1, Ordering::Release);
        let n_answers = lock(&self.answers).n;
        self.parts().extend(keys.iter().map(|key| (*key, Part::new(n_answers))));
        self.is_waiting.store(true, Ordering::Relaxed);
    }

    fn revoke(&self, keys: &[Key]) {
        self.n_assigned.fetch_add(1, Ordering::Release);
        let of_topic = lock(&self.answers).of_topic.clone();
        for key in keys {
            let Some(mut part) = self.parts().remove(key) else { continue };
            // No member reads a topic that is gone.
            let answer = of_topic.get(key.0);
            part.is_last = answer.is_some_and(|answer| answer.is_known && answer.id.is_none());
            if !part.id.is_unknown() {
                lock(&self.left).insert(*key, part);
            }
        }
    }

    /// How far messages are durable, with the id of the topic as metadata.
    fn take_offsets(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        let mut parts = self.parts();
        for (key, part) in parts.iter_mut().filter(|(_, p)| p.is_started && p.done > p.committed) {
            part.committed = part.done;
            let mut element = list.add_partition(&self.topics[key.0], key.1);
            element.set_offset(Offset::Offset(part.done)).expect("a list takes any of our offsets");
            if !part.id.is_unknown() {
                element.set_metadata(part.id.to_string());
            }
        }
        list
    }

    /// Has every offset committed again.
    fn commit_failed(&self) {
        self.parts().values_mut().for_each(|part| part.committed = -1);
    }
}
