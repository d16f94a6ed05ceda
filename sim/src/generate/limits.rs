//! Limits that are drawn so small that they hold something back. The draws have a domain of their own, so that the rest
//! of a seed's schedule stays what it was.

use crate::random::{Domain, Seed};
use crate::schedule::Schedule;

/// Draws those limits that no earlier table of draws makes small.
pub(super) fn add_to(schedule: &mut Schedule) {
    let mut draws = Seed(schedule.seed).careful(Domain::Configuration, 12, 0, 0);
    let knobs = &mut schedule.knobs;
    if draws.chance(800) {
        knobs.inflight_bytes = draws.between(1, 300);
    }
    if draws.chance(800) {
        knobs.proposals = draws.between(1, 4);
    }
    if draws.chance(800) {
        knobs.reads = draws.between(1, 4);
    }
}
