//! The command: sweeps over seeds, replays of single runs, and everything else that is done with a workload.
#![warn(clippy::print_stdout, reason = "output::say checks the error")]

#[cfg(feature = "planted-bugs")]
mod bugs;
mod canaries;
mod case;
mod elsewhere;
mod ending;
mod findings;
mod fuzz;
mod histories;
mod jobs;
mod judge;
mod merge;
mod output;
mod plant;
mod progress;
mod replay;
mod results;
mod scenario;
mod seeds;
mod shell;
mod shrink;
mod soak;
mod store;
mod subject;
mod sweep;
mod view;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{CommandFactory, FromArgMatches};

use self::ending::Ending;
use self::subject::Subject;
use crate::Profile;
#[cfg(feature = "planted-bugs")]
use crate::planted::Bug;
use crate::store::StoreUnderTest;
use crate::workload::Workload;

/// Runs the whole command with this workload, on the arguments of the process, and returns its exit status: `run`,
/// `replay`, `view`, `shrink`, `fuzz`, `soak`, `histories`, `scenario`, `schedule`, `merge`, and in builds with planted
/// bugs `bugs`.
///
/// ```no_run
/// # struct Adding;
/// # impl sim::Workload for Adding {
/// #     type Machine = <sim::kv::KeyValue as sim::Workload>::Machine;
/// #     fn machine(&self, plan: &sim::schedule::WorkloadPlan) -> Self::Machine {
/// #         sim::kv::KeyValue.machine(plan)
/// #     }
/// #     fn command(&self, call: &sim::Call) -> Vec<u8> {
/// #         sim::kv::KeyValue.command(call)
/// #     }
/// #     fn query(&self, choice: u64) -> u64 {
/// #         choice
/// #     }
/// # }
/// fn main() -> std::process::ExitCode {
///     sim::main(Adding)
/// }
/// ```
pub fn main<W: Workload + Send + Sync + 'static>(workload: W) -> ExitCode {
    Command::new(workload).main()
}

/// The command, for one workload or for several. The program `sim` is one for the key-value store [`crate::kv`].
///
/// Panics of the simulated code are findings. So while the command runs, a hook keeps them from being printed.
#[must_use = "a command does nothing until it is run"]
pub struct Command {
    name: Option<String>,
    about: String,
    subjects: Vec<Box<dyn Subject>>,
    store: Option<Box<dyn StoreUnderTest + Send>>,
    #[cfg(feature = "planted-bugs")]
    bank: Vec<&'static Bug>,
}

