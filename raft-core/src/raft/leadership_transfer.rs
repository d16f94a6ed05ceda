//! Handing leadership over (dissertation §3.10): the leader takes no more proposals, lets the target have its whole
//! log, and tells it to campaign at once. If nothing comes of it within an election timeout, it leads on.

use core::cmp::Reverse;

use crate::action::{Action, Rejection, TransferOutcome};
use crate::message::Message;
use crate::outbox::Promise;
use crate::trace::Trace;
use crate::types::{NodeId, Tick};

use super::leader::Leader;
use super::{Raft, Role};

/// A transfer that this leader has begun.
#[derive(Debug)]
pub(super) struct Handover {
    pub(super) to: NodeId,
    gives_up_at: Tick,
    /// Whether the target was told to campaign since the last heartbeat.
    told: bool,
}

impl Handover {
    pub(super) fn gives_up_at(&self) -> Tick {
        self.gives_up_at
    }
}

impl Raft {
    pub(super) fn on_transfer(&mut self, to: NodeId) {
        match self.refuses_transfer(to) {
            Some(reason) => self.end_transfer(to, TransferOutcome::Rejected(reason)),
            None => {
                let gives_up_at = self.after(self.config.timing.election_timeout_min_ticks);
                if let Role::Leader(leader) = &mut self.role {
                    leader.handover = Some(Handover {
                        to,
                        gives_up_at,
                        told: false,
                    });
                }
            }
        }
    }

    fn refuses_transfer(&self, to: NodeId) -> Option<Rejection> {
        let Role::Leader(leader) = &self.role else {
            let leader = self.leader();
            return Some(Rejection::NotLeader { leader });
        };
        if let Some(handover) = &leader.handover {
            return Some(Rejection::Transferring { to: handover.to });
        }
        // Whoever is about to leave would have to hand over again.
        let membership = self.log.membership();
        let stays = membership.voters().any(|voter| voter == to) && !membership.is_witness(to);
        (to == self.me() || !stays).then_some(Rejection::NotATarget { to })
    }

    /// Whom this leader is handing over to; it takes nothing into its log meanwhile (§3.10, step 1).
    pub(super) fn transferring_to(&self) -> Option<NodeId> {
        match &self.role {
            Role::Leader(leader) => leader.handover.as_ref().map(|handover| handover.to),
            _ => None,
        }
    }

    /// §3.10, steps 2 and 3: once the target holds the whole log, nobody's is newer, and it is told to campaign. It
    /// is told again with every heartbeat; in the term that it campaigns in, what is late is stale.
    pub(super) fn maybe_tell_target(&mut self) {
        let last = self.log.last_index();
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let Some(handover) = &mut leader.handover else {
            return;
        };
        let to = handover.to;
        let caught_up = leader.peers.get(&to).is_some_and(|peer| peer.matched() >= last);
        if (caught_up || planted!(TELLS_TARGET_EARLY)) && !handover.told {
            handover.told = true;
            self.void_lease();
            self.order_campaign(to);
        }
    }

    /// Who should lead instead: of the voters that answer and may lead, the one that holds most. A transfer that is
    /// under way has its successor: two campaigns at once would split the vote.
    pub(super) fn successor(&self, leader: &Leader) -> Option<NodeId> {
        let (now, patience) = (self.now, self.config.timing.election_timeout_min_ticks);
        let membership = self.log.membership();
        let best = leader
            .peers()
            .filter(|(node, peer)| {
                membership.is_voter(*node) && !peer.is_witness && peer.answers(now, patience)
            })
            .max_by_key(|(node, peer)| (peer.matched(), Reverse(*node)))
            .map(|(node, _)| node);
        self.transferring_to().or(best)
    }

    /// Steps down, and tells the successor to campaign at once, whatever it holds: nobody need wait for an election
    /// timeout.
    pub(super) fn hand_over(&mut self, successor: NodeId) {
        self.order_campaign(successor);
        self.become_follower(None);
    }

    fn order_campaign(&mut self, to: NodeId) {
        self.trace(Trace::CampaignOrdered { to });
        self.send(to, Promise::Term, Message::TimeoutNow);
    }

    pub(super) fn tell_target_again(&mut self) {
        if let Role::Leader(leader) = &mut self.role
            && let Some(handover) = &mut leader.handover
        {
            handover.told = false;
        }
    }

    /// §3.10: a transfer that does not complete within an election timeout is given up.
    pub(super) fn maybe_abort_transfer(&mut self) {
        let now = self.now;
        if let Role::Leader(leader) = &mut self.role
            && !planted!(TRANSFERS_WITHOUT_END)
            && let Some(handover) = leader.handover.take_if(|handover| now >= handover.gives_up_at)
        {
            self.end_transfer(handover.to, TransferOutcome::TimedOut);
        }
    }

    /// Leadership is gone, and with it what was under way to give it away.
    pub(super) fn end_handover(&mut self, outcome: TransferOutcome) {
        if let Role::Leader(leader) = &mut self.role
            && let Some(handover) = leader.handover.take()
            && !planted!(HANDS_OVER_SILENTLY)
        {
            self.end_transfer(handover.to, outcome);
        }
    }

    pub(super) fn end_transfer(&mut self, to: NodeId, outcome: TransferOutcome) {
        self.out.push(Action::TransferEnded { to, outcome });
    }

    /// The leader wants this server to take over. It has everything, so there is nothing to ask first, and it may
    /// campaign although a leader makes itself heard: that leader wants it (§3.10, §4.2.3).
    pub(super) fn on_timeout_now(&mut self, from: NodeId) {
        match &self.role {
            Role::Follower(follower) if follower.leader() == Some(from) && self.may_campaign() => {
                let last = self.log.last();
                self.become_candidate(&Message::TransferVote { last });
            }
            _ => self.ignored.stale += 1,
        }
    }
}
