//! Unit tests of `family`.

use super::*;

fn text(write: impl Fn(&mut Vec<u8>)) -> String {
    let mut page = Vec::new();
    write(&mut page);
    String::from_utf8(page).expect("text")
}

#[test]
fn a_counter_is_written_at_its_value_or_held_at_zero() {
    let mut family = Family::new(Kind::Counter, "x_total", "All x.");
    let (a, is_new) = family.series(LabelText::default().with("a", "1").with("b", "2"));
    assert!(is_new);
    family.add(a, 7);
    let head = "# HELP x_total All x.\n# TYPE x_total counter\n";
    assert_eq!(text(|p| family.write(p)), format!("{head}x_total{{a=\"1\",b=\"2\"}} 7\n"));
    family.hold(a, Hold::AtZero);
    assert!(family.hides(a));
    assert_eq!(text(|p| family.write(p)), format!("{head}x_total{{a=\"1\",b=\"2\"}} 0\n"));
    assert_eq!(family.series(LabelText::default().with("a", "1").with("b", "2")), (a, false));
}

#[test]
fn a_histogram_adds_its_buckets_up_and_writes_exact_seconds() {
    let mut family = Histogram::new("d_seconds", "Time.", ["0.5", "+Inf"]);
    let (a, _) = family.series(LabelText::default().with("a", "1"));
    family.add(a, 1_250_000, &[2, 1]);
    let lines = [
        "# HELP d_seconds Time.",
        "# TYPE d_seconds histogram",
        "d_seconds_bucket{a=\"1\",le=\"0.5\"} 2",
        "d_seconds_bucket{a=\"1\",le=\"+Inf\"} 3",
        "d_seconds_sum{a=\"1\"} 1.25",
        "d_seconds_count{a=\"1\"} 3",
    ];
    assert_eq!(text(|p| family.write(p)).trim_end(), lines.join("\n"));
    family.hold(a, Hold::AtZero);
    assert!(
        text(|p| family.write(p))
            .ends_with("d_seconds_sum{a=\"1\"} 0\nd_seconds_count{a=\"1\"} 0\n")
    );
}
