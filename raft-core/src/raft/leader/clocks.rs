//! The wall clocks of the members. A clock that is wrong by years must not get into the log, where every server would
//! have to believe it. So a leader compares its own with those of the voters, and lets its host stamp commands only while
//! it is near their median, which no minority of wrong clocks moves beyond the right ones.
//!
//! * Hosts give what their clocks show; answers to heartbeats carry it. It was read between the beginning of the round
//!   that the answer confirms and the answer's arrival. Ticks count that time, and carry the reading on: the leader's own
//!   clock may be set at any moment, so no time is measured by it.
//! * A reading counts for the longest election timeout. After that, the clock may have been set.
//! * The median is that of all voters, whether their clocks are known or not: it lies between two bounds, the values that
//!   it would have if the unknown ones were all behind or all ahead. This leader stamps if its own clock is near both. If
//!   it is near neither, it is wrong, and hands over to a server whose clock is near both.
//!
//! What the comparison cannot tell: which clocks are right if most are wrong together, and whether that of a single voter
//! is.

use alloc::vec::Vec;

use crate::clock::{ClockError, ClockOffset, MedianTime, Reading, WallTime};
use crate::types::{NodeId, Round, Tick};

use super::super::server::Server;
use super::Leader;
use super::progress::Progress;
use super::transfer::Handover;

/// Each attempt to hand over for the sake of the clock is followed by a pause that is twice as long, up to this many
/// doublings.
const MOST_DOUBLINGS: u32 = 10;

/// When this server may next hand over its leadership for the sake of the clock. An attempt that fails is repeated ever
/// more rarely: each costs the clients up to an election timeout. It outlives a leadership. A server that all others
/// hear may hand over to one that only this server hears, and would be elected again at once, without end.
#[derive(Debug, Default)]
pub(in crate::raft) struct HandoverPause {
    attempts: u32,
    began: Option<Tick>,
    lasts: u64,
}

impl HandoverPause {
    fn is_over(&self, now: Tick) -> bool {
        self.began
            .is_none_or(|began| now.value() - began.value() >= self.lasts)
    }

    /// Begins a pause, the first of `shortest` ticks. One that began long before is forgotten.
    fn begin(&mut self, now: Tick, shortest: u64) {
        let is_long_ago = |began: Tick| now.value() - began.value() > self.lasts.saturating_mul(4);
        if self.began.is_some_and(is_long_ago) {
            self.attempts = 0;
        }
        self.lasts = shortest.saturating_mul(1 << self.attempts.min(MOST_DOUBLINGS));
        self.attempts = self.attempts.saturating_add(1);
        self.began = Some(now);
    }
}

impl Leader {
    /// Notes what a peer's clock showed while this round was confirmed. A later answer of the same round says no more.
    pub(super) fn note_clock(
        &mut self,
        server: &Server,
        from: NodeId,
        round: Round,
        wall_time: Option<WallTime>,
    ) {
        if let Some(shown) = wall_time
            && round <= self.round
            && let Some(asked_at) = self.rounds.began_at(round)
            && let Some(peer) = self.peers.get_mut(&from)
            && peer.clock.is_none_or(|(noted, _)| round > noted)
        {
            peer.clock = Some((round, Reading::new(shown, asked_at, server.now)));
        }
    }

    /// The latest reading of this member's clock, if it still counts.
    fn reading_of(&self, server: &Server, node: NodeId) -> Option<Reading> {
        let reading = if node == server.me() {
            server.clock
        } else {
            let of_peer = |peer: &Progress| peer.clock.map(|(_, reading)| reading);
            self.peer(node).and_then(of_peer)
        };
        let lasts = server.config.timing.election_timeout_max_ticks;
        reading.filter(|reading| reading.is_recent(server.now, lasts))
    }

    /// How far this member's clock is ahead of this server's, if both are known.
    fn offset_of(&self, server: &Server, node: NodeId) -> Option<i64> {
        let own = self.reading_of(server, server.me())?;
        let reading = self.reading_of(server, node)?;
        Some(reading.ahead_of(&own, server.now, server.config.tick_micros))
    }

    /// The same for a voter whose clock counts.
    fn offset_of_voter(&self, server: &Server, node: NodeId) -> Option<i64> {
        let counts = node != server.me() || server.counts_itself();
        self.offset_of(server, node).filter(|_| counts)
    }

    /// Where the median of the voters' clocks lies, less what this server's clock shows.
    fn median_range(&self, server: &Server) -> Option<(i64, i64)> {
        let membership = server.log.membership();
        membership.median_range(|node| self.offset_of_voter(server, node))
    }

    /// The same as times.
    pub(in crate::raft) fn median_time(&self, server: &Server) -> Option<MedianTime> {
        let (least, most) = self.median_range(server)?;
        let own = server.clock?.carried_on(server.now, server.config.tick_micros);
        Some(MedianTime {
            earliest: own.shifted(least),
            latest: own.shifted(most),
        })
    }

