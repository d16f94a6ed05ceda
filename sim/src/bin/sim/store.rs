//! `sim store`: runs the shipping store on a simulated disk of bytes.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use sim::store::{self, StoreReport, StoreSchedule};

use crate::jobs::on_every_job;
use crate::output::say;
use crate::reduce::can_be_written;
use crate::results::counted;
use crate::sweep::seeds;
use crate::{Ending, output, shell};

/// How many seeds pass between two that are run twice, to compare the hashes.
const TWICE_EVERY: u64 = 64;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Runs the schedules of a range of seeds, or of files, and judges each.
    Run(Run),
    /// Runs one schedule, and prints every call to the disk and every answer of the store.
    Replay(Case),
    /// Removes everything that a failing run does not need to fail.
    Shrink {
        #[command(flatten)]
        case: Case,
        /// Where to write the small schedule; standard output otherwise.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Prints the schedule of a seed as TOML, to be edited and replayed.
    Schedule {
        /// The seed.
        seed: u64,
    },
}

/// One schedule, and the bug that is planted in the store.
#[derive(clap::Args)]
struct Case {
    /// A seed, or the file of a schedule.
    #[arg(value_name = "SEED|FILE")]
    what: String,
    #[cfg(feature = "planted-bugs")]
    #[command(flatten)]
    plant: crate::bugs::Plant,
}

#[derive(clap::Args)]
struct Run {
    /// The seeds, from the first up to but not including the last.
    #[arg(long, value_name = "A..B", value_parser = seeds, required_unless_present = "files")]
    seeds: Option<Range<u64>>,
    /// Schedule files to run instead of seeds.
    #[arg(conflicts_with = "seeds")]
    files: Vec<PathBuf>,
    /// How many runs to make at once.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=256))]
    jobs: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Ending {
    let ended = match &arguments.command {
        Command::Run(arguments) => sweep(arguments),
        Command::Replay(case) => replay(case),
        Command::Shrink { case, output } => shrink(case, output.as_deref()),
        Command::Schedule { seed } => text_of(&StoreSchedule::of(*seed)).map(|text| {
            output::print(format_args!("{text}"));
            Ending::Pass
        }),
    };
    ended.unwrap_or_else(|message| {
        eprintln!("sim: {message}");
        Ending::Usage
    })
}

fn text_of(schedule: &StoreSchedule) -> Result<String, String> {
    schedule.to_toml().map_err(|error| error.to_string())
}

fn read(path: &Path) -> Result<StoreSchedule, String> {
    let place = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{place} cannot be read: {error}"))?;
    if !StoreSchedule::is_in(&text) {
        return Err(format!(
            "{place} is not a schedule of the store, whose first line is profile = \"store\"; use sim replay for schedules of clusters"
        ));
    }
    StoreSchedule::from_toml(&text).map_err(|error| format!("{place}: {error}"))
}

fn find(what: &str) -> Result<StoreSchedule, String> {
    what.parse()
        .map_or_else(|_| read(Path::new(what)), |seed| Ok(StoreSchedule::of(seed)))
}

fn replay(case: &Case) -> Result<Ending, String> {
    #[cfg(feature = "planted-bugs")]
    let _planted = case.plant.plant();
    let schedule = find(&case.what)?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut is_open = true;
    let report = store::replay(&schedule, &mut |line| {
        is_open = is_open && output::is_open(writeln!(out, "{line}"));
    });
    let again = store::run(&schedule);
    let (ending, line) = match &report.violation {
        _ if again.hash != report.hash => (
            Ending::Nondeterminism,
            "a second run of the same schedule had another outcome".to_owned(),
        ),
        None => (Ending::Pass, "passed".to_owned()),
        Some(violation) => (
            Ending::Violation,
            format!("violation of {violation}\n{}", violation.oracle.description()),
        ),
    };
    if is_open {
        let StoreReport {
            operations,
            acknowledged,
            opened,
            crashes,
            errors,
            hash,
            ..
        } = report;
        let written = writeln!(
            out,
            "{line}\n{operations} calls that change the disk, {acknowledged} groups acknowledged, {opened} starts, {crashes} crashes, {errors} errors, hash {hash:016x}"
        );
        output::is_open(written.and_then(|()| out.flush()));
    }
    Ok(ending)
}

fn shrink(case: &Case, output: Option<&Path>) -> Result<Ending, String> {
    #[cfg(feature = "planted-bugs")]
    let _planted = case.plant.plant();
    can_be_written(output)?;
    let schedule = find(&case.what)?;
    let Some(shrunk) = store::shrink(&schedule) else {
        eprintln!("sim: this run finds no violation, so there is nothing to shrink");
        return Ok(Ending::Pass);
    };
    let text = text_of(&shrunk.schedule)?;
    match output {
        None => output::print(format_args!("{text}")),
        Some(path) => {
            std::fs::write(path, text)
                .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
        }
    }
    eprintln!(
        "{}: {} of {} items are left after {} runs",
        shrunk.oracle,
        shrunk.schedule.items(),
        schedule.items(),
        shrunk.runs
    );
    Ok(Ending::Pass)
}

/// A run that did not pass.
struct Failure {
    /// The argument of `sim store replay`.
    what: String,
    oracle: String,
    message: String,
    ending: Ending,
}

/// The totals of all runs.
#[derive(Default)]
struct Totals {
    schedules: u64,
    operations: u64,
    acknowledged: u64,
    opened: u64,
    crashes: u64,
    errors: u64,
    refused: u64,
    forgotten: u64,
    struck: BTreeMap<&'static str, u64>,
    hash: u64,
    failures: BTreeMap<u64, Failure>,
}

impl Totals {
    fn add(&mut self, number: u64, what: String, report: &StoreReport, repeats: bool) {
        self.schedules += 1;
        self.operations += report.operations;
        self.acknowledged += report.acknowledged;
        self.opened += report.opened;
        self.crashes += report.crashes;
        self.errors += report.errors;
        self.refused += u64::from(report.is_refused);
        self.forgotten += report.forgotten;
        for (kind, count) in &report.struck {
            *self.struck.entry(kind).or_default() += count;
        }
        self.hash = self.hash.wrapping_add(report.hash_as(number));
        let found = report.violation.as_ref().map(|violation| Failure {
            what: what.clone(),
            oracle: violation.oracle.to_string(),
            message: violation.message.clone(),
            ending: Ending::Violation,
        });
        let unrepeated = (!repeats).then(|| Failure {
            what,
            oracle: "determinism".to_owned(),
            message: "the same schedule had two different outcomes".to_owned(),
            ending: Ending::Nondeterminism,
        });
        if let Some(failure) = found.or(unrepeated) {
            self.failures.insert(number, failure);
        }
    }

