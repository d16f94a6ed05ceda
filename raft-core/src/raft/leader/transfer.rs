//! Handing leadership over (dissertation §3.10): the leader takes no more proposals, lets the target have its whole log,
//! and tells it to campaign at once. If the target does not take over within an election timeout, the leader leads on.

use core::cmp::Reverse;

use crate::action::{Ailment, Rejection, TransferOutcome, Unfit};
use crate::message::Message;
use crate::outbox::Promise;
use crate::trace::Trace;
use crate::types::{NodeId, Tick};

use super::super::succession::Succession;
use super::progress::Progress;
use super::{Leader, Next, STAY, Server, Transition};

/// A transfer that this leader has begun.
#[derive(Debug)]
pub(super) struct Handover {
    to: NodeId,
    gives_up_at: Tick,
    /// Whether the host asked for it, and is told how it ends.
    asked: bool,
    /// Whether the target was told to campaign since the last heartbeat.
    told: bool,
}

impl Handover {
    fn new(server: &Server, to: NodeId, asked: bool) -> Self {
        Self {
            to,
            gives_up_at: server.after(server.config.timing.election_timeout_min_ticks),
            asked,
            told: false,
        }
    }

    /// One that the leader begins by itself.
    pub(super) fn unasked(server: &Server, to: NodeId) -> Self {
        Self::new(server, to, false)
    }

    pub(super) fn to(&self) -> NodeId {
        self.to
    }

    pub(super) fn is_asked(&self) -> bool {
        self.asked
    }

    pub(super) fn gives_up_at(&self) -> Tick {
        self.gives_up_at
    }
}

impl Leader {
    pub(in crate::raft) fn on_transfer(&mut self, server: &mut Server, wanted: Option<NodeId>) {
        match self.choose_target(server, wanted) {
            Ok(to) => self.handover = Some(Handover::new(server, to, true)),
            Err(reason) => server.end_transfer(wanted, TransferOutcome::Rejected(reason)),
        }
    }

    /// The server to hand over to: the one that is wanted, or of those that are fit the one that holds most.
    fn choose_target(&self, server: &Server, wanted: Option<NodeId>) -> Result<NodeId, Rejection> {
        if let Some(to) = self.transferring_to() {
            return Err(Rejection::Transferring { to });
        }
        if let Some(to) = wanted {
            // One that was not heard yet may be in good health: it is asked, and has an election timeout to answer.
            return match self.unfit(server, to) {
                None | Some(Unfit::Ailing(Ailment::Unheard)) => Ok(to),
                Some(why) => Err(Rejection::NotATarget { to, why }),
            };
        }
        let voters = server
            .log
            .membership()
            .voters()
            .filter(|&node| node != server.me());
        let matched = |node| self.peer(node).and_then(Progress::matched);
        let best = voters
            .map(|node| (self.unfit(server, node), node))
            .max_by_key(|&(unfit, node)| (unfit.is_none(), matched(node), Reverse(node)));
        match best {
            None => Err(Rejection::NoTarget),
            Some((None, to)) => Ok(to),
            Some((Some(why), to)) => Err(Rejection::NotATarget { to, why }),
        }
    }

    /// Why the server cannot be handed the leadership, as far as this leader knows.
    fn unfit(&self, server: &Server, to: NodeId) -> Option<Unfit> {
        let membership = server.log.membership();
        if to == server.me() {
            Some(Unfit::Leads)
        } else if !membership.is_incoming_voter(to) {
            // A voter that the joint configuration removes would have to hand over again.
            Some(Unfit::NotVoter)
        } else if membership.is_witness(to) {
            Some(Unfit::Witness)
        } else {
            let ailment = self.ailment(server, to);
            plant!(ailment, HANDS_OVER_TO_THE_SICK => None).map(Unfit::Ailing)
        }
    }

    /// The target of the transfer that is under way. This leader appends nothing for clients meanwhile (§3.10, step 1).
    pub(in crate::raft) fn transferring_to(&self) -> Option<NodeId> {
        self.handover.as_ref().map(|handover| handover.to)
    }

