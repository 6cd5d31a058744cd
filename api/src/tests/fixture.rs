//! The routes on a ledger in a temporary folder or on a MariaDB server, filled by commits.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use cache::{Cache, CacheOptions};
use event::{ErrorType, Method, Outcome, ServiceTier, UsageSource};
use http::{HeaderMap, Request, StatusCode};
use jiff::tz::TimeZone;
use ledger::commit::{
    Commit, CommitId, CommitRows, DeadLetter, Outcome as Ended, Owner, Part, Progress, RangeSums,
};
use ledger::consumer::{ConsumerLabels, ConsumerSums};
use ledger::histogram::{duration_bucket, tpot_bucket, ttft_bucket};
use ledger::measures::Measures;
use ledger::series::{FullLabels, SeriesId};
use ledger::window::{MINUTE_US, QUARTER_US};
use serde_json::{Value, json};
use service::auth::Access;
use service::metrics::ProcessMetrics;
use service::shutdown::{Trigger, channel};
use service::status::Lag;
use store::{MysqlOptions, MysqlTls, Store};
use tower::ServiceExt as _;

use super::mariadb::Server;
use crate::context::{Dependency, Parts, Resend};

/// Identical attempts.
#[derive(Clone, Debug)]
pub struct Fact {
    pub at_us: i64,
    pub namespace: &'static str,
    pub upstream: &'static str,
    pub model: &'static str,
    pub status: u16,
    pub is_final: bool,
    pub n: i64,
    pub input: i64,
    pub output: i64,
    pub duration_us: i64,
    /// Time to first token, if it was reported.
    pub ttft_us: Option<i64>,
    pub source: UsageSource,
    pub consumer: Option<&'static str>,
    pub endpoint: &'static str,
    pub cost_nano: i64,
    /// Error type that the producer reported.
    pub error_type: Option<ErrorType>,
}

impl Fact {
    /// Successful requests of 100 input and 20 output tokens that took 800 ms each.
    pub fn new(at_us: i64, namespace: &'static str, n: i64) -> Fact {
        let (input, output, duration_us) = (100 * n, 20 * n, 800_000);
        let (status, is_final, source) = (200, true, UsageSource::Reported);
        let (consumer, error_type) = (None, None);
        Fact {
            at_us,
            namespace,
            upstream: "openai",
            model: "gpt-4o",
            status,
            is_final,
            n,
            input,
            output,
            duration_us,
            ttft_us: None,
            source,
            consumer,
            endpoint: "/v1/chat/completions",
            cost_nano: 0,
            error_type,
        }
    }

    fn labels(&self) -> FullLabels {
        FullLabels {
            namespace: self.namespace.into(),
            upstream: self.upstream.into(),
            model: self.model.into(),
            method: Method::Post,
            endpoint: self.endpoint.into(),
            status: self.status,
            outcome: Outcome::of(self.status, self.error_type),
            service_tier: ServiceTier::Standard,
            source: self.source,
            is_final: self.is_final,
            limited_by: None,
        }
    }

    /// The consumer row of these attempts.
    fn used(&self) -> (SeriesId, ConsumerLabels, ConsumerSums) {
        let full = self.labels();
        let labels = event::Labels { consumer: self.consumer, ..full.labels() };
        let mut bytes = Vec::new();
        ConsumerLabels::encode(&labels, &mut bytes);
        let requests = if self.is_final { self.n } else { 0 };
        let Measures { tokens, cost_nano, .. } = self.measures();
        let sums = ConsumerSums { requests, tokens, cost_nano };
        (ConsumerLabels::id_of(&bytes), ConsumerLabels::of(&labels), sums)
    }

    fn measures(&self) -> Measures {
        let mut sums = Measures { n: self.n, ..Measures::default() };
        sums.duration_us = self.n * self.duration_us;
        sums.duration[duration_bucket(self.duration_us.cast_unsigned())] = self.n;
        if let Some(ttft_us) = self.ttft_us {
            sums.ttft_us = self.n * ttft_us;
            sums.ttft[ttft_bucket(ttft_us.cast_unsigned())] = self.n;
            let n_followed = self.output / self.n - 1;
            if n_followed > 0 && ttft_us <= self.duration_us {
                let tpot_us = (self.duration_us - ttft_us) / n_followed;
                sums.tpot_us = self.n * tpot_us;
                sums.tpot[tpot_bucket(tpot_us.cast_unsigned())] = self.n;
            }
        }
        sums.tokens = [self.input, 0, 0, self.output, 0];
        sums.cost_nano = self.cost_nano;
        sums
    }
}

pub struct Place {
    pub store: Arc<Store>,
    pub router: Router,
    /// Whether the ledger is known to be down.
    pub is_down: Arc<AtomicBool>,
    /// Frames that are not committed yet.
    pub lag_frames: Arc<AtomicU64>,
    parts: Parts,
    trigger: Trigger,
    owner: Owner,
    progress: Progress,
    _ledger: Ledger,
}

