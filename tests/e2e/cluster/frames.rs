//! The frame version is raised under a load, by an operator, once every aggregator knows it.

use super::LOAD;
use crate::gatemeter::wait_for;
use crate::stack::{Books, Stack};

/// What a program from before does that takes a partition: it does not tell what it knows.
const CLAIM_OF_BEFORE: &str = "UPDATE partition_state SET epoch = epoch + 1 WHERE `partition` = 0";

pub fn frame_version_is_raised_under_load_once_every_aggregator_knows_it(
    stack: &Stack,
    books: &mut Books,
) {
    let expect = |args: &[&str], expected: i32, words: &str| {
        let (code, said) = stack.operator(&[&["frames"], args].concat());
        assert!(code == Some(expected) && said.contains(words), "{args:?}: {code:?} {said}");
    };
    expect(&[], 0, "writes frames of version 1; this aggregator knows 2");
    expect(&[], 0, "say `gatemeter admin frames 2`");
    expect(&["3"], 1, "knows no frame version 3");
    stack.sql(CLAIM_OF_BEFORE);
    expect(&[], 0, "start a newer one first: 0");
    expect(&["2"], 1, "Start a newer aggregator first for 0");
    expect(&["--json"], 0, "\"version\": 1");
    stack.under_load("the frame version is raised", books, &LOAD, || {
        // The aggregator finds out with its next commit, and takes the partition again.
        wait_for("every partition is ready", || {
            stack.operator(&["frames"]).1.contains("Every partition is counted by a program")
        });
        stack.until_said("ingest", "frame version raised", || {
            expect(&["2"], 0, "writes frames of version 2 within seconds");
        });
    });
    expect(&["2"], 0, "nothing was changed");
    expect(&["1"], 1, "no way back");
    expect(&[], 0, "Nothing is left to do.");
}
