//! How the api has ingest append dead letters again: within the process, or through ingest's URL.
//!
//! The api knows no other role. It is given a function that takes letters and says what became of
//! them; an ingest that is gone or does not answer is a 503 with the reason.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use api::Resend;
use ingest::Letters;
use service::answer::ApiError;
use service::chain;
use service::client::Client;
use service::config::ApiSettings;
use service::letters::{LetterAddress, ReplayRequest, ReplayResult};
use tracing::warn;

/// `Retry-After` while ingest does not answer, seconds: a restart takes about as long.
const RETRY_SECONDS: NonZeroU32 = NonZeroU32::new(5).expect("not zero");

/// Through the ingest of this process, for as long as the caller keeps it: what is only borrowed
/// here does not hold up its end.
pub fn within(letters: &Arc<Letters>) -> Resend {
    let letters = Arc::downgrade(letters);
    Arc::new(move |wanted| {
        let letters = Weak::upgrade(&letters);
        Box::pin(async move {
            match letters {
                Some(letters) => letters.replay(&wanted).await,
                None => Err(unavailable("ingest of this process has ended".to_owned())),
            }
        })
    })
}

/// Through the URL in the settings, if there is one.
pub fn through(settings: &ApiSettings) -> Option<Resend> {
    let url = format!("{}/v1/dead-letters/replay", settings.ingest_url.as_ref()?);
    let key_file = settings.ingest_key_file.clone();
    Some(Arc::new(move |wanted| Box::pin(ask(url.clone(), key_file.clone(), wanted))))
}

/// Asks an ingest. The key is read each time: it may come later than the api, and change.
async fn ask(
    url: String,
    key_file: Option<PathBuf>,
    letters: Vec<LetterAddress>,
) -> Result<ReplayResult, ApiError> {
    let client = Client::with_key_file(key_file.as_deref()).map_err(|error| {
        warn!(error = %chain(&error), "ingest key cannot be read");
        unavailable("the file of api.ingest_key_file has no key that can be read".to_owned())
    })?;
    let answer = client.post_data(&url, &ReplayRequest { letters }).await;
    answer.map_err(|error| {
        warn!(error = %chain(&error), "ingest did not send dead letters again");
        match error {
            service::Error::Answered { status, text, .. } => match status.as_u16() {
                401 => unavailable("ingest refuses the key of api.ingest_key_file".to_owned()),
                _ => unavailable(format!("ingest answered {}: {text}", status.as_u16())),
            },
            _ => unavailable("ingest at api.ingest_url does not answer".to_owned()),
        }
    })
}

fn unavailable(message: String) -> ApiError {
    ApiError::unavailable(message).retry_after(RETRY_SECONDS)
}

#[cfg(test)]
mod tests;
