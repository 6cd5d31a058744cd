//! The tape: a write-ahead log of the run, synced before each send.
//!
//! One JSON object a line, in this order:
//! - `{"kind":"run","tape":1,"setup":{..},"to":"url"[,"also":"url"]}`, the header;
//! - `{"kind":"batch","batch":n,"at":us,"digest":"..","events":[..]}` before the first send of a
//!   batch; batches are in the order of their numbers. An event is
//!   `[id, time us, class, namespace, upstream, model, status, final, [input, output, cache_read,
//!   cache_write, reasoning] or null]`;
//! - `{"kind":"send","batch":n}` before each further send of it;
//! - `{"kind":"refused","batch":n,"status":s}`: nothing of that send was taken;
//! - `{"kind":"answer","batch":n,"accepted":a,"rejected":[index..],"late":[index..],
//!   "future":[index..],"sent":us}`: done.
//!
//! Every line up to a send is on disk before that send; answers go with the next sync, because a
//! lost answer costs only one more delivery. The file is append-only.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::answer::Answer;
use crate::item::{Attempt, Batch, Class, Item};
use crate::setup::Setup;

/// Version of the tape format.
pub const TAPE_VERSION: u32 = 1;

/// A line of the tape.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    /// Header.
    Run {
        /// Version of the format.
        tape: u32,
        /// The setup that shapes the run.
        setup: Setup,
        /// Target URL; `None` on tapes of older releases.
        #[serde(default)]
        to: Option<String>,
        /// The second way, if there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        also: Option<String>,
    },
    /// A batch, before it is sent for the first time.
    Batch {
        /// Number of the batch.
        batch: u64,
        /// Its clock, microseconds.
        at: i64,
        /// See [`Batch::digest`].
        digest: String,
        /// What the receiver must make of each event.
        events: Vec<Expected>,
    },
    /// A batch, before it is sent again.
    Send {
        /// Number of the batch.
        batch: u64,
    },
    /// Nothing of the last send was taken.
    Refused {
        /// Number of the batch.
        batch: u64,
        /// HTTP status; 0 where no connection was made.
        status: u16,
    },
    /// Taken, but for the events listed.
    Answer {
        /// Number of the batch.
        batch: u64,
        /// Durable events.
        accepted: u64,
        /// Places of the others.
        rejected: Vec<usize>,
        /// Places of events that ingest called late.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        late: Option<Vec<usize>>,
        /// Places of events that ingest called future.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        future: Option<Vec<usize>>,
        /// When the answered send went out, microseconds; 0 on tapes of older releases.
        #[serde(default)]
        sent: i64,
    },
}

/// Targets of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ways {
    /// URL of the way that every event goes.
    pub to: String,
    /// URL of the one that copies go as well.
    pub also: Option<String>,
}

/// Id, time, class, namespace, upstream, model, status, final, tokens.
#[derive(Debug, Serialize, Deserialize)]
pub struct Expected(
    Box<str>,
    i64,
    Class,
    Box<str>,
    Box<str>,
    Option<Box<str>>,
    u16,
    bool,
    Option<[u64; 5]>,
);

impl From<&Item> for Expected {
    fn from(item: &Item) -> Expected {
        let effect = &item.effect;
        Expected(
            item.id.as_ref().into(),
            item.time_us,
            item.class,
            effect.namespace.as_ref().into(),
            effect.upstream.as_ref().into(),
            effect.model.as_deref().map(Box::from),
            effect.status,
            effect.attempt == Attempt::Final,
            effect.tokens.map(|tokens| {
                let (input, output) = (tokens.input, tokens.output);
                [input, output, tokens.cache_read, tokens.cache_write, tokens.reasoning]
            }),
        )
    }
}

impl Line {
    /// The line for a batch that was never sent.
    pub fn batch(batch: &Batch) -> Line {
        Line::Batch {
            batch: batch.number,
            at: batch.at_us,
            digest: batch.digest(),
            events: batch.items.iter().map(Expected::from).collect(),
        }
    }

