//! Kafka, MySQL and Redis, opened as the settings say.
//!
//! A start retries without a time limit while a service is away, and its port answers what it waits
//! for: in a stack that starts all at once the database is often the last to be up, and after an
//! outage nobody has to restart a role. An error in the settings ends the start at once.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use cache::{Cache, CacheOptions};
use queue::{
    KafkaOptions, KafkaPassword, KafkaProtocol, KafkaSasl, KafkaSecurity, Queue, QueueError,
    QueueReader, RawReader,
};
use service::chain;
use service::config::{
    self, KafkaSettings, MysqlSettings, MysqlTlsMode, RawTopic, Settings, Sources, load,
};
use service::health::Reason;
use service::opening::Opening;
use store::plain::PlainStore;
use store::{Generation, MysqlOptions, MysqlTls, Store, StoreError};
use tracing::warn;

/// Pause between two attempts.
const TRY_EVERY: Duration = Duration::from_millis(500);

/// Options of the log.
///
/// # Errors
/// The security protocol needs a password and there is none.
pub fn kafka_options(settings: &Settings) -> anyhow::Result<KafkaOptions> {
    let kafka = &settings.kafka;
    let retention_days = i64::from(settings.queue.retention_days);
    Ok(KafkaOptions {
        brokers: kafka.brokers.clone(),
        generation: kafka.generation,
        partitions: kafka.partitions,
        replication_factor: kafka.replication_factor,
        retention_us: retention_days * 24 * 3_600 * 1_000_000,
        security: security(kafka)?,
    })
}

/// Options of the log from this settings file, or from the settings of the process without one.
///
/// # Errors
/// The settings are wrong, or as `kafka_options`.
pub fn kafka_from_settings(file: Option<PathBuf>) -> anyhow::Result<KafkaOptions> {
    kafka_options(&load(&Sources::of_process(file, Vec::new()))?)
}

fn security(kafka: &KafkaSettings) -> anyhow::Result<KafkaSecurity> {
    let (protocol, wants_password) = match kafka.security_protocol {
        config::KafkaProtocol::Plaintext => (KafkaProtocol::Plaintext, false),
        config::KafkaProtocol::Ssl => (KafkaProtocol::Ssl, false),
        config::KafkaProtocol::SaslPlaintext => (KafkaProtocol::SaslPlaintext, true),
        config::KafkaProtocol::SaslSsl => (KafkaProtocol::SaslSsl, true),
    };
    let sasl = match wants_password {
        false => None,
        true => Some(KafkaSasl {
            mechanism: kafka.sasl_mechanism.clone(),
            username: kafka.sasl_username.clone(),
            password: KafkaPassword::new(kafka.sasl_password()?.unwrap_or_default()),
        }),
    };
    Ok(KafkaSecurity {
        protocol,
        ca_file: kafka.ssl_ca_file.clone(),
        certificate_file: kafka.ssl_certificate_file.clone(),
        key_file: kafka.ssl_key_file.clone(),
        sasl,
    })
}

/// Options of the ledger.
///
/// # Errors
/// The file of the password cannot be read.
pub fn mysql_options(mysql: &MysqlSettings) -> anyhow::Result<MysqlOptions> {
    Ok(MysqlOptions {
        host: mysql.host.clone(),
        port: mysql.port,
        socket: mysql.socket.clone(),
        user: mysql.user.clone(),
        password: mysql.password()?,
        database: mysql.database.clone(),
        tls: match mysql.tls {
            MysqlTlsMode::Disabled => MysqlTls::Disabled,
            MysqlTlsMode::Preferred => MysqlTls::Preferred,
            MysqlTlsMode::Required => MysqlTls::Required,
            MysqlTlsMode::VerifyCa => MysqlTls::VerifyCa,
            MysqlTlsMode::VerifyIdentity => MysqlTls::VerifyIdentity,
        },
        ca_file: mysql.ca_file.clone(),
        writers_max: mysql.writers_max,
        readers_max: mysql.readers_max,
        connect_timeout: mysql.connect_timeout(),
        statement_timeout: mysql.statement_timeout(),
        lock_timeout: mysql.lock_timeout(),
    })
}

