//! The example `simulate`: an embedder's whole command, with a machine of a stranger's shape.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

/// The example's program, which `cargo test` builds beside this one.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let this = std::env::current_exe().expect("the test knows its path");
    let target = this.ancestors().nth(2).expect("tests are in target/PROFILE/deps");
    let program = target
        .join("examples")
        .join(format!("simulate{}", std::env::consts::EXE_SUFFIX));
    assert!(
        program.exists(),
        "run cargo test for the whole package, which builds {}",
        program.display()
    );
    program
});

#[track_caller]
fn ends(arguments: &[&str], status: i32) -> String {
    let output = Command::new(&*PROGRAM)
        .args(arguments)
        .output()
        .expect("the example can be started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(status),
        "{arguments:?}: {text}{errors}"
    );
    text
}

fn target(name: &str) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    path.display().to_string()
}

#[test]
fn a_sound_machine_passes_with_canaries_found_and_histories_searched() {
    let found = ends(&["run", "--seeds", "0..150", "--json"], 0);
    let found: Value = serde_json::from_str(&found).expect("the output is JSON");
    assert_eq!(found["workload"], "documents");
    assert_eq!(found["canaries"].as_object().map(serde_json::Map::len), Some(3));
    assert_eq!(found["linearizability"]["searched"], 3);
}

#[test]
fn the_planted_bug_is_found_replayed_shrunk_and_viewed_with_the_same_command() {
    let found = ends(
        &["run", "--seeds", "0..50", "--workload", "forgetful", "--json"],
        1,
    );
    let found: Value = serde_json::from_str(&found).expect("the output is JSON");
    let finding = &found["findings"][0];
    let oracle = finding["oracle"].as_str().expect("the finding names an oracle");
    assert!(matches!(oracle, "S16" | "S17"), "{finding}");
    // The line to paste is a command of this program.
    let pasted = finding["replay"]
        .as_str()
        .expect("the finding has a line to paste");
    let (program, rest) = pasted.split_once(" replay ").expect("it replays");
    assert_eq!(Path::new(program), *PROGRAM);
    let seed = rest
        .strip_suffix(" --workload forgetful")
        .expect("it names the workload");
    assert!(
        ends(&["replay", seed, "--workload", "forgetful"], 1).contains(&format!("violation of {oracle}"))
    );

    let (small, page) = (target("forgetful.toml"), target("forgetful.html"));
    ends(&["shrink", seed, "--workload", "forgetful", "-o", &small], 1);
    let shrunk = std::fs::read_to_string(&small).expect("the schedule was written");
    let items = shrunk.matches("[[fault]]").count() + shrunk.matches("[[operation]]").count();
    assert!((1..20).contains(&items), "{shrunk}");
    assert!(ends(&["replay", &small], 1).contains(&format!("violation of {oracle}")));
    ends(&["view", &small, "-o", &page], 0);
    let page = std::fs::read_to_string(&page).expect("the page was written");
    assert!(page.contains("Edited(") && page.contains(oracle));
}

#[test]
fn histories_and_scenarios_work_with_it_too() {
    let folder = target("documents-histories");
    ends(&["histories", "--seeds", "0..3", "-o", &folder], 0);
    let opinions =
        std::fs::read_to_string(Path::new(&folder).join("opinions.tsv")).expect("the file is there");
    assert!(opinions.contains("0\tlinearizable"), "{opinions}");
    ends(
        &["scenario", "power_cut", "lagging_follower", "rolling_upgrade"],
        0,
    );
}
