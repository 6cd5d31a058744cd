//! What is counted: classes, dedup, series, histograms, rollups, invariants. Pure.
