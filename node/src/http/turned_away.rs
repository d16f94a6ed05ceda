//! Counts what was turned away, and why: health tells it, and a line a minute in the log.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The limits at which something is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Limit {
    /// All places for connections were taken.
    Connections,
    /// An address sent too much that no enrolled device has signed.
    Address,
    /// All addresses together did.
    Strangers,
    /// A device sent too much, or has too much in progress.
    Device,
    /// Memory for pictures is taken.
    Memory,
    /// A request came, or an answer was read, too slowly.
    Slow,
    /// Too many new names.
    Names,
    /// Too many denials to record.
    Denials,
    /// An upload was not signed by an enrolled device.
    Unsigned,
}

impl Limit {
    /// Returns the name in `/v1/status`, in health and in the log.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Address => "requests of an address",
            Self::Strangers => "requests of strangers",
            Self::Device => "requests of a device",
            Self::Memory => "memory",
            Self::Slow => "slow clients",
            Self::Names => "new names",
            Self::Denials => "denials",
            Self::Unsigned => "unsigned uploads",
        }
    }
}

/// How long something counts as recent.
pub(super) const RECENT: Duration = Duration::from_secs(60);

/// The counts of one limit.
#[derive(Clone, Copy, Debug)]
struct Count {
    total: u64,
    /// When this minute of the count began, how many there were in it, and how many in the minute before.
    began: Instant,
    now: u64,
    before: u64,
}

impl Count {
    fn turn(&mut self, now: Instant) {
        let minutes = now.saturating_duration_since(self.began).as_secs() / RECENT.as_secs();
        if minutes > 0 {
            self.before = if minutes == 1 { self.now } else { 0 };
            (self.now, self.began) = (0, now);
        }
    }
}

/// What was turned away, by limit.
#[derive(Debug, Default)]
pub(super) struct TurnedAway {
    counts: Mutex<BTreeMap<Limit, Count>>,
}

impl TurnedAway {
    pub(super) fn count(&self, limit: Limit) {
        self.count_at(limit, Instant::now());
    }

    fn count_at(&self, limit: Limit, now: Instant) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(limit).or_insert(Count {
            total: 0,
            began: now,
            now: 0,
            before: 0,
        });
        count.turn(now);
        count.total += 1;
        count.now += 1;
    }

    /// Returns how many there ever were.
    pub(super) fn totals(&self) -> BTreeMap<String, u64> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let totals = counts
            .iter()
            .map(|(limit, count)| (limit.name().to_owned(), count.total));
        totals.collect()
    }

    /// Returns a phrase about those of the last minute or two; none if there were none.
    pub(super) fn recent(&self) -> Option<String> {
        self.recent_at(Instant::now())
    }

    fn recent_at(&self, now: Instant) -> Option<String> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut phrases = Vec::new();
        for (limit, count) in counts.iter_mut() {
            count.turn(now);
            if count.now + count.before > 0 {
                phrases.push(format!("{} {}", limit.name(), count.now + count.before));
            }
        }
        (!phrases.is_empty()).then(|| phrases.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_turned_away_is_recent_for_a_minute_or_two_and_counted_for_ever() {
        let (turned_away, start) = (TurnedAway::default(), Instant::now());
        assert_eq!(turned_away.recent_at(start), None);
        for _ in 0..3 {
            turned_away.count_at(Limit::Memory, start);
        }
        turned_away.count_at(Limit::Slow, start);
        assert_eq!(
            turned_away.recent_at(start).as_deref(),
            Some("memory 3, slow clients 1")
        );
        let later = start + RECENT;
        turned_away.count_at(Limit::Memory, later);
        assert_eq!(
            turned_away.recent_at(later).as_deref(),
            Some("memory 4, slow clients 1")
        );
        assert_eq!(turned_away.recent_at(later + RECENT).as_deref(), Some("memory 1"));
        assert_eq!(turned_away.recent_at(later + 3 * RECENT), None);
        assert_eq!(turned_away.totals().get("memory"), Some(&4));
    }
}
