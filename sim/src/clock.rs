//! The clock of one server: it ticks at its own rate, from its own beginning, and can jump ahead.

use crate::nanos::Nanos;

const MILLION: u64 = 1_000_000;

/// A clock as straight pieces: it read `stood_at` at the time `since`, and has run at `rate` millionths of real time
/// from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    since: Nanos,
    stood_at: Nanos,
    rate: u64,
    tick: Nanos,
}

impl Clock {
    /// A clock that reads `phase` at the start of the run.
    pub(crate) fn new(tick: Nanos, phase: Nanos, drift_ppm: i64) -> Self {
        Self {
            since: Nanos::ZERO,
            stood_at: phase,
            rate: rate_of(drift_ppm),
            tick,
        }
    }

    /// Returns the clock's reading.
    fn reading(&self, now: Nanos) -> Nanos {
        let real = now.since(self.since).value();
        self.stood_at + Nanos::new(scaled(real, self.rate, MILLION, Rounded::Down))
    }

    /// Returns how many ticks the clock has counted.
    pub(crate) fn ticks(&self, now: Nanos) -> u64 {
        self.reading(now).value() / self.tick.value().max(1)
    }

    /// Returns when the clock will have counted so many ticks.
    pub(crate) fn when(&self, ticks: u64) -> Nanos {
        let target = self.tick.times(ticks).since(self.stood_at).value();
        self.since + Nanos::new(scaled(target, MILLION, self.rate, Rounded::Up))
    }

    /// Whether the clock runs at this rate.
    pub(crate) fn runs_at(&self, drift_ppm: i64) -> bool {
        self.rate == rate_of(drift_ppm)
    }

    /// From now on the clock runs at another rate.
    pub(crate) fn run_at(&mut self, now: Nanos, drift_ppm: i64) {
        self.stood_at = self.reading(now);
        self.since = now;
        self.rate = rate_of(drift_ppm);
    }

    /// Sets the clock back. A host that counts its ticks has counted some of them before, and waits for new ones.
    pub(crate) fn jump_back(&mut self, now: Nanos, by: Nanos) {
        self.stood_at = self.reading(now).since(by);
        self.since = now;
    }

    /// Sets the clock ahead.
    pub(crate) fn jump(&mut self, now: Nanos, by: Nanos) {
        self.stood_at = self.reading(now) + by;
        self.since = now;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rounded {
    Down,
    Up,
}

/// `value * times / by`. Hours of simulated time fit in 64 bits, whose division is many times faster than that of 128.
fn scaled(value: u64, times: u64, by: u64, rounded: Rounded) -> u64 {
    match (value.checked_mul(times), rounded) {
        (Some(product), Rounded::Down) => product / by,
        (Some(product), Rounded::Up) => product.div_ceil(by),
        (None, rounded) => {
            let product = u128::from(value) * u128::from(times);
            let quotient = match rounded {
                Rounded::Down => product / u128::from(by),
                Rounded::Up => product.div_ceil(u128::from(by)),
            };
            u64::try_from(quotient).unwrap_or(u64::MAX)
        }
    }
}

/// Returns a rate above zero: no clock stops or runs backwards, because the host ignores such readings.
fn rate_of(drift_ppm: i64) -> u64 {
    MILLION
        .saturating_add_signed(drift_ppm)
        .clamp(MILLION / 10, MILLION * 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_and_narrow_arithmetic_agree() {
        for value in [0, 7, 1 << 40, (u64::MAX / 1_250_000) - 3] {
            for (times, by) in [(999_963, MILLION), (MILLION, 1_250_000), (MILLION, MILLION)] {
                let wide = u128::from(value) * u128::from(times);
                let down = u128::from(scaled(value, times, by, Rounded::Down));
                let up = u128::from(scaled(value, times, by, Rounded::Up));
                assert_eq!(down, wide / u128::from(by), "{value} {times} {by}");
                assert_eq!(up, wide.div_ceil(u128::from(by)), "{value} {times} {by}");
            }
        }
        let days = u64::MAX / 3;
        assert_eq!(
            scaled(days, MILLION, MILLION, Rounded::Down),
            days,
            "without overflow"
        );
        assert_eq!(scaled(u64::MAX, MILLION, 1, Rounded::Up), u64::MAX);
    }

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
