//! The seeded world in which the exactly-once claim is tried.
