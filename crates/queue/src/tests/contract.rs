//! What every log promises, tried on both backends by the same cases.

use std::collections::{HashMap, HashSet};

use super::kafka::Topic;
use super::*;
use crate::{KAFKA_RECORD_BYTES_MAX, Position, READ_RECORDS_MAX, Watermarks};

/// A log that can be opened again.
enum Backend {
    Embedded(tempfile::TempDir),
    Kafka(Topic),
}

/// An open log; embedded, both are one.
struct Log {
    writer: Arc<Queue>,
    reader: Arc<Queue>,
}

impl Backend {
    fn embedded() -> Backend {
        Backend::Embedded(tempfile::tempdir().unwrap())
    }

    fn kafka() -> Backend {
        Backend::Kafka(Topic::new(1))
    }

    async fn open(&self) -> Log {
        match self {
            Backend::Embedded(folder) => {
                let queue = Arc::new(open(folder.path()).await);
                Log { writer: Arc::clone(&queue), reader: queue }
            }
            Backend::Kafka(topic) => {
                let (writer, reader) = (topic.producer().await, topic.consumer().await);
                Log { writer: Arc::new(writer), reader: Arc::new(reader) }
            }
        }
    }

    /// Deletes everything before an offset, as retention does.
    async fn delete_before(&self, log: &Log, offset: u64) {
        match self {
            Backend::Embedded(_) => {
                log.writer.retain(0, offset, i64::MAX).await.unwrap();
            }
            Backend::Kafka(topic) => topic.delete_before(0, offset).await,
        }
    }
}

impl Log {
    async fn append(&self, records: Vec<Append>) -> Vec<Position> {
        self.writer.append(records).await.unwrap()
    }

    async fn ends(&self) -> Watermarks {
        self.reader.watermarks(0).await.unwrap()
    }

    async fn close(self) {
        self.writer.close().await;
        self.reader.close().await;
    }
}

/// The records from one offset up to another, waiting for what has not come yet.
pub(super) async fn read_up_to(
    queue: &Queue,
    partition: u32,
    offsets: std::ops::Range<u64>,
) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    let mut next = offsets.start;
    let reading = async {
        while next < offsets.end {
            let piece = match queue.read(partition, next, 64 << 10).await {
                Ok(piece) => piece,
                // The group may take a partition and give it again at any time.
                Err(QueueError::NotAssigned { .. }) => {
                    queue.assigned(partition).await.unwrap();
                    continue;
                }
                Err(error) => panic!("offset {next}: {error}"),
            };
            if piece.is_empty() {
                let mut end = queue.subscribe(partition);
                end.wait_for(|end| *end > next).await.unwrap();
            }
            for record in piece.into_iter().take_while(|record| record.offset < offsets.end) {
                assert_eq!(record.offset, next, "offsets are consecutive");
                next += 1;
                records.push(record);
            }
        }
    };
    tokio::time::timeout(DEADLINE, reading).await.expect("records come in time");
    records
}

async fn records_are_read_as_they_were_appended(backend: Backend) {
    let log = backend.open().await;
    let lens = [0, 1, 300, 9_000, 70_000, 0, 5];
    let made: Vec<Bytes> = lens.iter().zip(1..).map(|(len, seed)| payload(seed, *len)).collect();
    let mut positions = log.append(made[..3].iter().cloned().map(record).collect()).await;
    positions.extend(log.append(made[3..].iter().cloned().map(record).collect()).await);
    let offsets: Vec<u64> = positions.iter().map(|position| position.offset).collect();
    assert_eq!(offsets, (0..7).collect::<Vec<u64>>());
    let records = read_up_to(&log.reader, 0, 0..7).await;
    for ((record, bytes), position) in records.iter().zip(&made).zip(&positions) {
        assert_eq!(&record.bytes, bytes);
        assert!(record.intact);
        assert_eq!((position.generation, position.partition), (log.reader.generation(), 0));
        assert_eq!(record.append_time_us, position.append_time_us, "one time for both sides");
    }
    assert!(positions[0].append_time_us > START_US);
    assert_eq!(log.reader.read(0, 7, 1).await.unwrap(), Vec::new());
    assert_eq!(log.ends().await, Watermarks { low: 0, high: 7 });
    log.close().await;
}

