//! The bundled data and small folders made here: exact counts, faults by file and line, means.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;

/// Requests in the bundled three hours.
const BUNDLED: u64 = 266_904;

fn bundled() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data/servegen/deepseek-r1")
}

fn open(folder: &Path, window: Option<&str>, count: Option<u64>, seed: u64) -> ServeGen {
    let window = window.map(|text| text.parse().unwrap());
    ServeGen::open(folder, window, count, seed, Draw::new(seed, 1)).unwrap()
}

/// A folder with one client, two windows.
fn small(trace: &str, dataset: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("chunk-7-trace.csv"), trace).unwrap();
    std::fs::write(folder.path().join("chunk-7-dataset.json"), dataset).unwrap();
    folder
}

const TRACE: &str = "0,0.05,1.0,Gamma,1.0,20.0\n600,0,0,,0,0\n1200,2.5,0.5,Weibull,2.1,0.45\n";
const DATASET: &str = r#"{
  "0": {
    "input_tokens": "{10: 0.25, 20: 0.5, 1000: 0.25}",
    "output_tokens": "{7: 1.0}",
    "reason_ratio": "{0.0: 0.5, 0.5: 0.5}"
  },
  "21600": {"input_tokens": "{}", "output_tokens": "{}", "reason_ratio": "{}"}
}"#;

#[test]
fn every_window_has_the_requests_of_its_rate_and_keeps_them_inside() {
    let folder = small(TRACE, DATASET);
    for seed in 0..20 {
        let source = open(folder.path(), None, None, seed);
        let times: Vec<i64> = source.rows.iter().map(|row| row.time_us / SECOND_US).collect();
        assert_eq!(times.iter().filter(|second| (0..600).contains(*second)).count(), 30);
        assert_eq!(times.iter().filter(|second| (1_200..1_800).contains(*second)).count(), 1_500);
        assert_eq!(times.len(), 1_530);
        assert!(source.rows.is_sorted_by_key(|row| row.time_us));
    }
}

#[test]
fn events_say_what_was_drawn_and_the_client_is_the_namespace() {
    let folder = small(TRACE, DATASET);
    let mut source = open(folder.path(), None, None, 3);
    let mut n_thinking = 0;
    while let Some(facts) = source.next() {
        let tokens = facts.effect.tokens.unwrap();
        assert_eq!(&*facts.effect.namespace, "client-7");
        assert!([10, 20, 1_000].contains(&tokens.input), "{tokens:?}");
        assert_eq!(tokens.output, 7);
        assert!([0, 3].contains(&tokens.reasoning), "{tokens:?}");
        n_thinking += u32::from(tokens.reasoning > 0);
    }
    assert!((650..880).contains(&n_thinking), "{n_thinking}");
}

#[test]
fn bundled_trace_has_its_requests_and_the_same_seed_gives_the_same_totals() {
    let sums = |seed: u64, count: Option<u64>| {
        let mut source = open(&bundled(), None, count, seed);
        let mut sum = Tokens::default();
        let mut namespaces: BTreeMap<String, u64> = BTreeMap::new();
        while let Some(facts) = source.next() {
            sum.add(&facts.effect.tokens.unwrap());
            *namespaces.entry(facts.effect.namespace.to_string()).or_default() += 1;
        }
        (source.len(), sum, namespaces)
    };
    let (n_requests, first, namespaces) = sums(1, None);
    assert_eq!(n_requests, BUNDLED);
    assert_eq!((namespaces.len(), namespaces["client-35"]), (28, 120_375));
    assert_eq!(sums(1, None).1, first);
    let (_, other, same) = sums(2, None);
    assert_ne!(other, first);
    // Only what is drawn hangs on the seed.
    assert_eq!(same, namespaces);
    let (n_requests, part, _) = sums(1, Some(200_000));
    assert_eq!(n_requests, 200_000);
    // What a run of README's example sends, on every machine.
    let sums = (part.input, part.output, part.reasoning);
    assert_eq!(sums, (203_611_364, 261_947_785, 168_179_115));
}

