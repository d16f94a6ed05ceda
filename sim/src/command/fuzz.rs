//! `fuzz`: a search that changes the schedules which led to something new.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
#[expect(
    clippy::disallowed_types,
    reason = "how long to go on is counted on the wall; no run sees it"
)]
use std::time::{Duration, Instant};

use serde_json::json;

use super::jobs::on_every_job;
use super::output::{program, say};
use super::progress::Progress;
use super::results::counted;
use super::sweep::{Campaign, How};
use super::{Command, Ending, shell};
use crate::fuzz::{Fuzzer, States};
use crate::{Schedule, Verdict};

const AFTER_HELP: &str = "\
A situation is the state of a cluster, without names and numbers. A schedule that led to a new one is kept and changed: its faults are moved, doubled, left out, set
off by other events, mixed with another's; the weather and the load change. Each schedule that fails is written to the folder, for replay, view and shrink.

With one job and --runs the search repeats exactly; the schedules that it finds always repeat exactly.";

#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// How long to search.
    #[arg(long, required_unless_present = "runs", value_parser = clap::value_parser!(u64).range(1..))]
    minutes: Option<u64>,
    /// Stop after so many runs, if that comes first.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    runs: Option<u64>,
    /// The first seed of fresh schedules; all changes are drawn from it, too.
    #[arg(long, value_name = "SEED", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..1 << 62))]
    from: u64,
    #[command(flatten)]
    how: How,
    /// The folder for schedules that fail; created when there is one. At most three for each oracle, beside those of
    /// earlier searches.
    #[arg(short, long, value_name = "FOLDER", default_value = "fuzz-findings")]
    output: PathBuf,
    /// Print one JSON object at the end.
    #[arg(long)]
    json: bool,
}

/// The state that all jobs share.
struct Search {
    fuzzer: Fuzzer,
    states: States,
    runs: u64,
    /// For each oracle, the files of the schedules that it failed.
    findings: BTreeMap<String, Vec<PathBuf>>,
    failed: Option<String>,
}

/// How many failing schedules are written for each oracle.
const FILES_OF_AN_ORACLE: usize = 3;

pub(super) fn run(arguments: &Arguments, command: &Command) -> Result<Ending, String> {
    let campaign = arguments.how.campaign(command)?;
    let folder = &arguments.output;
    if folder.exists() && !folder.is_dir() {
        return Err(format!(
            "{} is not a folder; choose a folder for the schedules that fail",
            folder.display()
        ));
    }
    let search = search(arguments, &campaign);
    if let Some(message) = search.failed {
        return Err(message);
    }
    let found: usize = search.findings.values().map(Vec::len).sum();
    let (runs, situations, kept) = (search.runs, search.states.len(), search.fuzzer.kept());
    if arguments.json {
        let findings: BTreeMap<&String, Vec<String>> = (search.findings.iter())
            .map(|(oracle, files)| {
                (
                    oracle,
                    files.iter().map(|file| file.display().to_string()).collect(),
                )
            })
            .collect();
        say!(
            "{}",
            json!({ "runs": runs, "situations": situations, "kept": kept, "findings": findings })
        );
    } else {
        for (oracle, files) in &search.findings {
            for file in files {
                say!(
                    "{oracle}: {} replay {}{}",
                    program(),
                    shell::file(file),
                    campaign.planting.words()
                );
            }
        }
        say!(
            "{}, {situations} situations, {kept} schedules kept, {}",
            counted(runs, "run"),
            counted(found as u64, "finding")
        );
    }
    Ok(match found {
        0 => Ending::Pass,
        _ => Ending::Violation,
    })
}

