//! The calls into librdkafka. Every block says why it holds; nothing leaves this file but values.
#![expect(unsafe_code, reason = "librdkafka tells a topic's id to C alone")]

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as c;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

use crate::topic_id::TopicId;

/// What a broker says of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Described {
    /// There is one.
    Found {
        /// Which one.
        id: TopicId,
        /// Number of its partitions.
        partitions: usize,
    },
    /// There is none of this name.
    Missing,
    /// The brokers did not answer.
    Failed(RDKafkaErrorCode),
}

/// Asks a broker for topics, in their order. Blocks for `limit` at most.
///
/// # Errors
/// No broker answers, or a name cannot be one of a topic.
pub fn describe<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    limit: Duration,
) -> Result<Vec<Described>, KafkaError> {
    let names: Vec<CString> =
        topics.iter().map(|topic| CString::new(*topic)).collect::<Result<_, _>>()?;
    let rk = client.native_ptr();
    let millis = c_int::try_from(limit.as_millis()).unwrap_or(c_int::MAX);
    let queue = Owned::new(rk, |rk| {
        // SAFETY: the client lives for the whole of this call.
        unsafe { c::rd_kafka_queue_new(rk) }
    })?;
    let options = Owned::new(rk, |rk| {
        let kind = c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        // SAFETY: as above.
        unsafe { c::rd_kafka_AdminOptions_new(rk, kind) }
    })?;
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let wanted = Owned::new(pointers.as_mut_ptr(), |pointers| {
        // SAFETY: the array has this many pointers to strings with a NUL; the library copies them.
        unsafe { c::rd_kafka_TopicCollection_of_topic_names(pointers, names.len()) }
    })?;
    let options_ptr = options.0.as_ptr();
    // SAFETY: the options live; without room for words the library writes none.
    let set = unsafe {
        c::rd_kafka_AdminOptions_set_request_timeout(options_ptr, millis, std::ptr::null_mut(), 0)
    };
    check(set)?;
    // SAFETY: all four live until the end of this call, and the library keeps what it needs.
    unsafe { c::rd_kafka_DescribeTopics(rk, wanted.0.as_ptr(), options_ptr, queue.0.as_ptr()) };
    let event = Owned::new(queue.0.as_ptr(), |queue| {
        // SAFETY: the queue lives; an event that comes later is dropped with it.
        unsafe { c::rd_kafka_queue_poll(queue, millis) }
    })
    .map_err(|_| failed(RDKafkaErrorCode::OperationTimedOut))?;
    read(&event)
}

/// What an answer says.
fn read(event: &Owned<c::rd_kafka_event_t>) -> Result<Vec<Described>, KafkaError> {
    let event = event.0.as_ptr();
    // SAFETY: the event lives for the whole of this call.
    check(unsafe { c::rd_kafka_event_error(event) })?;
    // SAFETY: as above; the answer belongs to the event.
    let result = unsafe { c::rd_kafka_event_DescribeTopics_result(event) };
    if result.is_null() {
        return Err(failed(RDKafkaErrorCode::BadMessage));
    }
    let mut n = 0;
    // SAFETY: the answer lives as long as the event, and so do the topics in it.
    let topics = unsafe { c::rd_kafka_DescribeTopics_result_topics(result, &raw mut n) };
    (0..n)
        .map(|at| {
            // SAFETY: there are `n` of them.
            let place = unsafe { topics.add(at) };
            // SAFETY: as above; each is a pointer that the library has set.
            let topic = unsafe { *place };
            described(topic)
        })
        .collect()
}

fn described(topic: *const c::rd_kafka_TopicDescription_t) -> Result<Described, KafkaError> {
    // SAFETY: the topic belongs to an event that lives, as does all that is asked of it.
    let error = unsafe { c::rd_kafka_TopicDescription_error(topic) };
    if !error.is_null() {
        // SAFETY: it is not null.
        let code = unsafe { c::rd_kafka_error_code(error) };
        match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {}
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
            | RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC => return Ok(Described::Missing),
            code => return Ok(Described::Failed(code.into())),
        }
    }
    let mut partitions = 0;
    // SAFETY: as above; only the number is looked at.
    unsafe { c::rd_kafka_TopicDescription_partitions(topic, &raw mut partitions) };
    // SAFETY: as above.
    let id = unsafe { c::rd_kafka_TopicDescription_topic_id(topic) };
    if id.is_null() {
        return Ok(Described::Found { id: TopicId::default(), partitions });
    }
    // SAFETY: it is not null.
    let high = unsafe { c::rd_kafka_Uuid_most_significant_bits(id) };
    // SAFETY: it is not null.
    let low = unsafe { c::rd_kafka_Uuid_least_significant_bits(id) };
    Ok(Described::Found { id: TopicId::new(high, low), partitions })
}

