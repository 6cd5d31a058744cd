//! The log against the ledger: I1 and I2, row by row and number by number.
//!
//! Both sides are plain rows. Quarter-hours and minutes that retention has pruned may be missing;
//! rows that reach back before the starting point must hold at least what was recounted of them.
//! Everything else is equal or a difference.

use std::collections::BTreeMap;
use std::fmt::Display;

use store::plain::Progress;

use crate::differ::Differences;
use crate::found::{Ledger, account};
use crate::groups;
use crate::labels::Consumer;
use crate::log::{Expected, Part};
use crate::sums::Sums;
use crate::tally::{Account, LATE_VERDICTS, MINUTE_US, QUARTER_MINUTES, Range};
use crate::verdict::Class;

/// Minimum retention of minutes, whatever the configuration.
const MINUTES_KEPT_US: i64 = 7 * 60 * MINUTE_US;
/// Minimum retention of quarter-hours, whatever the configuration.
const QUARTERS_KEPT_US: i64 = 32 * 24 * 60 * MINUTE_US;

/// How far before the clock of a commit the events may lie that it counted, and how far after it:
/// no window is as long.
const COUNTED_WITHIN_US: i64 = 24 * 60 * MINUTE_US;

/// Compares the whole ledger with the recounted log.
pub fn compare(expected: &Expected, ledger: &Ledger) -> Differences {
    let mut differences = expected.late.clone();
    for (partition, part) in &expected.partitions {
        if let Some(progress) = ledger.partitions.get(partition) {
            compare_partition(&mut differences, *partition, part, progress);
            compare_ranges(&mut differences, *partition, part, ledger);
        }
    }
    let totals = (&expected.rows.totals, &ledger.rows.totals);
    differences.compare_maps(
        "ledger total",
        totals.0,
        totals.1,
        |differences, row, sums, found| {
            compare_sums(differences, "ledger total", row, sums, found);
        },
    );
    compare_quarters(&mut differences, expected, ledger);
    compare_minutes(&mut differences, expected, ledger);
    compare_used(&mut differences, expected, ledger);
    compare_groups(&mut differences, ledger);
    ledger.roll_ups.compare(&mut differences, &ledger.rows);
    differences
}

/// Compares the partition's row.
fn compare_partition(
    differences: &mut Differences,
    partition: u32,
    part: &Part,
    progress: &Progress,
) {
    const PLACE: &str = "ledger partition";
    let name = |what: &str| format!("partition {partition} {what}");
    compare_account(differences, PLACE, &part.account, &account(&progress.account));
    differences.compare_some(PLACE, &name("clock_us"), part.clock_us, progress.clock_us);
    let floor = part.floor.map(|floor| floor.offset);
    differences.compare_some(PLACE, &name("floor"), floor.or(Some(0)), Some(progress.floor));
    let clock = part.floor.map(|floor| floor.clock_us);
    differences.compare_some(PLACE, &name("floor_clock_us"), clock, progress.floor_clock_us);
    let print = part.last.as_deref().map(xxhash_rust::xxh3::xxh3_64);
    if print.is_some() {
        differences.compare_some(PLACE, &name("last_print"), print, progress.last_print);
    }
}

/// Accounting by class: I2.
pub fn compare_account(
    differences: &mut Differences,
    place: &'static str,
    expected: &Account,
    found: &Account,
) {
    differences.compare(place, "events", expected.events, found.events);
    for class in Class::EACH {
        differences.compare(place, class.word(), expected.of(class), found.of(class));
    }
    differences.compare(place, "conflicts", expected.conflicts, found.conflicts);
    differences.compare(place, "lost_frames", expected.lost_frames, found.lost_frames);
    for ((name, n), other) in LATE_VERDICTS.iter().zip(expected.late).zip(found.late) {
        differences.compare(place, &format!("late {name}"), n, other);
    }
}

/// Every range of a partition from the starting point on, and that they follow each other.
fn compare_ranges(differences: &mut Differences, partition: u32, part: &Part, ledger: &Ledger) {
    const PLACE: &str = "ledger range";
    let lines = ledger.ranges.iter().filter(|line| line.partition == partition);
    let mut end = None;
    for line in lines {
        let name =
            |what: &str| format!("partition {partition} [{}, {}) {what}", line.base, line.next);
        if let Some(end) = end {
            differences.compare(PLACE, &name("base"), end, line.base);
        }
        end = Some(line.next);
        if line.base < part.count_from {
            continue;
        }
        let nothing = Range::default();
        // A line that accepts a loss moves nothing; the next one begins at the same offset.
        let range = part.ranges.get(&line.base).filter(|_| line.next > line.base);
        let range = range.unwrap_or(&nothing);
        let numbers = [
            ("events", range.events, line.events),
            ("counted", range.counted, line.counted),
            ("input_tokens", range.input, line.input_tokens),
            ("output_tokens", range.output, line.output_tokens),
            ("digest", i128::from(range.digest), line.digest),
        ];
        for (what, expected, found) in numbers {
            differences.compare(PLACE, &name(what), expected, i128::from(found));
        }
        // A program of before did not say.
        if line.late >= 0 {
            differences.compare(PLACE, &name("late"), range.late, i128::from(line.late));
        }
        let first = (range.first_clock_us, line.first_clock_us);
        differences.compare_some(PLACE, &name("first_clock_us"), first.0, first.1);
        let last = (range.last_clock_us, line.last_clock_us);
        differences.compare_some(PLACE, &name("last_clock_us"), last.0, last.1);
    }
    let next = ledger.partitions.get(&partition).map(|progress| progress.next);
    if let (Some(end), Some(next)) = (end, next) {
        differences.compare(PLACE, &format!("partition {partition} end"), next, end);
    }
}

