//! Watches `/metrics` as Prometheus does, and remembers everything that a counter must not do.
//!
//! A thread scrapes the business section of each target while the test kills and restarts
//! processes. No answer, one that was cut off or came too late, a 503 and the empty section of a
//! standby are gaps. All targets feed the same series, as in monitoring/prometheus.yml: a page
//! counts by the time at which its scrape began, and one that began before the newest is dropped. A
//! good page is compared with what the good pages before it showed: a counter that fell or vanished
//! is a fault, and so is a page that does not hold together. Gauges are left alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::gatemeter::{Answer, get_within, wait_for};

#[path = "../../crates/recount/src/text.rs"]
mod text;

use text::{Kind, MILLION, Page, Series};

/// What makes a request a scrape: the publisher then shows new series at zero first.
const SCRAPE_HEADER: &str = "x-prometheus-scrape-timeout-seconds: 10";
/// What the header says.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(10);
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
    /// Good pages that came after one of a later scrape.
    pub dropped: u64,
}

/// Version of the ledger on a page, and the events that it shows as counted.
pub type Version = (i128, i128);

/// Scrapers on threads of their own.
#[derive(Debug)]
pub struct Referee {
    threads: Vec<(Sender<()>, JoinHandle<()>)>,
    watch: Arc<Mutex<Watch>>,
}

impl Referee {
    /// Scrapes the `/metrics` at this address on 127.0.0.1 once per interval.
    pub fn start(url: &str, interval: Duration) -> Referee {
        let port = url
            .strip_prefix("http://127.0.0.1:")
            .and_then(|rest| rest.strip_suffix("/metrics"))
            .and_then(|port| port.parse().ok())
            .expect("http://127.0.0.1:PORT/metrics");
        Referee::start_all(&[port], interval, None)
    }

    /// Scrapes `/metrics` on all these ports, and keeps a line of each scrape, and each page with a
    /// fault beside the one before it, in a folder.
    pub fn start_all(ports: &[u16], interval: Duration, folder: Option<&Path>) -> Referee {
        let watch = Watch { evidence: folder.map(Evidence::create), ..Watch::default() };
        let watch = Arc::new(Mutex::new(watch));
        let start = |port: &u16| {
            let (stop, stopped) = channel();
            let (port, own) = (*port, Arc::clone(&watch));
            (stop, std::thread::spawn(move || scrape(port, interval, &stopped, &own)))
        };
        Referee { threads: ports.iter().map(start).collect(), watch }
    }

    /// Waits until it has looked at what is shown now.
    pub fn wait_look(&self) {
        let n_good = || lock(&self.watch).report.good;
        let before = n_good();
        wait_for("the referee has looked at the page", || n_good() >= before + LOOK_PAGES);
    }

    /// Scrapes once more and stops.
    ///
    /// # Errors
    /// The faults, as sentences.
    pub fn finish(self) -> Result<Report, Vec<String>> {
        let (report, faults, _) = self.findings();
        if faults.is_empty() { Ok(report) } else { Err(faults) }
    }

    /// The same with the faults, as sentences, and the versions of the good pages in the order of
    /// their scrapes.
    pub fn findings(self) -> (Report, Vec<String>, Vec<Version>) {
        for (stop, _) in &self.threads {
            stop.send(()).expect("the thread runs until it is told to stop");
        }
        for (_, thread) in self.threads {
            thread.join().expect("the thread does not panic");
        }
        let watch = std::mem::take(&mut *lock(&self.watch));
        (watch.report, watch.faults, watch.versions)
    }
}

fn lock(watch: &Mutex<Watch>) -> MutexGuard<'_, Watch> {
    watch.lock().unwrap_or_else(PoisonError::into_inner)
}

fn scrape(port: u16, interval: Duration, stopped: &Receiver<()>, watch: &Mutex<Watch>) {
    loop {
        let is_last = stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout);
        let began = Instant::now();
        let path = "/metrics?section=business";
        let answer = get_within(SCRAPE_TIMEOUT, port, path, &[SCRAPE_HEADER]);
        lock(watch).answer(port, began, answer);
        if is_last {
            return;
        }
    }
}

/// What is kept for a reader.
#[derive(Debug)]
struct Evidence {
    folder: PathBuf,
    log: File,
    began: Instant,
    /// The good page before.
    before: String,
}

impl Evidence {
    fn create(folder: &Path) -> Evidence {
        let log = File::create(folder.join("scrapes.log")).expect("a log of scrapes");
        let (folder, began, before) = (folder.to_owned(), Instant::now(), String::new());
        Evidence { folder, log, began, before }
    }

    fn line(&mut self, port: u16, began: Instant, what: &str) {
        let at = began.saturating_duration_since(self.began).as_secs_f64();
        let took = began.elapsed().as_secs_f64();
        writeln!(self.log, "{at:9.3} s  port {port}  {took:6.3} s  {what}").expect("room for it");
    }

