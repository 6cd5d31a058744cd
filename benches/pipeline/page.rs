//! Building the page of 1,000, 10,000 and 100,000 series from kept families.
//!
//! The baseline copies as many bytes as the page has.

use std::collections::BTreeMap;

use aggregator::{Committers, Publisher, Reader, Start};
use event::{Method, Outcome, ServiceTier, UsageSource};
use ledger::commit::Progress;
use ledger::measures::Measures;
use ledger::series::FullLabels;

use crate::cpu::own_nanos;
use crate::events::{MODELS, UPSTREAMS};
use crate::recording;
use crate::rounds::{ROUNDS, median};
use crate::row;
use crate::targets::{Target, Targets};

/// Series of the page that has a target.
const LARGEST: usize = 100_000;

/// Measures and prints.
pub fn run(targets: &mut Targets) {
    for goal in [1_000, 10_000, LARGEST] {
        let publisher = Publisher::new(Committers::Own);
        let mut n_rows = goal / 20;
        loop {
            publisher.take_over(start(n_rows));
            publisher.progress(0, &Progress::default());
            let lines = lines(&publisher);
            if lines >= goal || n_rows > goal {
                break;
            }
            n_rows += (n_rows * (goal - lines) / lines).max(1);
        }
        let (n_lines, n_bytes) = (lines(&publisher), text(&publisher).len());
        let mut pages = u128::try_from((2_000_000 / goal).max(5)).expect("few");
        if recording::is_on() {
            // A profile wants some thousands of samples, which are 0.5 ms apart.
            pages *= 50;
        }
        let (mut costs, mut ratios) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let recording = if goal == LARGEST { recording::begin("page") } else { None };
            let before = own_nanos();
            for n in 0..pages {
                let open = i64::try_from(n).expect("few");
                publisher.follow(&[], Some(&[("team-00".to_owned(), open)]));
            }
            let nanos = (own_nanos() - before) / pages;
            if let Some(recording) = recording {
                recording.end(&[std::process::id()], u64::try_from(pages).expect("few"));
            }
            costs.push(nanos as f64 / 1e6);
            ratios.push(nanos as f64 / copy(&text(&publisher), pages) as f64);
        }
        let cost = median(&costs);
        row(
            &format!("page of {n_lines} series, {n_bytes} bytes"),
            &format!("{cost:.3} ms"),
            &format!("{:.0} pages", 1e3 / cost),
            &format!("{:.1} x copying its bytes", median(&ratios)),
        );
        if goal == LARGEST {
            targets.set(Target::Page, cost);
        }
    }
}

fn text(publisher: &Publisher) -> bytes::Bytes {
    publisher.page(Reader::Other, 0).expect("a page").text.clone()
}

fn lines(publisher: &Publisher) -> usize {
    let text = text(publisher);
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && line[0] != b'#').count()
}

fn copy(bytes: &[u8], rounds: u128) -> u128 {
    let before = own_nanos();
    for _ in 0..rounds {
        std::hint::black_box(std::hint::black_box(bytes).to_vec());
    }
    ((own_nanos() - before) / rounds).max(1)
}

/// A ledger of so many rows.
fn start(n_rows: usize) -> Start {
    let rows = (0..n_rows).map(|n| {
        let labels = FullLabels {
            namespace: format!("team-{:04}", n / 12).into(),
            upstream: UPSTREAMS[n % 3].into(),
            model: MODELS[n % 4].into(),
            method: Method::Post,
            endpoint: "/v1/chat/completions".into(),
            status: 200,
            outcome: Outcome::Success,
            service_tier: ServiceTier::Standard,
            source: UsageSource::Reported,
            is_final: true,
            limited_by: None,
        };
        let seed = i64::try_from(n).expect("few") * 1_000_003 % 9_999_991;
        let mut sums = Measures { n: seed, duration_us: seed * 812_345, ..Measures::default() };
        sums.duration[8] = seed;
        sums.tokens = [seed * 900, seed, 0, seed * 300, 0];
        (labels, sums)
    });
    Start {
        version: 1,
        commit: None,
        totals: rows.collect(),
        accounts: BTreeMap::new(),
        namespaces: Vec::new(),
        goals: BTreeMap::from([(0, 0)]),
        may_lack_shown: false,
        waits_for_late: false,
    }
}
