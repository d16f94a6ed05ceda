//! What a leader has that no other role has, how a leadership begins and ends, and what a leader does with every
//! heartbeat (paper §5.2, §8). Each family of its rules is a module.

pub(super) mod clocks;
mod commit;
mod health;
mod heartbeat;
mod intake;
mod lease;
mod levels;
mod peers;
mod progress;
pub(super) mod reads;
mod reconfiguration;
mod removal;
mod replication;
mod snapshots;
mod transfer;
mod window;
mod yielding;

use alloc::vec::Vec;

use crate::action::{Rejection, TransferOutcome};
use crate::identity::Incarnation;
use crate::status::PeerStatus;
use crate::types::{Entry, EntryBody, Index, LogId, NodeId, PeerSession, Round, Tick};

use super::server::Server;
use super::{Next, STAY, Sender, Transition};
use commit::Uncommitted;
use intake::Intakes;
use lease::Rounds;
use peers::Peers;
use progress::Progress;
use reads::{Reader, Reads};
use transfer::Handover;

#[derive(Debug)]
pub(super) struct Leader {
    peers: Peers,
    /// Whether a member may have been heard whose data folder the log does not bind yet.
    to_bind: bool,
    /// Whether every member may have said that its program goes beyond the level of the log.
    to_raise: bool,
    /// When this leader first noticed that it has halted.
    halted_at: Option<Tick>,
    /// The next session to give to a peer.
    next_session: u32,
    /// This leader's first entry. Until it is committed, this leader does not know what is (§8), and answers no reads.
    first_own: Index,
    uncommitted: Uncommitted,
    /// The latest read round: see `reads`.
    round: Round,
    rounds: Rounds,
    reads: Reads,
    elected_at: Tick,
    heartbeat_at: Tick,
    handover: Option<Handover>,
    /// The commands that it has appended or refused for other servers.
    intakes: Intakes,
}

impl Leader {
    /// A leader that begins its leadership now, with the peers that the configurations in its log name.
    pub(super) fn new(server: &Server) -> Self {
        let mut leader = Self {
            peers: Peers::default(),
            to_bind: true,
            to_raise: true,
            halted_at: None,
            next_session: 1,
            first_own: server.log.next_index(),
            uncommitted: Uncommitted::default(),
            round: Round::new(0),
            rounds: Rounds::default(),
            reads: Reads::default(),
            elected_at: server.now,
            heartbeat_at: server.now,
            handover: None,
            intakes: Intakes::default(),
        };
        let ended = leader.follow_membership(server);
        debug_assert!(ended.is_empty(), "a leadership begins without snapshot transfers");
        leader.feed_former_members(server);
        leader
    }

    /// §8: a no-op of its own term tells a new leader what is committed. §5.2: heartbeats establish its authority at
    /// once. What it was about to forward, it takes in itself.
    pub(super) fn begin(&mut self, server: &mut Server) -> Next {
        let noop = Entry {
            id: LogId::new(server.out.term(), self.first_own),
            body: match self.first_own {
                Index::FIRST => EntryBody::Founding(server.founded_cluster()),
                _ => EntryBody::Noop,
            },
        };
        unless_planted!(NO_NOOP, self.append(server, noop));
        for (id, payload) in server.take_unsent() {
            self.on_propose(server, id, payload);
        }
        let readers = server.take_unconfirmed_reads();
        self.reads.queue(readers.into_iter().map(Reader::Client));
        self.tick(server)
    }

    /// Ends what only a leader has. Its proposals stay: the log decides what becomes of them.
    pub(super) fn step_down(&mut self, server: &mut Server) {
        self.fail_reads(server, Rejection::NotLeader { leader: None });
        self.end_snapshot_transfers(server);
        self.end_handover(server, TransferOutcome::SteppedDown);
    }

    /// Ends the same for a leader whose disk failed.
    pub(super) fn fail(&mut self, server: &mut Server) {
        self.end_snapshot_transfers(server);
        self.end_handover(server, TransferOutcome::Rejected(Rejection::Failed));
        self.fail_reads(server, Rejection::Failed);
    }

    /// The tick at which time next matters to a leader.
    pub(super) fn deadline(&self) -> Tick {
        match &self.handover {
            Some(handover) => self.heartbeat_at.min(handover.gives_up_at()),
            None => self.heartbeat_at,
        }
    }

    pub(super) fn tick(&mut self, server: &mut Server) -> Next {
        self.maybe_abort_transfer(server);
        if server.now < self.heartbeat_at {
            return STAY;
        }
        self.heartbeat_at = server.after(server.config.timing.heartbeat_ticks);
        // Dissertation §6.2: a partitioned leader must not keep its clients waiting.
        let has_quorum = self.has_active_quorum(server);
        let has_quorum = plant!(has_quorum, LEADS_WITHOUT_QUORUM => true);
        if !has_quorum {
            return Transition::Follow(None).into();
        }
        self.maybe_yield_leadership(server)?;
        self.maybe_yield_after_halt(server)?;
        self.retire_removed_peers(server);
        self.maybe_hand_over_for_clock(server);
        if server.rounds_last_ticks() > 0 {
            self.next_round(server);
        }
        self.broadcast_heartbeat(server);
        self.probe_stalled_peers(server);
        self.drive_snapshot_transfers(server);
        self.retell_target();
        STAY
    }

