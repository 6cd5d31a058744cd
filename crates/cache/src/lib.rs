//! A cache of answers, and messages between processes: never a source of truth.
//!
//! Values are cached in the process, and in Redis if configured, so that processes share them and a
//! new process starts warm. The reader of a value decides whether it is still valid. Messages go to
//! every subscriber; a lost one must only cost time. While Redis is down, the cache works within
//! the process, and no call waits for it.

mod limits;
mod remote;
#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;
use moka::sync::Cache as Memory;
use tokio::sync::broadcast;

pub use limits::{KEPT_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX};

use limits::HEARD_WAITING_MAX;
use remote::Remote;

/// Where values are cached.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CacheOptions {
    /// Bytes of values within the process.
    pub bytes_max: u64,
    /// URL of Redis, such as `redis://127.0.0.1:6379/0`; `None` caches in the process only.
    pub url: Option<String>,
    /// Password of Redis, if it requires one.
    pub password: Option<String>,
}

impl fmt::Debug for CacheOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A URL may hold a password.
        let (bytes_max, has_url) = (self.bytes_max, self.url.is_some());
        f.debug_struct("CacheOptions")
            .field("bytes_max", &bytes_max)
            .field("redis", &has_url)
            .finish_non_exhaustive()
    }
}

/// Why a cache cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The URL of Redis cannot be read. It is not repeated: it may hold a password.
    #[error("redis.url is not a URL of Redis, such as redis://127.0.0.1:6379/0: {reason}")]
    Url {
        /// What is wrong.
        reason: String,
    },
}

/// Channel of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// The configuration has changed.
    Config,
    /// Totals of the ledger, about once a second.
    Live,
}

/// What a subscriber receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A message that was published on a channel.
    Message(Channel, Bytes),
    /// Messages may have been lost: Redis was down.
    Gap,
}

/// Values and messages.
#[derive(Debug)]
pub struct Cache {
    memory: Memory<String, Bytes>,
    remote: Option<Remote>,
    heard: broadcast::Sender<Heard>,
}

impl Cache {
    /// Makes a cache. With Redis it must be called within a tokio runtime, which runs its tasks
    /// until it is dropped; Redis need not be up.
    ///
    /// # Errors
    /// `Url`.
    pub fn new(options: &CacheOptions) -> Result<Cache, CacheError> {
        let memory = Memory::builder()
            .max_capacity(options.bytes_max)
            .weigher(|key: &String, value: &Bytes| {
                u32::try_from(key.len() + value.len()).unwrap_or(u32::MAX)
            })
            .time_to_live(KEPT_MAX)
            .build();
        let heard = broadcast::Sender::new(HEARD_WAITING_MAX);
        let remote = match &options.url {
            None => None,
            Some(url) => Some(Remote::new(url, options.password.as_deref(), heard.clone())?),
        };
        Ok(Cache { memory, remote, heard })
    }

    /// The value of this process.
    pub fn own(&self, key: &str) -> Option<Bytes> {
        self.memory.get(key)
    }

    /// The value on Redis; `None` if it is absent, without Redis, or after a timeout.
    pub async fn shared(&self, key: &str) -> Option<Bytes> {
        self.remote.as_ref()?.get(key).await
    }

    /// Caches a value of another process in this one.
    pub fn keep(&self, key: &str, value: Bytes) {
        if fits(key, &value) {
            self.memory.insert(key.to_owned(), value);
        }
    }

    /// Caches a value in the process and, without waiting, in Redis. A value that is too large is
    /// not cached.
    pub fn put(&self, key: &str, value: Bytes) {
        if !fits(key, &value) {
            return;
        }
        self.memory.insert(key.to_owned(), value.clone());
        if let Some(remote) = &self.remote {
            remote.put(key, value);
        }
    }

    /// Publishes a message to every subscriber, this process included. Never waits; if the queue is
    /// full, the message is dropped.
    pub fn publish(&self, channel: Channel, message: Bytes) {
        match &self.remote {
            Some(remote) => remote.publish(channel, message),
            None => {
                // There is no subscriber.
                let _ = self.heard.send(Heard::Message(channel, message));
            }
        }
    }

    /// Subscribes to messages from now on.
    pub fn listen(&self) -> broadcast::Receiver<Heard> {
        self.heard.subscribe()
    }

    /// Whether Redis is configured.
    pub fn has_redis(&self) -> bool {
        self.remote.is_some()
    }

    /// Why Redis is unavailable at present.
    pub fn fault(&self) -> Option<&'static str> {
        self.remote.as_ref().and_then(Remote::fault)
    }
}

fn fits(key: &str, value: &Bytes) -> bool {
    key.len() <= KEY_BYTES_MAX && value.len() <= VALUE_BYTES_MAX
}
