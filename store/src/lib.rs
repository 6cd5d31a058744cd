//! The ledger and the configuration in SQL.