async fn reads_begin_anywhere_and_any_number_of_times(backend: Backend) {
    let log = backend.open().await;
    let made: Vec<Bytes> = (0..40).map(|seed| payload(seed, 100)).collect();
    log.append(made.iter().cloned().map(record).collect()).await;
    for from in [17, 3, 39, 3, 0, 38] {
        let records = log.reader.read(0, from, 250).await.unwrap();
        assert!((1..=2).contains(&records.len()), "as many as fit");
        assert_eq!(records[0].bytes, made[from as usize]);
        let one = log.reader.read(0, from, 0).await.unwrap();
        assert_eq!((one.len(), one[0].offset), (1, from), "one at least");
    }
    let all = read_up_to(&log.reader, 0, 0..40).await;
    assert!(all.iter().zip(&made).all(|(record, bytes)| record.bytes == *bytes));
    log.close().await;
}

async fn read_is_bounded_in_records(backend: Backend) {
    let log = backend.open().await;
    let n = READ_RECORDS_MAX + 10;
    log.append(vec![record("x"); n]).await;
    let mut reader = log.reader.subscribe(0);
    log.reader.read(0, 0, 1).await.unwrap();
    let all_in = reader.wait_for(|end| *end == n as u64);
    tokio::time::timeout(DEADLINE, all_in).await.unwrap().unwrap();
    assert_eq!(log.reader.read(0, 1, usize::MAX).await.unwrap().len(), READ_RECORDS_MAX);
    log.close().await;
}

async fn offsets_past_the_end_are_an_error(backend: Backend) {
    let log = backend.open().await;
    assert_eq!(log.reader.read(0, 0, 1).await.unwrap(), Vec::new());
    assert!(matches!(log.reader.read(0, 1, 1).await, Err(QueueError::PastEnd { high: 0 })));
    log.append(vec![record("a"), record("b")]).await;
    for from in [3, 1_000, u64::MAX] {
        let error = log.reader.read(0, from, 1).await.unwrap_err();
        assert!(matches!(error, QueueError::PastEnd { high: 2 }), "{error}");
    }
    assert_eq!(log.reader.read(0, 1, 1).await.unwrap()[0].bytes, "b");
    log.close().await;
}

async fn deleted_offsets_are_a_gap_with_the_first_that_is_left(backend: Backend) {
    let log = backend.open().await;
    log.append((0..6).map(|seed| record(payload(seed, 10))).collect()).await;
    assert_eq!(read_up_to(&log.reader, 0, 0..2).await.len(), 2);
    backend.delete_before(&log, 4).await;
    let error = log.reader.read(0, 0, 1).await.unwrap_err();
    assert!(matches!(error, QueueError::Gap { low: 4 }), "{error}");
    assert_eq!(log.ends().await, Watermarks { low: 4, high: 6 });
    assert_eq!(log.reader.read(0, 4, 1).await.unwrap()[0].bytes, payload(4, 10));
    backend.delete_before(&log, 6).await;
    assert_eq!(log.ends().await, Watermarks { low: 6, high: 6 });
    assert_eq!(log.append(vec![record("after all")]).await[0].offset, 6, "offsets go on");
    assert_eq!(read_up_to(&log.reader, 0, 6..7).await[0].bytes, "after all");
    log.close().await;
}

async fn concurrent_appends_each_have_a_place_of_their_own(backend: Backend) {
    let log = backend.open().await;
    let mut tasks = tokio::task::JoinSet::new();
    for who in 0..8u64 {
        let writer = Arc::clone(&log.writer);
        tasks.spawn(async move {
            let mut acked = Vec::new();
            for n in 0..25 {
                let bytes = payload((who << 32) | n, 50);
                let position = writer.append(vec![record(bytes.clone())]).await.unwrap()[0];
                acked.push((position, bytes));
            }
            acked
        });
    }
    let acked: HashMap<u64, Bytes> =
        tasks.join_all().await.into_iter().flatten().map(|(p, bytes)| (p.offset, bytes)).collect();
    assert_eq!(acked.keys().copied().collect::<HashSet<u64>>(), (0..200).collect());
    for record in read_up_to(&log.reader, 0, 0..200).await {
        assert_eq!(acked[&record.offset], record.bytes);
    }
    log.close().await;
}