    fn ending(&self) -> Ending {
        let endings = || self.failures.values().map(|failure| failure.ending);
        if endings().any(|ending| ending == Ending::Violation) {
            return Ending::Violation;
        }
        endings().next().unwrap_or(Ending::Pass)
    }

    fn as_json(&self) -> Value {
        let findings = self.failures.values().map(|failure| {
            json!({
                "replay": format!("sim store replay {}", failure.what),
                "oracle": failure.oracle,
                "message": failure.message,
            })
        });
        json!({
            "schedules": self.schedules,
            "operations": self.operations,
            "acknowledged": self.acknowledged,
            "starts": self.opened,
            "crashes": self.crashes,
            "errors": self.errors,
            "refused": self.refused,
            "forgotten": self.forgotten,
            "faults": self.struck,
            "findings": findings.collect::<Vec<_>>(),
            "hash": format!("{:016x}", self.hash),
        })
    }

    fn print(&self) {
        for failure in self.failures.values() {
            say!(
                "{}: {}\n    sim store replay {}",
                failure.oracle,
                failure.message,
                failure.what
            );
        }
        let struck = self.struck.iter().map(|(kind, count)| format!("{kind} {count}"));
        say!(
            "{} of the store: {} calls that change the disk, {} groups acknowledged, {} starts, {} crashes, {} typed errors",
            counted(self.schedules, "schedule"),
            self.operations,
            self.acknowledged,
            self.opened,
            self.crashes,
            self.errors
        );
        say!("faults: {}", struck.collect::<Vec<_>>().join(", "));
        say!(
            "{} damaged folders were refused; {} times the store lost data undetected, on a disk whose faults checksums cannot show",
            self.refused,
            self.forgotten
        );
        say!(
            "{}, hash {:016x}",
            counted(self.failures.len() as u64, "finding"),
            self.hash
        );
    }
}

fn sweep(arguments: &Run) -> Result<Ending, String> {
    let totals = match arguments.seeds.clone() {
        Some(seeds) => sweep_seeds(seeds, arguments),
        None => {
            let mut totals = Totals::default();
            for (path, number) in arguments.files.iter().zip(0..) {
                let schedule = read(path)?;
                let report = store::run(&schedule);
                let repeats = store::run(&schedule).hash == report.hash;
                totals.add(number, shell::file(path), &report, repeats);
            }
            totals
        }
    };
    if arguments.json {
        say!("{}", totals.as_json());
    } else {
        totals.print();
    }
    Ok(totals.ending())
}

fn sweep_seeds(seeds: Range<u64>, arguments: &Run) -> Totals {
    let next = AtomicU64::new(seeds.start);
    let totals = Mutex::new(Totals::default());
    let shows_progress = std::io::stderr().is_terminal() && !arguments.json;
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !seeds.contains(&seed) {
                return;
            }
            let schedule = StoreSchedule::of(seed);
            let report = store::run(&schedule);
            let repeats = !seed.is_multiple_of(TWICE_EVERY) || store::run(&schedule).hash == report.hash;
            let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
            totals.add(seed, seed.to_string(), &report, repeats);
            if shows_progress && totals.schedules.is_multiple_of(64) {
                let (done, all) = (totals.schedules, seeds.end - seeds.start);
                eprint!(
                    "\r{done} of {all} schedules, {} findings \x1b[K",
                    totals.failures.len()
                );
            }
        }
    };
    on_every_job(arguments.jobs, work);
    if shows_progress {
        eprint!("\r\x1b[K");
    }
    totals.into_inner().unwrap_or_else(PoisonError::into_inner)
}
