//! Which tokenizer a model has: a table, and the vocabularies, each loaded when it is first used.

use std::sync::LazyLock;

use tiktoken_rs::{CoreBPE, tokenizer::Tokenizer};

/// A vocabulary with its rules for cutting text into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// gpt-4o and later.
    O200kBase,
    /// gpt-oss: `o200k_base` with more special tokens, which plain text never becomes.
    O200kHarmony,
    /// gpt-4, gpt-3.5 and the embeddings of their time.
    Cl100kBase,
    /// Codex and the last of gpt-3.
    P50kBase,
    /// `p50k_base` with more special tokens.
    P50kEdit,
    /// gpt-3 and gpt-2.
    R50kBase,
}

/// How an encoding was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Published by the model's vendor.
    Published,
    /// The model is unknown, or its vendor publishes no tokenizer of this kind.
    Assumed,
}

/// Models and their encodings: the whole name, or the beginning of one if it ends with `*`. The
/// first that fits holds.
///
/// Source: `MODEL_TO_ENCODING` and `MODEL_PREFIX_TO_ENCODING` in `tiktoken/model.py` of OpenAI's
/// tiktoken (<https://github.com/openai/tiktoken>), read in the version that tiktoken-rs 0.12.1
/// follows; a test holds the two against each other.
pub const MODELS: [(&str, Encoding); 37] = [
    ("gpt-oss-*", Encoding::O200kHarmony),
    ("gpt-5*", Encoding::O200kBase),
    ("gpt-4.5*", Encoding::O200kBase),
    ("gpt-4.1*", Encoding::O200kBase),
    ("gpt-4o*", Encoding::O200kBase),
    ("chatgpt-4o*", Encoding::O200kBase),
    ("o1*", Encoding::O200kBase),
    ("o3*", Encoding::O200kBase),
    ("o4-mini*", Encoding::O200kBase),
    ("gpt-4*", Encoding::Cl100kBase),
    ("gpt-3.5*", Encoding::Cl100kBase),
    ("gpt-35-turbo*", Encoding::Cl100kBase),
    ("davinci-002", Encoding::Cl100kBase),
    ("babbage-002", Encoding::Cl100kBase),
    ("text-embedding-ada-002", Encoding::Cl100kBase),
    ("text-embedding-3-small", Encoding::Cl100kBase),
    ("text-embedding-3-large", Encoding::Cl100kBase),
    ("text-davinci-003", Encoding::P50kBase),
    ("text-davinci-002", Encoding::P50kBase),
    ("text-davinci-edit-001", Encoding::P50kEdit),
    ("code-davinci-edit-001", Encoding::P50kEdit),
    ("code-davinci-*", Encoding::P50kBase),
    ("code-cushman-*", Encoding::P50kBase),
    ("davinci-codex", Encoding::P50kBase),
    ("cushman-codex", Encoding::P50kBase),
    ("text-davinci-001", Encoding::R50kBase),
    ("text-curie-001", Encoding::R50kBase),
    ("text-babbage-001", Encoding::R50kBase),
    ("text-ada-001", Encoding::R50kBase),
    ("davinci", Encoding::R50kBase),
    ("curie", Encoding::R50kBase),
    ("babbage", Encoding::R50kBase),
    ("ada", Encoding::R50kBase),
    ("text-similarity-*", Encoding::R50kBase),
    ("text-search-*", Encoding::R50kBase),
    ("code-search-*", Encoding::R50kBase),
    ("gpt2", Encoding::R50kBase),
];

impl Encoding {
    /// The encoding of a model. A fine-tuned model (`ft:MODEL:..`) has that of the one it was made
    /// from, and a vendor before a slash is passed over. Unknown models get `o200k_base`, the
    /// newest vocabulary that is published whole: other vendors' differ from it by some per cent.
    #[must_use]
    pub fn of_model(model: &str) -> (Encoding, Basis) {
        let bare = model.rsplit('/').next().unwrap_or(model);
        let bare =
            bare.strip_prefix("ft:").map_or(bare, |made| made.split(':').next().unwrap_or(made));
        let fits = |name: &str| match name.strip_suffix('*') {
            Some(beginning) => bare.starts_with(beginning),
            None => bare == name,
        };
        match MODELS.iter().find(|(name, _)| fits(name)) {
            Some((_, encoding)) => (*encoding, Basis::Published),
            None => (Encoding::O200kBase, Basis::Assumed),
        }
    }

    /// The encoding of this name, as tiktoken names it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Encoding> {
        Encoding::ALL.into_iter().find(|encoding| encoding.name() == name)
    }

    /// All encodings.
    pub const ALL: [Encoding; 6] = [
        Encoding::O200kBase,
        Encoding::O200kHarmony,
        Encoding::Cl100kBase,
        Encoding::P50kBase,
        Encoding::P50kEdit,
        Encoding::R50kBase,
    ];

    /// Its name, as tiktoken names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Encoding::O200kBase => "o200k_base",
            Encoding::O200kHarmony => "o200k_harmony",
            Encoding::Cl100kBase => "cl100k_base",
            Encoding::P50kBase => "p50k_base",
            Encoding::P50kEdit => "p50k_edit",
            Encoding::R50kBase => "r50k_base",
        }
    }

    /// The vocabulary. The first call for an encoding loads it, which takes some 100 ms and 10 to
    /// 40 MB, once in a process.
    pub(crate) fn vocabulary(self) -> &'static CoreBPE {
        // Encodings that differ in special tokens alone share one: plain text has none.
        static O200K: LazyLock<&CoreBPE> = LazyLock::new(|| load(Tokenizer::O200kBase));
        static CL100K: LazyLock<&CoreBPE> = LazyLock::new(|| load(Tokenizer::Cl100kBase));
        static P50K: LazyLock<&CoreBPE> = LazyLock::new(|| load(Tokenizer::P50kBase));
        static R50K: LazyLock<&CoreBPE> = LazyLock::new(|| load(Tokenizer::R50kBase));
        match self {
            Encoding::O200kBase | Encoding::O200kHarmony => &O200K,
            Encoding::Cl100kBase => &CL100K,
            Encoding::P50kBase | Encoding::P50kEdit => &P50K,
            Encoding::R50kBase => &R50K,
        }
    }
}

fn load(tokenizer: Tokenizer) -> &'static CoreBPE {
    tiktoken_rs::bpe_for_tokenizer(tokenizer).expect("the vocabulary is part of the program")
}

#[cfg(test)]
mod tests;
