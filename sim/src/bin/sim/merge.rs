//! `sim merge`: what the parts of a sweep came to together.

use std::path::{Path, PathBuf};

use crate::Ending;
use crate::results::Results;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What `sim run --json` printed, one file for each part, in any order.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Merge although seeds between the parts are missing.
    #[arg(long)]
    partial: bool,
    /// Print one JSON object, of the form of the parts.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Ending {
    let merged = merge(arguments).and_then(|results| match arguments.json {
        false => {
            results.print();
            Ok(results)
        }
        true => {
            let text = serde_json::to_string(&results).map_err(|error| error.to_string())?;
            println!("{text}");
            Ok(results)
        }
    });
    match merged {
        Ok(results) => results.ending(),
        Err(message) => {
            eprintln!("sim: {message}");
            Ending::Usage
        }
    }
}

fn merge(arguments: &Arguments) -> Result<Results, String> {
    let mut parts = arguments.files.iter();
    let mut merged = read(parts.next().ok_or("there is nothing to merge")?)?;
    for path in parts {
        let part = read(path)?;
        merged
            .add(part)
            .map_err(|message| format!("{}: {message}", path.display()))?;
    }
    match merged.missing() {
        Some([first, end]) if !arguments.partial => Err(format!(
            "seeds {first}..{end} are in no part; add the part that has them, or merge what there is with --partial"
        )),
        _ => Ok(merged),
    }
}

fn read(path: &Path) -> Result<Results, String> {
    let place = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{place} cannot be read: {error}"))?;
    let results: Results = serde_json::from_str(&text)
        .map_err(|error| format!("{place} is not what sim run --json of this version prints: {error}"))?;
    match results.seeds.is_empty() {
        true => Err(format!(
            "{place} is of schedule files, and only sweeps over seeds can be merged"
        )),
        false => Ok(results),
    }
}