#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "how long to go on is counted on the wall; no run sees it"
)]
fn search(arguments: &Arguments, campaign: &Campaign<'_>) -> Search {
    let began = Instant::now();
    let end = arguments
        .minutes
        .map(|minutes| Duration::from_secs(minutes.saturating_mul(60)));
    let progress = Progress::open("runs").unless(arguments.json);
    let search = Mutex::new(Search {
        fuzzer: Fuzzer::new(campaign.profile, arguments.from),
        states: States::default(),
        runs: 0,
        findings: BTreeMap::new(),
        failed: None,
    });
    let work = || {
        let _planted = campaign.planting.plant();
        loop {
            let schedule = {
                let mut search = search.lock().unwrap_or_else(PoisonError::into_inner);
                let is_over = end.is_some_and(|end| began.elapsed() >= end)
                    || arguments.runs.is_some_and(|runs| search.runs >= runs)
                    || search.failed.is_some();
                if is_over {
                    return;
                }
                search.runs += 1;
                progress.show(search.runs, || {
                    let left = end.map_or_else(String::new, |end| {
                        format!(", {} s left", end.saturating_sub(began.elapsed()).as_secs())
                    });
                    let (situations, found) = (search.states.len(), search.findings.len());
                    format!(", {situations} situations{left}, {found} oracles found something")
                });
                search.fuzzer.next_schedule(|_, seed| campaign.schedule(seed))
            };
            let explored = campaign.subject.explore(&schedule);
            let mut search = search.lock().unwrap_or_else(PoisonError::into_inner);
            match explored {
                Err(error) => search.failed = Some(error.to_string()),
                Ok((report, seen)) => {
                    let verdict = report.verdict(&schedule.expect);
                    let new = search.states.add(&seen);
                    match &verdict {
                        Verdict::Violation(violation) => {
                            search.found(&violation.oracle.to_string(), &schedule, &arguments.output);
                        }
                        // A changed schedule may well leave a cluster nothing to commit.
                        Verdict::Pass | Verdict::Vacuous(_) | Verdict::Undetected(_) => {
                            search.fuzzer.learn(schedule, new);
                        }
                    }
                }
            }
        }
    };
    on_every_job(campaign.jobs, work);
    search.into_inner().unwrap_or_else(PoisonError::into_inner)
}

impl Search {
    /// Writes a failing schedule to the folder, unless the oracle has enough of them.
    fn found(&mut self, oracle: &str, schedule: &Schedule, folder: &Path) {
        let files = self.findings.entry(oracle.to_owned()).or_default();
        if files.len() >= FILES_OF_AN_ORACLE {
            return;
        }
        let written = schedule
            .to_toml()
            .map_err(|error| error.to_string())
            .and_then(|text| {
                let written = write_beside_others(folder, oracle, &text);
                written.map_err(|error| format!("{} cannot be written to: {error}", folder.display()))
            });
        match written {
            Ok(path) => files.push(path),
            Err(message) => self.failed = Some(message),
        }
    }
}

/// Writes the file ORACLE-N.toml with the first number that no earlier search has taken.
fn write_beside_others(folder: &Path, oracle: &str, text: &str) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let mut paths = (1_u64..).map(|number| folder.join(format!("{oracle}-{number}.toml")));
    let free = paths.find_map(|path| match File::create_new(&path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => None,
        made => Some(made.map(|file| (path, file))),
    });
    let (path, mut file) = free.unwrap_or_else(|| Err(ErrorKind::AlreadyExists.into()))?;
    file.write_all(text.as_bytes())?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use crate::Profile;

    use super::*;

    #[test]
    fn a_second_search_keeps_what_the_first_has_found() {
        let folder = std::env::temp_dir().join(format!("sim-fuzz-{}", std::process::id()));
        let schedule = Profile::Calm.schedule(1);
        let search = || {
            let mut search = Search {
                fuzzer: Fuzzer::new(Profile::Calm, 0),
                states: States::default(),
                runs: 0,
                findings: BTreeMap::new(),
                failed: None,
            };
            for _ in 0..5 {
                search.found("S1", &schedule, &folder);
            }
            assert_eq!(search.failed, None);
            search.findings["S1"].clone()
        };
        let named = |numbers: [u64; 3]| {
            numbers
                .map(|number| folder.join(format!("S1-{number}.toml")))
                .to_vec()
        };
        assert_eq!(search(), named([1, 2, 3]));
        std::fs::write(folder.join("S1-2.toml"), "somebody's notes").expect("the file can be written");
        assert_eq!(search(), named([4, 5, 6]));
        let kept = std::fs::read_to_string(folder.join("S1-2.toml")).expect("the file is there");
        assert_eq!(kept, "somebody's notes");
        std::fs::remove_dir_all(&folder).expect("the folder can be removed");
    }
}
