//! Measures a command's time and peak memory from outside, the same way for both sides.

use std::io;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The time and memory of a run.
#[derive(Clone, Copy)]
pub(super) struct Taken {
    pub(super) milliseconds: f64,
    /// The most memory that was resident at once, as Linux reports it (`VmHWM`); none elsewhere.
    pub(super) peak_megabytes: Option<f64>,
}

/// Returns the usual figures of several runs: the median of their times, and the highest memory. The sides take turns,
/// so that both have the same share of a shared machine's slow moments; the best run of each would compare one side's
/// luck with the other's.
pub(super) fn usual(runs: impl Iterator<Item = Taken>) -> Taken {
    let mut runs: Vec<Taken> = runs.collect();
    runs.sort_by(|one, other| one.milliseconds.total_cmp(&other.milliseconds));
    Taken {
        milliseconds: runs.get(runs.len() / 2).map_or(f64::NAN, |run| run.milliseconds),
        // A run that ended before it could be measured reports nothing; the largest reading is the most accurate.
        peak_megabytes: runs.iter().filter_map(|run| run.peak_megabytes).reduce(f64::max),
    }
}

/// Runs a command to its end.
pub(super) fn run(command: &mut Command) -> io::Result<Taken> {
    let begin = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak_megabytes = None;
    loop {
        // The high-water mark only rises, so the last reading is the highest.
        if let Ok(text) = std::fs::read_to_string(&status)
            && let Some(peak) = high_water_mark(&text)
        {
            peak_megabytes = Some(peak);
        }
        if let Some(exit) = child.try_wait()? {
            let milliseconds = begin.elapsed().as_secs_f64() * 1e3;
            if !exit.success() {
                let mut said = String::new();
                if let Some(mut errors) = child.stderr.take() {
                    io::Read::read_to_string(&mut errors, &mut said)?;
                }
                let program = command.get_program().display();
                return Err(io::Error::other(format!("{program} failed ({exit}): {said}")));
            }
            return Ok(Taken {
                milliseconds,
                peak_megabytes,
            });
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

fn high_water_mark(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes / 1e3)
}
