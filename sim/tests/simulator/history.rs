//! The history of a run is well formed, and a checker that shares nothing with the simulator finds it linearizable.

use std::collections::BTreeMap;

use sim::kv::{KeyValue, Registers};
use sim::{Happened, HistoryEvent, Opinion, Profile, linearizable};

fn history(seed: u64) -> Vec<HistoryEvent<KeyValue>> {
    sim::record(&Profile::Swarm.schedule(seed), &KeyValue)
        .expect("the schedule is valid")
        .1
}

#[test]
fn a_process_waits_for_one_thing_at_a_time_and_ends_with_the_unknown() {
    for seed in 0..50 {
        let mut waiting: BTreeMap<u64, u64> = BTreeMap::new();
        let mut lost = Vec::new();
        for event in history(seed) {
            assert!(
                !lost.contains(&event.process),
                "seed {seed}: process {} goes on",
                event.process
            );
            match event.what {
                Happened::Invoked => {
                    assert_eq!(waiting.insert(event.process, event.attempt), None, "seed {seed}")
                }
                ended => {
                    assert_eq!(waiting.remove(&event.process), Some(event.attempt), "seed {seed}");
                    if matches!(ended, Happened::Unknown) {
                        lost.push(event.process);
                    }
                }
            }
        }
    }
}

#[test]
fn recording_a_history_changes_nothing() {
    for seed in 0..20 {
        let schedule = Profile::Swarm.schedule(seed);
        let (recorded, history) = sim::record(&schedule, &KeyValue).unwrap();
        assert_eq!(recorded, sim::run(&schedule, &KeyValue).unwrap(), "seed {seed}");
        assert!(!history.is_empty());
    }
}

#[test]
fn a_checker_that_does_not_see_the_log_finds_every_history_linearizable() {
    let mut unknown = 0;
    for seed in 0..300 {
        let (report, history) = sim::record(&Profile::Swarm.schedule(seed), &KeyValue).unwrap();
        if !report.is_within_budget() {
            continue;
        }
        match linearizable(&history, &Registers, 200_000) {
            Opinion::Linearizable => {}
            Opinion::Unknown { .. } => unknown += 1,
            Opinion::NotLinearizable { key } => {
                panic!("seed {seed}: the history of key {key} is not linearizable")
            }
        }
    }
    assert!(
        unknown < 15,
        "{unknown} of 300 searches took too long to mean anything"
    );
}

#[test]
fn a_stale_read_in_a_real_history_is_found() {
    let mut found = 0;
    for seed in 0..20 {
        let mut history = history(seed);
        // The last read of some value is changed to have seen the first value ever written to its key.
        let first = |key| {
            history.iter().find_map(|event| match event.what {
                Happened::Written(_) if event.choice == key => Some(event.attempt),
                _ => None,
            })
        };
        let stale = history.iter().rposition(|event| match event.what {
            Happened::Read(Some(seen)) => first(event.choice).is_some_and(|first| first != seen),
            _ => false,
        });
        let Some(place) = stale else { continue };
        let old = first(history[place].choice);
        history[place].what = Happened::Read(old);
        found += usize::from(matches!(
            linearizable(&history, &Registers, 200_000),
            Opinion::NotLinearizable { .. }
        ));
    }
    assert!(found > 10, "only {found} of 20 forged histories were found");
}

#[test]
fn jepsens_form_has_a_line_per_event() {
    let history = history(3);
    let mut text = Vec::new();
    sim::kv::write_edn(&history, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.lines().count(), history.len());
    for (line, index) in text.lines().zip(0..) {
        assert!(
            line.starts_with("{:process ") && line.ends_with(&format!(":index {index}}}")),
            "{line}"
        );
    }
    assert!(
        text.contains(":type :invoke, :f :write") && text.contains(":type :ok, :f :read"),
        "{text}"
    );
}
