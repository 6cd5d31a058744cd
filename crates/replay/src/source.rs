//! Common interface of all sources: the next good event, their number and time range.
//!
//! A setup goes in; facts come out in an order that depends on the setup alone, at most `count` of
//! them. A source must never know what the plan mixes in.

use crate::args::{SourceSpec, Times};
use crate::azure::Azure;
use crate::draw::Draw;
use crate::item::Facts;
use crate::ndjson::{Ids, Ndjson};
use crate::servegen::ServeGen;
use crate::setup::Setup;
use crate::synthetic::Synthetic;

/// A source and its remaining events.
pub struct Source {
    kind: Kind,
    n_left: u64,
    /// Good events of the whole run, where known.
    n_events: Option<u64>,
    /// First and last recorded time, where known.
    span_us: Option<(i64, i64)>,
}

enum Kind {
    Azure(Azure),
    ServeGen(ServeGen),
    Ndjson(Ndjson),
    Synthetic(Synthetic),
}

impl Source {
    /// Opens what `setup` names. Recorded events are read once more when they are to be scaled.
    ///
    /// # Errors
    /// A file cannot be read or does not hold what it should.
    pub fn open(setup: &Setup) -> anyhow::Result<Source> {
        let draw = Draw::new(setup.seed, setup.namespaces);
        let count_max = setup.count.unwrap_or(u64::MAX);
        Ok(match &setup.source {
            SourceSpec::Azure(files) => {
                let azure = Azure::open(files, setup.count, draw)?;
                let n_events = azure.len();
                let span_us = azure.span_us();
                Source {
                    kind: Kind::Azure(azure),
                    n_left: n_events,
                    n_events: Some(n_events),
                    span_us,
                }
            }
            SourceSpec::ServeGen(folder) => {
                let (window, count) = (setup.window, setup.count);
                let servegen = ServeGen::open(folder, window, count, setup.seed, draw)?;
                let n_events = servegen.len();
                let span_us = servegen.span_us();
                Source {
                    kind: Kind::ServeGen(servegen),
                    n_left: n_events,
                    n_events: Some(n_events),
                    span_us,
                }
            }
            SourceSpec::Ndjson(files) => {
                let ids = match setup.times {
                    Times::Keep => Ids::Kept,
                    Times::Now | Times::Fit { .. } => Ids::Prefixed(setup.run_id.clone()),
                };
                let mut n_events = None;
                let mut span_us = None;
                if matches!(setup.times, Times::Fit { .. }) {
                    let found = measure(Ndjson::new(files, ids.clone()), count_max)?;
                    n_events = Some(found.0);
                    span_us = found.1;
                }
                let kind = Kind::Ndjson(Ndjson::new(files, ids));
                Source { kind, n_left: count_max, n_events, span_us }
            }
            SourceSpec::Synthetic => Source {
                kind: Kind::Synthetic(Synthetic::new(draw, &setup.run_id)),
                n_left: count_max,
                n_events: Some(count_max),
                span_us: i64::try_from(count_max).ok().map(|count| (0, count - 1)),
            },
        })
    }

    /// The next good event.
    ///
    /// # Errors
    /// A file cannot be read or a line is not an event.
    pub fn next(&mut self) -> anyhow::Result<Option<Facts>> {
        if self.n_left == 0 {
            return Ok(None);
        }
        let facts = match &mut self.kind {
            Kind::Azure(azure) => azure.next(),
            Kind::ServeGen(servegen) => servegen.next(),
            Kind::Ndjson(ndjson) => ndjson.next()?,
            Kind::Synthetic(synthetic) => Some(synthetic.next(self.n_left)),
        };
        self.n_left -= 1;
        Ok(facts)
    }

    /// Good events of the whole run, where known beforehand.
    pub fn n_events(&self) -> Option<u64> {
        self.n_events
    }

    /// First and last recorded time, where known beforehand.
    pub fn span_us(&self) -> Option<(i64, i64)> {
        self.span_us
    }

    /// What a reader of the totals must know about where the events come from.
    pub fn remark(&self) -> Option<String> {
        match &self.kind {
            Kind::Azure(_) => Some(
                "the trace holds no namespace, upstream, model, status or latency: these are drawn \
                 by seed; its tokens are sent whatever status is drawn"
                    .to_string(),
            ),
            Kind::ServeGen(_) => Some(
                "times and tokens are drawn by seed from the statistics of each client; status and \
                 latency are not in the trace and drawn as well; its tokens are sent whatever \
                 status is drawn"
                    .to_string(),
            ),
            Kind::Ndjson(ndjson) if ndjson.n_skipped() > 0 => {
                Some(format!("{} reports of connections were left out", ndjson.n_skipped()))
            }
            Kind::Ndjson(_) => None,
            Kind::Synthetic(_) => Some("all events are drawn by seed".to_string()),
        }
    }
}

fn measure(mut ndjson: Ndjson, count_max: u64) -> anyhow::Result<(u64, Option<(i64, i64)>)> {
    let mut n_events = 0;
    let mut span_us: Option<(i64, i64)> = None;
    while n_events < count_max {
        let Some(facts) = ndjson.next()? else { break };
        n_events += 1;
        let time_us = facts.recorded_us;
        let (first, last) = span_us.unwrap_or((time_us, time_us));
        span_us = Some((first.min(time_us), last.max(time_us)));
    }
    Ok((n_events, span_us))
}
