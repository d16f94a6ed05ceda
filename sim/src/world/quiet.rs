//! Quiet within the storm: which servers are healthy together with the leader, and what must hold between them (L3, L4,
//! L6 and L8).
//!
//! A server is *healthy* with a leader under four conditions. It runs and follows that leader, its term is on its disk,
//! no fault has struck it, and no message between the two, either way, was lost or late. That is noted as it happens,
//! whatever the schedule says, so that bad weather has quiet hours, too. Every so often the cluster is surveyed, and
//! healthy servers count once they have been so for a while. Any disturbance of a server resets that time.

use raft_core::{Envelope, Membership, Message, NodeId, RoleName, Term, Vitals};

use super::server::Server;
use super::{Phase, Simulation};
use crate::coverage::Probe;
use crate::nanos::Nanos;
use crate::oracle::Judgement;
use crate::oracle::quiescence::{
    Lagging, catches_up, elections_are_few, heartbeats_keep_the_interval, is_heartbeat,
};
use crate::oracle::service::{Unserved, has_a_reason};
use crate::oracle::stability::{Order, PLACES, bit};
use crate::places::{node_at, place_of};
use crate::schedule::{Fault, FaultKind, Schedule};
use crate::workload::Workload;

/// What was noted since the start.
pub(super) struct Quiet {
    limits: Limits,
    /// When the next survey is due.
    next_survey: Nanos,
    last_survey: Nanos,
    order: Order,
    /// No server is healthy before then.
    all_rough_until: Nanos,
    /// This server is not healthy before then...
    rough_until: [Nanos; PLACES],
    /// ...nor are these two with each other: a message was lost or late. By sender and recipient.
    links_rough_until: [[Nanos; PLACES]; PLACES],
    /// A sync of this server takes until then.
    slow_until: [Nanos; PLACES],
    /// How much of any snapshot has reached a server since it last applied something.
    pieces: [u64; PLACES],
    lag: [Option<Lagging>; PLACES],
    /// Since when leader and follower have had nothing to replicate.
    idle_since: [Option<Nanos>; PLACES],
    /// When a piece of a snapshot last reached a server.
    offered: [Nanos; PLACES],
    /// How many heartbeats a follower was sent since the last survey.
    beats: [u64; PLACES],
    /// How often a fault has begun or ended.
    pub(super) disruptions: u64,
    latest_term: Term,
    healed_term: Term,
}

/// How long things take when all is well, from the schedule's settings.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// A message or a sync that takes longer is late.
    late: Nanos,
    survey_every: Nanos,
    /// Health counts after this time: two of the longest election timeouts, so that everything that began earlier is
    /// over.
    settled: Nanos,
    /// A cluster is idle when nothing has happened for so long.
    idle: Nanos,
    /// How long a follower may make no progress.
    patience: Nanos,
    heartbeat: Nanos,
    /// Whether messages and disks are quick before the heal, too, and no fault does harm again and again.
    is_weather_good: bool,
    /// Whether election timeouts differ so much that votes are rarely split.
    differ: bool,
    /// Whether the settings leave room between heartbeats and elections for everything that is not late.
    is_roomy: bool,
}

impl Limits {
    fn of(schedule: &Schedule, apply_takes: Nanos) -> Self {
        let (knobs, tick) = (&schedule.knobs, schedule.longest_tick());
        let (shortest, heartbeat) = (knobs.election_timeout_min_ticks, knobs.heartbeat_ticks);
        let election = tick.times(knobs.election_timeout_max_ticks);
        Self {
            // A heartbeat and its answer then take half of the time that the leader has left, with clocks that differ
            // by a fifth.
            late: Nanos::new(tick.times(shortest.saturating_sub(heartbeat)).value() / 4),
            survey_every: election,
            settled: election.times(2),
            idle: Nanos::new(election.value() / 2),
            patience: election.times(10),
            heartbeat: schedule.cluster.tick.times(heartbeat),
            // A slow machine that catches up keeps its server from hearing anything for longer than any message takes.
            is_weather_good: is_weather_good(schedule) && apply_takes == Nanos::ZERO,
            differ: knobs.election_timeout_max_ticks >= 2 * shortest,
            is_roomy: 2 * heartbeat <= shortest && schedule.weather.clock_drift_ppm <= 100_000,
        }
    }
}

