//! Decides which parts a process commits together, as a pure state machine.
//!
//! Each partition that counts is a member. When one offers a part, the other members are asked for
//! theirs, and all parts that were offered in time are one commit: one transaction, one version.
//! One commit is under way at a time. A member whose compare-and-swap is refused leaves, and the
//! others try again at once under a new id. After an unknown outcome nothing is committed before
//! the journal has been asked: either every part took effect or none.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::commit::{Commit, CommitId, Outcome, Part, Resolution, Settled};
use crate::invariants::i1_exact_together;
use crate::safeguard::{Safeguard, Safeguards};

/// Inputs from the shell.
#[derive(Clone, Debug)]
pub enum Input {
    /// A partition is claimed, rebuilt and counts: it is asked before each commit.
    Joined(u32),
    /// A partition rebuilds, is halted or being moved: nobody waits for it.
    Left(u32),
    /// The part of a partition is ready.
    Offered(Arc<Part>),
    /// A partition that was asked has nothing to commit.
    Passed(u32),
    /// Members that have not answered yet are no longer waited for.
    Late,
    /// The commit ended.
    Ended(Outcome),
    /// The commit of unknown outcome was looked up.
    Resolved(Resolution),
}

/// Effects that the shell must execute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ask these partitions for their parts, and say `Late` after a bounded wait.
    Ask(Vec<u32>),
    /// Execute this commit and report its outcome.
    Commit(Arc<Commit>),
    /// Look this commit up.
    Resolve(Arc<Commit>),
    /// This commit took effect: show it.
    Publish {
        /// The commit that took effect.
        commit: Arc<Commit>,
        /// The ledger version that it made.
        version: i64,
    },
    /// Tell the partition how its part ended.
    Settle {
        /// Partition of the part.
        partition: u32,
        /// How it ended.
        settled: Settled,
    },
}

/// State of the commit.
#[derive(Debug)]
enum State {
    /// Nothing is offered.
    Idle,
    /// Members were asked, and these have not answered yet.
    Gathering(BTreeSet<u32>),
    /// A commit is under way.
    Committing(Arc<Commit>),
    /// The outcome of a commit is unknown.
    Unsure(Arc<Commit>),
}

/// Makes the commits of one process.
#[derive(Debug)]
pub struct Committer {
    nonce: [u8; 8],
    n_commits: u64,
    members: BTreeSet<u32>,
    /// Parts that are in no commit, by partition.
    offered: BTreeMap<u32, Arc<Part>>,
    state: State,
    safeguards: Safeguards,
}

impl Committer {
    /// A committer without members. The nonce is random, fresh for each process: ids of commits
    /// begin with it.
    #[must_use]
    pub fn new(nonce: [u8; 8], safeguards: Safeguards) -> Committer {
        Committer {
            nonce,
            n_commits: 0,
            members: BTreeSet::new(),
            offered: BTreeMap::new(),
            state: State::Idle,
            safeguards,
        }
    }

    /// Handles an input and returns the effects. An input that does not fit the state is ignored.
    pub fn on(&mut self, input: Input) -> Vec<Effect> {
        match input {
            Input::Joined(partition) => {
                self.members.insert(partition);
                Vec::new()
            }
            Input::Left(partition) => {
                self.members.remove(&partition);
                self.answered(partition)
            }
            Input::Offered(part) => self.on_offered(part),
            Input::Passed(partition) => self.answered(partition),
            Input::Late if matches!(self.state, State::Gathering(_)) => self.commit_offered(),
            Input::Late => Vec::new(),
            Input::Ended(outcome) => self.on_ended(outcome),
            Input::Resolved(resolution) => self.on_resolved(resolution),
        }
    }

    /// Whether members were asked and not all have answered.
    #[must_use]
    pub fn is_gathering(&self) -> bool {
        matches!(self.state, State::Gathering(_))
    }

    /// Whether no part is offered or under way.
    #[cfg(test)]
    fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    fn on_offered(&mut self, part: Arc<Part>) -> Vec<Effect> {
        let partition = part.owner.partition;
        self.offered.insert(partition, part);
        match &self.state {
            State::Idle => self.gather(),
            State::Gathering(_) => self.answered(partition),
            State::Committing(commit) if !self.safeguards.on(Safeguard::OneCommit) => {
                let members = commit.parts.iter();
                let members = members.map(|part| (part.owner.partition, Arc::clone(part)));
                self.offered.extend(members.collect::<Vec<_>>());
                self.commit_offered()
            }
            State::Committing(_) | State::Unsure(_) => Vec::new(),
        }
    }

    /// Asks the members that have not offered, if any part is offered at all.
    fn gather(&mut self) -> Vec<Effect> {
        if self.offered.is_empty() {
            return Vec::new();
        }
        let is_asked = |partition: &&u32| !self.offered.contains_key(partition);
        let asked: BTreeSet<u32> = self.members.iter().filter(is_asked).copied().collect();
        if asked.is_empty() {
            return self.commit_offered();
        }
        let effect = Effect::Ask(asked.iter().copied().collect());
        self.state = State::Gathering(asked);
        vec![effect]
    }

