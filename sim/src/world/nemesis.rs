//! The nemesis: faults strike at their times and on their events, at targets that are decided at that moment.

use raft_core::NodeId;

use super::{Event, HostCommand, Simulation};
use crate::coverage::Probe;
use crate::nanos::Nanos;
use crate::network::Links;
use crate::random::{Domain, Draws};
use crate::report::Place;
use crate::schedule::{Delivery, Fault, FaultKind, NetworkWeather, Schedule, Shape, Survival, Target, When};
use crate::workload::Workload;

/// Which faults wait for which events.
pub(super) struct Nemesis {
    watched: u64,
    triggers: Vec<Watch>,
}

#[derive(Clone, Copy, Debug)]
struct Watch {
    fault: usize,
    probe: Probe,
    nth: u64,
    after: Nanos,
}

// The set of watched probes is one word.
const _: () = assert!(
    Probe::ALL.len() <= 64,
    "more probes than bits: widen Nemesis::watched"
);

/// A failed disk's server notices by itself that it is of no use, and exits.
const FAILED_SERVER_LINGERS: Nanos = Nanos::from_millis(50);

impl Nemesis {
    pub(super) fn new(schedule: &Schedule) -> Self {
        let watch = |(fault, Fault { when, .. }): (usize, &Fault)| match *when {
            When::On(on) => Some(Watch {
                fault,
                probe: on.event,
                nth: on.nth,
                after: on.after,
            }),
            When::At(_) => None,
        };
        let triggers: Vec<Watch> = schedule.faults.iter().enumerate().filter_map(watch).collect();
        let watched = triggers
            .iter()
            .fold(0, |watched, watch| watched | 1 << watch.probe as u64);
        Self { watched, triggers }
    }

    /// The faults that strike at a time.
    pub(super) fn timed(&self, schedule: &Schedule) -> Vec<(usize, Nanos)> {
        let timed = |(fault, Fault { when, .. }): (usize, &Fault)| match *when {
            When::At(at) => Some((fault, at)),
            When::On(_) => None,
        };
        schedule.faults.iter().enumerate().filter_map(timed).collect()
    }

    pub(super) const fn is_watched(&self, probe: Probe) -> bool {
        self.watched >> probe as u64 & 1 == 1
    }
}

/// The servers in a set of bits.
pub(super) fn members(servers: u8) -> impl Iterator<Item = usize> {
    (0..8).filter(move |place| servers >> place & 1 == 1)
}

