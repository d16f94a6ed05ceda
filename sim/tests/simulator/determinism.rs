//! A schedule always has the same outcome: in the same process, with and without a trace, from a seed and from its
//! file.

use sim::kv::KeyValue;
use sim::schedule::WorkloadPlan;
use sim::{Call, Codec, Profile, Schedule, ScheduleError, Workload};

#[test]
fn a_seed_replays_exactly() {
    for seed in 0..100 {
        let schedule = Profile::Swarm.schedule(seed);
        let first = sim::run(&schedule, &KeyValue).unwrap();
        assert_eq!(sim::run(&schedule, &KeyValue).unwrap(), first, "seed {seed}");
    }
}

/// The hash of the first thousand seeds, on every machine, at any number of jobs, in every build.
///
/// It changes with every change of what is simulated. To renew it, from the root of the repository:
///
/// ```text
/// cargo sim run --seeds 0..1000 --jobs 2 --json | grep -o '"hash":"[^"]*"' > sim/tests/golden_hash
/// ```
const GOLDEN_HASH: &str = include_str!("../golden_hash");

#[test]
fn the_first_thousand_seeds_come_to_the_golden_hash() {
    let sum = |seeds: std::ops::Range<u64>| {
        seeds.fold(0_u64, |sum, seed| {
            let report = sim::run(&Profile::Swarm.schedule(seed), &KeyValue).unwrap();
            sum.wrapping_add(report.hash_as(seed))
        })
    };
    let found = std::thread::scope(|scope| {
        let first_half = scope.spawn(|| sum(0..500));
        sum(500..1_000).wrapping_add(first_half.join().unwrap())
    });
    let found = format!("\"hash\":\"{found:016x}\"");
    assert_eq!(
        found,
        GOLDEN_HASH.trim(),
        "if something was changed on purpose in what servers, disks, networks, clients, faults or draws do, renew the \
         hash (the command stands above this test); if nothing was, two machines or builds disagree about the same \
         seeds, and that is a bug"
    );
}

#[test]
fn watching_a_run_changes_nothing() {
    for seed in 0..20 {
        let schedule = Profile::Swarm.schedule(seed);
        let mut lines = 0;
        let watched = sim::replay(&schedule, &KeyValue, &mut |_| lines += 1).unwrap();
        assert_eq!(sim::run(&schedule, &KeyValue).unwrap(), watched, "seed {seed}");
        assert!(lines > 100, "seed {seed} told only {lines} events");
    }
}

#[test]
fn a_schedule_from_its_file_is_the_schedule_of_its_seed() {
    for seed in 0..20 {
        let schedule = Profile::Swarm.schedule(seed);
        let read = Schedule::from_toml(&schedule.to_toml().unwrap()).unwrap();
        assert_eq!(
            sim::run(&read, &KeyValue).unwrap(),
            sim::run(&schedule, &KeyValue).unwrap(),
            "seed {seed}"
        );
    }
}

#[test]
fn two_seeds_have_two_hashes() {
    let hash = |seed| sim::run(&Profile::Calm.schedule(seed), &KeyValue).unwrap().hash;
    assert_ne!(hash(1), hash(2));
}

#[test]
fn a_trace_names_the_cause_of_every_event() {
    let mut causes = Vec::new();
    sim::replay(&Profile::Calm.schedule(3), &KeyValue, &mut |event| {
        causes.push((event.number, event.cause))
    })
    .unwrap();
    assert!(
        causes.iter().all(|(number, cause)| cause <= number),
        "nothing is caused by what comes after it"
    );
}

/// The key-value store on a host that has no bytes for its messages.
struct WithoutCodec;

impl Workload for WithoutCodec {
    type Machine = <KeyValue as Workload>::Machine;

    fn machine(&self, plan: &WorkloadPlan) -> Self::Machine {
        KeyValue.machine(plan)
    }

    fn command(&self, call: &Call) -> Vec<u8> {
        KeyValue.command(call)
    }

    fn query(&self, choice: u64) -> u64 {
        KeyValue.query(choice)
    }

    fn name(&self) -> &'static str {
        "without-codec"
    }

    fn codec(&self) -> Option<&dyn Codec> {
        None
    }
}

/// A seed means one run: a schedule that encodes messages is not run as one that does not.
#[test]
fn a_schedule_that_encodes_messages_is_refused_without_a_codec() {
    let mut schedule = Schedule::calm(1);
    assert!(sim::run(&schedule, &WithoutCodec).is_ok());
    schedule.knobs.encode_messages = true;
    let workload = "without-codec";
    let refused = ScheduleError::NoCodec { workload };
    assert_eq!(sim::run(&schedule, &WithoutCodec), Err(refused.clone()));
    assert_eq!(
        sim::replay(&schedule, &WithoutCodec, &mut |_| {}),
        Err(refused.clone())
    );
    assert_eq!(sim::record(&schedule, &WithoutCodec).err(), Some(refused.clone()));
    assert!(refused.to_string().contains("encode_messages"));

    let encoding = (0..).find(|&seed| Profile::Swarm.schedule(seed).knobs.encode_messages);
    let seed = encoding.expect("some seeds encode messages");
    assert_eq!(
        sim::sweep(Profile::Swarm, seed..seed + 1, &WithoutCodec).err(),
        Some(refused)
    );
    assert!(sim::run(&Profile::Swarm.schedule(seed), &KeyValue).is_ok());
}
