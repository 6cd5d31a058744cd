//! What the proxy does to connections, and what it has seen of them.

use std::time::Duration;

/// Everything that can be switched. The default is a good network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// From the client to the server.
    pub to_server: Path,
    /// From the server to the client.
    pub to_client: Path,
    /// What becomes of new connections.
    pub accept: Accept,
    /// How many of the next COMMITs reach the server while their answer is swallowed and the
    /// connection is cut. It counts itself down.
    pub n_commit_answers_dropped: u64,
}

/// One direction of all connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path {
    /// How long each piece, at most 16 KiB, is held back before it passes.
    pub delay: Duration,
    /// Whether anything passes at all.
    pub flow: Flow,
    /// How many bytes more pass, over all connections; the next one cuts its connection. It counts
    /// itself down; nothing is no limit.
    pub n_bytes_left: Option<u64>,
}

/// Whether a direction is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    /// Bytes pass.
    #[default]
    Open,
    /// Neither bytes nor the end of the stream pass, and no error is returned. What was sent waits
    /// and passes once the direction is open again, as with TCP retransmission.
    Blackhole,
}

/// What becomes of new connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accept {
    /// They are joined to the server.
    #[default]
    Join,
    /// They are reset at once.
    Reset,
}

/// What has happened so far; counters only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Connections that were joined to the server.
    pub n_joined: u64,
    /// Connections that were reset, by a fault or because one side was.
    pub n_reset: u64,
    /// Bytes that came from clients, passed on or not.
    pub n_bytes_from_client: u64,
    /// Bytes that came from the server, passed on or not.
    pub n_bytes_from_server: u64,
    /// COMMITs that were passed on.
    pub n_commits: u64,
    /// Answers to them that were swallowed.
    pub n_commit_answers_dropped: u64,
}
