//! The ways into an installation: over HTTP to ingest, or through a raw topic of Kafka.
//!
//! A batch is packed once for its way and sent as often as it takes. A topic only acknowledges the
//! messages; what ingest makes of each event is then what the plan expects.

use std::path::PathBuf;

use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use queue::{KafkaOptions, QueueError, RawTopic};

use crate::answer::Answer;
use crate::args::{MessageForm, ReplayArgs};
use crate::attempt::{Taken, Try};
use crate::item::Batch;
use crate::post::Poster;

/// Loads the Kafka settings from this file, or from the process without one.
pub type KafkaSettings = fn(Option<PathBuf>) -> anyhow::Result<KafkaOptions>;

/// Scheme of the URL of a topic.
const KAFKA_SCHEME: &str = "kafka://";

/// A route into the installation.
pub enum Way {
    /// Over HTTP to ingest.
    Http(Poster),
    /// Through a raw topic of Kafka.
    Topic(RawTopic, MessageForm),
}

/// A batch as it goes over its way.
pub enum Parcel {
    /// The body of a request.
    Body(Bytes),
    /// Messages.
    Messages(Vec<Bytes>),
}

impl Way {
    /// The way that a URL names: `http://HOST:PORT[/PATH]`, or `kafka://HOST:PORT[,..]/TOPIC`, for
    /// which login and encryption come from the settings.
    ///
    /// # Errors
    /// The URL names no way, the settings are wrong, or the topic is not there.
    pub async fn open(url: &str, args: &ReplayArgs, kafka: KafkaSettings) -> anyhow::Result<Way> {
        let Some(place) = url.strip_prefix(KAFKA_SCHEME) else {
            let key = args.ingest_key()?;
            let n_connections = usize::from(args.connections);
            let poster = Poster::new(url, key.as_deref(), n_connections, args.compress)?;
            return Ok(Way::Http(poster));
        };
        let Some((brokers, topic)) = place.split_once('/') else {
            bail!("`{url}` must name brokers and a topic: kafka://127.0.0.1:9092/gatemeter.raw");
        };
        if brokers.is_empty() || topic.is_empty() || topic.contains('/') {
            bail!("`{url}` must name brokers and a topic: kafka://127.0.0.1:9092/gatemeter.raw");
        }
        let mut options = kafka(args.config.clone())?;
        brokers.clone_into(&mut options.brokers);
        let found = RawTopic::find(&options, topic).await;
        let topic = found.with_context(|| format!("cannot publish to {url}"))?;
        Ok(Way::Topic(topic, args.message))
    }

    /// Packs a batch.
    ///
    /// # Errors
    /// It cannot be compressed.
    pub async fn pack(&self, batch: &Batch) -> Result<Parcel, String> {
        match self {
            Way::Http(poster) => poster.pack(batch.body.clone()).await.map(Parcel::Body),
            Way::Topic(_, form) => Ok(Parcel::Messages(messages(batch, *form))),
        }
    }

    /// Sends a packed batch once.
    ///
    /// # Errors
    /// The result if there was no answer.
    pub async fn send(&self, parcel: &Parcel, batch: &Batch) -> Result<Try, Try> {
        match (self, parcel) {
            (Way::Http(poster), Parcel::Body(body)) => poster.post(body, batch.items.len()).await,
            (Way::Topic(topic, _), Parcel::Messages(messages)) => {
                match topic.publish(messages.clone()).await {
                    Ok(()) => Ok(Try::Answered(Answer::as_expected(batch))),
                    Err(error @ QueueError::TooLarge { .. }) => {
                        Err(Try::Strange(error.to_string()))
                    }
                    Err(error) => Err(Try::failed(&described(&error), Taken::Perhaps)),
                }
            }
            _ => Err(Try::Strange("a batch was packed for another way".to_owned())),
        }
    }

    /// Closes its connections.
    pub async fn close(&self) {
        if let Way::Topic(topic, _) = self {
            topic.close().await;
        }
    }
}

fn messages(batch: &Batch, form: MessageForm) -> Vec<Bytes> {
    let bodies = batch.items.iter().map(|item| item.body.as_bytes());
    match form {
        MessageForm::Array => vec![batch.body.clone()],
        MessageForm::Ndjson => {
            let mut lines = BytesMut::with_capacity(batch.body.len());
            for body in bodies {
                lines.extend_from_slice(body);
                lines.extend_from_slice(b"\n");
            }
            vec![lines.freeze()]
        }
        MessageForm::Event => bodies.map(Bytes::copy_from_slice).collect(),
    }
}

fn described(error: &QueueError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
