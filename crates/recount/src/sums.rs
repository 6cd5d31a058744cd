//! What a row measures, as a plain list of whole numbers.
//!
//! Events are added one by one; sums are kept in 128 bits, so that no addition can overflow and
//! hide what it was asked to find. The order of the numbers is that of the ledger's columns.

use crate::frame::Event;

/// Upper bounds of the duration buckets, microseconds; the last bucket has none.
const DURATION_BOUNDS_US: [u64; 16] = [
    10_000,
    20_000,
    40_000,
    80_000,
    160_000,
    320_000,
    640_000,
    1_280_000,
    2_560_000,
    5_120_000,
    10_240_000,
    20_480_000,
    40_960_000,
    81_920_000,
    163_840_000,
    327_680_000,
];
/// Upper bounds of the first-token buckets, microseconds; the last bucket has none.
const TTFT_BOUNDS_US: [u64; 17] = [
    1_000, 5_000, 10_000, 20_000, 40_000, 60_000, 80_000, 100_000, 250_000, 500_000, 750_000,
    1_000_000, 2_500_000, 5_000_000, 7_500_000, 10_000_000, 30_000_000,
];
/// Upper bounds of the per-token buckets, microseconds; the last bucket has none.
const TPOT_BOUNDS_US: [u64; 17] = [
    1_000, 2_000, 5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 150_000, 200_000, 300_000,
    400_000, 500_000, 750_000, 1_000_000, 2_500_000, 10_000_000,
];
/// Number of duration buckets.
pub const N_DURATION: usize = 17;
/// Number of first-token buckets.
pub const N_TTFT: usize = 18;
/// Number of per-token buckets.
pub const N_TPOT: usize = 18;
/// The additive token classes; the first three are input.
pub const TOKEN_CLASSES: [&str; 5] =
    ["input_uncached", "input_cache_read", "input_cache_write", "output_text", "output_reasoning"];

const DURATION: usize = 2;
const TTFT_US: usize = DURATION + N_DURATION;
const TTFT: usize = TTFT_US + 1;
const TOKENS: usize = TTFT + N_TTFT;
const COST: usize = TOKENS + TOKEN_CLASSES.len();
const TPOT_US: usize = COST + 1;
const TPOT: usize = TPOT_US + 1;
/// How many numbers a row has.
pub const N_SUMS: usize = TPOT + N_TPOT;

/// Sums of a row: attempts, duration and its buckets, time to first token and its buckets, token
/// classes, cost, time per output token and its buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sums(pub [i128; N_SUMS]);

impl Default for Sums {
    fn default() -> Sums {
        Sums([0; N_SUMS])
    }
}

impl Sums {
    /// Adds an event.
    pub fn add_event(&mut self, event: &Event) {
        self.0[0] += 1;
        self.0[1] += i128::from(event.duration_us);
        self.0[DURATION + bucket(&DURATION_BOUNDS_US, event.duration_us)] += 1;
        if let Some(us) = event.ttft_us {
            self.0[TTFT_US] += i128::from(us);
            self.0[TTFT + bucket(&TTFT_BOUNDS_US, us)] += 1;
        }
        for (idx, tokens) in event.tokens.iter().enumerate() {
            self.0[TOKENS + idx] += i128::from(*tokens);
        }
        self.0[COST] += i128::from(event.cost_nano);
    }

    /// Adds the time per output token of an event, if it has one: a first token, an end that is not
    /// before it, and tokens that followed it.
    pub fn add_time_per_token(&mut self, event: &Event) {
        let n_followed = event.tokens[3..].iter().sum::<u64>().saturating_sub(1);
        let Some(ttft_us) = event.ttft_us else { return };
        if n_followed == 0 || ttft_us > event.duration_us {
            return;
        }
        let us = (event.duration_us - ttft_us) / n_followed;
        self.0[TPOT_US] += i128::from(us);
        self.0[TPOT + bucket(&TPOT_BOUNDS_US, us)] += 1;
    }

    /// Adds an event to a consumer row, which has requests, tokens and cost.
    pub fn add_used(&mut self, event: &Event) {
        self.0[0] += i128::from(event.row.is_final);
        for (idx, tokens) in event.tokens.iter().enumerate() {
            self.0[TOKENS + idx] += i128::from(*tokens);
        }
        self.0[COST] += i128::from(event.cost_nano);
    }

    /// A consumer row of requests, tokens per class and cost.
    pub fn of_used(used: [i64; 7]) -> Sums {
        let mut sums = Sums::default();
        let [requests, tokens @ .., cost_nano] = used.map(i128::from);
        sums.0[0] = requests;
        sums.0[TOKENS..COST].copy_from_slice(&tokens);
        sums.0[COST] = cost_nano;
        sums
    }

    /// Adds other sums.
    pub fn add(&mut self, other: &Sums) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum += more;
        }
    }

    /// What minutes keep of these: neither the buckets of the time to first token, nor anything of
    /// the time per output token.
    pub fn of_minute(&self) -> Sums {
        let mut sums = self.without_tpot();
        sums.0[TTFT..TTFT + N_TTFT].fill(0);
        sums
    }

    /// These without the time per output token.
    pub fn without_tpot(&self) -> Sums {
        let mut sums = self.clone();
        sums.0[TPOT_US..].fill(0);
        sums
    }

    /// Number of attempts.
    pub fn n(&self) -> i128 {
        self.0[0]
    }

    /// Sum of the durations, microseconds.
    pub fn duration_us(&self) -> i128 {
        self.0[1]
    }

    /// Attempts per duration bucket.
    pub fn duration(&self) -> &[i128] {
        &self.0[DURATION..DURATION + N_DURATION]
    }

    /// Sum of the times to first token, microseconds.
    pub fn ttft_us(&self) -> i128 {
        self.0[TTFT_US]
    }

    /// Attempts per bucket of the time to first token.
    pub fn ttft(&self) -> &[i128] {
        &self.0[TTFT..TTFT + N_TTFT]
    }

    /// Sum of the times per output token, microseconds.
    pub fn tpot_us(&self) -> i128 {
        self.0[TPOT_US]
    }

    /// Attempts per bucket of the time per output token.
    pub fn tpot(&self) -> &[i128] {
        &self.0[TPOT..TPOT + N_TPOT]
    }

    /// Tokens per additive class.
    pub fn tokens(&self) -> &[i128] {
        &self.0[TOKENS..COST]
    }

    /// Input tokens, with those of the cache.
    pub fn input(&self) -> i128 {
        self.tokens()[..3].iter().sum()
    }

    /// Output tokens, with those of reasoning.
    pub fn output(&self) -> i128 {
        self.tokens()[3..].iter().sum()
    }

    /// Cost, nano-dollars.
    pub fn cost_nano(&self) -> i128 {
        self.0[COST]
    }

    /// Names of the numbers, in their order.
    pub fn names() -> Vec<String> {
        let mut names = vec!["n".to_owned(), "duration_us".to_owned()];
        names.extend((0..N_DURATION).map(|idx| format!("duration_{idx}")));
        names.push("ttft_us".to_owned());
        names.extend((0..N_TTFT).map(|idx| format!("ttft_{idx}")));
        names.extend(TOKEN_CLASSES.map(str::to_owned));
        names.push("cost_nano".to_owned());
        names.push("tpot_us".to_owned());
        names.extend((0..N_TPOT).map(|idx| format!("tpot_{idx}")));
        names
    }
}

/// Number of the first bucket that a value fits into.
fn bucket(bounds: &[u64], value: u64) -> usize {
    bounds.iter().take_while(|bound| value > **bound).count()
}
