//! A command's time and peak memory, watched from outside, the same way for both sides.

use std::io;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a run took.
#[derive(Clone, Copy)]
pub(super) struct Taken {
    pub(super) milliseconds: f64,
    /// The most memory that was resident at once, as Linux tells it (`VmHWM`); none elsewhere.
    pub(super) peak_megabytes: Option<f64>,
}

impl Taken {
    /// The better of two runs, each figure for itself.
    pub(super) fn best(self, other: Self) -> Self {
        Self {
            milliseconds: self.milliseconds.min(other.milliseconds),
            peak_megabytes: match (self.peak_megabytes, other.peak_megabytes) {
                // A run that was over before it could be asked says nothing; the larger reading is the truer one.
                (Some(one), Some(two)) => Some(one.max(two)),
                (one, two) => one.or(two),
            },
        }
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
