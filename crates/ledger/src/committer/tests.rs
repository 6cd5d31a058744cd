//! Who commits with whom, and what each outcome means for all of them.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::commit::{Owner, Progress};

fn committer(members: impl IntoIterator<Item = u32>) -> Committer {
    let mut committer = Committer::new([7; 8], Safeguards::default());
    for partition in members {
        assert!(committer.on(Input::Joined(partition)).is_empty());
    }
    committer
}

/// A part of one frame without events.
fn part(partition: u32, base: u64) -> Arc<Part> {
    let owner = Owner { generation: 1, partition, epoch: 1, nonce: [partition as u8; 16] };
    let progress = Progress { next: base + 1, ..Progress::default() };
    Arc::new(Part::without_rows(owner, base, progress))
}

fn offer(committer: &mut Committer, partition: u32, base: u64) -> Vec<Effect> {
    committer.on(Input::Offered(part(partition, base)))
}

/// The only commit among some effects.
fn commit(effects: &[Effect]) -> Arc<Commit> {
    let commits = effects.iter().filter_map(|effect| match effect {
        Effect::Commit(commit) => Some(commit),
        _ => None,
    });
    let commits: Vec<_> = commits.collect();
    assert_eq!(commits.len(), 1, "{effects:?}");
    Arc::clone(commits[0])
}

fn partitions(commit: &Commit) -> Vec<u32> {
    commit.parts.iter().map(|part| part.owner.partition).collect()
}

fn settled(effects: &[Effect]) -> BTreeMap<u32, Settled> {
    let each = effects.iter().filter_map(|effect| match effect {
        Effect::Settle { partition, settled } => Some((*partition, *settled)),
        _ => None,
    });
    each.collect()
}

fn ended(committer: &mut Committer, outcome: Outcome) -> Vec<Effect> {
    committer.on(Input::Ended(outcome))
}

/// A commit of three partitions that is under way.
fn of_three() -> (Committer, Arc<Commit>) {
    let mut committer = committer([0, 1, 2]);
    assert_eq!(offer(&mut committer, 1, 0), [Effect::Ask(vec![0, 2])]);
    assert!(offer(&mut committer, 2, 0).is_empty());
    let commit = commit(&offer(&mut committer, 0, 0));
    assert_eq!(partitions(&commit), [0, 1, 2]);
    (committer, commit)
}

#[test]
fn the_first_offer_asks_all_that_count_and_nobody_else() {
    let mut committer = committer([0, 1, 2, 3]);
    committer.on(Input::Left(3));
    assert_eq!(offer(&mut committer, 0, 0), [Effect::Ask(vec![1, 2])]);
    assert!(committer.on(Input::Passed(1)).is_empty());
    // A partition that is halted or moved meanwhile is not waited for.
    let commit = commit(&committer.on(Input::Left(2)));
    assert_eq!(partitions(&commit), [0]);
    // One that has no claim any more may still offer what it read.
    let effects = ended(&mut committer, Outcome::Committed { version: 1 });
    assert_eq!(settled(&effects), [(0, Settled::Committed)].into());
    assert_eq!(offer(&mut committer, 3, 0), [Effect::Ask(vec![0, 1])]);
}

#[test]
fn a_member_that_does_not_answer_in_time_joins_the_next_commit() {
    let mut committer = committer([0, 1, 2]);
    offer(&mut committer, 0, 0);
    offer(&mut committer, 1, 0);
    let first = commit(&committer.on(Input::Late));
    assert_eq!(partitions(&first), [0, 1]);
    assert!(committer.on(Input::Late).is_empty(), "once");
    assert!(offer(&mut committer, 2, 0).is_empty(), "one commit at a time");
    let effects = ended(&mut committer, Outcome::Committed { version: 5 });
    let publish = Effect::Publish { commit: Arc::clone(&first), version: 5 };
    let settle = |partition| Effect::Settle { partition, settled: Settled::Committed };
    assert_eq!(effects, [publish, settle(0), settle(1), Effect::Ask(vec![0, 1])]);
    committer.on(Input::Passed(0));
    let second = commit(&committer.on(Input::Passed(1)));
    assert_eq!(partitions(&second), [2]);
    assert_ne!(second.id, first.id);
}

