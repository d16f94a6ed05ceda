//! Lease reads (dissertation §6.4.1): while a quorum is bound to refuse its votes to every other server, no other leader
//! can have committed anything, and this one may answer without asking.
//!
//! * A voter that confirmed a round refuses its vote to other servers for the shortest election timeout of its own
//!   clock, whatever term it learns of meanwhile, and says in its reply how long that is. Settings may differ between
//!   servers and change at a restart. So the lease counts from the tick in which the leader *began* the round that a
//!   quorum has confirmed, lasts for the shortest promise of that quorum, and is shorter by what clocks may differ
//!   ([`Lease`](crate::Lease)).
//! * The longest promise is durable before the first reply that makes it. A start waits it out, with whatever settings.
//! * A server that may have forgotten that it heard a leader must not vote as if it had not: one that has just started,
//!   or was just admitted, refuses its vote for as long as one that has just heard a leader.
//! * The one exception is a leader's own word, `TimeoutNow`. From the first one on, it has no lease in that leadership.

use alloc::collections::VecDeque;

use crate::queue::Ends;
use crate::types::{NodeId, Round, Tick};

use super::progress::Progress;
use super::{Leader, Server};

/// When the leader's rounds began, for those that a lease or a peer's clock may still come of, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// The first round of each tick.
    begun: VecDeque<(Round, Tick)>,
    /// Whether this leader has told another server to campaign.
    is_void: bool,
}

impl Rounds {
    /// The tick in which this round began, if that is recent enough to count.
    pub(super) fn began_at(&self, round: Round) -> Option<Tick> {
        let after = self.begun.partition_point(|(first, _)| *first <= round);
        let (_, at) = self.begun.get(after.checked_sub(1)?)?;
        Some(*at)
    }

    /// Checks that no more rounds are kept than a lease or a peer's clock can come of.
    pub(super) fn check(&self, lasts: u64) -> Result<(), &'static str> {
        if !self.begun.iter().is_sorted_by(|(_, one), (_, other)| one < other) {
            return Err("a leader keeps two rounds of one tick");
        }
        match (self.begun.front(), self.begun.back()) {
            (Some((_, first)), Some((_, last))) if last.value() - first.value() > lasts => {
                Err("a leader keeps rounds that nothing can come of")
            }
            _ => Ok(()),
        }
    }
}

impl Leader {
    /// Begins another round of confirmation: only answers to messages sent from now on confirm it.
    pub(super) fn next_round(&mut self, server: &Server) -> Round {
        let (now, lasts) = (server.now, server.rounds_last_ticks());
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

    /// Notes that a peer has confirmed this round, and is bound from the tick in which it began, for as long as it
    /// promises.
    pub(super) fn bound_by(&mut self, server: &Server, from: NodeId, round: Round, promise_micros: u64) {
        if let Some(began_at) = self.rounds.began_at(round)
            && let Some(peer) = self.peers.get_mut(&from)
        {
            peer.bound_at = Some(plant!(began_at, LEASE_FROM_ANSWER => server.now));
            let lasts = server.config.lease_ticks_of(promise_micros);
            peer.bound_ticks = plant!(lasts, LEASE_BY_OWN_SETTINGS => server.config.lease_ticks());
        }
    }

    /// Gives up the lease for the rest of this leadership, even if nothing comes of the campaign that was asked for.
    pub(super) fn void_lease(&mut self) {
        self.rounds.is_void = plant!(true, LEASE_OUTLIVES_TRANSFER => false);
    }

    /// Whether no other server can lead before the present tick is over.
    pub(super) fn holds_lease(&self, server: &Server) -> bool {
        let is_bound = |node: NodeId| {
            let is_bound_now = |peer: &Progress| {
                let since = peer.bound_at.map(|at| server.ticks_since(at));
                peer.bound_ticks > 0 && since.is_some_and(|since| since <= peer.bound_ticks)
            };
            (node == server.me() && server.counts_itself()) || self.peer(node).is_some_and(is_bound_now)
        };
        server.honours_leases()
            && !self.rounds.is_void
            && self.own_term_is_committed(server)
            && server.log.membership().has_quorum(is_bound)
    }
}

impl Server {
    /// Whether this server promises leaders to withhold its vote, and relies on such promises when it leads.
    pub(in crate::raft) fn honours_leases(&self) -> bool {
        self.config.options.lease.is_some()
    }

    /// For how long this server promises to withhold its vote: what its settings say, as far as that is durable.
    pub(in crate::raft) fn promise_micros(&self) -> u64 {
        self.out.promise_micros().min(self.config.promise_micros())
    }

    /// Withholds the vote until whatever an earlier boot promised has run out.
    pub(in crate::raft) fn wait_out_earlier_promises(&mut self) {
        let promised = self.out.hard_state().promise_micros;
        self.withholds_until = self.after(self.config.ticks_of_promise(promised));
    }

    /// Whether what an earlier boot promised may not have run out.
    pub(in crate::raft) fn withholds_vote(&self) -> bool {
        self.now < self.withholds_until
    }
}
