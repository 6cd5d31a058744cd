//! Fields as written become a checked event, or the first fault in the order of the contract.
//!
//! The fields come from `fields`; the event goes to the batch. Everything that a label's letters
//! decide is left to the ingest, which makes `other` of them; a namespace is checked here, because
//! it is refused and never merged. No fault repeats a value.

use std::borrow::Cow;

use super::fields::{Fault, Field, Fields, Prompt};
use super::parts;
use super::value::Scalar;
use crate::code::{ErrorType, Method, ServiceTier};
use crate::event::{Connections, Event};
use crate::limits::{ATTEMPT_MAX, CONNECTIONS_MAX, DURATION_US_MAX, ID_BYTES_MAX, TOKENS_MAX};
use crate::name::{check_namespace, is_label};
use crate::text::Text;
use crate::time;
use crate::usage::Usage;

/// Microseconds in a millisecond, the unit of durations in a body.
const US_PER_MS: u64 = 1_000;
/// Floats from here on are beyond 64 bits.
const U64_BEYOND: f64 = 18_446_744_073_709_551_616.0;

/// What an object of the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An attempt at a request.
    Event,
    /// A gauge of open connections.
    Connections,
}

// What is called for many fields is inlined: a result that goes through memory costs as much as the
// scanner needs for the field. Their faults are not.
impl<'a> Fields<'a> {
    /// The type that the object declares; by default an event.
    ///
    /// # Errors
    /// A kind that does not exist.
    pub fn kind(&mut self) -> Result<Kind, Fault> {
        match self.some_text(Field::Kind)?.as_deref() {
            None | Some("event") => Ok(Kind::Event),
            Some("connections") => Ok(Kind::Connections),
            Some(_) => {
                Err(Fault::new(Field::Kind.path(), "value", "must be \"event\" or \"connections\""))
            }
        }
    }

