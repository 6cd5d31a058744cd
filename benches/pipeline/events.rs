//! Events of a plausible load: 20 tenants, 8 models at 3 upstreams, a few statuses.

use event::{Facts, Key, Labels, Method, Outcome, Secret, ServiceTier, Usage, UsageSource};

pub const UPSTREAMS: [&str; 3] = ["openai", "azure", "anthropic"];
pub const MODELS: [&str; 8] = [
    "gpt-4o",
    "gpt-4o-mini",
    "o3",
    "o4-mini",
    "claude-sonnet-4",
    "claude-haiku-4",
    "qwen3-max",
    "deepseek-v3",
];
/// Consumers of all tenants: keys that their clients use.
pub const CONSUMERS: usize = 500;
const STATUSES: [u16; 3] = [200, 429, 504];

/// A cheap spread of a number (SplitMix64, Steele et al. 2014).
pub fn spread(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One of `len` things by 8 bits of a random number: the first ones far more often than the last.
fn skewed(random: u64, shift: u32, len: usize) -> usize {
    let byte = (random >> shift) as usize & 0xff;
    (byte * byte * byte * len) >> 24
}

/// Tenant, upstream, model and status of event `n`. An upstream has models of its own.
fn kind(n: u64) -> (usize, &'static str, &'static str, u16) {
    let random = spread(n);
    let model = skewed(random, 12, MODELS.len());
    let status = match (random >> 40) & 0xff {
        0..=3 => STATUSES[1],
        4..=5 => STATUSES[2],
        _ => STATUSES[0],
    };
    (skewed(random, 0, 20), UPSTREAMS[model % UPSTREAMS.len()], MODELS[model], status)
}

/// Text of event `n` as a gateway sends it; `id` digits stand at a fixed place of the text.
pub fn json(n: u64, now_us: i64) -> String {
    let random = spread(n);
    let (team, upstream, model, status) = kind(n);
    format!(
        "{{\"id\":\"evt-{n:016x}\",\"time\":{now_us},\"namespace\":\"team-{:02}\",\
         \"upstream\":\"{}\",\"model\":\"{}\",\"method\":\"POST\",\
         \"endpoint\":\"/v1/chat/completions\",\"status\":{},\"duration_ms\":{}.{:03},\
         \"ttft_ms\":{},\"stream\":true,\"usage\":{{\"input_tokens\":{},\
         \"cache_read_tokens\":{},\"output_tokens\":{},\"reasoning_tokens\":{}}},\
         \"request_id\":\"req-{n:016x}\",\"attempt\":0,\"final\":true,\
         \"consumer\":\"key-{:04}\"}}",
        team,
        upstream,
        model,
        status,
        200 + random % 20_000,
        random % 1_000,
        100 + random % 900,
        512 + random % 8_192,
        random % 512,
        64 + random % 1_024,
        random % 64,
        skewed(random, 24, CONSUMERS),
    )
}

/// Labels of event `n`; `namespaces` are the 20 tenants. Without consumers it names none.
pub fn labels<'a>(n: u64, namespaces: &'a [String], consumers: &'a [String]) -> Labels<'a> {
    let (team, upstream, model, status) = kind(n);
    Labels {
        status,
        method: Method::Post,
        outcome: Outcome::of(status, None),
        service_tier: ServiceTier::Standard,
        source: UsageSource::Reported,
        is_final: true,
        namespace: &namespaces[team],
        upstream,
        model,
        endpoint: "/v1/chat/completions",
        limited_by: None,
        stream: true,
        requested_model: None,
        consumer: consumers.get(skewed(spread(n), 24, consumers.len())).map(String::as_str),
    }
}

/// Facts of event `n`.
pub fn facts(n: u64, now_us: i64) -> Facts {
    let random = spread(n);
    let small = |shift: u32, max: u64| u32::try_from((random >> shift) % max).expect("small");
    Facts {
        key: Key::of(&Secret([1; 32]), "default", &format!("{n:016x}")),
        time_us: now_us,
        duration_us: 200_000 + random % 20_000_000,
        ttft_us: Some(100_000 + random % 900_000),
        usage: Usage {
            input: Some(512 + small(3, 8_192)),
            output: Some(64 + small(7, 1_024)),
            ..Usage::default()
        },
        cost_nano: None,
        attempt: 0,
        fingerprint: random,
    }
}
