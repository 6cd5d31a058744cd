//! A log that is not the one that was counted: nothing of it is counted before a person has looked.

use super::*;

/// A core that has read one frame commits it first, and only then halts at what it is told.
fn halts_after_commit(told: impl Fn([u8; 16]) -> Input<'static>, halt: Halt) -> Core {
    let (log, mut owner) = (one_by_one(9), core());
    claim(&mut owner, Progress::default(), &log, 1);
    read_one(&mut owner, &log, 1);
    assert!(owner.on(told([9; 16])).is_empty(), "of another claim");
    let effects = owner.on(told([1; 16]));
    assert!(matches!(effects[..], [Effect::Offer(_)]), "{effects:?}");
    assert!(owner.on(told([1; 16])).is_empty(), "its commit is under way");
    owner.on(Input::Settled(Settled::Committed));
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

/// A whole frame of a version to come.
fn newer(stored: &Stored) -> Stored {
    let mut bytes = stored.bytes.clone();
    bytes[0] = Version::NEWEST.number() + 1;
    let checksum = crc32c::crc32c(&bytes[..44]);
    bytes[44..48].copy_from_slice(&checksum.to_le_bytes());
    Stored { bytes, ..*stored }
}

#[test]
fn a_frame_of_a_version_to_come_halts_once_all_before_it_is_committed() {
    let mut log = one_by_one(9);
    log[1] = newer(&log[1]);
    let bytes: &'static [u8] = log[1].bytes.clone().leak();
    let told = |nonce| {
        let record = Record { nonce, offset: 1, append_time_us: NOW_US, intact: true, bytes };
        Input::Record(record)
    };
    let version = Version::NEWEST.number() + 1;
    let mut owner = halts_after_commit(told, Halt::Newer { offset: 1, version });
    assert_eq!(owner.committed().account.poison, 0);
    assert_eq!(owner.resumes_at(), None, "nothing is lost");
    assert!(owner.on(Input::Accepted { log: view(&log, 1), lost: 0 }).is_empty());
}

#[test]
fn a_garbled_frame_of_a_version_to_come_is_poison() {
    for damage in [3_usize, 20, 44] {
        let mut log = one_by_one(2);
        log[0] = newer(&log[0]);
        log[0].bytes[damage] ^= 1;
        let mut owner = core();
        claim(&mut owner, Progress::default(), &log, 1);
        read_one(&mut owner, &log, 1);
        read_one(&mut owner, &log, 1);
        let account = commit(&mut owner).expect("two frames").progress.account;
        assert_eq!((account.poison, account.counted), (1, 1), "byte {damage}");
    }
}

/// A newer program has counted it, and without its marks copies of its events would count again.
#[test]
fn a_frame_of_a_version_to_come_halts_a_rebuild() {
    let log = one_by_one(4);
    let progress = of_four(&log);
    let mut altered = log.clone();
    altered[1] = newer(&log[1]);
    let mut owner = core();
    claim(&mut owner, progress, &altered, 2);
    read_one(&mut owner, &altered, 2);
    read_one(&mut owner, &altered, 2);
    let version = Version::NEWEST.number() + 1;
    assert_eq!(owner.halted(), Some(Halt::Newer { offset: 1, version }));
    assert_eq!(owner.resumes_at(), None, "nothing is lost");
}

#[test]
fn a_frame_of_another_kind_halts_whatever_else_its_envelope_holds() {
    for damage in [4_usize, 8, 24, 32, 40] {
        let mut log = one_by_one(2);
        let bytes = &mut log[0].bytes;
        assert_eq!(bytes[0], Version::NEWEST.number());
        bytes[36] = 1;
        bytes[damage] ^= 0xff;
        let checksum = crc32c::crc32c(&bytes[..44]);
        bytes[44..48].copy_from_slice(&checksum.to_le_bytes());
        let mut owner = core();
        claim(&mut owner, Progress::default(), &log, 1);
        read_one(&mut owner, &log, 1);
        assert_eq!(owner.halted(), Some(Halt::Kind { offset: 0, kind: 1 }));
        assert_eq!((owner.position(), owner.resumes_at()), (0, None));
    }
}
