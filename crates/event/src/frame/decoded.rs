//! What a frame holds, whichever version it has: texts, rows, and columns of numbers.

use std::ops::Range;

use crate::code::{Method, Outcome, ServiceTier, UsageSource};

/// Columns of numbers besides row, consumer, requested model and presence: time, duration, first
/// token, the five token counts, cost, attempt.
pub(super) const N_NUMBERS: usize = 10;

/// Stands for a presence column that sets a bit without a meaning.
pub(super) const NO_PRESENCE: u64 = u64::MAX;

/// Buffers of a decoded frame; kept from one frame to the next.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    pub texts: TextPlaces,
    /// `None` for a row that has a code which is not of its list.
    pub rows: Vec<Option<FrameRow>>,
    pub row: Vec<u64>,
    pub consumer: Vec<u64>,
    pub requested: Vec<u64>,
    pub presence: Vec<u64>,
    pub numbers: [Vec<u64>; N_NUMBERS],
}

impl Decoded {
    /// Forgets texts and rows.
    pub fn clear(&mut self) {
        self.texts.places.clear();
        self.rows.clear();
    }
}

/// Where texts are in a record, by number from 1; text 0 is the empty text.
#[derive(Debug, Default)]
pub(super) struct TextPlaces {
    places: Vec<Range<usize>>,
}

impl TextPlaces {
    /// Adds a text; its number.
    #[inline]
    pub fn add(&mut self, begin: usize, end: usize) -> u32 {
        self.places.push(begin..end);
        u32::try_from(self.places.len()).expect("a record is below 8 MiB")
    }

    /// Number of texts besides the empty one.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// A text; `number` is at most `len`.
    #[inline]
    pub fn get<'a>(&self, record: &'a [u8], number: usize) -> &'a [u8] {
        match number.checked_sub(1) {
            Some(at) => &record[self.places[at].clone()],
            None => &[],
        }
    }
}

/// The codes of a row as they stand in a frame; any may be out of its list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Codes {
    pub status: u64,
    pub method: u64,
    pub outcome: u64,
    pub service_tier: u64,
    pub source: u64,
    pub is_final: u64,
}

/// A row of a frame: checked codes and unchecked texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameRow {
    /// HTTP status, 100..=599.
    pub status: u16,
    /// HTTP method.
    pub method: Method,
    /// Success or kind of error; fits the status.
    pub outcome: Outcome,
    /// Price tier.
    pub service_tier: ServiceTier,
    /// Where the token counts come from.
    pub source: UsageSource,
    /// Whether this is the attempt that the client saw.
    pub is_final: bool,
    /// Numbers of texts in the frame: namespace, upstream, model, endpoint, `limited_by`.
    pub texts: [u32; 5],
}

impl FrameRow {
    /// The row of these codes; `None` if one is not of its list.
    pub(super) fn of(codes: Codes, texts: [u32; 5]) -> Option<FrameRow> {
        let code = |number: u64| u8::try_from(number).ok();
        let status = u16::try_from(codes.status).ok().filter(|s| (100..=599).contains(s))?;
        let outcome = Outcome::from_code(code(codes.outcome)?)?;
        outcome.fits(status).then_some(())?;
        Some(FrameRow {
            status,
            method: Method::from_code(code(codes.method)?)?,
            outcome,
            service_tier: ServiceTier::from_code(code(codes.service_tier)?)?,
            source: UsageSource::from_code(code(codes.source)?)?,
            is_final: match codes.is_final {
                0 => false,
                1 => true,
                _ => return None,
            },
            texts,
        })
    }

    /// All of its codes in one number: equal ones have equal numbers.
    #[must_use]
    pub fn codes(&self) -> u64 {
        let FrameRow { status, method, outcome, service_tier, source, is_final, .. } = *self;
        row_codes(status, method, outcome, service_tier, source, is_final)
    }
}

/// All codes that choose a row in one number: equal ones have equal numbers.
pub(super) fn row_codes(
    status: u16,
    method: Method,
    outcome: Outcome,
    service_tier: ServiceTier,
    source: UsageSource,
    is_final: bool,
) -> u64 {
    let codes =
        [method.code(), outcome.code(), service_tier.code(), source.code(), u8::from(is_final)];
    codes.iter().fold(status.into(), |number, code| number << 8 | u64::from(*code))
}
