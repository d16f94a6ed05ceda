//! Changes of a schedule that keep it within its class, so that the same promises hold for it.

use crate::coverage::Probe;
use crate::nanos::Nanos;
use crate::random::Draws;
use crate::schedule::{Fault, FaultKind, Schedule, Trigger, When};

/// The most faults in a schedule; one with more takes long and shows little.
const MOST_FAULTS: usize = 40;

/// Returns the schedule with a few changes; faults may come from the other one.
pub(super) fn changed(schedule: &Schedule, other: &Schedule, draws: &mut Draws) -> Schedule {
    let mut best = schedule.clone();
    for _ in 0..draws.between(1, 4) {
        let mut candidate = best.clone();
        change(&mut candidate, other, draws);
        if candidate.validate().is_ok() {
            best = candidate;
        }
    }
    best.purpose = String::new();
    best
}

fn change(schedule: &mut Schedule, other: &Schedule, draws: &mut Draws) {
    let place = usize::try_from(draws.below(schedule.faults.len() as u64)).unwrap_or(0);
    let heal_at = schedule.heal.at;
    match draws.below(9) {
        // The same faults in other weather.
        0 => schedule.seed = draws.below(1 << 62),
        1 if place < schedule.faults.len() => {
            schedule.faults.remove(place);
        }
        2 => {
            if let Some(again) = schedule
                .faults
                .get(place)
                .filter(|fault| keeps_every_promise(&fault.kind))
                .cloned()
            {
                add(schedule, again, draws);
            }
        }
        3 => {
            if let Some(fault) = schedule.faults.get_mut(place) {
                fault.when = moved(fault.when, heal_at, draws);
            }
        }
        4 => {
            if let Some(fault) = schedule
                .faults
                .get_mut(place)
                .filter(|fault| keeps_every_promise(&fault.kind))
            {
                fault.when = on_something(draws);
            }
        }
        // Faults of the other schedule.
        5 | 6 => {
            let soft: Vec<&Fault> = other
                .faults
                .iter()
                .filter(|fault| keeps_every_promise(&fault.kind))
                .collect();
            let chosen = usize::try_from(draws.below(soft.len() as u64)).unwrap_or(0);
            if let Some(&fault) = soft.get(chosen) {
                add(schedule, fault.clone(), draws);
            }
        }
        7 => {
            let plan = &mut schedule.workload;
            match draws.below(3) {
                0 => plan.interval = half_or_double(plan.interval, draws),
                1 => plan.read_permyriad = u32::try_from(draws.below(10_001)).unwrap_or(0),
                _ => plan.choices = draws.between(1, 8),
            }
        }
        _ => {
            let (network, disk) = (&mut schedule.weather.network, &mut schedule.weather.disk);
            match draws.below(3) {
                0 => network.delay_max = half_or_double(network.delay_max, draws),
                1 => disk.sync_max = half_or_double(disk.sync_max, draws),
                _ => network.delay_min = half_or_double(network.delay_min, draws),
            }
        }
    }
}

fn half_or_double(time: Nanos, draws: &mut Draws) -> Nanos {
    match draws.chance(5_000) {
        true => time.times(2),
        false => Nanos::new(time.value() / 2),
    }
}

fn add(schedule: &mut Schedule, fault: Fault, draws: &mut Draws) {
    if schedule.faults.len() >= MOST_FAULTS {
        return;
    }
    let last = schedule.faults.iter().map(|fault| fault.id).max().unwrap_or(0);
    let when = moved(fault.when, schedule.heal.at, draws);
    schedule.faults.push(Fault {
        id: last.saturating_add(1),
        when,
        ..fault
    });
}

/// Moves a fault: to another time before the heal, or to another event of the same kind.
fn moved(when: When, heal_at: Nanos, draws: &mut Draws) -> When {
    match when {
        When::At(at) if draws.chance(5_000) => {
            let near = draws.between(at.value() / 2, at.value().saturating_add(at.value() / 2));
            // A fault that struck after the heal would never be healed.
            When::At(Nanos::new(near.min(heal_at.value().saturating_sub(1))))
        }
        When::At(_) => When::At(Nanos::new(draws.below(heal_at.value()))),
        When::On(trigger) => When::On(Trigger {
            nth: draws.between(1, 8),
            after: after(draws),
            ..trigger
        }),
    }
}

fn on_something(draws: &mut Draws) -> When {
    When::On(Trigger {
        event: draws.pick(Probe::ALL).unwrap_or(Probe::BecomeLeader),
        nth: draws.between(1, 8),
        after: after(draws),
    })
}

/// At once, in the middle of the server's step; or a little later.
fn after(draws: &mut Draws) -> Nanos {
    match draws.chance(5_000) {
        true => Nanos::ZERO,
        false => Nanos::from_micros(draws.below(50_000)),
    }
}

/// Whether any number of such faults, at any time, keeps every promise. Lost disks have a budget, leases state the
/// largest error of clocks, and the servers that an operator adds or removes follow a plan.
const fn keeps_every_promise(kind: &FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::Crash { .. }
            | FaultKind::Pause { .. }
            | FaultKind::Partition { .. }
            | FaultKind::BreakConnections { .. }
            | FaultKind::CutClients { .. }
            | FaultKind::Storm { .. }
            | FaultKind::SlowDisk { .. }
            | FaultKind::Campaign { .. }
            | FaultKind::Snapshot { .. }
            | FaultKind::TransferLeadership { .. }
    )
}