impl Command {
    /// Returns the command for a workload. Where a schedule and the command line name no workload, it is this one.
    pub fn new<W: Workload + Send + Sync + 'static>(workload: W) -> Self {
        Self {
            name: None,
            about: "Simulates clusters of a replicated state machine with every kind of fault, the same way for the same seed."
                .to_owned(),
            subjects: vec![Box::new(workload)],
            store: None,
            #[cfg(feature = "planted-bugs")]
            bank: crate::planted::bank().collect(),
        }
    }

    /// Adds a workload that `--workload` can name, by its [`Workload::name`].
    pub fn workload<W: Workload + Send + Sync + 'static>(mut self, workload: W) -> Self {
        self.subjects.push(Box::new(workload));
        self
    }

    /// Says how the command is called in lines to paste. Without a name these lines begin with the path by which the
    /// program was started.
    pub fn name(self, name: &str) -> Self {
        Self {
            name: Some(name.to_owned()),
            ..self
        }
    }

    /// Says in a sentence what the command simulates, for `--help`.
    pub fn about(self, sentence: &str) -> Self {
        Self {
            about: sentence.to_owned(),
            ..self
        }
    }

    /// Adds `store`: sweeps, replays and shrinking of a store on a simulated disk (see [`crate::store`]).
    pub fn store<S: StoreUnderTest + Send + 'static>(self, store: S) -> Self {
        Self {
            store: Some(Box::new(store)),
            ..self
        }
    }

    /// Searches for the bugs of this bank instead of those of the library. Bugs of the family "store" are searched for
    /// with the command's store, and all others with its first workload.
    #[cfg(feature = "planted-bugs")]
    pub fn bugs(self, bank: &[&'static Bug]) -> Self {
        Self {
            bank: bank.to_vec(),
            ..self
        }
    }

    /// Runs the command on the arguments of the process.
    pub fn main(self) -> ExitCode {
        self.run(std::env::args_os())
    }

    /// Runs the command on these arguments, the first of which is the path of the program.
    pub fn run(self, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        let started = arguments
            .first()
            .map_or_else(|| "sim".into(), |path| path.to_string_lossy());
        let name = self.name.clone().unwrap_or_else(|| shell::word(&started));
        output::note_panics();
        let _printed = output::Unwinding;
        let ending = output::named(name, || match self.parsed(&arguments) {
            Ok(asked) => self.carry_out(asked).unwrap_or_else(|message| {
                output::complain(&message);
                Ending::Usage
            }),
            Err(ending) => ending,
        });
        output::flush();
        ExitCode::from(ending as u8)
    }

    /// Parses the arguments, or prints why they are invalid. A request for help is such an error, too, and goes to
    /// standard output.
    fn parsed(&self, arguments: &[OsString]) -> Result<Asked, Ending> {
        let parsed = self.grammar().try_get_matches_from(arguments);
        let asked = parsed.and_then(|matches| Arguments::from_arg_matches(&matches));
        asked.map(|arguments| arguments.asked).map_err(|error| {
            let printed = error.print();
            match error.use_stderr() {
                true => Ending::Usage,
                false => {
                    output::is_open(printed);
                    Ending::Pass
                }
            }
        })
    }

    /// The grammar of the arguments, with what this command has.
    fn grammar(&self) -> clap::Command {
        let names: Vec<&'static str> = self.subjects.iter().map(|subject| subject.name()).collect();
        let has_store = self.store.is_some();
        let complete = |command: clap::Command| {
            let command = command.mut_args(|argument| match argument.get_id().as_str() {
                "workload" => argument
                    .value_parser(PossibleValuesParser::new(names.iter().copied()))
                    .hide(names.len() < 2),
                _ => argument,
            });
            let help = command.get_after_help().map(ToString::to_string);
            match help {
                Some(help) => command.after_help(output::renamed(&help)),
                None => command,
            }
        };
        let command = complete(Arguments::command())
            .bin_name(output::program())
            .about(self.about.clone());
        command.mut_subcommands(|command| {
            let is_store = command.get_name() == "store";
            complete(command).hide(is_store && !has_store)
        })
    }

    fn carry_out(&self, asked: Asked) -> Result<Ending, String> {
        tell_of_a_slow_build(&asked);
        match asked {
            Asked::Run(arguments) => sweep::run(&arguments, self),
            Asked::Soak(arguments) => soak::run(&arguments, self),
            Asked::Fuzz(arguments) => fuzz::run(&arguments, self),
            Asked::Merge(arguments) => merge::run(&arguments),
            Asked::Scenario(arguments) => scenario::run(&arguments, self),
            Asked::Replay(arguments) => replay::run(&arguments, self),
            Asked::Histories(arguments) => histories::run(&arguments, self),
            Asked::View(arguments) => view::run(&arguments, self),
            Asked::Shrink(arguments) => shrink::run(&arguments, self),
            Asked::Store(arguments) => match &self.store {
                Some(store) => store::run(&arguments, &**store, self),
                None => Err("this command has no store to simulate".to_owned()),
            },
            #[cfg(feature = "planted-bugs")]
            Asked::Bugs(arguments) => bugs::run(&arguments, self),
            #[cfg(not(feature = "planted-bugs"))]
            Asked::Bugs { .. } => Err(
                "this build has no planted bugs; build it with the feature planted-bugs (here: cargo sim-planted bugs)"
                    .to_owned(),
            ),
            Asked::Schedule(arguments) => arguments.print(self),
        }
    }

    /// Returns the workload of this name; the first one, if none is named.
    fn subject(&self, name: Option<&str>) -> Option<&dyn Subject> {
        let mut subjects = self.subjects.iter().map(AsRef::as_ref);
        subjects.find(|subject| name.is_none_or(|name| subject.name() == name))
    }

    /// The workload that an option names.
    fn chosen(&self, name: Option<&str>) -> Result<&dyn Subject, String> {
        self.subject(name)
            .ok_or_else(|| format!("there is no workload {}", name.unwrap_or_default()))
    }

    /// The names of all workloads, for a sentence.
    fn names(&self) -> String {
        let names: Vec<&str> = self.subjects.iter().map(|subject| subject.name()).collect();
        names.join(" and ")
    }

    #[cfg(feature = "planted-bugs")]
    fn find_bug(&self, name: &str) -> Result<&'static Bug, String> {
        let mut all = (self.bank.iter()).chain(crate::planted::unrepeatable::BANK);
        let found = all.find(|bug| bug.name == name).copied();
        found.ok_or_else(|| {
            format!(
                "there is no bug {name}; {} bugs --list shows them",
                output::program()
            )
        })
    }
}

