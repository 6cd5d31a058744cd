//! The run itself: batches are made, written to the tape, sent over a few connections, folded.
//!
//! One loop makes the batches in order, so that the tape and the plan agree; at most
//! `n_connections` deliveries are in flight. However the run ends, every batch that was sent is
//! accounted for: answered, known not taken, or unknown. A batch must never be sent before its line
//! is on the tape.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clock::Wall;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use crate::item::Batch;
use crate::latency::Latencies;
use crate::past::PastBatch;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::send::{Delivery, Flight, Sender};
use crate::tape::{Line, Tape};
use crate::totals::Totals;

/// An interrupted run waits this long for the answers that are due: longer than ingest ever takes.
const GRACE: Duration = Duration::from_secs(15);

/// Everything a run needs.
pub struct Drive {
    /// What is sent.
    pub plan: Plan,
    /// How it is sent.
    pub sender: Arc<Sender>,
    /// Where it is written down.
    pub tape: Option<Tape>,
    /// Batches of an earlier session that are not yet looked at, the first one last.
    pub past: Vec<PastBatch>,
    /// Deliveries in flight at once.
    pub n_connections: usize,
    /// Events per second.
    pub rate: Option<u64>,
    /// Where progress is reported.
    pub progress: Progress,
}

/// Outcome of a run.
pub struct Outcome {
    /// The totals that the receiver must show.
    pub totals: Totals,
    /// How long sends took.
    pub latencies: Latencies,
    /// Sends beyond the first of a batch, in this session.
    pub n_retries: u64,
    /// Batches answered, earlier sessions included.
    pub n_batches: u64,
    /// Events answered in this session.
    pub n_events_answered: u64,
    /// Length of this session.
    pub elapsed: Duration,
    /// Why the run ended before its end.
    pub stopped: Option<String>,
    /// What a reader of the totals must know about the source.
    pub remark: Option<String>,
}

struct State {
    outcome: Outcome,
    flights: JoinSet<Delivery>,
    open: BTreeMap<u64, (Arc<Flight>, AbortHandle)>,
    /// When the next batch may go out.
    due: Instant,
    /// When an interrupted run stops waiting.
    grace_end: Option<Instant>,
    at_end: bool,
}

impl Drive {
    /// Runs to the end, or until `interrupt` completes or a fault ends it.
    pub async fn run(mut self, interrupt: impl Future<Output = ()>) -> Outcome {
        let started = Instant::now();
        let mut interrupt = pin!(interrupt);
        let mut state = State::new(started);
        loop {
            let may_send = state.outcome.stopped.is_none()
                && !state.at_end
                && state.flights.len() < self.n_connections;
            if !may_send && state.flights.is_empty() {
                break;
            }
            let is_stopped = state.outcome.stopped.is_some();
            let grace_end = state.grace_end.unwrap_or(started);
            tokio::select! {
                biased;
                () = &mut interrupt, if !is_stopped => {
                    state.outcome.stopped = Some("interrupted".to_string());
                    state.grace_end = Some(Instant::now() + GRACE);
                    // A batch that waits for a retry has no answer in flight.
                    let open = state.open.values();
                    let resting = open.filter(|(flight, _)| !flight.is_sending());
                    resting.for_each(|(_, task)| task.abort());
                }
                Some(joined) = state.flights.join_next() => {
                    // A delivery that was cut off stays in `open`.
                    if let Ok(delivery) = joined {
                        self.land(&mut state, delivery);
                    }
                }
                () = tokio::time::sleep_until(grace_end), if state.grace_end.is_some() => {
                    state.grace_end = None;
                    state.flights.abort_all();
                }
                () = tokio::time::sleep_until(state.due), if may_send => {
                    if let Err(fault) = self.launch(&mut state).await {
                        state.outcome.stopped.get_or_insert(format!("{fault:#}"));
                    }
                }
            }
        }
        for (flight, _) in state.open.values() {
            state.outcome.totals.fold_failed(&flight.batch, flight.n_unsure());
        }
        if let Err(fault) = self.account_for_past(&mut state.outcome) {
            state.outcome.stopped.get_or_insert(format!("{fault:#}"));
        }
        if let Some(Err(fault)) = self.tape.as_ref().map(Tape::sync) {
            state.outcome.stopped.get_or_insert(format!("{fault:#}"));
        }
        self.progress.finish();
        state.outcome.remark = self.plan.source().remark();
        state.outcome.elapsed = started.elapsed();
        state.outcome
    }

