//! The end of the faults: a core of servers is healed for good, and must elect, agree and serve (oracles L1 and L2).

use raft_core::{LogId, NodeId, RoleName};

use super::server::Server;
use super::targets::shuffled;
use super::{Event, Simulation};
use crate::coverage::Probe;
use crate::nanos::Nanos;
use crate::oracle::liveness::{Member, converged_in_time, obstacle, served_in_time};
use crate::oracle::membership::{is_quorum, settled_in_time, unsettled};
use crate::oracle::{Judgement, Oracle, apply, violated};
use crate::places::{node_at, place_of};
use crate::random::{Domain, Draws};
use crate::report::Place;
use crate::schedule::{Rest, Shape, Survival};
use crate::workload::Workload;

/// The phase of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Anything may happen.
    Faulty,
    /// The core is healed and must converge.
    Healed { at: Nanos, core: u8 },
    /// The core has converged and must serve.
    Converged { at: Nanos, core: u8 },
    /// Every client is served, and there is nothing left to do.
    Quiet { at: Nanos, core: u8 },
    /// Every server that can run does, and only safety is promised.
    Unjudged { until: Nanos },
    /// The run is over.
    Over,
}

/// The time between two examinations of the healed cluster.
const EXAMINE_EVERY: Nanos = Nanos::from_millis(25);

/// How long a cluster continues after a heal that can promise nothing.
const UNJUDGED_FOR: Nanos = Nanos::from_secs(5);

/// How many of 10,000 servers outside the core keep their links to a few of its servers.
const HALF_CONNECTED_PERMYRIAD: u32 = 3_000;

/// The number of queries by which machines are compared at the end.
const COMPARED_CHOICES: u64 = 64;