    /// The line for the answer to a batch.
    pub fn answer(batch: u64, answer: &Answer) -> Line {
        Line::Answer {
            batch,
            accepted: answer.accepted,
            rejected: answer.rejected.iter().map(|reject| reject.index).collect(),
            late: answer.late.clone(),
            future: answer.future.clone(),
            sent: answer.sent_us,
        }
    }
}

/// A tape open for appending. Clones append to the same one.
#[derive(Clone, Debug)]
pub struct Tape {
    file: Arc<Mutex<File>>,
    path: Arc<Path>,
}

impl Tape {
    /// Creates a tape; a directory gets `replay-RUNID.tape.ndjson`. Never overwrites a file.
    ///
    /// # Errors
    /// The file exists already or cannot be written.
    pub fn create(path: &Path, setup: &Setup, ways: &Ways) -> anyhow::Result<Tape> {
        let path = if path.is_dir() {
            path.join(format!("replay-{}.tape.ndjson", setup.run_id))
        } else {
            path.to_path_buf()
        };
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(&path)
            .with_context(|| format!("cannot create the tape {}", path.display()))?;
        let tape = Tape::locked(file, path)?;
        let (to, also) = (Some(ways.to.clone()), ways.also.clone());
        tape.write(&[Line::Run { tape: TAPE_VERSION, setup: setup.clone(), to, also }])?;
        tape.sync()?;
        // The name of a new file is durable only when its folder is.
        let folder = tape.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(tape)
    }

    /// Opens a tape to resume it. The lines are read through `reader` first; it returns the length
    /// of the whole lines, and a torn last line, which was never synced, is cut off.
    ///
    /// # Errors
    /// The file cannot be opened, another run writes to it, or `reader` fails.
    pub fn reopen<T>(
        path: &Path,
        reader: impl FnOnce(&mut dyn Read) -> anyhow::Result<(T, u64)>,
    ) -> anyhow::Result<(Tape, T)> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .open(path)
            .with_context(|| format!("cannot open the tape {}", path.display()))?;
        let tape = Tape::locked(file, path.to_path_buf())?;
        let read = {
            let mut file = tape.file.lock().expect("no thread panics while it holds the tape");
            file.rewind()?;
            let (read, n_bytes) = reader(&mut *file)
                .with_context(|| format!("cannot read the tape {}", path.display()))?;
            file.set_len(n_bytes)?;
            file.sync_all()?;
            read
        };
        Ok((tape, read))
    }

    /// Path of the tape.
    pub fn path(&self) -> PathBuf {
        self.path.to_path_buf()
    }

    /// Appends lines and waits until they are durable.
    ///
    /// # Errors
    /// The lines are not durable: nothing that depends on them may be sent.
    pub async fn write_synced(&self, lines: Vec<Line>) -> anyhow::Result<()> {
        let tape = self.clone();
        let written = tokio::task::spawn_blocking(move || {
            tape.write(&lines)?;
            tape.sync()
        });
        written.await.context("the writer of the tape panicked")?
    }

    /// Adds lines that reach the disk with the next sync.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, lines: &[Line]) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut bytes, line)?;
            bytes.push(b'\n');
        }
        let mut file = self.file.lock().expect("no thread panics while it holds the tape");
        let written = file.write_all(&bytes);
        written.with_context(|| format!("cannot write the tape {}", self.path.display()))
    }

    /// Waits until everything written is on disk.
    ///
    /// # Errors
    /// The sync failed.
    pub fn sync(&self) -> anyhow::Result<()> {
        let file = self.file.lock().expect("no thread panics while it holds the tape");
        let synced = file.sync_data();
        synced.with_context(|| format!("cannot sync the tape {}", self.path.display()))
    }

    fn locked(file: File, path: PathBuf) -> anyhow::Result<Tape> {
        if file.try_lock().is_err() {
            bail!("another run writes to the tape {}", path.display());
        }
        Ok(Tape { file: Arc::new(Mutex::new(file)), path: path.into() })
    }
}