    /// The id for a reject: as written, cut to the longest that an id can be.
    pub fn id_for_reject(&self) -> Option<Cow<'a, str>> {
        match self.get(Field::Id) {
            Scalar::Text(id) if !id.is_empty() => Some(id.clone()),
            _ => None,
        }
    }

    /// Appends the checked event and its index in the body to `events`. It is not returned: as
    /// large as it is, each move would cost as much as several of its fields.
    ///
    /// # Errors
    /// The first fault, in the order of the fields in docs/events.md.
    pub fn event(
        &mut self,
        index: usize,
        events: &mut Vec<(usize, Event<'a>)>,
    ) -> Result<(), Fault> {
        let mut item = (
            index,
            Event {
                id: self.id()?,
                time_us: self.time()?,
                namespace: self.namespace()?,
                upstream: self.label(Field::Upstream)?,
                model: self.some_text(Field::Model)?,
                requested_model: self.some_text(Field::RequestedModel)?,
                method: Method::settle(&self.label(Field::Method)?),
                endpoint: self.label(Field::Endpoint)?,
                status: self.status()?,
                duration_us: required(Field::DurationMs, self.duration_us(Field::DurationMs)?)?,
                ttft_us: self.duration_us(Field::TtftMs)?,
                stream: self.flag(Field::Stream)?.unwrap_or(false),
                usage: self.usage()?,
                text: if self.has_prompt() { self.prompt_text()? } else { None },
                request_id: self.request_id()?,
                attempt: self.attempt()?,
                is_final: self.flag(Field::Final)?.unwrap_or(true),
                error_type: self
                    .some_text(Field::ErrorType)?
                    .and_then(|w| ErrorType::from_word(&w)),
                consumer: self.some_text(Field::Consumer)?,
                service_tier: self.service_tier()?,
                producer: self.some_text(Field::Producer)?,
                epoch: self.whole(Field::Epoch, 0, u64::MAX)?,
                seq: self.whole(Field::Seq, 0, u64::MAX)?,
                limited_by: self.some_text(Field::LimitedBy)?,
            },
        );
        let event = &mut item.1;
        if let Some(text) = event.text {
            event.text = text.lacking(&event.usage);
        }
        events.push(item);
        Ok(())
    }

    /// The gauge of open connections.
    ///
    /// # Errors
    /// The first fault.
    pub fn connections(&mut self) -> Result<Connections<'a>, Fault> {
        let namespace = self.namespace()?;
        let gateway = self.text(Field::Gateway)?;
        if !is_label(&gateway) {
            return Err(Fault::new(
                Field::Gateway.path(),
                "value",
                "must have 1 to 128 letters, digits or signs that a label may have",
            ));
        }
        let active = required(Field::Active, self.whole(Field::Active, 0, CONNECTIONS_MAX)?)?;
        Ok(Connections { namespace, gateway, active, time_us: self.time()? })
    }

    fn id(&mut self) -> Result<Cow<'a, str>, Fault> {
        let id = self.text(Field::Id)?;
        if id.is_empty() || id.len() > ID_BYTES_MAX {
            return Err(length_fault(Field::Id, 1));
        }
        // Nearly every id is ASCII that can be printed; that is seen without decoding it.
        let is_odd = id.bytes().fold(false, |is_odd, byte| is_odd | !matches!(byte, b' '..=b'~'));
        if is_odd && id.chars().any(char::is_control) {
            return Err(Fault::new(Field::Id.path(), "value", "must not have control characters"));
        }
        Ok(id)
    }

    fn time(&mut self) -> Result<i64, Fault> {
        let field = Field::Time;
        let time_us = match self.take(field) {
            Scalar::Absent => return Err(missing(field)),
            Scalar::Text(text) => time::from_text(&text),
            Scalar::Natural(number) => time::from_whole(number),
            Scalar::Float(number) => time::from_float(number),
            Scalar::Negative => Err(time::TimeError::Range),
            _ => return Err(type_fault(field, "an RFC 3339 string or a number")),
        };
        time_us.map_err(|error| {
            let kind = if error == time::TimeError::Range { "range" } else { "value" };
            Fault::new(field.path(), kind, error.to_string())
        })
    }

    fn namespace(&mut self) -> Result<Cow<'a, str>, Fault> {
        let namespace = self.text(Field::Namespace)?;
        check_namespace(&namespace)
            .map_err(|error| Fault::new(Field::Namespace.path(), "namespace", error.to_string()))?;
        Ok(namespace)
    }

    fn status(&mut self) -> Result<u16, Fault> {
        let status = required(Field::Status, self.whole(Field::Status, 100, 599)?)?;
        Ok(u16::try_from(status).expect("at most 599"))
    }

    fn request_id(&mut self) -> Result<Option<Cow<'a, str>>, Fault> {
        let request_id = self.some_text(Field::RequestId)?;
        match &request_id {
            Some(id) if id.len() > ID_BYTES_MAX => Err(length_fault(Field::RequestId, 0)),
            _ => Ok(request_id),
        }
    }

    fn attempt(&mut self) -> Result<u16, Fault> {
        let attempt = self.whole(Field::Attempt, 0, ATTEMPT_MAX)?.unwrap_or(0);
        Ok(u16::try_from(attempt).expect("ATTEMPT_MAX fits 16 bits"))
    }

    fn service_tier(&mut self) -> Result<ServiceTier, Fault> {
        match self.some_text(Field::ServiceTier)?.as_deref() {
            // OpenAI's names for the project's default tier.
            None | Some("default" | "auto") => Ok(ServiceTier::Standard),
            Some(word) => ServiceTier::from_word(word).ok_or_else(|| {
                Fault::new(
                    Field::ServiceTier.path(),
                    "value",
                    "must be standard, batch, flex or priority",
                )
            }),
        }
    }

    fn usage(&mut self) -> Result<Usage, Fault> {
        for field in [Field::Usage, Field::Text] {
            if !matches!(self.take(field), Scalar::Absent | Scalar::Object) {
                return Err(type_fault(field, "an object"));
            }
        }
        let usage = Usage {
            input: self.tokens(Field::InputTokens)?,
            cache_read: self.tokens(Field::CacheReadTokens)?,
            cache_write: self.tokens(Field::CacheWriteTokens)?,
            output: self.tokens(Field::OutputTokens)?,
            reasoning: self.tokens(Field::ReasoningTokens)?,
        };
        usage.check().map_err(|error| Fault::new(error.field(), "usage", error.to_string()))?;
        Ok(usage)
    }

    fn prompt_text(&self) -> Result<Option<Text<'a>>, Fault> {
        match self.prompt() {
            None => Ok(None),
            Some(Prompt::Written(object)) => parts::read(object).map(Some),
            Some(Prompt::Parts(text)) => Ok(Some(text)),
        }
    }

    #[inline(always)]
    fn tokens(&mut self, field: Field) -> Result<Option<u32>, Fault> {
        let count = self.whole(field, 0, TOKENS_MAX)?;
        Ok(count.map(|count| u32::try_from(count).expect("TOKENS_MAX fits 32 bits")))
    }

    /// Milliseconds as microseconds, rounded to the nearest.
    fn duration_us(&mut self, field: Field) -> Result<Option<u64>, Fault> {
        let us = match self.take(field) {
            Scalar::Absent => return Ok(None),
            Scalar::Natural(ms) => ms.checked_mul(US_PER_MS),
            Scalar::Float(ms) => time::scaled(ms, US_PER_MS),
            Scalar::Negative => None,
            _ => return Err(type_fault(field, "a number")),
        };
        match us {
            Some(us) if us <= DURATION_US_MAX => Ok(Some(us)),
            _ => Err(Fault::new(
                field.path(),
                "range",
                format!("must be a number from 0 to {} (24 hours)", DURATION_US_MAX / US_PER_MS),
            )),
        }
    }

    /// A whole number between two bounds; `12.0` and `1e3` are whole, as some encoders write them.
    #[inline(always)]
    fn whole(&mut self, field: Field, min: u64, max: u64) -> Result<Option<u64>, Fault> {
        let number = match self.take(field) {
            Scalar::Absent => return Ok(None),
            Scalar::Natural(number) => Some(number),
            Scalar::Negative => None,
            Scalar::Float(number) if number.fract() == 0.0 => {
                (0.0..U64_BEYOND).contains(&number).then_some(number as u64)
            }
            _ => return Err(type_fault(field, "a whole number")),
        };
        match number {
            Some(number) if (min..=max).contains(&number) => Ok(Some(number)),
            _ => Err(range_fault(field, min, max)),
        }
    }

    #[inline(always)]
    fn flag(&mut self, field: Field) -> Result<Option<bool>, Fault> {
        match self.take(field) {
            Scalar::Absent => Ok(None),
            Scalar::Flag(flag) => Ok(Some(flag)),
            _ => Err(type_fault(field, "true or false")),
        }
    }

    /// A required text that may become `other` later, but must not be empty.
    #[inline(always)]
    fn label(&mut self, field: Field) -> Result<Cow<'a, str>, Fault> {
        let text = self.text(field)?;
        if text.is_empty() {
            return Err(Fault::new(field.path(), "value", "must not be empty"));
        }
        Ok(text)
    }

    /// An optional text; an empty one is absent.
    #[inline(always)]
    fn some_text(&mut self, field: Field) -> Result<Option<Cow<'a, str>>, Fault> {
        match self.take(field) {
            Scalar::Absent => Ok(None),
            Scalar::Text(text) if text.is_empty() => Ok(None),
            Scalar::Text(text) => Ok(Some(text)),
            _ => Err(type_fault(field, "a string")),
        }
    }

    #[inline(always)]
    fn text(&mut self, field: Field) -> Result<Cow<'a, str>, Fault> {
        match self.take(field) {
            Scalar::Text(text) => Ok(text),
            Scalar::Absent => Err(missing(field)),
            _ => Err(type_fault(field, "a string")),
        }
    }
}

fn required<T>(field: Field, value: Option<T>) -> Result<T, Fault> {
    value.ok_or_else(|| missing(field))
}

#[cold]
fn missing(field: Field) -> Fault {
    Fault::new(field.path(), "missing", "is required")
}

#[cold]
fn range_fault(field: Field, min: u64, max: u64) -> Fault {
    Fault::new(field.path(), "range", format!("must be a whole number from {min} to {max}"))
}

#[cold]
fn type_fault(field: Field, expected: &'static str) -> Fault {
    Fault::new(field.path(), "type", format!("must be {expected}"))
}

fn length_fault(field: Field, min: usize) -> Fault {
    let reason = match min {
        0 => format!("must have at most {ID_BYTES_MAX} bytes"),
        min => format!("must have {min} to {ID_BYTES_MAX} bytes"),
    };
    Fault::new(field.path(), "range", reason)
}
