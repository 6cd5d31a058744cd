//! A ledger with a month of rows, made through the store: what the API is asked about.
//!
//! 200 namespaces that are asked all day, with an error now and then; 2,000 consumers who work some
//! hours of each day, which makes a million rows of consumers.

use std::path::Path;
use std::sync::Arc;

use clock::Wall;
use event::{Method, Outcome as Ended, ServiceTier, UsageSource};
use ledger::commit::{Commit, CommitId, CommitRows, Outcome, Part};
use ledger::consumer::{ConsumerLabels, ConsumerSums};
use ledger::measures::Measures;
use ledger::series::{FullLabels, SeriesId};
use ledger::window::{MINUTE_US, QUARTER_MINUTES, QUARTER_US};
use queue::{EmbeddedOptions, Queue};
use store::Store;

/// Namespaces.
pub const NAMESPACES: usize = 200;
/// Consumers of each namespace.
const CONSUMERS: usize = 10;
/// Days of rows.
pub const DAYS: i64 = 30;
/// Quarter-hours of a day.
const DAY: i64 = 96;
/// Quarter-hours of a day in which a consumer asks: with them there are a million rows.
const WORKING: i64 = 17;
/// Minutes that are kept.
const MINUTES: i64 = 48 * 60;
/// Quarter-hours of one commit.
const STEP: i64 = 8;

/// What was made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Made {
    /// Rows of quarter-hours.
    pub n_quarters: usize,
    /// Rows of minutes.
    pub n_minutes: usize,
    /// Rows of consumers.
    pub n_used: usize,
}

/// Name of a namespace.
pub fn namespace(idx: usize) -> String {
    format!("team-{idx:03}")
}

fn labels(idx: usize, is_error: bool) -> FullLabels {
    let status = if is_error { 503 } else { 200 };
    FullLabels {
        namespace: namespace(idx).into(),
        upstream: ["openai", "anthropic", "vllm", "deepseek"][idx % 4].into(),
        model: ["gpt-4o", "claude-sonnet-4", "qwen2.5-72b", "deepseek-chat", "o3-mini"][idx % 5]
            .into(),
        method: Method::Post,
        endpoint: "/v1/chat/completions".into(),
        status,
        outcome: Ended::of(status, None),
        service_tier: ServiceTier::Standard,
        source: if is_error { UsageSource::None } else { UsageSource::Reported },
        is_final: true,
        limited_by: None,
    }
}

fn sums(n: i64) -> Measures {
    let mut sums = Measures {
        n,
        duration_us: n * 1_234_567,
        ttft_us: n * 234_567,
        cost_nano: n * 1_000_003,
        ..Measures::default()
    };
    for (bucket, part) in [(6, 4), (7, 3), (8, 2)] {
        sums.duration[bucket] = n / part;
        sums.duration[9] -= n / part;
        sums.ttft[bucket] = n / part;
        sums.ttft[9] -= n / part;
    }
    sums.duration[9] += n;
    sums.ttft[9] += n;
    sums.tokens = [n * 811, n * 97, 0, n * 403, n * 11];
    sums
}

/// Makes log and ledger, and fills the ledger up to the present.
pub async fn fill(folder: &Path) -> Made {
    let queue = Queue::open_embedded(folder, EmbeddedOptions::default()).await.expect("a log");
    let store = Store::open(folder).await.expect("a ledger");
    let generation = queue.generation();
    let made = store.generation(generation, queue.partitions()).await;
    let generation = made.expect("a generation").generation;
    for idx in 0..NAMESPACES {
        store.create_namespace(&namespace(idx), &namespace(idx)).await.expect("a namespace");
    }
    let claim = store.claim(generation, 0, [7; 16], 2).await.expect("a claim");
    let mut progress = claim.progress;
    let mut made = Made::default();
    let end = Wall::now().as_us().div_euclid(QUARTER_US);
    let mut from = end - DAYS * DAY;
    while from < end {
        let rows = rows(from..end.min(from + STEP), end);
        made.n_quarters += rows.quarters.len();
        made.n_minutes += rows.minutes.len();
        made.n_used += rows.used.len();
        let n: i64 = rows.totals.iter().map(|row| row.2.n).sum();
        progress.account.events += n;
        progress.account.counted += n;
        let mut part = Part::without_rows(claim.owner, progress.next, progress);
        part.sums.events = n;
        part.sums.counted = n;
        part.rows = Arc::new(rows);
        let mut id = [0; 16];
        id[..8].copy_from_slice(&from.to_le_bytes());
        let commit = Arc::new(Commit::of(CommitId(id), vec![Arc::new(part)]));
        let (outcome, error) = store.commit(commit).await;
        assert!(matches!(outcome, Outcome::Committed { .. }), "{error:?}");
        from += STEP;
    }
    while store.roll_up(Wall::now()).await.expect("rolled up") {}
    queue.close().await;
    store.close().await;
    made
}

