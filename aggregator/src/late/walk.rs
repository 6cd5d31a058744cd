//! Reads stretches of the log again, with the log's clock behind each frame.

use ledger::classify::Clock;
use ledger::safeguard::Safeguards;
use ledger::window::Window;
use queue::{QueueError, QueueReader, Record};
use store::RangeRow;

/// Payload of one read, bytes.
const READ_BYTES: usize = 4 * 1024 * 1024;
/// Frames between two ranges that are read rather than jumped over: a jump on Kafka drops what was
/// fetched ahead, and waits for the brokers.
const THROUGH_MAX: u64 = 10_000;

/// Reads the frames of ranges that commits have counted, in the order of the log. `look` gets each
/// intact record and the clock behind it.
///
/// # Errors
/// The error of the log: a gap if a frame is gone.
pub async fn walk(
    log: &QueueReader,
    partition: u32,
    window: &Window,
    ranges: &[RangeRow],
    mut look: impl FnMut(&Record, Clock),
) -> Result<(), QueueError> {
    let mut ranges = ranges.iter().peekable();
    let Some(first) = ranges.peek() else { return Ok(()) };
    let mut from = first.base;
    let mut clock = Clock::default();
    loop {
        let records = log.read(partition, from, READ_BYTES).await?;
        let Some(last) = records.last() else {
            return Err(QueueError::PastEnd { high: from });
        };
        from = last.offset + 1;
        for record in &records {
            while ranges.next_if(|range| record.offset >= range.next).is_some() {}
            let Some(range) = ranges.peek() else { return Ok(()) };
            if record.offset < range.base {
                if range.base - record.offset > THROUGH_MAX {
                    from = range.base;
                    break;
                }
                continue;
            }
            if record.offset == range.base {
                clock = Clock::at(range.sums.first_clock_us);
            } else if record.intact {
                let append_us = record.append_time_us;
                clock.observe_record(append_us, &record.bytes, window, Safeguards::default());
            }
            if record.intact {
                look(record, clock);
            }
        }
        while ranges.next_if(|range| from >= range.next).is_some() {}
        if ranges.peek().is_none() {
            return Ok(());
        }
    }
}
