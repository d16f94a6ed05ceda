//! Some thousand random schedules on every run of the tests: no oracle finds anything, and together they reach
//! everything.

use crate::codec::{Checks, Encoded};
use sim::kv::KeyValue;
use sim::schedule::Class;
use sim::{Coverage, Probe, Profile, Schedule, Verdict};

/// Runs the seeds and returns what happened in them.
fn sweep(profile: Profile, seeds: std::ops::Range<u64>) -> Coverage {
    sweep_some(profile, seeds, |_| true)
}

/// Runs those of the seeds whose schedules are wanted, with a codec, and returns what happened in them.
fn sweep_some(
    profile: Profile,
    seeds: std::ops::Range<u64>,
    is_wanted: impl Fn(&Schedule) -> bool,
) -> Coverage {
    let mut coverage = Coverage::default();
    for seed in seeds {
        let schedule = profile.schedule(seed);
        if !is_wanted(&schedule) {
            continue;
        }
        let report =
            sim::run(&schedule, &Encoded(Checks::Checksum)).expect("a generated schedule can be run");
        let verdict = report.verdict(&schedule.expect);
        assert_eq!(
            verdict,
            Verdict::Pass,
            "sim replay {seed} shows the run that ended with: {verdict}"
        );
        coverage.merge(&report.coverage);
    }
    coverage
}

/// Probes that take more than some thousand seeds; each has a scenario that requires it.
const RARE: &[Probe] = &[Probe::CorruptionRead, Probe::PromiseBroken];

#[test]
fn swarm_seeds_pass() {
    sweep(Profile::Swarm, 0..1_000);
}

#[test]
fn more_swarm_seeds_pass_and_reach_everything() {
    let mut coverage = sweep(Profile::Swarm, 1_000..2_000);
    // Faults that disks should never have are rarer, and their rarest consequences are rarer still.
    coverage.merge(&sweep_some(Profile::Swarm, 2_000..5_000, |schedule| {
        schedule.class != Class::A
    }));
    let missed: Vec<Probe> = coverage
        .iter()
        .filter(|(_, count)| *count == 0)
        .map(|(probe, _)| probe)
        .filter(|probe| !RARE.contains(probe))
        .collect();
    assert!(missed.is_empty(), "a thousand seeds never reached {missed:?}");
}

/// What is counted when a limit of the library holds something back.
const LIMITS: [Probe; 8] = [
    Probe::MessageLimit,
    Probe::WindowLimit,
    Probe::WindowBytesLimit,
    Probe::ApplyLimit,
    Probe::UncommittedLimit,
    Probe::TailLimit,
    Probe::ProposalLimit,
    Probe::ReadLimit,
];

/// A limit that no seed reaches is a limit that no seed tests.
#[test]
fn every_limit_holds_something_back_in_some_seeds() {
    let mut seeds = [0; LIMITS.len()];
    for seed in 5_000..5_600 {
        let coverage = sweep(Profile::Swarm, seed..seed + 1);
        for (seeds, limit) in seeds.iter_mut().zip(LIMITS) {
            *seeds += u64::from(coverage.count(limit) > 0);
        }
    }
    let rare: Vec<(Probe, u64)> = LIMITS
        .into_iter()
        .zip(seeds)
        .filter(|(_, seeds)| *seeds < 3)
        .collect();
    assert!(rare.is_empty(), "of 600 seeds: {rare:?}");
}

#[test]
fn everything_at_once_passes() {
    sweep(Profile::Hell, 0..200);
}

#[test]
fn long_runs_of_five_servers_pass() {
    sweep(Profile::Bench, 0..20);
}

#[test]
fn without_faults_one_leader_is_elected_and_stays() {
    for seed in 0..50 {
        let report = sim::run(&Profile::Calm.schedule(seed), &KeyValue).unwrap();
        assert_eq!(report.violation, None, "seed {seed}");
        assert_eq!(
            report.elections, 1,
            "seed {seed}: L4, a calm cluster has no reason for a second election"
        );
    }
}
