//! Lease reads (dissertation §6.4.1): while a quorum is bound to refuse its votes to every other server, no other leader
//! can have committed anything, and this one may answer without asking.
//!
//! * A voter that confirmed a round refuses its vote to other servers for the shortest election timeout of its own
//!   clock, whatever term it learns of meanwhile. So the lease counts from the tick in which the leader *began* the
//!   round that a quorum has confirmed, and is shorter by what clocks may differ ([`Lease`](crate::Lease)).
//! * A server that may have forgotten that it heard a leader must not vote as if it had not: one that has just started,
//!   or was just admitted, refuses its vote for as long as one that has just heard a leader.
//! * The one exception is a leader's own word, `TimeoutNow`. From the first one on, it has no lease in that leadership.

use alloc::collections::VecDeque;

use crate::queue::Ends;
use crate::types::{NodeId, Round, Tick};

use super::{Leader, Server};

/// When the leader's rounds began, for those that a lease may still come of, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// The first round of each tick.
    begun: VecDeque<(Round, Tick)>,
    /// Whether this leader has told another server to campaign.
    is_void: bool,
}

impl Rounds {
    /// The tick in which this round began, if that is recent enough to count.
    fn began_at(&self, round: Round) -> Option<Tick> {
        let after = self.begun.partition_point(|(first, _)| *first <= round);
        let (_, at) = self.begun.get(after.checked_sub(1)?)?;
        Some(*at)
    }

    /// Checks that no more rounds are kept than a lease can come of.
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

impl Leader {
    /// Begins another round of confirmation: only answers to messages sent from now on confirm it.
    pub(super) fn next_round(&mut self, server: &Server) -> Round {
        let (now, lasts) = (server.now, server.config.lease_ticks());
        self.round = Round::new(self.round.value() + 1);
        if lasts > 0 {
            let begun = &mut self.rounds.begun;
            let is_over = |(_, at): &(Round, Tick)| now.value() - at.value() > lasts;
            while begun.take_front_if(is_over).is_some() {}
            if begun.back().is_none_or(|(_, at)| *at < now) {
                begun.push_back((self.round, now));
            }
        }
        self.round
    }

    /// Notes that a peer has confirmed this round, and is bound from the tick in which it began.
    pub(super) fn bound_by(&mut self, server: &Server, from: NodeId, round: Round) {
        if let Some(began_at) = self.rounds.began_at(round)
            && let Some(peer) = self.peers.get_mut(&from)
        {
            peer.bound_at = Some(plant!(began_at, LEASE_FROM_ANSWER => server.now));
        }
    }

    /// Gives up the lease for the rest of this leadership, even if nothing comes of the campaign that was asked for.
    pub(super) fn void_lease(&mut self) {
        self.rounds.is_void = plant!(true, LEASE_OUTLIVES_TRANSFER => false);
    }

    /// Whether no other server can lead before the present tick is over.
    pub(super) fn holds_lease(&self, server: &Server) -> bool {
        let lasts = server.config.lease_ticks();
        let is_bound = |node: NodeId| {
            let bound_at = self.peer(node).and_then(|peer| peer.bound_at);
            (node == server.me() && server.counts_itself())
                || bound_at.is_some_and(|at| server.ticks_since(at) <= lasts)
        };
        lasts > 0
            && !self.rounds.is_void
            && self.own_term_is_committed(server)
            && server.log.membership().has_quorum(is_bound)
    }
}

impl Server {
    /// Whether leaders of this cluster may rely on leases, and so on votes that are refused.
    pub(in crate::raft) fn honours_leases(&self) -> bool {
        self.config.options.lease.is_some()
    }
}