/// The rows of some quarter-hours.
fn rows(quarters: std::ops::Range<i64>, end: i64) -> CommitRows {
    let mut rows = CommitRows::default();
    for idx in 0..NAMESPACES {
        for is_error in [false, true] {
            let labels = Arc::new(labels(idx, is_error));
            let (id, short) = (labels.id(), Arc::new(labels.short()));
            let short_id = short.id();
            let mut total = Measures::default();
            for at in quarters.clone().filter(|at| !is_error || at % 8 == idx as i64 % 8) {
                let n = if is_error { 3 } else { 20 + (at + idx as i64) % 50 };
                total.add(&sums(n)).expect("small");
                rows.quarters.push((at, id, sums(n)));
                let minutes = at * QUARTER_MINUTES..(at + 1) * QUARTER_MINUTES;
                let kept = end * QUARTER_MINUTES - MINUTES;
                for minute in minutes.filter(|minute| *minute >= kept) {
                    // Requests of a quarter-hour come in its first minutes.
                    let ago = minute - at * QUARTER_MINUTES;
                    let n = n / QUARTER_MINUTES + i64::from(ago < n % QUARTER_MINUTES);
                    if n > 0 {
                        rows.minutes.push((minute, short_id, sums(n)));
                    }
                }
            }
            if total.n > 0 {
                rows.totals.push((id, Arc::clone(&labels), total));
                rows.shorts.push((short_id, short));
            }
        }
        for consumer in 0..CONSUMERS {
            let name = format!("key-{idx:03}-{consumer}");
            let full = labels(idx, false);
            let labels = event::Labels { consumer: Some(&name), ..full.labels() };
            let mut bytes = Vec::new();
            ConsumerLabels::encode(&labels, &mut bytes);
            let id = ConsumerLabels::id_of(&bytes);
            let begin = (idx + 7 * consumer) as i64;
            let is_working = |at: &i64| (at + begin).rem_euclid(DAY) < WORKING;
            let before = rows.used.len();
            for at in quarters.clone().filter(is_working) {
                let n = 1 + (at + begin) % 9;
                let tokens = sums(n).tokens;
                rows.used.push((at, id, ConsumerSums { requests: n, tokens, cost_nano: 7 * n }));
            }
            if rows.used.len() > before {
                rows.consumers.push((id, Arc::new(ConsumerLabels::of(&labels))));
            }
        }
    }
    sort(&mut rows);
    rows
}

/// Commits have their rows sorted by key.
fn sort(rows: &mut CommitRows) {
    let by = |at: i64, id: SeriesId| (at, id);
    rows.totals.sort_by_key(|row| row.0);
    rows.shorts.sort_by_key(|row| row.0);
    rows.consumers.sort_by_key(|row| row.0);
    rows.quarters.sort_by_key(|row| by(row.0, row.1));
    rows.minutes.sort_by_key(|row| by(row.0, row.1));
    rows.used.sort_by_key(|row| by(row.0, row.1));
}

/// The first moment of the month, and the present, microseconds since the epoch.
pub fn span_us() -> (i64, i64) {
    let end = Wall::now().as_us().div_euclid(QUARTER_US) * QUARTER_US;
    (end - DAYS * DAY * QUARTER_US, end.max(MINUTE_US))
}
