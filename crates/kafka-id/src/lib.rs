//! What Kafka's client library tells and its safe wrapper does not: the id of a topic, the end of a
//! partition that the last fetch brought, and the words that somebody kept with an offset.
//!
//! A name says nothing about which topic it is: one that is deleted and made anew has the name of
//! the old one and other messages at the same offsets. Brokers give each topic an id that is never
//! given again. `foreign` is the only module of the house with unsafe code: it calls, copies what
//! it gets, and keeps no pointer. Nothing here decides anything.

mod topic_id;

mod foreign;

pub use foreign::{Described, describe, kept_words, seen_ends};
pub use topic_id::TopicId;
