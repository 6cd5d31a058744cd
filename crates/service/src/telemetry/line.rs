//! One tracing event as one line.
//!
//! Fields are collected with a cap on each, then written as text (`time level target: message
//! key=value`) or as a JSON object. It never lets a control character, a line break or a
//! bidirectional control reach the terminal.

use std::error::Error as StdError;
use std::fmt::{self, Write as _};

use clock::Wall;
use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

use crate::config::LogFormat;
use crate::error::chain;

/// Longest value, characters; longer ones come from outside and add nothing.
const VALUE_BYTES_MAX: usize = 256;
/// Longest message, or error with its chain, characters; only names within them come from outside.
const MESSAGE_BYTES_MAX: usize = 1_024;

/// Writes events as lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub format: LogFormat,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let head = Head {
            time: Timestamp::from_microsecond(Wall::now().as_us()).unwrap_or_default(),
            level: level_name(*event.metadata().level()),
            target: event.metadata().target(),
        };
        match self.format {
            LogFormat::Text => write_text(&mut writer, &head, &fields),
            LogFormat::Json => write_json(&mut writer, &head, &fields),
        }
    }
}

struct Head<'a> {
    time: Timestamp,
    level: &'static str,
    target: &'a str,
}

#[derive(Default)]
struct Fields {
    message: String,
    values: Vec<(&'static str, Value)>,
}

enum Value {
    /// A number or a boolean, written without quotes.
    Bare(String),
    /// Anything else, capped.
    Text(String),
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = capped(MESSAGE_BYTES_MAX, |text| write!(text, "{value:?}"));
        } else {
            let bytes_max = value_bytes_max(field);
            self.text(field, capped(bytes_max, |text| write!(text, "{value:?}")));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let bytes_max = value_bytes_max(field);
        self.text(field, capped(bytes_max, |text| text.write_str(value)));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn StdError + 'static)) {
        let chain = chain(value);
        self.text(field, capped(MESSAGE_BYTES_MAX, |text| text.write_str(&chain)));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.values.push((field.name(), Value::Bare(value.to_string())));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.values.push((field.name(), Value::Bare(value.to_string())));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.values.push((field.name(), Value::Bare(value.to_string())));
    }
}

impl Fields {
    fn text(&mut self, field: &Field, value: String) {
        self.values.push((field.name(), Value::Text(value)));
    }
}

fn write_text(writer: &mut Writer<'_>, head: &Head<'_>, fields: &Fields) -> fmt::Result {
    write!(writer, "{:.6} {:<5} {}: ", head.time, head.level, head.target)?;
    escape_text(writer, &fields.message)?;
    for (name, value) in &fields.values {
        write!(writer, " {name}=")?;
        match value {
            Value::Bare(text) => writer.write_str(text)?,
            Value::Text(text) if text.is_empty() || text.contains([' ', '"', '=']) => {
                writer.write_char('"')?;
                escape_text(writer, &text.replace('"', "\\\""))?;
                writer.write_char('"')?;
            }
            Value::Text(text) => escape_text(writer, text)?,
        }
    }
    writer.write_char('\n')
}

fn write_json(writer: &mut Writer<'_>, head: &Head<'_>, fields: &Fields) -> fmt::Result {
    write!(writer, "{{\"time\":\"{:.6}\",\"level\":\"{}\"", head.time, head.level)?;
    writer.write_str(",\"target\":")?;
    escape_json(writer, head.target)?;
    writer.write_str(",\"message\":")?;
    escape_json(writer, &fields.message)?;
    writer.write_str(",\"fields\":{")?;
    for (idx, (name, value)) in fields.values.iter().enumerate() {
        if idx > 0 {
            writer.write_char(',')?;
        }
        escape_json(writer, name)?;
        writer.write_char(':')?;
        match value {
            Value::Bare(text) => writer.write_str(text)?,
            Value::Text(text) => escape_json(writer, text)?,
        }
    }
    writer.write_str("}}\n")
}

fn escape_text(writer: &mut Writer<'_>, text: &str) -> fmt::Result {
    for letter in text.chars() {
        if is_hidden(letter) {
            write!(writer, "{}", letter.escape_default())?;
        } else {
            writer.write_char(letter)?;
        }
    }
    Ok(())
}

/// JSON itself escapes only the characters below space.
fn escape_json(writer: &mut Writer<'_>, text: &str) -> fmt::Result {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter >= ' ' && is_hidden(letter) {
            write!(plain, "{}", letter.escape_default())?;
        } else {
            plain.push(letter);
        }
    }
    writer.write_str(&serde_json::to_string(&plain).map_err(|_| fmt::Error)?)
}

/// Characters that move the cursor, break the line or change the text direction.
fn is_hidden(letter: char) -> bool {
    let is_mark = matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}');
    letter.is_control() || is_mark || ('\u{2066}'..='\u{2069}').contains(&letter)
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

fn value_bytes_max(field: &Field) -> usize {
    if field.name() == "error" { MESSAGE_BYTES_MAX } else { VALUE_BYTES_MAX }
}

/// What `write` writes, as far as the cap; formatting stops there.
fn capped(bytes_max: usize, write: impl FnOnce(&mut Capped) -> fmt::Result) -> String {
    let mut capped = Capped { text: String::new(), bytes_max };
    if write(&mut capped).is_err() {
        capped.text.push_str("..");
    }
    capped.text
}

struct Capped {
    text: String,
    bytes_max: usize,
}

impl fmt::Write for Capped {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = self.bytes_max - self.text.len();
        if more.len() <= room {
            self.text.push_str(more);
            return Ok(());
        }
        self.text.push_str(&more[..more.floor_char_boundary(room)]);
        // After a character that does not fit, a shorter one must not be appended.
        self.bytes_max = self.text.len();
        Err(fmt::Error)
    }
}
