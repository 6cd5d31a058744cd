//! The reader takes what is promised and refuses everything else with its line.

use crate::text::{Kind, MILLION, Page, Series};

const PAGE: &str = "\
# HELP a_total All a.
# TYPE a_total counter
a_total{y=\"2\",x=\"q\\\"\\\\\\n\"} 7
# HELP h Time.
# TYPE h histogram
h_bucket{n=\"w\",le=\"0.5\"} 1
h_bucket{n=\"w\",le=\"10.0\"} 3
h_bucket{n=\"w\",le=\"+Inf\"} 3
h_sum{n=\"w\"} 1.25
h_count{n=\"w\"} 3
# TYPE g gauge
g -4
";

#[test]
fn a_page_is_read_to_the_millionth() {
    let page = Page::parse(PAGE).unwrap();
    let value = |name: &str, labels: &[(&str, &str)]| page.samples[&Series::new(name, labels)];
    assert_eq!(value("a_total", &[("x", "q\"\\\n"), ("y", "2")]), 7 * MILLION);
    assert_eq!(value("h_sum", &[("n", "w")]), 1_250_000);
    assert_eq!(value("g", &[]), -4 * MILLION);
    assert_eq!(page.family("h_bucket"), Some(("h", Kind::Histogram)));
    assert_eq!(page.family("h"), None);
    assert_eq!(page.samples.len(), 7);
}

#[test]
fn lines_that_break_a_rule_are_refused() {
    let head = "# TYPE a counter\n";
    for line in [
        "a",
        "a 1 1700000000",
        "a 1e3",
        "a NaN",
        "a 0.1234567",
        "a  1",
        "a{x=\"1\" 1",
        "a{x=\"1} 1",
        "a{x=\"\\t\"} 1",
        "a{x=\"1\",x=\"2\"} 1",
        "b 1",
        "a_sum 1",
        "# TYPE a counter",
        "# TYPE b summary",
        "# free comment",
        "a 1\na 1",
    ] {
        assert!(Page::parse(&format!("{head}{line}\n")).is_err(), "{line}");
    }
}

#[test]
fn histograms_that_do_not_hold_together_are_refused() {
    for (line, other) in [
        ("h_count{n=\"w\"} 3\n", "h_count{n=\"w\"} 4\n"),
        ("h_count{n=\"w\"} 3\n", ""),
        ("h_sum{n=\"w\"} 1.25\n", ""),
        ("h_bucket{n=\"w\",le=\"+Inf\"} 3\n", ""),
        ("le=\"0.5\"} 1\n", "le=\"0.5\"} 4\n"),
        ("le=\"0.5\"", "le=\"x\""),
    ] {
        assert!(Page::parse(&PAGE.replace(line, other)).is_err(), "{line:?} -> {other:?}");
    }
    assert!(Page::parse("# TYPE h histogram\nh_sum 1\n").is_err());
}