#[test]
fn a_single_partition_waits_for_nobody() {
    let mut committer = committer([4]);
    let first = commit(&offer(&mut committer, 4, 0));
    assert_eq!(partitions(&first), [4]);
    assert!(Arc::ptr_eq(&first.rows, &first.parts[0].rows), "its rows are not copied");
    let effects = ended(&mut committer, Outcome::Committed { version: 1 });
    assert_eq!(effects.len(), 2, "{effects:?}");
    assert!(committer.is_idle());
}

#[test]
fn refused_members_leave_and_the_others_commit_at_once_under_a_new_id() {
    let (mut committer, first) = of_three();
    let effects = ended(&mut committer, Outcome::Refused { partitions: vec![1] });
    assert_eq!(settled(&effects), [(1, Settled::Refused)].into());
    let second = commit(&effects);
    assert_eq!(partitions(&second), [0, 2]);
    assert_ne!(second.id, first.id);
    let effects = ended(&mut committer, Outcome::Refused { partitions: vec![0, 2] });
    assert_eq!(settled(&effects), [(0, Settled::Refused), (2, Settled::Refused)].into());
    assert!(committer.is_idle());
}

#[test]
fn a_commit_without_effect_is_tried_again_with_those_that_came_since() {
    let (mut committer, first) = of_three();
    let again = commit(&ended(&mut committer, Outcome::Aborted));
    assert!(Arc::ptr_eq(&again, &first), "nothing has changed");
    offer(&mut committer, 7, 3);
    let larger = commit(&ended(&mut committer, Outcome::Aborted));
    assert_eq!(partitions(&larger), [0, 1, 2, 7]);
    assert_ne!(larger.id, first.id);
}

#[test]
fn an_unknown_outcome_stops_everything_until_the_journal_has_been_asked() {
    for resolution in [
        Resolution::Committed { version: 7 },
        Resolution::Absent { at_base: vec![0, 2] },
        Resolution::Absent { at_base: vec![] },
    ] {
        let (mut committer, first) = of_three();
        let effects = ended(&mut committer, Outcome::Unknown);
        assert_eq!(effects, [Effect::Resolve(Arc::clone(&first))]);
        assert!(offer(&mut committer, 5, 0).is_empty());
        assert!(committer.on(Input::Late).is_empty());
        assert!(ended(&mut committer, Outcome::Committed { version: 6 }).is_empty());
        let effects = committer.on(Input::Resolved(resolution.clone()));
        match resolution {
            Resolution::Committed { version } => {
                let all = [0, 1, 2].map(|partition| (partition, Settled::Committed));
                assert_eq!(settled(&effects), all.into());
                assert_eq!(effects[0], Effect::Publish { commit: first, version });
                assert_eq!(effects.last(), Some(&Effect::Ask(vec![0, 1, 2])));
            }
            Resolution::Absent { at_base } => {
                let lost = [0, 1, 2].into_iter().filter(|partition| !at_base.contains(partition));
                let lost = lost.map(|partition| (partition, Settled::Fenced));
                assert_eq!(settled(&effects), lost.collect());
                let next = commit(&effects);
                let members: Vec<u32> = at_base.into_iter().chain([5]).collect();
                assert_eq!(partitions(&next), members);
                assert_ne!(next.id, first.id);
            }
        }
    }
}

/// The members of a run, the order in which they offer, and who is late.
fn script() -> impl Strategy<Value = Vec<(u32, u8)>> {
    prop::collection::vec((0..5_u32, any::<u8>()), 1..200)
}

