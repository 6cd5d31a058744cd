//! What every handler shares.

use crate::answers::Answers;
use crate::context::Parts;
use crate::hub::Hub;

/// What every handler shares; cheap to clone.
#[derive(Clone)]
pub(crate) struct Shared {
    /// What the API works on.
    pub parts: Parts,
    /// What was answered before.
    pub answers: Answers,
    /// Streams of live totals.
    pub hub: Hub,
}
