//! `sim fuzz`: a search that changes the schedules which led to something new.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
#[expect(
    clippy::disallowed_types,
    reason = "how long to go on is counted on the wall; no run sees it"
)]
use std::time::{Duration, Instant};

use serde_json::json;
use sim::fuzz::{Fuzzer, States, explore};
use sim::{Schedule, Verdict};

use crate::Ending;
use crate::jobs::on_every_job;
use crate::output::say;
use crate::sweep::How;
use crate::workload::with_workload;

const AFTER_HELP: &str = "\
A situation is how a cluster stands, without names and numbers. A schedule that led to a new one is kept and changed: its faults are moved, doubled, left out, set
off by other events, mixed with another's; the weather and the load change. What is found is written to the folder as a schedule, for sim replay, view and shrink.

With one job and --runs the search repeats exactly; the schedules that it finds always do.";

#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// How long.
    #[arg(long, required_unless_present = "runs")]
    minutes: Option<u64>,
    /// How many runs, if that comes first.
    #[arg(long)]
    runs: Option<u64>,
    /// Where fresh schedules begin, and what all changes are drawn from.
    #[arg(long, value_name = "SEED", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..1 << 62))]
    from: u64,
    #[command(flatten)]
    how: How,
    /// The folder for schedules that fail; made when there is one. At most three for each oracle.
    #[arg(short, long, value_name = "FOLDER", default_value = "fuzz-findings")]
    output: PathBuf,
    /// Print one JSON object at the end.
    #[arg(long)]
    json: bool,
}

/// What all jobs work on.
struct Search {
    fuzzer: Fuzzer,
    states: States,
    runs: u64,
    /// By oracle, where the schedules are.
    findings: BTreeMap<String, Vec<PathBuf>>,
    failed: Option<String>,
}

/// Schedules are written down for so many findings of an oracle.
const FILES_OF_AN_ORACLE: usize = 3;

pub(crate) fn run(arguments: &Arguments) -> Ending {
    let search = search(arguments);
    if let Some(message) = &search.failed {
        eprintln!("sim: {message}");
        return Ending::Usage;
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
                say!("{oracle}: sim replay {}", file.display());
            }
        }
        say!("{runs} runs, {situations} situations, {kept} schedules kept, {found} findings");
    }
    match found {
        0 => Ending::Pass,
        _ => Ending::Violation,
    }
}

#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "how long to go on is counted on the wall; no run sees it"
)]
fn search(arguments: &Arguments) -> Search {
    let how = &arguments.how;
    let began = Instant::now();
    let end = arguments
        .minutes
        .map(|minutes| Duration::from_secs(minutes.saturating_mul(60)));
    let shows_progress = std::io::stderr().is_terminal() && !arguments.json;
    let search = Mutex::new(Search {
        fuzzer: Fuzzer::new(how.profile(), arguments.from),
        states: States::default(),
        runs: 0,
        findings: BTreeMap::new(),
        failed: None,
    });
    let work = || {
        #[cfg(feature = "planted-bugs")]
        let _planted = how.plant();
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
                if shows_progress && search.runs.is_multiple_of(64) {
                    let Search { runs, states, .. } = &*search;
                    let rate = u128::from(*runs) * 1_000_000 / began.elapsed().as_micros().max(1);
                    let left = end.map_or_else(String::new, |end| {
                        format!(", {} s left", end.saturating_sub(began.elapsed()).as_secs())
                    });
                    let (situations, found) = (states.len(), search.findings.len());
                    eprint!(
                        "\r{runs} runs, {rate}/s, {situations} situations{left}, {found} oracles found something \x1b[K"
                    );
                }
                search.fuzzer.next_schedule(|_, seed| how.schedule(seed))
            };
            let explored = with_workload!(how.workload(), |workload| explore(&schedule, workload));
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
    on_every_job(how.jobs(), work);
    if shows_progress {
        eprint!("\r\x1b[K");
    }
    search.into_inner().unwrap_or_else(PoisonError::into_inner)
}

impl Search {
    /// Writes a failing schedule down, unless the oracle has enough of them.
    fn found(&mut self, oracle: &str, schedule: &Schedule, folder: &Path) {
        let files = self.findings.entry(oracle.to_owned()).or_default();
        if files.len() >= FILES_OF_AN_ORACLE {
            return;
        }
        let path = folder.join(format!("{oracle}-{}.toml", files.len() + 1));
        let written = schedule
            .to_toml()
            .map_err(|error| error.to_string())
            .and_then(|text| {
                let write = || {
                    std::fs::create_dir_all(folder)?;
                    std::fs::write(&path, text)
                };
                write().map_err(|error| format!("{} cannot be written: {error}", path.display()))
            });
        match written {
            Ok(()) => files.push(path),
            Err(message) => self.failed = Some(message),
        }
    }
}
