//! `merge`: adds up the results of the parts of a sweep.

use std::path::PathBuf;

use super::Ending;
use super::results::{Results, conclude};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// What `run --json` printed, one file for each part, or the results.jsonl of `soak`, in any order.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Merge although seeds between the parts are missing.
    #[arg(long)]
    partial: bool,
    /// Print one JSON object, of the form of the parts.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Ending, String> {
    conclude(&merge(arguments)?, arguments.json)
}

fn merge(arguments: &Arguments) -> Result<Results, String> {
    let mut parts = arguments.files.iter();
    let mut merged = Results::read(parts.next().ok_or("there is nothing to merge")?)?;
    for path in parts {
        let part = Results::read(path)?;
        merged
            .add(part)
            .map_err(|message| format!("{}: {message}", path.display()))?;
    }
    match merged.missing() {
        Some([first, end]) if !arguments.partial => Err(format!(
            "seeds {first}..{end} are in no part; add the part that has them, or merge the present parts with --partial"
        )),
        _ => Ok(merged),
    }
}
