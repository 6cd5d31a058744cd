//! `GET /v1/partitions` and `POST /v1/partitions/{partition}/accept-loss`: the state of the
//! partitions, and an operator's acceptance of a loss.
//!
//! The worker of the partition decides and commits; a request carries the state that the operator
//! has seen, so that a state which has changed since is never accepted.

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use axum::{Json, Router};
use clock::Wall;
use http::StatusCode;
use queue::{Queue, QueueError};
use serde::{Deserialize, Serialize};
use service::answer::{Answer, AnswerResult, ApiError};
use service::auth::{Access, require_key, require_own_origin};
use service::chain;
use service::query::NoParameters;
use service::status::Lag;
use store::{OwnerRow, ProcessRow, Store};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use crate::metrics::Gauges;

/// How long a request waits for the worker or the ledger. What it began goes on if that takes
/// longer.
pub const WAIT_MAX: Duration = Duration::from_secs(15);
/// How long one record may take to come in, and the ledger to say who counts what.
const READ_WAIT_MAX: Duration = Duration::from_secs(5);

/// An operator's acceptance for a halted partition.
#[derive(Debug)]
pub struct Request {
    /// Offset at which counting is to resume, as shown to the operator.
    next: u64,
    answer: oneshot::Sender<Result<Accepted, Refusal>>,
}

/// Requests for the worker of a partition.
pub type Requests = mpsc::Receiver<Request>;
/// The receiving end, held by the worker.
pub type Requester = mpsc::Sender<Request>;

/// A loss that is accepted and committed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Accepted {
    /// Partition.
    pub partition: u32,
    /// Offset at which counting resumes.
    pub next: u64,
    /// Frames that the loss covers.
    pub lost_frames: u64,
    /// Why the partition was halted.
    pub reason: String,
}

/// Why a loss is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Counting would resume at another offset than the operator saw.
    #[error("counting would resume at offset {found}, not at {given}: check the partition again")]
    Changed {
        /// Offset in the request.
        given: u64,
        /// Offset at which the partition is halted.
        found: u64,
    },
    /// The log is shorter than what was counted.
    #[error(
        "the log ends at offset {high}, but counting can only resume at {next}, since offsets \
         never go back: the log has to grow beyond that first"
    )]
    TooShort {
        /// End of the log.
        high: u64,
        /// Offset at which counting would resume.
        next: u64,
    },
    /// The log cannot be read.
    #[error("the log cannot be read now: {0}")]
    Log(String),
    /// Nothing is lost.
    #[error("nothing is lost: {0}")]
    NothingLost(String),
    /// The partition has another owner, or is no longer halted.
    #[error("the partition was claimed again meanwhile: check the partition again")]
    Lost,
}

/// A channel for the requests to one partition: one at a time.
pub fn requests() -> (Requester, Requests) {
    mpsc::channel(1)
}

impl Request {
    /// Answers the request; its caller may be gone.
    pub fn answer(self, result: Result<Accepted, Refusal>) {
        let _ = self.answer.send(result);
    }

    /// Whether the caller is gone: the request must then not be executed.
    pub fn is_forgotten(&self) -> bool {
        self.answer.is_closed()
    }

    /// Checks that counting would resume at the offset that the operator saw.
    ///
    /// # Errors
    /// It would resume at another offset.
    pub fn check(&self, found: u64) -> Result<(), Refusal> {
        let given = self.next;
        if given == found { Ok(()) } else { Err(Refusal::Changed { given, found }) }
    }
}

/// How many frames before `next` were appended after the log's clock stood at `clock_us`: those
/// were certainly not counted. A log is ordered by its append times, but for jumps of a broker's
/// clock.
///
/// # Errors
/// The log cannot be read.
pub async fn lost_frames(
    queue: &Queue,
    partition: u32,
    next: u64,
    clock_us: Option<i64>,
) -> Result<u64, QueueError> {
    let marks = queue.watermarks(partition).await?;
    let end = next.min(marks.high);
    let (mut low, mut high) = (marks.low.min(end), end);
    while low < high {
        let middle = low + (high - low) / 2;
        let time_us = append_time_us(queue, partition, middle..high).await?;
        let is_newer = match (time_us, clock_us) {
            (Some(time_us), Some(clock_us)) => time_us > clock_us,
            _ => true,
        };
        if is_newer { high = middle } else { low = middle + 1 }
    }
    Ok(end - low)
}