    /// What this leader knows of the other members' clocks.
    pub(in crate::raft) fn clock_offsets(&self, server: &Server) -> Vec<ClockOffset> {
        let tick_micros = server.config.tick_micros;
        let offset = |node| {
            Some(ClockOffset {
                node,
                offset_micros: self.offset_of(server, node)?,
                error_micros: self.reading_of(server, node)?.error_micros(tick_micros),
            })
        };
        self.peers().filter_map(|(node, _)| offset(node)).collect()
    }

    /// The time that a command may carry now.
    pub(in crate::raft) fn stamp(&self, server: &Server) -> Result<WallTime, ClockError> {
        let shown = server.wall_time().ok_or(ClockError::NotGiven)?;
        plant!(self.judge_clock(server), STAMPS_ANY_TIME => Ok(())).map(|()| shown)
    }

    /// Whether this server's clock is near the median of the voters' clocks.
    fn judge_clock(&self, server: &Server) -> Result<(), ClockError> {
        let bound_micros = server.config.clock_bound_micros;
        let Some((least, most)) = self.median_range(server) else {
            let known = self.known_clocks(server);
            return Err(ClockError::Unknown { known });
        };
        if is_near(least, bound_micros) && is_near(most, bound_micros) {
            return Ok(());
        }
        let nearest = 0.clamp(least, most);
        if is_near(nearest, bound_micros) {
            let furthest = if is_near(least, bound_micros) { most } else { least };
            let shows_it = |&node: &NodeId| self.offset_of_voter(server, node) == Some(furthest);
            let membership = server.log.membership();
            let node = (membership.voters().chain(membership.outgoing())).find(shows_it);
            return Err(ClockError::Undecided {
                node: node.unwrap_or(server.me()),
                by_micros: furthest,
                bound_micros,
            });
        }
        Err(ClockError::Off {
            node: server.me(),
            by_micros: nearest.saturating_neg(),
            bound_micros,
            successor: self.successor_by_clock(server, (least, most)),
        })
    }

    /// How many voters' clocks are known; of a joint configuration's, of the half that has fewer.
    fn known_clocks(&self, server: &Server) -> usize {
        let is_known = |node: &NodeId| self.offset_of_voter(server, *node).is_some();
        let membership = server.log.membership();
        let incoming = membership.voters().filter(is_known).count();
        if membership.outgoing().next().is_none() {
            return incoming;
        }
        incoming.min(membership.outgoing().filter(is_known).count())
    }

    /// The voter that should lead instead of a server with a wrong clock: one that answers, may lead, holds every
    /// committed entry, and has a clock within half of the bound. Half, so that the errors of two leaders' measurements do
    /// not make them hand over to each other.
    fn successor_by_clock(&self, server: &Server, (least, most): (i64, i64)) -> Option<NodeId> {
        let membership = server.log.membership();
        let half = server.config.clock_bound_micros / 2;
        let is_right = |node| {
            let offset = self.offset_of(server, node);
            offset.is_some_and(|offset| {
                is_near(offset.saturating_sub(least), half) && is_near(offset.saturating_sub(most), half)
            })
        };
        self.best_voter(server, |node, peer| {
            membership.is_incoming_voter(node) && peer.matched() >= server.commit && is_right(node)
        })
    }

    /// With every heartbeat: a leader whose clock is wrong hands over to a server whose clock is right, if there is one.
    /// Another transfer, of the host's, goes first.
    pub(super) fn maybe_hand_over_for_clock(&mut self, server: &mut Server) {
        let is_paused = !server.clock_pause.is_over(server.now);
        if server.clock.is_none() || self.transferring_to().is_some() || is_paused {
            return;
        }
        if let Err(ClockError::Off {
            successor: Some(successor),
            ..
        }) = self.judge_clock(server)
        {
            let shortest = server.config.timing.election_timeout_max_ticks.saturating_mul(2);
            server.clock_pause.begin(server.now, shortest);
            self.handover = Some(Handover::unasked(server, successor));
        }
    }
}

/// Whether a distance, ahead or behind, is within the bound.
fn is_near(distance_micros: i64, bound_micros: u64) -> bool {
    distance_micros.unsigned_abs() <= bound_micros
}

impl Server {
    pub(in crate::raft) fn on_wall_time(&mut self, shown: WallTime) {
        self.clock = Some(Reading::new(shown, self.now, self.now));
    }

    /// What the host's wall clock shows, if the host has given it in this tick.
    pub(in crate::raft) fn wall_time(&self) -> Option<WallTime> {
        self.clock?.shown_at(self.now)
    }

    /// For how many ticks a leader remembers when its rounds began: as long as a lease may come of them, or the reading
    /// of a clock that this server can compare with its own.
    pub(in crate::raft) fn rounds_last_ticks(&self) -> u64 {
        let for_clocks = match self.clock {
            Some(_) => self.config.timing.election_timeout_max_ticks,
            None => 0,
        };
        self.config.lease_ticks().max(for_clocks)
    }
}
