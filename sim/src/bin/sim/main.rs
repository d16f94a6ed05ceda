//! The `sim` command: sweeps over seeds, and replays of single runs.
#![warn(clippy::print_stdout, reason = "output::say checks the error")]

#[cfg(feature = "planted-bugs")]
mod bugs;
mod canaries;
mod elsewhere;
mod fuzz;
mod histories;
mod jobs;
mod merge;
mod output;
mod reduce;
mod replay;
mod results;
mod scenario;
mod shell;
mod soak;
mod store;
mod sweep;
mod view;
mod workload;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use sim::{Profile, Schedule};

use crate::workload::WorkloadName;

const AFTER_HELP: &str = "\
Examples:
  sim run --seeds 0..1000              a thousand random schedules; failing seeds with a line to paste
  sim run --seeds 0..1000 --json       the same for machines
  sim run --seeds 0..1000 --shard 1/4 --json > 1.json; sim merge *.json
                                       on four machines, and added up
  sim run --seeds 0..1000 --workload ledger
                                       the service's ledger instead of a key-value store
  sim soak --minutes 600 --jobs 8 -o night
                                       all night, seed after seed; started again it goes on
  sim fuzz --minutes 30 --jobs 8       the schedules that led to something new, changed and tried again
  sim replay 4711                      one aligned line per event of that seed's run
  sim scenario                         situations worth naming; each can be run, replayed and viewed by its name
  sim replay power_cut --node 2
  sim view 4711 -o run.html            a page to look at: lanes, messages, logs, causes; opens in any browser
  sim shrink 4711 -o case.toml         the few faults and operations that make the seed fail
  sim schedule 4711 > case.toml        the seed's schedule, to be edited and replayed
  sim store run --seeds 0..1000        the shipping store on a disk that tears, loses, rots and lies

Exit status:
  0  every run passed
  1  an oracle found a violation
  2  the command line or a schedule is invalid, or a file or standard output cannot be written
  3  the same schedule had two different outcomes
  4  a run was vacuous: nothing was committed, or what had to happen did not
A closed pipe (| head) changes none of these.";

/// Simulates clusters of the shipping Raft replica with every kind of fault, the same way for the same seed.
#[derive(Parser)]
#[command(name = "sim", version, after_help = AFTER_HELP, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the schedules of a range of seeds, or of files, and judges each.
    Run(sweep::Arguments),
    /// Runs seeds until it is stopped, in pieces that survive an interruption.
    Soak(soak::Arguments),
    /// Searches by changing the schedules that led to something new.
    Fuzz(fuzz::Arguments),
    /// Adds up the results of the parts of a sweep (`sim run --shard K/N --json`).
    Merge(merge::Arguments),
    /// Runs named situations, or lists them.
    Scenario(scenario::Arguments),
    /// Runs one schedule and prints every event.
    Replay(replay::Arguments),
    /// Writes what the clients of many runs saw, for other checkers.
    Histories(histories::Arguments),
    /// Writes one run as an HTML page, or as a trace for ShiViz or Perfetto.
    View(view::Arguments),
    /// Removes everything that a failing run does not need to fail.
    Shrink(reduce::Arguments),
    /// Runs the shipping store on a simulated disk of bytes that tears, loses, rots and lies.
    Store(store::Arguments),
    /// Measures how soon each bug of the bank of planted bugs is found.
    #[cfg(feature = "planted-bugs")]
    Bugs(bugs::Arguments),
    /// Measures how soon planted bugs are found; this build has none.
    #[cfg(not(feature = "planted-bugs"))]
    #[command(disable_help_flag = true)]
    Bugs {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        _ignored: Vec<String>,
    },
    /// Prints the schedule of a seed as TOML.
    Schedule {
        /// The seed.
        seed: u64,
        /// The kind of schedule that the seed gives.
        #[arg(long, value_enum, default_value_t)]
        profile: ProfileName,
        /// The state machine that the schedule is for.
        #[arg(long, value_enum, default_value_t)]
        workload: WorkloadName,
    },
}

/// The kind of schedule that a seed gives.
#[derive(Clone, Copy, Default, ValueEnum)]
enum ProfileName {
    /// Sizes, settings, weather and faults are all drawn.
    #[default]
    Swarm,
    /// Default settings and good weather.
    Calm,
    /// Everything at once, as often and as strong as it gets.
    Hell,
    /// The benchmark's schedule.
    Bench,
}

impl ProfileName {
    /// Returns the name as it is written on the command line.
    const fn name(self) -> &'static str {
        match self {
            Self::Swarm => "swarm",
            Self::Calm => "calm",
            Self::Hell => "hell",
            Self::Bench => "bench",
        }
    }
}

impl From<ProfileName> for Profile {
    fn from(name: ProfileName) -> Self {
        match name {
            ProfileName::Swarm => Self::Swarm,
            ProfileName::Calm => Self::Calm,
            ProfileName::Hell => Self::Hell,
            ProfileName::Bench => Self::Bench,
        }
    }
}

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    Pass = 0,
    Violation = 1,
    Usage = 2,
    Nondeterminism = 3,
    Vacuous = 4,
}

fn main() -> ExitCode {
    output::note_panics();
    let _printed = output::Unwinding;
    let ending = match Arguments::try_parse() {
        Ok(arguments) => run(arguments.command),
        // A request for help is such an error, too, and goes to standard output.
        Err(error) => {
            let printed = error.print();
            match error.use_stderr() {
                true => Ending::Usage,
                false => {
                    output::is_open(printed);
                    Ending::Pass
                }
            }
        }
    };
    output::flush();
    ExitCode::from(ending as u8)
}

fn run(command: Command) -> Ending {
    match command {
        Command::Run(arguments) => sweep::run(&arguments),
        Command::Soak(arguments) => soak::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Merge(arguments) => merge::run(&arguments),
        Command::Scenario(arguments) => scenario::run(&arguments),
        Command::Replay(arguments) => replay::run(arguments),
        Command::Histories(arguments) => histories::run(&arguments),
        Command::View(arguments) => view::run(&arguments),
        Command::Shrink(arguments) => reduce::run(&arguments),
        Command::Store(arguments) => store::run(&arguments),
        #[cfg(feature = "planted-bugs")]
        Command::Bugs(arguments) => bugs::run(&arguments),
        #[cfg(not(feature = "planted-bugs"))]
        Command::Bugs { .. } => {
            eprintln!(
                "sim: this build has no planted bugs; to build and run one that has, use cargo sim-planted bugs"
            );
            Ending::Usage
        }
        Command::Schedule {
            seed,
            profile,
            workload,
        } => print_schedule(&workload.schedule(profile.into(), seed)),
    }
}

fn print_schedule(schedule: &Schedule) -> Ending {
    match schedule.to_toml() {
        Ok(text) => {
            output::print(format_args!("{text}"));
            Ending::Pass
        }
        Err(error) => {
            eprintln!("sim: {error}");
            Ending::Usage
        }
    }
}
