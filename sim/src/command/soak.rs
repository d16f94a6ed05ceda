//! `soak`: runs seeds until it is stopped, in pieces that survive an interruption.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
#[expect(
    clippy::disallowed_types,
    reason = "how long to go on is counted on the wall; no run sees it"
)]
use std::time::{Duration, Instant};

use super::output::{complain, program};
use super::progress::Progress;
use super::results::{Results, conclude};
use super::sweep::{Campaign, How, results_of};
use super::{Command, Ending};

/// The seeds between two looks at the clock, which are also what an interruption loses. They are enough that each piece
/// is compared with another process.
const PIECE: u64 = 1_024;

const AFTER_HELP: &str = "\
The folder gets results.jsonl, one line for each piece of 1,024 seeds (merge reads it, also from several folders), and seed-N.toml, the schedule of each
seed that found something, for replay, view and shrink. Started again with the same folder, it continues there. Only one soak at a time can use a folder.";

#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// How long to run; without it until it is interrupted. A piece that has begun is finished.
    #[arg(long)]
    minutes: Option<u64>,
    /// The first seed of a new folder.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,
    #[command(flatten)]
    how: How,
    /// The folder for the results; created if it does not exist.
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
    /// Print one JSON object at the end, in the form of run's.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, command: &Command) -> Result<Ending, String> {
    let campaign = arguments.how.campaign(command)?;
    conclude(&soak(arguments, &campaign)?, arguments.json)
}

#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "how long to go on is counted on the wall; no run sees it"
)]
fn soak(arguments: &Arguments, campaign: &Campaign<'_>) -> Result<Results, String> {
    let folder = &arguments.output;
    std::fs::create_dir_all(folder).map_err(|error| cannot("made", folder, &error))?;
    let path = folder.join("results.jsonl");
    let mut file = open_alone(&path)?;
    let earlier = match drop_unfinished_line(&file, &path)? {
        0 => None,
        _ => Some(Results::read(&path)?),
    };
    let ended = earlier.iter().flat_map(|earlier| &earlier.seeds).last();
    let mut next = ended.map_or(arguments.from, |[_, end]| *end);
    // Of no seeds yet, so that results of another profile or version in the folder are rejected before anything runs.
    let mut sum = results_of(next..next, campaign, &Progress::hidden());
    if let Some(earlier) = earlier {
        sum.add(earlier)
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let began = Instant::now();
    let end = arguments
        .minutes
        .map(|minutes| Duration::from_secs(minutes.saturating_mul(60)));
    let progress = Progress::open("schedules");
    loop {
        let piece = piece_from(next)?;
        next = piece.end;
        let results = results_of(piece, campaign, &Progress::hidden());
        keep(&mut file, &path, &results).inspect_err(|_| {
            for found in &results.findings {
                eprintln!("{found}");
            }
        })?;
        for found in &results.findings {
            keep_schedule(folder, campaign, found.seed)?;
        }
        sum.add(results)?;
        progress.show(sum.schedules, || {
            let left = end.map_or_else(String::new, |end| {
                format!(", {} s left", end.saturating_sub(began.elapsed()).as_secs())
            });
            let hit = sum.coverage.values().filter(|count| **count > 0).count();
            let (probes, found) = (sum.coverage.len(), sum.findings.len());
            format!(", up to seed {next}, {hit} of {probes} probes{left}, {found} findings")
        });
        if end.is_some_and(|end| began.elapsed() >= end) {
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
        .ok_or_else(|| format!("there are no seeds above {}", i64::MAX))
}

/// Opens and locks the results: two soaks that append to one file would run the same seeds. The lock ends with the
/// process, however the process ends.
fn open_alone(path: &Path) -> Result<File, String> {
    let opened = OpenOptions::new().create(true).append(true).read(true).open(path);
    let file = opened.map_err(|error| cannot("opened", path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(format!(
            "another {} soak is using {}; wait for it, or choose another folder",
            program(),
            path.display()
        )),
        Err(TryLockError::Error(error)) => Err(cannot("locked", path, &error)),
    }
}

/// Removes an unfinished last line, which a full disk or a power failure leaves. Returns the length of the results
/// then.
fn drop_unfinished_line(file: &File, path: &Path) -> Result<u64, String> {
    let text = std::fs::read(path).map_err(|error| cannot("read", path, &error))?;
    let whole = whole_lines(&text).len();
    if whole < text.len() {
        file.set_len(whole as u64)
            .map_err(|error| cannot("mended", path, &error))?;
        complain(&format!(
            "{}: the last line was unfinished and is dropped; its seeds are run again",
            path.display()
        ));
    }
    Ok(whole as u64)
}

/// Returns everything before a last line that is unfinished or not JSON. A line of JSON is never dropped, even if it
/// does not hold our results.
fn whole_lines(text: &[u8]) -> &[u8] {
    let ended = text.strip_suffix(b"\n");
    let before = ended
        .unwrap_or(text)
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1);
    let is_json = |line: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok();
    match ended {
        Some(ended) if is_json(&ended[before..]) => text,
        _ => &text[..before],
    }
}

/// Appends the results in one write, so that an interruption leaves at most an unfinished last line.
fn keep(file: &mut File, path: &Path, results: &Results) -> Result<(), String> {
    let line = serde_json::to_string(results).map_err(|error| error.to_string())?;
    let written = file
        .write_all(format!("{line}\n").as_bytes())
        .and_then(|()| file.sync_data());
    written.map_err(|error| cannot("written", path, &error))
}

fn keep_schedule(folder: &Path, campaign: &Campaign<'_>, seed: u64) -> Result<(), String> {
    let path = folder.join(format!("seed-{seed}.toml"));
    let text = campaign
        .schedule(seed)
        .to_toml()
        .map_err(|error| error.to_string())?;
    std::fs::write(&path, text).map_err(|error| cannot("written", &path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unfinished_last_line_is_dropped() {
        for (text, whole) in [
            ("", ""),
            ("{\"a\":1}\n", "{\"a\":1}\n"),
            ("{\"a\":1}\n{\"b\"", "{\"a\":1}\n"),
            ("{\"a\":1}\n{\"b\"\n", "{\"a\":1}\n"),
            ("{\"a\":1}\n\0\0\0", "{\"a\":1}\n"),
            ("{\"a\":", ""),
            // If two lines are malformed, the first was not left by an interrupted write.
            ("what\nis\nthis", "what\nis\n"),
        ] {
            assert_eq!(whole_lines(text.as_bytes()), whole.as_bytes(), "{text:?}");
        }
    }
}
