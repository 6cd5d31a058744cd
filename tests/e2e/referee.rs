//! Watches `/metrics` as Prometheus does, and remembers everything that a counter must not do.
//!
//! A thread scrapes the business section while the test kills and restarts the process. No answer,
//! an answer that was cut off, a 503 and the empty section of a standby are gaps. A good page is
//! compared with what the good pages before it showed: a counter that fell or vanished is a fault,
//! and so is a page that does not hold together. Gauges are left alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::gatemeter::{Answer, get, wait_for};

#[path = "../../crates/recount/src/text.rs"]
mod text;

use text::{Kind, MILLION, Page, Series};

/// What makes a request a scrape: the publisher then shows new series at zero first.
const SCRAPE_HEADER: &str = "x-prometheus-scrape-timeout-seconds: 10";
/// Faults kept: more would not say more.
const FAULTS_MAX: usize = 100;
/// Good pages that make a look.
const LOOK_PAGES: u64 = 3;

/// What was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Requests made.
    pub scrapes: u64,
    /// Pages that were there and hold together.
    pub good: u64,
    /// Requests without a page.
    pub gaps: u64,
}

/// A scraper on a thread of its own.
#[derive(Debug)]
pub struct Referee {
    stop: Sender<()>,
    thread: JoinHandle<Watch>,
    n_good: Arc<AtomicU64>,
}

impl Referee {
    /// Scrapes the `/metrics` at this address on 127.0.0.1 once per interval.
    pub fn start(url: &str, interval: Duration) -> Referee {
        let port = url
            .strip_prefix("http://127.0.0.1:")
            .and_then(|rest| rest.strip_suffix("/metrics"))
            .and_then(|port| port.parse().ok())
            .expect("http://127.0.0.1:PORT/metrics");
        let (stop, stopped) = channel();
        let n_good = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&n_good);
        let thread = std::thread::spawn(move || watch(port, interval, &stopped, &seen));
        Referee { stop, thread, n_good }
    }

    /// Waits until it has looked at what is shown now.
    pub fn wait_look(&self) {
        let before = self.n_good.load(Ordering::Relaxed);
        let has_looked = || self.n_good.load(Ordering::Relaxed) >= before + LOOK_PAGES;
        wait_for("the referee has looked at the page", has_looked);
    }

    /// Scrapes once more and stops.
    ///
    /// # Errors
    /// The faults, as sentences.
    pub fn finish(self) -> Result<Report, Vec<String>> {
        self.stop.send(()).expect("the thread runs until it is told to stop");
        let watch = self.thread.join().expect("the thread does not panic");
        if watch.faults.is_empty() { Ok(watch.report) } else { Err(watch.faults) }
    }
}

fn watch(port: u16, interval: Duration, stopped: &Receiver<()>, n_good: &AtomicU64) -> Watch {
    let mut watch = Watch::default();
    loop {
        let is_last = stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout);
        watch.answer(get(port, "/metrics?section=business", &[SCRAPE_HEADER]));
        n_good.store(watch.report.good, Ordering::Relaxed);
        if is_last {
            return watch;
        }
    }
}

/// What was shown up to now.
#[derive(Debug, Default)]
struct Watch {
    report: Report,
    shown: BTreeMap<Series, i128>,
    faults: Vec<String>,
}

impl Watch {
    fn answer(&mut self, answer: Option<Answer>) {
        self.report.scrapes += 1;
        match answer.filter(is_whole) {
            Some(answer) if answer.status == 200 && !answer.body.is_empty() => {
                match Page::parse(&answer.body) {
                    Ok(page) => {
                        self.report.good += 1;
                        self.page(&page);
                    }
                    Err(error) => self.fault(error),
                }
            }
            Some(answer) if ![200, 503].contains(&answer.status) => {
                self.fault(format!("answered {}: {}", answer.status, answer.body));
            }
            _ => self.report.gaps += 1,
        }
    }

    /// Compares the counters of a page with those shown before.
    fn page(&mut self, page: &Page) {
        let is_counter = |series: &Series| {
            page.family(&series.name).is_some_and(|(_, kind)| kind != Kind::Gauge)
        };
        let mut faults = Vec::new();
        for (series, before) in &self.shown {
            match page.samples.get(series) {
                None => faults.push(format!("{series} vanished")),
                Some(now) if now < before => {
                    let [before, now] = [before, now].map(|n| *n as f64 / MILLION as f64);
                    faults.push(format!("{series} fell from {before} to {now}"));
                }
                Some(_) => {}
            }
        }
        for (series, value) in page.samples.iter().filter(|(series, _)| is_counter(series)) {
            if *value < 0 {
                faults.push(format!("{series} is negative"));
            }
            self.shown.insert(series.clone(), *value);
        }
        for fault in faults {
            self.fault(fault);
        }
    }

    fn fault(&mut self, fault: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(format!("scrape {}: {fault}", self.report.scrapes));
        }
    }
}

/// Whether a body is as long as its head says; a process that is killed may cut it off.
fn is_whole(answer: &Answer) -> bool {
    let length = answer.head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    length == Some(answer.body.len())
}

fn page(body: &str) -> Option<Answer> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}", body.len());
    Some(Answer { status: 200, head, body: body.to_owned() })
}

#[test]
fn a_counter_that_falls_or_vanishes_is_a_fault_and_a_gap_is_none() {
    let mut watch = Watch::default();
    let head = "# TYPE a counter\n# TYPE g gauge\n";
    watch.answer(page(&format!("{head}a{{x=\"1\"}} 5\na{{x=\"2\"}} 5\ng 3\n")));
    watch.answer(None);
    let mut cut = page(&format!("{head}a{{x=\"1\"}} 5\n")).expect("an answer");
    cut.body.truncate(cut.body.len() - 3);
    watch.answer(Some(cut));
    let closed = Answer { status: 503, ..page("closed").expect("an answer") };
    watch.answer(Some(closed));
    watch.answer(page(&format!("{head}a{{x=\"1\"}} 5\na{{x=\"2\"}} 6\ng 2\n")));
    assert_eq!(watch.faults, Vec::<String>::new());
    assert_eq!(watch.report, Report { scrapes: 5, good: 2, gaps: 3 });
    assert_eq!(watch.shown[&Series::new("a", &[("x", "2")])], 6 * MILLION);
    watch.answer(page(&format!("{head}a{{x=\"1\"}} 4\n")));
    let expected = ["scrape 6: a{x=\"1\"} fell from 5 to 4", "scrape 6: a{x=\"2\"} vanished"];
    assert_eq!(watch.faults, expected);
}
