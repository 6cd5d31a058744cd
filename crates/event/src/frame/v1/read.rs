//! Decodes dictionary and columns of version 1.
//!
//! A tuple is split by its lengths; its texts get numbers as if each stood alone in the table of a
//! later version, so that whoever counts knows one kind of frame only.

use super::column;
use crate::code::Outcome;
use crate::frame::decoded::{Codes, Decoded, FrameRow, N_NUMBERS, NO_PRESENCE};
use crate::frame::envelope::{ENVELOPE_BYTES, Envelope};
use crate::frame::presence;
use crate::frame::read::FrameError;

/// The parts of a tuple, apart from its row.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::frame) struct Tuple {
    stream: bool,
    requested: u32,
    consumer: u32,
}

/// Reads the payload of a record into `decoded`; gives the bytes behind the numbers.
pub(in crate::frame) fn read<'a>(
    record: &'a [u8],
    envelope: &Envelope,
    decoded: &mut Decoded,
    tuples: &mut Vec<Tuple>,
) -> Result<&'a [u8], FrameError> {
    let (dictionary, columns) =
        record[ENVELOPE_BYTES..].split_at(envelope.dictionary_bytes as usize);
    read_dictionary(dictionary, decoded, tuples).ok_or(FrameError::Dictionary)?;
    let rest = read_columns(columns, envelope.n_events as usize, decoded);
    let rest = rest.ok_or(FrameError::Columns)?;
    spread(decoded, tuples).ok_or(FrameError::Columns)?;
    Ok(rest)
}

fn read_dictionary(
    dictionary: &[u8],
    decoded: &mut Decoded,
    tuples: &mut Vec<Tuple>,
) -> Option<()> {
    tuples.clear();
    let u16_at = |at: usize| -> Option<usize> {
        let bytes = dictionary.get(at..at + 2)?;
        Some(usize::from(u16::from_le_bytes(bytes.try_into().expect("two bytes"))))
    };
    let n_tuples = u16_at(0)?;
    let mut at = 2;
    for _ in 0..n_tuples {
        let begin = at + 2;
        let end = begin + u16_at(at)?;
        let bytes = dictionary.get(begin..end)?;
        let found = split(bytes, ENVELOPE_BYTES + begin, decoded);
        decoded.rows.push(found.map(|(row, _)| row));
        tuples.push(found.map_or_else(Tuple::default, |(_, tuple)| tuple));
        at = end;
    }
    (at == dictionary.len()).then_some(())
}

/// Splits a tuple that begins at `at` in the record and adds its texts. `None` if its lengths do
/// not add up or a code is not of its list.
fn split(bytes: &[u8], at: usize, decoded: &mut Decoded) -> Option<(FrameRow, Tuple)> {
    let (fixed, _) = bytes.split_first_chunk::<7>()?;
    let codes = Codes {
        status: u16::from_le_bytes([fixed[0], fixed[1]]).into(),
        method: fixed[2].into(),
        outcome: fixed[3].into(),
        service_tier: fixed[4].into(),
        source: fixed[5].into(),
        is_final: fixed[6].into(),
    };
    let mut next = 7;
    let mut text = |next: &mut usize| {
        let begin = *next + 1;
        let end = begin + usize::from(*bytes.get(*next)?);
        *next = end;
        (end <= bytes.len()).then(|| decoded.texts.add(at + begin, at + end))
    };
    let mut texts = [0; 5];
    for number in &mut texts {
        *number = text(&mut next)?;
    }
    let stream = flag(*bytes.get(next)?)?;
    next += 1;
    let tuple = Tuple { stream, requested: text(&mut next)?, consumer: text(&mut next)? };
    let row = FrameRow::of(codes, texts).filter(|row| row.outcome <= Outcome::Policy)?;
    (next == bytes.len()).then_some((row, tuple))
}

fn read_columns<'a>(columns: &'a [u8], n: usize, decoded: &mut Decoded) -> Option<&'a [u8]> {
    let mut rest = columns;
    column::take(&mut rest, n, &mut decoded.row)?;
    column::take(&mut rest, n, &mut decoded.presence)?;
    for values in &mut decoded.numbers[..N_NUMBERS] {
        column::take(&mut rest, n, values)?;
    }
    Some(rest)
}

/// Gives every event what its tuple holds apart from the row. `None` if a tuple does not exist.
fn spread(decoded: &mut Decoded, tuples: &[Tuple]) -> Option<()> {
    let Decoded { row, presence, consumer, requested, .. } = decoded;
    consumer.clear();
    requested.clear();
    for (row, presence) in row.iter().zip(presence) {
        let tuple = tuples.get(usize::try_from(*row).ok()?)?;
        consumer.push(tuple.consumer.into());
        requested.push(tuple.requested.into());
        *presence = match *presence {
            bits if bits >= presence::STREAM => NO_PRESENCE,
            bits if tuple.stream => bits | presence::STREAM,
            bits => bits,
        };
    }
    Some(())
}

/// Reads a flag: 0 or 1, nothing else, so that equal tuples have equal bytes.
fn flag(byte: u8) -> Option<bool> {
    match byte {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}