impl<W: Workload> Simulation<'_, W> {
    /// An event has happened that some fault may wait for.
    pub(super) fn trigger(&mut self, probe: Probe, nth: u64, subject: Option<usize>) {
        for place in 0..self.nemesis.triggers.len() {
            let Some(&watch) = self.nemesis.triggers.get(place) else {
                return;
            };
            if watch.probe != probe || watch.nth != nth {
                continue;
            }
            let fault = watch.fault;
            match watch.after == Nanos::ZERO {
                true => self.strike(fault, subject),
                false => self.push_after(watch.after, Event::Strike { fault, subject }),
            }
        }
    }

    /// A fault strikes.
    pub(super) fn strike(&mut self, fault: usize, subject: Option<usize>) {
        let schedule = self.schedule;
        let Some(Fault { id, kind, .. }) = schedule.faults.get(fault) else {
            return;
        };
        if self.phase != super::Phase::Faulty {
            return;
        }
        let mut draws = self.seed.careful(Domain::Nemesis, u64::from(*id), 0, 0);
        let servers = kind
            .target()
            .map_or(0, |target| self.resolve(target, subject, &mut draws));
        self.hash_event(11, u64::from(*id) << 8 | u64::from(servers));
        if self.tells() {
            let whom: Vec<usize> = members(servers).map(|place| place + 1).collect();
            self.tell(
                self.event,
                Place::World,
                "fault",
                format!("{id} {} {whom:?}", kind.name()),
            );
        }
        if servers == 0 && kind.target().is_some() {
            return;
        }
        self.apply_fault(fault, *id, kind, servers, &mut draws);
    }

    fn apply_fault(&mut self, fault: usize, id: u32, kind: &FaultKind, servers: u8, draws: &mut Draws) {
        match *kind {
            FaultKind::Crash { after_outputs, .. } => {
                self.strike_each(servers, |this, place| match after_outputs {
                    None => this.crash_by(place, fault),
                    Some(outputs) => {
                        if let Some(server) = this.servers.get_mut(place) {
                            server.dying = Some((outputs, fault));
                        }
                    }
                })
            }
            FaultKind::Pause { lasts, .. } => {
                self.strike_each(servers, |this, place| this.pause(place, lasts));
                self.push_after(lasts, Event::Relent { fault, servers });
            }
            FaultKind::Partition {
                shape,
                messages,
                lasts,
                ..
            } => {
                for target in members(servers) {
                    let links = self.links_of(shape, target, draws);
                    self.network.cut(id, links, messages);
                }
                self.happened(Probe::Partition, None);
                self.push_after(lasts, Event::Relent { fault, servers });
            }
            FaultKind::CutClients { lasts, .. } => {
                self.strike_each(servers, |this, place| {
                    if let Some(server) = this.servers.get_mut(place) {
                        server.client_cuts += 1;
                    }
                    this.happened(Probe::CutClients, Some(place));
                });
                self.push_after(lasts, Event::Relent { fault, servers });
            }
            FaultKind::Storm {
                loss_permyriad,
                duplicate_permyriad,
                reorder_permyriad,
                delay,
                lasts,
            } => {
                let worse = NetworkWeather {
                    delay_min: delay,
                    delay_max: delay,
                    loss_permyriad,
                    duplicate_permyriad,
                    reorder_permyriad,
                    reorder_by: Nanos::ZERO,
                };
                self.network.storm(id, worse);
                self.client_network.storm(id, worse);
                self.happened(Probe::Storm, None);
                self.push_after(lasts, Event::Relent { fault, servers });
            }
            FaultKind::SlowDisk { extra, lasts, .. } => {
                self.strike_each(servers, |this, place| {
                    if let Some(server) = this.servers.get_mut(place) {
                        server.disk.extra += extra;
                    }
                    this.happened(Probe::SlowDisk, Some(place));
                });
                self.push_after(lasts, Event::Relent { fault, servers });
            }
            FaultKind::FailDisk { .. } => self.strike_each(servers, |this, place| {
                let Some(server) = this.servers.get(place).filter(|server| server.is_running()) else {
                    return;
                };
                let boot = server.boot;
                this.push(this.now, Event::DiskFails { server: place, boot });
                this.push_after(
                    FAILED_SERVER_LINGERS,
                    Event::Die {
                        server: place,
                        boot,
                        fault,
                    },
                );
                this.happened(Probe::DiskFailed, Some(place));
            }),
            FaultKind::ClockRate { ppm, lasts, .. } => {
                self.strike_each(servers, |this, place| {
                    this.change_clock(place, |clock, now| clock.run_at(now, i64::from(ppm)));
                    this.happened(Probe::ClockRate, Some(place));
                });
                self.push_after(lasts, Event::Relent { fault, servers });
            }
            FaultKind::ClockJump { by, .. } => self.strike_each(servers, |this, place| {
                this.change_clock(place, |clock, now| clock.jump(now, by));
                this.happened(Probe::ClockJump, Some(place));
            }),
            FaultKind::Campaign { .. } => self.strike_each(servers, |this, place| {
                this.push(
                    this.now,
                    Event::Command {
                        server: place,
                        command: HostCommand::Campaign,
                    },
                );
                this.happened(Probe::ForceCampaign, Some(place));
            }),
            FaultKind::Snapshot { .. } => self.strike_each(servers, |this, place| {
                this.push(
                    this.now,
                    Event::Command {
                        server: place,
                        command: HostCommand::TakeSnapshot,
                    },
                );
            }),
        }
    }

    fn strike_each(&mut self, servers: u8, mut strike: impl FnMut(&mut Self, usize)) {
        for place in members(servers) {
            strike(self, place);
        }
    }

    /// A fault ends.
    pub(super) fn relent(&mut self, fault: usize, servers: u8) {
        let schedule = self.schedule;
        let Some(Fault { id, kind, .. }) = schedule.faults.get(fault) else {
            return;
        };
        if self.phase != super::Phase::Faulty {
            return;
        }
        self.hash_event(12, u64::from(*id));
        if self.tells() {
            self.tell(
                self.event,
                Place::World,
                "relent",
                format!("{id} {}", kind.name()),
            );
        }
        match *kind {
            FaultKind::Partition { .. } => {
                self.network.end(*id);
                self.release_held();
            }
            FaultKind::Storm { .. } => {
                self.network.end(*id);
                self.client_network.end(*id);
            }
            _ => {}
        }
        for place in members(servers) {
            match *kind {
                FaultKind::Pause { .. } => self.resume(place),
                FaultKind::ClockRate { .. } => self.restore_clock_rate(place),
                _ => {}
            }
            let Some(server) = self.servers.get_mut(place) else {
                continue;
            };
            match *kind {
                FaultKind::CutClients { .. } => server.client_cuts = server.client_cuts.saturating_sub(1),
                FaultKind::SlowDisk { extra, .. } => server.disk.extra = server.disk.extra.since(extra),
                _ => {}
            }
        }
    }

    /// Decides whom a target means now.
    fn resolve(&self, target: Target, subject: Option<usize>, draws: &mut Draws) -> u8 {
        let count = self.servers.len();
        let one = |place: usize| 1_u8 << place;
        let all: Vec<usize> = (0..count).collect();
        match target {
            Target::Server(node) => usize::try_from(node.value() - 1).map_or(0, one),
            Target::Subject => subject.map_or(0, one),
            Target::Any => draws.pick(&all).map_or(0, one),
            Target::All => all.into_iter().map(one).fold(0, |set, bit| set | bit),
            Target::Leader => {
                let leaders = self
                    .servers
                    .iter()
                    .enumerate()
                    .filter(|(_, server)| server.leads());
                leaders
                    .max_by_key(|(_, server)| server.vitals.term)
                    .map_or(0, |(place, _)| one(place))
            }
            Target::Follower => {
                let follows = |&place: &usize| {
                    self.servers
                        .get(place)
                        .is_some_and(|s| s.is_running() && !s.leads())
                };
                let followers: Vec<usize> = (0..count).filter(follows).collect();
                draws.pick(&followers).map_or(0, one)
            }
            Target::Majority => shuffled(count, draws)
                .into_iter()
                .take(count / 2 + 1)
                .fold(0, |set, place| set | one(place)),
        }
    }

    fn links_of(&self, shape: Shape, target: usize, draws: &mut Draws) -> Links {
        let count = self.servers.len();
        let mut links = Links::default();
        let others = (0..count).filter(|&place| place != target);
        match shape {
            Shape::Isolate => others.for_each(|other| links.add_both(target, other)),
            Shape::Deaf => others.for_each(|other| links.add(other, target)),
            Shape::Mute => others.for_each(|other| links.add(target, other)),
            Shape::Halves | Shape::Bridge => {
                let bridge = (shape == Shape::Bridge).then_some(target);
                let order: Vec<usize> = shuffled(count, draws)
                    .into_iter()
                    .filter(|&place| Some(place) != bridge)
                    .collect();
                let (one, other) = order.split_at(order.len() / 2);
                for &left in one {
                    other.iter().for_each(|&right| links.add_both(left, right));
                }
            }
            Shape::Ring => {
                let order = shuffled(count, draws);
                for (left, &from) in order.iter().enumerate() {
                    for (right, &to) in order.iter().enumerate() {
                        let apart = left.abs_diff(right);
                        if apart > 1 && apart < count - 1 {
                            links.add(from, to);
                        }
                    }
                }
            }
            Shape::Random => {
                for from in 0..count {
                    for to in (0..count).filter(|&to| to != from) {
                        if draws.chance(5_000) {
                            links.add(from, to);
                        }
                    }
                }
            }
        }
        links
    }

    /// A process dies of a fault, and what the disk keeps is the fault's to say.
    pub(super) fn crash_by(&mut self, place: usize, fault: usize) {
        let (keep, restart_after) = match self.schedule.faults.get(fault).map(|fault| &fault.kind) {
            Some(
                &(FaultKind::Crash {
                    keep, restart_after, ..
                }
                | FaultKind::FailDisk {
                    keep, restart_after, ..
                }),
            ) => (keep, restart_after),
            _ => (Survival::Random, None),
        };
        if self.crash(place, keep)
            && let Some(after) = restart_after
        {
            self.push_after(after, Event::Start { server: place });
        }
    }

    /// A process dies. Returns whether it was alive.
    pub(super) fn crash(&mut self, place: usize, keep: Survival) -> bool {
        let Some(server) = self.servers.get_mut(place).filter(|server| server.is_running()) else {
            return false;
        };
        server.replica = None;
        server.missed.clear();
        server.wake_at = None;
        server.dying = None;
        let had_unsynced = server.disk.has_unsynced();
        let aftermath = server.disk.crash(keep);
        self.hash_event(13, place as u64);
        self.hash.word(aftermath.kept as u64);
        if self.tells() {
            self.tell(
                self.event,
                Place::Server(NodeId::new(place as u64 + 1)),
                "crash",
                format!("{aftermath:?}"),
            );
        }
        for (probe, happened) in [
            (Probe::Crash, true),
            (Probe::CrashUnsynced, had_unsynced),
            (
                Probe::CrashKeptSome,
                aftermath.kept > 0 && aftermath.kept < aftermath.unsynced,
            ),
            (Probe::CrashTorn, aftermath.torn),
            (Probe::CrashGap, aftermath.gap),
        ] {
            if happened {
                self.happened(probe, Some(place));
            }
        }
        true
    }

    /// A process dies of an earlier fault, unless it was started again since.
    pub(super) fn die(&mut self, place: usize, boot: u64, fault: usize) {
        let is_same = self.servers.get(place).is_some_and(|server| server.is_boot(boot));
        if is_same && self.phase == super::Phase::Faulty {
            self.crash_by(place, fault);
        }
    }

    fn pause(&mut self, place: usize, lasts: Nanos) {
        let timing = &self.schedule.knobs;
        let election = self
            .schedule
            .cluster
            .tick
            .times(timing.election_timeout_max_ticks);
        let Some(server) = self.servers.get_mut(place) else {
            return;
        };
        server.pauses += 1;
        let leads = server.leads();
        self.happened(Probe::Pause, Some(place));
        if leads && lasts > election {
            self.happened(Probe::PauseLeader, Some(place));
        }
    }

    /// A process goes on, and finds everything that it missed.
    pub(super) fn resume(&mut self, place: usize) {
        let Some(server) = self.servers.get_mut(place) else {
            return;
        };
        server.pauses = server.pauses.saturating_sub(1);
        if server.pauses > 0 {
            return;
        }
        for event in std::mem::take(&mut server.missed) {
            // A wake-up counts only at the time for which it was ordered.
            if let Event::Wake { .. } = event
                && let Some(server) = self.servers.get_mut(place)
            {
                server.wake_at = Some(self.now);
            }
            self.push(self.now, event);
        }
    }

    fn change_clock(&mut self, place: usize, change: impl FnOnce(&mut crate::clock::Clock, Nanos)) {
        let now = self.now;
        if let Some(server) = self.servers.get_mut(place) {
            change(&mut server.clock, now);
            server.wake_at = None;
        }
        self.reschedule(place);
    }

    /// The clock runs as it did before all faults.
    pub(super) fn restore_clock_rate(&mut self, place: usize) {
        let drift_ppm = self.servers.get(place).map_or(0, |server| server.drift_ppm);
        self.change_clock(place, |clock, now| clock.run_at(now, drift_ppm));
    }

    /// Delivers what cut links have kept, as far as they are whole again.
    pub(super) fn release_held(&mut self) {
        for envelope in std::mem::take(&mut self.held) {
            let (from, to) = (super::place_of(envelope.from), super::place_of(envelope.to));
            match self.network.is_held(from, to) {
                true => self.held.push(envelope),
                false => self.push(self.now, Event::Deliver { envelope }),
            }
        }
    }

    /// Cuts the links of a server that stays broken for good.
    pub(super) fn cut_for_good(&mut self, shape: Shape, place: usize, draws: &mut Draws) {
        let links = self.links_of(shape, place, draws);
        let id = u32::MAX - u32::try_from(place).unwrap_or(0);
        self.network.cut(id, links, Delivery::DroppedAtSend);
    }
}

/// All servers in a random order (Fisher and Yates).
pub(super) fn shuffled(count: usize, draws: &mut Draws) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for place in (1..count).rev() {
        let other = usize::try_from(draws.below(place as u64 + 1)).unwrap_or(0);
        order.swap(place, other);
    }
    order
}
