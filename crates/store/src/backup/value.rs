//! A value of a row, on its way from one database to another unchanged.
//!
//! The layout of the file says what a column holds: a server has texts and bytes in columns of one
//! type.

use crate::error::Result;
use crate::sql::{Bound, Row};

/// What a column holds, beside NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Text,
    Blob,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Integer(i64),
    Text(String),
    Blob(Vec<u8>),
}

impl Kind {
    /// By the name of a type in a STRICT table.
    pub(super) fn of_type(name: &str) -> Option<Kind> {
        match name {
            "INTEGER" => Some(Kind::Integer),
            "TEXT" => Some(Kind::Text),
            "BLOB" => Some(Kind::Blob),
            _ => None,
        }
    }
}

impl Value {
    /// Reads a column.
    pub(super) fn read(row: &Row, at: usize, kind: Kind) -> Result<Value> {
        Ok(match kind {
            Kind::Integer => row.get::<Option<i64>>(at)?.map_or(Value::Null, Value::Integer),
            Kind::Text => row.get::<Option<String>>(at)?.map_or(Value::Null, Value::Text),
            Kind::Blob => row.get::<Option<Vec<u8>>>(at)?.map_or(Value::Null, Value::Blob),
        })
    }

    /// Binds it as the next parameter.
    pub(super) fn bind<'q>(&'q self, query: Bound<'q>) -> Bound<'q> {
        match self {
            Value::Null => query.bind(None::<i64>),
            Value::Integer(number) => query.bind_number(*number),
            Value::Text(text) => query.bind(text.as_str()),
            Value::Blob(bytes) => query.bind(bytes.as_slice()),
        }
    }

    /// Bytes that it takes in a statement, roughly.
    pub(super) fn size(&self) -> usize {
        match self {
            Value::Null | Value::Integer(_) => 8,
            Value::Text(text) => text.len(),
            Value::Blob(bytes) => bytes.len(),
        }
    }
}
