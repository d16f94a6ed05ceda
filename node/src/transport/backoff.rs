//! The pause before the next attempt to connect.

use std::time::Duration;

const SHORTEST: Duration = Duration::from_millis(50);

/// Doubles from attempt to attempt, up to a limit, and draws each pause from the upper half of its range, so that
/// servers that lost each other at the same time do not retry in step.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    pub(super) fn up_to(longest: Duration) -> Self {
        let longest = longest.max(SHORTEST);
        Self {
            next: SHORTEST,
            longest,
        }
    }

    pub(super) fn reset(&mut self) {
        self.next = SHORTEST;
    }

    /// Returns the next pause, given a random number.
    pub(super) fn pause(&mut self, random: u64) -> Duration {
        let range = self.next;
        self.next = range.saturating_mul(2).min(self.longest);
        let half_micros = (range.as_micros() / 2) as u64;
        Duration::from_micros(half_micros + random % (half_micros + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit_and_reset() {
        let mut backoff = Backoff::up_to(Duration::from_millis(150));
        assert_eq!(backoff.pause(25_000), Duration::from_millis(50));
        assert_eq!(backoff.pause(0), Duration::from_millis(50));
        assert_eq!(backoff.pause(0), Duration::from_millis(75));
        assert_eq!(backoff.pause(0), Duration::from_millis(75));
        backoff.reset();
        assert_eq!(backoff.pause(0), Duration::from_millis(25));
    }
}
