//! A workload without its types: what the command does with it.

use std::io;
use std::ops::Range;

use crate::canary::{Canary, Sighting};
use crate::fuzz::{Seen, explore};
use crate::linearizability::Opinion;
use crate::recording::{Recording, film};
use crate::report::{Report, TraceEvent};
use crate::schedule::{Schedule, ScheduleError};
use crate::shrink::{Shrunk, shrink};
use crate::workload::Workload;
use crate::{Profile, world};

/// How many steps the search for a linearization may take, per object.
const SEARCH_STEPS: u64 = 200_000;

/// Everything that the command does with a workload, whatever its machine is.
pub(super) trait Subject: Send + Sync {
    fn name(&self) -> &'static str;
    fn schedule(&self, profile: Profile, seed: u64) -> Schedule;
    fn fit(&self, schedule: Schedule) -> Schedule;
    fn run(&self, schedule: &Schedule) -> Result<Report, ScheduleError>;
    fn replay(&self, schedule: &Schedule, each: &mut dyn FnMut(TraceEvent)) -> Result<Report, ScheduleError>;
    fn film(&self, schedule: &Schedule) -> Result<(Report, Recording), ScheduleError>;
    fn explore(&self, schedule: &Schedule) -> Result<(Report, Seen), ScheduleError>;
    fn shrink(
        &self,
        schedule: &Schedule,
        progress: &mut dyn FnMut(u64, usize),
    ) -> Result<Option<Shrunk>, ScheduleError>;
    fn hunt_canary(
        &self,
        canary: Canary,
        seeds: Range<u64>,
        schedule: &dyn Fn(u64) -> Schedule,
    ) -> Result<Option<Sighting>, ScheduleError>;
    /// Runs the schedule, judges what clients saw (C3), and writes it, if it is to be written.
    fn record(&self, schedule: &Schedule, out: Option<&mut dyn io::Write>) -> Result<Recorded, RecordError>;
    #[cfg(feature = "planted-bugs")]
    fn hunt(
        &self,
        bug: &'static crate::planted::Bug,
        seeds: Range<u64>,
        schedule: &dyn Fn(u64) -> Schedule,
    ) -> Option<crate::planted::Find>;
}

/// A run whose history was recorded.
pub(super) struct Recorded {
    pub(super) report: Report,
    /// The opinion on the history: none where nothing is promised to clients, or where the workload has no model.
    pub(super) opinion: Option<Opinion>,
}

/// Why a history cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl<W: Workload + Send + Sync> Subject for W {
    fn name(&self) -> &'static str {
        Workload::name(self)
    }

    fn schedule(&self, profile: Profile, seed: u64) -> Schedule {
        profile.schedule_for(seed, self)
    }

    fn fit(&self, mut schedule: Schedule) -> Schedule {
        schedule.fit(self.sizes(&schedule.workload));
        schedule.slow_down(self.apply_takes());
        schedule
    }

    fn run(&self, schedule: &Schedule) -> Result<Report, ScheduleError> {
        world::run(schedule, self)
    }

    fn replay(&self, schedule: &Schedule, each: &mut dyn FnMut(TraceEvent)) -> Result<Report, ScheduleError> {
        world::replay(schedule, self, each)
    }

    fn film(&self, schedule: &Schedule) -> Result<(Report, Recording), ScheduleError> {
        film(schedule, self)
    }

    fn explore(&self, schedule: &Schedule) -> Result<(Report, Seen), ScheduleError> {
        explore(schedule, self)
    }

    fn shrink(
        &self,
        schedule: &Schedule,
        progress: &mut dyn FnMut(u64, usize),
    ) -> Result<Option<Shrunk>, ScheduleError> {
        shrink(schedule, self, progress)
    }

    fn hunt_canary(
        &self,
        canary: Canary,
        seeds: Range<u64>,
        schedule: &dyn Fn(u64) -> Schedule,
    ) -> Result<Option<Sighting>, ScheduleError> {
        canary.hunt(seeds, schedule, self)
    }

    fn record(&self, schedule: &Schedule, out: Option<&mut dyn io::Write>) -> Result<Recorded, RecordError> {
        let (report, history) = world::record(schedule, self)?;
        if let Some(out) = out {
            self.write_history(&history, out)?;
        }
        // Where disks lost too much, nothing is promised about what clients see.
        let is_promised = report.is_within_budget();
        let opinion = is_promised
            .then(|| self.opinion(&history, SEARCH_STEPS))
            .flatten();
        Ok(Recorded { report, opinion })
    }

    #[cfg(feature = "planted-bugs")]
    fn hunt(
        &self,
        bug: &'static crate::planted::Bug,
        seeds: Range<u64>,
        schedule: &dyn Fn(u64) -> Schedule,
    ) -> Option<crate::planted::Find> {
        crate::planted::hunt(bug, seeds, schedule, self)
    }
}
