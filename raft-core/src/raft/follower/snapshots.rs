//! InstallSnapshot, receiver's side (paper §7, Figure 13). The bytes are the host's; this module knows what they stand
//! for.

use crate::action::Action;
use crate::message::{AppendOutcome, Message};
use crate::outbox::Promise;
use crate::queue::Ends;
use crate::trace::Trace;
use crate::types::{Index, LogId, NodeId, PeerSession, Round, SnapshotMeta};

use super::super::receive::Chunk;
use super::super::server::Server;
use super::{Follower, conflict_hint};

impl Follower {
    pub(in crate::raft) fn on_snapshot_chunk(&mut self, server: &mut Server, from: NodeId, chunk: Chunk) {
        let Chunk { session, meta, .. } = chunk;
        if meta.withheld != server.is_witness() {
            server.ignored.misfit += 1;
            return;
        }
        self.snapshot_session = session;
        if Some(meta.last.index) <= server.commit {
            // What it brings is here already: say how far this server is instead.
            let last = server.commit.and_then(|commit| server.log.log_id(commit));
            let promise = Promise::Log(last.map(|last| last.index));
            acknowledge(server, from, session, last, promise);
        } else if !server.may_take(&meta) {
            server.ignored.beyond_halt += 1;
            self.ask_for_the_log_instead(server, from, session, meta.last);
        } else if meta.withheld {
            self.on_snapshot_ready(server, from, *meta);
        } else if chunk.total_bytes <= server.config.snapshots.max_bytes {
            server.out.push(Action::SnapshotArrived {
                from,
                meta: *meta,
                total_bytes: chunk.total_bytes,
                checksum: chunk.checksum,
                offset: chunk.offset,
                data: chunk.data,
            });
        } else {
            self.refuse_snapshot(server, from, (session, meta.last), chunk.total_bytes);
        }
    }

    /// Answers a snapshot that this server must not take as it would an append after the snapshot's last entry. Its
    /// leader may know less of this log than it holds, because acknowledgements were lost, and may still have what
    /// follows. If it has not, it offers the snapshot again: a newer program may have been started.
    fn ask_for_the_log_instead(&self, server: &mut Server, from: NodeId, session: PeerSession, last: LogId) {
        if server.log.holds(Some(last)) {
            acknowledge(server, from, session, Some(last), Promise::Log(Some(last.index)));
            return;
        }
        let outcome = AppendOutcome::Rejected {
            prev: Some(last),
            hint: conflict_hint(server, Some(last)),
        };
        answer(server, from, session, outcome, Promise::Term);
    }

    /// Tells the host of a snapshot that is larger than it allows, once for each time that one is begun: without it
    /// this server never catches up. The sender gives up when nothing is acknowledged.
    fn refuse_snapshot(
        &mut self,
        server: &mut Server,
        from: NodeId,
        refused: (PeerSession, LogId),
        total_bytes: u64,
    ) {
        server.ignored.oversized += 1;
        if self.refused_snapshot.replace(refused) != Some(refused) {
            let limit = server.config.snapshots.max_bytes;
            server.out.push(Action::SnapshotTooLarge {
                from,
                total_bytes,
                limit,
            });
        }
    }

    /// The host has stored this much of the snapshot that the present leader is sending.
    pub(in crate::raft) fn on_snapshot_stored(
        &mut self,
        server: &mut Server,
        from: NodeId,
        last: LogId,
        received_bytes: u64,
    ) {
        if server.leader() != Some(from) {
            return;
        }
        let reply = Message::SnapshotReply {
            session: self.snapshot_session,
            last,
            received_bytes,
        };
        server.send(from, None, Promise::Term, reply);
    }

    /// The whole snapshot is here (paper, Figure 13, receiver's steps 5 to 8).
    pub(in crate::raft) fn on_snapshot_ready(
        &mut self,
        server: &mut Server,
        from: NodeId,
        meta: SnapshotMeta,
    ) {
        if server.leader() != Some(from) {
            return;
        }
        let last = meta.last;
        // A snapshot older than the commit index changes nothing; nor does one that no leader can have announced to
        // this server.
        let is_sound = meta.is_well_formed(server.out.term()) && meta.withheld == server.is_witness();
        if Some(last.index) <= server.commit || !is_sound || !server.may_take(&meta) {
            return;
        }
        let membership_before = server.log.membership_id();
        let keeps_suffix = server.log.holds(Some(last));
        let keeps_suffix = plant!(
            keeps_suffix,
            KEEPS_SUFFIX_BEHIND_SNAPSHOT => Some(last.index) <= server.log.last_index()
        );
        let keeps_suffix = plant!(keeps_suffix, DISCARDS_SUFFIX_BEHIND_SNAPSHOT => false);
        server.trace(Trace::SnapshotAccepted { last, keeps_suffix });
        if keeps_suffix {
            // Step 6: the log holds the snapshot's last entry, so what follows it stays.
            server.log.set_snapshot(meta.clone());
        } else {
            // Step 7: discard the entire log.
            server.discard_log(meta.clone());
        }
        server.cover_proposals(last.index);
        server.installing = Some((server.out.next_ticket(), meta.clone()));
        server.out.snapshot_to_persist(meta);
        server.commit = Some(last.index);
        server.learn_cluster();
        server.out.commit_advanced(server.commit);
        server.trace(Trace::Committed { to: server.commit });
        server.settle_truncated();
        if server.log.membership_id() != membership_before {
            server.membership_changed();
        }
        server.maybe_give_up_proposals();
        let promise = Promise::Log(Some(last.index));
        let promise = plant!(promise, ACKS_SNAPSHOT_BEFORE_DURABLE => Promise::Term);
        acknowledge(server, from, self.snapshot_session, Some(last), promise);
    }
}

impl Server {
    /// The snapshot takes the place of the whole log. This server's proposals beyond it are truncated, and not lost
    /// yet.
    fn discard_log(&mut self, meta: SnapshotMeta) {
        let last = meta.last;
        while let Some(proposal) = self
            .proposals
            .take_back_if(|proposal| proposal.at.index > last.index)
        {
            self.truncated.push(proposal);
        }
        self.out.log_truncated(Index::FIRST);
        self.log.reset(meta);
        self.cover_forwarded(last.term);
    }
}

/// Tells the leader that this server holds everything up to `last`.
fn acknowledge(
    server: &mut Server,
    from: NodeId,
    session: PeerSession,
    last: Option<LogId>,
    promise: Promise,
) {
    answer(server, from, session, AppendOutcome::Accepted { last }, promise);
}

/// Answers a snapshot as an append, which confirms no read round.
fn answer(server: &mut Server, from: NodeId, session: PeerSession, outcome: AppendOutcome, promise: Promise) {
    let reply = Message::AppendReply {
        session,
        round: Round::new(0),
        promise_micros: 0,
        outcome,
    };
    server.send(from, None, promise, reply);
}
