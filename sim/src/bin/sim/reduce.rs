//! `sim shrink`: finds the few things that make a run fail.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use sim::Schedule;

use crate::workload::{WorkloadName, find_schedule, with_workload};
use crate::{Ending, ProfileName, output};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A seed, a scenario, or the file of a schedule.
    #[arg(value_name = "SEED|SCENARIO|FILE")]
    what: String,
    /// The kind of schedule that a seed gives.
    #[arg(long, value_enum, default_value_t)]
    profile: ProfileName,
    /// The state machine for a seed's schedule; a file names its own.
    #[arg(long, value_enum)]
    workload: Option<WorkloadName>,
    #[cfg(feature = "planted-bugs")]
    #[command(flatten)]
    plant: crate::bugs::Plant,
    /// Where to write the small schedule; standard output otherwise.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Ending {
    #[cfg(feature = "planted-bugs")]
    let _planted = arguments.plant.plant();
    let written = can_be_written(arguments.output.as_deref())
        .and_then(|()| {
            find_schedule(&arguments.what, arguments.profile, arguments.workload)
                .map_err(|error| error.to_string())
        })
        .and_then(|(workload, schedule)| shrink(workload, &schedule, arguments));
    match written {
        Ok(ending) => ending,
        Err(message) => {
            eprintln!("sim: {message}");
            Ending::Usage
        }
    }
}

/// Rejects a file whose folder does not exist, before minutes of work are lost on it.
pub(crate) fn can_be_written(file: Option<&Path>) -> Result<(), String> {
    let folder = file
        .and_then(Path::parent)
        .filter(|folder| !folder.as_os_str().is_empty());
    match (file, folder) {
        (Some(file), _) if file.is_dir() => Err(format!("{} is a folder; name a file", file.display())),
        (_, Some(folder)) if !folder.is_dir() => Err(format!("there is no folder {}", folder.display())),
        _ => Ok(()),
    }
}

fn shrink(workload: WorkloadName, schedule: &Schedule, arguments: &Arguments) -> Result<Ending, String> {
    let shows_progress = std::io::stderr().is_terminal();
    let mut progress = |runs: u64, items: usize| {
        if shows_progress && runs.is_multiple_of(16) {
            eprint!("\r{runs} runs, {items} items left \x1b[K");
        }
    };
    let shrunk = with_workload!(workload, |machine| sim::shrink(schedule, machine, &mut progress))
        .map_err(|error| error.to_string())?;
    if shows_progress {
        eprint!("\r\x1b[K");
    }
    let Some(shrunk) = shrunk else {
        eprintln!("sim: this run finds no violation, so there is nothing to shrink");
        return Ok(Ending::Pass);
    };
    eprintln!(
        "{}: {} items shrunk to {} in {} runs: {} faults and {} operations on {} servers",
        shrunk.oracle,
        shrunk.items_before,
        shrunk.items_after,
        shrunk.runs,
        shrunk.schedule.faults.len(),
        shrunk.schedule.operations.len(),
        shrunk.schedule.cluster.all_servers()
    );
    let text = shrunk.schedule.to_toml().map_err(|error| error.to_string())?;
    match &arguments.output {
        None => output::print(format_args!("{text}")),
        Some(path) => {
            std::fs::write(path, text)
                .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
        }
    }
    Ok(Ending::Violation)
}
