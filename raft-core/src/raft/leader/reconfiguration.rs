//! Changes of the configuration (paper §6; dissertation chapter 4): when a leader may append one, and which peers it
//! feeds from then on.
//!
//! Three rules keep any two quorums that can decide at the same time overlapping:
//!
//! * one uncommitted configuration at a time, judged where the next one would be appended: a new leader may inherit
//!   two;
//! * an entry of the leader's own term is committed first (the correction of 2015 to dissertation §4.1);
//! * servers come and go one at a time, or through a joint configuration (§4.3).

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::action::{Action, ChangeRejection, Rejection};
use crate::identity::Incarnation;
use crate::input::Expected;
use crate::membership::{Change, Membership};
use crate::trace::Trace;
use crate::types::{Entry, EntryBody, LogId, NodeId, ProposalId, Ticket};

use super::super::waiting::Proposal;
use super::progress::Progress;
use super::removal::Removal;
use super::{Leader, Sender, Server};

impl Leader {
    pub(in crate::raft) fn on_change_membership(
        &mut self,
        server: &mut Server,
        id: ProposalId,
        (expect, force): (Expected, bool),
        change: Change,
    ) {
        let judged = self.judge_change(server, expect, &change).and_then(|changed| {
            let health = self.check_health(server, &changed);
            health
                .err()
                .filter(|_| !force)
                .map_or(Ok((changed, health.is_err())), Err)
        });
        match judged {
            Ok((membership, is_forced)) => {
                let at = LogId::new(server.out.term(), server.log.next_index());
                server.proposals.push_back(Proposal { id, at });
                if is_forced {
                    server.trace(Trace::ChangeForced { at });
                }
                self.append_membership(server, membership);
            }
            Err(reason) => server.reject_change(id, reason, change),
        }
    }

    /// The configuration to append, or why none is appended, whatever the health of its voters.
    fn judge_change(
        &self,
        server: &Server,
        expect: Expected,
        change: &Change,
    ) -> Result<Membership, ChangeRejection> {
        if let Some(to) = self.transferring_to() {
            return Err(Rejection::Transferring { to }.into());
        }
        server.check_room_for_proposal()?;
        if !self.own_term_is_committed(server) {
            return Err(ChangeRejection::NotReady);
        }
        let current = server.log.membership_id();
        if !server.membership_is_committed() || server.log.membership().is_joint() {
            return Err(ChangeRejection::InProgress { current });
        }
        let is_expected = expect.is(current);
        let is_expected = plant!(is_expected, IGNORES_EXPECTATION => true);
        if !is_expected {
            return Err(ChangeRejection::Outdated { current });
        }
        let before = server.log.membership();
        let changed = before.changed(change)?;
        let lagging = changed
            .voters()
            .filter(|&node| !before.is_voter(node))
            .find(|&node| !self.has_caught_up(server, node));
        if let Some(node) = lagging {
            let matched = self.peer(node).and_then(Progress::matched);
            return Err(ChangeRejection::NotCaughtUp { node, matched });
        }
        if !changed.voters().eq(before.voters())
            && let Some(node) = changed.voters().find(|&node| before.incarnation(node).is_none())
        {
            // An unbound server takes no part before its binding is committed (see `joining`). A quorum that needs it
            // could never commit that binding.
            return Err(ChangeRejection::NotJoined { node });
        }
        Ok(changed.bind(self.folders_heard(server)))
    }

    /// Dissertation §4.2.1: whether the learner would not hold up commitment if it voted. It answers, and it either has
    /// every entry, or the last catch-up round, which brought what the log held when the round began, took no longer
    /// than the shortest election timeout, and neither has the present one so far.
    fn has_caught_up(&self, server: &Server, node: NodeId) -> bool {
        let patience = server.config.timing.election_timeout_min_ticks;
        let last = server.log.last_index();
        self.peer(node)
            .is_some_and(|peer| peer.has_caught_up(last, server.now, patience))
    }

    /// The data folders from which members have answered, and this server's own. A removed server may come back with
    /// another one, so its folder is left out.
    fn folders_heard(&self, server: &Server) -> impl Iterator<Item = (NodeId, Incarnation)> {
        let heard = self
            .peers()
            .filter(|(_, peer)| peer.removal.is_none())
            .filter_map(|(node, peer)| Some((node, peer.incarnation?)));
        let Sender {
            node, incarnation, ..
        } = server.sender();
        heard.chain([(node, incarnation)])
    }

