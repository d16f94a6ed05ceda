//! Snapshots (paper §7): compaction of our own log, sending one to a peer that is too far behind, and installing one
//! that arrives. The bytes are the host's; this module knows what they stand for and how far they got.

use alloc::boxed::Box;

use crate::action::Action;
use crate::message::{AppendOutcome, Message};
use crate::outbox::Promise;
use crate::trace::Trace;
use crate::types::{Incarnation, Index, LogId, NodeId, Payload, PeerSession, Round, SnapshotMeta, Ticket};

use super::progress::Progress;
use super::{Proposal, Raft, Role};

impl Raft {
    pub(super) fn on_snapshot_taken(&mut self, last: LogId) {
        let covered = self.log.snapshot().map(|meta| meta.last.index);
        // A snapshot of something that was not applied, or an older one than we have, is a mistake of the host's
        // that costs nothing to overlook.
        if Some(last.index) > self.applied || Some(last.index) <= covered || !self.log.holds(Some(last)) {
            return;
        }
        let meta = SnapshotMeta {
            withheld: self.is_witness(),
            ..self.log.snapshot_meta(last)
        };
        if meta.membership.is_empty() {
            // A server that was added knows no configuration before it has the entry that set it, and nobody could be
            // told of one.
            return;
        }
        self.out.snapshot_to_persist(meta.clone());
        self.log.set_snapshot(meta);
        self.trace(Trace::SnapshotTaken { last });
        let keep = self.config.snapshots.keep_entries;
        // A peer that is being sent an earlier snapshot needs what follows that one next. Without this, one that
        // is taken while another is on its way would leave a slow peer behind for good.
        let needed = self.oldest_transfer();
        let to = last.index.value().checked_sub(keep).and_then(Index::new);
        let to = to.map(|to| needed.map_or(to, |needed| to.min(needed)));
        let to = if planted!(COMPACTS_TOO_FAR) {
            to.map(Index::next)
                .filter(|&to| Some(to) <= self.log.last_index())
        } else {
            to
        };
        if let Some(to) = to.filter(|&to| to >= self.log.first_index()) {
            self.log.compact(to);
            self.out.log_compacted(to);
            self.trace(Trace::Compacted { to });
        }
    }

    /// The last entry of the oldest snapshot that is on its way to a peer.
    fn oldest_transfer(&mut self) -> Option<Index> {
        let Role::Leader(leader) = &mut self.role else {
            return None;
        };
        let transfers = leader.peers.values_mut().filter_map(Progress::transfer);
        transfers.map(|transfer| transfer.meta.last.index).min()
    }

    /// Begins to send the latest snapshot to a peer whose next entry the log has no longer, if the peer is there to
    /// take it.
    pub(super) fn begin_snapshot_transfer(&mut self, to: NodeId) {
        let (now, ticket) = (self.now, self.next_request_ticket());
        let patience = self.config.timing.election_timeout_min_ticks;
        let Some(meta) = self.log.snapshot().cloned() else {
            return;
        };
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let Some(peer) = leader.peers.get_mut(&to) else {
            return;
        };
        if peer
            .heard_at
            .is_none_or(|heard_at| now.value() - heard_at.value() > patience)
        {
            return;
        }
        if peer.is_witness {
            self.send_snapshot_to_witness(to, meta);
            return;
        }
        peer.begin_snapshot(ticket, meta.clone(), now);
        self.out.push(Action::SendSnapshot { ticket, to, meta });
    }

    fn transferring(&mut self, ticket: Ticket) -> Option<(NodeId, &mut Progress)> {
        let Role::Leader(leader) = &mut self.role else {
            return None;
        };
        let mut peers = leader.peers.iter_mut();
        peers.find_map(|(node, peer)| (peer.transfer()?.ticket == ticket).then_some((node, peer)))
    }

    pub(super) fn on_snapshot_piece(
        &mut self,
        ticket: Ticket,
        last: LogId,
        total_bytes: u64,
        checksum: u32,
        offset: u64,
        data: Payload,
    ) {
        let Some((to, peer)) = self.transferring(ticket) else {
            return;
        };
        let session = peer.session;
        let meta = peer.transfer().map(|transfer| transfer.meta.clone());
        // Sent under another name, a snapshot would make a peer believe that it has applied what it has not.
        let Some(meta) = meta.filter(|meta| meta.last == last) else {
            return;
        };
        let chunk = Message::SnapshotChunk {
            session,
            meta: Box::new(meta),
            total_bytes,
            checksum,
            offset,
            data,
        };
        self.send(to, Promise::Term, chunk);
    }

