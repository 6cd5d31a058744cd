//! Unit tests of `azure`.

use super::*;

fn bundled(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data/azure-llm-trace").join(name)
}

fn sums(files: &[PathBuf], seed: u64) -> (u64, u64, u64) {
    let mut source = Azure::open(files, None, Draw::new(seed, 12)).unwrap();
    let mut sum = Tokens::default();
    let mut n_events = 0;
    while let Some(facts) = source.next() {
        sum.add(&facts.effect.tokens.unwrap());
        n_events += 1;
    }
    assert_eq!(n_events, source.len());
    (n_events, sum.input, sum.output)
}

#[test]
fn bundled_traces_have_their_published_sums_whatever_the_seed() {
    let code = bundled("AzureLLMInferenceTrace_code.csv.gz");
    let conv = bundled("AzureLLMInferenceTrace_conv.csv.gz");
    assert_eq!(sums(std::slice::from_ref(&code), 1), (8_819, 18_059_974, 245_896));
    assert_eq!(sums(std::slice::from_ref(&conv), 2), (19_366, 22_361_870, 4_088_665));
    assert_eq!(sums(&[conv, code], 3), (28_185, 40_421_844, 4_334_561));
}

#[test]
fn byte_order_mark_line_ends_and_offsets_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trace.csv");
    let text = "\u{feff}TIMESTAMP,ContextTokens,GeneratedTokens\r\n\
        2024-05-10 00:00:00.000001+00:00,7,8\r\n\r\n2023-11-16 18:17:03.9799600,4808,10";
    std::fs::write(&file, text).unwrap();
    let source = Azure::open(&[file], None, Draw::new(1, 1)).unwrap();
    let early = Row { time_us: 1_700_158_623_979_960, input: 4_808, output: 10 };
    let later = Row { time_us: 1_715_299_200_000_001, input: 7, output: 8 };
    assert_eq!(source.rows, [early, later]);
}

#[test]
fn a_wrong_row_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trace.csv");
    for (text, word) in [
        ("a,b\n", "line 1"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,x,1\n", "line 2"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,1\n", "line 2"),
    ] {
        std::fs::write(&file, text).unwrap();
        let fault = Azure::open(std::slice::from_ref(&file), None, Draw::new(1, 1)).err();
        let fault = format!("{:#}", fault.unwrap());
        assert!(fault.contains(word), "{fault}");
    }
}
