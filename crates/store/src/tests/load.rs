//! Seconds of traffic, shaped as the synthetic one of `replay`, counted by the ledger's own code.

use std::sync::Arc;

use event::frame::{FrameBuilder, Stamp, Version};
use event::{Facts, Key, Labels, Method, Outcome, ServiceTier, Usage, UsageSource};
use ledger::commit::{Claim, Part, Settled};
use ledger::core::{Core, Effect, Input, LogView, Options, Record};
use ledger::safeguard::Safeguards;
use ledger::window::Window;

use super::fixture::Dice;

/// Events of a second.
const EVENTS: usize = 33_000;
const EVENTS_PER_FRAME: usize = 100;
const BEGIN_US: i64 = 1_753_000_123_456_789;
const CHAT: &str = "/v1/chat/completions";
const NAMESPACES: [&str; 12] = [
    "wechat",
    "search",
    "support",
    "checkout",
    "docs",
    "mobile",
    "ads",
    "risk",
    "lab",
    "billing",
    "translate",
    "archive",
];
const OFFERS: [(&str, &str, &str); 8] = [
    ("openai", "gpt-4o", CHAT),
    ("azure-openai", "gpt-4o", CHAT),
    ("anthropic", "claude-sonnet-4", "/v1/messages"),
    ("bedrock", "claude-sonnet-4", "/v1/messages"),
    ("openai", "o3-mini", "/v1/responses"),
    ("deepseek", "deepseek-chat", CHAT),
    ("vllm", "qwen2.5-72b-instruct", CHAT),
    ("vllm", "llama-3.1-8b", "/v1/completions"),
];
/// Statuses that are not 200, with how many of 1,000 events have them.
const FAILURES: [(u16, usize); 11] = [
    (429, 20),
    (400, 8),
    (401, 2),
    (403, 1),
    (404, 2),
    (408, 2),
    (499, 5),
    (500, 5),
    (502, 4),
    (503, 3),
    (504, 3),
];

/// The owner of a partition, and the offset of its next frame.
struct Owned {
    core: Core,
    nonce: [u8; 16],
    next: u64,
}

/// Traffic into the partitions of one process, which owns all.
pub(super) struct Load {
    dice: Dice,
    users: Vec<String>,
    now_us: i64,
    partitions: Vec<Owned>,
}

impl Load {
    /// Traffic into partitions that nothing was counted of, from number 0 on.
    pub(super) fn new(claims: &[Claim]) -> Load {
        let owned = |claim: &Claim| {
            let mut core = Core::new(Options {
                window: Window::default(),
                n_partitions: u32::try_from(claims.len()).expect("few"),
                letter_rows_per_hour: 1_000,
                newest: Version::NEWEST,
                safeguards: Safeguards::default(),
            });
            let log = LogView { low: 0, high: 0, last_print: None, is_remade: false };
            core.on(Input::Claimed { claim: *claim, log });
            Owned { core, nonce: claim.owner.nonce, next: 0 }
        };
        Load {
            dice: Dice(7),
            users: (0..200).map(|n| format!("user-{n:03}")).collect(),
            now_us: BEGIN_US,
            partitions: claims.iter().map(owned).collect(),
        }
    }

    /// The parts of the next second, each of which takes effect.
    pub(super) fn second(&mut self) -> Vec<Arc<Part>> {
        self.now_us += 1_000_000;
        let n_partitions = u32::try_from(self.partitions.len()).expect("few");
        let mut frames: Vec<FrameBuilder> = Vec::new();
        frames.resize_with(self.partitions.len(), || FrameBuilder::new(Version::NEWEST));
        for _ in 0..EVENTS {
            let facts = facts(&mut self.dice, self.now_us);
            let labels = labels(&mut self.dice, &self.users, &facts.usage);
            let number = facts.key.partition(n_partitions) as usize;
            frames[number].push(&labels, &facts).expect("room");
            if frames[number].len() == EVENTS_PER_FRAME {
                let full = FrameBuilder::new(Version::NEWEST);
                let full = std::mem::replace(&mut frames[number], full);
                self.partitions[number].take(&full, self.now_us);
            }
        }
        let mut parts = Vec::new();
        for (owned, rest) in self.partitions.iter_mut().zip(&frames) {
            if !rest.is_empty() {
                owned.take(rest, self.now_us);
            }
            let effects = owned.core.on(Input::Due);
            let [Effect::Offer(part)] = &effects[..] else { panic!("{effects:?}") };
            owned.core.on(Input::Settled(Settled::Committed));
            parts.push(Arc::clone(part));
        }
        let counted: i64 = parts.iter().map(|part| part.sums.counted).sum();
        assert_eq!(counted, i64::try_from(EVENTS).expect("few"), "every event counts");
        parts
    }
}