/// What holds the ledger, and removes it when dropped.
#[expect(dead_code, reason = "only dropped")]
enum Ledger {
    File(tempfile::TempDir),
    Server(Arc<Server>),
}

fn cache() -> Cache {
    let options = CacheOptions { bytes_max: 1 << 20, ..CacheOptions::default() };
    Cache::new(&options).expect("there is no URL to be wrong")
}

fn router(parts: Parts) -> Router {
    let metrics = ProcessMetrics::new("api", "1.2.3").expect("a new registry");
    crate::router(parts, Arc::new(metrics)).expect("names are free")
}

impl Place {
    pub async fn open() -> Place {
        Place::guarded(Access::Dev, None).await
    }

    pub async fn guarded(access: Access, fault: Option<&'static str>) -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).await.expect("a store");
        Place::on(store, Ledger::File(folder), access, fault).await
    }

    /// One whose ledger is a database on the MariaDB server that all tests share.
    pub async fn on_server() -> Place {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let sql = format!(
            "CREATE DATABASE {name}; CREATE USER {name} IDENTIFIED BY 'secret'; \
             GRANT ALL ON {name}.* TO {name}"
        );
        let start = || {
            let server = Server::shared();
            server.sql(&sql);
            server
        };
        let server = tokio::task::block_in_place(start);
        let options = MysqlOptions {
            host: "localhost".to_owned(),
            port: 1,
            socket: Some(server.socket()),
            user: name.clone(),
            password: Some("secret".to_owned()),
            database: name,
            tls: MysqlTls::Preferred,
            ca_file: None,
            writers_max: 4,
            readers_max: 4,
            connect_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(20),
            lock_timeout: Duration::from_secs(10),
        };
        let store = Store::open_mysql(&options).await.expect("a store");
        Place::on(store, Ledger::Server(server), Access::Dev, None).await
    }

    async fn on(
        store: Store,
        ledger: Ledger,
        access: Access,
        fault: Option<&'static str>,
    ) -> Place {
        let store = Arc::new(store);
        let claim = store.claim(1, 0, [7; 16], 2).await.expect("a claim");
        let lag_frames = Arc::new(AtomicU64::new(3));
        let frames = Arc::clone(&lag_frames);
        let is_down = Arc::new(AtomicBool::new(false));
        let down = Arc::clone(&is_down);
        let (trigger, shutdown) = channel();
        let parts = Parts {
            store: Arc::clone(&store),
            access,
            lag: Arc::new(move || {
                let frames = frames.load(Ordering::Relaxed);
                vec![Lag { frames, commit_age_us: 1_500_000, ..Lag::default() }]
            }),
            dependencies: Arc::new(move || {
                let fault =
                    if down.load(Ordering::Relaxed) { Some("does not answer") } else { fault };
                vec![Dependency { name: "ledger", fault }]
            }),
            timezone: TimeZone::UTC,
            version: "1.2.3",
            cache: Arc::new(cache()),
            live: Arc::new(|| None),
            resend: None,
            shutdown,
        };
        let router = router(parts.clone());
        let (owner, progress) = (claim.owner, claim.progress);
        Place {
            store,
            router,
            is_down,
            lag_frames,
            parts,
            trigger,
            owner,
            progress,
            _ledger: ledger,
        }
    }

