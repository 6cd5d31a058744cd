//! Raw topics that are deleted and recreated at random moments under load, while ingests start,
//! stop and are killed: every message is accounted for.
//!
//! A topic has one life from creation to deletion, and each life has its own namespace: what was
//! counted, rejected and reported as lost must be what the broker accepted. Where no ingest could
//! see the end of a life, the difference must be what was written unseen, and the report must have
//! said that more may be lost. `GATEMETER_CHURN_ROUNDS` sets how often (5 by default, each ending
//! once), `GATEMETER_CHURN_SEED` the moments.

mod lives;
mod load;

use std::time::{Duration, Instant};

use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use self::lives::{Ending, Life};
use self::load::Load;
use crate::beside::Role;
use crate::cluster::strangers::kafka;
use crate::gatemeter::{free_ports, get, wait_for};
use crate::stack::Stack;

const TOPICS: [&str; 2] = ["gatemeter.raw", "churn.raw"];
/// Rounds that have every ending once.
const ROUNDS: u64 = 5;
/// Longest gap between two lives: of a short run, and of one that was asked for.
const GAP_MS_MAX: (u64, u64) = (2_000, 15_000);
/// After this time without messages every member has seen the end offset.
const QUIET: Duration = Duration::from_secs(2);
/// Longest time until something of an existing topic with a consumer is counted.
const STALL_MAX: Duration = Duration::from_secs(10);
/// The same if every ingest was killed: their sessions last 6 s, and where they died during a
/// rebalance, the group first waits for those that have to join again, then for the dead leader.
const LEADERLESS_STALL_MAX: Duration = Duration::from_secs(16);

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn of_raw_topics_made_anew_under_load_every_message_is_counted_rejected_or_told_as_lost() {
    let rounds = number("GATEMETER_CHURN_ROUNDS", ROUNDS);
    let seed = number("GATEMETER_CHURN_SEED", 1);
    println!("GATEMETER_CHURN_ROUNDS={rounds} GATEMETER_CHURN_SEED={seed}");
    let stack = Stack::up();
    stack.kill("ingest");
    let mut churn = Churn::start(&stack, seed);
    let gap_ms_max = if rounds > ROUNDS { GAP_MS_MAX.1 } else { GAP_MS_MAX.0 };
    let mut endings = Ending::ALL.to_vec();
    for round in 0..rounds {
        let at = usize::try_from(round).expect("a number") % endings.len();
        if at == 0 {
            endings.shuffle(&mut churn.random);
        }
        churn.round(endings[at], Duration::from_millis(gap_ms_max));
    }
    churn.settle();
}

/// What is going on.
struct Churn<'a> {
    stack: &'a Stack,
    admin: AdminClient<DefaultClientContext>,
    random: ChaCha8Rng,
    ingests: Vec<Ingest>,
    /// Logs of all ingests that ever ran.
    logs: Vec<String>,
    loads: Vec<Load>,
    n_lives: u32,
    /// Lives that are over.
    lives: Vec<Life>,
    /// Stalls that lasted too long.
    stalls: Vec<String>,
}

struct Ingest {
    role: Role,
    port: u16,
    log: String,
}

