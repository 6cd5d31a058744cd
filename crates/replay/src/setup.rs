//! What shapes a run: the same setup gives the same events in the same batches, always.
//!
//! Made once from the command line, or read back from a tape's header. Options that only affect
//! speed or destination are not here. A setup that is on a tape never changes.

use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clock::Wall;
use serde::{Deserialize, Serialize};

use crate::args::{
    FIT_DEFAULT, NAMESPACES_MAX, ReplayArgs, Share, SourceSpec, Times, Window, parse_sources,
};
use crate::chunks::chunks;
use crate::item::{FUTURE_AFTER_US, MARGIN_US};
use crate::lines::is_stdin;

/// Synthetic events when `--count` is not given.
const SYNTHETIC_COUNT: u64 = 10_000;
/// With a rate, at least this many batches go out each second, so that the flow is even.
const BATCHES_PER_SECOND: u64 = 4;

/// The shares mixed into the good events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mix {
    /// Share of duplicates.
    pub duplicates: Share,
    /// Share of events too old to be counted.
    pub late: Share,
    /// Share of events too far in the future to be counted.
    pub future: Share,
    /// Share of malformed events.
    pub malformed: Share,
}

/// A file of the run, so that a tape is never resumed over another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMark {
    /// Absolute path of the file.
    pub path: PathBuf,
    /// BLAKE3 of its bytes.
    pub blake3: String,
}

/// Everything that the events of a run depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// Prefix of every event id.
    pub run_id: String,
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// What is played.
    pub source: SourceSpec,
    /// Marks of the files in `source`; filled when there is a tape.
    pub files: Vec<FileMark>,
    /// Start of the run, microseconds; the end of the window of `fit`.
    pub base_us: i64,
    /// Where event times come from.
    pub times: Times,
    /// The part of a ServeGen trace that is played; tapes from before there were such have none.
    #[serde(default)]
    pub window: Option<Window>,
    /// Distinct good events, at most.
    pub count: Option<u64>,
    /// Events per request.
    pub batch: usize,
    /// Namespaces drawn from.
    pub namespaces: usize,
    /// Shares of events on top of the good ones.
    pub mix: Mix,
    /// Whether every other copy goes a second way.
    #[serde(default)]
    pub is_two_ways: bool,
    /// An event of the future is at least this far ahead, so that it is still one at its last
    /// retry. Microseconds.
    pub future_min_us: i64,
}

impl Setup {
    /// Takes the shape of a new run from the command line; `now_us` becomes its base.
    ///
    /// # Errors
    /// Sources that cannot be read this way, or conflicting options.
    pub fn from_args(args: &ReplayArgs, now_us: i64) -> anyhow::Result<Setup> {
        let source = parse_sources(&args.sources)?;
        let times = args.times.unwrap_or(match source {
            SourceSpec::Azure(_) | SourceSpec::ServeGen(_) => FIT_DEFAULT,
            SourceSpec::Ndjson(_) => Times::Keep,
            SourceSpec::Synthetic => Times::Now,
        });
        match (&source, times) {
            (
                SourceSpec::Azure(_) | SourceSpec::ServeGen(_) | SourceSpec::Synthetic,
                Times::Keep,
            ) => {
                bail!("--times keep is for ndjson: other sources have no times that ingest counts")
            }
            (SourceSpec::Ndjson(files), Times::Fit { .. })
                if files.iter().any(|file| is_stdin(file)) =>
            {
                bail!("--times fit reads the source twice, and stdin can be read only once")
            }
            _ => {}
        }
        if args.window.is_some() && !matches!(source, SourceSpec::ServeGen(_)) {
            bail!("--window is only for servegen: other sources have no windows");
        }
        if args.also.is_some() && args.duplicates == Share::default() {
            bail!("--also sends only duplicates, and there are none: set --duplicates");
        }
        let count = match source {
            SourceSpec::Synthetic => Some(args.count.unwrap_or(SYNTHETIC_COUNT)),
            _ => args.count,
        };
        let batch = match args.rate {
            Some(rate) => u64::from(args.batch).min((rate / BATCHES_PER_SECOND).max(1)),
            None => u64::from(args.batch),
        };
        Ok(Setup {
            run_id: args.run_id.clone().unwrap_or_else(random_run_id),
            seed: args.seed,
            source,
            files: Vec::new(),
            base_us: now_us,
            times,
            window: args.window,
            count,
            batch: usize::try_from(batch).context("a batch has at most 2000 events")?,
            namespaces: usize::from(args.namespaces).min(NAMESPACES_MAX),
            mix: Mix {
                duplicates: args.duplicates,
                late: args.late,
                future: args.future,
                malformed: args.malformed,
            },
            future_min_us: future_min_us(args.give_up_after),
            is_two_ways: args.also.is_some(),
        })
    }

