//! A halted partition waits for an operator, and resumes once the loss is accepted, here or by
//! another process that it was moved to.

use ledger::core::{Halt, Input};
use queue::QueueError;
use service::chain;
use tracing::{info, warn};

use super::{Worker, WorkerError, core_of};
use crate::accept::{self, Accepted, Refusal, Request};

impl Worker {
    /// Halted: waits for an operator who accepts what was lost, for shutdown, or until another
    /// process owns the partition. Should it come back, it is looked at anew.
    pub(super) async fn decide(&mut self) -> Result<(), WorkerError> {
        let request = tokio::select! {
            request = self.requests.recv() => request,
            () = self.shutdown.requested() => return Ok(()),
            () = self.parts.queue.revoked(self.partition) => {
                info!(partition = self.partition, "halted partition revoked");
                self.core = core_of(&self.parts);
                self.nonce = None;
                self.parts.gauges.halted(self.partition, None);
                return Ok(());
            }
        };
        let Some(request) = request else {
            self.shutdown.requested().await;
            return Ok(());
        };
        if request.is_forgotten() {
            return Ok(());
        }
        let before = self.core.committed().account.lost_frames;
        let mut accepted = match self.accept(&request).await {
            Ok(accepted) => accepted,
            Err(refusal) => {
                warn!(partition = self.partition, %refusal, "loss not accepted");
                request.answer(Err(refusal));
                return Ok(());
            }
        };
        self.carry_out().await;
        // A commit that lost against another owner has led to a new claim.
        let is_done = self.nonce.is_some() && self.core.halted().is_none();
        let lost = self.core.committed().account.lost_frames - before;
        accepted.lost_frames = u64::try_from(lost).unwrap_or(0);
        if is_done {
            let Accepted { next, lost_frames, reason, .. } = &accepted;
            warn!(partition = self.partition, next, lost_frames, reason, "loss accepted");
            if let Err(error) = self.adopt().await {
                let error = chain(&error);
                warn!(
                    partition = self.partition,
                    error, "topic id not stored, the next claim may halt again"
                );
            }
        }
        self.parts.gauges.halted(self.partition, None);
        request.answer(if is_done { Ok(accepted) } else { Err(Refusal::Lost) });
        Ok(())
    }

    /// Reads the current watermarks of the log and passes the acceptance to the core.
    async fn accept(&mut self, request: &Request) -> Result<Accepted, Refusal> {
        let Some(halt) = self.core.halted() else { return Err(Refusal::Lost) };
        let Some(next) = self.core.resumes_at() else {
            return Err(Refusal::NothingLost(halt.to_string()));
        };
        request.check(next)?;
        let failed = |error: QueueError| Refusal::Log(chain(&error));
        // Whatever the topic is now, it is the log from here on.
        self.parts.queue.trust(self.partition);
        let log = self.look(next).await.map_err(failed)?;
        if log.high < next {
            return Err(Refusal::TooShort { high: log.high, next });
        }
        let clock_us = self.core.committed().clock_us;
        let lost = match halt {
            // What is missing is known, and everything before it is counted.
            Halt::Hole { .. } => 0,
            _ => accept::lost_frames(&self.parts.queue, self.partition, next, clock_us)
                .await
                .map_err(failed)?,
        };
        self.effects.extend(self.core.on(Input::Accepted { log, lost }));
        let reason = halt.to_string();
        // How many frames are lost is known once it is committed.
        Ok(Accepted { partition: self.partition, next, lost_frames: 0, reason })
    }
}
