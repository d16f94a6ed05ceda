//! Hosts that give the core their wall time, with clocks that are wrong or are set while the cluster runs. The draws have
//! a domain of their own, so that everything else about a seed is the same as without wall clocks.

use super::add;
use crate::nanos::Nanos;
use crate::random::{Domain, Seed};
use crate::schedule::{FaultKind, Schedule, Target, When};

/// Gives some of the schedules wall clocks.
pub(super) fn add_to(schedule: &mut Schedule) {
    let mut draws = Seed(schedule.seed).careful(Domain::Wall, 0, 0, 0);
    if !draws.chance(4_000) {
        return;
    }
    schedule.knobs.wall_clocks = true;
    if schedule.knobs.lease_drift_permyriad.is_some() {
        // Leases rest on clocks whose ticks do not jump.
        return;
    }
    let end = schedule.heal.at.value().max(500_000_000);
    for _ in 0..draws.below(4) {
        let at = Nanos::from_micros(draws.between(300_000, end / 1_000));
        let target = draws.pick(&[Target::Leader, Target::Leader, Target::Follower]);
        let kind = FaultKind::ClockJump {
            target: target.unwrap_or(Target::Leader),
            by: draws.millis(0, 20),
            back: false,
        };
        add(schedule, When::At(at), kind);
    }
}
