//! The stack with what the faults need to know of it: names, ports, who is hit already, who shows
//! the counters, and a log of what was done.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::beside::Role;
use crate::gatemeter::{free_ports, get_within, sum};
use crate::stack::Stack;
use crate::stop;

/// Longest wait for an answer of a process that may be stopped.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Longest wait for the brokers to say who leads.
const LEADER_MAX: Duration = Duration::from_secs(3);
/// The topic that is counted.
const TOPIC: &str = "gatemeter.events.g1";

/// The stack under faults.
pub struct Ground<'a> {
    pub stack: &'a Stack,
    pub brokers: u16,
    /// Names of the aggregators, by number.
    pub aggregators: Vec<String>,
    /// The second ingest, which is no service of the stack, and its port.
    second: Mutex<Option<Role>>,
    pub second_port: u16,
    busy: Mutex<BTreeSet<String>>,
    /// What was broken without having been hit.
    breaches: Mutex<Vec<String>>,
    log: Mutex<File>,
    began: Instant,
}

impl<'a> Ground<'a> {
    pub fn new(
        stack: &'a Stack,
        aggregators: u16,
        brokers: u16,
        folder: &Path,
    ) -> anyhow::Result<Ground<'a>> {
        let [second_port, ..] = free_ports();
        let ground = Ground {
            stack,
            brokers,
            aggregators: (1..=aggregators).map(|number| numbered("aggregator", number)).collect(),
            second: Mutex::new(None),
            second_port,
            busy: Mutex::default(),
            breaches: Mutex::default(),
            log: Mutex::new(File::create(folder.join("faults.log"))?),
            began: Instant::now(),
        };
        ground.start_ingest(2);
        Ok(ground)
    }

    /// Addresses of both ingests.
    pub fn ingests(&self) -> [String; 2] {
        [self.stack.url("ingest"), format!("http://127.0.0.1:{}", self.second_port)]
    }

    /// The clock of the log begins now.
    pub fn begin(&mut self) -> Instant {
        self.began = Instant::now();
        self.began
    }

    /// Says what was done or found, with its time, and writes it down.
    pub fn note(&self, words: &str) {
        println!("{}", self.write(words));
    }

    /// Only writes it down.
    pub fn write(&self, words: &str) -> String {
        let line = format!("{:7.1} s  {words}", self.began.elapsed().as_secs_f64());
        writeln!(locked(&self.log), "{line}").expect("room for it");
        line
    }

    /// Notes something that must not be.
    pub fn breach(&self, words: String) {
        self.note(&format!("BREACH: {words}"));
        locked(&self.breaches).push(words);
    }

    pub fn breaches(&self) -> Vec<String> {
        locked(&self.breaches).clone()
    }

    /// Takes a service for one fault; nothing if another fault has it.
    pub fn take(&self, name: &str) -> Option<Taken<'_>> {
        let is_free = locked(&self.busy).insert(name.to_owned());
        is_free.then(|| Taken { busy: &self.busy, name: name.to_owned() })
    }

    /// The aggregator that shows the counters, if one does.
    pub fn publisher(&self) -> Option<String> {
        let shows = |name: &&String| {
            let busy = locked(&self.busy).contains(*name);
            !busy && self.page(name).is_some_and(|page| !page.is_empty())
        };
        self.aggregators.iter().find(shows).cloned()
    }

    /// The same, once one does; nothing if none does in time.
    pub fn wait_publisher(&self, longest: Duration) -> Option<String> {
        let mut found = None;
        let end = Instant::now() + longest;
        let _: Result<bool, stop::Interrupted> = stop::by(end, || {
            found = self.publisher();
            found.is_some()
        });
        found
    }

    /// The business section of an aggregator, which is empty if another one is the publisher.
    pub fn page(&self, name: &str) -> Option<String> {
        let path = "/metrics?section=business";
        let answer = get_within(ANSWER_MAX, self.stack.port(name), path, &[])?;
        (answer.status == 200).then_some(answer.body)
    }

    /// Frames of the log that are not counted, if the aggregator says so.
    pub fn lag(&self, name: &str) -> Option<i64> {
        let path = "/metrics?section=process";
        let answer = get_within(ANSWER_MAX, self.stack.port(name), path, &[])?;
        let is_told = answer.status == 200 && answer.body.contains("\ngatemeter_lag_frames{");
        is_told.then(|| sum(&answer.body, "gatemeter_lag_frames{"))
    }

    pub fn is_ready(&self, name: &str) -> bool {
        get_within(ANSWER_MAX, self.stack.port(name), "/readyz", &[])
            .is_some_and(|answer| answer.status == 200)
    }

    /// The broker that leads a partition, as the brokers say.
    pub fn leader(&self, partition: u16) -> Option<String> {
        let addresses = (1..=self.brokers)
            .map(|number| format!("127.0.0.1:{}", self.stack.port(&numbered("kafka", number))));
        let addresses: Vec<String> = addresses.collect();
        let client = ClientConfig::new().set("bootstrap.servers", addresses.join(",")).create();
        let client: BaseConsumer = client.ok()?;
        let metadata = client.fetch_metadata(Some(TOPIC), LEADER_MAX).ok()?;
        let partitions = metadata.topics().first()?.partitions();
        let partition = partitions.iter().find(|one| one.id() == i32::from(partition))?;
        Some(numbered("kafka", u16::try_from(partition.leader()).ok()?))
    }

    /// Whether the process that was last started for a service runs.
    pub fn is_alive(&self, name: &str) -> bool {
        let run = std::fs::read_to_string(self.stack.dir().join("run").join(name));
        let Some((pid, since)) = run.as_ref().ok().and_then(|run| run.trim().split_once(' '))
        else {
            return false;
        };
        let stat = std::fs::read_to_string(PathBuf::from("/proc").join(pid).join("stat"));
        let stat = stat.unwrap_or_default();
        let Some((_, rest)) = stat.rsplit_once(") ") else { return false };
        let fields: Vec<&str> = rest.split(' ').collect();
        // A number that was given to another process since has another start time.
        !["Z", "X"].contains(&fields[0]) && fields.get(19) == Some(&since)
    }

    /// Starts a service that has ended, and does not wait until it is ready.
    pub fn start(&self, name: &str) {
        let output = self.stack.script(&["start", name]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name} does not start: {said}");
    }

    /// Sends a signal to a service that runs; whether it did.
    pub fn signal(&self, name: &str, signal: &str) -> bool {
        if !self.is_alive(name) {
            self.breach(format!("{name} had ended by itself"));
            return false;
        }
        let mut kill = Command::new("kill");
        kill.arg(format!("-{signal}")).arg(self.stack.pid(name).to_string());
        kill.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    /// `kill -9` of a service, which is gone afterwards.
    pub fn kill(&self, name: &str) {
        if self.signal(name, "KILL") {
            self.stack.wait_gone(name);
        }
    }

    pub fn kill_ingest(&self, number: u16) {
        if number == 1 {
            self.kill("ingest");
            return;
        }
        if let Some(mut role) = locked(&self.second).take()
            && let Ok(Some(status)) = role.0.try_wait()
        {
            self.breach(format!("ingest-2 had ended by itself: {status}"));
        }
    }

    pub fn start_ingest(&self, number: u16) {
        if number == 1 {
            self.start("ingest");
        } else {
            let role = self.stack.role("ingest", self.second_port, "ingest-2", &[]);
            *locked(&self.second) = Some(role);
        }
    }

    /// Nobody may have ended without having been hit.
    pub fn look_for_the_dead(&self) {
        let brokers = (1..=self.brokers).map(|number| numbered("kafka", number));
        let others = ["mysql", "redis", "api", "ingest", "prometheus"].map(str::to_owned);
        for name in self.aggregators.iter().cloned().chain(brokers).chain(others) {
            if !self.is_alive(&name) {
                self.breach(format!("{name} has ended by itself"));
            }
        }
        if let Some(role) = locked(&self.second).as_mut()
            && let Ok(Some(status)) = role.0.try_wait()
        {
            self.breach(format!("ingest-2 has ended by itself: {status}"));
        }
    }
}

/// A service that one fault has.
pub struct Taken<'a> {
    busy: &'a Mutex<BTreeSet<String>>,
    pub name: String,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        locked(self.busy).remove(&self.name);
    }
}

/// Name of a service by its number among those of its kind.
pub fn numbered(kind: &str, number: u16) -> String {
    match number {
        1 => kind.to_owned(),
        _ => format!("{kind}-{number}"),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
