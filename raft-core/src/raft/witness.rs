//! Witnesses: servers that vote and acknowledge like the others and hold no commands. Ours; two sites and a small third
//! place make a cluster that survives the loss of any of them.
//!
//! A witness keeps (term, position) of every entry and configurations in full, which is all that elections and
//! commitment look at. So every argument of the paper about logs holds for it. What it cannot do is lead, since nobody
//! could get from it what a client asked for: it never campaigns, and as witnesses are fewer than half of the voters,
//! every quorum has a server that holds the commands.
//!
//! A witness is sent what its leader's own disk holds, and no more: else a leader that crashes could leave an entry
//! with witnesses only, and as long as that is newer than what the others have, they would rightly let nobody lead. A
//! leader that has removed itself will not come back at all, so what counts is what another one who may lead has
//! acknowledged.
//!
//! What remains: an entry that one server and the witness acknowledged is held by that one server only. Should it be
//! gone for good, the witness rightly lets nobody lead who lacks the entry.

use crate::message::Message;
use crate::outbox::Promise;
use crate::types::{EntryBody, Index, NodeId, Payload, SnapshotMeta};

use super::{Raft, Role};

impl Raft {
    /// Whether this server is a witness.
    pub(super) fn is_witness(&self) -> bool {
        self.config.options.witness
    }

    /// Whether an entry that says this belongs into the log of this server.
    pub(super) fn is_of_my_kind(&self, body: &EntryBody) -> bool {
        match body {
            EntryBody::Noop | EntryBody::Membership(_) => true,
            EntryBody::Withheld => self.is_witness(),
            EntryBody::Command(_) | EntryBody::Forwarded(_) => !self.is_witness(),
        }
    }

    /// A witness has nothing to install or to apply, so committed and durable is applied. It takes its snapshots, which
    /// have no bytes, by itself.
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
        self.applied = self.applied.max(self.commit.min(self.out.durable_index()));
        let covered = self.log.snapshot().map(|meta| meta.last.index);
        let since = Index::count(self.applied).saturating_sub(Index::count(covered));
        if since >= self.config.snapshots.every_entries
            && let Some(last) = self.applied.and_then(|applied| self.log.log_id(applied))
        {
            self.on_snapshot_taken(last);
        }
    }

    /// A witness that is behind the log needs to know what the snapshot stands for, and none of its bytes. Sent with
    /// every heartbeat until it is acknowledged.
    pub(super) fn send_snapshot_to_witness(&mut self, to: NodeId, meta: SnapshotMeta) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let Some(peer) = leader.peers.get_mut(&to) else {
            return;
        };
        peer.pause();
        let chunk = Message::SnapshotChunk {
            session: peer.session,
            meta: SnapshotMeta {
                withheld: true,
                ..meta
            }
            .into(),
            total_bytes: 0,
            checksum: 0,
            offset: 0,
            data: Payload::from(&b""[..]),
        };
        self.send(to, Promise::Term, chunk);
    }
}
