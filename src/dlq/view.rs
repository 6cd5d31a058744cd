//! How dead letters are printed: a line each, or everything that is known of one.

use std::fmt::Write as _;

use event::frame::FrameReader;
use jiff::Timestamp;
use serde::Serialize;
use service::letters::LetterAddress;
use store::{LogLetter, RawLetter};

use crate::dlq::address::{Address, RawAddress};

/// Bytes of a record or message that are shown.
pub const SHOWN_BYTES_MAX: usize = 64 * 1024;

/// A letter in a list.
#[derive(Debug, Serialize)]
pub struct Listed {
    /// When it was stored, microseconds since 1970.
    pub stored_us: i64,
    /// Address.
    pub address: Address,
    /// How many events or messages it stands for.
    pub n: u32,
    /// Class in the log, or kind of fault in a raw topic.
    pub class: String,
    /// Why, for people.
    pub reason: String,
    /// Tenant, where it could be read.
    pub namespace: Option<String>,
    /// Time of the event, microseconds, where it could be read.
    pub time_us: Option<i64>,
    /// Id of the event, where it could be read and is kept.
    pub event_id: Option<String>,
}

impl Listed {
    /// A letter of the log.
    pub fn of_log(letter: LogLetter) -> Listed {
        let LogLetter { generation, partition, offset, idx, .. } = letter;
        Listed {
            stored_us: letter.stored_us,
            address: Address::Log(LetterAddress { generation, partition, offset, index: idx }),
            n: letter.n,
            class: letter.class,
            reason: letter.reason,
            namespace: letter.namespace,
            time_us: letter.time_us,
            event_id: None,
        }
    }

    /// A letter of a raw topic.
    pub fn of_raw(letter: RawLetter) -> Listed {
        let RawLetter { topic, topic_id, partition, offset, idx, until, .. } = letter;
        let topic_id = Some(topic_id).filter(|id| !id.is_empty());
        let place = match (letter.field.as_str(), until > offset) {
            (_, true) => format!("messages up to {until}; {}", letter.reason),
            ("", _) if letter.kind == "unreadable" => letter.reason,
            ("", _) => format!("event {idx}: {}", letter.reason),
            (field, _) => format!("event {idx}: {field} {}", letter.reason),
        };
        Listed {
            stored_us: letter.stored_us,
            address: Address::Raw(RawAddress { topic, topic_id, partition, offset }),
            n: letter.n,
            class: letter.kind,
            reason: place,
            namespace: None,
            time_us: None,
            event_id: letter.event_id,
        }
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let Listed { address, n, class, reason, .. } = self;
        let namespace = self.namespace.as_deref().unwrap_or("-");
        let address = address.to_string();
        let id = self.event_id.as_deref().map(|id| format!(" ({})", id.escape_debug()));
        format!(
            "{}  {address:<28} {n:>6}  {class:<12} {namespace:<16} {}{}\n",
            time(self.stored_us),
            reason.escape_debug(),
            id.unwrap_or_default(),
        )
    }
}

/// Everything that is known of a letter of the log.
pub fn log_letter(letter: &LogLetter) -> String {
    let mut text = String::new();
    let mut put = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<16} {value}");
    };
    put("class", letter.class.clone());
    put("reason", letter.reason.clone());
    put("events", letter.n.to_string());
    put("stored", time(letter.stored_us));
    if let Some(time_us) = letter.time_us {
        put("event time", time(time_us));
    }
    let Some(content) = &letter.content else {
        put("content", "not kept: it came beyond the cap of its hour".to_owned());
        return text;
    };
    let mut reader = FrameReader::default();
    let Ok(view) = reader.read(content) else {
        put("content", format!("{} bytes that are no frame", content.len()));
        text.push_str(&hex(content));
        return text;
    };
    for idx in 0..view.len() {
        let Ok(labels) = view.labels(idx) else { continue };
        put("labels", format!("{labels:?}"));
        if let Some(facts) = view.facts(idx, labels.source) {
            put("facts", format!("{facts:?}"));
        }
    }
    text
}

/// A message for people: as text if it is one, else its bytes.
pub fn message(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
    let mut text = match std::str::from_utf8(shown) {
        // Nothing in it may steer the terminal.
        Ok(whole) => whole.lines().map(|line| format!("{}\n", line.escape_debug())).collect(),
        Err(_) => hex(shown),
    };
    if shown.len() < bytes.len() {
        let _ = writeln!(text, "..and {} bytes more", bytes.len() - shown.len());
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes[..bytes.len().min(SHOWN_BYTES_MAX)].chunks(32) {
        for byte in line {
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
    }
    text
}

fn time(us: i64) -> String {
    Timestamp::from_microsecond(us).map_or_else(|_| us.to_string(), |at| format!("{at:.0}"))
}

#[cfg(test)]
mod tests;
