//! A log that is not the one that was counted: nothing of it is counted before a person has looked.

use super::*;

/// A core that has read one frame commits it first, and only then halts at what it is told.
fn halts_after_commit(told: impl Fn([u8; 16]) -> Input<'static>, halt: Halt) -> Core {
    let (log, mut owner) = (one_by_one(9), core());
    claim(&mut owner, Progress::default(), &log, 1);
    read_one(&mut owner, &log, 1);
    assert!(owner.on(told([9; 16])).is_empty(), "of another claim");
    let effects = owner.on(told([1; 16]));
    assert!(matches!(effects[..], [Effect::Commit(_)]), "{effects:?}");
    assert!(owner.on(told([1; 16])).is_empty(), "its commit is under way");
    owner.on(Input::Ended(Outcome::Committed { version: 1 }));
    assert_eq!(owner.on(told([1; 16])), [Effect::Halt(halt)]);
    owner
}

#[test]
fn a_hole_in_the_log_halts_once_all_before_it_is_committed() {
    let hole = |nonce| Input::Hole { nonce, offset: 1, next: 5 };
    let halt = Halt::Hole { offset: 1, next: 5 };
    assert_eq!(halts_after_commit(hole, halt).committed().next, 1);
}

#[test]
fn a_log_made_anew_halts_once_all_that_was_read_is_committed() {
    let remade = |nonce| Input::Remade { nonce };
    assert_eq!(halts_after_commit(remade, Halt::Remade { next: 1 }).resumes_at(), Some(1));
}

#[test]
fn a_log_in_another_topic_halts_at_its_claim_even_if_it_has_the_same_frames() {
    let log = one_by_one(4);
    let progress = of_four(&log);
    let halt = Halt::Remade { next: 4 };
    for (progress, expected) in [(progress, Some(halt)), (Progress::default(), None)] {
        let mut other = core();
        let log = LogView { is_remade: true, ..view(&log, progress.next) };
        let owner = Owner { generation: 1, partition: 0, epoch: 2, nonce: [2; 16] };
        other.on(Input::Claimed { claim: Claim { owner, progress }, log });
        assert_eq!(other.halted(), expected, "where nothing was counted, any log will do");
    }
}
