//! Unit tests of `args`.

use super::*;

#[test]
fn shares_are_read_as_percent_or_fraction() {
    for (text, ppm) in [("5%", 50_000), ("0.1%", 1_000), ("0.05", 50_000), ("200%", 2_000_000)] {
        assert_eq!(text.parse(), Ok(Share(ppm)), "{text}");
    }
    for text in ["", "x", "-1%", "1001%", "NaN", "inf%"] {
        assert!(text.parse::<Share>().is_err(), "{text}");
    }
}

#[test]
fn times_leave_room_to_send() {
    assert_eq!("now".parse(), Ok(Times::Now));
    assert_eq!("fit:30m".parse(), Ok(Times::Fit { window_us: 1_800_000_000 }));
    assert_eq!("fit".parse(), Ok(FIT_DEFAULT));
    for text in ["fit:59m", "fit:", "fit:0m", "later", "fit:5d"] {
        assert!(text.parse::<Times>().is_err(), "{text}");
    }
}

#[test]
fn windows_are_spans_from_the_begin_of_a_trace() {
    let window = |from_s, until_s| Ok(Window { from_s, until_s });
    assert_eq!("1h-3h".parse(), window(3_600, 10_800));
    assert_eq!("0-90m".parse(), window(0, 5_400));
    assert_eq!("0s-48h".parse(), window(0, 172_800));
    for text in ["", "1h", "3h-1h", "1h-1h", "1h-", "-1h", "0-0", "1-2", "a-b"] {
        assert!(text.parse::<Window>().is_err(), "{text}");
    }
}

#[test]
fn files_of_one_kind_are_one_source_however_they_are_listed() {
    let ways: [&[&str]; 3] = [&["azure:a,b"], &["azure:a", "azure:b"], &["azure:a", "b"]];
    for way in ways {
        let texts: Vec<String> = way.iter().map(|text| text.to_string()).collect();
        let files = vec![PathBuf::from("a"), PathBuf::from("b")];
        assert_eq!(parse_sources(&texts).unwrap(), SourceSpec::Azure(files));
    }
    assert_eq!(parse_sources(&["synthetic".into()]).unwrap(), SourceSpec::Synthetic);
    let folder = SourceSpec::ServeGen(PathBuf::from("d"));
    assert_eq!(parse_sources(&["servegen:d".into()]).unwrap(), folder);
    for bad in [&["servegen:"] as &[&str], &["servegen:a,b"], &["servegen:a", "servegen:b"]] {
        let texts: Vec<String> = bad.iter().map(|text| text.to_string()).collect();
        assert!(parse_sources(&texts).is_err(), "{bad:?}");
    }
    for bad in [&["a"] as &[&str], &["azure:a", "ndjson:b"], &["azure:"], &["synthetic", "b"]] {
        let texts: Vec<String> = bad.iter().map(|text| text.to_string()).collect();
        assert!(parse_sources(&texts).is_err(), "{bad:?}");
    }
}

#[test]
fn run_ids_keep_to_letters_that_are_safe_in_an_event_id() {
    assert!(parse_run_id("night-7_b.2").is_ok());
    for text in ["", "a b", "a\"", &"x".repeat(41)] {
        assert!(parse_run_id(text).is_err(), "{text}");
    }
}
