//! The queue against a model of it that is a plain vector: any mix of appends, reads,
//! retention and reopening gives the same answers.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::record::row_bytes;

const RETENTION_US: i64 = 1_000;
const BYTES_MAX: u64 = 8_000;

#[derive(Debug, Clone)]
enum Op {
    Append(Vec<usize>),
    Read { from: u64, bytes_max: usize },
    Retain { floor: u64 },
    Pass(i64),
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => prop::collection::vec(0usize..900, 0..6).prop_map(Op::Append),
        4 => (0u64..60, 0usize..3_000).prop_map(|(from, bytes_max)| Op::Read { from, bytes_max }),
        2 => (0u64..60).prop_map(|floor| Op::Retain { floor }),
        2 => (0i64..800).prop_map(Op::Pass),
        1 => Just(Op::Reopen),
    ]
}

/// All records ever appended, with their append times, and how many are gone.
#[derive(Default)]
struct Model {
    records: Vec<(i64, Bytes)>,
    low: usize,
}

impl Model {
    fn bytes(&self) -> u64 {
        self.records[self.low..].iter().map(|(_, b)| row_bytes(b.len())).sum()
    }

    fn retain(&mut self, floor: u64, now_us: i64) -> u64 {
        let before = self.low;
        while self.low < self.records.len().min(floor as usize) {
            let too_old = self.records[self.low].0 < now_us - RETENTION_US;
            if !too_old && self.bytes() <= BYTES_MAX - BYTES_MAX / 8 {
                break;
            }
            self.low += 1;
        }
        (self.low - before) as u64
    }

    fn read(&self, from: u64, bytes_max: usize) -> Result<Vec<(i64, Bytes)>, String> {
        let start = from as usize;
        if start < self.low {
            return Err(format!("gap to {}", self.low));
        }
        if start > self.records.len() {
            return Err(format!("past {}", self.records.len()));
        }
        let mut bytes = 0;
        let fits = |(n, (_, b)): &(usize, &(i64, Bytes))| {
            bytes += b.len();
            *n == 0 || bytes <= bytes_max
        };
        let rest = self.records[start..].iter().enumerate();
        Ok(rest.take_while(fits).map(|(_, r)| r.clone()).collect())
    }
}

async fn run(ops: Vec<Op>) {
    let temp = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let options = EmbeddedOptions { retention_us: RETENTION_US, bytes_max: BYTES_MAX, ..options() };
    let reopen = || open_with(temp.path(), options, clock.internals());
    let mut queue = reopen().await.unwrap();
    let mut model = Model::default();
    for op in ops {
        match op {
            Op::Append(lens) => append(&queue, &mut model, &clock, &lens).await,
            Op::Read { from, bytes_max } => {
                let found = match queue.read(0, from, bytes_max).await {
                    Ok(records) => {
                        assert!(records.iter().zip(from..).all(|(r, o)| r.offset == o));
                        assert!(records.iter().all(|r| r.intact));
                        Ok(records.into_iter().map(|r| (r.append_time_us, r.bytes)).collect())
                    }
                    Err(QueueError::Gap { low }) => Err(format!("gap to {low}")),
                    Err(QueueError::PastEnd { high }) => Err(format!("past {high}")),
                    Err(other) => panic!("{other}"),
                };
                assert_eq!(found, model.read(from, bytes_max));
            }
            Op::Retain { floor } => {
                let before = model.bytes();
                let deleted = model.retain(floor, clock.wall_us());
                let report = queue.retain(0, floor, clock.wall_us()).await.unwrap();
                assert_eq!(report.deleted, deleted);
                assert_eq!(report.deleted_bytes, before - model.bytes());
                assert_eq!((report.low, report.more), (model.low as u64, false));
            }
            Op::Pass(us) => clock.pass(us),
            Op::Reopen => {
                queue.close().await;
                queue = reopen().await.unwrap();
            }
        }
        let ends = queue.watermarks(0).await.unwrap();
        let expected = (model.low as u64, model.records.len() as u64);
        assert_eq!((ends.low, ends.high), expected);
        assert_eq!(*queue.subscribe(0).borrow(), ends.high);
        assert_eq!(queue.bytes(), model.bytes());
    }
    queue.close().await;
}

async fn append(queue: &Queue, model: &mut Model, clock: &TestClock, lens: &[usize]) {
    let seed = model.records.len() as u64;
    let new: Vec<Bytes> = lens.iter().zip(seed..).map(|(len, s)| payload(s, *len)).collect();
    let new_bytes: u64 = new.iter().map(|b| row_bytes(b.len())).sum();
    let answer = queue.append(new.iter().cloned().map(record).collect()).await;
    if !new.is_empty() && model.bytes() + new_bytes > BYTES_MAX {
        assert!(matches!(answer, Err(QueueError::Full)));
        return;
    }
    let positions = answer.unwrap();
    assert_eq!(positions.len(), new.len());
    for (position, (bytes, offset)) in positions.iter().zip(new.into_iter().zip(seed..)) {
        assert_eq!((position.generation, position.partition), (1, 0));
        assert_eq!((position.offset, position.append_time_us), (offset, clock.wall_us()));
        model.records.push((clock.wall_us(), bytes));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn queue_answers_as_a_vector_would(ops in prop::collection::vec(op(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(run(ops));
    }
}
