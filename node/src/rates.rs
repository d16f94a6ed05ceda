//! Rates: how many events a second each source may cause, in memory that does not grow with the sources.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The network that an address belongs to, for limits: one IPv4 address, or the /64 that a host with IPv6 has to
/// itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Source(IpAddr);

impl Source {
    pub(crate) fn of(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            v4 => v4,
        })
    }
}

/// So many events a second on average, and so many at once (a token bucket).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    per_second: f64,
    at_once: f64,
}

impl Rate {
    pub(crate) fn per_second(events: f64, at_once: u32) -> Self {
        Self {
            per_second: events,
            at_once: f64::from(at_once.max(1)),
        }
    }

    pub(crate) fn per_minute(events: u32, at_once: u32) -> Self {
        Self::per_second(f64::from(events) / 60.0, at_once)
    }
}

/// How many more events may happen, as of when. A source that was never seen has no state.
type Left = Option<(f64, Instant)>;

impl Rate {
    fn take(self, left: &mut Left, now: Instant) -> bool {
        let available = match *left {
            Some((tokens, since)) => {
                let gained = now.saturating_duration_since(since).as_secs_f64() * self.per_second;
                (tokens + gained).min(self.at_once)
            }
            None => self.at_once,
        };
        let granted = available >= 1.0;
        *left = Some((if granted { available - 1.0 } else { available }, now));
        granted
    }
}

/// A rate that all sources share.
#[derive(Debug)]
pub(crate) struct Shared {
    rate: Rate,
    left: Mutex<Left>,
}

impl Shared {
    pub(crate) fn new(rate: Rate) -> Self {
        Self {
            rate,
            left: Mutex::new(None),
        }
    }

    /// Counts one more event, or refuses it.
    pub(crate) fn take(&self, now: Instant) -> bool {
        self.rate
            .take(&mut self.left.lock().unwrap_or_else(PoisonError::into_inner), now)
    }
}

/// A rate for each source.
///
/// The sources are spread over a fixed number of buckets by a hash with a secret key. So memory is constant, nothing has
/// to be forgotten, and no one can choose a source that shares the bucket of another.
#[derive(Debug)]
pub(crate) struct PerSource {
    rate: Rate,
    buckets: Vec<Mutex<Left>>,
    hasher: RandomState,
}

/// With a thousand sources at once, one in sixteen shares its bucket with another.
const BUCKETS: usize = 16_384;

impl PerSource {
    pub(crate) fn new(rate: Rate) -> Self {
        Self {
            rate,
            buckets: (0..BUCKETS).map(|_| Mutex::new(None)).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Counts one more event of a source, or refuses it.
    pub(crate) fn take(&self, source: &impl Hash, now: Instant) -> bool {
        let mut left = self.bucket(source).lock().unwrap_or_else(PoisonError::into_inner);
        self.rate.take(&mut left, now)
    }

    /// Takes an event back: its source has turned out not to be one that the rate is meant for.
    pub(crate) fn give_back(&self, source: &impl Hash) {
        let mut left = self.bucket(source).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((tokens, _)) = left.as_mut() {
            *tokens = (*tokens + 1.0).min(self.rate.at_once);
        }
    }

    fn bucket(&self, source: &impl Hash) -> &Mutex<Left> {
        let hash = self.hasher.hash_one(source);
        // The remainder is below the length, which is not zero.
        let place = usize::try_from(hash % BUCKETS as u64).unwrap_or(0);
        &self.buckets[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_rate_allows_a_burst_and_then_its_average() {
        let rate = Shared::new(Rate::per_second(2.0, 3));
        let start = Instant::now();
        assert_eq!((0..5).filter(|_| rate.take(start)).count(), 3);
        let later = start + Duration::from_secs(1);
        assert_eq!((0..5).filter(|_| rate.take(later)).count(), 2);
        let much_later = start + Duration::from_secs(100);
        assert_eq!((0..5).filter(|_| rate.take(much_later)).count(), 3);
    }

    #[test]
    fn one_source_cannot_use_up_the_rate_of_another() {
        let rates = PerSource::new(Rate::per_minute(60, 5));
        let start = Instant::now();
        assert_eq!((0..9).filter(|_| rates.take(&1, start)).count(), 5);
        // A thousand others: at most a few share a bucket with the first.
        let free = (2..1002).filter(|other| rates.take(other, start)).count();
        assert!(free > 990, "{free}");
        rates.give_back(&1);
        assert_eq!((0..9).filter(|_| rates.take(&1, start)).count(), 1);
    }

    #[test]
    fn a_host_with_ipv6_is_one_source_whichever_of_its_addresses_it_uses() {
        let of = |text: &str| Source::of(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
