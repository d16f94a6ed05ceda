//! One schedule: of a seed, of a scenario, or of a file, and the workload that it is for.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::plant::{Plant, Planting};
use super::subject::Subject;
use super::{Command, output, scenario, shell};
use crate::{Profile, Schedule, ScheduleError};

/// The options that name one run.
#[derive(clap::Args)]
pub(super) struct Case {
    /// A seed, a scenario, or the file of a schedule.
    #[arg(value_name = "SEED|SCENARIO|FILE")]
    what: String,
    /// The kind of schedule that a seed gives.
    #[arg(long, value_enum, default_value_t)]
    profile: Profile,
    /// The workload of a seed's schedule; a file names its own.
    #[arg(long, value_name = "NAME")]
    workload: Option<String>,
    #[command(flatten)]
    plant: Plant,
}

/// A schedule and what it is run with.
pub(super) struct Found<'a> {
    pub(super) subject: &'a dyn Subject,
    pub(super) schedule: Schedule,
    pub(super) planting: Planting,
}

impl Case {
    /// Finds the schedule of a seed, a scenario or a file, and the workload that it is for.
    pub(super) fn find<'a>(&self, command: &'a Command) -> Result<Found<'a>, String> {
        let planting = self.plant.find(command)?;
        let asked = self.workload.as_deref();
        let (subject, schedule) = match self.what.parse() {
            Ok(seed) => {
                let subject = command.chosen(asked)?;
                (subject, subject.schedule(self.profile, seed))
            }
            Err(_) => self.named(command, asked).map_err(|error| error.to_string())?,
        };
        Ok(Found {
            subject,
            schedule,
            planting,
        })
    }

    fn named<'a>(
        &self,
        command: &'a Command,
        asked: Option<&str>,
    ) -> Result<(&'a dyn Subject, Schedule), FileError> {
        let path = PathBuf::from(&self.what);
        if scenario::text(&self.what).is_some() {
            return scenario::find(&self.what, command, asked);
        }
        read(path, command, asked).map_err(|error| match error {
            FileError::Read { error, .. } if error.kind() == ErrorKind::NotFound => FileError::Nothing {
                what: self.what.clone(),
                error,
            },
            other => other,
        })
    }

    /// Returns a command line that does this with the same run.
    pub(super) fn line(&self, subcommand: &str, subject: &dyn Subject, command: &Command) -> String {
        let mut line = format!("{} {subcommand} {}", output::program(), shell::word(&self.what));
        if self.what.parse::<u64>().is_ok() {
            line += &shell::words_of_seed(self.profile, subject, command);
        }
        line + &self.plant.find(command).unwrap_or_default().words()
    }

    /// Returns the title of the run: its seed, or its file without the folders.
    pub(super) fn title(&self) -> String {
        match self.what.parse::<u64>() {
            Ok(seed) => format!("seed {seed}"),
            Err(_) => Path::new(&self.what).file_stem().map_or_else(
                || self.what.clone(),
                |stem| stem.to_string_lossy().replace('_', " "),
            ),
        }
    }
}

/// Why a schedule file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("there is no scenario \"{name}\"; {} scenario lists them", output::program())]
    NoScenario { name: String },
    #[error(
        "{what} is neither a seed nor a scenario ({} scenario lists them), and cannot be read as a file: {error}",
        output::program()
    )]
    Nothing { what: String, error: std::io::Error },
    #[error("{} cannot be read: {error}", path.display())]
    Read { path: PathBuf, error: std::io::Error },
    #[error("{}: {error}", path.display())]
    Schedule { path: PathBuf, error: ScheduleError },
    #[error("{}: the schedule is for the workload \"{wanted}\", but this command only has {known}", path.display())]
    Unknown {
        path: PathBuf,
        wanted: String,
        known: String,
    },
    #[error("{}: the schedule is for the workload {wanted}, but --workload {asked} was given", path.display())]
    Other {
        path: PathBuf,
        wanted: String,
        asked: String,
    },
}

/// Reads the schedule of a file, and finds the workload that it is for.
pub(super) fn read<'a>(
    path: PathBuf,
    command: &'a Command,
    asked: Option<&str>,
) -> Result<(&'a dyn Subject, Schedule), FileError> {
    match std::fs::read_to_string(&path) {
        Ok(text) => parse(path, &text, command, asked),
        Err(error) => Err(FileError::Read { path, error }),
    }
}

/// Parses the text of a file, or of a scenario under its name. A schedule that names no workload is for the first one,
/// or for the one that was asked for.
pub(super) fn parse<'a>(
    path: PathBuf,
    text: &str,
    command: &'a Command,
    asked: Option<&str>,
) -> Result<(&'a dyn Subject, Schedule), FileError> {
    let schedule = match Schedule::from_toml(text) {
        Ok(schedule) => schedule,
        Err(error) => return Err(FileError::Schedule { path, error }),
    };
    let wanted = Some(schedule.machine.as_str()).filter(|name| !name.is_empty());
    let Some(subject) = command.subject(wanted.or(asked)) else {
        return Err(FileError::Unknown {
            path,
            wanted: schedule.machine,
            known: command.names(),
        });
    };
    match asked {
        Some(asked) if asked != subject.name() => Err(FileError::Other {
            path,
            wanted: schedule.machine,
            asked: asked.to_owned(),
        }),
        _ => Ok((subject, schedule)),
    }
}
