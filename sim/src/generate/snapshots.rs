//! Snapshots whose bytes take long to write, or are not written at all. The draws have a domain of their own, so that
//! everything else about a seed is the same as with quick ones.

use super::themes::on;
use super::{add, victim};
use crate::coverage::Probe;
use crate::nanos::Nanos;
use crate::random::{Domain, Seed};
use crate::schedule::{FaultKind, Schedule, Survival};

/// Makes the snapshots of some of the schedules slow.
pub(super) fn add_to(schedule: &mut Schedule, all: bool) {
    let mut draws = Seed(schedule.seed).careful(Domain::Configuration, 9, 0, 0);
    if !all && !draws.chance(4_000) {
        return;
    }
    let disk = &mut schedule.weather.disk;
    disk.snapshot = draws.millis(1, 3_000);
    disk.snapshot_fails_permyriad = draws.pick(&[0, 0, 500, 3_000]).unwrap_or(0);
    // Crashes while the bytes are being written, and when they are written and not named.
    for _ in 0..draws.below(4) {
        let event = draws.pick(&[Probe::WriteSnapshot, Probe::WriteSnapshot, Probe::IssueInstall]);
        let nth = draws.between(1, 12);
        let after = Nanos::new(draws.below(schedule.weather.disk.snapshot.value()));
        let when = on(event.unwrap_or(Probe::WriteSnapshot), nth, after);
        let kind = FaultKind::Crash {
            target: victim(&mut draws),
            keep: Survival::Random,
            after_outputs: None,
            restart_after: Some(draws.millis(0, 1_000)),
        };
        add(schedule, when, kind);
    }
}
