//! The program `node-sim`: the ledger and the store in the command of the simulator.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_node-sim"))
        .args(arguments)
        .output()
        .expect("the command can be started")
}

#[track_caller]
fn ends(arguments: &[&str], status: i32) -> String {
    let output = sim(arguments);
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(status), "{text}");
    text
}

fn target(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    path.display().to_string()
}

#[test]
fn a_seed_is_run_with_the_ledger_and_a_file_with_the_workload_that_it_names() {
    let text = ends(&["schedule", "3", "--profile", "calm"], 0);
    assert!(text.contains("machine = \"ledger\""), "{text}");
    let path = target("ledger.toml");
    std::fs::write(&path, &text).expect("the file can be written");
    let seen = ends(&["replay", &path], 0);
    assert!(seen.contains("Granted"), "the ledger ran");
    ends(&["run", &path], 0);
    let strange = target("strange.toml");
    std::fs::write(&strange, text.replace("\"ledger\"", "\"kv\"")).expect("the file can be written");
    let refused = ends(&["replay", &strange], 2);
    assert!(
        refused.contains("\"kv\", but this command only has ledger"),
        "{refused}"
    );
}

#[test]
fn lines_to_paste_name_this_program() {
    let ledger = sim(&["run", "--seeds", "0..3", "--json"]);
    let ledger: Value = serde_json::from_slice(&ledger.stdout).expect("the output is JSON");
    assert_eq!(ledger["workload"], "ledger");
    let page = target("page.html");
    ends(&["view", "1", "--profile", "calm", "-o", &page], 0);
    let page = std::fs::read_to_string(&page).expect("the page was written");
    assert!(page.contains("node-sim view 1 --profile calm"));
    let help = ends(&["--help"], 0);
    assert!(
        help.contains("  node-sim run --seeds 0..1000  ") && help.contains("ledger"),
        "{help}"
    );
}

/// The scenarios are made for the sizes of a key-value store. Some of what they are named after does not come about with
/// the ledger, which makes them vacuous; none of them may find a violation.
#[test]
fn the_ledger_violates_nothing_in_any_scenario() {
    let output = sim(&["scenario", "--all"]);
    let text = String::from_utf8_lossy(&output.stdout);
    let of = |what: &str| text.matches(what).count();
    let (passed, vacuous) = (of("\n    as expected: "), of("\n    vacuous: "));
    let all = text.lines().filter(|line| !line.starts_with(' ')).count();
    assert_eq!(passed + vacuous, all, "{text}");
    assert!(passed > 40, "{vacuous} of {all} are vacuous");
    // A violation would outrank a vacuous run.
    assert!(matches!(output.status.code(), Some(0 | 4)));
}

#[test]
fn the_store_is_swept_replayed_and_shrunk() {
    let text = ends(&["store", "run", "--seeds", "0..20", "--jobs", "2"], 0);
    assert!(
        text.contains("20 schedules of the store") && text.contains("0 findings"),
        "{text}"
    );
    let schedule = ends(&["store", "schedule", "1"], 0);
    let path = target("store.toml");
    std::fs::write(&path, schedule).expect("the file can be written");
    let last = |text: String| text.lines().last().map(str::to_owned);
    assert_eq!(
        last(ends(&["store", "replay", "1"], 0)),
        last(ends(&["store", "replay", &path], 0))
    );
    let nowhere = target("no_such_folder/case.toml");
    assert!(ends(&["store", "shrink", "1", "-o", &nowhere], 2).contains("there is no folder"));
    assert!(ends(&["store", "shrink", "1"], 0).contains("nothing to shrink"));
    assert!(ends(&["replay", &path], 2).contains("store.toml"));
}
