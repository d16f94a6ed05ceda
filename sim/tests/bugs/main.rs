//! The bank of planted bugs: it is sound, random search finds its quick bugs, scripted schedules find the others, and a
//! failing run shrinks to a handful of items.

mod sites;

use std::path::{Path, PathBuf};
use std::process::Command;

use sim::kv::KeyValue;
use sim::planted::{Bug, bank, find, hunt, unrepeatable};
use sim::{Oracle, Profile, Schedule, Verdict};

fn bug(name: &str) -> &'static Bug {
    find(name).unwrap_or_else(|| panic!("the bank has {name}"))
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate is in the repository")
        .to_owned()
}

fn schedule(file: &str) -> Schedule {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = std::fs::read_to_string(path).expect("the file can be read");
    Schedule::from_toml(&text).expect("the schedule is sound")
}

#[test]
fn every_bug_has_a_name_of_its_own_and_a_sentence() {
    sites::are_described(bank());
    assert!(bank().count() >= 40, "the bank has only {} bugs", bank().count());
}

/// Each bug of a bank is at exactly one site, and each site has a bug of a bank.
#[test]
fn the_sites_of_all_forms_are_exactly_the_bugs_of_the_banks() {
    let packages = ["raft-core/src", "sim/src"].map(|package| repository().join(package));
    sites::are_exactly(bank().chain(unrepeatable::BANK.iter().copied()), &packages);
}

/// Bugs that a few seeds find, and the oracle that does. In a build with debug assertions, those find some of them.
const QUICK: &[(&str, &[Oracle])] = &[
    ("votes-twice", &[Oracle::S12]),
    ("votes-for-any-log", &[Oracle::S4]),
    ("counts-refusals", &[Oracle::S1]),
    ("grants-before-durable", &[Oracle::S12]),
    ("term-before-durable", &[Oracle::S13]),
    ("acks-before-durable", &[Oracle::S13]),
    ("leader-counts-unsynced", &[Oracle::S7]),
    (
        "truncates-on-duplicates",
        &[Oracle::S7, Oracle::S9, Oracle::S13, Oracle::L10, Oracle::Core],
    ),
    ("commits-old-terms", &[Oracle::S8]),
    ("half-commits", &[Oracle::S7]),
    ("done-by-index", &[Oracle::C1, Oracle::L5]),
    ("reads-before-own-commit", &[Oracle::C4, Oracle::C2]),
    ("reads-join-earlier-round", &[Oracle::C4]),
    ("labels-snapshot-early", &[Oracle::S17]),
    ("restores-applied-from-commit", &[Oracle::S15]),
    ("probes-once", &[Oracle::L6, Oracle::L1]),
    ("commits-on-acks-only", &[Oracle::L10]),
    ("waits-for-next-write", &[Oracle::L10]),
    ("leads-without-quorum", &[Oracle::L5]),
    ("forgets-reads", &[Oracle::L5]),
    ("helps-rebels", &[Oracle::L4]),
    ("skips-pre-vote", &[Oracle::L4]),
    ("campaigns-regardless", &[Oracle::L4]),
    ("needs-everybody", &[Oracle::L3, Oracle::L9]),
    ("asks-for-nothing", &[Oracle::L8]),
    ("heartbeats-without-commit", &[Oracle::L6, Oracle::L1]),
    ("sync-covers-later", &[Oracle::S13, Oracle::S12, Oracle::S7]),
    ("applies-retries", &[Oracle::C6]),
    ("keeps-cut-off-configuration", &[Oracle::S18, Oracle::Core]),
    ("replaces-at-once", &[Oracle::S18]),
    ("removed-leader-stays", &[Oracle::S19]),
    ("learners-campaign", &[Oracle::S19]),
    ("stays-joint", &[Oracle::L7]),
    ("tells-target-early", &[Oracle::S20]),
    ("transfers-without-end", &[Oracle::S20, Oracle::S24]),
    ("compares-foundings-alone", &[Oracle::S27]),
    ("skips-unknown-commands", &[Oracle::S15, Oracle::S26]),
    ("raises-without-silent", &[Oracle::S26]),
    ("halted-leader-stays", &[Oracle::S26]),
    ("snapshots-forget-level", &[Oracle::S17]),
    ("halted-campaign", &[Oracle::S26, Oracle::Core]),
    ("stamps-any-time", &[Oracle::C10]),
    ("median-of-who-answers", &[Oracle::C10]),
    // What must return to zero, and what must not grow.
    ("keeps-forwarding-costs", &[Oracle::Core]),
    ("keeps-uncommitted-costs", &[Oracle::Core]),
    ("keeps-window-bytes", &[Oracle::Core]),
    ("keeps-responses", &[Oracle::Core]),
    ("keeps-queries", &[Oracle::Core]),
    ("judges-refusals-anew", &[Oracle::C7]),
    ("busy-at-the-first", &[Oracle::C11]),
];

#[test]
fn random_search_finds_the_quick_bugs_by_the_oracle_that_is_meant_for_them() {
    for &(name, oracles) in QUICK {
        let found = hunt(bug(name), 0..400, |seed| Profile::Swarm.schedule(seed), &KeyValue);
        let oracle = found.map(|find| find.oracle);
        assert!(
            oracle.is_some_and(|oracle| oracle == Oracle::S25 || oracles.contains(&oracle)),
            "{name} was found by {oracle:?}"
        );
    }
}

#[test]
fn a_bug_that_is_not_planted_is_not_found() {
    drop(bug("votes-twice").plant());
    let report = sim::run(&Profile::Swarm.schedule(0), &KeyValue).expect("the seed can be run");
    assert_eq!(report.violation, None, "the guard switched the bug off again");
}

