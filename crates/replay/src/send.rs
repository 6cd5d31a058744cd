//! One batch on its way: sent until it is answered, with the same bytes each time.
//!
//! A batch goes in whose first send is on the tape already; a delivery comes out that has what was
//! answered, and how many sends may have been taken although their answer never came. A permanent
//! refusal ends the delivery at once. After its deadline a batch goes out only in a run that keeps
//! recorded times; the totals then call its events undecided.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use clock::Wall;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::args::Times;
use crate::attempt::{Taken, Try};
use crate::item::Batch;
use crate::progress::Notices;
use crate::tape::{Line, Tape};
use crate::timing::show_us;
use crate::way::{Parcel, Way};

/// Longest wait for one answer: three times what ingest itself allows a batch.
const TRY_MAX: Duration = Duration::from_secs(30);
/// First pause after a failure..
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// ..doubled each time up to this.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A failure is reported once it has lasted this long: a short overload is not trouble.
const TROUBLE_AFTER: Duration = Duration::from_secs(1);

/// The state of a batch in flight.
pub struct Flight {
    /// The batch that is sent.
    pub batch: Arc<Batch>,
    /// Sends that may have been taken; the one under way is among them.
    n_unsure: AtomicU64,
    is_sending: AtomicBool,
}

impl Flight {
    /// Before the first send of this session; `n_unsure` sends of earlier ones may have been taken.
    pub fn new(batch: Arc<Batch>, n_unsure: u64) -> Flight {
        let (n_unsure, is_sending) = (AtomicU64::new(n_unsure), AtomicBool::new(false));
        Flight { batch, n_unsure, is_sending }
    }

    /// Sends that may have been taken although no answer came.
    pub fn n_unsure(&self) -> u64 {
        self.n_unsure.load(Ordering::Acquire)
    }

    /// Whether a send is under way, so that its answer is worth waiting for.
    pub fn is_sending(&self) -> bool {
        self.is_sending.load(Ordering::Acquire)
    }

    fn begin(&self) {
        self.n_unsure.fetch_add(1, Ordering::AcqRel);
        self.is_sending.store(true, Ordering::Release);
    }

    fn end(&self, is_sure: Taken) {
        if is_sure != Taken::Perhaps {
            self.n_unsure.fetch_sub(1, Ordering::AcqRel);
        }
        self.is_sending.store(false, Ordering::Release);
    }
}

/// What happens to a batch whose deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// It is not sent: the run promised exact totals.
    Stop,
    /// It is sent, and its events are undecided: recorded times are what they are.
    Send,
}

impl Overdue {
    /// The policy for these event times.
    pub fn of(times: Times) -> Overdue {
        match times {
            Times::Keep => Overdue::Send,
            Times::Now | Times::Fit { .. } => Overdue::Stop,
        }
    }
}

/// Outcome of a batch.
pub struct Delivery {
    /// The batch that is sent.
    pub batch: Arc<Batch>,
    /// The answer, or why it is missing.
    pub verdict: Result<Answer, String>,
    /// Sends, other than the answered one, that may have been taken.
    pub n_unsure: u64,
    /// Sends beyond the first.
    pub n_retries: u64,
    /// How long each answered send took, microseconds.
    pub latencies_us: Vec<u64>,
}

/// Delivery options.
#[derive(Clone, Copy, Debug)]
pub struct SendOptions {
    /// A batch without an answer for this long is given up.
    pub give_up_after: Duration,
    /// What happens to a batch whose deadline has passed.
    pub overdue: Overdue,
}

/// How a batch is sent; shared by all that are in flight.
pub struct Sender {
    ways: Vec<Way>,
    options: SendOptions,
    tape: Option<Tape>,
    notices: Notices,
}

impl Sender {
    /// Sends over these ways: each batch has the number of its own.
    pub fn new(ways: Vec<Way>, options: SendOptions, tape: Option<Tape>) -> Sender {
        Sender { ways, options, tape, notices: Notices::default() }
    }

    /// Closes the ways.
    pub async fn close(&self) {
        for way in &self.ways {
            way.close().await;
        }
    }

    /// Where failures are reported.
    #[must_use]
    pub fn with_notices(self, notices: Notices) -> Sender {
        Sender { notices, ..self }
    }

