//! Unit tests of `metrics`.

use super::*;

#[test]
fn page_shows_what_was_registered_in_text_format() {
    let metrics = ProcessMetrics::new("ingest", "0.1.0").expect("a new registry");
    let count = metrics.counter("gatemeter_things_total", "Things seen.").expect("a new name");
    let sizes = metrics
        .histogram("gatemeter_thing_bytes", "Size of a thing.", &[10.0, 100.0])
        .expect("a new name");
    let by_reason = metrics
        .counter_vec("gatemeter_rejected_total", "Things refused.", &["reason"])
        .expect("a new name");
    count.inc_by(3);
    sizes.observe(11.0);
    by_reason.with_label_values(&["a\"b\n"]).inc();
    let page = metrics.render();
    for line in [
        "gatemeter_build_info{role=\"ingest\",version=\"0.1.0\"} 1\n",
        "# HELP gatemeter_things_total Things seen.\n# TYPE gatemeter_things_total counter\n",
        "gatemeter_things_total 3\n",
        "gatemeter_thing_bytes_bucket{le=\"100.0\"} 1\n",
        "gatemeter_rejected_total{reason=\"a\\\"b\\n\"} 1\n",
    ] {
        assert!(page.contains(line), "{line:?} is missing in {page}");
    }
    if cfg!(target_os = "linux") {
        assert!(page.contains("process_resident_memory_bytes "), "{page}");
    }
}

#[test]
fn page_is_the_process_section_and_no_other() {
    let metrics = ProcessMetrics::new("ingest", "0.1.0").expect("a new registry");
    for (query, status) in [
        ("", 200),
        ("?section=process", 200),
        ("?section=business", 400),
        ("?section=", 400),
        ("?sections=process", 400),
    ] {
        let uri: Uri = format!("/metrics{query}").parse().expect("a uri");
        assert_eq!(metrics.answer(&uri).status(), status, "{query}");
    }
}

#[test]
fn bounds_of_buckets_are_floats_and_nothing_else_changes() {
    let metrics = ProcessMetrics::new("ingest", "0.1.0").expect("a new registry");
    let bounds = [0.0, 0.25, 1.0, 2.5, 10.0, 1_000_000.0];
    let all = metrics.histogram_vec("h_seconds", "le=\"1\"", &["a", "le_"], &bounds);
    let all = all.expect("a new name");
    all.with_label_values(&["le=\"1\"} 1", "1"]).observe(1.5);
    let gauges = metrics.gauge_vec("h_seconds_bucket_of", "Not one.", &["le"]);
    gauges.expect("a new name").with_label_values(&["1"]).set(7);
    let page = metrics.render();
    let lines: Vec<&str> = page.lines().filter(|line| line.contains("h_seconds")).collect();
    let bucket = |bound: &str, n: u64| {
        format!("h_seconds_bucket{{a=\"le=\\\"1\\\"}} 1\",le_=\"1\",le=\"{bound}\"}} {n}")
    };
    let other =
        |name: &str, n: &str| format!("h_seconds_{name}{{a=\"le=\\\"1\\\"}} 1\",le_=\"1\"}} {n}");
    assert_eq!(
        lines,
        [
            "# HELP h_seconds le=\"1\"",
            "# TYPE h_seconds histogram",
            &bucket("0.0", 0),
            &bucket("0.25", 0),
            &bucket("1.0", 0),
            &bucket("2.5", 1),
            &bucket("10.0", 1),
            &bucket("1000000.0", 1),
            &bucket("+Inf", 1),
            &other("sum", "1.5"),
            &other("count", "1"),
            "# HELP h_seconds_bucket_of Not one.",
            "# TYPE h_seconds_bucket_of gauge",
            "h_seconds_bucket_of{le=\"1\"} 7",
        ]
    );
}

#[test]
fn name_that_is_taken_is_refused_by_name() {
    let metrics = ProcessMetrics::new("api", "0.1.0").expect("a new registry");
    metrics.gauge("gatemeter_lag", "Lag.").expect("a new name");
    let error = metrics.gauge("gatemeter_lag", "Lag.").expect_err("the name is taken");
    assert_eq!(error.to_string(), "cannot register the metric gatemeter_lag");
}
