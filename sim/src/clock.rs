//! The clock of one server: it ticks at its own rate, from its own beginning, and can jump ahead.

use crate::nanos::Nanos;

const MILLION: u64 = 1_000_000;

/// A clock as straight pieces: since `since`, when it stood at `stood_at`, it has run at `rate` millionths of real time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    since: Nanos,
    stood_at: Nanos,
    rate: u64,
    tick: Nanos,
}

impl Clock {
    /// A clock that stands at `phase` at the start of the run.
    pub(crate) fn new(tick: Nanos, phase: Nanos, drift_ppm: i64) -> Self {
        Self {
            since: Nanos::ZERO,
            stood_at: phase,
            rate: rate_of(drift_ppm),
            tick,
        }
    }

    /// What the clock says.
    fn reading(&self, now: Nanos) -> Nanos {
        let real = now.since(self.since).value();
        let local = u128::from(real) * u128::from(self.rate) / u128::from(MILLION);
        self.stood_at + Nanos::new(u64::try_from(local).unwrap_or(u64::MAX))
    }

    /// How many ticks the clock has counted.
    pub(crate) fn ticks(&self, now: Nanos) -> u64 {
        // The common case needs no wide arithmetic.
        let reading = if self.rate == MILLION {
            self.stood_at + now.since(self.since)
        } else {
            self.reading(now)
        };
        reading.value() / self.tick.value().max(1)
    }

    /// When the clock will have counted so many ticks.
    pub(crate) fn when(&self, ticks: u64) -> Nanos {
        let target = self.tick.times(ticks).since(self.stood_at).value();
        // The common case needs no wide arithmetic.
        if self.rate == MILLION {
            return self.since + Nanos::new(target);
        }
        let real = (u128::from(target) * u128::from(MILLION)).div_ceil(u128::from(self.rate));
        self.since + Nanos::new(u64::try_from(real).unwrap_or(u64::MAX))
    }

    /// From now on the clock runs at another rate.
    pub(crate) fn run_at(&mut self, now: Nanos, drift_ppm: i64) {
        self.stood_at = self.reading(now);
        self.since = now;
        self.rate = rate_of(drift_ppm);
    }

    /// The clock jumps back. Whoever counts its ticks has counted some of them before, and waits for new ones.
    pub(crate) fn jump_back(&mut self, now: Nanos, by: Nanos) {
        self.stood_at = self.reading(now).since(by);
        self.since = now;
    }

    /// The clock jumps ahead.
    pub(crate) fn jump(&mut self, now: Nanos, by: Nanos) {
        self.stood_at = self.reading(now) + by;
        self.since = now;
    }
}

/// No clock stands still or runs backwards: the host turns such readings into none at all.
fn rate_of(drift_ppm: i64) -> u64 {
    MILLION
        .saturating_add_signed(drift_ppm)
        .clamp(MILLION / 10, MILLION * 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_reached_exactly_when_its_tick_is_counted() {
        for drift in [-400_000, -37, 0, 1, 250_000] {
            let mut clock = Clock::new(Nanos::from_millis(10), Nanos::new(3_333_333), drift);
            clock.run_at(Nanos::from_millis(70), drift / 2);
            clock.jump(Nanos::from_millis(90), Nanos::from_millis(55));
            for ticks in 20..200 {
                let at = clock.when(ticks);
                assert!(clock.ticks(at) >= ticks, "{drift} {ticks}");
                assert!(
                    at == clock.since || clock.ticks(Nanos::new(at.value() - 1)) < ticks,
                    "{drift} {ticks}"
                );
            }
        }
    }
}
