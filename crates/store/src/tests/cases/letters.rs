//! Pages of dead letters: both sources in one order that is total, and none of their contents.

use std::sync::Arc;

use ledger::commit::DeadLetter;

use super::super::fixture::{Bed, altered, commit};
use super::raw_letter;
use crate::*;

fn ask() -> LetterAsk<'static> {
    LetterAsk {
        source: None,
        class: None,
        reason: None,
        topic: None,
        partition: None,
        from_us: 0,
        to_us: i64::MAX,
    }
}

pub(in crate::tests) async fn letters_of_both_sources_are_paged_in_one_order(bed: Bed) {
    let store = &bed.store;
    let mut reader = store.read().await.expect("a reader");
    assert_eq!(reader.letter_page(&ask(), 9, 0).await.expect("a page"), []);
    assert_eq!(reader.letter_total(&ask()).await.expect("a total"), (0, 0));
    assert_eq!(reader.letter_groups(&ask(), 9).await.expect("groups"), []);
    drop(reader);
    let raws = vec![raw_letter(7, "syntax"), raw_letter(9, "missing"), raw_letter(8, "syntax")];
    store.put_raw_letters(raws, 99).await.expect("kept");
    let claim = store.claim(1, 0, [1; 16], 2).await.expect("a claim");
    let many = altered(&commit(claim.owner, &claim.progress, 1, &["a"]), |part| {
        let one = part.letters[0].clone();
        let more = |idx| DeadLetter { idx, n: 2, content: None, ..one.clone() };
        part.letters.extend((1..5).map(more));
    });
    store.commit(Arc::new(many)).await;
    let mut reader = store.read().await.expect("a reader");
    let all = reader.letter_page(&ask(), 99, 0).await.expect("a page");
    assert_eq!(all.len(), 8);
    assert!(all.windows(2).all(|pair| pair[0].stored_us >= pair[1].stored_us));
    let of_log = all.iter().find(|row| row.bytes.is_some()).expect("one was kept whole");
    assert_eq!((of_log.bytes, of_log.class.as_str(), of_log.time_us), (Some(2), "late", Some(1)));
    let place = LetterPlace::Log { generation: 1, partition: 0, offset: 0, idx: 0 };
    assert_eq!((&of_log.place, of_log.namespace.as_deref()), (&place, Some("a")));
    let offsets = all.iter().filter_map(|row| match &row.place {
        LetterPlace::Raw { offset, partition, topic_id, field, .. } => {
            assert_eq!((*partition, topic_id.len(), field.as_str()), (3, 22, "time"));
            assert_eq!(row.event_id, Some(format!("id-{offset}")));
            Some(*offset)
        }
        LetterPlace::Log { .. } => None,
    });
    assert_eq!(offsets.collect::<Vec<_>>(), [9, 8, 7], "stored at once");
    for n in 1..9_i64 {
        let mut paged = Vec::new();
        for skip in (0..8).step_by(usize::try_from(n).expect("small")) {
            paged.extend(reader.letter_page(&ask(), n, skip).await.expect("a page"));
        }
        assert_eq!(paged, all, "{n}");
    }
    assert_eq!(reader.letter_total(&ask()).await.expect("a total"), (8, 1 + 4 * 2 + 3));
    let groups = reader.letter_groups(&ask(), 1).await.expect("groups");
    let (class, reason) = ("late".to_owned(), "late".to_owned());
    let source = LetterSource::Log;
    assert_eq!(groups, [LetterGroup { source, class, reason, letters: 5, events: 9 }]);
    for (ask, n) in [
        (LetterAsk { class: Some("syntax"), ..ask() }, 2),
        (LetterAsk { source: Some(LetterSource::Raw), ..ask() }, 3),
        (LetterAsk { partition: Some(0), ..ask() }, 5),
        (LetterAsk { topic: Some("gatemeter.raw"), ..ask() }, 3),
        (LetterAsk { topic: Some("Gatemeter.raw"), ..ask() }, 0),
        (LetterAsk { topic: Some("x"), source: Some(LetterSource::Log), ..ask() }, 0),
        (LetterAsk { reason: Some("late"), ..ask() }, 5),
        (LetterAsk { to_us: all[7].stored_us, ..ask() }, 0),
        (LetterAsk { from_us: all[7].stored_us, ..ask() }, 8),
    ] {
        let found = reader.letter_page(&ask, 99, 0).await.expect("a page");
        assert_eq!(found.len(), n, "{ask:?}");
        let total = reader.letter_total(&ask).await.expect("a total");
        assert_eq!(total.0, n as i64, "{ask:?}");
        let groups = reader.letter_groups(&ask, 99).await.expect("groups");
        assert_eq!(groups.iter().map(|group| group.letters).sum::<i64>(), total.0);
    }
}
