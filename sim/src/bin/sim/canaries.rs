//! The canaries of a campaign: mistakes made on purpose beside it, each of which its first seeds must find.

use std::ops::Range;

use sim::{Canary, Schedule, ScheduleError, Sighting, Workload};

/// A campaign of so many seeds has canaries. A shorter one only looks at a few seeds.
pub(crate) const FROM_SEEDS: u64 = 64;

/// The number of the campaign's first seeds that must be enough to find each canary.
const WITHIN_SEEDS: u64 = 16;

/// The result of the hunt for each canary.
pub(crate) struct Canaries(Vec<(Canary, Result<Option<Sighting>, ScheduleError>)>);

impl Canaries {
    /// Hunts all canaries on the campaign's first seeds. Their runs are not counted.
    pub(crate) fn hunt<W: Workload>(
        seeds: &Range<u64>,
        schedule: impl Fn(u64) -> Schedule,
        workload: &W,
    ) -> Self {
        let first = seeds.start..seeds.end.min(seeds.start.saturating_add(WITHIN_SEEDS));
        let hunt = |canary: Canary| (canary, canary.hunt(first.clone(), &schedule, workload));
        Self(Canary::ALL.into_iter().map(hunt).collect())
    }

    /// Returns the canaries that were not found, with a sentence each.
    pub(crate) fn missed(&self) -> impl Iterator<Item = (&'static str, String)> {
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
    pub(crate) fn found(&self) -> impl Iterator<Item = &'static str> {
        let found = self.0.iter().filter(|(_, found)| matches!(found, Ok(Some(_))));
        found.map(|(canary, _)| canary.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim::Profile;
    use sim::kv::KeyValue;
    use sim::ledger::Ledger;

    #[test]
    fn every_canary_is_found_by_every_profile_and_workload() {
        for profile in [Profile::Swarm, Profile::Calm, Profile::Hell, Profile::Bench] {
            for start in [0, 4_711] {
                let seeds = start..start + FROM_SEEDS;
                let kv = Canaries::hunt(&seeds, |seed| profile.schedule(seed), &KeyValue);
                let ledger = Canaries::hunt(&seeds, |seed| Ledger::schedule(profile, seed), &Ledger::new());
                for canaries in [kv, ledger] {
                    let missed: Vec<_> = canaries.missed().collect();
                    assert!(missed.is_empty(), "{profile:?} from {start}: {missed:?}");
                }
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
        let canaries = Canaries::hunt(&(0..FROM_SEEDS), idle, &KeyValue);
        assert_eq!(canaries.missed().count(), Canary::ALL.len());
        assert_eq!(canaries.found().count(), 0);
    }
}