impl<W: Workload> Simulation<'_, W> {
    /// Ends the faults.
    pub(super) fn heal(&mut self) {
        let mut draws = self.seed.careful(Domain::Heal, 0, 0, 0);
        self.end_damage();
        let all = u8::MAX >> (8 - self.servers.len());
        let damaged = self.damaged_servers();
        let is_sound = self.is_quorum_sound(damaged) && !self.budget.is_exceeded();
        let chosen = match self.schedule.heal.rest {
            _ if !is_sound => all,
            Rest::Healed => all & !damaged,
            Rest::Broken => self.choose_core(damaged, &mut draws),
        };
        let is_promised = is_sound && self.can_elect(chosen) && self.can_be_upgraded(chosen);
        let core = if is_promised { chosen } else { all };
        self.drained = self.now + self.network.backlog(self.now);
        self.phase = match is_promised {
            true => Phase::Healed { at: self.now, core },
            false => Phase::Unjudged {
                until: self.now + UNJUDGED_FOR,
            },
        };
        if !is_promised {
            self.happened(Probe::HealUnjudged, None);
        }
        self.hash_event(14, u64::from(core));
        self.happened(Probe::Heal, None);
        if self.tells() {
            let members: Vec<usize> = super::targets::members(core).map(|place| place + 1).collect();
            self.tell(
                self.event,
                Place::World,
                "heal",
                format!("the core is {members:?}"),
            );
        }
        self.quiet.heal(self.now);
        self.calm_weather();
        self.finish_upgrade(core);
        for place in 0..self.servers.len() {
            self.restore(place, core >> place & 1 == 1);
        }
        self.break_rest(core, &mut draws);
        self.release_held();
        self.push_after(EXAMINE_EVERY, Event::Examine);
    }

    /// Makes messages and disks quick from here on, however bad the weather was. Liveness requires that they are quick
    /// against election timeouts (paper §5.6, the timing requirement).
    fn calm_weather(&mut self) {
        let election = self
            .schedule
            .cluster
            .tick
            .times(self.schedule.knobs.election_timeout_min_ticks);
        let quick = Nanos::new(election.value() / 10);
        self.network.calm(quick);
        self.client_network.calm(quick);
        self.disk_weather.sync_max = self.disk_weather.sync_max.min(quick);
        self.disk_weather.sync_min = self.disk_weather.sync_min.min(quick);
        self.disk_weather.stall_permyriad = 0;
        self.disk_weather.snapshot = self.disk_weather.snapshot.min(quick);
        self.disk_weather.snapshot_fails_permyriad = 0;
    }

    /// Chooses a random quorum and, by draw, a few more servers. Servers that no longer wait for the first start come
    /// first: only they can vote, so unless a quorum of them exists every server is needed.
    fn choose_core(&self, damaged: u8, draws: &mut Draws) -> u8 {
        let mut order = shuffled(self.servers.len(), draws);
        order.retain(|place| damaged >> place & 1 == 0);
        let count = order.len();
        order.sort_by_key(|&place| !self.has_joined(place));
        let first = |size: usize| order.iter().take(size).fold(0, |core, place| core | 1 << place);
        let enough = (0..=count).find(|&size| self.is_quorum_of_all(first(size)));
        let enough = enough.unwrap_or(count);
        let extra = usize::try_from(draws.below((count - enough) as u64 + 1)).unwrap_or(0);
        let core = first(enough + extra);
        core | self.sole_holders(core) & !damaged
    }

    /// Whether some voter cannot lead: a witness, or a server that is a voter in the configurations of some logs and
    /// not of all.
    fn has_voters_that_cannot_lead(&self) -> bool {
        let cluster = &self.schedule.cluster;
        let votes =
            |place| cluster.is_witness(place) || (self.votes_by_some(place) && !self.votes_by_all(place));
        (0..self.servers.len()).any(votes)
    }

    /// Whether the server is a voter in some configuration that may be in force.
    fn votes_by_some(&self, place: usize) -> bool {
        let facts = &self.oracles.facts;
        facts
            .electorates(facts.last_committed())
            .any(|membership| membership.is_voter(node_at(place)))
    }

    /// Whether the server is a voter in every configuration that may be in force.
    fn votes_by_all(&self, place: usize) -> bool {
        let facts = &self.oracles.facts;
        facts
            .electorates(facts.last_committed())
            .all(|membership| membership.is_voter(node_at(place)))
    }

    /// Returns the servers that may hold an entry which no server of the core that may lead certainly holds. A voter of
    /// the core that cannot lead may have acknowledged that entry, or may yet do so for a message in flight. Then no
    /// server can lead without the one that holds it: see `raft/witness.rs` in the library.
    fn sole_holders(&self, core: u8) -> u8 {
        if !self.has_voters_that_cannot_lead() {
            return 0;
        }
        let cluster = &self.schedule.cluster;
        let holders = || (0..self.servers.len()).filter(|&place| !cluster.is_witness(place));
        let newest = holders()
            .filter(|&place| core >> place & 1 == 1 && self.votes_by_all(place))
            .filter_map(|place| self.last_kept_by(place))
            .max();
        holders()
            .filter(|&place| self.votes_by_some(place) && self.last_of(place) > newest)
            .fold(0, |more, place| more | 1 << place)
    }

    /// Whether no voter of the core has a later log than the servers that may lead. Such a voter would rightly deny
    /// them its vote.
    fn can_elect(&self, core: u8) -> bool {
        if !self.has_voters_that_cannot_lead() {
            return true;
        }
        let members = || super::targets::members(core);
        let leaders = members().filter(|&place| self.may_lead(place));
        let voters = members().filter(|&place| self.votes_by_some(place));
        let kept = leaders.filter_map(|place| self.last_kept_by(place)).max();
        kept >= voters.filter_map(|place| self.last_of(place)).max()
    }

    /// Whether the server may lead by its own configuration.
    pub(super) fn may_lead(&self, place: usize) -> bool {
        let replica = self.servers.get(place).and_then(|server| server.replica.as_ref());
        let votes = match replica {
            Some(replica) => replica.raft().membership().is_voter(node_at(place)),
            None => self.votes_by_all(place),
        };
        votes && !self.schedule.cluster.is_witness(place)
    }

    /// The last entry that a server's log may have after the heal.
    pub(super) fn last_of(&self, place: usize) -> Option<LogId> {
        let server = self.servers.get(place)?;
        match server.is_running() {
            true => server.vitals.last,
            false => server.disk.durable().last(),
        }
    }

    /// The last entry that a server's log certainly has after the heal.
    pub(super) fn last_kept_by(&self, place: usize) -> Option<LogId> {
        let server = self.servers.get(place)?;
        match server.has_to_restart() {
            true => server.disk.durable().last(),
            false => self.last_of(place),
        }
    }

    /// Whether the servers among these that can vote are a quorum of every configuration that may be in force: the last
    /// committed one, and every later one that any log ever held. A log of the core may have such an entry already, or
    /// a late message may bring it.
    pub(super) fn is_quorum_of_all(&self, core: u8) -> bool {
        let votes = |node: NodeId| {
            let place = place_of(node);
            core.checked_shr(u32::try_from(place).unwrap_or(u32::MAX))
                .unwrap_or(0)
                & 1
                == 1
                && self.has_joined(place)
        };
        let facts = &self.oracles.facts;
        let mut electorates = facts.electorates(facts.last_committed());
        electorates.all(|membership| is_quorum(membership, votes))
    }

    /// Whether the server no longer waits for the first start, and remembers so after the heal.
    fn has_joined(&self, place: usize) -> bool {
        self.servers
            .get(place)
            .is_some_and(|server| match server.is_running() && !server.has_to_restart() {
                true => server.vitals.role != RoleName::Joining,
                false => !server.disk.durable().is_empty(),
            })
    }

    /// Whether the servers that can vote and whose disks never broke a promise are a quorum, so that they can continue
    /// without the others.
    fn is_quorum_sound(&self, damaged: u8) -> bool {
        damaged == 0 || self.is_quorum_of_all(!damaged)
    }

    /// Ends every fault of a server, and restarts one of the core that does not run.
    fn restore(&mut self, place: usize, is_core: bool) {
        let Some(server) = self.servers.get_mut(place) else {
            return;
        };
        server.client_cuts = 0;
        server.disk.extra = Nanos::ZERO;
        server.dying = None;
        server.pauses = server.pauses.min(1);
        let (paused, failed) = (server.pauses > 0, server.has_to_restart());
        if paused {
            self.resume(place);
        }
        self.restore_clock_rate(place);
        if !is_core {
            return;
        }
        if failed {
            self.crash(place, Survival::Random);
        }
        self.push(self.now, Event::Start { server: place });
    }

    /// Breaks each server outside the core in its own way, for good. None of them can both reach a quorum and be
    /// reached by it, so that none can lead a part of the core against the rest. Those with links to fewer servers are
    /// the hardest test: they hear no leader, or another one than the rest, and must not disturb it (Howard 2020).
    fn break_rest(&mut self, core: u8, draws: &mut Draws) {
        // A server that reached one server less than a quorum would be a quorum with them. And if it led and its
        // messages arrived, it could give an entry that only it holds to a server of the core that votes and cannot
        // lead. Then no server of the core could lead without it.
        let must_be_silent = self.has_voters_that_cannot_lead();
        let reachable = match must_be_silent {
            false => self.smallest_quorum().saturating_sub(2),
            true => 0,
        };
        for place in (0..self.servers.len()).filter(|place| core >> place & 1 == 0) {
            let order = shuffled(self.servers.len(), draws);
            if reachable > 0 && draws.chance(HALF_CONNECTED_PERMYRIAD) {
                let reached = order.into_iter().filter(|place| core >> place & 1 == 1);
                let friends: Vec<usize> = reached.take(reachable).collect();
                self.cut_for_good_but(&friends, place);
                self.push(self.now, Event::Start { server: place });
                self.happened(Probe::RestHalfConnected, Some(place));
                continue;
            }
            match draws
                .pick(&[None, Some(Shape::Isolate), Some(Shape::Deaf), Some(Shape::Mute)])
                .flatten()
            {
                Some(shape) => {
                    let shape = match shape {
                        Shape::Deaf if must_be_silent => Shape::Isolate,
                        shape => shape,
                    };
                    self.cut_for_good(shape, place, draws);
                    self.push(self.now, Event::Start { server: place });
                }
                None => {
                    self.crash(place, Survival::Random);
                    if let Some(server) = self.servers.get_mut(place) {
                        server.retired = true;
                    }
                }
            }
            self.happened(Probe::RestBroken, Some(place));
        }
    }

    /// The smallest number of servers that any server takes for a quorum, or will once it runs again.
    fn smallest_quorum(&self) -> usize {
        let facts = &self.oracles.facts;
        let running = self
            .servers
            .iter()
            .filter_map(|server| Some(server.replica.as_ref()?.raft().membership()));
        let configurations = facts.electorates(facts.last_committed()).chain(running);
        let quorums = configurations.map(|membership| {
            let outgoing = Some(membership.outgoing().count()).filter(|&count| count > 0);
            let voters = membership.voters().count();
            outgoing.map_or(voters, |outgoing| outgoing.min(voters)) / 2 + 1
        });
        quorums.min().unwrap_or(0).min(self.servers.len() / 2 + 1)
    }

    /// Checks whether the core has converged, and then whether every client is served.
    pub(super) fn examine(&mut self) -> Judgement {
        self.hash_event(15, 0);
        let heal = &self.schedule.heal;
        let is_judged = matches!(
            self.phase,
            Phase::Healed { .. } | Phase::Converged { .. } | Phase::Quiet { .. }
        );
        if self.budget.is_exceeded() && is_judged {
            self.phase = Phase::Unjudged {
                until: self.now + UNJUDGED_FOR,
            };
        }
        let (now, drained) = (self.now, self.drained);
        let waited_since = |at: Nanos| now.since(at.max(drained));
        match self.phase {
            Phase::Healed { at, core } => {
                let obstacle = obstacle(&self.members_of(core), self.oracles.facts.last_committed());
                let unsettled = self.unsettled(core);
                if obstacle.is_none() && unsettled.is_none() {
                    self.phase = Phase::Converged { at: self.now, core };
                    self.happened(Probe::Converged, None);
                    self.begin_fresh_operations();
                } else if waited_since(at) > heal.converge_within {
                    converged_in_time(obstacle, at, self.now)?;
                    settled_in_time(unsettled, at, self.now)?;
                }
            }
            Phase::Converged { at, core } => {
                let waiting = self.clients.fresh_waiting;
                let obstacle = obstacle(&self.members_of(core), self.oracles.facts.last_committed());
                let late = waited_since(at) > heal.serve_within;
                if waiting == 0 && obstacle.is_none() {
                    self.happened(Probe::Served, None);
                    self.phase = Phase::Quiet { at: self.now, core };
                }
                if late {
                    served_in_time(waiting, || self.refusal_of_fresh(), at, self.now)?;
                    converged_in_time(obstacle, at, self.now)?;
                }
            }
            Phase::Quiet { at, core } if self.now.since(at) >= heal.quiet_for => {
                // Clients that were busy before the heal may still be.
                let obstacle = obstacle(&self.members_of(core), self.oracles.facts.last_committed());
                if obstacle.is_none() && !self.outcomes_wait_for_disks(core) {
                    self.phase = Phase::Over;
                    return self.conclude(core);
                }
                if waited_since(at) > heal.quiet_for + heal.converge_within {
                    converged_in_time(obstacle, at, self.now)?;
                    self.every_request_has_an_outcome(core)?;
                }
            }
            Phase::Quiet { .. } => {}
            Phase::Unjudged { until } if self.now >= until => {
                self.phase = Phase::Over;
                return match self.budget.is_exceeded() {
                    true => Ok(()),
                    false => self.conclude(0),
                };
            }
            Phase::Unjudged { .. } => {}
            Phase::Faulty | Phase::Over => return Ok(()),
        }
        self.push_after(EXAMINE_EVERY, Event::Examine);
        Ok(())
    }

    /// Returns the leader of the core's latest term, and its place.
    fn leader_of(&self, core: u8) -> Option<(usize, &Server<W>)> {
        let servers =
            super::targets::members(core).filter_map(|place| Some((place, self.servers.get(place)?)));
        servers
            .filter(|(_, server)| server.leads())
            .max_by_key(|(_, server)| server.vitals.term)
    }

    /// Returns the servers of the core that are members of its leader's configuration; the others need not agree to
    /// anything.
    pub(super) fn belonging(&self, core: u8) -> u8 {
        let Some((leader, replica)) = self
            .leader_of(core)
            .and_then(|(leader, server)| Some((leader, server.replica.as_ref()?)))
        else {
            return core;
        };
        let membership = replica.raft().membership();
        let belongs = |place: &usize| *place == leader || membership.contains(node_at(*place));
        super::targets::members(core)
            .filter(belongs)
            .fold(0, |set, place| set | 1 << place)
    }

    fn members_of(&self, core: u8) -> Vec<Member> {
        let member = |place: usize| {
            let server = self.servers.get(place)?;
            Some(Member {
                node: server.node,
                vitals: server.is_running().then_some(server.vitals),
                is_stuck: self.is_stuck(place),
                is_cut_off: self.is_cut_off(place),
            })
        };
        super::targets::members(self.belonging(core))
            .filter_map(member)
            .collect()
    }

    /// What keeps the core's configuration from having settled, if anything.
    fn unsettled(&self, core: u8) -> Option<String> {
        let (_, server) = self.leader_of(core)?;
        unsettled(server.node, server.replica.as_ref()?.raft().membership())
    }

    /// L5, C2, C6, C7, C8, C9 and S16 over the whole run: the committed commands, replayed on a fresh machine, explain
    /// every answer, and lead to the state of every machine of the core.
    fn conclude(&mut self, core: u8) -> Judgement {
        use raft_core::replica::StateMachine;

        self.ruled(self.scan_disks())?;
        self.every_request_has_an_outcome(core)?;
        let facts = &self.oracles.facts;
        let expected = self.oracles.attempts.replayed(
            facts,
            self.workload,
            &self.schedule.workload,
            &self.oracles.responses.borrow(),
        )?;
        let bytes = expected.snapshot();
        for place in super::targets::members(self.belonging(core)) {
            let Some(server) = self.servers.get(place) else {
                continue;
            };
            let Some(replica) = server
                .replica
                .as_ref()
                .filter(|_| !self.schedule.cluster.is_witness(place))
            else {
                continue;
            };
            let witness = replica.machine();
            apply::applied(facts, server.node, server.vitals.applied, witness.history())?;
            if self.is_stuck(place) || self.is_cut_off(place) {
                continue;
            }
            let answers = |machine: &W::Machine, choice| machine.query(self.workload.query(choice));
            // A machine with a wrong snapshot may hide a difference from its bytes, but not from its answers.
            let choices = 0..self.schedule.workload.choices.min(COMPARED_CHOICES);
            let differs = |choice| answers(witness.machine(), choice) != answers(&expected, choice);
            if witness.machine().snapshot() != bytes || choices.into_iter().any(differs) {
                let message = format!(
                    "the machine of server {} is not in the state that the committed commands lead to",
                    server.node
                );
                return violated(Oracle::S16, message);
            }
        }
        Ok(())
    }
}
