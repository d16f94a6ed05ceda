//! The history of a run is well formed, and a checker that shares nothing with the simulator finds it linearizable.

use std::collections::BTreeMap;

use sim::kv::KeyValue;
use sim::schedule::OperationKind;
use sim::{Happened, HistoryEvent, Profile};

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
fn writing_a_history_down_changes_nothing() {
    for seed in 0..20 {
        let schedule = Profile::Swarm.schedule(seed);
        let (recorded, history) = sim::record(&schedule, &KeyValue).unwrap();
        assert_eq!(recorded, sim::run(&schedule, &KeyValue).unwrap(), "seed {seed}");
        assert!(!history.is_empty());
    }
}

/// Necessary conditions that are easy to see: a read returns a value that was written to its key, by a write that had begun, and not one
/// that was certainly overwritten before the read began.
#[test]
fn no_read_is_from_the_future_or_from_a_past_that_is_certainly_over() {
    for seed in 0..200 {
        // For each write: key, when it began, when it was acknowledged.
        let mut writes: BTreeMap<u64, (u64, usize, Option<usize>)> = BTreeMap::new();
        let mut reads: BTreeMap<u64, usize> = BTreeMap::new();
        for (event, now) in history(seed).iter().zip(0..) {
            match (event.kind, &event.what) {
                (OperationKind::Write, Happened::Invoked) => {
                    writes.insert(event.attempt, (event.choice, now, None));
                }
                (OperationKind::Write, Happened::Written(_)) => {
                    writes
                        .entry(event.attempt)
                        .and_modify(|write| write.2 = Some(now));
                }
                (OperationKind::Read, Happened::Invoked) => {
                    reads.insert(event.attempt, now);
                }
                (OperationKind::Read, Happened::Read(seen)) => {
                    let began = reads[&event.attempt];
                    let acknowledged_before = |from: usize| {
                        writes.values().any(|&(key, start, end)| {
                            key == event.choice && start > from && end.is_some_and(|end| end < began)
                        })
                    };
                    match seen {
                        None => assert!(
                            !acknowledged_before(0),
                            "seed {seed}: attempt {} missed a write",
                            event.attempt
                        ),
                        Some(value) => {
                            let &(key, _, end) = writes.get(value).expect("the value was written");
                            assert_eq!(key, event.choice, "seed {seed}");
                            if let Some(end) = end {
                                assert!(
                                    !acknowledged_before(end),
                                    "seed {seed}: attempt {} is stale",
                                    event.attempt
                                );
                            }
                        }
                    }
                }
                _ => {}
            }
        }
    }
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
