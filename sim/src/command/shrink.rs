//! `shrink`: finds the few things that make a run fail.

use std::path::{Path, PathBuf};

use super::case::{Case, Found};
use super::progress::Progress;
use super::{Command, Ending, output};

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    case: Case,
    /// Where to write the small schedule; standard output otherwise.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Rejects a file whose folder does not exist, before minutes of work are lost on it.
pub(super) fn can_be_written(file: Option<&Path>) -> Result<(), String> {
    let folder = file
        .and_then(Path::parent)
        .filter(|folder| !folder.as_os_str().is_empty());
    match (file, folder) {
        (Some(file), _) if file.is_dir() => Err(format!("{} is a folder; name a file", file.display())),
        (_, Some(folder)) if !folder.is_dir() => Err(format!("there is no folder {}", folder.display())),
        _ => Ok(()),
    }
}

/// Writes the text to the file, or else to standard output.
pub(super) fn write(text: &str, file: Option<&Path>) -> Result<(), String> {
    match file {
        None => {
            output::print(format_args!("{text}"));
            Ok(())
        }
        Some(path) => std::fs::write(path, text)
            .map_err(|error| format!("{} cannot be written: {error}", path.display())),
    }
}

pub(super) fn run(arguments: &Arguments, command: &Command) -> Result<Ending, String> {
    let file = arguments.output.as_deref();
    can_be_written(file)?;
    let Found {
        subject,
        schedule,
        planting,
    } = arguments.case.find(command)?;
    let _planted = planting.plant();
    let shrunk = {
        let progress = Progress::open("runs");
        subject.shrink(&schedule, &mut |runs, items| {
            progress.show(runs, || format!(", {items} items left"))
        })
    };
    let Some(shrunk) = shrunk.map_err(|error| error.to_string())? else {
        output::complain("this run finds no violation, so there is nothing to shrink");
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
    write(&text, file)?;
    Ok(Ending::Violation)
}
