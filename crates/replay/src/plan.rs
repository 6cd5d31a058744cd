//! The order of a run: good events with copies, late, future and malformed ones between them, cut
//! into batches.
//!
//! Facts come from the source; each becomes an item under the run's own id, then what is drawn for
//! it follows: extra events at once, copies after a drawn distance, some still in the same batch,
//! some many batches later. The same setup and the same batch clocks give the same bytes, which is
//! what a resumed run relies on; so nothing here may read a clock or depend on an answer.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::args::Share;
use crate::broken::render_broken;
use crate::draw::{PLAN_STREAM, generator};
use crate::item::{
    Attempt, Batch, Class, Effect, FUTURE_AFTER_US, Facts, Item, LATE_AFTER_US, MARGIN_US,
    MINUTE_US,
};
use crate::setup::Setup;
use crate::source::Source;
use crate::timing::Timing;

/// Largest body in bytes: below one MiB it passes every usual limit on the way.
const BODY_BYTES_MAX: usize = 1_000_000;
/// A near copy follows within this many good events, mostly in the same batch.
const NEAR_EVENTS_MAX: u64 = 20;
/// A far copy follows within this many; it bounds how many copies wait in memory.
const FAR_EVENTS_MAX: u64 = 5_000;
/// A late event is from this far back at least..
const LATE_MIN_US: i64 = LATE_AFTER_US + 2 * MARGIN_US;
/// ..to this far back.
const LATE_MAX_US: i64 = 120 * MINUTE_US;
/// A recorded event is certain to be counted if it is at most this old..
const COUNTED_PAST_US: i64 = LATE_AFTER_US - MARGIN_US;
/// ..and at most this far ahead.
const COUNTED_AHEAD_US: i64 = FUTURE_AFTER_US - MARGIN_US;
/// An event of the future is at most a year ahead.
const FUTURE_MAX_US: i64 = 365 * 24 * 60 * MINUTE_US;
/// Recorded ids that are remembered, 16 bytes each, to know the copies in a recording.
const KEPT_IDS_MAX: usize = 50_000_000;

/// The plan of a run, batch by batch.
pub struct Plan {
    source: Source,
    setup: Setup,
    timing: Timing,
    rng: ChaCha8Rng,
    n_batches: u64,
    n_good: u64,
    n_extra: u64,
    /// Items made but not yet in a batch, by the way that they go.
    ready: [VecDeque<Item>; 2],
    /// Copies and their way, by the number of the good event after which they are due, then by
    /// their own.
    copies: BTreeMap<Reverse<(u64, u64)>, (usize, Item)>,
    /// Recorded ids already counted in a run that keeps them.
    kept_ids: HashSet<[u8; 16]>,
}

impl Plan {
    /// Plans the run of `setup` over its opened source.
    pub fn new(source: Source, setup: &Setup) -> Plan {
        Plan {
            timing: Timing::new(setup.times, setup.base_us, source.span_us()),
            rng: generator(setup.seed, PLAN_STREAM),
            source,
            setup: setup.clone(),
            n_batches: 0,
            n_good: 0,
            n_extra: 0,
            ready: [VecDeque::new(), VecDeque::new()],
            copies: BTreeMap::new(),
            kept_ids: HashSet::new(),
        }
    }

    /// How event times are made.
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// The source, for its information about the run as a whole.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Events of all classes of the whole run, roughly: shares are drawn.
    pub fn n_items_guess(&self) -> Option<u64> {
        let mix = self.setup.mix;
        let shares = [mix.duplicates, mix.late, mix.future, mix.malformed];
        let extra_ppm: u64 = shares.iter().map(|share| u64::from(share.0)).sum();
        let n_events = self.source.n_events()?;
        Some(n_events + n_events.saturating_mul(extra_ppm) / 1_000_000)
    }

    /// The next batch, made at `at_us`; `None` when the run is at its end.
    ///
    /// # Errors
    /// The source cannot be read further.
    pub fn next_batch(&mut self, at_us: i64) -> anyhow::Result<Option<Batch>> {
        let mut way = usize::from(self.ready[1].len() >= self.setup.batch);
        let mut items = self.fill(way, at_us)?;
        if items.is_empty() && way == 0 {
            way = 1;
            items = self.fill(way, at_us)?;
        }
        if items.is_empty() {
            return Ok(None);
        }
        self.n_batches += 1;
        Ok(Some(Batch::new(self.n_batches, way, at_us, items)))
    }

    /// The items of a batch that goes one way; none at the end of the run. Only copies go the
    /// second one, and they are made along with the others.
    fn fill(&mut self, way: usize, at_us: i64) -> anyhow::Result<Vec<Item>> {
        let mut items = Vec::with_capacity(self.setup.batch);
        let mut n_bytes = 2;
        while items.len() < self.setup.batch {
            while way == 0 && self.ready[0].is_empty() && self.make_ready(at_us)? {}
            let Some(next) = self.ready[way].front() else { break };
            n_bytes += next.body.len() + 1;
            if n_bytes > BODY_BYTES_MAX && !items.is_empty() {
                break;
            }
            items.extend(self.ready[way].pop_front());
        }
        Ok(items)
    }

