//! `gatemeter dlq replay`: letters of the log go through ingest, messages of raw topics through
//! their topics.

use std::collections::HashSet;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use service::client::Client;
use service::letters::{LetterAddress, REPLAY_LETTERS_MAX, ReplayRequest, ReplayResult};

use super::address::{Address, RawAddress};
use super::topics::Topics;
use super::{REPLAY_MAX, ReplayArgs, Storage, listed};

/// Sends letters again and prints each that was refused, with the reason.
///
/// # Errors
/// The ledger, Kafka or ingest cannot be asked. Says how many letters were sent before.
pub async fn run(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    let addresses = match args.which.class {
        None => args.addresses,
        Some(_) => {
            let store = args.storage.store().await?;
            let letters = listed(&store, &args.which.filter(REPLAY_MAX)).await?;
            store.close().await;
            letters.into_iter().map(|letter| letter.address).collect()
        }
    };
    let (mut log, mut raw) = (Vec::new(), Vec::new());
    for address in addresses {
        match address {
            Address::Log(address) => log.push(address),
            Address::Raw(address) => raw.push(address),
        }
    }
    // A message with several letters is sent once.
    let mut seen = HashSet::new();
    raw.retain(|address| seen.insert(address.clone()));
    let mut tally = Tally::default();
    let sent = async {
        through_ingest(&args.to, args.key_file.as_deref(), &log, &mut tally).await?;
        through_topics(&args.storage, &raw, &mut tally).await
    };
    let sent = sent.await;
    let Tally { sent: n_sent, refused } = tally;
    sent.with_context(|| format!("stopped after {n_sent} sent again, {refused} refused"))?;
    println!("{n_sent} sent again, {refused} refused");
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What became of the letters so far.
#[derive(Debug, Default)]
struct Tally {
    sent: usize,
    refused: usize,
}

impl Tally {
    fn refuse(&mut self, address: &Address, reason: &str) {
        self.refused += 1;
        println!("{address} refused: {}", reason.escape_debug());
    }
}

/// Has ingest append letters of the log again.
async fn through_ingest(
    to: &str,
    key_file: Option<&Path>,
    letters: &[LetterAddress],
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let client = Client::with_key_file(key_file)?;
    let url = format!("{}/v1/dead-letters/replay", to.trim_end_matches('/'));
    for letters in letters.chunks(REPLAY_LETTERS_MAX) {
        let request = ReplayRequest { letters: letters.to_vec() };
        let ReplayResult { accepted, rejected } = client.post_data(&url, &request).await?;
        tally.sent += accepted;
        for rejected in &rejected {
            let Some(address) = letters.get(rejected.index) else {
                bail!(
                    "{url} refused letter {} of {}: {}",
                    rejected.index,
                    letters.len(),
                    rejected.reason.escape_debug()
                );
            };
            tally.refuse(&Address::Log(*address), &rejected.reason);
        }
        if accepted + rejected.len() != letters.len() {
            bail!(
                "{url} answered for {accepted} accepted and {} refused letters of {}",
                rejected.len(),
                letters.len()
            );
        }
    }
    Ok(())
}

/// Publishes messages of raw topics again.
async fn through_topics(
    storage: &Storage,
    messages: &[RawAddress],
    tally: &mut Tally,
) -> anyhow::Result<()> {
    if messages.is_empty() {
        return Ok(());
    }
    let mut topics = Topics::new(storage)?;
    let mut published = Ok(());
    for address in messages {
        published = publish(&mut topics, address, tally).await;
        if published.is_err() {
            published = published.with_context(|| address.to_string());
            break;
        }
    }
    topics.close().await;
    published
}

async fn publish(
    topics: &mut Topics,
    address: &RawAddress,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    match topics.message(address).await? {
        Ok(message) => {
            topics.publish(&address.topic, message).await?;
            tally.sent += 1;
        }
        Err(reason) => tally.refuse(&Address::Raw(address.clone()), reason),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