/// Opens the ledger and creates its tables if they are missing.
///
/// # Errors
/// It has another format, or the server refuses the user.
pub async fn ledger(settings: &Settings, opening: &Opening) -> anyhow::Result<Store> {
    let options = mysql_options(&settings.mysql)?;
    let place = format!("{}:{}", options.host, options.port);
    let open = || Store::open_mysql(&options);
    let waits = |why: &str| opening.wait_for(format!("the ledger at {place} {why}"));
    let opened = wait_for(waits, open, |error: &StoreError| {
        matches!(error, StoreError::Format { .. } | StoreError::Database { .. })
    })
    .await;
    opened.with_context(|| format!("the ledger at {place} cannot be opened"))
}

/// Opens the log for appends.
///
/// # Errors
/// The topic does not match the settings.
pub async fn log_to_write(settings: &Settings, opening: &Opening) -> anyhow::Result<Queue> {
    let options = kafka_options(settings)?;
    let open = || Queue::open_kafka_producer(&options);
    let opened = wait_for(log_waits(&options, opening), open, is_final).await;
    opened.with_context(|| format!("the log at {} cannot be opened", options.brokers))
}

/// Opens the log as a consumer that counts it.
///
/// # Errors
/// As `log_to_write`.
pub async fn log_to_count(settings: &Settings, opening: &Opening) -> anyhow::Result<Queue> {
    let options = kafka_options(settings)?;
    let open = || Queue::open_kafka_consumer(&options);
    let opened = wait_for(log_waits(&options, opening), open, is_final).await;
    opened.with_context(|| format!("the log at {} cannot be opened", options.brokers))
}

/// Opens a reader of raw topics.
///
/// # Errors
/// As `log_to_write`.
pub async fn raw_topics(
    settings: &Settings,
    topics: &[RawTopic],
    reason: &Reason,
) -> anyhow::Result<RawReader> {
    let options = kafka_options(settings)?;
    let names: Vec<String> = topics.iter().map(|topic| topic.topic.clone()).collect();
    let open = || RawReader::open(&options, &settings.kafka.raw_group, names.clone());
    let waits =
        |why: &str| reason.set(Some(format!("the raw topics at {} {why}", options.brokers)));
    let opened = wait_for(waits, open, is_final).await;
    reason
        .set(opened.as_ref().err().map(|error| format!("the raw topics cannot be read: {error}")));
    opened.with_context(|| format!("the raw topics at {} cannot be read", options.brokers))
}

/// Opens the log read-only.
///
/// # Errors
/// As `log_to_write`, and if there is no topic yet.
pub async fn log_to_read(settings: &Settings) -> anyhow::Result<QueueReader> {
    let options = kafka_options(settings)?;
    let opened = Queue::open_kafka_read_only(&options).await;
    opened.with_context(|| format!("the log at {} cannot be opened", options.brokers))
}

/// Opens log and ledger read-only, with this settings file, or the settings of the process without
/// one.
///
/// # Errors
/// As `log_to_read`, and if there is no ledger yet.
pub async fn cluster_to_read(file: Option<PathBuf>) -> anyhow::Result<(QueueReader, PlainStore)> {
    let settings = load(&Sources::of_process(file, Vec::new()))?;
    let store = Store::open_mysql_read_only(&mysql_options(&settings.mysql)?).await?;
    Ok((log_to_read(&settings).await?, store.into()))
}

/// The cache of answers, shared through Redis if one is configured.
///
/// # Errors
/// The settings of Redis are wrong. Redis itself may be away.
pub fn cache(settings: &Settings) -> anyhow::Result<Cache> {
    let redis = &settings.redis;
    let has_redis = !redis.url.is_empty();
    Ok(Cache::new(&CacheOptions {
        bytes_max: redis.own_bytes_max,
        url: has_redis.then(|| redis.url.clone()),
        password: if has_redis { redis.password()? } else { None },
    })?)
}

