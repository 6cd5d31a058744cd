//! Who used what: groups of every kind, as the rows have them, in every order.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use event::{Outcome as Ended, UsageSource};
use ledger::commit::{Commit, CommitRows, Owner, Progress};
use ledger::consumer::{ConsumerLabels, ConsumerSums};
use ledger::measures::Measures;
use ledger::series::FullLabels;
use tokio::sync::mpsc;

use super::super::fixture::{
    Bed, Dice, ROLLED, altered, commit, commit_and_roll_up, labels, roll_up, sums,
};
use crate::usage::*;

/// Quarter-hours over which facts are spread.
const QUARTERS: usize = 3 * 96;

/// Attempts that are alike.
struct Fact {
    at: i64,
    labels: FullLabels,
    consumer: Option<&'static str>,
    measures: Measures,
}

impl Fact {
    fn random(dice: &mut Dice) -> Fact {
        let mut pick = |words: &[&'static str]| words[dice.below(words.len())];
        let mut labels = labels(pick(&["a", "b", "b "]));
        labels.upstream = pick(&["openai", "OpenAI", "=1+1", "\u{5e9}\u{5dc}"]).into();
        labels.model = pick(&["m", "n"]).into();
        labels.endpoint = pick(&["/v1/chat", "/v1/\"quoted\"", "none"]).into();
        let consumer = [None, Some("ann"), Some("a,\n\"b\"")][dice.below(3)];
        labels.status = [200, 429, 503][dice.below(3)];
        labels.outcome = Ended::EACH[dice.below(Ended::EACH.len())];
        labels.source = [UsageSource::Reported, UsageSource::Estimated][dice.below(2)];
        labels.is_final = dice.below(3) > 0;
        let n = 1 + dice.below(9) as i64;
        let mut measures = Measures { cost_nano: 3 * n, ..sums(n) };
        measures.tokens = [n, 2 * n, dice.below(50) as i64, 3 * n, dice.below(9) as i64];
        Fact { at: dice.below(QUARTERS) as i64, labels, consumer, measures }
    }

    fn consumer_labels(&self) -> event::Labels<'_> {
        event::Labels { consumer: self.consumer, ..self.labels.labels() }
    }

    fn used(&self) -> ConsumerSums {
        let Measures { n, tokens, cost_nano, .. } = self.measures;
        ConsumerSums { requests: if self.labels.is_final { n } else { 0 }, tokens, cost_nano }
    }

    fn sums(&self, rows: UsageRows) -> UsageSums {
        let Measures { n, duration_us, tokens, .. } = self.measures;
        let one_if = |is: bool, n: i64| if is { n } else { 0 };
        let is_estimated = self.labels.source == UsageSource::Estimated;
        let is_final = self.labels.is_final;
        let detail = UsageDetail {
            errors: one_if(is_final && self.labels.outcome != Ended::Success, n),
            duration_us: one_if(is_final, duration_us),
            estimated_input: one_if(is_estimated, tokens[..3].iter().sum()),
            estimated_output: one_if(is_estimated, tokens[3..].iter().sum()),
        };
        UsageSums { used: self.used(), detail: (rows == UsageRows::Full).then_some(detail) }
    }

    fn value(&self, by: UsageBy) -> UsageValue {
        UsageValue::Text(match by {
            UsageBy::Namespace => self.labels.namespace.to_string(),
            UsageBy::Consumer => self.consumer.unwrap_or_default().to_owned(),
            UsageBy::Model => self.labels.model.to_string(),
            UsageBy::Upstream => self.labels.upstream.to_string(),
            UsageBy::Endpoint => self.labels.endpoint.to_string(),
            UsageBy::Status => return UsageValue::Number(self.labels.status.into()),
            UsageBy::Outcome => return UsageValue::Number(self.labels.outcome.code().into()),
        })
    }
}

fn commit_of(owner: Owner, before: &Progress, facts: &[Fact]) -> Commit {
    let (mut totals, mut quarters) = (BTreeMap::new(), BTreeMap::new());
    let (mut consumers, mut used) = (BTreeMap::new(), BTreeMap::new());
    for fact in facts {
        let (id, labels) = (fact.labels.id(), fact.labels.clone());
        let (_, total) = totals.entry(id).or_insert((labels, Measures::default()));
        let quarter = quarters.entry((fact.at, id)).or_default();
        for row in [total, quarter] {
            Measures::add(row, &fact.measures).expect("small");
        }
        let mut bytes = Vec::new();
        ConsumerLabels::encode(&fact.consumer_labels(), &mut bytes);
        let id = ConsumerLabels::id_of(&bytes);
        consumers.insert(id, Arc::new(ConsumerLabels::of(&fact.consumer_labels())));
        let row = used.entry((fact.at, id)).or_insert_with(ConsumerSums::default);
        row.add(&fact.used()).expect("small");
    }
    let totals = totals.into_iter().map(|(id, (labels, sums))| (id, Arc::new(labels), sums));
    let rows = CommitRows {
        totals: totals.collect(),
        quarters: quarters.into_iter().map(|((at, id), sums)| (at, id, sums)).collect(),
        consumers: consumers.into_iter().collect(),
        used: used.into_iter().map(|((at, id), sums)| (at, id, sums)).collect(),
        ..CommitRows::default()
    };
    altered(&commit(owner, before, 0, &[]), |part| part.rows = Arc::new(rows))
}

