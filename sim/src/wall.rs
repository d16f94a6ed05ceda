//! The wall clock of one server. It is another clock than the one that counts ticks: people set it, and some of them are
//! mistaken by years.

use raft_core::WallTime;

use crate::nanos::Nanos;
use crate::random::{Domain, Seed};

/// What a right clock shows when a run begins, in microseconds: a day in 2026.
const BEGINNING_MICROS: i64 = 1_780_000_000_000_000;

const SECOND: i64 = 1_000_000;

/// By how much clocks are wrong that are wrong, in microseconds: from just beyond the bound to two years.
const WRONG_BY: [i64; 5] = [
    8 * SECOND,
    60 * SECOND,
    3_600 * SECOND,
    86_400 * SECOND,
    2 * 365 * 86_400 * SECOND,
];

/// How many of 10,000 servers begin with a wrong clock.
const BEGINS_WRONG_PERMYRIAD: u32 = 2_500;

/// A clock that shows the true time, plus how far it is ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WallClock {
    ahead_micros: i64,
    drift_ppm: i64,
    /// When it was last set.
    set_at: Nanos,
}

impl WallClock {
    /// The clock of the server at this place: within half a second of the true time, or wrong.
    pub(crate) fn new(seed: Seed, place: u64, drift_ppm: i64) -> Self {
        let draw = seed.quick(Domain::Wall, place, 0, 0);
        let near = i64::try_from(draw.below(SECOND.unsigned_abs())).unwrap_or(0) - SECOND / 2;
        Self {
            ahead_micros: match draw.part(1).chance(BEGINS_WRONG_PERMYRIAD) {
                true => wrong_by(seed, place),
                false => near,
            },
            drift_ppm,
            set_at: Nanos::ZERO,
        }
    }

    /// What it shows.
    pub(crate) fn shows(&self, now: Nanos) -> WallTime {
        let passed = i64::try_from(now.value() / 1_000).unwrap_or(i64::MAX);
        let drift = (i128::from(passed) * i128::from(self.drift_ppm) / 1_000_000) as i64;
        let shown = BEGINNING_MICROS + passed + drift + self.ahead_micros;
        WallTime::new(u64::try_from(shown).unwrap_or(0))
    }

    /// Somebody sets it, as one fault says: mostly to another wrong time, and now and then to the right one.
    pub(crate) fn is_set_by(&mut self, seed: Seed, fault: u64, now: Nanos) {
        let is_right = seed.quick(Domain::Wall, fault, 1, 1).chance(2_500);
        self.ahead_micros = if is_right {
            0
        } else {
            wrong_by(seed, 1_000 + fault)
        };
        self.set_at = now;
    }

    /// Whether it was set after this time.
    pub(crate) fn was_set_since(&self, then: Nanos) -> bool {
        self.set_at > Nanos::ZERO && self.set_at >= then
    }
}

fn wrong_by(seed: Seed, entity: u64) -> i64 {
    let draw = seed.quick(Domain::Wall, entity, 0, 1);
    let by = WRONG_BY[draw.below(WRONG_BY.len() as u64) as usize];
    if draw.part(1).chance(3_000) { -by } else { by }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_shows_the_true_time_and_what_it_is_ahead() {
        let mut right = 0;
        for place in 0..1_000 {
            let clock = WallClock::new(Seed(7), place, 100);
            let shown = |now| clock.shows(now).value() as i64;
            let ahead = shown(Nanos::ZERO) - BEGINNING_MICROS;
            right += u64::from(ahead.abs() <= SECOND / 2);
            assert!(
                ahead.abs() <= SECOND / 2 || WRONG_BY.contains(&ahead.abs()),
                "{ahead}"
            );
            let passed = shown(Nanos::from_millis(10_000)) - shown(Nanos::ZERO);
            assert_eq!(passed, 10 * SECOND + 1_000, "it is fast by a ten-thousandth");
        }
        assert!((650..850).contains(&right), "{right} of 1,000 begin right");
    }

    #[test]
    fn a_wall_clock_can_be_set() {
        let mut clock = WallClock::new(Seed(7), 1, 0);
        assert!(!clock.was_set_since(Nanos::ZERO));
        clock.is_set_by(Seed(7), 3, Nanos::from_millis(5));
        assert!(clock.was_set_since(Nanos::from_millis(5)));
        assert!(!clock.was_set_since(Nanos::from_millis(6)));
    }
}
