//! What was added to swarms after their first table of draws: classes, damage to disks, further networks. It has draws
//! of its own, so that the rest of a seed's schedule stays what it was.

use raft_core::NodeId;

use super::{add, victim};
use crate::nanos::Nanos;
use crate::random::{Domain, Draws, Seed};
use crate::schedule::{Class, FaultKind, Record, Schedule, Survival, Target, When};

/// Adds these to the schedule of a swarm, or all of them at their strongest.
pub(super) fn add_to(schedule: &mut Schedule, all: bool) {
    let mut draws = Seed(schedule.seed).careful(Domain::Configuration, 2, 0, 0);
    let (a, b) = if all { (40, 75) } else { (80, 95) };
    schedule.class = match draws.below(100) {
        drawn if drawn < a => Class::A,
        drawn if drawn < b => Class::B,
        _ => Class::C,
    };
    network(schedule, &mut draws, all);
    within_assumptions(schedule, &mut draws, all);
    match schedule.class {
        Class::A => {}
        // Damages one server's disk, and perhaps crashes another server at the worst time.
        Class::B => {
            let target = any_server(schedule, &mut draws);
            for _ in 0..draws.between(1, 4) {
                damage(schedule, &mut draws, target);
            }
        }
        Class::C => {
            for _ in 0..draws.between(2, if all { 12 } else { 6 }) {
                let target = any_server(schedule, &mut draws);
                damage(schedule, &mut draws, target);
            }
        }
    }
}

fn any_server(schedule: &Schedule, draws: &mut Draws) -> Target {
    Target::Server(NodeId::new(1 + draws.below(u64::from(schedule.cluster.servers))))
}

fn any_time(schedule: &Schedule, draws: &mut Draws) -> Nanos {
    Nanos::from_micros(draws.between(100_000, schedule.heal.at.value()) / 1_000)
}

/// Slow links, connections, encoded bytes.
fn network(schedule: &mut Schedule, draws: &mut Draws, all: bool) {
    let weather = &mut schedule.weather.network;
    if draws.chance(2_500) {
        weather.stream = true;
        weather.reconnect_within = draws.millis(1, 500);
    }
    if all || draws.chance(1_500) {
        weather.bytes_per_second = draws.pick(&[5_000, 50_000, 500_000]).unwrap_or(50_000);
        weather.queue_bytes = draws.pick(&[2_000, 20_000, 200_000]).unwrap_or(20_000);
    }
    if all || draws.chance(800) {
        schedule.knobs.encode_messages = true;
        weather.corrupt_permyriad = draws.pick(&[0, 20, 300]).unwrap_or(20);
    }
    if draws.chance(1_000) {
        schedule.knobs.uncommitted_bytes = draws.between(1, 500);
    }
    if schedule.weather.network.stream && (all || draws.chance(5_000)) {
        for _ in 0..draws.between(1, 6) {
            let (at, target) = (any_time(schedule, draws), victim(draws));
            add(schedule, When::At(at), FaultKind::BreakConnections { target });
        }
    }
}

/// Full disks, clocks that jump back, links that flap.
fn within_assumptions(schedule: &mut Schedule, draws: &mut Draws, all: bool) {
    let mut several = |schedule: &mut Schedule, permyriad: u32, make: fn(&mut Draws) -> FaultKind| {
        if draws.chance(permyriad) || all {
            for _ in 0..draws.between(1, 3) {
                let at = any_time(schedule, draws);
                let kind = make(draws);
                add(schedule, When::At(at), kind);
            }
        }
    };
    several(schedule, 1_000, |draws| FaultKind::FullDisk {
        target: victim(draws),
        restart_after: draws.millis(10, 300),
        lasts: draws.millis(50, 2_000),
    });
    several(schedule, 700, |draws| FaultKind::ClockJump {
        target: victim(draws),
        by: draws.millis(10, 1_000),
        back: true,
    });
    several(schedule, 1_500, |draws| {
        let mut kind = super::partition(draws);
        if let FaultKind::Partition { flap_every, .. } = &mut kind {
            *flap_every = Some(draws.millis(5, 400));
        }
        kind
    });
}

/// Damages disks in one way that Raft assumes never happens.
fn damage(schedule: &mut Schedule, draws: &mut Draws, target: Target) {
    let at = any_time(schedule, draws);
    let restart_after = Some(draws.millis(0, 1_000));
    let lasts = draws.millis(50, 3_000);
    let kind = match draws.below(5) {
        0 => FaultKind::WipeDisk {
            target,
            restart_after,
        },
        1 => {
            // A lie shows when the server crashes.
            let dies = at + Nanos::new(draws.below(lasts.value()));
            add(
                schedule,
                When::At(dies),
                FaultKind::Crash {
                    target,
                    keep: Survival::Random,
                    after_outputs: None,
                    restart_after,
                },
            );
            FaultKind::LyingDisk { target, lasts }
        }
        2 => FaultKind::RestoreBackup {
            target,
            lasts,
            restart_after,
            takeovers: u32::try_from(draws.below(8)).unwrap_or(0).saturating_sub(4),
        },
        3 => FaultKind::CorruptDisk {
            target,
            record: draws
                .pick(&[
                    Record::Random,
                    Record::Entry,
                    Record::LastEntry,
                    Record::HardState,
                    Record::Snapshot,
                ])
                .unwrap_or_default(),
            restart_after: restart_after.filter(|_| draws.chance(5_000)),
        },
        _ => FaultKind::FailDisk {
            target,
            keep: Survival::Random,
            phantom: true,
            restart_after,
        },
    };
    add(schedule, When::At(at), kind);
}