    /// A server that joins asks where it stands. A leader may bind it from here on.
    pub(super) fn on_hello(&mut self, server: &mut Server, from: Sender) {
        if server.on_hello(from) == crate::Standing::Established
            && let Some(peer) = self.peers.get_mut(&from.node)
        {
            self.to_bind |= peer.note_folder(from.incarnation);
        }
    }

    /// Appends an entry. If it sets a configuration, that is in force from here on, also for the peers.
    fn append(&mut self, server: &mut Server, entry: Entry) {
        if server.append(entry) {
            for ticket in self.follow_membership(server) {
                server.out.push(crate::Action::SnapshotEnded { ticket });
            }
            server.membership_changed();
        }
    }

    /// Dissertation §4.1, corrected 2015: until this holds, a leader may not know of a configuration that another one
    /// has committed, and a change from the one before could give two disjoint majorities.
    fn own_term_is_committed(&self, server: &Server) -> bool {
        let is_committed = server.commit >= Some(self.first_own);
        plant!(is_committed, CHANGES_BEFORE_OWN_COMMIT => true)
    }

    fn peers(&self) -> impl Iterator<Item = (NodeId, &Progress)> {
        self.peers.iter()
    }

    fn peer(&self, node: NodeId) -> Option<&Progress> {
        self.peers.get(&node)
    }

    /// The data folder from which this peer answers, once it has.
    pub(super) fn folder_met(&self, node: NodeId) -> Option<Incarnation> {
        self.peer(node)?.incarnation
    }

    fn next_session(&mut self) -> PeerSession {
        let session = PeerSession::new(self.next_session);
        self.next_session = self.next_session.saturating_add(1);
        session
    }

    /// The last entry that every peer holds: what is kept in memory beyond it is kept for some peer.
    pub(super) fn matched_by_all(&self) -> Option<Option<Index>> {
        self.peers().map(|(_, peer)| peer.matched()).min()
    }

    pub(super) fn uncommitted_bytes(&self) -> usize {
        self.uncommitted.bytes()
    }

    /// How many reads no quorum has confirmed yet.
    pub(super) fn unconfirmed_reads(&self) -> usize {
        self.reads.len()
    }

    /// How many snapshots are on their way to peers.
    pub(super) fn snapshot_transfers(&self) -> usize {
        self.peers().filter(|(_, peer)| peer.is_sent_a_snapshot()).count()
    }

    pub(super) fn peer_status(&self, node: NodeId, now: Tick) -> Option<PeerStatus> {
        let peer = self.peer(node)?;
        Some(peer.status(node, self.elected_at, now))
    }

    pub(super) fn peer_statuses(&self, now: Tick) -> Vec<PeerStatus> {
        self.peers()
            .map(|(node, peer)| peer.status(node, self.elected_at, now))
            .collect()
    }

    /// What must always hold of a leader, beside what holds of its server.
    pub(super) fn check(&self, server: &Server) -> Result<(), &'static str> {
        let last = server.log.last_index();
        if self.first_own > Index::after(last) {
            return Err("a leader's first entry is beyond its log");
        }
        self.check_membership(server)?;
        self.uncommitted.check(server.commit)?;
        self.rounds.check(server.rounds_last_ticks())?;
        for (_, peer) in self.peers() {
            peer.check(last, &server.config.limits)?;
        }
        Ok(())
    }

    /// What must hold of a leader's configuration, of its peers and of what it appended.
    fn check_membership(&self, server: &Server) -> Result<(), &'static str> {
        let membership = server.log.membership();
        let me = server.me();
        let is_target = |to| to != me && membership.is_incoming_voter(to);
        if self.transferring_to().is_some_and(|to| !is_target(to)) {
            return Err("leadership is handed over to a server that could not take it");
        }
        if self
            .peers()
            .any(|(node, peer)| membership.contains(node) == peer.removal.is_some())
        {
            return Err("a member counts as removed, or a removed server as a member");
        }
        let named = (membership.voters().chain(membership.outgoing())).chain(membership.learners());
        let mut others = named.filter(|&node| node != me);
        if others.any(|node| self.peer(node).is_none()) {
            return Err("a leader has no progress of a member");
        }
        // §6; dissertation §4.1, corrected 2015. What it inherited may be uncommitted, however many there are.
        let own_term = |id: &LogId| id.term == server.out.term();
        if server.log.membership_id().is_some_and(|id| own_term(&id)) {
            if server.commit < Some(self.first_own) {
                return Err(
                    "a configuration was appended before an entry of the leader's term was committed",
                );
            }
            if server.log.memberships_after(server.commit).count() > 1 {
                return Err("a configuration was appended before the last one was committed");
            }
        }
        Ok(())
    }
}
