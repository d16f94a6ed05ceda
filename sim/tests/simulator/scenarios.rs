//! Every scenario and every regression in the repository does what it says, with the same outcome twice.

use std::path::{Path, PathBuf};

use sim::kv::KeyValue;
use sim::{Schedule, Verdict};

fn schedules(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the folder exists")
        .map(|entry| entry.expect("the folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} has no schedules", folder.display());
    files
}

fn run_all(folder: &str) {
    let mut failures = Vec::new();
    for path in schedules(folder) {
        let name = path
            .file_name()
            .expect("a file has a name")
            .to_string_lossy()
            .into_owned();
        let schedule =
            match Schedule::from_toml(&std::fs::read_to_string(&path).expect("the file can be read")) {
                Ok(schedule) => schedule,
                Err(error) => {
                    failures.push(format!("{name}: {error}"));
                    continue;
                }
            };
        assert!(
            schedule.purpose.ends_with('.'),
            "{name} has no sentence that says what it is for"
        );
        assert!(
            !schedule.expect.probes.is_empty(),
            "{name} can become vacuous unnoticed: it requires no probe"
        );
        let report = sim::run(&schedule, &KeyValue).expect("the schedule is valid");
        match report.verdict(&schedule.expect) {
            Verdict::Pass => {}
            verdict => failures.push(format!("{name}: {verdict}")),
        }
        assert_eq!(
            sim::run(&schedule, &KeyValue).expect("the schedule is valid"),
            report,
            "{name} had two different outcomes"
        );
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_scenario_passes_and_hits_what_it_must() {
    run_all("scenarios");
}

#[test]
fn every_bug_that_was_found_stays_fixed() {
    run_all("regressions");
}