/// The oldest offset and the one to be written next that the client's last fetch of a partition
/// brought, without asking a broker; nothing before the first.
pub fn seen_ends<C: ClientContext>(
    client: &Client<C>,
    topic: &CStr,
    partition: i32,
) -> Option<(i64, i64)> {
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client lives, the text ends, and both numbers are ours.
    let told = unsafe {
        c::rd_kafka_get_watermark_offsets(
            client.native_ptr(),
            topic.as_ptr(),
            partition,
            &raw mut low,
            &raw mut high,
        )
    };
    (check(told).is_ok() && low >= 0 && high >= 0).then_some((low, high))
}

/// What somebody kept with the offset of a partition: bytes of theirs, in no encoding that can be
/// relied on, although the safe wrapper panics at any that are not UTF-8. Empty if there are none,
/// or the partition is not in the list.
pub fn kept_words(list: &TopicPartitionList, topic: &str, partition: i32) -> Vec<u8> {
    let Ok(topic) = CString::new(topic) else { return Vec::new() };
    // SAFETY: the list lives for the whole of this call, and the text ends.
    let found =
        unsafe { c::rd_kafka_topic_partition_list_find(list.ptr(), topic.as_ptr(), partition) };
    let Some(found) = NonNull::new(found) else { return Vec::new() };
    // SAFETY: it is an element of the list, which nobody changes meanwhile.
    let element = unsafe { found.as_ref() };
    if element.metadata.is_null() || element.metadata_size == 0 {
        return Vec::new();
    }
    // SAFETY: the library keeps this many bytes there as long as the list lives.
    unsafe { std::slice::from_raw_parts(element.metadata.cast::<u8>(), element.metadata_size) }
        .to_vec()
}

fn check(code: RDKafkaRespErr) -> Result<(), KafkaError> {
    match code {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(failed(code.into())),
    }
}

fn failed(code: RDKafkaErrorCode) -> KafkaError {
    KafkaError::AdminOp(code)
}

/// Something that the library made for us, given back when it is dropped.
struct Owned<T: Foreign>(NonNull<T>);

impl<T: Foreign> Owned<T> {
    fn new<A>(of: A, make: impl FnOnce(A) -> *mut T) -> Result<Owned<T>, KafkaError> {
        NonNull::new(make(of)).map(Owned).ok_or(failed(RDKafkaErrorCode::InvalidArgument))
    }
}

impl<T: Foreign> Drop for Owned<T> {
    fn drop(&mut self) {
        T::give_back(self.0.as_ptr());
    }
}

/// What the library takes back.
trait Foreign {
    fn give_back(own: *mut Self);
}

impl Foreign for c::rd_kafka_queue_t {
    fn give_back(own: *mut Self) {
        // SAFETY: it was made for us and is given back once.
        unsafe { c::rd_kafka_queue_destroy(own) }
    }
}

impl Foreign for c::rd_kafka_AdminOptions_t {
    fn give_back(own: *mut Self) {
        // SAFETY: as above.
        unsafe { c::rd_kafka_AdminOptions_destroy(own) }
    }
}

impl Foreign for c::rd_kafka_TopicCollection_t {
    fn give_back(own: *mut Self) {
        // SAFETY: as above.
        unsafe { c::rd_kafka_TopicCollection_destroy(own) }
    }
}

impl Foreign for c::rd_kafka_event_t {
    fn give_back(own: *mut Self) {
        // SAFETY: as above.
        unsafe { c::rd_kafka_event_destroy(own) }
    }
}

#[cfg(test)]
mod tests;
