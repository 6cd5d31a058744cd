//! Counts the log into the ledger and exposes Prometheus metrics.
