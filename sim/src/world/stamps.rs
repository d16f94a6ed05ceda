//! What hosts say of their wall clocks, and how the times are judged that leaders let commands carry.

use raft_core::{ClockError, NodeId, RoleName};

use super::Simulation;
use super::step::{OutputOf, orders_campaign};
use crate::coverage::Probe;
use crate::nanos::Nanos;
use crate::oracle::{Judgement, clocks};
use crate::places::place_of;
use crate::schedule::CLOCK_BOUND_MICROS;
use crate::workload::Workload;

impl<W: Workload> Simulation<'_, W> {
    /// C10 after a step of this server. Nothing is judged for a while after a clock was changed: a leader learns what a
    /// wall clock shows by heartbeats, believes it for an election timeout, and counts that time by its own ticks.
    pub(super) fn judge_stamp(&mut self, at: usize, outputs: &[OutputOf<W>]) -> Judgement {
        let now = self.now;
        let Some(server) = self.servers.get_mut(at).filter(|server| server.wall.is_some()) else {
            return Ok(());
        };
        if !server.counts_time(now) {
            server.ticks_mislead(now);
        }
        let Some(server) = self.servers.get(at) else {
            return Ok(());
        };
        let Some(raft) = (server.replica.as_ref())
            .map(|replica| replica.raft())
            .filter(|_| server.vitals.role == RoleName::Leader)
        else {
            return Ok(());
        };
        let stamp = match raft.stamp() {
            Ok(stamp) => stamp,
            Err(ClockError::Off { .. }) if outputs.iter().any(orders_campaign) => {
                self.happened(Probe::ClockHandover, Some(at));
                return Ok(());
            }
            Err(_) => return Ok(()),
        };
        let tick = self.schedule.tick_of(self.seed, at);
        // An exchange and what was made of it last for the longest election timeout each, and clocks run a little faster
        // or slower.
        let ticks = 2 * server.knobs.election_timeout_max_ticks + 4;
        let believed = tick.times(2 * ticks);
        let then = now.since(believed);
        let node = server.node;
        let is_misled = server.ticks_mislead_until.is_some_and(|until| until >= then);
        let servers = &self.servers;
        let wall = |node: NodeId| {
            servers
                .get(place_of(node))
                .and_then(|server| server.wall.as_ref())
        };
        let membership = raft.membership();
        let voters = membership.voters().chain(membership.outgoing());
        let was_set = |node: NodeId| wall(node).is_some_and(|wall| wall.was_set_since(then));
        if is_misled || self.budget.is_exceeded() || voters.filter(|&voter| voter != node).any(was_set) {
            return Ok(());
        }
        let error_micros = tick.times(ticks).value() / 1_000;
        let shows = |node: NodeId| Some(wall(node)?.shows(now));
        clocks::stamps(node, stamp, membership, CLOCK_BOUND_MICROS, error_micros, shows)?;
        self.happened(Probe::Stamp, Some(at));
        Ok(())
    }

    /// A clock that was put back counts no ticks until it has caught up; the slowest takes ten times as long.
    pub(super) fn clock_was_put_back(&mut self, at: usize, by: Nanos) {
        let until = self.now + by.times(10);
        if let Some(server) = self.servers.get_mut(at) {
            server.ticks_mislead(until);
        }
    }

    /// Somebody sets the wall clock of this server.
    pub(super) fn set_wall_clock(&mut self, at: usize, fault: usize) {
        let (seed, now) = (self.seed, self.now);
        if let Some(wall) = self.servers.get_mut(at).and_then(|server| server.wall.as_mut()) {
            wall.is_set_by(seed, fault as u64, now);
        }
    }
}