    /// Another ledger, restored from a backup, behind the cache of this one.
    pub async fn restored(&self, backup: &Path) -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let restored = store::backup::restore_to_directory(backup, folder.path(), &|_| {}).await;
        restored.expect("restored");
        let store = Store::open(folder.path()).await.expect("a store");
        let place = Place::on(store, Ledger::File(folder), Access::Dev, None).await;
        let parts = Parts { cache: Arc::clone(&self.parts.cache), ..place.parts.clone() };
        Place { router: router(parts.clone()), parts, ..place }
    }

    /// A second API on the same ledger. It shares cache and messages with this one, as through
    /// Redis, or has its own.
    pub fn beside(&self, is_shared: bool) -> Router {
        let own = Arc::new(cache());
        let cache = if is_shared { Arc::clone(&self.parts.cache) } else { own };
        router(Parts { cache, ..self.parts.clone() })
    }

    /// An API on the same ledger that has this way to ingest.
    pub fn with_resend(&self, resend: Resend) -> Router {
        router(Parts { resend: Some(resend), ..self.parts.clone() })
    }

    /// Ends streams, as shutdown does.
    pub fn end(&self) {
        self.trigger.drain();
    }

    /// Commits dead letters and nothing else.
    pub async fn commit_letters(&mut self, letters: Vec<DeadLetter>) {
        let base = self.progress.next;
        self.progress.next += 1;
        self.progress.clock_us = Some(1);
        let mut id = self.owner.nonce;
        id[8..].copy_from_slice(&self.progress.next.to_le_bytes());
        let part = Part { letters, ..Part::without_rows(self.owner, base, self.progress) };
        let commit = Commit::of(CommitId(id), vec![Arc::new(part)]);
        let (ended, error) = self.store.commit(Arc::new(commit)).await;
        assert!(matches!(ended, Ended::Committed { .. }), "{ended:?}: {error:?}");
    }

    /// Creates the namespaces of facts and commits them as the aggregator would.
    pub async fn commit(&mut self, facts: &[Fact]) {
        for fact in facts {
            let made = self.store.create_namespace(fact.namespace, fact.namespace).await;
            assert!(matches!(made, Ok(_) | Err(store::StoreError::Exists(_))), "{made:?}");
        }
        let mut totals: BTreeMap<_, (FullLabels, Measures)> = BTreeMap::new();
        let (mut quarters, mut minutes) = (BTreeMap::new(), BTreeMap::new());
        let mut shorts = BTreeMap::new();
        let (mut consumers, mut used) = (BTreeMap::new(), BTreeMap::new());
        for fact in facts {
            let (labels, sums) = (fact.labels(), fact.measures());
            let short = labels.short();
            let (id, short_id) = (labels.id(), short.id());
            shorts.insert(short_id, short);
            let total = totals.entry(id).or_insert((labels, Measures::default()));
            total.1.add(&sums).expect("small");
            let quarter = (fact.at_us.div_euclid(QUARTER_US), id);
            quarters.entry(quarter).or_insert_with(Measures::default).add(&sums).expect("small");
            let (consumer_id, consumer, more) = fact.used();
            consumers.insert(consumer_id, consumer);
            let place = (fact.at_us.div_euclid(QUARTER_US), consumer_id);
            used.entry(place).or_insert_with(ConsumerSums::default).add(&more).expect("small");
            let minute = (fact.at_us.div_euclid(MINUTE_US), short_id);
            minutes.entry(minute).or_insert_with(Measures::default).add(&sums).expect("small");
        }
        let base = self.progress.next;
        let counted: i64 = facts.iter().map(|fact| fact.n).sum();
        self.progress.next += 1;
        self.progress.clock_us = Some(1);
        self.progress.account.events += counted;
        self.progress.account.counted += counted;
        let mut id = self.owner.nonce;
        id[8..].copy_from_slice(&self.progress.next.to_le_bytes());
        let rows = CommitRows {
            totals: totals
                .into_iter()
                .map(|(id, (labels, sums))| (id, Arc::new(labels), sums))
                .collect(),
            quarters: quarters.into_iter().map(|((at, id), sums)| (at, id, sums)).collect(),
            shorts: shorts.into_iter().map(|(id, labels)| (id, Arc::new(labels))).collect(),
            minutes: minutes.into_iter().map(|((at, id), sums)| (at, id, sums)).collect(),
            consumers: consumers.into_iter().map(|(id, labels)| (id, Arc::new(labels))).collect(),
            used: used.into_iter().map(|((at, id), sums)| (at, id, sums)).collect(),
        };
        let part = Part {
            rows: Arc::new(rows),
            sums: RangeSums { events: counted, counted, ..RangeSums::default() },
            ..Part::without_rows(self.owner, base, self.progress)
        };
        let commit = Commit::of(CommitId(id), vec![Arc::new(part)]);
        let (ended, error) = self.store.commit(Arc::new(commit)).await;
        assert!(matches!(ended, Ended::Committed { .. }), "{ended:?}: {error:?}");
    }

    /// Status, headers and envelope of an answer.
    pub async fn ask(&self, request: Request<Body>) -> (StatusCode, HeaderMap, Value) {
        let response = self.router.clone().oneshot(request).await.expect("routers do not fail");
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 16 << 20).await.expect("a body");
        let value = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| json!({"text": String::from_utf8_lossy(&bytes)}));
        (parts.status, parts.headers, value)
    }

    /// `data` of a 200.
    pub async fn get(&self, path: &str) -> Value {
        let (status, _, mut value) = self.ask(get(path)).await;
        assert_eq!(status, StatusCode::OK, "{path}: {value}");
        value["data"].take()
    }

    /// Status and message of an error.
    pub async fn refused(&self, path: &str) -> (u16, String) {
        let (status, _, value) = self.ask(get(path)).await;
        assert_eq!(value["data"], Value::Null, "{path}");
        (status.as_u16(), value["message"].as_str().expect("a message").to_owned())
    }
}

pub fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).expect("a request")
}

pub fn change(method: &str, path: &str, body: &Value) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("content-type", "application/json");
    request.body(Body::from(body.to_string())).expect("a request")
}

/// Sum of the numbers of a dataset.
pub fn sum(dataset: &Value) -> i64 {
    let data = dataset["data"].as_array().expect("numbers");
    data.iter().map(|n| n.as_i64().expect("a whole number")).sum()
}