    /// Puts the next good event and what goes with it into `ready`; false at the end of the run.
    fn make_ready(&mut self, at_us: i64) -> anyhow::Result<bool> {
        let Some(facts) = self.source.next()? else {
            let Some((_, (way, copy))) = self.copies.pop_last() else { return Ok(false) };
            self.ready[way].push_back(copy);
            return Ok(true);
        };
        while self.copies.last_key_value().is_some_and(|(due, _)| due.0.0 <= self.n_good) {
            let Some((_, (way, copy))) = self.copies.pop_last() else { break };
            self.ready[way].push_back(copy);
        }
        self.n_good += 1;
        let good = self.good(&facts, at_us)?;
        if matches!(good.class, Class::Counted | Class::Duplicate) {
            self.draw_copies(&good);
        }
        self.ready[0].push_back(good);
        self.draw_extras(&facts, at_us);
        Ok(true)
    }

    fn good(&mut self, facts: &Facts, at_us: i64) -> anyhow::Result<Item> {
        let id: Arc<str> = match &facts.id {
            Some(id) => id.as_str().into(),
            None => format!("{}-{}", self.setup.run_id, self.n_good).into(),
        };
        let time_us = self.timing.event_time_us(facts.recorded_us, at_us);
        let class = match self.timing {
            Timing::Keep if time_us < at_us - LATE_MIN_US => match facts.id {
                Some(_) if self.first_or_copy(&id)? == Class::Duplicate => Class::LateCopy,
                _ => Class::Late,
            },
            Timing::Keep if time_us > at_us + self.setup.future_min_us => Class::Future,
            Timing::Keep if time_us < at_us - COUNTED_PAST_US => Class::Undecided,
            Timing::Keep if time_us > at_us + COUNTED_AHEAD_US => Class::Undecided,
            _ if facts.id.is_some() => self.first_or_copy(&id)?,
            _ => Class::Counted,
        };
        let body = facts.render(&id, time_us).into();
        Ok(Item { id, time_us, class, effect: Arc::clone(&facts.effect), body })
    }

    fn first_or_copy(&mut self, id: &str) -> anyhow::Result<Class> {
        let hash = blake3::hash(id.as_bytes());
        let key = hash.as_bytes()[..16].try_into().expect("sixteen bytes of a hash of 32");
        if !self.kept_ids.insert(key) {
            return Ok(Class::Duplicate);
        }
        if self.kept_ids.len() > KEPT_IDS_MAX {
            anyhow::bail!("more than {KEPT_IDS_MAX} recorded events in a run: play fewer files");
        }
        Ok(Class::Counted)
    }

    fn draw_copies(&mut self, good: &Item) {
        for _ in 0..self.draw_share(self.setup.mix.duplicates) {
            let distance_max =
                if self.rng.random_range(0..10) < 3 { NEAR_EVENTS_MAX } else { FAR_EVENTS_MAX };
            let distance = self.rng.random_range(0..distance_max);
            self.n_extra += 1;
            let due = Reverse((self.n_good + distance, self.n_extra));
            let way = if self.setup.is_two_ways { (self.n_extra % 2) as usize } else { 0 };
            let copy = Item { class: Class::Duplicate, ..good.clone() };
            self.copies.insert(due, (way, copy));
        }
    }

    fn draw_extras(&mut self, facts: &Facts, at_us: i64) {
        let mix = self.setup.mix;
        for _ in 0..self.draw_share(mix.late) {
            let time_us = at_us - self.rng.random_range(LATE_MIN_US..=LATE_MAX_US);
            let id = self.extra_id('l');
            let body = facts.render_alone(&id, time_us);
            self.push_extra(facts, id, time_us, Class::Late, body);
        }
        for _ in 0..self.draw_share(mix.future) {
            let time_us = at_us + self.draw_ahead();
            let id = self.extra_id('f');
            let body = facts.render_alone(&id, time_us);
            self.push_extra(facts, id, time_us, Class::Future, body);
        }
        for _ in 0..self.draw_share(mix.malformed) {
            let id = self.extra_id('m');
            let body = render_broken(facts, &id, at_us, &mut self.rng);
            self.push_extra(facts, id, at_us, Class::Rejected, body);
        }
    }

    fn push_extra(&mut self, facts: &Facts, id: String, time_us: i64, class: Class, body: String) {
        // It stands alone: nobody tries again.
        let effect = Effect { attempt: Attempt::Final, ..Effect::clone(&facts.effect) };
        let effect = Arc::new(effect);
        let item = Item { id: id.into(), time_us, class, effect, body: body.into() };
        self.ready[0].push_back(item);
    }

    fn extra_id(&mut self, letter: char) -> String {
        self.n_extra += 1;
        format!("{}-{letter}{}", self.setup.run_id, self.n_extra)
    }

    /// How far ahead an event of the future is: minutes as often as months.
    fn draw_ahead(&mut self) -> i64 {
        let doubled = self.setup.future_min_us << self.rng.random_range(0..16);
        let high = (doubled * 2).min(FUTURE_MAX_US).max(self.setup.future_min_us + FUTURE_AFTER_US);
        self.rng.random_range(doubled.min(high - 1)..high)
    }

    fn draw_share(&mut self, share: Share) -> u32 {
        let (whole, rest) = (share.0 / 1_000_000, share.0 % 1_000_000);
        whole + u32::from(self.rng.random_range(0..1_000_000) < rest)
    }
}