    /// Sends a batch until it is answered, refused or given up.
    pub async fn deliver(&self, flight: &Flight) -> Delivery {
        let batch = Arc::clone(&flight.batch);
        let (verdict, latencies_us) = (Err(String::new()), Vec::new());
        let mut delivery = Delivery { batch, verdict, n_unsure: 0, n_retries: 0, latencies_us };
        delivery.verdict = self.send_until_answered(flight, &mut delivery).await;
        delivery.n_unsure = flight.n_unsure();
        delivery
    }

    async fn send_until_answered(
        &self,
        flight: &Flight,
        delivery: &mut Delivery,
    ) -> Result<Answer, String> {
        let number = delivery.batch.number;
        let way = self.ways.get(delivery.batch.way).ok_or("there is no second way")?;
        let parcel = way.pack(&delivery.batch).await?;
        let started = Instant::now();
        let give_up_at = started + self.options.give_up_after;
        let mut pause = PAUSE_MIN;
        loop {
            flight.begin();
            let outcome = Sender::send_once(delivery, way, &parcel, give_up_at).await;
            flight.end(outcome.taken());
            let (why, wait) = match outcome {
                Try::Answered(answer) => {
                    self.note(Line::answer(number, &answer))?;
                    return Ok(answer);
                }
                Try::Refused { why, status } => {
                    self.note(Line::Refused { batch: number, status })?;
                    return Err(why);
                }
                Try::Strange(why) => return Err(why),
                Try::Failed { why, taken, wait } => {
                    if let Taken::No(status) = taken {
                        self.note(Line::Refused { batch: number, status })?;
                    }
                    (why, wait)
                }
            };
            let wait = wait.unwrap_or(pause).max(pause);
            pause = (pause * 2).min(PAUSE_MAX);
            if Instant::now() + wait >= give_up_at {
                return Err(format!("gave up after {:?}: {why}", self.options.give_up_after));
            }
            if started.elapsed() >= TROUBLE_AFTER {
                let left = give_up_at.saturating_duration_since(Instant::now());
                self.notices.report(|| trouble(number, &why, Wall::now().as_us(), left));
            }
            tokio::time::sleep(wait).await;
            self.check_deadline(&delivery.batch)?;
            if let Some(tape) = &self.tape {
                let line = Line::Send { batch: number };
                tape.write_synced(vec![line]).await.map_err(|fault| format!("{fault:#}"))?;
            }
            delivery.n_retries += 1;
        }
    }

    async fn send_once(
        delivery: &mut Delivery,
        way: &Way,
        parcel: &Parcel,
        give_up_at: Instant,
    ) -> Try {
        let until = give_up_at.min(Instant::now() + TRY_MAX);
        let started = Instant::now();
        let sent_us = Wall::now().as_us();
        match tokio::time::timeout_at(until, way.send(parcel, &delivery.batch)).await {
            Err(_) => Try::failed("no answer in time", Taken::Perhaps),
            Ok(Err(failure)) => failure,
            Ok(Ok(judged)) => {
                let latency_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
                delivery.latencies_us.push(latency_us);
                match judged {
                    Try::Answered(answer) => Try::Answered(Answer { sent_us, ..answer }),
                    other => other,
                }
            }
        }
    }

    fn note(&self, line: Line) -> Result<(), String> {
        let Some(tape) = &self.tape else { return Ok(()) };
        tape.write(&[line]).map_err(|fault| format!("{fault:#}"))
    }

    /// Refuses a batch whose events would by now fall into another class, unless such events may
    /// be undecided.
    ///
    /// # Errors
    /// The limit that has passed, human-readable.
    pub fn check_deadline(&self, batch: &Batch) -> Result<(), String> {
        let deadline_us = batch.deadline_us();
        if self.options.overdue == Overdue::Send || Wall::now().as_us() <= deadline_us {
            return Ok(());
        }
        Err(format!(
            "batch {} could be sent until {} only: after that its oldest event turns late, or its \
             nearest event of the future comes true; begin a new run, send faster, or fit the \
             times into a shorter window (--times fit:30m)",
            batch.number,
            show_us(deadline_us)
        ))
    }
}

/// What is reported while a batch gets no answer.
fn trouble(number: u64, why: &str, now_us: i64, left: Duration) -> String {
    let left_us = i64::try_from(left.as_micros()).unwrap_or(i64::MAX);
    let until = show_us(now_us.saturating_add(left_us));
    let until = until.split_once(' ').map_or(until.as_str(), |(_, time)| time);
    format!("batch {number}: {why}; trying again until {until}")
}

#[cfg(test)]
mod tests;