proptest! {
    /// A ledger that is moved on, taken over and that loses answers: whatever happens, each part
    /// takes effect once or its partition hears that it never will.
    #[test]
    fn every_part_is_settled_once_and_as_it_ended(script in script()) {
        let mut committer = committer(0..5);
        let mut ledger = Ledger::default();
        let mut waiting: Vec<Effect> = Vec::new();
        for (partition, draw) in script {
            let state = ledger.partitions[partition as usize];
            let mut effects = match (waiting.pop(), draw % 4) {
                (Some(effect), 0..3) => ledger.answer(&mut committer, &effect, draw / 4),
                (effect, _) => {
                    waiting.extend(effect);
                    if state.is_offered {
                        committer.on(Input::Late)
                    } else if draw & 16 == 0 {
                        committer.on(Input::Passed(partition))
                    } else {
                        ledger.partitions[partition as usize].is_offered = true;
                        offer(&mut committer, partition, state.next)
                    }
                }
            };
            ledger.settle(&mut effects)?;
            waiting.extend(effects);
            prop_assert!(waiting.len() <= 1, "one commit at a time: {waiting:?}");
        }
    }
}

/// What became of one partition.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    next: u64,
    epoch: i64,
    is_offered: bool,
    /// Parts that took effect and were not settled yet.
    n_unsettled: u32,
}

/// A ledger of offsets and epochs only.
#[derive(Debug, Default)]
struct Ledger {
    partitions: [Row; 5],
    version: i64,
    journal: BTreeMap<CommitId, i64>,
    published: i64,
}

impl Ledger {
    fn answer(&mut self, committer: &mut Committer, effect: &Effect, draw: u8) -> Vec<Effect> {
        match effect {
            Effect::Commit(commit) => {
                // Another owner takes a partition.
                if draw & 3 == 0 {
                    self.partitions[usize::from(draw) % 5].epoch += 1;
                }
                let outcome = match draw >> 2 & 3 {
                    0 => Outcome::Aborted,
                    1 => Outcome::Unknown,
                    2 => self.carry_out(commit),
                    _ => {
                        self.carry_out(commit);
                        Outcome::Unknown
                    }
                };
                committer.on(Input::Ended(outcome))
            }
            Effect::Resolve(commit) => {
                let at_base = || {
                    let parts = commit.parts.iter().filter(|part| self.is_at_base(part));
                    parts.map(|part| part.owner.partition).collect()
                };
                let resolution = match self.journal.get(&commit.id) {
                    Some(version) => Resolution::Committed { version: *version },
                    None => Resolution::Absent { at_base: at_base() },
                };
                committer.on(Input::Resolved(resolution))
            }
            _ => Vec::new(),
        }
    }

    /// The epoch is in the base: parts of an earlier owner are not at it.
    fn is_at_base(&self, part: &Part) -> bool {
        let row = &self.partitions[part.owner.partition as usize];
        row.epoch == 0 && row.next == part.base
    }

    fn carry_out(&mut self, commit: &Commit) -> Outcome {
        let refused = commit.parts.iter().filter(|part| !self.is_at_base(part));
        let partitions: Vec<u32> = refused.map(|part| part.owner.partition).collect();
        if !partitions.is_empty() {
            return Outcome::Refused { partitions };
        }
        for part in &commit.parts {
            let row = &mut self.partitions[part.owner.partition as usize];
            row.next = part.progress.next;
            row.n_unsettled += 1;
        }
        self.version += 1;
        self.journal.insert(commit.id, self.version);
        Outcome::Committed { version: self.version }
    }

    /// Takes out what is settled and shown, and checks it.
    fn settle(&mut self, effects: &mut Vec<Effect>) -> Result<(), TestCaseError> {
        for effect in std::mem::take(effects) {
            match effect {
                Effect::Settle { partition, settled } => {
                    let row = &mut self.partitions[partition as usize];
                    prop_assert!(std::mem::take(&mut row.is_offered), "it had offered");
                    prop_assert_eq!(settled == Settled::Committed, row.n_unsettled == 1);
                    prop_assert!(row.n_unsettled <= 1);
                    row.n_unsettled = 0;
                    // It claims again.
                    if settled != Settled::Committed {
                        row.epoch = 0;
                    }
                }
                Effect::Publish { version, .. } => {
                    self.published += 1;
                    prop_assert_eq!(version, self.published, "every version, in order");
                }
                Effect::Ask(_) => {}
                Effect::Commit(_) | Effect::Resolve(_) => effects.push(effect),
            }
        }
        Ok(())
    }
}
