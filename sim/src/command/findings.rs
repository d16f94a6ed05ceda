//! What many runs came to: how many there were, the hash of all, and those that did not pass.

use std::ops::Range;

use super::Ending;
use super::results::{DETERMINISM, SCHEDULE};

/// Why a run did not pass.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) ending: Ending,
    /// The oracle, or what stands in its place.
    pub(super) oracle: String,
    pub(super) message: String,
}

impl Finding {
    /// A schedule that had two different outcomes.
    pub(super) fn unrepeatable(message: String) -> Self {
        Self {
            ending: Ending::Nondeterminism,
            oracle: DETERMINISM.to_owned(),
            message,
        }
    }

    /// A schedule that could not be run.
    pub(super) fn not_run(message: String) -> Self {
        Self {
            ending: Ending::Usage,
            oracle: SCHEDULE.to_owned(),
            message,
        }
    }
}

/// A run that did not pass, and the command that repeats it.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) name: String,
    pub(super) again: String,
    pub(super) finding: Finding,
}

/// The totals of all runs, whatever is counted in them.
#[derive(Default)]
pub(super) struct Totals<C> {
    pub(super) schedules: u64,
    pub(super) hash: u64,
    pub(super) counts: C,
    failures: Vec<(u64, Failure)>,
}

impl<C> Totals<C> {
    /// Counts a run, by its number and the hash that is tied to it.
    pub(super) fn add(&mut self, hash: u64, count: impl FnOnce(&mut C)) {
        self.schedules += 1;
        self.hash = self.hash.wrapping_add(hash);
        count(&mut self.counts);
    }

    /// Keeps what did not pass, if anything.
    pub(super) fn fail(&mut self, number: u64, failure: Option<Failure>) {
        self.failures.extend(failure.map(|failure| (number, failure)));
    }

    /// Returns what did not pass, in the order of the runs' numbers.
    pub(super) fn failures(&self) -> Vec<&(u64, Failure)> {
        let mut failures: Vec<_> = self.failures.iter().collect();
        failures.sort_by_key(|(number, _)| *number);
        failures
    }

    pub(super) fn found(&self) -> usize {
        self.failures.len()
    }

    pub(super) fn ending(&self) -> Ending {
        Ending::worst(self.failures.iter().map(|(_, failure)| failure.finding.ending))
    }
}

/// How many seeds pass between two that are run twice, to compare the hashes, and whose histories get a second opinion.
const TWICE_EVERY: u64 = 64;

/// Whether the run of this seed is made twice.
pub(super) const fn is_run_twice(seed: u64) -> bool {
    seed.is_multiple_of(TWICE_EVERY)
}

/// The number of seeds in a range.
pub(super) const fn length(seeds: &Range<u64>) -> u64 {
    seeds.end.saturating_sub(seeds.start)
}
