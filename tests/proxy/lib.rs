//! A TCP proxy for tests: what a network does to a connection, switched on and off while it runs.
//!
//! It stands between a client and a server on this machine. Each direction can be slow, hold back
//! everything as a black hole does, or end after so many bytes; connections can be reset, new ones
//! refused; and the answer of a MySQL server to a COMMIT can be swallowed, so that the client
//! cannot know whether it took effect. Bytes that pass are never changed. Only tests use it: it
//! knows no TLS, and a fault that is not switched on costs nothing but a copy.

pub mod commit;
pub mod faults;
mod link;
pub mod proxy;

#[cfg(test)]
mod tests;