    pub(super) fn on_snapshot_aborted(&mut self, ticket: Ticket) {
        if let Some((_, peer)) = self.transferring(ticket) {
            let next = Index::after(peer.matched());
            peer.probe_from(next);
            peer.pause();
            self.out.push(Action::SnapshotEnded { ticket });
        }
    }

    pub(super) fn on_snapshot_reply(
        &mut self,
        from: NodeId,
        incarnation: Incarnation,
        session: PeerSession,
        last: LogId,
        received_bytes: u64,
    ) {
        let now = self.now;
        let heartbeat = self.config.timing.heartbeat_ticks;
        let Some(peer) = self.heard(from, incarnation, session) else {
            return;
        };
        let Some(transfer) = peer.transfer().filter(|transfer| transfer.meta.last == last) else {
            self.ignored.stale += 1;
            return;
        };
        let is_news = received_bytes > transfer.received_bytes;
        // A receiver that was started again has lost what had arrived. While pieces arrive, an answer that says less is
        // only late.
        let is_lost = received_bytes < transfer.received_bytes && transfer.idle_ticks(now) >= heartbeat;
        if is_news || (is_lost && !planted!(IGNORES_LOST_PIECES)) {
            if is_news {
                transfer.advance(received_bytes, now);
            } else {
                transfer.begin_again(received_bytes);
            }
            let ticket = transfer.ticket;
            self.out.push(Action::SnapshotAdvanced {
                ticket,
                received_bytes,
            });
        }
    }

    /// With every heartbeat: asks again for the piece that was not acknowledged, and gives up a transfer that did not
    /// come further for too long, so that every transfer ends, also one whose receiver loses or refuses it again and
    /// again.
    pub(super) fn drive_snapshot_transfers(&mut self) {
        let now = self.now;
        let patience = self.config.timing.snapshot_timeout_ticks;
        let heartbeat = self.config.timing.heartbeat_ticks;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        for peer in leader.peers.values_mut() {
            let Some(transfer) = peer.transfer() else {
                continue;
            };
            let (ticket, received_bytes) = (transfer.ticket, transfer.received_bytes);
            if transfer.stuck_ticks(now) > patience {
                let next = Index::after(peer.matched());
                peer.probe_from(next);
                self.out.push(Action::SnapshotEnded { ticket });
            } else if transfer.idle_ticks(now) >= heartbeat {
                self.out.push(Action::SnapshotAdvanced {
                    ticket,
                    received_bytes,
                });
            }
        }
    }