    /// Records the digests of the files, for a tape.
    ///
    /// # Errors
    /// A file cannot be read, or the source is stdin, which cannot be resumed.
    pub fn mark_files(&mut self) -> anyhow::Result<()> {
        match &mut self.source {
            SourceSpec::Azure(files) | SourceSpec::Ndjson(files) => {
                for file in files {
                    if is_stdin(file) {
                        bail!(
                            "a run from stdin cannot be resumed: leave out --tape or name a file"
                        );
                    }
                    *file = std::path::absolute(&*file)?;
                }
            }
            SourceSpec::ServeGen(folder) => *folder = std::path::absolute(&*folder)?,
            SourceSpec::Synthetic => {}
        }
        for path in self.source_files()? {
            let blake3 = fingerprint(&path)?;
            self.files.push(FileMark { path, blake3 });
        }
        Ok(())
    }

    /// Checks that the files are unchanged since the tape began.
    ///
    /// # Errors
    /// A file is gone, new or differs.
    pub fn check_files(&self) -> anyhow::Result<()> {
        if let SourceSpec::ServeGen(folder) = &self.source
            && !self.source_files()?.iter().eq(self.files.iter().map(|mark| &mark.path))
        {
            let folder = folder.display();
            bail!("the files in {folder} have changed since run {} began", self.run_id);
        }
        for mark in &self.files {
            if fingerprint(&mark.path)? != mark.blake3 {
                let path = mark.path.display();
                bail!("{path} has changed since run {} began", self.run_id);
            }
        }
        Ok(())
    }

    /// Every file that the events depend on, in a fixed order.
    fn source_files(&self) -> anyhow::Result<Vec<PathBuf>> {
        Ok(match &self.source {
            SourceSpec::Azure(files) | SourceSpec::Ndjson(files) => files.clone(),
            SourceSpec::ServeGen(folder) => {
                chunks(folder)?.into_iter().flat_map(|chunk| [chunk.trace, chunk.dataset]).collect()
            }
            SourceSpec::Synthetic => Vec::new(),
        })
    }
}

fn future_min_us(give_up_after: Duration) -> i64 {
    let give_up_us = i64::try_from(give_up_after.as_micros()).unwrap_or(i64::MAX / 4);
    FUTURE_AFTER_US + MARGIN_US + give_up_us
}

fn fingerprint(path: &PathBuf) -> anyhow::Result<String> {
    let read = || -> std::io::Result<String> {
        let mut hasher = blake3::Hasher::new();
        std::io::copy(&mut File::open(path)?, &mut hasher)?;
        Ok(hasher.finalize().to_hex().to_string())
    };
    read().with_context(|| format!("cannot read the source {}", path.display()))
}

/// Two runs must never share an id: the keys that std seeds its maps with come from the system's
/// generator, and clock and process id are hashed in.
fn random_run_id() -> String {
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.write_i64(Wall::now().as_us());
    format!("r{:016x}", hasher.finish())
}
