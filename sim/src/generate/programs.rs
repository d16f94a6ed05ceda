//! Rolling upgrades and roll-backs: every start of a server draws one of two programs. The draws have a domain of their
//! own, so that the rest of a seed's schedule stays what it was.

use super::add;
use super::themes::{crash, cut, election_millis, on};
use crate::coverage::Probe;
use crate::nanos::Nanos;
use crate::random::{Domain, Draws, Seed};
use crate::schedule::{Class, Delivery, FaultKind, Programs, Schedule, Shape, Survival, Target, When};

/// Gives some of the swarm's schedules this theme, or more of those that have everything.
pub(super) fn add_to(schedule: &mut Schedule, all: bool) {
    let mut draws = Seed(schedule.seed).careful(Domain::Configuration, 8, 0, 0);
    if draws.chance(if all { 3_000 } else { 1_200 }) && schedule.class == Class::A {
        two_programs(schedule, &mut draws);
    }
}

/// Servers are started again and again, each time with one of the programs, while clients already ask for what only the
/// newer one has.
fn two_programs(schedule: &mut Schedule, draws: &mut Draws) {
    let is_levelled = draws.chance(6_000);
    schedule.knobs.programs = Some(match is_levelled {
        true => Programs::Levelled,
        false => Programs::Unlevelled,
    });
    // Every command says which program it is for, in one more byte.
    schedule.knobs.message_bytes += 1;
    if draws.chance(5_000) {
        schedule.knobs.forwarding = true;
    }
    if draws.chance(4_000) {
        // A server that was down is sent a snapshot then.
        schedule.knobs.snapshot_every_entries = draws.between(3, 15);
        schedule.knobs.snapshot_keep_entries = draws.between(0, 3);
    }
    let plan = &mut schedule.workload;
    plan.operations = plan.operations.max(120);
    plan.interval = Nanos::new(schedule.heal.at.value() / u64::from(plan.operations));
    let election = election_millis(schedule);
    if is_levelled {
        // Servers that have just said that they run the newer program return to the older one.
        for _ in 0..draws.between(1, 3) {
            let raised = on(
                Probe::LevelRaised,
                draws.between(1, 3),
                Nanos::from_micros(draws.below(20_000)),
            );
            let down = draws.millis(1, 100);
            add(schedule, raised, crash(Target::Follower, Survival::Random, down));
        }
    }
    let starts = u64::from(schedule.cluster.all_servers()) * draws.between(1, 3);
    let end = schedule.heal.at.value() / 1_000_000;
    for _ in 0..starts {
        let at = Nanos::from_millis(draws.between(200, end.max(400)));
        let target = draws
            .pick(&[Target::Any, Target::Follower, Target::Leader])
            .unwrap_or(Target::Any);
        let down = match draws.below(4) {
            0 => draws.millis(election, 6 * election),
            _ => draws.millis(5, 200),
        };
        add(schedule, When::At(at), crash(target, Survival::All, down));
        if draws.chance(2_000) {
            let lasts = draws.millis(election, 4 * election);
            let kind = cut(Shape::Isolate, target, Delivery::DroppedAtSend, lasts);
            add(schedule, When::At(at), kind);
        }
        if draws.chance(1_500) {
            add(
                schedule,
                When::At(at),
                FaultKind::TransferLeadership {
                    target: Target::Follower,
                    best: false,
                },
            );
        }
    }
}
