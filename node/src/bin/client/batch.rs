//! Works on several files in one command, one after the other, with a progress bar and a summary.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use indicatif::{ProgressBar, ProgressStyle};
use node::client::{ErrorClass, files};
use serde_json::json;

use super::arguments;
use super::report::Speaker;
use super::{Failure, exit_status};

/// The result for one file that did not fail.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Done,
    Denied,
}

#[derive(Default)]
struct Summary {
    done: usize,
    denied: usize,
    failed: usize,
    not_tried: usize,
    /// The exit status of the first file that was not done.
    status: u8,
}

/// Ends the program with a usage error if several files have one output.
pub(super) fn check(command: &str, inputs: &[PathBuf], has_folder: bool) {
    if inputs.len() > 1 && !has_folder {
        let message = "several files need --output-dir FOLDER, where each gets a name of its own";
        arguments::refuse(command, ErrorKind::MissingRequiredArgument, message);
    }
    if inputs.iter().filter(|input| input.as_os_str() == "-").count() > 1 {
        let message = "standard input (`-`) can be read only once";
        arguments::refuse(command, ErrorKind::ArgumentConflict, message);
    }
}

/// Works on each file. A failure does not stop the others, unless they would fail in the same way.
pub(super) async fn run(
    inputs: &[PathBuf],
    speaker: &Speaker,
    what: &str,
    mut work: impl AsyncFnMut(&Path, &Speaker) -> Result<Ended, Failure>,
) -> Result<ExitCode, Failure> {
    if let [input] = inputs {
        return Ok(ExitCode::from(match work(input, speaker).await? {
            Ended::Done => 0,
            Ended::Denied => exit_status(ErrorClass::Denied),
        }));
    }
    let speaker = speaker.clone().with_progress(bar(inputs.len()));
    let mut summary = Summary::default();
    for (number, input) in inputs.iter().enumerate() {
        speaker.show_progress(number, &files::shown(input));
        let status = match work(input, &speaker).await {
            Ok(Ended::Done) => {
                summary.done += 1;
                0
            }
            Ok(Ended::Denied) => {
                summary.denied += 1;
                exit_status(ErrorClass::Denied)
            }
            Err(failure) => {
                summary.failed += 1;
                failure.report(&speaker, Some(input));
                let hopeless = matches!(failure.class, ErrorClass::Unavailable | ErrorClass::Usage);
                if hopeless {
                    summary.not_tried = inputs.len() - number - 1;
                }
                exit_status(failure.class)
            }
        };
        if summary.status == 0 {
            summary.status = status;
        }
        if summary.not_tried > 0 {
            break;
        }
    }
    speaker.end_progress();
    speaker.print(&json!({
        "outcome": "summary",
        "files": inputs.len(),
        "done": summary.done,
        "denied": summary.denied,
        "failed": summary.failed,
        "not_tried": summary.not_tried,
    }));
    speaker.say(&summary.text(inputs.len(), what));
    Ok(ExitCode::from(summary.status))
}

impl Summary {
    fn text(&self, files: usize, what: &str) -> String {
        let mut text = format!("{} of {files} files {what}", self.done);
        for (count, how) in [
            (self.denied, "denied"),
            (self.failed, "failed"),
            (self.not_tried, "not tried"),
        ] {
            if count > 0 {
                text.push_str(&format!(", {count} {how}"));
            }
        }
        text.push('.');
        text
    }
}

/// Returns a bar on standard error, which is hidden when that is not a terminal.
fn bar(files: usize) -> ProgressBar {
    let bar = ProgressBar::new(files as u64);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {wide_msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