async fn whoever_waits_is_woken_by_an_append(backend: Backend) {
    let log = backend.open().await;
    for n in 0..3 {
        assert_eq!(log.reader.read(0, n, 1).await.unwrap(), Vec::new());
        let mut end = log.reader.subscribe(0);
        let waits = tokio::time::timeout(DEADLINE, end.wait_for(|end| *end > n));
        let (woken, positions) = tokio::join!(waits, log.append(vec![record("x")]));
        woken.unwrap().unwrap();
        assert_eq!(positions[0].offset, n);
        assert_eq!(log.reader.read(0, n, 1).await.unwrap()[0].offset, n);
    }
    log.close().await;
}

async fn log_opened_again_goes_on_where_it_was(backend: Backend) {
    for round in 0..3u64 {
        let log = backend.open().await;
        tokio::time::timeout(DEADLINE, log.reader.assigned(0)).await.unwrap().unwrap();
        assert_eq!(log.ends().await.high, round * 2);
        let made = vec![record(payload(round, 20)), record(payload(round, 30))];
        assert_eq!(log.append(made).await[1].offset, round * 2 + 1);
        let records = read_up_to(&log.reader, 0, 0..round * 2 + 2).await;
        for (pair, seed) in records.chunks(2).zip(0..) {
            assert_eq!((&pair[0].bytes, &pair[1].bytes), (&payload(seed, 20), &payload(seed, 30)));
        }
        log.writer.close().await;
        let error = log.writer.append(vec![record("closed")]).await.unwrap_err();
        assert!(matches!(error, QueueError::Closed), "{error}");
        log.reader.close().await;
        let error = log.reader.read(0, 0, 1).await.unwrap_err();
        assert!(matches!(error, QueueError::Closed), "{error}");
    }
}

async fn calls_that_can_never_work_are_refused(backend: Backend) {
    let log = backend.open().await;
    let elsewhere = Append { partition: 1, bytes: Bytes::from_static(b"x") };
    let error = log.writer.append(vec![record("a"), elsewhere]).await.unwrap_err();
    assert!(matches!(error, QueueError::Partition { partition: 1, partitions: 1 }), "{error}");
    let large = Bytes::from(vec![0; KAFKA_RECORD_BYTES_MAX]);
    let n_too_many = crate::APPEND_BYTES_MAX / KAFKA_RECORD_BYTES_MAX + 1;
    let error = log.writer.append(vec![record(large); n_too_many]).await.unwrap_err();
    assert!(matches!(error, QueueError::TooLarge { .. }), "{error}");
    assert!(matches!(log.reader.read(7, 0, 1).await, Err(QueueError::Partition { .. })));
    assert!(matches!(log.reader.watermarks(7).await, Err(QueueError::Partition { .. })));
    assert!(matches!(log.reader.assigned(7).await, Err(QueueError::Partition { .. })));
    assert!(matches!(log.reader.retain(7, 0, 0).await, Err(QueueError::Partition { .. })));
    assert_eq!(log.writer.append(Vec::new()).await.unwrap(), Vec::new());
    assert_eq!(log.ends().await.high, 0, "nothing was written");
    log.close().await;
}

macro_rules! on_both {
    ($($case:ident)*) => {
        mod embedded {
            use super::Backend;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$case(Backend::embedded()).await;
                }
            )*
        }

        mod kafka {
            use super::Backend;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$case(Backend::kafka()).await;
                }
            )*
        }
    };
}

on_both! {
    records_are_read_as_they_were_appended
    reads_begin_anywhere_and_any_number_of_times
    read_is_bounded_in_records
    offsets_past_the_end_are_an_error
    deleted_offsets_are_a_gap_with_the_first_that_is_left
    concurrent_appends_each_have_a_place_of_their_own
    whoever_waits_is_woken_by_an_append
    log_opened_again_goes_on_where_it_was
    calls_that_can_never_work_are_refused
}