impl Owned {
    fn take(&mut self, frame: &FrameBuilder, now_us: i64) {
        let stamp = Stamp { ingest_us: now_us, tokenizer_version: 0, price_version: 0 };
        self.core.on(Input::Record(Record {
            nonce: self.nonce,
            offset: self.next,
            append_time_us: now_us,
            intact: true,
            bytes: &frame.encode(stamp),
        }));
        self.next += 1;
        assert_eq!(self.core.position(), self.next);
    }
}

/// A number below `n` with a heavy tail: half of them in the lowest sixteenth.
fn heavy(dice: &mut Dice, n: usize) -> usize {
    let unit = dice.below(1_000);
    unit * unit / 1_000 * unit / 1_000 * unit / 1_000 * n / 1_000
}

fn facts(dice: &mut Dice, now_us: i64) -> Facts {
    let mut key = [0; 16];
    for half in key.chunks_exact_mut(8) {
        half.copy_from_slice(&dice.below(usize::MAX).to_le_bytes());
    }
    let small = |n: usize| u32::try_from(n).expect("small");
    let input = 20 + heavy(dice, 32_000);
    let output = 1 + heavy(dice, 4_000);
    let read = if dice.below(100) < 40 { dice.below(input) } else { 0 };
    let usage = match dice.below(100) {
        0..5 => Usage::default(),
        _ => Usage {
            input: Some(small(input)),
            cache_read: Some(small(read)),
            cache_write: None,
            output: Some(small(output)),
            reasoning: None,
        },
    };
    let first_us = 30_000 + input as u64 * 20 + heavy(dice, 900_000) as u64;
    let ago_us = i64::try_from(dice.below(2_000_000)).expect("small");
    Facts {
        key: Key(key),
        time_us: now_us - ago_us,
        duration_us: first_us + output as u64 * (8_000 + dice.below(17_000) as u64),
        ttft_us: (dice.below(100) < 60).then_some(first_us),
        usage,
        cost_nano: None,
        attempt: 0,
        fingerprint: dice.below(usize::MAX) as u64,
    }
}

fn labels<'a>(dice: &mut Dice, users: &'a [String], usage: &Usage) -> Labels<'a> {
    // The first ones far more often, as 1, 1/2, 1/3..
    let weight = |rank: usize| 27_720 / (rank + 1);
    let mut point = dice.below((0..NAMESPACES.len()).map(weight).sum());
    let mut rank = 0;
    while point >= weight(rank) {
        point -= weight(rank);
        rank += 1;
    }
    let mut point = dice.below(1_000);
    let mut status = 200;
    for (failure, n) in FAILURES {
        if point < n {
            status = failure;
            break;
        }
        point -= n;
    }
    let (upstream, model, endpoint) = OFFERS[heavy(dice, OFFERS.len())];
    let is_retried = matches!(status, 429 | 500 | 502..=504) && dice.below(100) < 60;
    Labels {
        status,
        method: Method::Post,
        outcome: Outcome::of(status, None),
        service_tier: match dice.below(20) {
            0 => ServiceTier::Batch,
            1 => ServiceTier::Priority,
            _ => ServiceTier::Standard,
        },
        source: if usage.is_present() { UsageSource::Reported } else { UsageSource::None },
        is_final: !is_retried,
        namespace: NAMESPACES[rank],
        upstream,
        model: if status >= 400 && dice.below(100) < 30 { "none" } else { model },
        endpoint,
        limited_by: (status == 429 && dice.below(2) == 0).then_some("token_limit"),
        stream: dice.below(100) < 60,
        requested_model: None,
        consumer: (dice.below(100) < 80).then(|| users[heavy(dice, users.len())].as_str()),
    }
}