    fn append_membership(&mut self, server: &mut Server, membership: Membership) {
        let id = LogId::new(server.out.term(), server.log.next_index());
        let body = EntryBody::Membership(Arc::new(membership));
        self.append(server, Entry { id, body });
        // By other quorums, the answers that came before may be enough, and the servers that are left may have no more
        // to send. Commitment is looked at when the entry is durable here.
        self.confirm_reads(server);
    }

    /// Dissertation §4.3: once the joint configuration is committed, any leader appends the one that it leads to, also
    /// of a change that an earlier leader began. No limit holds this back.
    pub(super) fn maybe_leave_joint(&mut self, server: &mut Server) {
        let membership = server.log.membership();
        let joint_is_committed = server.membership_is_committed();
        let joint_is_committed = plant!(joint_is_committed, LEAVES_JOINT_EARLY => true);
        let joint_at = server.log.membership_id().map(|id| id.index);
        let is_mine_to_leave = plant!(true, STAYS_JOINT => joint_at >= Some(self.first_own));
        if membership.is_joint()
            && self.handover.is_none()
            && self.own_term_is_committed(server)
            && joint_is_committed
            && is_mine_to_leave
        {
            let left = membership.left();
            self.append_membership(server, left);
        }
    }

    /// Binds the data folders of members that were heard for the first time, by an entry in the log: see `joining`. Like
    /// every configuration it waits until an entry of the leader's own term is committed, and the configuration before
    /// it (dissertation §4.1 and its correction of 2015).
    pub(super) fn maybe_bind(&mut self, server: &mut Server) {
        if !self.to_bind {
            return;
        }
        let settled = self.own_term_is_committed(server) && server.membership_is_committed();
        if !settled || self.handover.is_some() {
            return;
        }
        let membership = server.log.membership();
        let unbound = |(node, _): &(NodeId, Incarnation)| {
            membership.contains(*node) && membership.incarnation(*node).is_none()
        };
        let heard: Vec<(NodeId, Incarnation)> = self.folders_heard(server).filter(unbound).collect();
        if heard.is_empty() {
            self.to_bind = false;
            return;
        }
        let bound = membership.bind(heard);
        self.append_membership(server, bound);
    }

    /// Begins anew with a peer whose data folder speaks twice: what it has acknowledged and promised may have been
    /// another copy's.
    pub(in crate::raft) fn forget_peer(&mut self, server: &mut Server, node: NodeId) {
        let session = self.next_session();
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        let mut fresh = Progress::new(session, peer.incarnation, server.log.next_index(), server.now);
        fresh.is_witness = peer.is_witness;
        fresh.removal = peer.removal.take();
        let mut former = core::mem::replace(peer, fresh);
        if let Some(transfer) = former.transfer() {
            let ticket = transfer.ticket;
            server.out.push(Action::SnapshotEnded { ticket });
        }
    }

    /// Feeds every server that is a member now, from the next entry on. A server that is no member any more is fed until
    /// it knows, or for a while. One that comes back starts a new session, so that no answer to an old one counts.
    /// Returns the snapshot transfers that ended.
    pub(super) fn follow_membership(&mut self, server: &Server) -> Vec<Ticket> {
        let membership = Arc::clone(server.log.membership());
        let removal = Removal::new(server);
        let (me, now, next) = (server.me(), server.now, server.log.next_index());
        let mut ended = Vec::new();
        self.to_bind = true;
        self.to_raise = true;
        for (node, peer) in self.peers.iter_mut() {
            if !membership.contains(node) && peer.removal.is_none() {
                peer.removal = Some(removal.clone());
            }
        }
        for node in membership.members().filter(|&node| node != me) {
            if self.peers.get(&node).is_none_or(|peer| peer.removal.is_some()) {
                let folder = membership.incarnation(node);
                let mut peer = Progress::new(self.next_session(), folder, next, now);
                peer.is_witness = membership.is_witness(node);
                let former = self.peers.insert(node, peer);
                ended.extend(former.and_then(|mut former| Some(former.transfer()?.ticket)));
            }
        }
        ended
    }
}
