//! The workloads, and the schedules of seeds and files for them.

use std::io::ErrorKind;
use std::path::PathBuf;

use clap::ValueEnum;
use sim::ledger::Ledger;
use sim::{Profile, Schedule};

use crate::ProfileName;

/// The state machine that is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum WorkloadName {
    /// A key-value store, whose clients use sessions in a part of the seeds.
    #[default]
    Kv,
    /// The service's ledger of views.
    Ledger,
}

/// Runs the expression with the workload of this name.
macro_rules! with_workload {
    ($name:expr, |$workload:ident| $body:expr) => {
        match $name {
            $crate::workload::WorkloadName::Kv => {
                let $workload = &sim::kv::KeyValue;
                $body
            }
            $crate::workload::WorkloadName::Ledger => {
                let $workload = &sim::ledger::Ledger::new();
                $body
            }
        }
    };
}
pub(crate) use with_workload;

impl WorkloadName {
    const ALL: [Self; 2] = [Self::Kv, Self::Ledger];

    /// Returns the name as schedules and the command line write it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Kv => "kv",
            Self::Ledger => "ledger",
        }
    }

    /// Returns the schedule of a seed.
    pub(crate) fn schedule(self, profile: Profile, seed: u64) -> Schedule {
        match self {
            Self::Kv => profile.schedule(seed),
            Self::Ledger => Ledger::schedule(profile, seed),
        }
    }

    /// Returns the workload that a schedule is for; the default one, if it names none.
    fn of(schedule: &Schedule) -> Option<Self> {
        let named = |name: &Self| name.name() == schedule.machine;
        match schedule.machine.is_empty() {
            true => Some(Self::default()),
            false => Self::ALL.into_iter().find(named),
        }
    }
}

/// Why a schedule file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("there is no scenario \"{name}\"; sim scenario lists them")]
    NoScenario { name: String },
    #[error(
        "{what} is neither a seed nor a scenario (sim scenario lists them), and cannot be read as a file: {error}"
    )]
    Nothing { what: String, error: std::io::Error },
    #[error("{} cannot be read: {error}", path.display())]
    Read { path: PathBuf, error: std::io::Error },
    #[error("{}: {error}", path.display())]
    Schedule {
        path: PathBuf,
        error: sim::ScheduleError,
    },
    #[error("{}: the schedule is for the workload \"{wanted}\", but this command only has kv and ledger", path.display())]
    Unknown { path: PathBuf, wanted: String },
    #[error("{}: the schedule is for the workload {}, but --workload {} was given", path.display(), wanted.name(), asked.name())]
    Other {
        path: PathBuf,
        wanted: WorkloadName,
        asked: WorkloadName,
    },
}

/// Reads the schedule of a file, and finds the workload that it is for.
pub(crate) fn read_schedule(
    path: PathBuf,
    asked: Option<WorkloadName>,
) -> Result<(WorkloadName, Schedule), FileError> {
    match std::fs::read_to_string(&path) {
        Ok(text) => parse_schedule(path, &text, asked),
        Err(error) => Err(FileError::Read { path, error }),
    }
}

/// Parses the text of a file, or of a scenario under its name.
pub(crate) fn parse_schedule(
    path: PathBuf,
    text: &str,
    asked: Option<WorkloadName>,
) -> Result<(WorkloadName, Schedule), FileError> {
    let schedule = match Schedule::from_toml(text) {
        Ok(schedule) => schedule,
        Err(error) => return Err(FileError::Schedule { path, error }),
    };
    match (WorkloadName::of(&schedule), asked) {
        (None, _) => {
            let wanted = schedule.machine;
            Err(FileError::Unknown { path, wanted })
        }
        (Some(wanted), Some(asked)) if wanted != asked => Err(FileError::Other { path, wanted, asked }),
        (Some(wanted), _) => Ok((wanted, schedule)),
    }
}

/// Returns the schedule of the scenario of this name, as TOML.
pub(crate) fn scenario(name: &str) -> Option<&'static str> {
    let found = crate::scenario::ALL.iter().find(|(known, _)| *known == name);
    found.map(|(_, text)| *text)
}

/// Finds the schedule of a seed, a scenario or a file, and the workload that it is for.
pub(crate) fn find_schedule(
    what: &str,
    profile: ProfileName,
    asked: Option<WorkloadName>,
) -> Result<(WorkloadName, Schedule), FileError> {
    match what.parse() {
        Ok(seed) => {
            let workload = asked.unwrap_or_default();
            Ok((workload, workload.schedule(profile.into(), seed)))
        }
        Err(_) => match scenario(what) {
            Some(text) => parse_schedule(PathBuf::from(what), text, asked),
            None => read_schedule(PathBuf::from(what), asked).map_err(|error| match error {
                FileError::Read { error, .. } if error.kind() == ErrorKind::NotFound => FileError::Nothing {
                    what: what.to_owned(),
                    error,
                },
                other => other,
            }),
        },
    }
}