fn compare_quarters(differences: &mut Differences, expected: &Expected, ledger: &Ledger) {
    let found = named(&ledger.rows.quarters, "quarter");
    let table = Table {
        place: "ledger quarter",
        width_us: QUARTER_MINUTES * MINUTE_US,
        oldest: ledger.oldest_quarter,
        kept_from_us: ledger.committed_us.saturating_sub(QUARTERS_KEPT_US),
        whole_from_us: expected.whole_from_us,
    };
    table.compare(differences, &named(&expected.rows.quarters, "quarter"), &found);
}

fn compare_minutes(differences: &mut Differences, expected: &Expected, ledger: &Ledger) {
    let rows = expected.rows.minutes.iter();
    let rows = rows.map(|(key, sums)| (key.clone(), sums.of_minute())).collect();
    let table = Table {
        place: "ledger minute",
        width_us: MINUTE_US,
        oldest: ledger.oldest_minute,
        kept_from_us: ledger.committed_us.saturating_sub(MINUTES_KEPT_US),
        whole_from_us: expected.whole_from_us,
    };
    table.compare(differences, &named(&rows, "minute"), &named(&ledger.rows.minutes, "minute"));
}

/// Consumers. A ledger that counted before it kept them has none of what it counted until then.
fn compare_used(differences: &mut Differences, expected: &Expected, ledger: &Ledger) {
    let width_us = QUARTER_MINUTES * MINUTE_US;
    let from_us = match ledger.used_start_us {
        0 => i64::MIN,
        start_us => start_us.saturating_add(COUNTED_WITHIN_US),
    };
    let since = |rows: &BTreeMap<(i64, Consumer), Sums>| {
        let mut rows = named(rows, "quarter");
        rows.retain(|(at, _), _| at.saturating_mul(width_us) >= from_us);
        rows
    };
    let table = Table {
        place: "ledger consumer",
        width_us,
        oldest: ledger.oldest_used,
        kept_from_us: ledger.committed_us.saturating_sub(QUARTERS_KEPT_US),
        whole_from_us: expected.whole_from_us,
    };
    table.compare(differences, &since(&expected.rows.used), &since(&ledger.rows.used));
}

/// What the database adds up by consumer, against its rows, which were compared with the log.
fn compare_groups(differences: &mut Differences, ledger: &Ledger) {
    const PLACE: &str = "ledger consumer group";
    let rows = groups::of_rows(&ledger.rows.used);
    differences.compare_maps(PLACE, &rows, &ledger.groups, |differences, group, sums, found| {
        compare_sums(differences, PLACE, group, sums, found);
    });
}

/// Rows by time, then by name.
type Named = BTreeMap<(i64, String), Sums>;

fn named<L: Display>(rows: &BTreeMap<(i64, L), Sums>, unit: &str) -> Named {
    let name = |at: i64, labels: &L| (at, format!("{unit} {at} {labels}"));
    rows.iter().map(|((at, labels), sums)| (name(*at, labels), sums.clone())).collect()
}

/// How a table of rows by time is compared.
struct Table {
    place: &'static str,
    width_us: i64,
    /// Start of the oldest existing row.
    oldest: Option<i64>,
    /// Rows that end later than this are never pruned.
    kept_from_us: i64,
    /// Rows that begin before this may hold what was not recounted.
    whole_from_us: i64,
}

impl Table {
    fn compare(&self, differences: &mut Differences, expected: &Named, found: &Named) {
        for ((at, name), sums) in expected {
            match found.get(&(*at, name.clone())) {
                Some(other) if self.is_whole(*at) => {
                    compare_sums(differences, self.place, name, sums, other);
                }
                Some(other) => self.compare_part(differences, name, sums, other),
                None if self.is_pruned(*at) => {}
                None => differences.add(self.place, name, "it to be there", "nothing"),
            }
        }
        for (at, name) in found.keys().filter(|key| !expected.contains_key(key)) {
            if self.is_whole(*at) {
                differences.add(self.place, name, "nothing", "it is there");
            }
        }
    }

    /// A row with events from before the starting point has at least what was recounted.
    fn compare_part(&self, differences: &mut Differences, name: &str, part: &Sums, found: &Sums) {
        for (what, (least, found)) in Sums::names().iter().zip(part.0.iter().zip(found.0)) {
            if found < *least {
                let (what, least) = (format!("{name} {what}"), format!("at least {least}"));
                differences.add(self.place, &what, &least, &found.to_string());
            }
        }
    }

    fn is_whole(&self, at: i64) -> bool {
        at.saturating_mul(self.width_us) > self.whole_from_us
    }

    /// Retention deletes the oldest rows first, a part of the oldest time perhaps.
    fn is_pruned(&self, at: i64) -> bool {
        let end_us = (at + 1).saturating_mul(self.width_us);
        end_us <= self.kept_from_us && self.oldest.is_none_or(|oldest| at <= oldest)
    }
}

fn compare_sums(
    differences: &mut Differences,
    place: &'static str,
    labels: &impl Display,
    expected: &Sums,
    found: &Sums,
) {
    if expected == found {
        return;
    }
    for (name, (expected, found)) in Sums::names().iter().zip(expected.0.iter().zip(found.0)) {
        if *expected != found {
            let what = format!("{labels} {name}");
            differences.add(place, &what, &expected.to_string(), &found.to_string());
        }
    }
}