/// Whether a broadcast takes far less time than an election timeout, as liveness requires (paper §5.6).
fn is_weather_good(schedule: &Schedule) -> bool {
    let (network, disk) = (&schedule.weather.network, &schedule.weather.disk);
    let shortest = schedule.knobs.election_timeout_min_ticks;
    let does_harm_again = |fault: &Fault| {
        matches!(
            fault.kind,
            FaultKind::Partition {
                flap_every: Some(_),
                ..
            } | FaultKind::ClockRate { .. }
                | FaultKind::Storm { .. }
        )
    };
    let quick = Nanos::new(schedule.cluster.tick.times(shortest).value() / 10);
    let nothing_goes_wrong = [
        network.loss_permyriad,
        network.reorder_permyriad,
        network.corrupt_permyriad,
        disk.stall_permyriad,
    ];
    nothing_goes_wrong == [0; 4]
        && !schedule.knobs.mixed_settings
        && network.bytes_per_second == 0
        && network.delay_max <= quick
        && disk.sync_max <= quick
        && !schedule.faults.iter().any(does_harm_again)
}

impl Quiet {
    /// `apply_takes`: how long the workload's machine takes for an entry.
    pub(super) fn new(schedule: &Schedule, apply_takes: Nanos) -> Self {
        Self {
            limits: Limits::of(schedule, apply_takes),
            next_survey: Nanos::ZERO,
            last_survey: Nanos::ZERO,
            order: Order::default(),
            all_rough_until: Nanos::ZERO,
            rough_until: [Nanos::ZERO; PLACES],
            links_rough_until: [[Nanos::ZERO; PLACES]; PLACES],
            slow_until: [Nanos::ZERO; PLACES],
            pieces: [0; PLACES],
            lag: [None; PLACES],
            idle_since: [None; PLACES],
            offered: [Nanos::ZERO; PLACES],
            beats: [0; PLACES],
            disruptions: 0,
            latest_term: Term::ZERO,
            healed_term: Term::ZERO,
        }
    }

    /// Whether a survey is due.
    pub(super) fn is_due(&self, now: Nanos) -> bool {
        now >= self.next_survey
    }

    /// How long things take to settle.
    pub(super) const fn settled(&self) -> Nanos {
        self.limits.settled
    }

    /// Whether messages or syncs that have taken long are still in flight.
    fn is_aftermath(&self, now: Nanos) -> bool {
        let links = self.links_rough_until.iter().flatten();
        links
            .chain(&self.slow_until)
            .chain([&self.all_rough_until])
            .any(|&until| until > now)
    }

    /// Takes note of the end of the faults.
    pub(super) fn heal(&mut self, now: Nanos) {
        self.disturb_all(now);
        self.healed_term = self.latest_term;
    }

    /// Takes note that there is something to do: a client asks, a fault strikes, a configuration changes.
    pub(super) fn becomes_busy(&mut self) {
        self.idle_since = [None; PLACES];
    }

    /// Something disturbs every server until then.
    pub(super) fn disturb_all(&mut self, until: Nanos) {
        self.order.reset();
        self.all_rough_until = self.all_rough_until.max(until);
        self.becomes_busy();
    }

    /// Something disturbs this server until then.
    pub(super) fn disturb(&mut self, place: usize, until: Nanos) {
        self.order.disturb(place);
        self.becomes_busy();
        if let Some(rough) = self.rough_until.get_mut(place) {
            *rough = until.max(*rough);
        }
    }

    /// A message between these two is lost, or in flight until then.
    pub(super) fn disturb_link(&mut self, from: usize, to: usize, until: Nanos) {
        for (one, other) in [(from, to), (to, from)] {
            if self.order.leads(one) {
                self.order.disturb(other);
                if let Some(idle_since) = self.idle_since.get_mut(other) {
                    *idle_since = None;
                }
            }
        }
        if let Some(rough) = self
            .links_rough_until
            .get_mut(from)
            .and_then(|row| row.get_mut(to))
        {
            *rough = until.max(*rough);
        }
    }

    /// A message is in flight, and arrives then for the last time.
    pub(super) fn launched(&mut self, envelope: &Envelope, from: usize, now: Nanos, arrives: Nanos) {
        if arrives.since(now) <= self.limits.late {
            return;
        }
        self.disturb_link(from, place_of(envelope.to), arrives);
        if outlives_its_reason(&envelope.message) {
            self.disturb_all(arrives);
        }
    }

    /// A server waits for a sync until then.
    pub(super) fn syncs(&mut self, place: usize, now: Nanos, until: Nanos) {
        if until.since(now) > self.limits.late
            && let Some(slow) = self.slow_until.get_mut(place)
        {
            *slow = until.max(*slow);
        }
    }

    /// The bytes of a snapshot are being written until then. A follower that installs it makes no progress before, and
    /// nothing else waits.
    pub(super) fn writes_snapshot(&mut self, place: usize, until: Nanos) {
        if let Some(slow) = self.slow_until.get_mut(place) {
            *slow = until.max(*slow);
        }
    }

