//! The scenarios: named situations, each a schedule with a sentence of purpose. They are compiled into the program, so
//! that they are available in any folder.

use super::case::{FileError, parse};
use super::judge::judge;
use super::output::{print, program, say};
use super::subject::Subject;
use super::{Command, Ending};
use crate::Schedule;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The scenarios to run; without a name, all are listed. `replay`, `view` and `shrink` take these names
    /// as well.
    names: Vec<String>,
    /// Run all of them.
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// The workload to run them with.
    #[arg(long, value_name = "NAME")]
    workload: Option<String>,
    /// Print the schedule as TOML instead, to be edited and replayed.
    #[arg(long, requires = "names")]
    toml: bool,
}

macro_rules! scenarios {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../scenarios/", $name, ".toml")))),*]
    };
}

/// Names, and schedules as TOML.
const ALL: &[(&str, &str)] = scenarios![
    "bad_weather",
    "bridge",
    "broken_connections",
    "clock_jumps_back",
    "command_of_a_newer_program",
    "configuration_truncated",
    "crash_between_append_and_sync",
    "crash_during_snapshot",
    "deaf_leader",
    "failed_disk",
    "figure_8",
    "flapping_links",
    "forgotten_vote",
    "full_disk",
    "grow_from_one_server",
    "held_messages",
    "host_that_writes_at_once",
    "interrupted_first_start",
    "joint_configuration_outlives_its_leader",
    "lagging_follower",
    "late_timeout_now",
    "late_votes",
    "leader_crash",
    "leadership_transfer",
    "learner_counts_nowhere",
    "lost_write_in_the_middle",
    "lying_disk",
    "majority_wiped",
    "minority_lost_for_good",
    "mute_leader",
    "new_disk_admitted",
    "paused_leader",
    "phantom_pages",
    "power_cut",
    "promise_broken_within_budget",
    "read_after_a_round",
    "removed_while_away",
    "replace_a_server",
    "restored_backup",
    "rolling_upgrade",
    "rotten_record",
    "rotten_record_is_read",
    "rude_campaigns",
    "slow_disk",
    "slow_links",
    "torn_term_and_entries",
    "torn_write",
    "two_copies_of_a_folder",
    "wiped_disk",
    "wrong_clocks",
];

/// Returns the schedule of the scenario of this name, as TOML.
pub(super) fn text(name: &str) -> Option<&'static str> {
    let found = ALL.iter().find(|(known, _)| *known == name);
    found.map(|(_, text)| *text)
}

/// Returns the schedule of a scenario, made to fit the workload, and the workload.
pub(super) fn find<'a>(
    name: &str,
    command: &'a Command,
    asked: Option<&str>,
) -> Result<(&'a dyn Subject, Schedule), FileError> {
    let text = text(name).ok_or_else(|| FileError::NoScenario {
        name: name.to_owned(),
    })?;
    let (subject, schedule) = parse(name.into(), text, command, asked)?;
    Ok((subject, subject.fit(schedule)))
}

pub(super) fn run(arguments: &Arguments, command: &Command) -> Result<Ending, String> {
    let names: Vec<&str> = match arguments.all {
        true => ALL.iter().map(|(name, _)| *name).collect(),
        false => arguments.names.iter().map(String::as_str).collect(),
    };
    if names.is_empty() {
        return list(command).map_err(|error| error.to_string());
    }
    let endings = names
        .iter()
        .map(|name| run_one(name, arguments, command))
        .collect::<Result<Vec<_>, FileError>>();
    endings.map(Ending::worst).map_err(|error| error.to_string())
}

fn list(command: &Command) -> Result<Ending, FileError> {
    let width = ALL.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, text) in ALL {
        let (_, schedule) = parse(name.into(), text, command, None)?;
        say!("{name:width$}  {}", schedule.purpose);
    }
    let program = program();
    say!(
        "\n{program} scenario NAME runs one, {program} view NAME -o run.html shows it, {program} scenario NAME --toml prints its schedule"
    );
    Ok(Ending::Pass)
}

fn run_one(name: &str, arguments: &Arguments, command: &Command) -> Result<Ending, FileError> {
    if let Some(text) = text(name).filter(|_| arguments.toml) {
        print(format_args!("{text}"));
        return Ok(Ending::Pass);
    }
    let (subject, schedule) = find(name, command, arguments.workload.as_deref())?;
    let judged = judge(subject, &schedule, true).map_err(|error| FileError::Schedule {
        path: name.into(),
        error,
    })?;
    let Schedule { purpose, .. } = &schedule;
    say!("{name}: {purpose}");
    let report = &judged.report;
    let ending = match &judged.finding {
        None => Ending::Pass,
        Some(finding) => finding.ending,
    };
    match &judged.finding {
        None => say!("    as expected: {}", report.verdict(&schedule.expect)),
        Some(finding) => say!("    {}: {}", finding.oracle, finding.message),
    }
    say!(
        "    {} events in {} simulated, {} entries committed, {} elections, hash {:016x}",
        report.events,
        report.at,
        report.committed,
        report.elections,
        report.hash
    );
    Ok(ending)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_has_every_scenario_of_the_folder() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
        let entries = std::fs::read_dir(folder).expect("the folder is there");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("the folder can be read").path())
            .map(|path| {
                path.file_stem()
                    .expect("a file has a name")
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort_unstable();
        assert_eq!(names, ALL.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    }
}
