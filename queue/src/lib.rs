//! Durable ordered log of opaque records.