async fn filled(bed: &Bed) -> Vec<Fact> {
    let mut dice = Dice(3);
    let facts: Vec<Fact> = (0..300).map(|_| Fact::random(&mut dice)).collect();
    commit_and_roll_up(bed, &facts, commit_of).await;
    facts
}

/// The piece of time of a moment.
fn piece(runs: &[Run], at: i64) -> i64 {
    let run = runs.iter().rfind(|run| run.from <= at).expect("the first begins before");
    run.from + (at - run.from) / run.step * run.step
}

/// What facts add up to, by their values.
fn expected(facts: &[Fact], ask: &UsageAsk<'_>) -> Vec<UsageGroup> {
    let mut groups: BTreeMap<Vec<UsageValue>, (UsageSums, UsageSums)> = BTreeMap::new();
    let none = UsageTotal::none(ask).sums;
    let is_meant = |fact: &&Fact| {
        ask.quarters.contains(&fact.at)
            && ask.only.iter().all(|(by, value)| fact.value(*by) == *value)
    };
    for fact in facts.iter().filter(is_meant) {
        let times = ask.times.iter().map(|runs| UsageValue::Number(piece(runs, fact.at)));
        let values = ask.by.iter().map(|by| fact.value(*by)).chain(times).collect();
        let (now, before) = groups.entry(values).or_insert((none, none));
        let sums = if ask.since.is_some_and(|since| fact.at < since) { before } else { now };
        sums.add(&fact.sums(ask.rows)).expect("small");
    }
    let group =
        |(values, (sums, before))| UsageGroup { values, sums, before: ask.since.map(|_| before) };
    groups.into_iter().map(group).collect()
}

fn rank(group: &UsageGroup, rank: UsageRank) -> UsageValue {
    let (used, detail) = (group.sums.used, group.sums.detail.unwrap_or_default());
    UsageValue::Number(match rank {
        UsageRank::Tokens => used.input() + used.output(),
        UsageRank::Requests => used.requests,
        UsageRank::Input => used.input(),
        UsageRank::Output => used.output(),
        UsageRank::CacheRead => used.tokens[1],
        UsageRank::CacheWrite => used.tokens[2],
        UsageRank::Reasoning => used.tokens[4],
        UsageRank::Cost => used.cost_nano,
        UsageRank::Errors => detail.errors,
        UsageRank::Reported => {
            used.input() + used.output() - detail.estimated_input - detail.estimated_output
        }
        UsageRank::Estimated => detail.estimated_input + detail.estimated_output,
        UsageRank::EstimatedInput => detail.estimated_input,
        UsageRank::EstimatedOutput => detail.estimated_output,
        UsageRank::Duration => detail.duration_us,
        UsageRank::MeanDuration => detail.duration_us.checked_div(used.requests).unwrap_or(-1),
        UsageRank::Key(idx) => return group.values[idx].clone(),
    })
}

const BOTH: [UsageRank; 8] = [
    UsageRank::Tokens,
    UsageRank::Requests,
    UsageRank::Input,
    UsageRank::Output,
    UsageRank::CacheRead,
    UsageRank::CacheWrite,
    UsageRank::Reasoning,
    UsageRank::Cost,
];
const FULL: [UsageRank; 7] = [
    UsageRank::Errors,
    UsageRank::Reported,
    UsageRank::Estimated,
    UsageRank::EstimatedInput,
    UsageRank::EstimatedOutput,
    UsageRank::Duration,
    UsageRank::MeanDuration,
];

/// Asks in each way, and checks every group, the order, the pages and the total.
async fn check(bed: &Bed, facts: &[Fact], ask: &UsageAsk<'_>) {
    let mut reader = bed.store.read().await.expect("a reader");
    let groups = expected(facts, ask);
    let mut total = UsageTotal::none(ask);
    groups.iter().for_each(|group| total.add(group).expect("small"));
    let before = bed.store.n_read_statements();
    let more: &[UsageRank] = if ask.rows == UsageRows::Full { &FULL } else { &[] };
    let keys = (0..ask.by.len() + ask.times.len()).map(UsageRank::Key);
    let ranks: Vec<_> = BOTH.iter().chain(more).copied().chain(keys).collect();
    let mut n_asked = 0;
    for (by, is_rising) in ranks.iter().flat_map(|rank| [(*rank, true), (*rank, false)]) {
        let ask = UsageAsk { rank: by, is_rising, ..ask.clone() };
        let mut wanted = groups.clone();
        match is_rising {
            true => wanted.sort_by_key(|group| rank(group, by)),
            false => wanted.sort_by_key(|group| Reverse(rank(group, by))),
        }
        let mut paged = Vec::new();
        for skip in (0..wanted.len().max(1)).step_by(40) {
            let (found, page) = reader.usage(&ask, 40, skip as i64).await.expect("a page");
            assert_eq!(found, total, "{ask:?}");
            paged.extend(page);
            n_asked += 1;
        }
        assert_eq!(paged, wanted, "{ask:?}");
    }
    assert_eq!(bed.store.n_read_statements() - before, n_asked, "one statement each");
}