    fn page(&mut self, scrape: u64, body: &str, is_faulty: bool) {
        if is_faulty {
            for (name, text) in [("before", self.before.as_str()), ("faulty", body)] {
                let file = self.folder.join(format!("page-{scrape}-{name}.txt"));
                std::fs::write(file, text).expect("room for it");
            }
        }
        body.clone_into(&mut self.before);
    }
}

/// What was shown up to now.
#[derive(Debug, Default)]
struct Watch {
    report: Report,
    shown: BTreeMap<Series, i128>,
    /// When the scrape of the newest page began.
    newest: Option<Instant>,
    versions: Vec<Version>,
    faults: Vec<String>,
    evidence: Option<Evidence>,
}

impl Watch {
    fn answer(&mut self, port: u16, began: Instant, answer: Option<Answer>) {
        self.report.scrapes += 1;
        let n_faults = self.faults.len();
        let mut what = "no answer, or none that is whole".to_owned();
        match answer.filter(is_whole) {
            Some(answer) if answer.status == 200 && !answer.body.is_empty() => {
                match Page::parse(&answer.body) {
                    Ok(_) if self.newest.is_some_and(|newest| began < newest) => {
                        self.report.good += 1;
                        self.report.dropped += 1;
                        "a page, dropped: a later scrape was faster".clone_into(&mut what);
                    }
                    Ok(page) => {
                        self.report.good += 1;
                        self.newest = Some(began);
                        self.page(&page);
                        let (version, counted) = version_of(&page);
                        self.versions.push((version, counted));
                        what = format!("version {version}, {counted} events counted");
                    }
                    Err(error) => self.fault(error),
                }
                if let Some(evidence) = &mut self.evidence {
                    let is_faulty = self.faults.len() > n_faults;
                    evidence.page(self.report.scrapes, &answer.body, is_faulty);
                }
            }
            Some(answer) if ![200, 503].contains(&answer.status) => {
                self.fault(format!("answered {}: {}", answer.status, answer.body));
            }
            Some(answer) => {
                self.report.gaps += 1;
                what = format!("{} {}", answer.status, answer.body.trim());
            }
            None => self.report.gaps += 1,
        }
        if self.faults.len() > n_faults {
            what = format!("FAULT in scrape {}", self.report.scrapes);
        }
        if let Some(evidence) = &mut self.evidence {
            evidence.line(port, began, &what);
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

/// Version of the ledger that a page shows, and its sum of the events counted.
fn version_of(page: &Page) -> Version {
    let value = |name: &str, labels: &[(&str, &str)]| {
        page.samples.get(&Series::new(name, labels)).copied().unwrap_or(0) / MILLION
    };
    let counted = value("gatemeter_events_total", &[("class", "counted")]);
    (value("gatemeter_ledger_version", &[]), counted)
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
    watch.answer(1, Instant::now(), page(&format!("{head}a{{x=\"1\"}} 5\na{{x=\"2\"}} 5\ng 3\n")));
    watch.answer(1, Instant::now(), None);
    let mut cut = page(&format!("{head}a{{x=\"1\"}} 5\n")).expect("an answer");
    cut.body.truncate(cut.body.len() - 3);
    watch.answer(1, Instant::now(), Some(cut));
    let closed = Answer { status: 503, ..page("closed").expect("an answer") };
    watch.answer(1, Instant::now(), Some(closed));
    watch.answer(1, Instant::now(), page(&format!("{head}a{{x=\"1\"}} 5\na{{x=\"2\"}} 6\ng 2\n")));
    assert_eq!(watch.faults, Vec::<String>::new());
    assert_eq!(watch.report, Report { scrapes: 5, good: 2, gaps: 3, dropped: 0 });
    assert_eq!(watch.shown[&Series::new("a", &[("x", "2")])], 6 * MILLION);
    watch.answer(1, Instant::now(), page(&format!("{head}a{{x=\"1\"}} 4\n")));
    let expected = ["scrape 6: a{x=\"1\"} fell from 5 to 4", "scrape 6: a{x=\"2\"} vanished"];
    assert_eq!(watch.faults, expected);
}

#[test]
fn of_several_targets_the_order_in_which_scrapes_began_counts() {
    let mut watch = Watch::default();
    let (early, late) = (Instant::now(), Instant::now() + Duration::from_millis(1));
    let of = |n: u32| page(&format!("# TYPE a counter\na {n}\n"));
    watch.answer(1, late, of(5));
    // Prometheus has no place for a sample that is older than the newest.
    watch.answer(2, early, of(4));
    assert_eq!(watch.faults, Vec::<String>::new());
    assert_eq!(watch.report, Report { scrapes: 2, good: 2, gaps: 0, dropped: 1 });
    watch.answer(2, late + Duration::from_millis(1), of(4));
    assert_eq!(watch.faults, ["scrape 3: a fell from 5 to 4"]);
}
