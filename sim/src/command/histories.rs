//! `histories`: writes what clients of many runs saw, for other people's checkers.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::output::say;
use super::seeds::seeds;
use super::subject::{RecordError, Recorded, Subject};
use super::{Command, Ending};
use crate::{Opinion, Profile, Schedule};

const AFTER_HELP: &str = "\
The folder gets a file SEED.edn for each history, one operation per line, and opinions.tsv, with the result of the simulator's own search for each
seed: linearizable, not linearizable, or unknown; \"no model\" where the workload has none to search with.";

#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// The seeds, from the first up to but not including the last.
    #[arg(long, value_name = "A..B", value_parser = seeds)]
    seeds: Range<u64>,
    /// The kind of schedule that a seed gives.
    #[arg(long, value_enum, default_value_t)]
    profile: Profile,
    /// The workload to simulate.
    #[arg(long, value_name = "NAME")]
    workload: Option<String>,
    /// The folder for the histories; created if it does not exist.
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
}

impl RecordError {
    /// Says what went wrong with this file.
    pub(super) fn at(&self, path: &Path) -> String {
        match self {
            Self::Schedule(error) => error.to_string(),
            Self::Io(error) => cannot_be_written(path, error),
        }
    }
}

fn cannot_be_written(path: &Path, error: &io::Error) -> String {
    format!("{} cannot be written: {error}", path.display())
}

/// Runs the schedule, and writes what clients saw to a file.
pub(super) fn write(
    subject: &dyn Subject,
    schedule: &Schedule,
    path: &Path,
) -> Result<Recorded, RecordError> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    let recorded = subject.record(schedule, Some(&mut file))?;
    file.flush()?;
    Ok(recorded)
}

pub(super) fn run(arguments: &Arguments, command: &Command) -> Result<Ending, String> {
    let subject = command.chosen(arguments.workload.as_deref())?;
    let folder = &arguments.output;
    std::fs::create_dir_all(folder).map_err(|error| cannot_be_written(folder, &error))?;
    let (mut opinions, mut written, mut beyond) = (String::new(), 0_u64, 0_u64);
    for seed in arguments.seeds.clone() {
        let schedule = subject.schedule(arguments.profile, seed);
        let path = folder.join(format!("{seed}.edn"));
        let recorded = write(subject, &schedule, &path).map_err(|error| error.at(&path))?;
        if !recorded.report.is_within_budget() {
            std::fs::remove_file(&path).map_err(|error| cannot_be_written(&path, &error))?;
            beyond += 1;
            continue;
        }
        let opinion = match recorded.opinion {
            Some(Opinion::Linearizable) => "linearizable",
            Some(Opinion::NotLinearizable { .. }) => "not linearizable",
            Some(Opinion::Unknown { .. }) => "unknown",
            None => "no model",
        };
        // Writing to a string cannot fail.
        let _written = writeln!(opinions, "{seed}\t{opinion}");
        written += 1;
    }
    let path = folder.join("opinions.tsv");
    std::fs::write(&path, opinions).map_err(|error| cannot_be_written(&path, &error))?;
    say!(
        "{written} histories in {}; {beyond} runs exceeded the fault budget, beyond which nothing is promised to clients",
        folder.display()
    );
    Ok(Ending::Pass)
}
