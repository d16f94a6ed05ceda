//! `sim histories`: writes what clients of many runs saw, for other people's checkers.

use std::fmt::Write as _;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use sim::kv::KeyValue;
use sim::{HistoryEvent, Opinion, Profile, linearizable};

use crate::output::say;
use crate::sweep::{SEARCH_STEPS, seeds};
use crate::{Ending, ProfileName};

const AFTER_HELP: &str = "\
The folder gets a file SEED.edn for each history, one operation per line, and opinions.tsv, with the result of sim's own search for each
seed: linearizable, not linearizable, or unknown.";

#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// The seeds, from the first up to but not including the last.
    #[arg(long, value_name = "A..B", value_parser = seeds)]
    seeds: Range<u64>,
    /// What kind of schedule a seed gives.
    #[arg(long, value_enum, default_value_t)]
    profile: ProfileName,
    /// The folder for the histories; created if it does not exist.
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Ending {
    match write_all(arguments) {
        Ok(line) => {
            say!("{line}");
            Ending::Pass
        }
        Err(message) => {
            eprintln!("sim: {message}");
            Ending::Usage
        }
    }
}

fn write_all(arguments: &Arguments) -> Result<String, String> {
    let folder = &arguments.output;
    let unwritten = |path: &Path, error| format!("{} cannot be written: {error}", path.display());
    std::fs::create_dir_all(folder).map_err(|error| unwritten(folder, error))?;
    let (mut opinions, mut written, mut beyond) = (String::new(), 0_u64, 0_u64);
    for seed in arguments.seeds.clone() {
        let schedule = Profile::from(arguments.profile).schedule(seed);
        let (report, history) = sim::record(&schedule, &KeyValue).map_err(|error| error.to_string())?;
        if !report.is_within_budget() {
            beyond += 1;
            continue;
        }
        let path = folder.join(format!("{seed}.edn"));
        write_file(&path, &history).map_err(|error| unwritten(&path, error))?;
        let opinion = match linearizable(&history, SEARCH_STEPS) {
            Opinion::Linearizable => "linearizable",
            Opinion::NotLinearizable { .. } => "not linearizable",
            Opinion::Unknown { .. } => "unknown",
        };
        // Writing to a string cannot fail.
        let _written = writeln!(opinions, "{seed}\t{opinion}");
        written += 1;
    }
    let path = folder.join("opinions.tsv");
    std::fs::write(&path, opinions).map_err(|error| unwritten(&path, error))?;
    Ok(format!(
        "{written} histories in {}; {beyond} runs exceeded the fault budget, beyond which nothing is promised to clients",
        folder.display()
    ))
}

fn write_file(path: &Path, history: &[HistoryEvent<KeyValue>]) -> std::io::Result<()> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    sim::kv::write_edn(history, &mut file)?;
    file.flush()
}
