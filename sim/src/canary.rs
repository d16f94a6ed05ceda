//! Canaries: mistakes of a host, made on purpose in every campaign, each of which the oracles must find. A campaign
//! that does not find them proves nothing: its checking is broken, or its runs never get anywhere.
//!
//! Canaries are in every build, unlike the bank of planted bugs, which changes the library under test.

use std::ops::Range;

use crate::oracle::Oracle;
use crate::schedule::{Schedule, ScheduleError};
use crate::workload::Workload;
use crate::world;

/// A mistake of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canary {
    /// It reports a write as durable as soon as it has issued it.
    ReportsEarly,
    /// It answers clients by their place in a queue, and is one off: a client is told the outcome of the request before
    /// its own.
    AnswersByQueue,
    /// It sends nothing once the faults are over.
    FallsSilent,
}

/// How a canary was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The seed whose run failed.
    pub seed: u64,
    /// The oracle that reported it.
    pub oracle: Oracle,
}

impl Canary {
    /// All canaries: one for the rules of the protocol (S), one for what clients see (C), one for liveness (L).
    pub const ALL: [Self; 3] = [Self::ReportsEarly, Self::AnswersByQueue, Self::FallsSilent];

    /// Returns the canary's name, in kebab case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReportsEarly => "reports-early",
            Self::AnswersByQueue => "answers-by-queue",
            Self::FallsSilent => "falls-silent",
        }
    }

    /// Whether the canary counts as found when this oracle reports a violation.
    const fn is_for(self, oracle: Oracle) -> bool {
        use Oracle::{C1, C2, C7, C8, L1, L2, L5, L7, S7, S9, S12, S13};
        match self {
            Self::ReportsEarly => matches!(oracle, S7 | S9 | S12 | S13),
            Self::AnswersByQueue => matches!(oracle, C1 | C2 | C7 | C8),
            Self::FallsSilent => matches!(oracle, L1 | L2 | L5 | L7),
        }
    }

    /// Runs the schedules of these seeds with the mistake until an oracle that it is for finds it. Returns `None` if
    /// these seeds do not find it.
    pub fn hunt<W: Workload>(
        self,
        mut seeds: Range<u64>,
        schedule: impl Fn(u64) -> Schedule,
        workload: &W,
    ) -> Result<Option<Sighting>, ScheduleError> {
        let sighting = seeds.find_map(|seed| {
            let found = match world::run_with(self, &schedule(seed), workload) {
                Ok(report) => report.violation.map(|violation| violation.oracle),
                Err(error) => return Some(Err(error)),
            };
            let oracle = found.filter(|&oracle| self.is_for(oracle))?;
            Some(Ok(Sighting { seed, oracle }))
        });
        sighting.transpose()
    }
}
