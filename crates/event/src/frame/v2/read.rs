//! Decodes dictionary and columns of version 2.

use super::column;
use crate::frame::decoded::{Codes, Decoded, FrameRow, NO_PRESENCE};
use crate::frame::envelope::{ENVELOPE_BYTES, Envelope};
use crate::frame::presence;
use crate::frame::read::FrameError;
use crate::limits::{FRAME_EVENTS_MAX, PRODUCER_BYTES_MAX};

/// Columns of a row: five texts, then six codes.
const N_ROW_COLUMNS: usize = 11;

/// Buffers besides those of the decoded frame.
#[derive(Debug, Default)]
pub(in crate::frame) struct Scratch {
    rows: [Vec<u64>; N_ROW_COLUMNS],
    pub producer: Vec<u64>,
    pub seq: Vec<u64>,
    n_producers: usize,
}

/// Reads the payload of a record into `decoded`; gives the bytes behind the numbers.
pub(in crate::frame) fn read<'a>(
    record: &'a [u8],
    envelope: &Envelope,
    decoded: &mut Decoded,
    scratch: &mut Scratch,
) -> Result<&'a [u8], FrameError> {
    let (dictionary, columns) =
        record[ENVELOPE_BYTES..].split_at(envelope.dictionary_bytes as usize);
    let n_events = envelope.n_events as usize;
    read_dictionary(dictionary, decoded, scratch).ok_or(FrameError::Dictionary)?;
    read_columns(columns, n_events, decoded, scratch).ok_or(FrameError::Columns)
}

fn read_dictionary(dictionary: &[u8], decoded: &mut Decoded, scratch: &mut Scratch) -> Option<()> {
    let mut rest = dictionary;
    let n_texts = take_u16(&mut rest)?;
    let (lengths, behind) = rest.split_at_checked(n_texts)?;
    let mut at = ENVELOPE_BYTES + dictionary.len() - behind.len();
    let begin = at;
    for length in lengths {
        let end = at + usize::from(*length);
        decoded.texts.add(at, end);
        at = end;
    }
    rest = behind.get(at - begin..)?;
    scratch.n_producers = take_u16(&mut rest)?;
    for _ in 0..scratch.n_producers {
        let before = rest.len();
        take_prefixed(&mut rest)?;
        take_prefixed(&mut rest)?;
        rest = rest.get(8..)?;
        (before - rest.len() <= PRODUCER_BYTES_MAX).then_some(())?;
    }
    let n_rows = take_u16(&mut rest).filter(|n_rows| (1..=FRAME_EVENTS_MAX).contains(n_rows))?;
    for values in &mut scratch.rows {
        column::take(&mut rest, n_rows, values)?;
    }
    rest.is_empty().then_some(())?;
    for idx in 0..n_rows {
        let [a, b, c, d, e, status, method, outcome, service_tier, source, is_final] =
            scratch.rows.each_ref().map(|values| values[idx]);
        let mut texts = [0; 5];
        for (to, number) in texts.iter_mut().zip([a, b, c, d, e]) {
            *to = u32::try_from(number).ok().filter(|number| *number as usize <= n_texts)?;
        }
        let codes = Codes { status, method, outcome, service_tier, source, is_final };
        decoded.rows.push(FrameRow::of(codes, texts));
    }
    Some(())
}

fn read_columns<'a>(
    columns: &'a [u8],
    n: usize,
    decoded: &mut Decoded,
    scratch: &mut Scratch,
) -> Option<&'a [u8]> {
    let mut rest = columns;
    let Decoded { texts, rows, row, consumer, requested, presence, numbers } = decoded;
    let Scratch { producer, seq, n_producers, .. } = scratch;
    let n_texts = texts.len();
    let dense: [(&mut Vec<u64>, usize); 4] = [
        (row, rows.len() - 1),
        (consumer, n_texts),
        (requested, n_texts),
        (producer, *n_producers),
    ];
    for (values, most) in dense {
        column::take(&mut rest, n, values)?;
        let is_sound = values.iter().all(|number| *number <= most as u64);
        is_sound.then_some(())?;
    }
    column::take(&mut rest, n, presence)?;
    let [time, duration, ttft, input, cache_read, cache_write, output, reasoning, cost, attempt] =
        numbers;
    for values in [time, duration, attempt] {
        column::take(&mut rest, n, values)?;
    }
    for (values, bit) in [
        (ttft, presence::TTFT),
        (input, presence::INPUT),
        (cache_read, presence::CACHE_READ),
        (cache_write, presence::CACHE_WRITE),
        (output, presence::OUTPUT),
        (reasoning, presence::REASONING),
        (cost, presence::COST),
    ] {
        column::take_sparse(&mut rest, (presence, bit), values)?;
    }
    column::take_sparse(&mut rest, (producer, u64::MAX), seq)?;
    for bits in presence.iter_mut().filter(|bits| **bits >= presence::STREAM << 1) {
        *bits = NO_PRESENCE;
    }
    Some(rest)
}

fn take_u16(rest: &mut &[u8]) -> Option<usize> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(usize::from(u16::from_le_bytes(*head)))
}

fn take_prefixed<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, tail) = rest.split_first()?;
    let (bytes, tail) = tail.split_at_checked(usize::from(*length))?;
    *rest = tail;
    Some(bytes)
}
