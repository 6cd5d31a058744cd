//! A strict reader of the business section of `/metrics`, in the Prometheus text format 0.0.4.
//!
//! A page becomes a map from series to exact values. It takes what Gatemeter promises to write and
//! no more: plain decimal numbers with at most six places, no time stamps, each series once, each
//! histogram whole. It never rounds and never skips a line that it does not understand.

use std::collections::BTreeMap;
use std::fmt;

/// Units per one: values are kept in millionths, so that seconds are whole microseconds.
pub const MILLION: i128 = 1_000_000;
/// Places behind the point that a value may have.
const PLACES_MAX: usize = 6;
/// Digits before the point: more than 64 bits have, and far fewer than would overflow.
const DIGITS_MAX: usize = 20;

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only ever grows.
    Counter,
    /// May go up and down.
    Gauge,
    /// Buckets, sum and count, which only ever grow.
    Histogram,
}

/// Name and labels of a series; labels in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// Name of the sample, such as `x_bucket` for the buckets of the histogram `x`.
    pub name: String,
    /// Labels by name.
    pub labels: BTreeMap<String, String>,
}

impl Series {
    /// A series with these labels.
    pub fn new(name: &str, labels: &[(&str, &str)]) -> Series {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Series { name: name.to_owned(), labels: labels.collect() }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<String> =
            self.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        match labels.is_empty() {
            true => out.write_str(&self.name),
            false => write!(out, "{}{{{}}}", self.name, labels.join(",")),
        }
    }
}

/// A page that holds together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Kind of each family, by name.
    pub kinds: BTreeMap<String, Kind>,
    /// Values in millionths.
    pub samples: BTreeMap<Series, i128>,
}

impl Page {
    /// Reads and checks a page.
    ///
    /// # Errors
    /// The first line that breaks a rule, or the first histogram that does not hold together.
    pub fn parse(text: &str) -> Result<Page, String> {
        let mut page = Page::default();
        for (idx, line) in text.lines().enumerate() {
            page.line(line).map_err(|error| format!("line {}: {error}: {line}", idx + 1))?;
        }
        page.check_histograms()?;
        Ok(page)
    }

    /// Family that a sample belongs to, and its kind.
    pub fn family(&self, name: &str) -> Option<(&str, Kind)> {
        let find = |name: &str| self.kinds.get_key_value(name).map(|(n, kind)| (n.as_str(), *kind));
        find(name).filter(|(_, kind)| *kind != Kind::Histogram).or_else(|| {
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            base.and_then(find).filter(|(_, kind)| *kind == Kind::Histogram)
        })
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        if line.is_empty() || line.starts_with("# HELP ") {
            return Ok(());
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, word) = rest.split_once(' ').ok_or("no kind")?;
            let kind = match word {
                "counter" => Kind::Counter,
                "gauge" => Kind::Gauge,
                "histogram" => Kind::Histogram,
                _ => return Err(format!("unknown kind {word}")),
            };
            return match self.kinds.insert(name.to_owned(), kind) {
                None => Ok(()),
                Some(_) => Err("a family comes twice".to_owned()),
            };
        }
        let (series, value) = sample(line)?;
        if self.family(&series.name).is_none() {
            return Err("a sample without a family".to_owned());
        }
        match self.samples.insert(series, value) {
            None => Ok(()),
            Some(_) => Err("a series comes twice".to_owned()),
        }
    }

    /// Every histogram has rising buckets, a sum, and a count that is its last bucket.
    fn check_histograms(&self) -> Result<(), String> {
        for (name, _) in self.kinds.iter().filter(|(_, kind)| **kind == Kind::Histogram) {
            for (labels, mut buckets) in self.buckets(name)? {
                buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
                let base = Series { name: name.clone(), labels: labels.clone() };
                if buckets.windows(2).any(|pair| pair[0].1 > pair[1].1) {
                    return Err(format!("{base}: buckets fall"));
                }
                let of = |end: &str| {
                    let series = Series { name: format!("{name}{end}"), labels: labels.clone() };
                    self.samples.get(&series).copied()
                };
                let last = buckets.last().filter(|(bound, _)| bound.is_infinite());
                if last.is_none() || last.map(|(_, n)| *n) != of("_count") {
                    return Err(format!("{base}: the count is not the +Inf bucket"));
                }
                if of("_sum").is_none() {
                    return Err(format!("{base}: no sum"));
                }
            }
        }
        Ok(())
    }

    /// Buckets of a histogram by their other labels: bound and value.
    fn buckets(&self, name: &str) -> Result<Buckets, String> {
        let mut found = Buckets::new();
        for (series, value) in &self.samples {
            let Some(end) = series.name.strip_prefix(name) else { continue };
            let mut labels = series.labels.clone();
            let bound = labels.remove("le");
            match (end, bound) {
                ("_bucket", Some(bound)) => {
                    let bound = bound.parse().map_err(|_| format!("{series}: no bound"))?;
                    found.entry(labels).or_default().push((bound, *value));
                }
                ("_bucket", None) => return Err(format!("{series}: no bound")),
                ("_sum" | "_count", None) => {
                    found.entry(labels).or_default();
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

/// Bounds and values of buckets, by the labels of their histogram.
type Buckets = BTreeMap<BTreeMap<String, String>, Vec<(f64, i128)>>;

/// Reads `name{label="value",..} number`.
fn sample(line: &str) -> Result<(Series, i128), String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let name = &line[..end];
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    if name.is_empty() || !name.chars().all(is_name) || name.starts_with(|c: char| c.is_numeric()) {
        return Err("no name".to_owned());
    }
    let (labels, rest) = match line[end..].strip_prefix('{') {
        None => (BTreeMap::new(), &line[end..]),
        Some(rest) => labels(rest)?,
    };
    let value = rest.strip_prefix(' ').ok_or("no blank before the value")?;
    Ok((Series { name: name.to_owned(), labels }, number(value)?))
}

/// Labels by name.
type Labels = BTreeMap<String, String>;

/// Reads labels up to the closing brace; gives what follows it.
fn labels(mut rest: &str) -> Result<(Labels, &str), String> {
    let mut labels = Labels::new();
    loop {
        let (name, behind) = rest.split_once("=\"").ok_or("a label without a value")?;
        let (value, behind) = quoted(behind)?;
        if labels.insert(name.to_owned(), value).is_some() {
            return Err(format!("label {name} comes twice"));
        }
        match behind.strip_prefix(',') {
            Some(behind) => rest = behind,
            None => return Ok((labels, behind.strip_prefix('}').ok_or("labels do not end")?)),
        }
    }
}

/// Reads a label value up to its closing quote; gives what follows it.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, c @ ('\\' | '"'))) => value.push(c),
                _ => return Err("an unknown escape".to_owned()),
            },
            c => value.push(c),
        }
    }
    Err("a label value does not end".to_owned())
}

/// Reads a plain decimal number into millionths.
fn number(text: &str) -> Result<i128, String> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, places) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_plain = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    let fits = whole.len() <= DIGITS_MAX && places.len() <= PLACES_MAX;
    if !(is_plain(whole) && is_plain(places) && fits) {
        return Err("the value is no plain number with at most six places".to_owned());
    }
    let parse = |text: &str| text.parse::<i128>().map_err(|error| error.to_string());
    Ok(sign * (parse(whole)? * MILLION + parse(&format!("{places:0<PLACES_MAX$}"))?))
}
