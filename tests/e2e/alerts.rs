//! Every alert of monitoring/rules fires by its real cause: the metrics of the real processes,
//! under the real fault, satisfy the rule in a real Prometheus. On the way, the readiness of each
//! role says what it cannot do its work without, and takes it back when that is there again.
//!
//! `CAUSES` has each alert with the stage that is to make it fire; an alert without an entry fails
//! the test. Pauses (`for`) are seconds here, and limits that would take too long are scaled, as
//! the entry says. No alert fires before its stage.

mod ready;
mod sight;
mod stages;
mod stalled;

use std::time::Instant;

use self::sight::{Room, Sight};
use self::stalled::Stalled;
use crate::stack::Stack;

/// What makes an alert fire here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Requests fail or take long; senders send what is wrong.
    Senders,
    /// A Prometheus has little room, and cuts its history; then a block of it is damaged.
    Room,
    /// MariaDB is killed.
    Database,
    /// The same page is scraped twice, and a user's rule cannot be evaluated.
    Settings,
    /// An ingest is cut off from the ledger for longer than a minute, while messages wait.
    Stalled,
    /// Kafka and Redis are killed.
    Brokers,
    /// Ingest and aggregator are killed, and what they have not read is deleted.
    Roles,
    /// The topic of the log and a raw topic are recreated.
    Topics,
}

/// What is scaled: as it is, and as it is here.
pub type Scaled = &'static [(&'static str, &'static str)];

/// Each alert, its stage, and what is scaled.
pub const CAUSES: &[(&str, Stage, Scaled)] = &[
    ("GatemeterErrorRatioHigh", Stage::Senders, &[]),
    ("GatemeterErrorRatioCritical", Stage::Senders, &[]),
    ("GatemeterUpstreamErrorRatioHigh", Stage::Senders, &[]),
    ("GatemeterLatencyHigh", Stage::Senders, &[]),
    ("GatemeterNoPublisher", Stage::Database, &[]),
    ("GatemeterSeveralPublishers", Stage::Settings, &[]),
    ("GatemeterTargetDown", Stage::Roles, &[]),
    // Seconds of a small load in place of a backlog of minutes.
    ("GatemeterLagHigh", Stage::Database, &[("> 5000", "> 200")]),
    // Seconds in place of a minute and of a quarter of an hour.
    ("GatemeterCommitLate", Stage::Database, &[("> 60", "> 8")]),
    ("GatemeterCommitStuck", Stage::Database, &[("> 900", "> 12")]),
    ("GatemeterPartitionHalted", Stage::Topics, &[]),
    ("GatemeterFramesLost", Stage::Roles, &[]),
    ("GatemeterDeadLetters", Stage::Senders, &[]),
    ("GatemeterEventsOutOfTime", Stage::Senders, &[]),
    ("GatemeterConflicts", Stage::Senders, &[]),
    // Some hundred ids in place of ten million; six empty sets take about 50 kB.
    ("GatemeterDedupNearlyFull", Stage::Senders, &[("536870912", "150000")]),
    ("GatemeterRejects", Stage::Senders, &[]),
    ("GatemeterIngestUnavailable", Stage::Brokers, &[]),
    ("GatemeterGatewayDropsEvents", Stage::Roles, &[]),
    ("GatemeterRawTopicBehind", Stage::Database, &[]),
    ("GatemeterRawMessagesBad", Stage::Senders, &[]),
    ("GatemeterRawMessagesLost", Stage::Roles, &[]),
    ("GatemeterRawTopicRemade", Stage::Topics, &[]),
    ("GatemeterRawPartitionStalled", Stage::Stalled, &[]),
    ("GatemeterApiErrors", Stage::Database, &[]),
    ("PrometheusDiskNearLimit", Stage::Room, &[]),
    ("PrometheusHistoryCut", Stage::Room, &[]),
    ("PrometheusStorageFails", Stage::Room, &[]),
    ("PrometheusRulesFail", Stage::Settings, &[]),
];

/// The alerts of a stage.
pub fn of(stage: Stage) -> impl Iterator<Item = &'static str> {
    CAUSES.iter().filter(move |cause| cause.1 == stage).map(|cause| cause.0)
}

#[test]
fn every_alert_fires_by_its_real_cause_and_readiness_says_why() {
    let began = Instant::now();
    let said = |what: &str| println!("{what}: {:.1} s", began.elapsed().as_secs_f64());
    // So little that a few hundred events fill it.
    let stack = Stack::up_with(&[("GATEWAY_SPOOL_SIZE", "64k")]);
    let stalled = Stalled::begin(&stack);
    let sight = Sight::start(&stack, stalled.port(), Room::Ample);
    let cramped = Sight::start(&stack, stalled.port(), Room::Little);
    sight.every_alert_has_an_entry();
    sight.what_alerts_rate_is_there_before_it_rises();
    said("begun");
    type Act<'a> = &'a dyn Fn();
    let stages: [(Stage, Act<'_>); 8] = [
        (Stage::Senders, &|| stages::senders_make_mistakes(&stack, &sight)),
        (Stage::Room, &|| stages::prometheus_has_no_room(&cramped)),
        (Stage::Database, &|| stages::database_is_killed(&stack, &sight)),
        (Stage::Settings, &|| stages::settings_are_wrong(&stack, &sight)),
        (Stage::Stalled, &|| stalled.is_told_and_ends(&sight)),
        (Stage::Brokers, &|| stages::brokers_are_killed(&stack, &sight)),
        (Stage::Roles, &|| stages::roles_are_killed(&stack, &sight)),
        (Stage::Topics, &|| stages::topics_are_made_anew(&stack, &sight)),
    ];
    // One ingest is cut off already: it is reported a minute later, in whatever stage that is.
    let mut made = vec![Stage::Stalled];
    for (stage, act) in stages {
        sight.nothing_else_fires(&made);
        made.push(stage);
        act();
        said(&format!("{stage:?}"));
    }
    sight.nothing_else_fires(&made);
}
