//! Reduces a failing run to the few things that make it fail.
//!
//! The shrinker removes what it can: faults, operations, servers, bad weather, unusual settings; then it rounds what is
//! left. A smaller schedule counts only if the *same* oracle finds something in it. Because every draw is keyed (see
//! the crate's documentation), a removal leaves the draws of the rest as they were.

use std::ops::Range;

use crate::coverage::Probe;
use crate::nanos::Nanos;
use crate::oracle::Oracle;
use crate::report::Report;
use crate::schedule::{
    Cluster, FaultKind, Knobs, NetworkWeather, Rest, Schedule, ScheduleError, Survival, Trigger, Weather,
    When,
};
use crate::workload::Workload;
use crate::world;

/// A failing schedule, made as small as it gets.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The small schedule. It expects to pass, as a regression does once the bug is fixed, and requires what its faults
    /// must cause.
    pub schedule: Schedule,
    /// The outcome of its run.
    pub report: Report,
    /// The oracle that finds something in it.
    pub oracle: Oracle,
    /// The number of faults and operations before.
    pub items_before: usize,
    /// The number of faults and operations after.
    pub items_after: usize,
    /// How many runs that took.
    pub runs: u64,
}

/// Delta debugging (Zeller and Hildebrandt 2002), the greedy half of it: takes ever smaller runs of neighbours out of a
/// list of so many items. `take` tries to do without a run, and returns how many items the list has then.
pub(crate) fn take_runs(mut length: usize, mut take: impl FnMut(Range<usize>) -> usize) {
    let mut size = length.next_power_of_two();
    while size > 0 {
        let mut from = 0;
        while from < length {
            let to = (from + size).min(length);
            let before = std::mem::replace(&mut length, take(from..to));
            if length == before {
                from = to;
            }
        }
        size /= 2;
    }
}

/// Shrinks a failing schedule; `None` if it does not fail. `progress` is told the number of runs and of items left.
pub fn shrink<W: Workload>(
    schedule: &Schedule,
    workload: &W,
    progress: &mut dyn FnMut(u64, usize),
) -> Result<Option<Shrunk>, ScheduleError> {
    let report = world::run(schedule, workload)?;
    let Some(oracle) = report.violation.as_ref().map(|violation| violation.oracle) else {
        return Ok(None);
    };
    let mut shrinker = Shrinker {
        workload,
        oracle,
        best: schedule.clone(),
        report,
        runs: 1,
        progress,
    };
    shrinker.bound_events();
    shrinker.list_operations();
    let items_before = shrinker.items();
    loop {
        let before = (shrinker.items(), shrinker.best.clone());
        shrinker.take_faults();
        shrinker.lower_trigger_counts();
        shrinker.take_operations();
        shrinker.take_servers();
        shrinker.calm();
        shrinker.simplify_faults();
        shrinker.round_times();
        if before == (shrinker.items(), shrinker.best.clone()) {
            break;
        }
    }
    Ok(Some(shrinker.finish(schedule, items_before)))
}

struct Shrinker<'a, W> {
    workload: &'a W,
    oracle: Oracle,
    best: Schedule,
    report: Report,
    runs: u64,
    progress: &'a mut dyn FnMut(u64, usize),
}

