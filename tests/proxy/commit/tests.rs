//! Unit tests of `commit`.

use proptest::prelude::*;

use super::*;

#[test]
fn only_a_query_whose_text_is_commit_is_one() {
    let with_attributes = packet(0, b"\x03\x00\x01COMMIT");
    for (packet, n_commits) in [
        (query("COMMIT"), 1),
        (query(" commit ;\n"), 1),
        (query("Commit Work"), 1),
        (with_attributes, 1),
        (query("COMMIT AND CHAIN"), 0),
        (query("SELECT 'COMMIT'"), 0),
        (query("ROLLBACK"), 0),
        (query(""), 0),
        (query(&format!("{}COMMIT", " ".repeat(80))), 0),
        (packet(0, b"\x16COMMIT"), 0),
        (packet(1, b"\x03COMMIT"), 0),
        (packet(0, b""), 0),
        ([packet(1, b"login"), query("BEGIN"), query("COMMIT"), query("commit")].concat(), 2),
    ] {
        assert_eq!(CommitScanner::default().push(&packet), n_commits, "{packet:?}");
    }
}

proptest! {
    #[test]
    fn pieces_of_any_size_hold_the_same_commits(
        lengths in prop::collection::vec(0..300usize, 0..8),
        cuts in prop::collection::vec(1..40usize, 1..60),
    ) {
        let mut stream = Vec::new();
        for length in &lengths {
            stream.extend(query(&"x".repeat(*length)));
            stream.extend(query("COMMIT"));
        }
        let mut scanner = CommitScanner::default();
        let mut n_commits = 0;
        let mut rest = &stream[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at(rest.len().min(*cut));
            n_commits += scanner.push(piece);
            rest = after;
        }
        prop_assert_eq!(n_commits, lengths.len());
    }
}
