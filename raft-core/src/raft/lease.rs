//! Lease reads (dissertation §6.4.1): while a quorum is bound to refuse everybody else its votes, no other leader can
//! have committed anything, and this one may answer without asking.
//!
//! * A voter that heard a round keeps its vote to itself for the shortest election timeout of its own clock, whatever
//!   term it learns of meanwhile. So the lease counts from the tick in which the leader *began* the round that a quorum
//!   has confirmed, and is shorter by what clocks may differ ([`Lease`](crate::Lease)).
//! * Who forgets that it heard a leader must not vote as if it had not: a server that has just started, or was just
//!   admitted, keeps its vote for as long as one that has just heard a leader.
//! * The one way around is a leader's own word, `TimeoutNow`. From the first one on, it has no lease in that
//!   leadership.

use alloc::collections::VecDeque;

use crate::types::{NodeId, Round, Tick};

use super::leader::Leader;
use super::{Raft, Role};

/// What a leader knows of its rounds: when those began that may still count, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// The first round of each tick.
    begun: VecDeque<(Round, Tick)>,
    /// Whether somebody was told to campaign although this server leads.
    is_void: bool,
}

impl Rounds {
    /// When this round began, if that is recent enough to count.
    fn began_at(&self, round: Round) -> Option<Tick> {
        let behind = self.begun.partition_point(|(first, _)| *first <= round);
        let (_, at) = self.begun.get(behind.checked_sub(1)?)?;
        Some(*at)
    }

    /// No more rounds are kept than a lease can come of.
    pub(super) fn check(&self, lasts: u64) -> Result<(), &'static str> {
        if !self.begun.iter().is_sorted_by(|(_, one), (_, other)| one < other) {
            return Err("a leader keeps two rounds of one tick");
        }
        match (self.begun.front(), self.begun.back()) {
            (Some((_, first)), Some((_, last))) if last.value() - first.value() > lasts => {
                Err("a leader keeps rounds that no lease can come of")
            }
            _ => Ok(()),
        }
    }
}

impl Raft {
    /// Begins another round of confirmation: only answers to messages sent from now on confirm it.
    pub(super) fn next_round(&mut self) -> Round {
        let (now, lasts) = (self.now, self.config.lease_ticks());
        let Role::Leader(leader) = &mut self.role else {
            return Round::new(0);
        };
        leader.round = Round::new(leader.round.value() + 1);
        if lasts > 0 {
            let begun = &mut leader.rounds.begun;
            while begun
                .pop_front_if(|(_, at)| now.value() - at.value() > lasts)
                .is_some()
            {}
            if begun.back().is_none_or(|(_, at)| *at < now) {
                begun.push_back((leader.round, now));
            }
        }
        leader.round
    }

    /// A peer has confirmed this round, and is bound from when it began.
    pub(super) fn bound_by(&mut self, from: NodeId, round: Round) {
        if let Role::Leader(leader) = &mut self.role
            && let Some(began_at) = leader.rounds.began_at(round)
            && let Some(peer) = leader.peers.get_mut(&from)
        {
            peer.bound_at = Some(if planted!(LEASE_FROM_ANSWER) {
                self.now
            } else {
                began_at
            });
        }
    }

    /// From the first time that somebody is told to campaign, there is no lease in this leadership, even if nothing
    /// comes of it.
    pub(super) fn void_lease(&mut self) {
        if let Role::Leader(leader) = &mut self.role {
            leader.rounds.is_void = !planted!(LEASE_OUTLIVES_TRANSFER);
        }
    }

    /// Whether no other server can lead before the present tick is over.
    pub(super) fn holds_lease(&self, leader: &Leader) -> bool {
        let lasts = self.config.lease_ticks();
        let is_bound = |node: NodeId| {
            let bound_at = leader.peer(node).and_then(|peer| peer.bound_at);
            node == self.me() || bound_at.is_some_and(|at| self.now.value() - at.value() <= lasts)
        };
        lasts > 0
            && !leader.rounds.is_void
            && self.own_term_is_committed(leader)
            && self.log.membership().has_quorum(is_bound)
    }

    /// Whether leaders of this cluster may rely on leases, and so on votes that nobody gives.
    pub(super) fn honours_leases(&self) -> bool {
        self.config.options.lease.is_some()
    }

    /// A server that starts may have confirmed a round just before, and an admitted one may have done so with its
    /// former folder.
    pub(super) fn wait_out_forgotten_leases(&mut self) {
        if self.honours_leases() && !planted!(FORGETS_LEASE_AT_RESTART) {
            self.put_off_campaign(true);
        }
    }
}
