//! The small fixed lists: HTTP methods, kinds of error, price tiers, where a token count is from.
//!
//! Each has a number that is written into frames and SQL rows. The numbers are part of the format:
//! new ones are added at the end, none is ever given a new meaning.

/// Makes a fixed list with its numbers and its words.
macro_rules! list {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$vdoc:meta])* $variant:ident = $code:literal $word:literal,)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $code,)+ }

        impl $name {
            /// Every value, in the order of the numbers.
            pub const EACH: &[$name] = &[$($name::$variant,)+];

            /// The number in frames and rows.
            #[must_use]
            pub const fn code(self) -> u8 { self as u8 }

            /// The value of a number, if it has one.
            #[must_use]
            pub const fn from_code(code: u8) -> Option<$name> {
                match code { $($code => Some($name::$variant),)+ _ => None }
            }

            /// Its public name.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }

            /// The value of a word, exactly as `word` writes it.
            #[must_use]
            pub fn from_word(word: &str) -> Option<$name> {
                match word { $($word => Some($name::$variant),)+ _ => None }
            }
        }
    };
}

list! {
    /// An HTTP method; whatever is not on the list is `other`.
    Method {
        /// GET
        Get = 1 "GET",
        /// POST
        Post = 2 "POST",
        /// PUT
        Put = 3 "PUT",
        /// PATCH
        Patch = 4 "PATCH",
        /// DELETE
        Delete = 5 "DELETE",
        /// HEAD
        Head = 6 "HEAD",
        /// OPTIONS
        Options = 7 "OPTIONS",
        /// Any other method.
        Other = 8 "other",
    }
}

impl Method {
    /// The method of a text in any case of letters; what is not on the list is `other`.
    #[must_use]
    pub fn settle(text: &str) -> Method {
        if let Some(method) = Method::from_word(text) {
            return method;
        }
        Method::EACH
            .iter()
            .copied()
            .find(|m| m.word().eq_ignore_ascii_case(text))
            .unwrap_or(Method::Other)
    }
}

list! {
    /// Why an attempt failed.
    ErrorType {
        /// 408, 504
        Timeout = 1 "timeout",
        /// 429
        RateLimited = 2 "rate_limited",
        /// 499
        ClientClosed = 3 "client_closed",
        /// Any other 4xx.
        ClientError = 4 "client_error",
        /// 502
        UpstreamUnreachable = 5 "upstream_unreachable",
        /// Any other 5xx.
        ServerError = 6 "server_error",
        /// Set only by the producer's `error_type`.
        ContentFilter = 7 "content_filter",
        /// Set only by the producer's `error_type`.
        Policy = 8 "policy",
        /// Set only by the producer's `error_type`, which does not know how the attempt ended.
        /// Frames of version 1 have no such kind.
        Unconfirmed = 9 "unconfirmed",
    }
}

list! {
    /// How an attempt ended: success (status below 400 and no `error_type`) or one kind of error.
    Outcome {
        /// Status below 400, and no `error_type` from the producer.
        Success = 0 "success",
        /// See `ErrorType::Timeout`; likewise for the others.
        Timeout = 1 "timeout",
        /// 429
        RateLimited = 2 "rate_limited",
        /// 499
        ClientClosed = 3 "client_closed",
        /// Any other 4xx.
        ClientError = 4 "client_error",
        /// 502
        UpstreamUnreachable = 5 "upstream_unreachable",
        /// Any other 5xx.
        ServerError = 6 "server_error",
        /// Set only by the producer's `error_type`.
        ContentFilter = 7 "content_filter",
        /// Set only by the producer's `error_type`.
        Policy = 8 "policy",
        /// Set only by the producer's `error_type`, which does not know how the attempt ended.
        /// Frames of version 1 have no such kind.
        Unconfirmed = 9 "unconfirmed",
    }
}

impl Outcome {
    /// The outcome of a status; `own` is the producer's `error_type`, which takes precedence over
    /// any status: an answer of 200 may have failed inside its stream.
    #[must_use]
    pub fn of(status: u16, own: Option<ErrorType>) -> Outcome {
        if let Some(own) = own {
            return Outcome::from_code(own.code()).expect("every error type is an outcome");
        }
        match status {
            ..400 => Outcome::Success,
            408 | 504 => Outcome::Timeout,
            429 => Outcome::RateLimited,
            499 => Outcome::ClientClosed,
            400..=499 => Outcome::ClientError,
            502 => Outcome::UpstreamUnreachable,
            _ => Outcome::ServerError,
        }
    }

    /// Whether it is valid with a status: an error is with any, a success only with one below 400.
    #[must_use]
    pub fn fits(self, status: u16) -> bool {
        status < 400 || self != Outcome::Success
    }

    /// The kind of error, or `None` for a success.
    #[must_use]
    pub fn error_type(self) -> Option<ErrorType> {
        ErrorType::from_code(self.code())
    }
}

list! {
    /// Price tier of a request.
    ServiceTier {
        /// The default tier.
        Standard = 1 "standard",
        /// The tier of asynchronous batches.
        Batch = 2 "batch",
        /// Cheaper, slower.
        Flex = 3 "flex",
        /// More expensive, faster.
        Priority = 4 "priority",
    }
}

list! {
    /// Where the token counts of an event come from.
    UsageSource {
        /// The event has no token counts.
        None = 0 "none",
        /// The upstream reported them.
        Reported = 1 "reported",
        /// Counted from the text at ingest.
        Estimated = 2 "estimated",
    }
}

#[cfg(test)]
mod tests;