/// Says that the build is slow, before a command that takes long.
fn tell_of_a_slow_build(asked: &Asked) {
    let is_long = matches!(
        asked,
        Asked::Run(_) | Asked::Soak(_) | Asked::Fuzz(_) | Asked::Histories(_) | Asked::Shrink(_)
    );
    if is_long {
        crate::unoptimised::tell();
    }
}

const AFTER_HELP: &str = "\
Examples:
  sim run --seeds 0..1000              a thousand random schedules; failing seeds with a line to paste
  sim run --seeds 0..1000 --json       the same for machines
  sim run --seeds 0..1000 --shard 1/4 --json > 1.json; sim merge *.json
                                       on four machines, and added up
  sim soak --minutes 600 --jobs 8 -o night
                                       all night, seed after seed; started again it goes on
  sim fuzz --minutes 30 --jobs 8       the schedules that led to something new, changed and tried again
  sim replay 4711                      one aligned line per event of that seed's run
  sim scenario                         situations worth naming; each can be run, replayed and viewed by its name
  sim replay power_cut --node 2
  sim view 4711 -o run.html            a page to look at: lanes, messages, logs, causes; opens in any browser
  sim shrink 4711 -o case.toml         the few faults and operations that make the seed fail
  sim schedule 4711 > case.toml        the seed's schedule, to be edited and replayed

Exit status:
  0  every run passed
  1  an oracle found a violation
  2  the command line or a schedule is invalid, or a file or standard output cannot be written
  3  the same schedule had two different outcomes
  4  a run was vacuous: nothing was committed, or what had to happen did not
A closed pipe (| head) changes none of these.";

#[derive(clap::Parser)]
#[command(name = "sim", version, after_help = AFTER_HELP, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    asked: Asked,
}

#[derive(clap::Subcommand)]
enum Asked {
    /// Runs the schedules of a range of seeds, or of files, and judges each.
    Run(sweep::Arguments),
    /// Runs seeds until it is stopped, in pieces that survive an interruption.
    Soak(soak::Arguments),
    /// Searches by changing the schedules that led to something new.
    Fuzz(fuzz::Arguments),
    /// Adds up the results of the parts of a sweep (`run --shard K/N --json`).
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
    Shrink(shrink::Arguments),
    /// Runs the store on a simulated disk of bytes that tears, loses, rots and lies.
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
    Schedule(Printed),
}

#[derive(clap::Args)]
struct Printed {
    /// The seed.
    seed: u64,
    /// The kind of schedule that the seed gives.
    #[arg(long, value_enum, default_value_t)]
    profile: Profile,
    /// The workload that the schedule is for.
    #[arg(long, value_name = "NAME")]
    workload: Option<String>,
}

impl Printed {
    fn print(&self, command: &Command) -> Result<Ending, String> {
        let subject = command.chosen(self.workload.as_deref())?;
        let schedule = subject.schedule(self.profile, self.seed);
        let text = schedule.to_toml().map_err(|error| error.to_string())?;
        output::print(format_args!("{text}"));
        Ok(Ending::Pass)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::KeyValue;

    #[test]
    fn the_grammar_is_sound_whatever_the_command_has() {
        Command::new(KeyValue).grammar().debug_assert();
        Command::new(KeyValue).workload(KeyValue).grammar().debug_assert();
    }
}
