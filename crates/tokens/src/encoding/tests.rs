//! Unit tests of `encoding`.

use super::*;

#[test]
fn models_have_the_encodings_that_tiktoken_gives_them() {
    let name_of = |tokenizer: Tokenizer| match tokenizer {
        Tokenizer::O200kBase => "o200k_base",
        Tokenizer::O200kHarmony => "o200k_harmony",
        Tokenizer::Cl100kBase => "cl100k_base",
        Tokenizer::P50kBase => "p50k_base",
        Tokenizer::P50kEdit => "p50k_edit",
        Tokenizer::R50kBase | Tokenizer::Gpt2 => "r50k_base",
    };
    let more = [
        "gpt-4o-mini",
        "gpt-4-turbo-2024-04-09",
        "gpt-4",
        "gpt-5.4-mini",
        "o3-pro",
        "o1",
        "gpt-oss-120b",
        "ft:gpt-4o:acme::x",
        "ft:gpt-3.5-turbo",
        "gpt-3.5-turbo-16k",
        "text-search-ada-doc-001",
        "code-search-babbage-code-001",
        "chatgpt-4o-latest",
        "text-similarity-curie-001",
        "code-davinci-002",
        "code-cushman-002",
        "gpt-4.1-nano",
    ];
    let names = MODELS.iter().map(|(name, _)| name.trim_end_matches(['*', '-']));
    for model in names.filter(|name| tiktoken_rs::tokenizer::get_tokenizer(name).is_some()) {
        let theirs = tiktoken_rs::tokenizer::get_tokenizer(model).expect("known");
        assert_eq!(Encoding::of_model(model).0.name(), name_of(theirs), "{model}");
    }
    for model in more {
        let theirs = tiktoken_rs::tokenizer::get_tokenizer(model).expect("known");
        let (ours, basis) = Encoding::of_model(model);
        assert_eq!((ours.name(), basis), (name_of(theirs), Basis::Published), "{model}");
    }
}

#[test]
fn unknown_models_are_assumed_to_have_the_newest() {
    for model in ["claude-opus-4", "deepseek-r1", "qwen3", "", "gpt-6", "adaptive", "a/b/c"] {
        assert_eq!(Encoding::of_model(model), (Encoding::O200kBase, Basis::Assumed), "{model}");
    }
    let of_vendor = Encoding::of_model("openai/gpt-4");
    assert_eq!(of_vendor, (Encoding::Cl100kBase, Basis::Published));
}

#[test]
fn names_lead_back_to_their_encodings() {
    for encoding in Encoding::ALL {
        assert_eq!(Encoding::from_name(encoding.name()), Some(encoding));
    }
    assert_eq!(Encoding::from_name("o200k"), None);
}