    /// §3.10, steps 2 and 3: once the target holds the whole log, no log is newer, and it is told to campaign. It is
    /// told again with every heartbeat; in the term of its campaign, a late message is stale.
    pub(super) fn maybe_tell_target(&mut self, server: &mut Server) {
        let last = server.log.last_index();
        let Some(handover) = &mut self.handover else {
            return;
        };
        let to = handover.to;
        let caught_up = self.peers.get(&to).is_some_and(|peer| peer.matched() >= last);
        let caught_up = plant!(caught_up, TELLS_TARGET_EARLY => true);
        if caught_up && !handover.told {
            handover.told = true;
            self.void_lease();
            self.order_campaign(server, to);
        }
    }

    /// The server that should lead instead. A transfer that is under way has its successor: two campaigns at once would
    /// split the vote.
    pub(super) fn successor(&self, server: &Server) -> Option<NodeId> {
        let membership = server.log.membership();
        let best = self.best_voter(server, |node, _| membership.is_voter(node));
        self.transferring_to().or(best)
    }

    /// Of the servers that vote by this rule, that answer, and that may lead, the one that holds most; one whose disk
    /// stalls only if there is no other.
    pub(super) fn best_voter(
        &self,
        server: &Server,
        votes: impl Fn(NodeId, &Progress) -> bool,
    ) -> Option<NodeId> {
        let (now, patience) = (server.now, server.config.timing.election_timeout_min_ticks);
        let may_lead = |peer: &Progress| !peer.is_witness && !peer.is_halted() && peer.answers(now, patience);
        self.peers()
            .filter(|&(node, peer)| may_lead(peer) && votes(node, peer))
            .max_by_key(|(node, peer)| (!peer.is_stalled(), peer.matched(), Reverse(*node)))
            .map(|(node, _)| node)
    }

    /// Steps down, and tells the successor to campaign at once, whatever it holds, so that the cluster need not wait for
    /// an election timeout.
    pub(super) fn hand_over(&mut self, server: &mut Server, successor: NodeId) -> Next {
        self.order_campaign(server, successor);
        Transition::Follow(None).into()
    }

    /// With every heartbeat: yields leadership if this server's disk stalls, to a voter that answers. Without one, no
    /// server could do better.
    pub(super) fn maybe_yield_leadership(&mut self, server: &mut Server) -> Next {
        if server.disk_stalls()
            && let Some(successor) = self.successor(server)
        {
            return self.hand_over(server, successor);
        }
        STAY
    }

    fn order_campaign(&self, server: &mut Server, to: NodeId) {
        server.trace(Trace::CampaignOrdered { to });
        server.send(to, self.folder_met(to), Promise::Term, Message::TimeoutNow);
    }

    /// With every heartbeat: the target is to be told again.
    pub(super) fn retell_target(&mut self) {
        if let Some(handover) = &mut self.handover {
            handover.told = false;
        }
    }

    /// §3.10: aborts a transfer that does not complete within an election timeout.
    pub(super) fn maybe_abort_transfer(&mut self, server: &mut Server) {
        let is_over = |handover: &mut Handover| {
            let is_over = server.now >= handover.gives_up_at;
            plant!(is_over, TRANSFERS_WITHOUT_END => false)
        };
        if let Some(handover) = self.handover.take_if(is_over)
            && handover.asked
        {
            server.end_transfer(Some(handover.to), TransferOutcome::TimedOut);
        }
    }

    /// Leadership is over. Whether the transfer that was under way has succeeded is known when the next leader is.
    pub(super) fn leave_handover(&mut self, server: &mut Server) {
        if let Some(Handover {
            to,
            gives_up_at,
            asked: true,
            ..
        }) = self.handover.take()
        {
            let succession = Succession { to, gives_up_at };
            unless_planted!(HANDS_OVER_SILENTLY, server.succession = Some(succession));
        }
    }

    /// The disk failed: the transfer that is under way may succeed, and this server will not learn of it.
    pub(super) fn fail_handover(&mut self, server: &mut Server) {
        if let Some(handover) = self.handover.take()
            && handover.asked
        {
            server.end_transfer(Some(handover.to), TransferOutcome::Rejected(Rejection::Failed));
        }
    }
}
