//! Runs many seeds, one after the other, until one finds something.

use std::ops::Range;

use crate::generate::Profile;
use crate::report::Verdict;
use crate::schedule::{Schedule, ScheduleError};
use crate::unoptimised;
use crate::workload::Workload;
use crate::world::run;

/// A seed whose run did not pass.
#[derive(Clone, Debug)]
pub struct Found {
    /// The seed.
    pub seed: u64,
    /// Its schedule, to be shrunk and replayed.
    pub schedule: Schedule,
    /// The verdict on its run.
    pub verdict: Verdict,
}

/// Runs the schedules of these seeds, made to fit the workload, and returns the first whose run does not pass.
pub fn sweep<W: Workload>(
    profile: Profile,
    mut seeds: Range<u64>,
    workload: &W,
) -> Result<Option<Found>, ScheduleError> {
    unoptimised::tell();
    let found = seeds.find_map(|seed| {
        let schedule = profile.schedule_for(seed, workload);
        let verdict = match run(&schedule, workload) {
            Ok(report) => report.verdict(&schedule.expect),
            Err(error) => return Some(Err(error)),
        };
        (verdict != Verdict::Pass).then_some(Ok(Found {
            seed,
            schedule,
            verdict,
        }))
    });
    found.transpose()
}