impl<'a> Churn<'a> {
    fn start(stack: &'a Stack, seed: u64) -> Churn<'a> {
        let admin = kafka(stack).create().expect("a client");
        let random = ChaCha8Rng::seed_from_u64(seed);
        let (ingests, logs, loads, lives, stalls) = Default::default();
        let n_lives = 0;
        let mut churn =
            Churn { stack, admin, random, ingests, logs, loads, n_lives, lives, stalls };
        churn.start_ingest();
        for topic in TOPICS {
            let load = churn.begin(topic, 6);
            churn.loads.push(load);
        }
        churn.wait_read("the first ingest reads", Instant::now(), STALL_MAX);
        churn
    }

    fn begin(&mut self, topic: &'static str, partitions: i32) -> Load {
        self.n_lives += 1;
        Load::start(self.stack, topic, self.n_lives, partitions)
    }

    fn start_ingest(&mut self) {
        let [port, _, _] = free_ports();
        let log = format!("ingest-{}", self.logs.len());
        let topics = TOPICS.map(|topic| format!("{topic}={topic}")).join(",");
        let env = [
            ("GATEMETER_KAFKA__RAW_TOPICS", topics),
            ("GATEMETER_LOG__FORMAT", "json".to_owned()),
            // Each letter has the id of its event.
            ("GATEMETER_AGGREGATOR__DEAD_LETTER_ROWS_PER_HOUR", "1000000".to_owned()),
        ];
        let role = self.stack.role("ingest", port, &log, &env);
        self.logs.push(log.clone());
        wait_for("ingest is ready", || {
            get(port, "/readyz", &[]).is_some_and(|answer| answer.status == 200)
        });
        self.ingests.push(Ingest { role, port, log });
    }

    /// One topic has its life ended in this way, and begins another one.
    fn round(&mut self, ending: Ending, gap_max: Duration) {
        self.come_and_go();
        let gap_ms_max = u64::try_from(gap_max.as_millis()).expect("a number");
        self.rest(0, 1_500);
        let at = self.random.random_range(0..TOPICS.len());
        let topic = self.loads[at].topic;
        let id = lives::id_of(self.stack, &self.loads[at], &self.lives);
        let n_unseen = self.end_life(at, ending);
        let gap = self.rest(500, gap_ms_max);
        let partitions = *[6, 6, 8].get(self.random.random_range(0..3)).expect("one of three");
        self.make(topic, partitions);
        self.loads[at].end();
        let new = self.begin(topic, partitions);
        let old = std::mem::replace(&mut self.loads[at], new);
        println!("{topic} {id} {} {ending:?}, gap {gap:?}", old.namespace);
        self.lives.push(Life::new(&old, id, ending, n_unseen));
        let began = Instant::now();
        if self.ingests.is_empty() {
            self.start_ingest();
        }
        let were_killed = matches!(ending, Ending::Dead | Ending::Unseen | Ending::Orphaned);
        let stall_max = if were_killed { LEADERLESS_STALL_MAX } else { STALL_MAX };
        self.wait_read("the new topic is read, and the other goes on", began, stall_max);
    }

    /// Now and then a second ingest comes, ends, or is killed.
    fn come_and_go(&mut self) {
        match (self.ingests.len(), self.random.random_range(0..3)) {
            (1, 0 | 1) => self.start_ingest(),
            (2, 0) => {
                let ingest = self.ingests.swap_remove(self.random.random_range(0..2));
                ingest.role.stop();
            }
            (2, 1) => {
                drop(self.ingests.swap_remove(self.random.random_range(0..2)));
                // What it had done without a word about it comes again.
                self.wait_read("another one reads what was left", Instant::now(), STALL_MAX);
            }
            _ => {}
        }
    }

    /// Deletes the topic of a load. Returns how much was written unseen.
    fn end_life(&mut self, at: usize, ending: Ending) -> i64 {
        if ending == Ending::Flowing {
            let delete_at = Instant::now() - QUIET;
            self.delete(at);
            self.loads[at].pause();
            return self.loads[at].n_taken_since(delete_at);
        }
        self.loads[at].pause();
        if ending == Ending::Quiet {
            self.rest_for(QUIET);
            self.delete(at);
            return 0;
        }
        lives::wait_done(self.stack, &self.loads[at]);
        self.ingests.clear();
        let before = self.loads[at].n_taken();
        if ending == Ending::Orphaned {
            self.start_ingest();
        }
        if ending != Ending::Dead {
            self.loads[at].resume();
            self.rest(200, 1_000);
            self.loads[at].pause();
        }
        if ending == Ending::Orphaned {
            // The new ingest may not have been given anything yet.
            lives::wait_seen(self.stack, &self.loads[at]);
        }
        self.delete(at);
        if ending == Ending::Unseen { self.loads[at].n_taken() - before } else { 0 }
    }

    fn delete(&self, at: usize) {
        let deleted = self.admin.delete_topics(&[self.loads[at].topic], &AdminOptions::new());
        let deleted = self.stack.runtime.block_on(deleted).expect("an answer");
        assert!(deleted[0].is_ok(), "{deleted:?}");
    }

    fn make(&self, topic: &str, partitions: i32) {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        // The name is free some time after the broker has said so.
        wait_for("the topic is made", || {
            let made = self.admin.create_topics([&new], &AdminOptions::new());
            self.stack.runtime.block_on(made).expect("an answer")[0].is_ok()
        });
    }

    /// Waits until everything that the topics held at this moment is read, and something of each.
    fn wait_read(&mut self, what: &str, began: Instant, stall_max: Duration) {
        let wanted: Vec<i64> = self.loads.iter().map(|load| load.n_taken().max(1)).collect();
        wait_for(what, || {
            let read = self.loads.iter().map(|load| lives::read(self.stack, load));
            read.zip(&wanted).all(|(read, wanted)| read >= *wanted)
        });
        let stall = began.elapsed();
        println!("  {what}: {:.1} s", stall.as_secs_f64());
        if stall > stall_max {
            self.stalls.push(format!("{what}: {stall:?} of at most {stall_max:?}"));
        }
    }

    /// A random moment, so many milliseconds from now.
    fn rest(&mut self, ms_min: u64, ms_max: u64) -> Duration {
        let time = Duration::from_millis(self.random.random_range(ms_min..=ms_max));
        self.rest_for(time);
        time
    }

    fn rest_for(&self, time: Duration) {
        let end = Instant::now() + time;
        wait_for("a moment", || Instant::now() >= end);
    }

    /// Everything has to be accounted for.
    fn settle(mut self) {
        for load in &mut self.loads {
            load.pause();
            let id = lives::id_of(self.stack, load, &self.lives);
            self.lives.push(Life::new(load, id, Ending::Quiet, 0));
        }
        let reports = || lives::loss_reports(self.stack, &self.logs);
        for life in &self.lives {
            life.wait(self.stack, reports);
        }
        let all = reports();
        self.lives.iter().for_each(|life| life.check(self.stack, &all));
        for ingest in &self.ingests {
            let own = lives::loss_reports(self.stack, std::slice::from_ref(&ingest.log));
            let page = get(ingest.port, "/metrics", &[]).expect("its page").body;
            let shown = crate::gatemeter::sum(&page, "gatemeter_raw_lost_messages_total ");
            assert_eq!(shown, own.iter().map(|report| report.lost).sum::<i64>(), "{own:?}");
        }
        self.stack.recount();
        assert!(self.stalls.is_empty(), "{:?}", self.stalls);
    }
}
