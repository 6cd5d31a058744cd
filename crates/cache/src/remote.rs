//! Redis: values with a time to live, and messages by publish and subscribe.
//!
//! One connection carries values and messages out, another one brings messages in. A task checks
//! once a second whether Redis answers; while it does not, no call tries. Every wait is bounded,
//! and nothing that is lost here is lost for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::StreamExt as _;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands as _, Client, IntoConnectionInfo as _, RedisResult};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::limits::{ANSWER_MAX, CONNECT_MAX, KEPT_MAX, LOOK_EVERY, PUBLISH_WAITING_MAX};
use crate::{CacheError, Channel, Heard};

/// Prefix of all keys and channels; the number is the format of values.
const PREFIX: &str = "gatemeter:1:";
/// Reason that is reported while Redis is down.
const NO_ANSWER: &str = "does not answer";

/// A queued command for Redis.
enum Errand {
    Put(String, Bytes),
    Publish(Channel, Bytes),
}

/// The Redis of a process.
#[derive(Debug)]
pub(crate) struct Remote {
    connection: ConnectionManager,
    errands: mpsc::Sender<Errand>,
    is_up: Arc<AtomicBool>,
    /// Tasks that end with it.
    _tasks: JoinSet<()>,
}

impl std::fmt::Debug for Errand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Errand")
    }
}

impl Remote {
    pub(crate) fn new(
        url: &str,
        password: Option<&str>,
        heard: broadcast::Sender<Heard>,
    ) -> Result<Remote, CacheError> {
        let client = client(url, password).map_err(|error| CacheError::Url {
            reason: error.detail().unwrap_or("it cannot be read").to_owned(),
        })?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_MAX))
            .set_response_timeout(Some(ANSWER_MAX))
            .set_number_of_retries(0);
        let connection = client.get_connection_manager_lazy(config).map_err(|error| {
            CacheError::Url { reason: error.detail().unwrap_or("it cannot be used").to_owned() }
        })?;
        let is_up = Arc::new(AtomicBool::new(false));
        let (errands, waiting) = mpsc::channel(PUBLISH_WAITING_MAX);
        let mut tasks = JoinSet::new();
        tasks.spawn(watch(connection.clone(), Arc::clone(&is_up)));
        tasks.spawn(run_errands(connection.clone(), waiting, Arc::clone(&is_up)));
        tasks.spawn(listen(client, heard));
        Ok(Remote { connection, errands, is_up, _tasks: tasks })
    }

    pub(crate) async fn get(&self, key: &str) -> Option<Bytes> {
        if !self.is_up.load(Ordering::Relaxed) {
            return None;
        }
        let mut connection = self.connection.clone();
        let got = timeout(ANSWER_MAX, connection.get::<_, Option<Vec<u8>>>(name(key))).await;
        match got {
            Ok(Ok(value)) => value.map(Bytes::from),
            Ok(Err(error)) => {
                debug!(%error, "redis read failed");
                None
            }
            Err(_) => {
                // Skips the next calls; the watch detects when it is back.
                self.is_up.store(false, Ordering::Relaxed);
                None
            }
        }
    }

    pub(crate) fn put(&self, key: &str, value: Bytes) {
        if self.is_up.load(Ordering::Relaxed) {
            // Queue full: the value is cached again when it is next computed.
            let _ = self.errands.try_send(Errand::Put(name(key), value));
        }
    }

    pub(crate) fn publish(&self, channel: Channel, message: Bytes) {
        if self.is_up.load(Ordering::Relaxed) {
            // Queue full: a subscriber gets the next message, or polls by itself.
            let _ = self.errands.try_send(Errand::Publish(channel, message));
        }
    }

    pub(crate) fn fault(&self) -> Option<&'static str> {
        (!self.is_up.load(Ordering::Relaxed)).then_some(NO_ANSWER)
    }
}

/// A client for a URL. The password goes in by itself, so that no URL needs to hold it.
fn client(url: &str, password: Option<&str>) -> RedisResult<Client> {
    let mut info = url.into_connection_info()?;
    if let Some(password) = password {
        let settings = info.redis_settings().clone().set_password(password);
        info = info.set_redis_settings(settings);
    }
    Client::open(info)
}

fn name(key: &str) -> String {
    format!("{PREFIX}{key}")
}

fn topic(channel: Channel) -> String {
    name(match channel {
        Channel::Config => "config",
        Channel::Live => "live",
    })
}

/// Checks whether Redis answers, and logs each change once.
async fn watch(mut connection: ConnectionManager, is_up: Arc<AtomicBool>) {
    let mut has_told = false;
    loop {
        let limit = CONNECT_MAX + ANSWER_MAX;
        let ping = redis::cmd("PING");
        match timeout(limit, ping.query_async::<String>(&mut connection)).await {
            Ok(Ok(_)) => {
                if !is_up.swap(true, Ordering::Relaxed) {
                    info!("redis is reachable");
                }
                has_told = false;
            }
            failed => {
                is_up.store(false, Ordering::Relaxed);
                if !std::mem::replace(&mut has_told, true) {
                    let error = match failed {
                        Ok(Err(error)) => error.to_string(),
                        _ => "no answer in time".to_owned(),
                    };
                    warn!(error, "redis does not answer, continuing without it");
                }
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Sends queued values and messages, in order.
async fn run_errands(
    mut connection: ConnectionManager,
    mut errands: mpsc::Receiver<Errand>,
    is_up: Arc<AtomicBool>,
) {
    while let Some(errand) = errands.recv().await {
        let done = match errand {
            Errand::Put(key, value) => {
                let put = connection.set_ex::<_, _, ()>(key, &value[..], KEPT_MAX.as_secs());
                timeout(ANSWER_MAX, put).await
            }
            Errand::Publish(channel, message) => {
                let told = connection.publish::<_, _, ()>(topic(channel), &message[..]);
                timeout(ANSWER_MAX, told).await
            }
        };
        match done {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "redis write failed"),
            Err(_) => is_up.store(false, Ordering::Relaxed),
        }
    }
}

/// Receives messages for as long as the process lives.
async fn listen(client: Client, heard: broadcast::Sender<Heard>) {
    loop {
        if let Err(error) = hear(&client, &heard).await {
            debug!(%error, "redis subscription failed");
        }
        // Whatever was published while nobody listened is gone.
        let _ = heard.send(Heard::Gap);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn hear(client: &Client, heard: &broadcast::Sender<Heard>) -> RedisResult<()> {
    let Ok(connected) = timeout(CONNECT_MAX, client.get_async_pubsub()).await else {
        return Ok(());
    };
    let mut messages = connected?;
    for channel in [Channel::Config, Channel::Live] {
        messages.subscribe(topic(channel)).await?;
    }
    // Messages published before the subscription were missed.
    let _ = heard.send(Heard::Gap);
    let mut stream = messages.on_message();
    while let Some(message) = stream.next().await {
        let known = [Channel::Config, Channel::Live];
        let channel = known.into_iter().find(|known| topic(*known) == message.get_channel_name());
        if let Some(channel) = channel {
            let text = Bytes::copy_from_slice(message.get_payload_bytes());
            let _ = heard.send(Heard::Message(channel, text));
        }
    }
    Ok(())
}