#[test]
fn a_part_of_the_trace_holds_the_events_that_the_whole_has_there() {
    let whole = open(&bundled(), None, None, 4);
    let part = open(&bundled(), Some("1h-2h"), None, 4);
    let hour_us = 3_600 * SECOND_US;
    let inside: Vec<Row> = whole
        .rows
        .iter()
        .copied()
        .filter(|row| (hour_us..2 * hour_us).contains(&row.time_us))
        .collect();
    assert_eq!(part.rows, inside);
    assert_eq!(part.len(), 80_099);
    assert!(open(&bundled(), Some("5h-6h"), None, 4).rows.is_empty());
}

#[test]
fn means_of_what_is_drawn_are_those_of_the_distributions() {
    let mut source = open(&bundled(), None, None, 11);
    let dataset = Dataset::read(&bundled().join("chunk-35-dataset.json.gz")).unwrap();
    let lengths = dataset.lengths(0).unwrap();
    let (mut n, mut input, mut output) = (0.0, 0.0, 0.0);
    while let Some(facts) = source.next() {
        if &*facts.effect.namespace == "client-35" {
            let tokens = facts.effect.tokens.unwrap();
            n += 1.0;
            input += tokens.input as f64;
            output += tokens.output as f64;
        }
    }
    assert_eq!(n, 120_375.0);
    assert!((input / n / lengths.input.mean() - 1.0).abs() < 0.02, "{}", input / n);
    assert!((output / n / lengths.output.mean() - 1.0).abs() < 0.02, "{}", output / n);
}

#[test]
fn faults_name_file_and_line() {
    let row = "600,0.1,1.0,Gamma,1.0,10.0";
    let dataset = |from: &str, to: &str| DATASET.replace(from, to);
    for (trace, dataset, words) in [
        (format!("{TRACE}{row},1"), DATASET.into(), "trace.csv line 4: not a window of a trace: 7"),
        (format!("{TRACE}{row}"), DATASET.into(), "trace.csv line 4: the windows must be in"),
        (row.replace("600", "601"), DATASET.into(), "line 1: not a window of a trace: `601`"),
        (row.replace("0.1", "-1"), DATASET.into(), "`-1` is not a rate"),
        (row.replace("0.1", "NaN"), DATASET.into(), "`NaN` is not a rate"),
        (row.replace("Gamma", "Pareto"), DATASET.into(), "`Pareto` is not a family"),
        (row.replace("Gamma,1.0", "Gamma,0"), DATASET.into(), "must be above 0"),
        (format!("\n\n{row}x"), DATASET.into(), "trace.csv line 3: not a window"),
        (
            TRACE.into(),
            dataset("0.25, 20", "0.25, x"),
            "dataset.json line 3: not a distribution: `x",
        ),
        (TRACE.into(), dataset("7: 1.0", "7.5: 1.0"), "line 4: not a distribution: `7.5` is no"),
        (TRACE.into(), dataset("7: 1.0", "7: 1.5"), "line 4: not a distribution: `1.5` is no"),
        (TRACE.into(), dataset("{7: 1.0}", "{7: 0.0}"), "all probabilities are 0"),
        (TRACE.into(), dataset("{7: 1.0}", "7: 1.0"), "it must be in braces"),
        (TRACE.into(), dataset("0.5: 0.5", "1.5: 0.5"), "line 5: not a distribution: `1.5` is no"),
        (TRACE.into(), dataset("\"0\"", "\"x\""), "dataset.json: `x` is not the start of a span"),
        (TRACE.into(), dataset("output_tokens", "outputs"), "dataset.json line 6: not a dataset"),
        (TRACE.into(), DATASET[..DATASET.len() - 1].into(), "dataset.json line 8: not a dataset"),
        (row.replace("600", "21600"), DATASET.into(), "dataset.json: no token counts for second"),
    ] {
        let folder = small(&trace, &dataset);
        let fault = ServeGen::open(folder.path(), None, None, 1, Draw::new(1, 1)).err();
        let fault = format!("{:#}", fault.unwrap_or_else(|| panic!("taken: {words}")));
        assert!(fault.contains(words), "{fault:?} does not say {words:?}");
        assert!(fault.contains("chunk-7-"), "{fault:?} names no file");
    }
}
