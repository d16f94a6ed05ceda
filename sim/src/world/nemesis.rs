//! The nemesis: faults strike at their times and on their events, at targets that are decided at that moment.

use super::targets::members;
use super::{Event, HostCommand, Simulation};
use crate::coverage::Probe;
use crate::nanos::Nanos;
use crate::places::place_of;
use crate::random::{Domain, Draws};
use crate::report::Place;
use crate::schedule::{Fault, FaultKind, NetworkWeather, Schedule, When};
use crate::workload::Workload;

/// The faults that wait for events.
pub(super) struct Nemesis {
    watched: u128,
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
    Probe::ALL.len() <= 128,
    "more probes than bits: widen Nemesis::watched"
);

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
            .fold(0, |watched, watch| watched | 1 << watch.probe as u32);
        Self { watched, triggers }
    }

    /// Returns the faults that strike at a time.
    pub(super) fn timed(&self, schedule: &Schedule) -> Vec<(usize, Nanos)> {
        let timed = |(fault, Fault { when, .. }): (usize, &Fault)| match *when {
            When::At(at) => Some((fault, at)),
            When::On(_) => None,
        };
        schedule.faults.iter().enumerate().filter_map(timed).collect()
    }

    pub(super) const fn is_watched(&self, probe: Probe) -> bool {
        self.watched >> probe as u32 & 1 == 1
    }
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
        self.quiet.disruptions += 1;
        self.disturb_by(kind, servers, kind.lasts().unwrap_or_default());
    }

    fn apply_fault(&mut self, fault: usize, id: u32, kind: &FaultKind, servers: u8, draws: &mut Draws) {
        match *kind {
            FaultKind::Partition {
                shape,
                messages,
                flap_every,
                ..
            } => {
                for target in members(servers) {
                    let links = self.links_of(shape, target, draws);
                    self.network.cut(id, links, messages);
                }
                if let Some(every) = flap_every {
                    self.push_after(every, Event::Flap { fault });
                }
                self.happened(Probe::Partition, None);
            }
            FaultKind::Storm {
                loss_permyriad,
                duplicate_permyriad,
                reorder_permyriad,
                corrupt_permyriad,
                delay,
                ..
            } => {
                let worse = NetworkWeather {
                    delay_min: delay,
                    delay_max: delay,
                    loss_permyriad,
                    duplicate_permyriad,
                    reorder_permyriad,
                    corrupt_permyriad,
                    ..NetworkWeather::default()
                };
                self.network.storm(id, worse);
                self.client_network.storm(id, worse);
                self.happened(Probe::Storm, None);
            }
            FaultKind::ChangeMembership {
                compare,
                insist,
                ref change,
                force,
                ..
            } => self.wish_change(id, servers, change, (compare, force), insist, draws),
            FaultKind::TransferLeadership { .. } => self.wish_transfer(servers),
            _ => {
                for place in members(servers) {
                    match kind.breaks_assumptions() {
                        true if !matches!(kind, FaultKind::FailDisk { .. }) => {
                            self.damage(fault, kind, place, draws);
                        }
                        _ => self.strike_server(fault, kind, place),
                    }
                }
            }
        }
        if let Some(lasts) = kind.lasts() {
            self.push_after(lasts, Event::Relent { fault, servers });
        }
    }

    /// Carries out a fault on one server.
    fn strike_server(&mut self, fault: usize, kind: &FaultKind, at: usize) {
        let Some(server) = self.servers.get_mut(at) else {
            return;
        };
        let (boot, is_running) = (server.boot, server.is_running());
        let probe = match *kind {
            FaultKind::Crash {
                after_outputs: Some(outputs),
                ..
            } => {
                server.dying = Some((outputs, fault));
                return;
            }
            FaultKind::Crash {
                after_outputs: None, ..
            } => return self.crash_by(at, fault),
            FaultKind::Pause { lasts, .. } => return self.pause(at, lasts),
            FaultKind::CutClients { .. } => {
                server.client_cuts += 1;
                Probe::CutClients
            }
            FaultKind::SlowDisk { extra, .. } => {
                server.disk.extra += extra;
                Probe::SlowDisk
            }
            FaultKind::FullDisk { .. } => {
                server.full += 1;
                server.full_by = fault;
                return;
            }
            FaultKind::FailDisk { .. } if !is_running => return,
            FaultKind::FailDisk { phantom: true, .. } if self.is_spared(at) => Probe::DamageSpared,
            FaultKind::FailDisk { .. } => {
                self.push(self.now, Event::DiskFails { server: at, boot });
                self.die_soon(at, boot, fault);
                Probe::DiskFailed
            }
            FaultKind::ClockRate { ppm, .. } => {
                self.change_clock(at, |clock, now| clock.run_at(now, i64::from(ppm)));
                Probe::ClockRate
            }
            FaultKind::ClockJump { by, back: false, .. } => {
                self.change_clock(at, |clock, now| clock.jump(now, by));
                self.set_wall_clock(at, fault);
                Probe::ClockJump
            }
            FaultKind::ClockJump { by, back: true, .. } => {
                self.change_clock(at, |clock, now| clock.jump_back(now, by));
                self.clock_was_put_back(at, by);
                self.set_wall_clock(at, fault);
                Probe::ClockJumpBack
            }
            FaultKind::BreakConnections { .. } => {
                if self.is_wired && self.break_connections(at) {
                    self.happened(Probe::ConnectionsBroken, Some(at));
                }
                return;
            }
            FaultKind::Campaign { .. } => {
                self.push(
                    self.now,
                    Event::Command {
                        server: at,
                        command: HostCommand::Campaign,
                    },
                );
                Probe::ForceCampaign
            }
            FaultKind::Snapshot { .. } => {
                self.push(
                    self.now,
                    Event::Command {
                        server: at,
                        command: HostCommand::TakeSnapshot,
                    },
                );
                return;
            }
            // These strike links or only the contents of a disk, or are an operator's.
            FaultKind::Partition { .. }
            | FaultKind::Storm { .. }
            | FaultKind::ChangeMembership { .. }
            | FaultKind::TransferLeadership { .. }
            | FaultKind::WipeDisk { .. }
            | FaultKind::LyingDisk { .. }
            | FaultKind::RestoreBackup { .. }
            | FaultKind::CorruptDisk { .. } => return,
        };
        self.happened(probe, Some(at));
    }

    /// A fault ends.
    pub(super) fn end_fault(&mut self, fault: usize, servers: u8) {
        let schedule = self.schedule;
        let Some(Fault { id, kind, .. }) = schedule.faults.get(fault) else {
            return;
        };
        if self.phase != super::Phase::Faulty {
            return;
        }
        self.quiet.disruptions += 1;
        self.disturb_by(kind, servers, Nanos::ZERO);
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
                FaultKind::RestoreBackup { .. } => self.restore_backup(fault, place),
                _ => {}
            }
            let Some(server) = self.servers.get_mut(place) else {
                continue;
            };
            match *kind {
                FaultKind::FullDisk { .. } => server.full = server.full.saturating_sub(1),
                FaultKind::LyingDisk { .. } => server.disk.make_lied_syncs(),
                FaultKind::CutClients { .. } => server.client_cuts = server.client_cuts.saturating_sub(1),
                FaultKind::SlowDisk { extra, .. } => server.disk.extra = server.disk.extra.since(extra),
                _ => {}
            }
        }
    }

    /// Delivers the messages that cut links have kept, where the links are whole again.
    pub(super) fn release_held(&mut self) {
        for (envelope, sent) in std::mem::take(&mut self.held) {
            let (from, to) = (place_of(envelope.from), place_of(envelope.to));
            match self.network.is_held(from, to) {
                true => self.held.push((envelope, sent)),
                false => {
                    let at = self.network.release(self.now, from, to);
                    match super::quiet::outlives_its_reason(&envelope.message) {
                        true => self.quiet.disturb_all(at),
                        false => self.quiet.disturb_link(from, to, at),
                    }
                    let envelope = Box::new(envelope);
                    self.push(at, Event::Deliver { envelope, sent });
                }
            }
        }
    }
}
