//! Heartbeats: how a leader keeps its authority (paper §5.2), and how it learns that it has lost it (dissertation §6.2).

use crate::clock::WallTime;
use crate::level::Level;
use crate::message::Message;
use crate::outbox::Promise;
use crate::types::{NodeId, PeerSession, Round};

use super::progress::Progress;
use super::{Leader, Sender, Server};

impl Leader {
    /// Whether a quorum answered within the shortest election timeout (check-quorum). Only voters count.
    pub(super) fn has_active_quorum(&self, server: &Server) -> bool {
        let patience = server.config.timing.election_timeout_min_ticks;
        let patience = plant!(patience, STEPS_DOWN_LATE => 4 * patience);
        let me = server.me();
        let is_active = |peer: Option<&Progress>| {
            let heard_at = peer.and_then(|peer| peer.heard_at).unwrap_or(self.elected_at);
            server.ticks_since(heard_at) <= patience
        };
        let counts_itself = server.counts_itself();
        let agrees = |node: NodeId| {
            if node == me {
                counts_itself
            } else {
                is_active(self.peer(node))
            }
        };
        let has_quorum = server.log.membership().has_quorum(agrees);
        plant!(
            has_quorum,
            NEEDS_EVERYBODY => has_quorum && self.peers().all(|(_, peer)| is_active(Some(peer)))
        )
    }

    /// Sends every peer a heartbeat, with the part of the commit index that the peer is known to hold.
    pub(super) fn broadcast_heartbeat(&mut self, server: &mut Server) {
        for (node, peer) in self.peers.iter() {
            let commit = peer.matched().min(server.commit);
            let commit = plant!(commit, HEARTBEATS_WITHOUT_COMMIT => None);
            let heartbeat = Message::Heartbeat {
                session: peer.session,
                round: self.round,
                commit: commit.and_then(|commit| server.log.log_id(commit)),
            };
            server.send(node, peer.incarnation, Promise::Term, heartbeat);
        }
    }

    /// Notes an answer, if it comes from the session that this leader gave the peer. Returns what is known of the peer.
    pub(super) fn heard(
        &mut self,
        server: &mut Server,
        from: Sender,
        session: PeerSession,
    ) -> Option<&mut Progress> {
        if let Some(peer) = self.peers.get_mut(&from.node)
            && peer.session == session
        {
            self.to_bind |= peer.note_folder(from.incarnation);
            peer.heard_at = Some(server.now);
            peer.note_boot(from.boot);
            return Some(peer);
        }
        server.ignored.stale += 1;
        None
    }

    pub(in crate::raft) fn on_heartbeat_reply(
        &mut self,
        server: &mut Server,
        from: Sender,
        (session, round): (PeerSession, Round),
        (promise_micros, program, wall_time): (u64, (Level, bool, bool), Option<WallTime>),
    ) {
        if self.heard(server, from, session).is_some() {
            self.note_program(from.node, from.boot, program);
            self.confirm_round(server, from.node, round, promise_micros);
            self.note_clock(server, from.node, round, wall_time);
        }
    }
}