/// When the first record of a range was appended, microseconds; `None` for an empty range.
async fn append_time_us(
    queue: &Queue,
    partition: u32,
    offsets: Range<u64>,
) -> Result<Option<i64>, QueueError> {
    let mut offset = offsets.start;
    while offset < offsets.end {
        match queue.read(partition, offset, 1).await {
            Ok(records) => match records.first() {
                Some(record) => return Ok(Some(record.append_time_us)),
                None => wait_for(queue, partition, offset).await?,
            },
            Err(QueueError::Hole { next, .. }) => offset = next,
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Waits until the record at an offset, which is there, has come in.
async fn wait_for(queue: &Queue, partition: u32, offset: u64) -> Result<(), QueueError> {
    let mut come = queue.subscribe(partition);
    let has_come = tokio::time::timeout(READ_WAIT_MAX, come.wait_for(|end| *end > offset)).await;
    match has_come {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err(QueueError::Closed),
        Err(_) => Err(QueueError::Slow { partition, offset }),
    }
}

/// State of the handlers.
#[derive(Clone, Debug)]
pub struct AcceptState {
    /// State of the partitions.
    pub gauges: Arc<Gauges>,
    /// The log, for its ends.
    pub queue: Arc<Queue>,
    /// The workers, by partition.
    pub workers: Arc<Vec<Requester>>,
    /// The ledger, for the partitions of other processes.
    pub store: Arc<Store>,
    /// Generation of the log.
    pub generation: u32,
    /// This process.
    pub process: ProcessRow,
}

/// The guarded routes.
pub fn router(state: AcceptState, access: &Access) -> Router {
    Router::new()
        .route("/v1/partitions", get(partitions))
        .route("/v1/partitions/{partition}/accept-loss", post(accept_loss))
        .route_layer(from_fn_with_state(access.clone(), require_own_origin))
        .route_layer(from_fn_with_state(access.clone(), require_key))
        .with_state(state)
}

/// How far one partition is counted, and by whom.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct PartitionView {
    /// Partition.
    pub partition: u32,
    /// Frames in the log that are not counted; about a second old where another process owns it.
    pub lag_frames: u64,
    /// Offset behind the last counted frame.
    pub next: u64,
    /// Why it is halted; `None` if it is not.
    pub halted: Option<String>,
    /// Offset at which it resumes if the loss is accepted; `None` if it is not halted or nothing is
    /// lost.
    pub resumes_at: Option<u64>,
    /// Who counts it; `None` if nobody has said so since it was claimed last.
    pub owner: Option<OwnerView>,
}

/// The aggregator that counts a partition.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct OwnerView {
    /// Where it listens, by its own account; `None` if it ended, or was not heard for an hour.
    pub address: Option<String>,
    /// Whether it is the one that answers.
    pub is_here: bool,
    /// Whether it was heard within the last half a minute.
    pub is_alive: bool,
}

impl AcceptState {
    /// Who counts each partition: those of this process by its own account, the others by that of
    /// their owner in the ledger.
    async fn owners(&self) -> Result<BTreeMap<u32, OwnerView>, ApiError> {
        let address = Some(self.process.address.clone());
        let here = OwnerView { address, is_here: true, is_alive: true };
        let owned = self.gauges.owned();
        let mut views = BTreeMap::new();
        if owned.len() < self.workers.len() {
            let now = Wall::now();
            let read = async {
                let mut reader = self.store.read().await?;
                Ok((reader.owners(self.generation).await?, reader.processes(now).await?))
            };
            let (owners, processes) = in_time(read).await?;
            for OwnerRow { partition, process, .. } in owners {
                let process = processes.iter().find(|row| row.id == process);
                let view = OwnerView {
                    address: process.map(|row| row.address.clone()),
                    is_here: false,
                    is_alive: process.is_some_and(|row| row.is_alive(now)),
                };
                views.insert(partition, view);
            }
        }
        views.extend(owned.into_iter().map(|partition| (partition, here.clone())));
        Ok(views)
    }
}

/// The ledger's answer, unless it takes too long or fails.
async fn in_time<T>(read: impl Future<Output = store::Result<T>>) -> Result<T, ApiError> {
    let error = match tokio::time::timeout(READ_WAIT_MAX, read).await {
        Ok(Ok(found)) => return Ok(found),
        Ok(Err(error)) => chain(&error),
        Err(_) => "no answer in time".to_owned(),
    };
    warn!(error, "ledger did not say who counts the partitions");
    Err(ApiError::unavailable("the ledger does not answer, which knows who counts the partitions"))
}

async fn partitions(
    State(state): State<AcceptState>,
    _: NoParameters,
) -> AnswerResult<Vec<PartitionView>> {
    let mut owners = state.owners().await?;
    let view = |lag: Lag| PartitionView {
        partition: lag.partition,
        lag_frames: lag.frames,
        next: lag.next,
        halted: lag.halted.as_ref().map(|halt| halt.reason.clone()),
        resumes_at: lag.halted.and_then(|halt| halt.resumes_at),
        owner: owners.remove(&lag.partition),
    };
    Ok(Answer::ok(state.gauges.lag(&state.queue).into_iter().map(view).collect()))
}

/// The body of a request to accept a loss.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptLoss {
    /// The offset at which counting resumes, as the operator saw it.
    pub next: u64,
}

async fn accept_loss(
    State(state): State<AcceptState>,
    Path(partition): Path<String>,
    _: NoParameters,
    body: Result<Json<AcceptLoss>, JsonRejection>,
) -> AnswerResult<Accepted> {
    let conflict = |message: String| ApiError::new(StatusCode::CONFLICT, message);
    let number = partition.parse::<u32>().ok();
    let worker = number.and_then(|number| state.workers.get(number as usize));
    let (Some(number), Some(worker)) = (number, worker) else {
        return Err(ApiError::not_found(format!("there is no partition '{partition}'")));
    };
    let Json(AcceptLoss { next }) =
        body.map_err(|error| ApiError::bad_request(error.body_text()))?;
    if !state.gauges.owned().contains(&number) {
        return Err(conflict(format!(
            "this aggregator does not count partition {number}: ask the one that does, which \
             /v1/partitions names"
        )));
    }
    let lags = state.gauges.lag(&state.queue);
    if !lags.iter().any(|lag| lag.partition == number && lag.halted.is_some()) {
        return Err(conflict(format!("partition {number} is not halted")));
    }
    let (answer, answered) = oneshot::channel();
    worker
        .try_send(Request { next, answer })
        .map_err(|_| conflict("another request for this partition is under way".to_owned()))?;
    match tokio::time::timeout(WAIT_MAX, answered).await {
        Ok(Ok(Ok(accepted))) => Ok(Answer::ok(accepted)),
        Ok(Ok(Err(refusal))) => Err(conflict(refusal.to_string())),
        Ok(Err(_)) => Err(ApiError::unavailable("the aggregator is ending")),
        Err(_) => Err(ApiError::unavailable(
            "no answer in time: it may still be carried out, look at the partitions in a moment",
        )),
    }
}