impl<W: Workload> Shrinker<'_, W> {
    fn items(&self) -> usize {
        self.best.faults.len() + self.best.operations.len() + self.best.workload.operations as usize
    }

    /// Keeps the changed schedule if it still fails in the same way.
    fn attempt(&mut self, change: impl FnOnce(&mut Schedule)) -> bool {
        let mut candidate = self.best.clone();
        change(&mut candidate);
        if candidate == self.best {
            return false;
        }
        self.runs += 1;
        let Ok(report) = world::run(&candidate, self.workload) else {
            return false;
        };
        let fails = report
            .violation
            .as_ref()
            .is_some_and(|violation| violation.oracle == self.oracle);
        if fails {
            self.best = candidate;
            self.report = report;
        }
        let items = self.items();
        (self.progress)(self.runs, items);
        fails
    }

    /// A candidate that takes far longer than the failing run fails in another way, and is not worth waiting for.
    fn bound_events(&mut self) {
        if self.oracle != Oracle::S24 {
            let bound = self.report.events.saturating_mul(3).saturating_add(20_000);
            self.attempt(|schedule| schedule.event_budget = schedule.event_budget.min(bound));
        }
    }

    /// Lists the operations one by one, so that each can be removed.
    fn list_operations(&mut self) {
        let planned: Vec<_> = world::planned(&self.best).collect();
        self.attempt(|schedule| {
            schedule.workload.operations = 0;
            schedule.operations.splice(0..0, planned);
        });
        // What comes after the violation did not contribute to it.
        let end = self.report.at;
        self.attempt(|schedule| {
            schedule.operations.retain(|operation| operation.at <= end);
            schedule
                .faults
                .retain(|fault| !matches!(fault.when, When::At(at) if at > end));
        });
    }

    fn take_faults(&mut self) {
        let count = self.best.faults.len();
        take_runs(count, |run| {
            self.attempt(|schedule| drop(schedule.faults.drain(run)));
            self.best.faults.len()
        });
    }

    /// A fault that waits for the thirtieth commit needs thirty operations; one that waits for an earlier one needs
    /// fewer.
    fn lower_trigger_counts(&mut self) {
        for place in 0..self.best.faults.len() {
            let Some(When::On(Trigger { nth, .. })) = self.best.faults.get(place).map(|fault| fault.when)
            else {
                continue;
            };
            for fewer in [
                1,
                2,
                nth / 8,
                nth / 4,
                nth / 2,
                nth - nth / 4,
                nth.saturating_sub(1),
            ] {
                let lowered = (1..nth).contains(&fewer)
                    && self.attempt(|schedule| {
                        // Faults that wait for the same event strike together, and stay together.
                        let same = schedule.faults.get(place).map(|fault| fault.when);
                        for fault in schedule
                            .faults
                            .iter_mut()
                            .filter(|fault| Some(fault.when) == same)
                        {
                            if let When::On(trigger) = &mut fault.when {
                                trigger.nth = fewer;
                            }
                        }
                    });
                if lowered {
                    break;
                }
            }
        }
    }

    fn take_operations(&mut self) {
        let count = self.best.operations.len();
        take_runs(count, |run| {
            self.attempt(|schedule| drop(schedule.operations.drain(run)));
            self.best.operations.len()
        });
    }

    fn take_servers(&mut self) {
        for witnesses in 0..self.best.cluster.witnesses {
            if self.attempt(|schedule| schedule.cluster.witnesses = witnesses) {
                break;
            }
        }
        for spares in 0..self.best.cluster.spares {
            if self.attempt(|schedule| schedule.cluster.spares = spares) {
                break;
            }
        }
        for servers in 1..self.best.cluster.servers {
            if self.attempt(|schedule| schedule.cluster.servers = servers) {
                return;
            }
        }
    }

    /// Tries good weather and default settings, first all at once and then one by one.
    fn calm(&mut self) {
        if !self.attempt(|schedule| schedule.weather = Weather::default()) {
            self.attempt(|schedule| schedule.weather.network = NetworkWeather::default());
            self.attempt(|schedule| schedule.weather.network.loss_permyriad = 0);
            self.attempt(|schedule| schedule.weather.network.duplicate_permyriad = 0);
            self.attempt(|schedule| schedule.weather.network.reorder_permyriad = 0);
            self.attempt(|schedule| schedule.weather.network.corrupt_permyriad = 0);
            self.attempt(|schedule| schedule.weather.network.bytes_per_second = 0);
            self.attempt(|schedule| schedule.weather.network.stream = false);
            self.attempt(|schedule| schedule.weather.disk = Weather::default().disk);
            self.attempt(|schedule| schedule.weather.disk.stall_permyriad = 0);
            self.attempt(|schedule| schedule.weather.disk.group_commit = false);
            self.attempt(|schedule| schedule.weather.disk.snapshot = Nanos::ZERO);
            self.attempt(|schedule| schedule.weather.disk.snapshot_fails_permyriad = 0);
            self.attempt(|schedule| schedule.weather.clock_drift_ppm = 0);
        }
        self.attempt(|schedule| schedule.workload.sessions = None);
        self.attempt(|schedule| schedule.cluster.tick = Cluster::default().tick);
        self.attempt(|schedule| schedule.heal.rest = Rest::Healed);
        self.attempt(|schedule| schedule.heal.quiet_for = Nanos::ZERO);
        let default = Knobs::default();
        if self.attempt(|schedule| schedule.knobs = default) {
            return;
        }
        self.attempt(|schedule| {
            schedule.knobs.election_timeout_max_ticks = default.election_timeout_max_ticks
        });
        self.attempt(|schedule| schedule.knobs.snapshot_timeout_ticks = default.snapshot_timeout_ticks);
        self.attempt(|schedule| schedule.knobs.message_bytes = default.message_bytes);
        self.attempt(|schedule| schedule.knobs.inflight_messages = default.inflight_messages);
        self.attempt(|schedule| schedule.knobs.apply_bytes = default.apply_bytes);
        self.attempt(|schedule| schedule.knobs.tail_bytes = default.tail_bytes);
        self.attempt(|schedule| schedule.knobs.snapshot_every_entries = default.snapshot_every_entries);
        self.attempt(|schedule| schedule.knobs.snapshot_keep_entries = default.snapshot_keep_entries);
        self.attempt(|schedule| schedule.knobs.snapshot_chunk_bytes = default.snapshot_chunk_bytes);
        self.attempt(|schedule| schedule.knobs.uncommitted_bytes = default.uncommitted_bytes);
        self.attempt(|schedule| schedule.knobs.inflight_bytes = default.inflight_bytes);
        self.attempt(|schedule| schedule.knobs.proposals = default.proposals);
        self.attempt(|schedule| schedule.knobs.reads = default.reads);
        self.attempt(|schedule| schedule.knobs.forwarding = false);
        self.attempt(|schedule| schedule.knobs.persists_at_once = false);
        self.attempt(|schedule| schedule.knobs.lease_drift_permyriad = None);
        self.attempt(|schedule| schedule.workload.lease_read_permyriad = 0);
        self.attempt(|schedule| schedule.knobs.yields = 0);
        self.attempt(|schedule| schedule.knobs.encode_messages = false);
        self.attempt(|schedule| schedule.knobs.shuffle_ties = false);
        self.attempt(|schedule| schedule.knobs.mixed_settings = false);
        self.attempt(|schedule| schedule.knobs.programs = None);
        self.attempt(|schedule| schedule.knobs.wall_clocks = false);
        self.attempt(|schedule| schedule.knobs.strangers = false);
    }

    /// Simplifies crashes: one that loses everything and is not repaired is the simplest.
    fn simplify_faults(&mut self) {
        for place in 0..self.best.faults.len() {
            let mut change_crash = |change: fn(&mut Option<u32>, &mut Survival, &mut Option<Nanos>)| {
                self.attempt(|schedule| {
                    if let Some(fault) = schedule.faults.get_mut(place)
                        && let FaultKind::Crash {
                            after_outputs,
                            keep,
                            restart_after,
                            ..
                        } = &mut fault.kind
                    {
                        change(after_outputs, keep, restart_after);
                    }
                });
            };
            change_crash(|after_outputs, _, _| *after_outputs = None);
            change_crash(|_, keep, _| *keep = Survival::None);
            change_crash(|_, _, restart_after| *restart_after = None);
        }
    }

    /// Rounds times to whole hundreds, tens or ones of milliseconds.
    fn round_times(&mut self) {
        for unit in [100, 10, 1].map(Nanos::from_millis) {
            let round = |time: Nanos| Nanos::new(time.value() / unit.value() * unit.value());
            for place in 0..self.best.faults.len() {
                self.attempt(|schedule| {
                    if let Some(When::At(at)) = schedule.faults.get_mut(place).map(|fault| &mut fault.when) {
                        *at = round(*at);
                    }
                });
            }
            self.attempt(|schedule| {
                for operation in &mut schedule.operations {
                    operation.at = round(operation.at);
                }
            });
        }
    }

    fn finish(mut self, original: &Schedule, items_before: usize) -> Shrunk {
        self.best.event_budget = original.event_budget;
        self.best.expect.violation = None;
        // What the faults are for must also happen once the bug is fixed. What happens only because of the bug need
        // not.
        let mut probes: Vec<Probe> = self
            .best
            .faults
            .iter()
            .filter_map(|fault| fault.kind.probe())
            .collect();
        probes.extend(self.best.faults.iter().filter_map(|fault| match fault.when {
            When::On(trigger) => Some(trigger.event),
            When::At(_) => None,
        }));
        probes.push(Probe::LeaderCommits);
        probes.retain(|&probe| self.report.coverage.count(probe) > 0);
        probes.sort_unstable();
        probes.dedup();
        self.best.expect.probes = probes;
        Shrunk {
            items_after: self.items(),
            schedule: self.best,
            report: self.report,
            oracle: self.oracle,
            items_before,
            runs: self.runs,
        }
    }
}
