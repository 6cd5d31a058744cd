//! Questions to the ledger, answered from its rows.