    /// Ends the transfer to a peer that has caught up with it.
    pub(super) fn maybe_end_snapshot_transfer(&mut self, from: NodeId) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let Some(peer) = leader.peers.get_mut(&from) else {
            return;
        };
        let matched = peer.matched();
        let Some(transfer) = peer.transfer() else { return };
        if matched >= Some(transfer.meta.last.index) {
            let ticket = transfer.ticket;
            peer.probe_from(Index::after(matched));
            self.out.push(Action::SnapshotEnded { ticket });
        }
    }

    /// Ends all transfers: leadership is gone, or the disk.
    pub(super) fn end_snapshot_transfers(&mut self) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        for peer in leader.peers.values_mut() {
            if let Some(ticket) = peer.transfer().map(|transfer| transfer.ticket) {
                let next = Index::after(peer.matched());
                peer.probe_from(next);
                self.out.push(Action::SnapshotEnded { ticket });
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one kind of message")]
    pub(super) fn on_snapshot_chunk(
        &mut self,
        from: NodeId,
        session: PeerSession,
        meta: SnapshotMeta,
        total_bytes: u64,
        checksum: u32,
        offset: u64,
        data: Payload,
    ) {
        if meta.withheld != self.is_witness() {
            self.ignored.misfit += 1;
            return;
        }
        if let Role::Follower(follower) = &mut self.role {
            follower.snapshot_session = session;
        }
        if Some(meta.last.index) <= self.commit {
            // What it brings is here already: say how far we are instead.
            let last = self.commit.and_then(|commit| self.log.log_id(commit));
            let outcome = AppendOutcome::Accepted { last };
            let promise = Promise::Log(last.map(|last| last.index));
            let round = Round::new(0);
            self.send(
                from,
                promise,
                Message::AppendReply {
                    session,
                    round,
                    outcome,
                },
            );
        } else if meta.withheld {
            self.on_snapshot_ready(from, meta);
        } else if total_bytes <= self.config.snapshots.max_bytes {
            self.out.push(Action::SnapshotArrived {
                from,
                meta,
                total_bytes,
                checksum,
                offset,
                data,
            });
        } else {
            self.refuse_snapshot(from, session, meta.last, total_bytes);
        }
    }

    /// The host is told of a snapshot that is larger than it allows, once for each time that one is begun: without it
    /// this server never catches up. The sender gives up when nothing is acknowledged.
    fn refuse_snapshot(&mut self, from: NodeId, session: PeerSession, last: LogId, total_bytes: u64) {
        self.ignored.oversized += 1;
        if let Role::Follower(follower) = &mut self.role
            && follower.refused_snapshot.replace((session, last)) != Some((session, last))
        {
            let limit = self.config.snapshots.max_bytes;
            self.out.push(Action::SnapshotTooLarge {
                from,
                total_bytes,
                limit,
            });
        }
    }

    pub(super) fn on_snapshot_stored(&mut self, from: NodeId, last: LogId, received_bytes: u64) {
        if let Some(session) = self.snapshot_session(from) {
            let reply = Message::SnapshotReply {
                session,
                last,
                received_bytes,
            };
            self.send(from, Promise::Term, reply);
        }
    }

    /// The session of the snapshot that this leader is sending, if it still leads.
    fn snapshot_session(&self, from: NodeId) -> Option<PeerSession> {
        match &self.role {
            Role::Follower(follower) if follower.leader() == Some(from) => Some(follower.snapshot_session),
            _ => None,
        }
    }

    /// InstallSnapshot, receiver's side (paper, Figure 13, steps 5 to 8).
    pub(super) fn on_snapshot_ready(&mut self, from: NodeId, meta: SnapshotMeta) {
        let Some(session) = self.snapshot_session(from) else {
            return;
        };
        let last = meta.last;
        // A snapshot older than the commit index changes nothing; nor does one that no leader can have announced to
        // this server.
        let is_sound = meta.is_well_formed(self.out.term()) && meta.withheld == self.is_witness();
        if Some(last.index) <= self.commit || !is_sound {
            return;
        }
        let membership_before = self.log.membership_id();
        let reaches = planted!(KEEPS_SUFFIX_BEHIND_SNAPSHOT) && Some(last.index) <= self.log.last_index();
        let holds = self.log.holds(Some(last)) && !planted!(DISCARDS_SUFFIX_BEHIND_SNAPSHOT);
        let keeps_suffix = holds || reaches;
        self.trace(Trace::SnapshotAccepted { last, keeps_suffix });
        if keeps_suffix {
            // Step 6: the log holds its last entry, so what follows it stays.
            self.log.set_snapshot(meta.clone());
        } else {
            // Step 7: discard the entire log. What we proposed beyond the snapshot is cut off, and not lost yet.
            while let Some(proposal) = self
                .proposals
                .pop_back_if(|proposal| proposal.at.index > last.index)
            {
                self.overtaken.push(proposal);
            }
            self.out.log_truncated(Index::FIRST);
            self.log.reset(meta.clone());
            self.hide_forwarded(last.term);
        }
        while let Some(hidden) = self
            .proposals
            .pop_front_if(|proposal| proposal.at.index <= last.index)
        {
            self.out.push(Action::Unknown { id: hidden.id });
        }
        let hidden = |proposal: &mut Proposal| proposal.at.index <= last.index;
        for proposal in self.overtaken.extract_if(.., hidden) {
            self.out.push(Action::Unknown { id: proposal.id });
        }
        self.installing = Some((self.out.next_ticket(), meta.clone()));
        self.out.snapshot_to_persist(meta);
        self.commit = Some(last.index);
        self.out.commit_advanced(self.commit);
        self.trace(Trace::Committed { to: self.commit });
        self.settle_overtaken();
        if self.log.membership_id() != membership_before {
            self.membership_changed();
        }
        self.membership_committed();
        let outcome = AppendOutcome::Accepted { last: Some(last) };
        let reply = Message::AppendReply {
            session,
            round: Round::new(0),
            outcome,
        };
        let promise = if planted!(ACKS_SNAPSHOT_BEFORE_DURABLE) {
            Promise::Term
        } else {
            Promise::Log(Some(last.index))
        };
        self.send(from, promise, reply);
    }
}