/// Schedules of the repository that find a bug for certain, whatever seeds come to mean.
const SCRIPTED: &[(&str, &str, Oracle)] = &[
    ("counts-old-votes", "scenarios/late_votes.toml", Oracle::S1),
    (
        "reads-join-earlier-round",
        "scenarios/read_after_a_round.toml",
        Oracle::C4,
    ),
    (
        "writes-term-last",
        "scenarios/torn_term_and_entries.toml",
        Oracle::S22,
    ),
    (
        "leaves-old-log",
        "regressions/torn_install_leaves_old_log.toml",
        Oracle::S13,
    ),
    ("done-by-index", "regressions/done_by_index.toml", Oracle::C1),
    (
        "ignores-lost-pieces",
        "regressions/receiver_lost_its_pieces.toml",
        Oracle::L6,
    ),
    (
        "superseded-at-truncation",
        "regressions/truncated_and_committed.toml",
        Oracle::C7,
    ),
];

#[test]
fn scripted_schedules_find_the_bugs_that_random_search_finds_late() {
    for &(name, file, oracle) in SCRIPTED {
        let schedule = schedule(file);
        let _planted = bug(name).plant();
        let report = sim::run(&schedule, &KeyValue).expect("the schedule can be run");
        let found = report.violation.map(|violation| violation.oracle);
        assert!(
            found == Some(oracle) || found == Some(Oracle::S25),
            "{file} finds {found:?} with {name}"
        );
    }
}

#[test]
fn a_failing_run_shrinks_to_fewer_than_twenty_items_and_is_a_regression() {
    let bug = bug("done-by-index");
    let found = hunt(bug, 0..400, |seed| Profile::Swarm.schedule(seed), &KeyValue).expect("it is found");
    let planted = bug.plant();
    let shrunk = sim::shrink(&Profile::Swarm.schedule(found.seed), &KeyValue, &mut |_, _| {})
        .expect("the seed can be run")
        .expect("the seed fails");
    assert!(shrunk.items_after < 20, "{} items are left", shrunk.items_after);
    let read = Schedule::from_toml(&shrunk.schedule.to_toml().expect("it can be written"))
        .expect("what was written can be read");
    let report = sim::run(&read, &KeyValue).expect("it can be run");
    assert_eq!(
        report.violation.map(|violation| violation.oracle),
        Some(found.oracle)
    );
    drop(planted);
    let report = sim::run(&read, &KeyValue).expect("it can be run");
    assert_eq!(report.violation, None, "without the bug it passes");
    // What the faults are for may need the bug; then the regression is vacuous, and never violates an oracle.
    assert!(!matches!(report.verdict(&read.expect), Verdict::Violation(_)));
}

/// A difference between runs is found by running twice, here and in another process, and is reported with the first
/// event that differs.
#[test]
fn a_planted_nondeterminism_ends_with_3_and_is_reported_with_its_first_event() {
    let bug = ["--bug", "draws-from-the-system"];
    let sim = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_sim"))
            .args(arguments)
            .args(bug)
            .output()
            .expect("the command can be started");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    // Seed 0 runs twice in one process; the other seeds do not.
    let (status, text) = sim(&["run", "--seeds", "0..2"]);
    assert_eq!(status, Some(3), "{text}");
    assert!(
        text.contains("seed 0: determinism: the same schedule had two different outcomes; first at event"),
        "{text}"
    );
    // Of these, those up to 64 run in another process as well.
    let (status, text) = sim(&["run", "--seeds", "1..1025"]);
    assert_eq!(status, Some(3), "{text}");
    assert!(
        text.contains(
            "seed 1: determinism: the same schedule had another outcome in another process; first at event"
        ),
        "{text}"
    );
    let replayed = "sim replay 1 --bug draws-from-the-system";
    assert!(text.contains(replayed), "{text}");
}

/// A search writes each finding to a file, whose run fails in the same way.
#[test]
fn a_search_writes_down_what_it_finds() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz-bugs");
    let sim = |arguments: &[&str]| {
        let bug = ["--bug", "votes-twice"];
        let output = Command::new(env!("CARGO_BIN_EXE_sim"))
            .args(arguments)
            .args(bug)
            .output();
        let output = output.expect("the command can be started");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    let folder = folder.display().to_string();
    let (status, text) = sim(&["fuzz", "--runs", "60", "-o", &folder]);
    assert_eq!(status, Some(1), "{text}");
    // S12, or S25 where debug assertions are on.
    let (oracle, pasted) = text
        .lines()
        .next()
        .and_then(|line| line.split_once(": sim replay "))
        .expect("a finding");
    let file = pasted
        .strip_suffix(" --bug votes-twice")
        .expect("the line to paste plants the bug, too");
    assert!(file.starts_with(&folder), "{text}");
    let (status, again) = sim(&["replay", "--quiet", file]);
    assert_eq!(status, Some(1), "{again}");
    assert!(again.contains(&format!("violation of {oracle}")), "{again}");
}

/// Without an operator's changes there are no learners.
#[test]
fn an_ablation_says_which_faults_a_bug_needs() {
    let output = Command::new(env!("CARGO_BIN_EXE_sim"))
        .args(["bugs", "--ablation", "--ranges", "1", "--seeds", "80", "--json"])
        .args(["--bug", "learners-count", "--bug", "votes-twice"])
        .output()
        .expect("the command can be started");
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).expect("the output is JSON");
    let rows = rows.as_array().expect("an array of rows");
    assert_eq!(rows.len(), 7);
    for row in rows {
        let lost: &[&str] = match row["without"].as_str() {
            Some("wishes") => &["learners-count"],
            _ => &[],
        };
        assert_eq!(row["not_found"], serde_json::json!(lost), "{row}");
    }
}
