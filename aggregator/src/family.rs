//! One metric family: label text written once per series, values as whole numbers.
//!
//! Texts of all series lie behind each other in one buffer, so that writing a page is copying runs
//! of bytes and formatting integers. A series is never removed: counters do not vanish.

use std::collections::HashMap;

/// What a family is for Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only ever grows.
    Counter,
    /// May go up and down.
    Gauge,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        }
    }
}

/// Label pairs on their way into text; values are checked labels that need no escaping.
#[derive(Debug, Default)]
pub struct LabelText {
    text: String,
}

impl LabelText {
    /// Appends a label.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> LabelText {
        debug_assert!(!value.contains(['"', '\\', '\n']), "labels are checked before");
        if !self.text.is_empty() {
            self.text.push(',');
        }
        self.text.push_str(name);
        self.text.push_str("=\"");
        self.text.push_str(value);
        self.text.push('"');
        self
    }

    /// The pairs as text, without braces.
    #[must_use]
    pub fn text(self) -> String {
        self.text
    }
}

/// Texts of series behind each other, found by their content.
#[derive(Debug, Default)]
struct Texts {
    arena: Vec<u8>,
    ends: Vec<usize>,
    numbers: HashMap<Box<str>, u32>,
}

impl Texts {
    /// Number of a text, and whether it is new.
    fn number(&mut self, text: &str) -> (u32, bool) {
        if let Some(number) = self.numbers.get(text) {
            return (*number, false);
        }
        let number = u32::try_from(self.ends.len()).expect("series are bounded by label budgets");
        self.arena.extend_from_slice(text.as_bytes());
        self.ends.push(self.arena.len());
        self.numbers.insert(text.into(), number);
        (number, true)
    }

    /// Every text with its number.
    fn each(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.arena[start..*end]).enumerate()
    }
}

/// A family of counters or gauges.
#[derive(Debug)]
pub struct Family {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    texts: Texts,
    values: Vec<i64>,
    held: Vec<bool>,
}

impl Family {
    /// A family without series.
    #[must_use]
    pub fn new(kind: Kind, name: &'static str, help: &'static str) -> Family {
        Family { name, help, kind, texts: Texts::default(), values: Vec::new(), held: Vec::new() }
    }

    /// Number of the series with these labels, made at zero if it is new; and whether it is.
    pub fn series(&mut self, labels: LabelText) -> (u32, bool) {
        let labels = labels.text();
        let text = match labels.is_empty() {
            true => format!("{} ", self.name),
            false => format!("{}{{{labels}}} ", self.name),
        };
        let (number, is_new) = self.texts.number(&text);
        if is_new {
            self.values.push(0);
            self.held.push(false);
        }
        (number, is_new)
    }

    /// Adds to a counter.
    ///
    /// # Panics
    /// If the sum leaves 64 bits. The ledger refuses such a commit before it is shown.
    pub fn add(&mut self, series: u32, n: i64) {
        let value = &mut self.values[series as usize];
        *value = value.checked_add(n).expect("totals fit 64 bits: the ledger holds the same sum");
    }

    /// Sets a gauge.
    pub fn set(&mut self, series: u32, n: i64) {
        self.values[series as usize] = n;
    }

    /// Holds a series at zero, or releases it.
    pub fn hold(&mut self, series: u32, hold: Hold) {
        self.held[series as usize] = hold == Hold::AtZero;
    }

    /// Whether holding the series hides anything.
    #[must_use]
    pub fn hides(&self, series: u32) -> bool {
        self.held[series as usize] && self.values[series as usize] != 0
    }

    /// Writes head and series.
    pub fn write(&self, page: &mut Vec<u8>) {
        write_head(page, self.name, self.help, self.kind.word());
        let mut digits = itoa::Buffer::new();
        for (number, text) in self.texts.each() {
            page.extend_from_slice(text);
            let value = if self.held[number] { 0 } else { self.values[number] };
            page.extend_from_slice(digits.format(value).as_bytes());
            page.push(b'\n');
        }
    }
}

/// Whether a series is shown at zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The series is shown at zero.
    AtZero,
    /// The series is shown at its value.
    No,
}

