//! JSON parts that several answers share.

use jiff::Timestamp;
use ledger::query::sums::{Requests, Tokens};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use store::AsOf;
use utoipa::ToSchema;

/// Nano-dollars in a dollar.
const NANO: u64 = 1_000_000_000;

/// The ranks of the quantiles that are shown, per mille.
pub(crate) const RANKS: [u16; 3] = [500, 950, 990];

/// The committed version that the numbers of an answer come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AsOf)]
pub(crate) struct AsOfView {
    /// Ledger version.
    version: i64,
    /// When it was committed; null before the first commit.
    #[schema(required, format = DateTime)]
    time: Option<String>,
}

impl AsOfView {
    pub fn of(as_of: AsOf) -> AsOfView {
        let time = (as_of.committed_us > 0).then(|| moment(as_of.committed_us));
        AsOfView { version: as_of.version, time }
    }
}

/// Tokens of all attempts, and their cost.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct TokenTotals {
    /// Input, the cache included.
    input: i64,
    /// Output, reasoning included.
    output: i64,
    /// Part of the input that was read from a cache.
    cache_read: i64,
    /// Part of the input that was written to a cache.
    cache_write: i64,
    /// Part of the output.
    reasoning: i64,
    /// Tokens that no upstream reported, counted from the text.
    estimated: i64,
    /// US dollars, exact to the nano-dollar; null until there are prices.
    #[schema(value_type = Option<f64>, required)]
    cost_usd: Box<RawValue>,
}

impl TokenTotals {
    pub fn of(total: &Tokens) -> TokenTotals {
        TokenTotals {
            input: total.input,
            output: total.output,
            cache_read: total.cache_read,
            cache_write: total.cache_write,
            reasoning: total.reasoning,
            estimated: total.estimated,
            cost_usd: dollars(total.cost_nano),
        }
    }
}

/// Quantiles in milliseconds; each is null where nothing was measured.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Quantiles {
    #[schema(value_type = Option<f64>, required)]
    p50: Option<Box<RawValue>>,
    #[schema(value_type = Option<f64>, required)]
    p95: Option<Box<RawValue>>,
    #[schema(value_type = Option<f64>, required)]
    p99: Option<Box<RawValue>>,
}

impl Quantiles {
    pub fn of(requests: &Requests) -> Quantiles {
        Quantiles::by(|per_mille| requests.quantile_us(per_mille))
    }

    /// Those that a function of the rank gives, in microseconds.
    pub fn by(us: impl Fn(u16) -> Option<u64>) -> Quantiles {
        let shown = |per_mille| us(per_mille).map(milliseconds);
        let [p50, p95, p99] = RANKS.map(shown);
        Quantiles { p50, p95, p99 }
    }
}

/// Mean duration in milliseconds; `None` without requests.
pub(crate) fn mean(requests: &Requests) -> Option<Box<RawValue>> {
    requests.mean_us().and_then(|us| u64::try_from(us).ok()).map(milliseconds)
}

/// A ratio for display, 0 if `whole` is 0. It must not be added to anything.
pub(crate) fn share(part: i64, whole: i64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// A time as RFC 3339 in UTC.
pub(crate) fn moment(us: i64) -> String {
    Timestamp::from_microsecond(us).unwrap_or(Timestamp::MAX).to_string()
}

/// Nano-dollars as an exact JSON number of dollars, without a float. 0 becomes null: as long as
/// there are no prices, a cost is unknown rather than zero.
pub(crate) fn dollars(nano: i64) -> Box<RawValue> {
    if nano == 0 {
        return RawValue::NULL.to_owned();
    }
    let sign = if nano < 0 { "-" } else { "" };
    let (whole, rest) = (nano.unsigned_abs() / NANO, nano.unsigned_abs() % NANO);
    let fraction = format!(".{rest:09}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    RawValue::from_string(format!("{sign}{whole}{fraction}")).expect("digits are a JSON number")
}

/// Microseconds as exact milliseconds, for display only.
pub(crate) fn milliseconds(us: u64) -> Box<RawValue> {
    let fraction = format!(".{:03}", us % 1_000);
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    RawValue::from_string(format!("{}{fraction}", us / 1_000)).expect("digits are a JSON number")
}

#[cfg(test)]
mod tests;