    /// Sends the next batch that is not answered yet.
    async fn launch(&mut self, state: &mut State) -> anyhow::Result<()> {
        let Some((batch, n_unsure, line)) = self.next_open(&mut state.outcome)? else {
            state.at_end = true;
            return Ok(());
        };
        if let Err(why) = self.sender.check_deadline(&batch) {
            state.outcome.totals.fold_failed(&batch, n_unsure);
            bail!("{why}");
        }
        if let Some(tape) = &self.tape
            && let Err(fault) = tape.write_synced(vec![line]).await
        {
            state.outcome.totals.fold_failed(&batch, n_unsure);
            return Err(fault);
        }
        let n_events = batch.items.len() as u64;
        if let Some(rate) = self.rate {
            let pause = Duration::from_secs_f64(n_events as f64 / rate as f64);
            // A receiver that was slow for a moment must not be flooded afterwards.
            state.due = (state.due + pause).max(Instant::now());
        }
        let batch = Arc::new(batch);
        let number = batch.number;
        let flight = Arc::new(Flight::new(batch, n_unsure));
        let (sender, own) = (Arc::clone(&self.sender), Arc::clone(&flight));
        let task = state.flights.spawn(async move { sender.deliver(&own).await });
        state.open.insert(number, (flight, task));
        Ok(())
    }

    /// The next batch to send with its unsure sends and its line; answered ones of an earlier
    /// session are folded on the way.
    fn next_open(&mut self, outcome: &mut Outcome) -> anyhow::Result<Option<(Batch, u64, Line)>> {
        while let Some(past) = self.past.pop() {
            let batch = self.repeat(&past)?;
            let Some(answer) = &past.answer else {
                let line = Line::Send { batch: batch.number };
                return Ok(Some((batch, past.n_unsure, line)));
            };
            outcome.totals.fold(&batch, answer, past.n_unsure);
            outcome.n_batches += 1;
            self.progress.advance(batch.items.len() as u64);
        }
        let batch = self.plan.next_batch(Wall::now().as_us())?;
        Ok(batch.map(|batch| {
            let line = Line::batch(&batch);
            (batch, 0, line)
        }))
    }

    fn repeat(&mut self, past: &PastBatch) -> anyhow::Result<Batch> {
        let batch = self.plan.next_batch(past.at_us)?;
        let batch = batch.context("the tape has more batches than its setup produces")?;
        if batch.digest() != past.digest {
            bail!(
                "batch {} differs from the tape: was it written by another version?",
                batch.number
            );
        }
        Ok(batch)
    }

    fn land(&mut self, state: &mut State, delivery: Delivery) {
        let batch = &delivery.batch;
        let outcome = &mut state.outcome;
        state.open.remove(&batch.number);
        outcome.n_retries += delivery.n_retries;
        delivery.latencies_us.iter().for_each(|latency_us| outcome.latencies.add(*latency_us));
        match &delivery.verdict {
            Ok(answer) => {
                outcome.totals.fold(batch, answer, delivery.n_unsure);
                outcome.n_batches += 1;
                outcome.n_events_answered += batch.items.len() as u64;
                self.progress.advance(batch.items.len() as u64);
            }
            Err(why) => {
                outcome.totals.fold_failed(batch, delivery.n_unsure);
                outcome.stopped.get_or_insert(format!("batch {}: {why}", batch.number));
            }
        }
    }

    /// A resumed run that stops early still accounts for what earlier sessions sent.
    fn account_for_past(&mut self, outcome: &mut Outcome) -> anyhow::Result<()> {
        while let Some(past) = self.past.pop() {
            let batch = self.repeat(&past)?;
            match &past.answer {
                Some(answer) => {
                    outcome.totals.fold(&batch, answer, past.n_unsure);
                    outcome.n_batches += 1;
                }
                None => outcome.totals.fold_failed(&batch, past.n_unsure),
            }
        }
        Ok(())
    }
}

impl State {
    fn new(started: Instant) -> State {
        State {
            outcome: Outcome {
                totals: Totals::default(),
                latencies: Latencies::new(),
                n_retries: 0,
                n_batches: 0,
                n_events_answered: 0,
                elapsed: Duration::ZERO,
                stopped: None,
                remark: None,
            },
            flights: JoinSet::new(),
            open: BTreeMap::new(),
            due: started,
            grace_end: None,
            at_end: false,
        }
    }
}
