//! What the library has and leaves off unless asked: leases, requests to servers that do not lead, priority, witnesses. The draws have a name of
//! their own, so that the rest of a seed's schedule stays what it was.

use crate::random::{Domain, Seed};
use crate::schedule::{Class, FaultKind, Schedule};

/// Switches them on in some of the swarm's schedules, or in most of those that have everything.
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
    }
    // A lost disk of one server beside a witness may be one lost copy too many: see the limits of `raft/witness.rs`.
    if draws.chance(if all { 5_000 } else { 2_000 }) && schedule.class == Class::A {
        let most = u64::from(schedule.cluster.servers.saturating_sub(1) / 2);
        schedule.cluster.witnesses = u8::try_from(draws.between(0, most)).unwrap_or(0);
    }
}

/// Leases, if what they assume of clocks can be said of these: none jumps, and none runs faster than another by more than can be stated.
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
    if schedule.knobs.config(schedule.seed).validate().is_err() {
        schedule.knobs.lease_drift_permyriad = None;
    }
}
