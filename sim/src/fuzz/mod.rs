//! A guided search. Random schedules reach the common situations again and again. This search keeps a schedule that led
//! to a situation which no run has reached before, and changes it a little to explore its neighbourhood.
//!
//! A situation is the state of the whole cluster, without everything that distinguishes runs and does not matter: see
//! [`States`].

mod mutation;
mod states;

pub use self::states::{Seen, States};

use crate::generate::Profile;
use crate::random::{Domain, Draws, Seed};
use crate::report::Report;
use crate::schedule::{Schedule, ScheduleError};
use crate::workload::Workload;
use crate::world;

/// The most schedules that are kept; the latest ones are the farthest out.
const KEPT: usize = 512;

/// Chooses the schedules to run, and learns from their results.
#[derive(Debug)]
pub struct Fuzzer {
    profile: Profile,
    kept: Vec<Schedule>,
    /// How many new situations a run has led to recently, on average, in sixteenths.
    usual: usize,
    /// Numbers the schedules that were returned. The draws for one depend on its number, on the seed, and on the
    /// schedules that are kept.
    next: u64,
    seed: u64,
}

impl Fuzzer {
    /// Begins a search. Its fresh schedules are those of the seeds from this one on.
    pub const fn new(profile: Profile, seed: u64) -> Self {
        Self {
            profile,
            kept: Vec::new(),
            usual: 0,
            next: 0,
            seed,
        }
    }

    /// Returns the next schedule to run: now and then that of a fresh seed, otherwise a kept one, changed.
    pub fn next_schedule(&mut self, schedule_of: impl Fn(Profile, u64) -> Schedule) -> Schedule {
        let number = self.next;
        self.next += 1;
        let mut draws = Seed(self.seed).careful(Domain::Fuzz, number, 0, 0);
        let is_fresh = draws.chance(4_000);
        match (draws_of(&self.kept, &mut draws), draws_of(&self.kept, &mut draws)) {
            (Some(parent), Some(other)) if !is_fresh => mutation::changed(parent, other, &mut draws),
            _ => schedule_of(self.profile, self.seed.wrapping_add(number)),
        }
    }

    /// Learns how many new situations a schedule led to, and keeps the schedule if they are more than usual.
    pub fn learn(&mut self, schedule: Schedule, new: usize) {
        let is_unusual = 16 * new > self.usual;
        self.usual = self.usual - self.usual / 16 + new;
        if is_unusual && new > 0 {
            if self.kept.len() >= KEPT {
                self.kept.remove(0);
            }
            self.kept.push(schedule);
        }
    }

    /// Returns how many schedules are kept.
    pub fn kept(&self) -> usize {
        self.kept.len()
    }
}

/// Draws one of the kept schedules, the later ones more often.
fn draws_of<'a>(kept: &'a [Schedule], draws: &mut Draws) -> Option<&'a Schedule> {
    let count = kept.len() as u64;
    let (one, other) = (draws.below(count), draws.below(count));
    kept.get(usize::try_from(one.max(other)).ok()?)
}

/// Runs a schedule, and returns the situations that it leads to.
pub fn explore<W: Workload>(schedule: &Schedule, workload: &W) -> Result<(Report, Seen), ScheduleError> {
    let mut watcher = states::Watcher::default();
    let report = world::observe(schedule, workload, &mut watcher)?;
    Ok((report, watcher.into_seen()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::KeyValue;

    /// The results of so many runs: the number of situations, and the sum of the hashes.
    fn search(runs: u64, is_led: bool) -> (usize, u64) {
        let mut fuzzer = Fuzzer::new(Profile::Swarm, 1_000);
        let (mut states, mut hash) = (States::default(), 0_u64);
        for number in 0..runs {
            let schedule = fuzzer.next_schedule(Profile::schedule);
            assert_eq!(
                schedule.validate().map_err(|error| error.to_string()),
                Ok(()),
                "{number}"
            );
            let (report, seen) = explore(&schedule, &KeyValue).expect("the schedule can be run");
            assert_eq!(report.violation, None, "{}", schedule.to_toml().expect("TOML"));
            hash = hash.wrapping_add(report.hash);
            let new = states.add(&seen);
            fuzzer.learn(schedule, if is_led { new } else { 0 });
        }
        (states.len(), hash)
    }

    #[test]
    fn a_guided_search_sees_more_than_a_random_one_and_repeats_exactly() {
        let (led, random) = (search(500, true), search(500, false));
        assert!(
            led.0 > random.0,
            "{} situations, and {} by mere chance",
            led.0,
            random.0
        );
        assert_eq!(search(50, true), search(50, true));
    }

    #[test]
    fn watching_for_situations_changes_nothing() {
        for seed in 0..20 {
            let schedule = Profile::Swarm.schedule(seed);
            let (report, _) = explore(&schedule, &KeyValue).expect("the schedule can be run");
            assert_eq!(
                report,
                world::run(&schedule, &KeyValue).expect("the schedule can be run")
            );
        }
    }
}
