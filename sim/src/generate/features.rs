//! Options of the library that are off by default: leases, requests to servers that do not lead, priority, witnesses,
//! hosts that wait for their writes. The draws have a domain of their own, so that the rest of a seed's schedule stays
//! what it was.

use super::themes::{crash, cut, election_millis, on};
use super::{MESSAGES, add};
use crate::coverage::Probe;
use crate::nanos::Nanos;
use crate::random::{Domain, Draws, Seed};
use crate::schedule::{Class, Delivery, FaultKind, Schedule, Shape, Survival, Target, When};

/// Adds these options to some of the swarm's schedules, or to most of those that have everything.
pub(super) fn add_to(schedule: &mut Schedule, all: bool) {
    let mut draws = Seed(schedule.seed).careful(Domain::Configuration, 5, 0, 0);
    if draws.chance(if all { 6_000 } else { 3_000 }) {
        schedule.knobs.forwarding = true;
    }
    if draws.chance(2_000) {
        schedule.knobs.yields = u32::try_from(draws.between(1, 3)).unwrap_or(1);
    }
    if draws.chance(if all { 6_000 } else { 3_000 }) {
        leases(schedule);
        schedule.workload.lease_read_permyriad = draws.pick(&[2_000, 5_000, 10_000]).unwrap_or(5_000) as u32;
        if schedule.knobs.lease_drift_permyriad.is_some() && draws.chance(4_000) {
            old_leaders(schedule, &mut draws);
            mixed_settings(schedule);
        }
    }
    // A lost disk of one server beside a witness may be one lost copy too many: see the limits of `raft/witness.rs`.
    if draws.chance(if all { 5_000 } else { 2_000 }) && schedule.class == Class::A {
        let most = u64::from(schedule.cluster.servers.saturating_sub(1) / 2);
        schedule.cluster.witnesses = u8::try_from(draws.between(0, most)).unwrap_or(0);
    }
    if draws.chance(if all { 1_500 } else { 1_000 }) {
        schedule.knobs.persists_at_once = true;
    }
}

/// Turns leases on, if these clocks meet their assumptions: none jumps, and none runs faster than another by more than
/// a known rate.
fn leases(schedule: &mut Schedule) {
    let mut fastest_ppm = schedule.weather.clock_drift_ppm;
    for fault in &schedule.faults {
        match fault.kind {
            FaultKind::ClockJump { .. } => return,
            FaultKind::ClockRate { ppm, .. } => fastest_ppm = fastest_ppm.max(ppm.unsigned_abs()),
            _ => {}
        }
    }
    let Some(slowest) = 1_000_000_u64
        .checked_sub(u64::from(fastest_ppm))
        .filter(|&slowest| slowest > 0)
    else {
        return;
    };
    // One clock may be as much too fast as another is too slow.
    let drift = (2 * u64::from(fastest_ppm) * 10_000).div_ceil(slowest);
    schedule.knobs.lease_drift_permyriad = u32::try_from(drift).ok();
    if schedule
        .knobs
        .config(schedule.seed, schedule.cluster.tick)
        .validate()
        .is_err()
    {
        schedule.knobs.lease_drift_permyriad = None;
    }
}

/// Gives every start settings of its own, in some of the schedules that try to make leases outlive their leaders. The
/// draws have a domain of their own.
fn mixed_settings(schedule: &mut Schedule) {
    let mut draws = Seed(schedule.seed).careful(Domain::Configuration, 7, 0, 0);
    if draws.chance(5_000) {
        schedule.knobs.mixed_settings = true;
        outlived_leaders(schedule, &mut draws);
        let heal = &mut schedule.heal;
        for bound in [
            &mut heal.converge_within,
            &mut heal.serve_within,
            &mut heal.quiet_for,
        ] {
            *bound = bound.times(8);
        }
    }
}

