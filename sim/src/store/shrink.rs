//! Reduces a failing run of the store to the few steps and faults that make it fail.

use super::run::run;
use super::schedule::{DiskFaultKind, Keep, Step, StoreSchedule};
use super::subject::StoreUnderTest;
use crate::oracle::Oracle;
use crate::shrink::take_runs;

/// A failing schedule, made as small as it gets.
#[derive(Clone, Debug)]
pub struct ShrunkStore {
    /// The small schedule.
    pub schedule: StoreSchedule,
    /// The oracle that finds something in it.
    pub oracle: Oracle,
    /// How many runs that took.
    pub runs: u64,
}

/// Removes whatever the same oracle does not need to find something; `None` if it finds nothing to begin with.
pub fn shrink(schedule: &StoreSchedule, store: &dyn StoreUnderTest) -> Option<ShrunkStore> {
    let oracle = run(schedule, store).violation?.oracle;
    let mut shrinker = Shrinker {
        store,
        best: schedule.clone(),
        oracle,
        runs: 1,
    };
    loop {
        let before = shrinker.best.clone();
        shrinker.take(|schedule| &mut schedule.faults);
        shrinker.take(|schedule| &mut schedule.steps);
        shrinker.take_writes();
        shrinker.simplify();
        if shrinker.best == before {
            break;
        }
    }
    Some(ShrunkStore {
        schedule: shrinker.best,
        oracle,
        runs: shrinker.runs,
    })
}

struct Shrinker<'a> {
    store: &'a dyn StoreUnderTest,
    best: StoreSchedule,
    oracle: Oracle,
    runs: u64,
}

impl Shrinker<'_> {
    fn attempt(&mut self, change: impl FnOnce(&mut StoreSchedule)) -> bool {
        let mut candidate = self.best.clone();
        change(&mut candidate);
        if candidate == self.best {
            return false;
        }
        self.runs += 1;
        let fails = run(&candidate, self.store)
            .violation
            .is_some_and(|violation| violation.oracle == self.oracle);
        if fails {
            self.best = candidate;
        }
        fails
    }

    fn take<T>(&mut self, list: impl Fn(&mut StoreSchedule) -> &mut Vec<T>) {
        let length = list(&mut self.best).len();
        take_runs(length, |run| {
            self.attempt(|schedule| drop(list(schedule).drain(run)));
            list(&mut self.best).len()
        });
    }

    fn take_writes(&mut self) {
        for place in 0..self.best.steps.len() {
            for write in (0..self.writes_of(place)).rev() {
                self.attempt(|schedule| {
                    if let Some(Step::Persist { writes }) = schedule.steps.get_mut(place) {
                        writes.remove(write);
                    }
                });
            }
        }
    }

    fn writes_of(&self, place: usize) -> usize {
        match self.best.steps.get(place) {
            Some(Step::Persist { writes }) => writes.len(),
            _ => 0,
        }
    }

    /// Simplifies crashes: those that lose everything or nothing are simpler than those that draw.
    fn simplify(&mut self) {
        for simple in [Keep::Everything, Keep::Nothing] {
            for place in 0..self.best.faults.len() {
                self.attempt(|schedule| {
                    if let Some(DiskFaultKind::Crash { keep }) =
                        schedule.faults.get_mut(place).map(|fault| &mut fault.kind)
                        && *keep != Keep::Everything
                    {
                        *keep = simple;
                    }
                });
            }
        }
    }
}
