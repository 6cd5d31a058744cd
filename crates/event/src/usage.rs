//! Token counts of one attempt, as reported, and the additive classes that are counted.
//!
//! Absent and zero are different things: a missing count is unknown and adds nothing. Counts that
//! contradict each other never become a `Usage`.

use crate::limits::TOKENS_MAX;

/// Token counts as reported. `input` includes the cache, `output` includes reasoning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, with those read from and written to a cache.
    pub input: Option<u32>,
    /// Prompt tokens that a cache served.
    pub cache_read: Option<u32>,
    /// Prompt tokens written to a cache.
    pub cache_write: Option<u32>,
    /// Tokens of the answer, with those of reasoning.
    pub output: Option<u32>,
    /// Answer tokens spent on reasoning.
    pub reasoning: Option<u32>,
}

/// How many additive token classes there are.
pub const N_TOKEN_CLASSES: usize = 5;
/// The additive classes in the order of `Usage::classes`, as `gatemeter_tokens_total` names them.
pub const TOKEN_CLASSES: [&str; N_TOKEN_CLASSES] =
    ["input_uncached", "input_cache_read", "input_cache_write", "output_text", "output_reasoning"];
/// How many of the classes, from the first on, are input.
pub const N_INPUT_CLASSES: usize = 3;

/// Why counts contradict each other or are out of range; `field` is named as in the native event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// A count is above a thousand million.
    #[error("must be at most {TOKENS_MAX}")]
    TooMany {
        /// The native field.
        field: &'static str,
    },
    /// Cache counts exceed the input that includes them.
    #[error(
        "cache_read_tokens + cache_write_tokens must not exceed input_tokens, \
             which includes them"
    )]
    CacheAboveInput,
    /// Reasoning exceeds the output that includes it.
    #[error("must not exceed output_tokens, which includes them")]
    ReasoningAboveOutput,
}

impl UsageError {
    /// The native field at fault, as a path inside the event.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            UsageError::TooMany { field } => field,
            UsageError::CacheAboveInput => "usage.cache_read_tokens",
            UsageError::ReasoningAboveOutput => "usage.reasoning_tokens",
        }
    }
}

impl Usage {
    /// Whether any count is present.
    #[must_use]
    pub fn is_present(&self) -> bool {
        [self.input, self.cache_read, self.cache_write, self.output, self.reasoning]
            .iter()
            .any(Option::is_some)
    }

    /// Checks ranges and sums.
    ///
    /// # Errors
    /// The first rule that the counts break.
    pub fn check(&self) -> Result<(), UsageError> {
        let fields = [
            ("usage.input_tokens", self.input),
            ("usage.cache_read_tokens", self.cache_read),
            ("usage.cache_write_tokens", self.cache_write),
            ("usage.output_tokens", self.output),
            ("usage.reasoning_tokens", self.reasoning),
        ];
        for (field, count) in fields {
            if u64::from(count.unwrap_or(0)) > TOKENS_MAX {
                return Err(UsageError::TooMany { field });
            }
        }
        let cache =
            u64::from(self.cache_read.unwrap_or(0)) + u64::from(self.cache_write.unwrap_or(0));
        if cache > u64::from(self.input.unwrap_or(0)) {
            return Err(UsageError::CacheAboveInput);
        }
        if self.reasoning.unwrap_or(0) > self.output.unwrap_or(0) {
            return Err(UsageError::ReasoningAboveOutput);
        }
        Ok(())
    }

    /// The additive classes, in the order of `TOKEN_CLASSES`. The counts have passed `check`.
    #[must_use]
    pub fn classes(&self) -> [u32; N_TOKEN_CLASSES] {
        let cache_read = self.cache_read.unwrap_or(0);
        let cache_write = self.cache_write.unwrap_or(0);
        let reasoning = self.reasoning.unwrap_or(0);
        [
            self.input.unwrap_or(0) - cache_read - cache_write,
            cache_read,
            cache_write,
            self.output.unwrap_or(0) - reasoning,
            reasoning,
        ]
    }
}
