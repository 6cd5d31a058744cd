//! Unit tests of `telemetry`.

use std::error::Error as StdError;
use std::io;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::*;
use crate::config::LogFormat;
use crate::error::chain;

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is written while `act` runs.
fn written(level: LogLevel, format: LogFormat, act: impl FnOnce()) -> String {
    let sink = Sink::default();
    let writer = sink.clone();
    let settings = LogSettings { level, format };
    tracing::subscriber::with_default(subscriber(&settings, move || writer.clone()), act);
    let bytes = sink.0.lock().expect("no panic").clone();
    String::from_utf8(bytes).expect("lines are UTF-8")
}

const FORGERY: &str =
    concat!("a\r\n2026-01-01T00:00:00Z error forged", "\u{1b}[31m \u{9b}31m \u{202e}\u{2028}",);

#[test]
fn text_line_cannot_be_forged_by_a_value_or_a_message() {
    let text = written(LogLevel::Info, LogFormat::Text, || {
        tracing::info!(namespace = FORGERY, shown = %FORGERY, "{FORGERY}");
    });
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    assert!(text.ends_with('\n'));
    let is_hidden = |c: char| c.is_control() || matches!(c, '\u{202e}' | '\u{2028}');
    assert!(!text.trim_end_matches('\n').contains(is_hidden), "{text:?}");
    assert!(text.contains(r"a\r\n2026"), "{text}");
}

#[test]
fn json_line_is_one_object_with_the_values_typed() {
    let text = written(LogLevel::Info, LogFormat::Json, || {
        tracing::warn!(namespace = FORGERY, offset = 7_u64, ready = true, "it happened");
    });
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    let line: Value = serde_json::from_str(&text).expect("one JSON object");
    assert_eq!(line["level"], "warn");
    assert_eq!(line["message"], "it happened");
    assert_eq!(line["target"], "service::telemetry::tests");
    assert_eq!(line["fields"]["offset"], 7);
    assert_eq!(line["fields"]["ready"], true);
    let namespace = line["fields"]["namespace"].as_str().expect("a string");
    assert!(namespace.starts_with("a\r\n2026") && !namespace.contains('\u{202e}'));
    let time = line["time"].as_str().expect("a time");
    time.parse::<jiff::Timestamp>().expect("RFC 3339");
}

#[test]
fn long_value_is_cut_at_a_letter() {
    for format in [LogFormat::Text, LogFormat::Json] {
        let text = written(LogLevel::Info, format, || {
            let long = "ä".repeat(100_000);
            tracing::info!(long, shown = ?"x".repeat(100_000), "{}", "y".repeat(100_000));
        });
        assert!(text.len() < 2_000, "{} bytes", text.len());
        for cut in ["ä..", "x..", "y.."] {
            assert!(text.contains(cut), "{text}");
        }
    }
}

#[test]
fn level_holds_for_our_crates_and_others_are_shown_from_warn_on() {
    let text = written(LogLevel::Debug, LogFormat::Text, || {
        tracing::debug!(target: "ingest::batch", "ours at debug");
        tracing::trace!(target: "ingest::batch", "ours at trace");
        tracing::info!(target: "sqlx::query", "theirs at info");
        tracing::warn!(target: "sqlx::query", "theirs at warn");
    });
    assert!(text.contains("ours at debug") && text.contains("theirs at warn"), "{text}");
    assert_eq!(text.matches('\n').count(), 2, "{text}");
    let text = written(LogLevel::Error, LogFormat::Text, || {
        tracing::warn!(target: "sqlx::query", "theirs at warn");
    });
    assert_eq!(text, "");
}

#[test]
fn error_is_shown_with_its_whole_chain() {
    let error = Error::Bind {
        name: "ingest",
        address: ([127, 0, 0, 1], 8003).into(),
        source: io::Error::new(io::ErrorKind::AddrInUse, "address in use"),
    };
    let expected = "ingest cannot listen on 127.0.0.1:8003: address in use";
    assert_eq!(chain(&error), expected);
    let text = written(LogLevel::Info, LogFormat::Text, || {
        tracing::error!(error = &error as &dyn StdError, "cannot start");
    });
    assert!(text.contains(expected), "{text}");
}
