//! `view`: writes a run as an HTML page, or as a trace for other viewers.

mod export;
mod page;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::case::{Case, Found};
use super::output::say;
use super::{Command, Ending};
use crate::recording::Recording;
use crate::{Report, Schedule};

const AFTER_HELP: &str = "\
The page is one file that needs no network and no server: open it in any browser, keep it, mail it. It has a lane for each
server and client, messages as arrows, faults as bands, and shows for every event what caused it and what it led to, and how
all logs looked then. Its address names the event that is selected, so a link to the file leads to an instant.

Examples:
  sim view 4711 -o run.html                          the run of a seed
  sim view sim/scenarios/figure_8.toml -o run.html   the run of a schedule
  sim view 4711 --shiviz run.log                     for https://bestchai.bitbucket.io/shiviz/; paste the expression of its first line
  sim view 4711 --perfetto run.json                  for https://ui.perfetto.dev or chrome://tracing

Exit status: 0 the page is written, whatever the outcome of the run; 2 it could not be.";

#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    #[command(flatten)]
    case: Case,
    /// Where to write the page.
    #[arg(short, long, value_name = "FILE", required_unless_present_any = ["shiviz", "perfetto"])]
    output: Option<PathBuf>,
    /// Write the events with vector clocks, as ShiViz reads them.
    #[arg(long, value_name = "FILE")]
    shiviz: Option<PathBuf>,
    /// Write roles, messages and faults as a Chrome trace (JSON), as Perfetto reads it.
    #[arg(long, value_name = "FILE")]
    perfetto: Option<PathBuf>,
}

/// A recorded run with what a reader wants to know about it.
struct Filmed<'a> {
    name: String,
    command: String,
    schedule: &'a Schedule,
    report: Report,
    recording: Recording,
}

/// Writes a run in one of the formats.
type Writer = fn(&Filmed<'_>, &mut dyn Write) -> std::io::Result<()>;

pub(super) fn run(arguments: &Arguments, command: &Command) -> Result<Ending, String> {
    let Found {
        subject,
        schedule,
        planting,
    } = arguments.case.find(command)?;
    let _planted = planting.plant();
    let writers: [(_, Writer); 3] = [
        (&arguments.output, page::write),
        (&arguments.shiviz, export::shiviz),
        (&arguments.perfetto, export::perfetto),
    ];
    let cannot_be_written = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| format!("{path} cannot be written: {error}")
    };
    // Checked before the run, which may take long, so that a mistyped folder is reported at once.
    let mut files = Vec::new();
    for (path, write) in writers {
        if let Some(path) = path {
            files.push((path, File::create(path).map_err(cannot_be_written(path))?, write));
        }
    }
    let (report, recording) = subject.film(&schedule).map_err(|error| error.to_string())?;
    let filmed = Filmed {
        name: arguments.case.title(),
        command: arguments.case.line("view", subject, command),
        schedule: &schedule,
        report,
        recording,
    };
    for (path, file, write) in files {
        let mut file = BufWriter::new(file);
        write(&filmed, &mut file)
            .and_then(|()| file.flush())
            .map_err(cannot_be_written(path))?;
        say!(
            "{}: {} events of {}",
            path.display(),
            filmed.report.events,
            filmed.name
        );
    }
    Ok(Ending::Pass)
}
