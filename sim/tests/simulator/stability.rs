//! Elections over many runs: how many terms it takes to replace a leader.

use sim::kv::KeyValue;
use sim::schedule::{Fault, FaultKind, Survival, Target, When};
use sim::{Nanos, Profile, Schedule};

const CRASHES: u64 = 3;

/// Good weather, and a leader that dies every two seconds.
fn leaders_die(seed: u64) -> Schedule {
    let mut schedule = Profile::Calm.schedule(seed);
    schedule.cluster.servers = 5;
    schedule.faults = (1..=CRASHES)
        .map(|number| Fault {
            id: u32::try_from(number).expect("there are few"),
            when: When::At(Nanos::from_secs(2 * number)),
            kind: FaultKind::Crash {
                target: Target::Leader,
                keep: Survival::Random,
                after_outputs: None,
                restart_after: Some(Nanos::from_millis(700)),
            },
        })
        .collect();
    schedule
}

/// L9, over many runs. Timeouts are drawn from 16 ticks of 10 ms, and a campaign with its pre-vote takes about 5 ms. So
/// two followers split the vote now and then: 49 times in these 800 elections. If timeouts were hardly random, they
/// would do so most of the time. If there were more elections than deaths, something else than a death would cause
/// them.
#[test]
fn a_dead_leader_costs_one_election_and_now_and_then_a_split_vote() {
    const RUNS: u64 = 200;
    let mut elections = 0;
    let mut campaigns = 0;
    for seed in 0..RUNS {
        let report = sim::run(&leaders_die(seed), &KeyValue).expect("the schedule can be run");
        assert_eq!(report.violation, None, "seed {seed}");
        elections += report.elections;
        campaigns += report.coverage.count(sim::Probe::BecomeCandidate);
    }
    let needed = RUNS * (CRASHES + 1);
    assert_eq!(
        elections, needed,
        "each death ends one leadership and begins another"
    );
    assert!(
        campaigns < needed * 9 / 8,
        "{campaigns} campaigns for {needed} elections: votes are split too often"
    );
}