    /// A partition need not be waited for any more.
    fn answered(&mut self, partition: u32) -> Vec<Effect> {
        let State::Gathering(asked) = &mut self.state else { return Vec::new() };
        asked.remove(&partition);
        if asked.is_empty() { self.commit_offered() } else { Vec::new() }
    }

    /// Commits everything that is offered.
    fn commit_offered(&mut self) -> Vec<Effect> {
        let parts: Vec<Arc<Part>> = std::mem::take(&mut self.offered).into_values().collect();
        if parts.is_empty() {
            self.state = State::Idle;
            return Vec::new();
        }
        let commit = Commit::of(self.next_id(), parts);
        self.propose(Arc::new(commit))
    }

    fn propose(&mut self, commit: Arc<Commit>) -> Vec<Effect> {
        let checks = self.safeguards.on(Safeguard::MembersOnly);
        assert!(!checks || i1_exact_together(&commit), "I1: rows add up to the ranges");
        self.state = State::Committing(Arc::clone(&commit));
        vec![Effect::Commit(commit)]
    }

    fn on_ended(&mut self, outcome: Outcome) -> Vec<Effect> {
        let State::Committing(commit) = &self.state else { return Vec::new() };
        let commit = Arc::clone(commit);
        match outcome {
            Outcome::Committed { version } => self.took_effect(commit, version),
            Outcome::Refused { partitions } => {
                let is_lost = |part: &Part| partitions.contains(&part.owner.partition);
                self.regroup(&commit, is_lost, Settled::Refused)
            }
            Outcome::Aborted => self.try_again(commit),
            Outcome::Unknown if !self.safeguards.on(Safeguard::UnknownOutcome) => {
                self.took_effect(commit, 0)
            }
            Outcome::Unknown if !self.safeguards.on(Safeguard::ResolveFirst) => {
                self.regroup(&commit, |_| false, Settled::Fenced)
            }
            Outcome::Unknown => {
                self.state = State::Unsure(Arc::clone(&commit));
                vec![Effect::Resolve(commit)]
            }
        }
    }

    fn on_resolved(&mut self, resolution: Resolution) -> Vec<Effect> {
        let State::Unsure(commit) = &self.state else { return Vec::new() };
        let commit = Arc::clone(commit);
        match resolution {
            Resolution::Committed { version } => self.took_effect(commit, version),
            Resolution::Absent { at_base } => {
                // It may still be in the air. What moved on refuses it, but a part that accepts a
                // loss may leave the offset where it is: only another claim fences that one.
                let is_once = self.safeguards.on(Safeguard::AcceptOnce);
                let is_lost = |part: &Part| {
                    is_once && part.accepted.is_some() || !at_base.contains(&part.owner.partition)
                };
                self.regroup(&commit, is_lost, Settled::Fenced)
            }
        }
    }

    /// Every part took effect, also those of partitions that have another owner by now.
    fn took_effect(&mut self, commit: Arc<Commit>, version: i64) -> Vec<Effect> {
        self.state = State::Idle;
        let settled = commit.parts.iter().map(|part| settle(part, Settled::Committed));
        let settled: Vec<Effect> = settled.collect();
        let mut effects = vec![Effect::Publish { commit, version }];
        effects.extend(settled);
        effects.extend(self.gather());
        effects
    }

    /// Nothing took effect: the same parts are committed again, with those that came since.
    fn try_again(&mut self, commit: Arc<Commit>) -> Vec<Effect> {
        if self.offered.is_empty() {
            return self.propose(commit);
        }
        self.regroup(&commit, |_| false, Settled::Refused)
    }

    /// Nothing took effect, and the parts that are lost never will. The others are committed again,
    /// with those that came since, under a new id.
    fn regroup(
        &mut self,
        before: &Commit,
        is_lost: impl Fn(&Part) -> bool,
        settled: Settled,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        for part in &before.parts {
            if is_lost(part) {
                effects.push(settle(part, settled));
            } else {
                self.offered.insert(part.owner.partition, Arc::clone(part));
            }
        }
        if !self.safeguards.on(Safeguard::MembersOnly) && !self.offered.is_empty() {
            let parts = std::mem::take(&mut self.offered).into_values().collect();
            let commit =
                Commit { rows: Arc::clone(&before.rows), ..Commit::of(self.next_id(), parts) };
            effects.extend(self.propose(Arc::new(commit)));
            return effects;
        }
        effects.extend(self.commit_offered());
        effects
    }

    /// Identity of the next commit.
    fn next_id(&mut self) -> CommitId {
        self.n_commits += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.nonce);
        id[8..].copy_from_slice(&self.n_commits.to_le_bytes());
        CommitId(id)
    }
}

fn settle(part: &Part, settled: Settled) -> Effect {
    Effect::Settle { partition: part.owner.partition, settled }
}