    /// A server's machine is busy for this time, and what reaches the server waits. A heartbeat and its answer may take
    /// half of the time that a leader has left; each of the two servers may take another eighth. After a longer time the
    /// server may receive what is long over, and its peers what that leads to.
    pub(super) fn is_busy(&mut self, from: Nanos, until: Nanos) {
        if until.since(from).times(2) > self.limits.late {
            self.disturb_all(until + self.limits.late);
        }
    }

    /// A snapshot has reached a server up to this byte.
    pub(super) fn piece_arrived(&mut self, place: usize, end: u64, now: Nanos) {
        if let Some(offered) = self.offered.get_mut(place) {
            *offered = now;
        }
        if let Some(pieces) = self.pieces.get_mut(place) {
            *pieces = end.max(*pieces);
        }
    }

    fn is_link_smooth(&self, from: usize, to: usize, now: Nanos) -> bool {
        let rough = self.links_rough_until.get(from).and_then(|row| row.get(to));
        rough.is_some_and(|&until| until <= now)
    }

    /// How long the two have had nothing to replicate, if one of them leads the other, both are healthy, and the time
    /// is long enough to count.
    fn idles(&self, from: usize, to: usize, now: Nanos) -> Option<Nanos> {
        let follower = match (self.order.leads(from), self.order.leads(to)) {
            (true, _) => to,
            (_, true) => from,
            _ => return None,
        };
        let since = self.idle_since.get(follower).copied().flatten()?;
        let idle = now.since(since);
        (idle >= self.limits.idle).then_some(idle)
    }

    /// L8: what may be sent between two idle servers.
    pub(super) fn sends(&mut self, envelope: &Envelope, from: usize, now: Nanos) -> Judgement {
        if is_for_a_client(&envelope.message) {
            self.becomes_busy();
            return Ok(());
        }
        let to = place_of(envelope.to);
        let Some(idle) = self.idles(from, to, now) else {
            return Ok(());
        };
        if let (Message::Heartbeat { .. }, Some(beats)) = (&envelope.message, self.beats.get_mut(to)) {
            *beats += 1;
        }
        is_heartbeat(envelope.from, envelope.to, envelope.message.name(), idle)
    }
}

/// Whether a client of the sender or of the recipient is waiting, or was: such a message may be late, and gives a
/// leader something to do.
pub(super) const fn is_for_a_client(message: &Message) -> bool {
    matches!(
        message,
        Message::Forward { .. }
            | Message::ForwardRefused { .. }
            | Message::ReadIndex { .. }
            | Message::ReadIndexReply { .. }
    )
}

/// Whether a message may still have an effect after its reason has passed. A granted pre-vote counts in a later
/// campaign for the same term, and a server that is told to take over campaigns without pre-votes.
pub(super) const fn outlives_its_reason(message: &Message) -> bool {
    matches!(
        message,
        Message::PreVoteReply { granted: true, .. } | Message::TimeoutNow
    )
}

