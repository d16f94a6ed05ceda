//! The recorded runs of `docs/runs` do what their walk-through says, line by line.

use std::path::{Path, PathBuf};

use sim::kv::KeyValue;
use sim::recording::film;
use sim::{Schedule, TraceEvent, Verdict};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/runs")
}

fn schedule(name: &str) -> Schedule {
    let text = std::fs::read_to_string(folder().join(name)).expect("the schedule is in docs/runs");
    Schedule::from_toml(&text).expect("the schedule is valid")
}

/// A line of a trace as the walk-through quotes it: without the numbers of events, and with one space between words.
fn quoted(line: &TraceEvent) -> String {
    let micros = line.at.value() / 1_000;
    let (place, what, detail) = (line.place, line.what, &line.detail);
    format!(
        "{}.{:03} ms {place} {what} {detail}",
        micros / 1_000,
        micros % 1_000
    )
}

#[test]
fn the_walk_through_quotes_what_happens() {
    let mut lines = Vec::new();
    for name in ["election.toml", "figure_8.toml", "membership.toml"] {
        let schedule = schedule(name);
        let report = sim::replay(&schedule, &KeyValue, &mut |line| lines.push(quoted(&line)))
            .expect("the schedule can be run");
        assert_eq!(report.verdict(&schedule.expect), Verdict::Pass, "{name}");
    }
    let text = std::fs::read_to_string(folder().join("README.md")).expect("the walk-through exists");
    // A quote is indented by a space and begins with its time.
    let indented = text.lines().filter_map(|line| line.strip_prefix(' '));
    let quotes = indented.filter(|line| line.starts_with(|first: char| first.is_ascii_digit()));
    let (found, missing): (Vec<&str>, Vec<&str>) =
        quotes.partition(|quote| lines.iter().any(|line| line == quote));
    assert!(
        missing.is_empty(),
        "docs/runs/README.md quotes what does not happen; replay its schedules, and renew text and pictures \
         (.ci/view target/release/sim docs/runs):\n{}",
        missing.join("\n")
    );
    assert!(found.len() > 30, "the walk-through quotes its runs");
}

#[test]
fn a_recording_changes_nothing_and_has_the_same_lines() {
    for name in ["election.toml", "figure_8.toml", "membership.toml"] {
        let schedule = schedule(name);
        let mut told = Vec::new();
        let replayed = sim::replay(&schedule, &KeyValue, &mut |line| told.push(line));
        let (report, recording) = film(&schedule, &KeyValue).expect("the schedule can be run");
        assert_eq!(Ok(&report), replayed.as_ref().map_err(|_| ()));
        assert_eq!(Ok(report), sim::run(&schedule, &KeyValue).map_err(|_| ()));
        assert_eq!(recording.lines().collect::<Vec<_>>(), told);
        assert_eq!(recording.lines.len(), told.len());
    }
}

/// §5.4.2 in the recording itself: when the acknowledgement of step (c) arrives, three disks hold entry 4 of term 1,
/// and no server takes it for committed.
#[test]
fn a_majority_holds_what_is_replaced_later() {
    let (_, recording) = film(&schedule("figure_8.toml"), &KeyValue).expect("the schedule can be run");
    let acknowledged = recording
        .lines()
        .find(|line| {
            line.what == "receive"
                && line
                    .detail
                    .contains("3 -> 1 t3 AppendReply round 0, accepted up to t1@4")
        })
        .expect("step (c) happens")
        .number;
    let term_of_entry_4 = |until: u64| -> Vec<Option<u64>> {
        recording.logs.iter().map(|log| term_at(log, 4, until)).collect()
    };
    assert_eq!(
        term_of_entry_4(acknowledged),
        [Some(1), Some(1), Some(1), None, Some(2)]
    );
    assert_eq!(term_of_entry_4(u64::MAX), [Some(2); 5]);
    assert!((0..5).all(|server| commit_at(&recording.states[server], acknowledged) == 3));
    assert!((0..5).all(|server| commit_at(&recording.states[server], u64::MAX) > 4));
}

/// The term of an entry in a column of [`sim::recording::Recording::logs`], after an event.
fn term_at(log: &[u64], index: u64, until: u64) -> Option<u64> {
    let (mut column, mut event, mut found) = (log.iter().copied(), 0, None);
    while let Some(later) = column.next() {
        event += later;
        let mut next = || column.next().expect("the column is complete");
        let (first, mut at, runs) = (next(), next(), next());
        if event <= until && (at <= index || first > index) {
            found = None;
        }
        for _ in 0..runs {
            let (term, _, count) = (next(), next(), next());
            if event <= until && (at..at + count).contains(&index) {
                found = Some(term);
            }
            at += count;
        }
    }
    found
}

/// The commit index in a column of [`sim::recording::Recording::states`], after an event.
fn commit_at(states: &[u64], until: u64) -> u64 {
    let commit = sim::recording::FIELDS.iter().position(|field| *field == "commit");
    let (mut column, mut event, mut found) = (states.iter().copied(), 0, 0);
    while let (Some(later), Some(mask)) = (column.next(), column.next()) {
        event += later;
        for field in (0..64).filter(|field| mask >> field & 1 == 1) {
            let value = column.next().expect("the column is complete");
            if event <= until && Some(field) == commit {
                found = value;
            }
        }
    }
    found
}
