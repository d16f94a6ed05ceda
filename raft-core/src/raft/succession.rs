//! How a transfer of leadership ends for the leader that was asked to hand over (dissertation §3.10). It has stepped down
//! by then, mostly because the target has begun its campaign, and a campaign may fail. So the outcome waits for the next
//! leader's first message, and no longer than the transfer itself may take.

use crate::action::{Rejection, TransferOutcome};
use crate::types::{NodeId, Tick};

use super::server::Server;

/// A transfer whose leader has stepped down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Succession {
    /// The target.
    pub(super) to: NodeId,
    pub(super) gives_up_at: Tick,
}

impl Server {
    /// The tick at which time next matters to it.
    pub(super) fn succession_deadline(&self) -> Option<Tick> {
        self.succession.map(|succession| succession.gives_up_at)
    }

    /// A leader is known: the target, or another server.
    pub(super) fn settle_succession(&mut self, leader: NodeId) {
        if let Some(Succession { to, .. }) = self.succession.take() {
            let outcome = match leader == to {
                true => TransferOutcome::Succeeded,
                false => TransferOutcome::SteppedDown,
            };
            self.end_transfer(Some(to), outcome);
        }
    }

    /// No leader was heard of in time.
    pub(super) fn succession_tick(&mut self) {
        let now = self.now;
        if let Some(Succession { to, .. }) = self
            .succession
            .take_if(|succession| now >= succession.gives_up_at)
        {
            self.end_transfer(Some(to), TransferOutcome::SteppedDown);
        }
    }

    /// The disk failed, and this server hears nothing more.
    pub(super) fn fail_succession(&mut self) {
        if let Some(Succession { to, .. }) = self.succession.take() {
            self.end_transfer(Some(to), TransferOutcome::Rejected(Rejection::Failed));
        }
    }
}
