//! The canaries of a campaign: mistakes made on purpose beside it, each of which its first seeds must find.

use std::ops::Range;

use super::subject::Subject;
use crate::{Canary, Schedule, ScheduleError, Sighting};

/// A campaign of so many seeds has canaries. A shorter one only looks at a few seeds.
pub(super) const FROM_SEEDS: u64 = 64;

/// The number of the campaign's first seeds that must be enough to find each canary.
const WITHIN_SEEDS: u64 = 16;

/// The result of the hunt for each canary.
pub(super) struct Canaries(Vec<(Canary, Result<Option<Sighting>, ScheduleError>)>);

impl Canaries {
    /// Hunts all canaries on the campaign's first seeds. Their runs are not counted.
    pub(super) fn hunt(
        seeds: &Range<u64>,
        schedule: &dyn Fn(u64) -> Schedule,
        subject: &dyn Subject,
    ) -> Self {
        let first = seeds.start..seeds.end.min(seeds.start.saturating_add(WITHIN_SEEDS));
        let hunt = |canary: Canary| (canary, subject.hunt_canary(canary, first.clone(), schedule));
        Self(Canary::ALL.into_iter().map(hunt).collect())
    }

    /// Returns the canaries that were not found, with a sentence each.
    pub(super) fn missed(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.0.iter().filter_map(|(canary, found)| {
            let why = match found {
                Ok(Some(_)) => return None,
                Ok(None) => {
                    format!("no oracle found it in {WITHIN_SEEDS} seeds, so this campaign proves nothing")
                }
                Err(error) => error.to_string(),
            };
            Some((canary.name(), why))
        })
    }

    /// Returns the canaries that were found.
    pub(super) fn found(&self) -> impl Iterator<Item = &'static str> {
        let found = self.0.iter().filter(|(_, found)| matches!(found, Ok(Some(_))));
        found.map(|(canary, _)| canary.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;
    use crate::kv::KeyValue;

    #[test]
    fn every_canary_is_found_by_every_profile() {
        for profile in [Profile::Swarm, Profile::Calm, Profile::Hell, Profile::Bench] {
            for start in [0, 4_711] {
                let seeds = start..start + FROM_SEEDS;
                let canaries = Canaries::hunt(&seeds, &|seed| profile.schedule(seed), &KeyValue);
                let missed: Vec<_> = canaries.missed().collect();
                assert!(missed.is_empty(), "{profile:?} from {start}: {missed:?}");
            }
        }
    }

    /// Without time for a heal or a write, no canary can be found, and the campaign must report that.
    #[test]
    fn a_campaign_that_gets_nowhere_misses_its_canaries() {
        let idle = |seed| {
            let mut schedule = Profile::Calm.schedule(seed);
            schedule.event_budget = 1;
            schedule
        };
        let canaries = Canaries::hunt(&(0..FROM_SEEDS), &idle, &KeyValue);
        assert_eq!(canaries.missed().count(), Canary::ALL.len());
        assert_eq!(canaries.found().count(), 0);
    }
}
