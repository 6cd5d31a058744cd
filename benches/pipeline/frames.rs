//! Frames of plausible events, appended to an embedded log without an ingest.

use event::frame::{FrameBuilder, FrameReader, Stamp};
use queue::{Append, Queue};

use crate::events::{CONSUMERS, facts, labels};

/// Events of each frame.
pub const EVENTS_PER_FRAME: u64 = 1_000;
/// Frames of one append.
const FRAMES_PER_APPEND: u64 = 50;

/// What the frames of a log take.
pub struct Shape {
    /// Bytes of all frames.
    pub bytes: u64,
    /// Rows of all frames.
    pub rows: u64,
}

/// Names of the consumers.
pub fn consumers() -> Vec<String> {
    (0..CONSUMERS).map(|n| format!("key-{n:04}")).collect()
}

/// Appends frames. `time_us` gives the time of a frame, which is that of its events.
pub async fn append(
    queue: &Queue,
    n_frames: u64,
    consumers: &[String],
    time_us: impl Fn(u64) -> i64,
) -> Shape {
    let namespaces: Vec<String> = (0..20).map(|n| format!("team-{n:02}")).collect();
    let mut reader = FrameReader::default();
    let mut shape = Shape { bytes: 0, rows: 0 };
    let mut next = 0;
    while next < n_frames {
        let end = n_frames.min(next + FRAMES_PER_APPEND);
        let mut frames = Vec::new();
        for frame in next..end {
            let mut builder = FrameBuilder::default();
            let now_us = time_us(frame);
            for n in frame * EVENTS_PER_FRAME..(frame + 1) * EVENTS_PER_FRAME {
                let labels = labels(n, &namespaces, consumers);
                builder.push(&labels, &facts(n, now_us)).expect("room");
            }
            let stamp = Stamp { ingest_us: now_us, tokenizer_version: 0, price_version: 0 };
            let bytes = builder.encode(stamp);
            shape.bytes += bytes.len() as u64;
            shape.rows += reader.read(&bytes).expect("a frame").rows().len() as u64;
            frames.push(Append { partition: 0, bytes: bytes.into() });
        }
        queue.append(frames).await.expect("appended");
        next = end;
    }
    shape
}
