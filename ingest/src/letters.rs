//! `POST /v1/dead-letters/replay`: appends events again that were read in the log and not counted.
//!
//! A letter keeps its event as a frame of its own, under the key that it came with. What a foreign
//! writer put into the wrong partition goes into the right one, what was of the future may be due
//! by now. The rest would end as it did before and is refused. Nothing is counted twice: a copy of
//! what was counted in between is recognised by its key.

use std::sync::Arc;

use axum::extract::State;
use bytes::Bytes;
use event::frame::FrameReader;
use event::{Facts, Labels};
use service::answer::{Answer, AnswerResult, ApiError};
use service::letters::{
    LetterAddress, REPLAY_LETTERS_MAX, RejectedLetter, ReplayRequest, ReplayResult,
};
use service::query::NoParameters;
use store::{LogLetter, Reader, Store, StoreError};

use crate::answer::unavailable;
use crate::intake::{Intake, Unready};

// As many as a batch has events, so that they fit a frame.
const _: () = assert!(REPLAY_LETTERS_MAX == event::limits::BATCH_EVENTS_MAX);

/// Sends letters again: what requests work on, also those that come through another role.
#[derive(Clone, Debug)]
pub struct Letters {
    /// The way into the log.
    pub(crate) intake: Intake,
    /// Where the letters are.
    pub(crate) store: Arc<Store>,
    /// Generation of the log.
    pub(crate) generation: u32,
}

/// The answer to a request.
pub(crate) async fn replay(
    State(letters): State<Letters>,
    _: NoParameters,
    body: Bytes,
) -> AnswerResult<ReplayResult> {
    let wanted: ReplayRequest = serde_json::from_slice(&body).map_err(|error| {
        ApiError::bad_request(format!("the body is no list of letters: {error}"))
    })?;
    letters.replay(&wanted.letters).await.map(Answer::ok)
}

impl Letters {
    /// Appends letters again; says of each other one why it may not be.
    ///
    /// # Errors
    /// 400 for more than [`REPLAY_LETTERS_MAX`]; 503 if a part cannot be decided now, and then
    /// sending the same ones again is right.
    pub async fn replay(&self, wanted: &[LetterAddress]) -> Result<ReplayResult, ApiError> {
        if wanted.len() > REPLAY_LETTERS_MAX {
            let message = format!("a request has at most {REPLAY_LETTERS_MAX} letters");
            return Err(ApiError::bad_request(message));
        }
        self.send_again(wanted).await.map_err(unavailable)
    }

    async fn send_again(&self, wanted: &[LetterAddress]) -> Result<ReplayResult, Unready> {
        let mut reader = self.store.read().await.map_err(Unready::Store)?;
        let (mut found, mut rejected) = (Vec::new(), Vec::new());
        for (index, address) in wanted.iter().enumerate() {
            let letter = self.find(&mut reader, *address).await.map_err(Unready::Store)?;
            match letter {
                Ok(content) => found.push((index, FrameReader::default(), content)),
                Err(reason) => rejected.push(RejectedLetter { index, reason }),
            }
        }
        drop(reader);
        let (mut indexes, mut events) = (Vec::new(), Vec::new());
        for (index, reader, content) in &mut found {
            match decoded(reader, content) {
                Some(event) => {
                    indexes.push(*index);
                    events.push(event);
                }
                None => {
                    let reason = "its content is no event".to_owned();
                    rejected.push(RejectedLetter { index: *index, reason });
                }
            }
        }
        let results = self.intake.take_again(&events).await?;
        let accepted = results.iter().filter(|result| result.is_ok()).count();
        for (index, result) in indexes.into_iter().zip(results) {
            if let Err(reason) = result {
                rejected.push(RejectedLetter { index, reason: reason.to_owned() });
            }
        }
        rejected.sort_by_key(|refused| refused.index);
        Ok(ReplayResult { accepted, rejected })
    }

    /// The frame of a letter that may be sent again, or why it may not.
    async fn find(
        &self,
        reader: &mut Reader,
        address: LetterAddress,
    ) -> Result<Result<Vec<u8>, String>, StoreError> {
        let LetterAddress { generation, partition, offset, index } = address;
        let current = self.generation;
        if generation != current {
            // Its key was made with the secret of its generation and means nothing in another.
            return Ok(Err(format!("it is of generation {generation}, the log is of {current}")));
        }
        let Some(letter) = reader.log_letter(generation, partition, offset, index).await? else {
            return Ok(Err("there is no such letter".to_owned()));
        };
        let LogLetter { class, content, .. } = letter;
        if class == "late" {
            let counted = "it is late: it is counted at its own time, unless a copy of it was";
            return Ok(Err(counted.to_owned()));
        }
        if !["misrouted", "future"].contains(&class.as_str()) {
            return Ok(Err(format!("it is {class}, and would be so again")));
        }
        Ok(content.ok_or_else(|| "its content was not kept: it came beyond the cap".to_owned()))
    }
}

/// The one event of a letter's frame; `None` if it is no frame of one event.
fn decoded<'a>(reader: &'a mut FrameReader, content: &'a [u8]) -> Option<(Labels<'a>, Facts)> {
    let view = reader.read(content).ok().filter(|view| view.len() == 1)?;
    let labels = view.labels(0).ok()?;
    let facts = view.facts(0, labels.source)?;
    Some((labels, facts))
}
