//! `POST /v1/dead-letters/replay`: appends events again that were read in the log and not counted.
//!
//! A letter keeps its event as a frame of its own, under the key that it came with. What a foreign
//! writer put into the wrong partition goes into the right one, what was of the future may be due
//! by now. The rest would end as it did before and is refused. Nothing is counted twice: a copy of
//! what was counted in between is recognised by its key.

use axum::extract::State;
use bytes::Bytes;
use event::frame::{FrameBuilder, FrameReader};
use event::{Facts, Labels};
use serde::{Deserialize, Serialize};
use service::answer::{Answer, AnswerResult, ApiError};
use service::query::NoParameters;
use store::{LogLetter, Reader, StoreError};

use crate::answer::unavailable;
use crate::gather::now_us;
use crate::intake::{Intake, Unready};
use crate::stamp::{builder, settle_again};

/// Most letters of one request: as many as a batch has events, so that they fit a frame.
const LETTERS_MAX: usize = event::limits::BATCH_EVENTS_MAX;

/// The address of a letter.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Address {
    generation: u32,
    partition: u32,
    offset: u64,
    index: u32,
}

/// The body of a request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    letters: Vec<Address>,
}

/// What became of the letters.
#[derive(Debug, Serialize)]
pub struct Replayed {
    /// Letters that are in the log again.
    accepted: usize,
    /// The others.
    rejected: Vec<Refused>,
}

#[derive(Debug, Serialize)]
struct Refused {
    /// Place in the request.
    index: usize,
    reason: String,
}

/// The answer to a request.
pub async fn replay(
    State(intake): State<Intake>,
    _: NoParameters,
    body: Bytes,
) -> AnswerResult<Replayed> {
    let wanted: Wanted = serde_json::from_slice(&body).map_err(|error| {
        ApiError::bad_request(format!("the body is no list of letters: {error}"))
    })?;
    if wanted.letters.len() > LETTERS_MAX {
        let message = format!("a request has at most {LETTERS_MAX} letters");
        return Err(ApiError::bad_request(message));
    }
    append_again(&intake, &wanted.letters).await.map(Answer::ok).map_err(|unready| {
        intake.note(&unready);
        unavailable(unready)
    })
}

async fn append_again(intake: &Intake, wanted: &[Address]) -> Result<Replayed, Unready> {
    intake.check_pressure()?;
    let mut reader = intake.parts.store.read().await.map_err(Unready::Store)?;
    let mut rejected = Vec::new();
    let mut letters = Vec::new();
    for (index, address) in wanted.iter().enumerate() {
        let found = find(intake, &mut reader, *address).await.map_err(Unready::Store)?;
        match found {
            Ok(content) => letters.push((index, content)),
            Err(reason) => rejected.push(Refused { index, reason }),
        }
    }
    drop(reader);
    let mut names = Vec::new();
    for (_, content) in &letters {
        // What does not decode has no names; it is refused below.
        let _ = decoded(content, |labels, _| names.extend(crate::label::names(labels)));
    }
    intake.register_names(names).await?;
    let mut builders = Vec::new();
    let mut accepted = 0;
    for (index, content) in &letters {
        let pushed = decoded(content, |labels, facts| push(intake, &mut builders, labels, facts));
        match pushed.and_then(|pushed| pushed) {
            Ok(()) => accepted += 1,
            Err(reason) => rejected.push(Refused { index: *index, reason: reason.to_owned() }),
        }
    }
    intake.append(builders).await?;
    rejected.sort_by_key(|refused| refused.index);
    Ok(Replayed { accepted, rejected })
}

/// The event of a letter that may be sent again, or why it may not.
async fn find(
    intake: &Intake,
    reader: &mut Reader,
    address: Address,
) -> Result<Result<Vec<u8>, String>, StoreError> {
    let Address { generation, partition, offset, index } = address;
    let current = intake.parts.queue.generation();
    if generation != current {
        // Its key was made with the secret of its generation and means nothing in another.
        return Ok(Err(format!("it is of generation {generation}, the log is of {current}")));
    }
    let Some(letter) = reader.log_letter(generation, partition, offset, index).await? else {
        return Ok(Err("there is no such letter".to_owned()));
    };
    let LogLetter { class, content, .. } = letter;
    if !["misrouted", "future"].contains(&class.as_str()) {
        return Ok(Err(format!("it is {class}, and would be so again")));
    }
    Ok(content.ok_or_else(|| "its content was not kept: it came beyond the cap".to_owned()))
}

/// Decodes the one event of a letter and hands it on.
fn decoded<T>(
    content: &[u8],
    use_it: impl FnOnce(&Labels<'_>, &Facts) -> T,
) -> Result<T, &'static str> {
    const NO_EVENT: &str = "its content is no event";
    let mut reader = FrameReader::default();
    let view = reader.read(content).map_err(|_| NO_EVENT)?;
    if view.len() != 1 {
        return Err(NO_EVENT);
    }
    let (labels, _) = view.labels(view.tuple(0)).map_err(|_| NO_EVENT)?;
    let facts = view.facts(0, labels.source).ok_or(NO_EVENT)?;
    Ok(use_it(&labels, &facts))
}

/// Adds an event to those of its partition, with labels as they are known now.
fn push(
    intake: &Intake,
    builders: &mut Vec<(u32, FrameBuilder)>,
    labels: &Labels<'_>,
    facts: &Facts,
) -> Result<(), &'static str> {
    let generation = &intake.parts.generation;
    let now_us = now_us();
    if facts.time_us < now_us - generation.window.past_us {
        return Err("it is too old to be counted by now");
    }
    if facts.time_us > now_us + generation.window.ahead_us {
        return Err("it is still too far ahead to be counted");
    }
    let known = intake.known();
    let labels = settle_again(labels, &known).ok_or("its namespace is not registered")?;
    builder(builders, facts.key.partition(generation.partitions))
        .push(&labels, facts)
        .expect("a request has fewer letters than a frame has events");
    Ok(())
}
