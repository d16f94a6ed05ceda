//! The outcomes of views, kept so that a repeated request gets the same answer and is charged once.
//!
//! An outcome is kept until its viewer acknowledges it, or for a day. An acknowledged outcome is replaced by a marker
//! until the request has expired: without it, a copy of the request that is still in flight would be charged like a new
//! one. After that, the request's age denies it.

use std::collections::{BTreeMap, BTreeSet};

use lsb_core::UnixSeconds;
use lsb_core::envelope::UserName;
use serde::{Deserialize, Serialize};

use super::state::{OutcomeKey, OutcomeRecord, StoredOutcome};

/// How long an outcome is kept for a viewer who does not acknowledge it.
pub const OUTCOME_LIFETIME_SECONDS: u64 = 24 * 60 * 60;
/// How many unacknowledged outcomes one user may have.
pub const MOST_OUTCOMES_PER_USER: usize = 1024;
/// How many outcomes and markers there may be in all.
pub const MOST_OUTCOMES: usize = 1_000_000;

/// The outcomes, with the two indexes that keep them bounded.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(
    from = "BTreeMap<OutcomeKey, OutcomeRecord>",
    into = "BTreeMap<OutcomeKey, OutcomeRecord>"
)]
pub(super) struct Outcomes {
    records: BTreeMap<OutcomeKey, OutcomeRecord>,
    /// The records in the order in which they are removed.
    by_age: BTreeSet<(UnixSeconds, OutcomeKey)>,
    /// How many records of each user are not acknowledged.
    waiting: BTreeMap<UserName, usize>,
}

impl From<BTreeMap<OutcomeKey, OutcomeRecord>> for Outcomes {
    fn from(records: BTreeMap<OutcomeKey, OutcomeRecord>) -> Self {
        let mut outcomes = Self::default();
        for (key, record) in records {
            outcomes.insert(key, record);
        }
        outcomes
    }
}

impl From<Outcomes> for BTreeMap<OutcomeKey, OutcomeRecord> {
    fn from(outcomes: Outcomes) -> Self {
        outcomes.records
    }
}

impl Outcomes {
    pub(super) fn get(&self, key: &OutcomeKey) -> Option<&OutcomeRecord> {
        self.records.get(key)
    }

    /// Returns how many there are, markers included.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Returns the limit that one more outcome of this user would exceed, if any.
    pub(super) fn limit_reached(&self, user: &UserName) -> Option<usize> {
        if self
            .waiting
            .get(user)
            .is_some_and(|&waiting| waiting >= MOST_OUTCOMES_PER_USER)
        {
            return Some(MOST_OUTCOMES_PER_USER);
        }
        (self.records.len() >= MOST_OUTCOMES).then_some(MOST_OUTCOMES)
    }

    pub(super) fn insert(&mut self, key: OutcomeKey, record: OutcomeRecord) {
        self.remove(&key);
        if record.outcome != StoredOutcome::Acknowledged {
            *self.waiting.entry(key.0.clone()).or_default() += 1;
        }
        self.by_age.insert((record.forget, key.clone()));
        self.records.insert(key, record);
    }

    /// Replaces an outcome by a marker.
    pub(super) fn acknowledge(&mut self, key: &OutcomeKey) {
        if let Some(record) = self.records.get(key).copied()
            && record.outcome != StoredOutcome::Acknowledged
        {
            if planted!(ACKNOWLEDGED_WITHOUT_MARKER) {
                return self.remove(key);
            }
            // A request that was denied for being valid too long is nevertheless removed after a day.
            let forget = record.expires.min(record.forget);
            self.insert(
                key.clone(),
                OutcomeRecord {
                    outcome: StoredOutcome::Acknowledged,
                    forget,
                    ..record
                },
            );
        }
    }

    /// Removes all records that have expired.
    pub(super) fn forget_until(&mut self, now: UnixSeconds) {
        while let Some((_, key)) = self.by_age.first().filter(|(forget, _)| *forget <= now).cloned() {
            self.remove(&key);
        }
    }

    fn remove(&mut self, key: &OutcomeKey) {
        let Some(record) = self.records.remove(key) else {
            return;
        };
        self.by_age.remove(&(record.forget, key.clone()));
        if record.outcome != StoredOutcome::Acknowledged
            && let Some(waiting) = self.waiting.get_mut(&key.0)
        {
            *waiting -= 1;
            if *waiting == 0 {
                self.waiting.remove(&key.0);
            }
        }
    }
}