/// The generation of the log, created by whichever role starts first. A new topic may not have its
/// leaders yet.
///
/// # Errors
/// The ledger does not answer, or has the log with another number of partitions.
pub async fn generation(
    settings: &Settings,
    store: &Store,
    opening: &Opening,
) -> anyhow::Result<Generation> {
    let kafka = &settings.kafka;
    let known = async || Ok(store.known_generation(kafka.generation).await?);
    if patiently(opening, known).await?.is_none() {
        let options = kafka_options(settings)?;
        let look = || async {
            let log = Queue::open_kafka_read_only(&options).await?;
            let mut high = 0;
            for partition in 0..log.partitions() {
                high = log.watermarks(partition).await?.high.max(high);
            }
            log.close().await;
            Ok::<u64, QueueError>(high)
        };
        let high = wait_for(log_waits(&options, opening), look, is_final).await?;
        refuse_foreign_log(high, kafka.generation)?;
    }
    patiently(opening, async || Ok(store.generation(kafka.generation, kafka.partitions).await?))
        .await
}

/// Refuses a log that has frames while the ledger does not know its generation. A new secret would
/// give every id another key, so that a retry of a counted event would count again.
///
/// # Errors
/// `high`, the end of the log, is not 0.
pub fn refuse_foreign_log(high: u64, generation: u32) -> anyhow::Result<()> {
    anyhow::ensure!(
        high == 0,
        "the log holds {high} frames, but the ledger does not know generation {generation} of it: \
         the ledger was lost or is another one. Put the right one back, or start with an empty log"
    );
    Ok(())
}

/// Whether a retry cannot succeed.
fn is_final(error: &QueueError) -> bool {
    matches!(error, QueueError::TopicSetting { .. } | QueueError::KafkaSetting { .. })
}

/// Asks the ledger again while it fails for a moment.
///
/// # Errors
/// It is another one than is needed, or something else failed.
pub async fn patiently<T>(
    opening: &Opening,
    ask: impl AsyncFn() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    loop {
        let error = match ask().await {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        if error.downcast_ref::<StoreError>().is_none_or(is_final_of_ledger) {
            return Err(error);
        }
        opening.wait_for("the ledger does not answer".to_owned());
        warn!(error = format!("{error:#}"), "waiting for a service");
        tokio::time::sleep(TRY_EVERY).await;
    }
}

/// Whether the ledger is another one than is needed. One that fails for a moment is asked again.
fn is_final_of_ledger(error: &StoreError) -> bool {
    use StoreError::{Database, Format, Newer, Partitions, ReadOnly};
    let is_other = matches!(error, Format { .. } | Database { .. } | Newer { .. });
    is_other || matches!(error, Partitions { .. } | ReadOnly) || error.is_fatal()
}

/// Shows on the port why the log is being waited for.
fn log_waits(options: &KafkaOptions, opening: &Opening) -> impl Fn(&str) {
    move |why| opening.wait_for(format!("the log at {} {why}", options.brokers))
}

/// Retries until `open` succeeds or fails for good. Dropped at shutdown.
async fn wait_for<T, E, F, Fut>(
    waits: impl Fn(&str),
    mut open: F,
    is_final: impl Fn(&E) -> bool,
) -> Result<T, E>
where
    E: std::error::Error + 'static,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let mut logged = String::new();
    waits("is being opened");
    loop {
        let error = match open().await {
            Ok(opened) => return Ok(opened),
            Err(error) if is_final(&error) => return Err(error),
            Err(error) => error,
        };
        // The port is open to anybody: the causes go to the log alone.
        waits(&format!("cannot be opened: {error}"));
        let error = chain(&error);
        if logged != error {
            warn!(error, "waiting for a service");
            logged = error;
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
}
