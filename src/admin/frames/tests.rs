//! What an operator is told.

use super::*;

#[test]
fn it_says_what_is_left_to_do() {
    for (version, not_ready, words) in [
        (1, vec![], "say `gatemeter admin frames 2`"),
        (1, vec![0, 7], "start a newer one first: 0, 7"),
        (2, vec![], "Nothing is left to do."),
        (2, vec![3], "halt at such frames: 3"),
        (3, vec![], "ingest writes frames of version 3; this aggregator knows 2"),
    ] {
        let said = shown(&FramesView { version, known: 2, not_ready });
        assert!(said.contains(words), "{said}");
        assert_eq!(said.contains("no way back"), said.contains("say `"), "{said}");
    }
}

#[test]
fn it_says_that_there_is_no_way_back() {
    let said = done(FramesRaised { version: 2, is_new: true });
    assert!(said.contains("no way back") && said.contains("cannot read them"), "{said}");
    let said = done(FramesRaised { version: 2, is_new: false });
    assert!(said.contains("nothing was changed"), "{said}");
}