impl<W: Workload> Simulation<'_, W> {
    /// A fault strikes these servers, or ends.
    pub(super) fn disturb_by(&mut self, kind: &FaultKind, servers: u8, lasts: Nanos) {
        let until = self.now + lasts;
        self.quiet.becomes_busy();
        match *kind {
            // A server that is paused, or counts time wrongly, may continue a campaign that is long over.
            FaultKind::ClockRate { .. } => self.quiet.disturb_all(until),
            // The slowest clock takes ten times as long to catch up.
            FaultKind::ClockJump { by, back, .. } => {
                let catches_up_in = if back { by.times(10) } else { Nanos::ZERO };
                self.quiet.disturb_all(until + catches_up_in);
            }
            FaultKind::Partition { .. } => self.disturb_cut_links(),
            FaultKind::Storm { .. } | FaultKind::CutClients { .. } | FaultKind::Snapshot { .. } => {}
            _ => {
                for place in super::targets::members(servers) {
                    self.quiet.disturb(place, until);
                }
            }
        }
    }

    /// Links were cut, and a server that has lost its leader is no longer healthy.
    pub(super) fn disturb_cut_links(&mut self) {
        let Some((leader, _)) = self.quiet.order.leader() else {
            return;
        };
        for place in 0..self.servers.len() {
            if self.network.is_cut(leader, place) || self.network.is_cut(place, leader) {
                self.quiet.disturb_link(leader, place, self.now);
            }
        }
    }

    /// L3, L4: a server changes its role, its term or its leader.
    pub(super) fn changes(&mut self, at: usize, before: &Vitals, after: &Vitals) -> Judgement {
        if (before.role, before.term, before.leader) == (after.role, after.term, after.leader) {
            return Ok(());
        }
        if self.is_stability_judged()
            && let Some((leader, _)) = self.quiet.order.leader()
            && let Some(membership) = self.membership_of(leader)
            && let Some(server) = self.servers.get(at)
        {
            let (now, settled) = (self.now, self.quiet.limits.settled);
            let (node, change) = (server.node, (before, after));
            self.quiet
                .order
                .may_change((at, node), change, membership, now, settled)?;
        }
        self.quiet.disturb(at, self.now);
        self.term_begins(after.term)
    }

    /// Whether stability can be judged at all.
    fn is_stability_judged(&self) -> bool {
        self.quiet.limits.is_roomy
            && !self.budget.is_damaged()
            && !matches!(self.phase, Phase::Unjudged { .. })
    }

    fn membership_of(&self, place: usize) -> Option<&Membership> {
        let replica = self.servers.get(place)?.replica.as_ref()?;
        Some(replica.raft().membership())
    }

    /// C11: a server does not serve a request of a client's.
    pub(super) fn had_a_reason(&self, at: usize, attempt: u64, unserved: Unserved) -> Judgement {
        let (Some(server), Some((leader, _))) = (self.servers.get(at), self.quiet.order.leader()) else {
            return Ok(());
        };
        if !self.is_stability_judged() || server.disk_failed || server.silenced {
            return Ok(());
        }
        let (Some(membership), Some(taken)) = (self.membership_of(leader), self.taken(attempt)) else {
            return Ok(());
        };
        // A snapshot may hide what became of a request that waited. And where the leader has more than it can commit, or
        // the server lags, the request may not have been seen in time.
        let offered = self.quiet.offered.get(at).copied().unwrap_or_default();
        let last = |vitals: &Vitals| vitals.last.map(|last| last.index);
        let keeps_up = self.servers.get(leader).is_some_and(|leads| {
            let leads = &leads.vitals;
            leads.commit == last(leads) && last(&server.vitals) >= leads.commit
        });
        if !keeps_up && matches!(unserved, Unserved::Unknown) {
            return Ok(());
        }
        let (order, settled) = (&self.quiet.order, self.quiet.limits.settled);
        let is_in_order = |place: usize| order.lasts(place, taken.at, settled);
        if offered >= taken.at
            || !is_in_order(at)
            || !is_in_order(leader)
            || !membership.has_quorum(|node| is_in_order(place_of(node)))
        {
            return Ok(());
        }
        let forwards = server.knobs.forwarding && !membership.is_witness(server.node);
        let may_ask_leader = at != leader && !forwards;
        has_a_reason(server.node, attempt, may_ask_leader, unserved)
    }

    /// Surveys the cluster.
    pub(super) fn survey(&mut self) -> Judgement {
        let now = self.now;
        let lasted = now.since(self.quiet.last_survey);
        self.quiet.last_survey = now;
        self.quiet.next_survey = now + self.quiet.limits.survey_every;
        if !self.is_stability_judged() {
            self.quiet.order.reset();
            return Ok(());
        }
        let healthy_servers = self.healthy_servers();
        let leader = healthy_servers.map(|(leader, term, _)| (leader, term));
        let healthy = healthy_servers.map_or(0, |(_, _, servers)| servers);
        if self.quiet.order.leader() != leader {
            self.quiet.becomes_busy();
        }
        self.quiet.order.survey(now, leader, healthy);
        let Some((leader, _)) = leader else {
            self.quiet.lag = [None; PLACES];
            return Ok(());
        };
        let Some(leads) = self.servers.get(leader).map(|server| server.vitals) else {
            return Ok(());
        };
        for place in (0..self.servers.len()).filter(|&place| place != leader) {
            self.survey_follower(place, &leads, lasted)?;
        }
        if self.quiet.order.lasts(leader, now, self.quiet.limits.settled) {
            self.happened(Probe::QuietOrder, Some(leader));
        }
        Ok(())
    }

    fn survey_follower(&mut self, place: usize, leader: &Vitals, lasted: Nanos) -> Judgement {
        let Some(server) = self.servers.get(place) else {
            return Ok(());
        };
        let (node, follower, now) = (server.node, server.vitals, self.now);
        let is_stuck = self.is_stuck(place) || self.is_cut_off(place);
        let quiet = &mut self.quiet;
        let (Some(lag), Some(idle_since), Some(beats), Some(pieces), Some(&slow_until)) = (
            quiet.lag.get_mut(place),
            quiet.idle_since.get_mut(place),
            quiet.beats.get_mut(place),
            quiet.pieces.get_mut(place),
            quiet.slow_until.get(place),
        ) else {
            return Ok(());
        };
        let limits = quiet.limits;
        let beats = std::mem::take(beats);
        // A server that was disturbed since the last survey begins again, although it may be healthy at this very
        // instant.
        if !quiet.order.lasts(place, now, lasted) || now < slow_until {
            *lag = None;
            *idle_since = None;
            return Ok(());
        }
        if is_stuck {
            *lag = None;
            *idle_since = None;
            return Ok(());
        }
        let applied_before = lag.map(|lag| lag.applied());
        if applied_before.is_none_or(|applied| applied != follower.applied) {
            *pieces = 0;
        }
        let progress = (follower.applied, leader.commit);
        catches_up(lag, node, progress, *pieces, (now, limits.patience))?;
        let at_rest = leader.commit == leader.last.map(|last| last.index)
            && follower.applied == leader.commit
            && leader.applied == leader.commit;
        if !at_rest {
            *idle_since = None;
        } else if idle_since.get_or_insert(now).value() + limits.idle.value() + lasted.value() <= now.value()
        {
            heartbeats_keep_the_interval(node, beats, lasted, limits.heartbeat)?;
            self.happened(Probe::Idle, Some(place));
        }
        Ok(())
    }

    /// L9: a term begins.
    pub(super) fn term_begins(&mut self, term: Term) -> Judgement {
        if term <= self.quiet.latest_term {
            return Ok(());
        }
        self.quiet.latest_term = term;
        let since = |earlier: Term| term.value() - earlier.value();
        if !self.is_stability_judged() || !self.quiet.limits.differ {
            return Ok(());
        }
        if self.phase == Phase::Faulty {
            match self.quiet.limits.is_weather_good {
                true => elections_are_few(since(Term::ZERO), self.quiet.disruptions),
                false => Ok(()),
            }
        } else if self.quiet.is_aftermath(self.now) {
            self.quiet.healed_term = term;
            Ok(())
        } else {
            elections_are_few(since(self.quiet.healed_term), 1)
        }
    }

    /// Returns the leader, its term, and the healthy servers, if those are a quorum of the configuration in force and
    /// no server knows of a later term.
    fn healthy_servers(&self) -> Option<(usize, Term, u8)> {
        if self.now < self.quiet.all_rough_until {
            return None;
        }
        let leader = self.latest_leader()?;
        let leads = self.servers.get(leader)?;
        let term = leads.vitals.term;
        let knows_later = |server: &Server<W>| {
            server.disk.written().hard_state.term > term || (server.is_running() && server.vitals.term > term)
        };
        if self.servers.iter().any(knows_later) {
            return None;
        }
        let membership = self.membership_of(leader)?;
        let is_healthy = |&place: &usize| {
            self.is_sound(place, term)
                && (place == leader || (membership.contains(node_at(place)) && self.follows(place, leader)))
        };
        let healthy_servers = (0..self.servers.len())
            .filter(is_healthy)
            .fold(0, |set, place| set | bit(place));
        let is_healthy_node = |node: NodeId| healthy_servers & bit(place_of(node)) != 0;
        // A leader that has halted is about to hand over, or to step down.
        let leads = is_healthy_node(leads.node) && membership.is_voter(leads.node) && !self.is_stuck(leader);
        (leads && membership.has_quorum(is_healthy_node)).then_some((leader, term, healthy_servers))
    }

    /// Whether this server is sound, and the term is on its disk.
    fn is_sound(&self, place: usize, term: Term) -> bool {
        let rough = self.quiet.rough_until.get(place);
        self.servers.get(place).is_some_and(|server| {
            server.is_running()
                && server.pauses == 0
                && !server.disk_failed
                && server.full == 0
                && server.disk.durable().hard_state.term == term
                && rough.is_some_and(|&until| until <= self.now)
        })
    }

    /// Whether this server follows that leader, and each reaches the other.
    fn follows(&self, place: usize, leader: usize) -> bool {
        let (Some(server), Some(leads)) = (self.servers.get(place), self.servers.get(leader)) else {
            return false;
        };
        let reaches = |from: usize, to: usize| {
            !self.network.is_cut(from, to) && self.quiet.is_link_smooth(from, to, self.now)
        };
        server.vitals.role == RoleName::Follower
            && server.vitals.leader == Some(leads.node)
            && server.vitals.term == leads.vitals.term
            && reaches(place, leader)
            && reaches(leader, place)
    }
}
