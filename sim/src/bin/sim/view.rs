//! `sim view`: writes a run as an HTML page, or as a trace for other viewers.

mod export;
mod page;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use sim::recording::{Recording, film};
use sim::{Report, Schedule, Workload};

use crate::output::say;
use crate::workload::{WorkloadName, find_schedule, with_workload};
use crate::{Ending, ProfileName, shell};

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

impl Arguments {
    /// Returns the command that shows this run again.
    fn command(&self, workload: WorkloadName) -> String {
        let mut command = format!("sim view {}", shell::word(&self.what));
        if self.what.parse::<u64>().is_ok() {
            command += &shell::words_of_seed(self.profile, workload);
        }
        #[cfg(feature = "planted-bugs")]
        for word in self.plant.arguments() {
            command = command + " " + &word;
        }
        command
    }
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

pub(crate) fn run(arguments: &Arguments) -> Ending {
    #[cfg(feature = "planted-bugs")]
    let _planted = arguments.plant.plant();
    let written = find_schedule(&arguments.what, arguments.profile, arguments.workload)
        .map_err(|error| error.to_string())
        .and_then(|(workload, schedule)| {
            let command = arguments.command(workload);
            with_workload!(workload, |machine| view(&schedule, machine, arguments, command))
        });
    match written {
        Ok(()) => Ending::Pass,
        Err(message) => {
            eprintln!("sim: {message}");
            Ending::Usage
        }
    }
}

fn view<W: Workload>(
    schedule: &Schedule,
    workload: &W,
    arguments: &Arguments,
    command: String,
) -> Result<(), String> {
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
    let (report, recording) = film(schedule, workload).map_err(|error| error.to_string())?;
    let filmed = Filmed {
        name: name_of(&arguments.what),
        command,
        schedule,
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
    Ok(())
}

/// Returns the title of a run: its seed, or its file without the folders.
fn name_of(what: &str) -> String {
    match what.parse::<u64>() {
        Ok(seed) => format!("seed {seed}"),
        Err(_) => Path::new(what).file_stem().map_or_else(
            || what.to_owned(),
            |stem| stem.to_string_lossy().replace('_', " "),
        ),
    }
}