/// Partitions leaders for long enough that servers with several times longer timeouts elect another one, which clients
/// of both sides notice.
fn outlived_leaders(schedule: &mut Schedule, draws: &mut Draws) {
    let election = election_millis(schedule);
    let mut at = 400 + draws.below(4 * election);
    for _ in 0..draws.between(1, 3) {
        // A follower that starts again has other settings, and may be the one that votes too early.
        let restart_after = draws.millis(0, 20);
        let begins = Nanos::from_millis(at + draws.below(election));
        add(
            schedule,
            When::At(begins),
            crash(Target::Follower, Survival::All, restart_after),
        );
        at += 2 * election;
        let lasts = draws.millis(6 * election, 12 * election);
        let isolated = cut(Shape::Isolate, Target::Leader, Delivery::DroppedAtSend, lasts);
        add(schedule, When::At(Nanos::from_millis(at)), isolated);
        if draws.chance(5_000) {
            let crashes = Nanos::from_millis(at + draws.below(election));
            add(
                schedule,
                When::At(crashes),
                crash(Target::Follower, Survival::All, restart_after),
            );
        }
        at += lasts.value() / 1_000_000 + 4 * election;
    }
    schedule.heal.at = schedule.heal.at.max(Nanos::from_millis(at));
    let plan = &mut schedule.workload;
    plan.interval = draws.millis(5, 15);
    let operations = schedule.heal.at.value() / plan.interval.value().max(1);
    plan.operations = u32::try_from(operations.min(1_500))
        .unwrap_or(1_500)
        .max(plan.operations);
}

/// Replaces leaders while clients go on asking them, as fast as leases allow and faster. An old leader may then answer
/// only on a lease that still holds.
fn old_leaders(schedule: &mut Schedule, draws: &mut Draws) {
    let election = election_millis(schedule);
    let workload = &mut schedule.workload;
    workload.lease_read_permyriad = 10_000;
    workload.read_permyriad = 7_000;
    workload.interval = draws.millis(2, 12);
    workload.operations = workload.operations.max(250);
    let end =
        (workload.begin + workload.interval.times(u64::from(workload.operations))).min(schedule.heal.at);
    for _ in 0..draws.between(2, 4) {
        let at = Nanos::from_micros(draws.between(400_000, end.value().max(500_000_000)) / 1_000);
        let messages = draws.pick(MESSAGES).unwrap_or_default();
        let lasts = draws.millis(election, 3 * election);
        match draws.below(3) {
            // The others forget that they heard it, and are asked to campaign at once.
            0 => {
                add(
                    schedule,
                    When::At(at),
                    cut(Shape::Isolate, Target::Leader, messages, lasts),
                );
                let mut then = at;
                for _ in 1..schedule.cluster.servers {
                    then += Nanos::from_micros(200);
                    let restart_after = Nanos::from_micros(draws.between(100, 3_000));
                    add(
                        schedule,
                        When::At(then),
                        crash(Target::Follower, Survival::All, restart_after),
                    );
                }
                for _ in 0..4 {
                    then += draws.millis(2, 25);
                    add(
                        schedule,
                        When::At(then),
                        FaultKind::Campaign {
                            target: Target::Follower,
                        },
                    );
                }
            }
            // Its messages no longer arrive, and late answers still reach it.
            1 => {
                schedule.weather.network.reorder_permyriad = 2_000;
                schedule.weather.network.reorder_by = draws.millis(election / 2, 2 * election);
                add(
                    schedule,
                    When::At(at),
                    cut(Shape::Mute, Target::Leader, messages, lasts),
                );
            }
            // It has told another server to campaign, and does not learn the result.
            _ => {
                add(
                    schedule,
                    When::At(at),
                    FaultKind::TransferLeadership {
                        target: Target::Follower,
                        best: false,
                    },
                );
                let told = on(
                    Probe::SendTimeoutNow,
                    draws.between(1, 2),
                    Nanos::from_micros(draws.below(500)),
                );
                add(schedule, told, cut(Shape::Deaf, Target::Subject, messages, lasts));
            }
        }
    }
}
