//! `sim soak`: seeds after seeds for as long as one likes, in pieces that survive an interruption.

use std::fs::OpenOptions;
use std::io::{IsTerminal, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
#[expect(
    clippy::disallowed_types,
    reason = "how long to go on is counted on the wall; no run sees it"
)]
use std::time::{Duration, Instant};

use crate::Ending;
use crate::results::{Results, conclude};
use crate::sweep::{How, results_of};

/// Seeds between two looks at the clock, and what an interruption costs: enough that each piece is compared with another process.
const PIECE: u64 = 1_024;

const AFTER_HELP: &str = "\
The folder gets results.jsonl, one line for each piece of 1,024 seeds (sim merge reads it, several folders' at once), and seed-N.toml, the schedule of each
seed that found something, for sim replay, view and shrink. Started again with the same folder, it goes on where it was.";

#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// How long; without it until it is interrupted. A piece that has begun is finished.
    #[arg(long)]
    minutes: Option<u64>,
    /// The first seed of a new folder.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,
    #[command(flatten)]
    how: How,
    /// The folder of the results; made if it is not there.
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
    /// Print one JSON object at the end, of the form of sim run's.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Ending {
    conclude(soak(arguments), arguments.json)
}

#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "how long to go on is counted on the wall; no run sees it"
)]
fn soak(arguments: &Arguments) -> Result<Results, String> {
    let folder = &arguments.output;
    std::fs::create_dir_all(folder).map_err(|error| cannot("made", folder, &error))?;
    let path = folder.join("results.jsonl");
    let earlier = match path.exists() {
        true => Some(Results::read(&path)?),
        false => None,
    };
    let ended = earlier.iter().flat_map(|earlier| &earlier.seeds).last();
    let mut next = ended.map_or(arguments.from, |[_, end]| *end);
    // Of no seeds yet, so that what another profile or version left in the folder is refused before anything runs.
    let mut sum = results_of(next..next, &arguments.how);
    if let Some(earlier) = earlier {
        sum.add(earlier)
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let began = Instant::now();
    let end = arguments
        .minutes
        .map(|minutes| Duration::from_secs(minutes.saturating_mul(60)));
    let shows_progress = std::io::stderr().is_terminal();
    loop {
        let piece = piece_from(next)?;
        next = piece.end;
        let results = results_of(piece, &arguments.how);
        keep(&path, &results)?;
        for found in &results.findings {
            keep_schedule(folder, &arguments.how, found.seed)?;
        }
        sum.add(results)?;
        if shows_progress {
            let (done, rate, found) = (sum.schedules, sum.schedules_per_second, sum.findings.len());
            let left = end.map_or_else(String::new, |end| {
                format!(", {} s left", end.saturating_sub(began.elapsed()).as_secs())
            });
            let (hit, probes) = (
                sum.coverage.values().filter(|count| **count > 0).count(),
                sum.coverage.len(),
            );
            eprint!(
                "\r{done} schedules, up to seed {next}, {rate}/s, {hit} of {probes} probes{left}, {found} findings \x1b[K"
            );
        }
        if end.is_some_and(|end| began.elapsed() >= end) {
            if shows_progress {
                eprint!("\r\x1b[K");
            }
            return Ok(sum);
        }
    }
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> String {
    format!("{} cannot be {what}: {error}", path.display())
}

/// TOML has no unsigned numbers, and every seed must be writable as a schedule.
fn piece_from(first: u64) -> Result<Range<u64>, String> {
    let end = first.checked_add(PIECE).filter(|end| i64::try_from(*end).is_ok());
    end.map(|end| first..end)
        .ok_or_else(|| format!("there are no seeds beyond {}", i64::MAX))
}

fn keep(path: &Path, results: &Results) -> Result<(), String> {
    let line = serde_json::to_string(results).map_err(|error| error.to_string())?;
    let write = || {
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(format!("{line}\n").as_bytes())
    };
    write().map_err(|error| cannot("written", path, &error))
}

fn keep_schedule(folder: &Path, how: &How, seed: u64) -> Result<(), String> {
    let path = folder.join(format!("seed-{seed}.toml"));
    let text = how.schedule(seed).to_toml().map_err(|error| error.to_string())?;
    std::fs::write(&path, text).map_err(|error| cannot("written", &path, &error))
}