/// Hours and days as in a zone whose clock goes forward by an hour, and by half an hour.
fn times() -> Vec<Vec<Run>> {
    let run = |from, step| Run { from, step };
    vec![
        vec![run(-30, 96), run(66, 92), run(158, 96)],
        vec![run(-30, 4)],
        vec![run(-2, 4), run(72, 4), run(166, 4)],
        vec![run(0, 1_000)],
    ]
}

pub(in crate::tests) async fn usage_in_groups_of_every_kind_is_what_the_rows_say(bed: Bed) {
    let facts = filled(&bed).await;
    for quarter in ROLLED {
        roll_up(&bed.store, quarter).await;
        check_each(&bed, &facts).await;
    }
}

async fn check_each(bed: &Bed, facts: &[Fact]) {
    use UsageBy::{Consumer, Endpoint, Model, Namespace, Outcome, Status, Upstream};
    let (times, all) = (times(), 0..QUARTERS as i64);
    let text = |by, text: &str| (by, UsageValue::Text(text.to_owned()));
    let full = |by: &'static [UsageBy], times| UsageAsk {
        rows: UsageRows::Full,
        quarters: all.clone(),
        by,
        times,
        ..UsageAsk::default()
    };
    check(bed, facts, &full(&[Namespace, Model, Upstream, Endpoint, Status], &[])).await;
    check(bed, facts, &full(&[Upstream], &times[..1])).await;
    check(bed, facts, &full(&[], &times)).await;
    let days = [vec![Run { from: -96, step: 96 }], vec![Run { from: 0, step: 2 * 96 }]];
    check(bed, facts, &UsageAsk { since: Some(96), ..full(&[Model], &days) }).await;
    check(bed, facts, &UsageAsk { quarters: 90..250, ..full(&[], &days[..1]) }).await;
    let only = [text(Upstream, "OpenAI"), (Status, UsageValue::Number(429))];
    let some = UsageAsk { only: &only, quarters: 5..200, ..full(&[Namespace], &times[2..3]) };
    check(bed, facts, &some).await;
    let two = UsageAsk { since: Some(144), ..full(&[Model, Status], &[]) };
    check(bed, facts, &two).await;
    let only = [(Outcome, UsageValue::Number(Ended::Success.code().into()))];
    check(bed, facts, &UsageAsk { only: &only, ..full(&[Outcome, Upstream], &[]) }).await;
    check(bed, facts, &full(&[Upstream, Outcome], &[])).await;
    let consumers = UsageAsk { rows: UsageRows::Consumers, ..full(&[Namespace, Consumer], &[]) };
    check(bed, facts, &consumers).await;
    let only = [text(Consumer, "a,\n\"b\""), text(Namespace, "b ")];
    let one = UsageAsk { only: &only, by: &[Model], times: &times[..1], ..consumers.clone() };
    check(bed, facts, &one).await;
    check(bed, facts, &UsageAsk { since: Some(100), ..consumers.clone() }).await;
    let none = [text(Upstream, "openAI")];
    check(bed, facts, &UsageAsk { only: &none, ..full(&[Model], &[]) }).await;
}

pub(in crate::tests) async fn groups_are_handed_over_until_nobody_takes_them(bed: Bed) {
    let facts = filled(&bed).await;
    let by = [UsageBy::Upstream, UsageBy::Endpoint];
    let times = [vec![Run { from: 0, step: 1 }]];
    let ask = UsageAsk {
        rows: UsageRows::Full,
        quarters: Range { start: 0, end: QUARTERS as i64 },
        by: &by,
        times: &times,
        rank: UsageRank::Key(2),
        is_rising: true,
        ..UsageAsk::default()
    };
    let mut wanted = expected(&facts, &ask);
    wanted.sort_by_key(|group| rank(group, ask.rank));
    for n_taken in [wanted.len(), 3] {
        let mut reader = bed.store.read().await.expect("a reader");
        let (taker, mut taken) = mpsc::channel(1);
        let take = async {
            let mut found = Vec::new();
            while found.len() < n_taken
                && let Some(group) = taken.recv().await
            {
                found.push(group);
            }
            drop(taken);
            found
        };
        let (done, found) = tokio::join!(reader.each_usage(&ask, taker), take);
        done.expect("no error");
        assert_eq!(found, wanted[..n_taken]);
        drop(reader);
    }
    // Whatever became of the connections, there are readers.
    for _ in 0..9 {
        let mut reader = bed.store.read().await.expect("a reader");
        assert_eq!(reader.usage(&ask, i64::MAX, 0).await.expect("groups").1, wanted);
    }
}
