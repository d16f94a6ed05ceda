//! Witnesses: servers that vote and acknowledge like the others and hold no commands. Two sites and a small third place
//! make a cluster that survives the loss of any of them.
//!
//! A witness keeps (term, index) of every entry and configurations in full, which is all that elections and commitment
//! look at. So every argument of the paper about logs holds for it. It cannot lead, because its followers could not get
//! from it what a client asked for: it never campaigns. Witnesses are fewer than half of the voters, so every quorum has
//! a server that holds the commands.
//!
//! A witness is sent what its leader's own disk holds, and no more. Otherwise a leader that crashes could leave an entry
//! with witnesses only; as long as that entry is newer than what the others have, they would rightly elect none of them.
//! A leader that has removed itself will not come back at all, so what counts is what another server that may lead has
//! acknowledged.
//!
//! What remains: an entry that one server and the witness acknowledged is held by that one server only. Should that
//! server be gone for good, the witness rightly refuses its vote to every server that lacks the entry.

use crate::types::{Entry, EntryBody, Index};

use super::server::Server;

impl Server {
    /// Whether this server is a witness.
    pub(super) fn is_witness(&self) -> bool {
        self.config.options.witness
    }

    /// Whether an entry of this kind belongs in this server's log.
    pub(super) fn is_of_my_kind(&self, body: &EntryBody) -> bool {
        match body {
            EntryBody::Noop | EntryBody::Founding(_) | EntryBody::Membership(_) | EntryBody::Level(_) => true,
            EntryBody::Withheld => self.is_witness(),
            EntryBody::Command(_) | EntryBody::Forwarded(_) => !self.is_witness(),
        }
    }

    /// A witness has nothing to install or to apply, so what is committed and durable is applied. It takes its
    /// snapshots, which have no bytes, by itself.
    pub(super) fn apply_as_witness(&mut self) {
        if let Some((ticket, meta)) = &self.installing
            && self.out.is_durable(*ticket)
        {
            self.applied = self.applied.max(Some(meta.last.index));
            self.installing = None;
        }
        if self.installing.is_some() {
            return;
        }
        let held = self.commit.min(self.out.durable_index());
        self.applied = self.applied.max(self.before_halt(held));
        let covered = self.log.snapshot().map(|meta| meta.last.index);
        let since = Index::count(self.applied).saturating_sub(Index::count(covered));
        // Its snapshots have no bytes, and cost its disk nothing: there is no need to spread them.
        let settings = &self.config.snapshots;
        let log_bytes = since.saturating_mul(Entry::OVERHEAD_BYTES as u64);
        if (since >= settings.every_entries || log_bytes >= settings.log_bytes)
            && let Some(last) = self.applied.and_then(|applied| self.log.log_id(applied))
        {
            // A witness never leads, so it sends no snapshot to any peer.
            self.on_snapshot_taken(last, None);
        }
    }
}