/// A family of histograms with `N` buckets, the last one +Inf.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    name: &'static str,
    help: &'static str,
    /// The bounds, written as the end of a bucket's labels: `,le="0.01"} `.
    bounds: [String; N],
    texts: Texts,
    buckets: Vec<[i64; N]>,
    /// Each is a sum of many rows, and only a row is bound to 64 bits.
    sums_us: Vec<i128>,
    held: Vec<bool>,
}

impl<const N: usize> Histogram<N> {
    /// A family without series.
    #[must_use]
    pub fn new(name: &'static str, help: &'static str, bounds: [&str; N]) -> Histogram<N> {
        Histogram {
            name,
            help,
            bounds: bounds.map(|bound| format!(",le=\"{bound}\"}} ")),
            texts: Texts::default(),
            buckets: Vec::new(),
            sums_us: Vec::new(),
            held: Vec::new(),
        }
    }

    /// Number of the series with these labels, made empty if it is new; and whether it is.
    pub fn series(&mut self, labels: LabelText) -> (u32, bool) {
        let (number, is_new) = self.texts.number(&labels.text());
        if is_new {
            self.buckets.push([0; N]);
            self.sums_us.push(0);
            self.held.push(false);
        }
        (number, is_new)
    }

    /// Adds observations: their sum in microseconds, and how many per bucket.
    pub fn add(&mut self, series: u32, sum_us: i64, buckets: &[i64; N]) {
        const FITS: &str = "totals fit 64 bits: the ledger holds the same sum";
        let series = series as usize;
        self.sums_us[series] += i128::from(sum_us);
        for (sum, n) in self.buckets[series].iter_mut().zip(buckets) {
            *sum = sum.checked_add(*n).expect(FITS);
        }
    }

    /// Holds a series at zero, or releases it.
    pub fn hold(&mut self, series: u32, hold: Hold) {
        self.held[series as usize] = hold == Hold::AtZero;
    }

    /// Whether holding the series hides anything.
    #[must_use]
    pub fn hides(&self, series: u32) -> bool {
        self.held[series as usize] && self.buckets[series as usize].iter().any(|n| *n != 0)
    }

    /// Writes head and series. The count is the +Inf bucket, of which it is a copy.
    pub fn write(&self, page: &mut Vec<u8>) {
        write_head(page, self.name, self.help, "histogram");
        let bucket_head = format!("{}_bucket{{", self.name);
        let sum_head = format!("{}_sum{{", self.name);
        let count_head = format!("{}_count{{", self.name);
        let mut digits = itoa::Buffer::new();
        for (number, text) in self.texts.each() {
            let is_held = self.held[number];
            let mut below = 0;
            for (n, bound) in self.buckets[number].iter().zip(&self.bounds) {
                below += if is_held { 0 } else { *n };
                page.extend_from_slice(bucket_head.as_bytes());
                page.extend_from_slice(text);
                page.extend_from_slice(bound.as_bytes());
                page.extend_from_slice(digits.format(below).as_bytes());
                page.push(b'\n');
            }
            page.extend_from_slice(sum_head.as_bytes());
            page.extend_from_slice(text);
            page.extend_from_slice(b"} ");
            write_seconds(page, if is_held { 0 } else { self.sums_us[number] });
            page.extend_from_slice(b"\n");
            page.extend_from_slice(count_head.as_bytes());
            page.extend_from_slice(text);
            page.extend_from_slice(b"} ");
            page.extend_from_slice(digits.format(below).as_bytes());
            page.push(b'\n');
        }
    }
}

/// Writes microseconds as seconds, exactly: whole numbers and up to six places.
fn write_seconds(page: &mut Vec<u8>, us: i128) {
    let mut digits = itoa::Buffer::new();
    page.extend_from_slice(digits.format(us / 1_000_000).as_bytes());
    let fraction = us % 1_000_000;
    if fraction != 0 {
        let places = format!(".{fraction:06}");
        page.extend_from_slice(places.trim_end_matches('0').as_bytes());
    }
}

/// Writes the two head lines of a family.
fn write_head(page: &mut Vec<u8>, name: &str, help: &str, kind: &str) {
    page.extend_from_slice(format!("# HELP {name} {help}\n# TYPE {name} {kind}\n").as_bytes());
}

#[cfg(test)]
mod tests;
