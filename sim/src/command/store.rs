//! `store`: runs a store on a simulated disk of bytes.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::findings::{Failure, Finding, Totals, is_run_twice, length};
use super::jobs::side_by_side;
use super::output::{program, say};
use super::plant::Plant;
use super::progress::Progress;
use super::results::counted;
use super::seeds::seeds;
use super::shrink::{can_be_written, write};
use super::{Command, Ending, output, shell};
use crate::store::{self, StoreReport, StoreSchedule, StoreUnderTest};

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    asked: Asked,
}

#[derive(clap::Subcommand)]
enum Asked {
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
    #[command(flatten)]
    plant: Plant,
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

pub(super) fn run(
    arguments: &Arguments,
    store: &dyn StoreUnderTest,
    command: &Command,
) -> Result<Ending, String> {
    match &arguments.asked {
        Asked::Run(arguments) => sweep(arguments, store),
        Asked::Replay(case) => replay(case, store, command),
        Asked::Shrink { case, output } => shrink(case, output.as_deref(), store, command),
        Asked::Schedule { seed } => {
            output::print(format_args!("{}", text_of(&StoreSchedule::of(*seed))?));
            Ok(Ending::Pass)
        }
    }
}

fn text_of(schedule: &StoreSchedule) -> Result<String, String> {
    schedule.to_toml().map_err(|error| error.to_string())
}

fn read(path: &Path) -> Result<StoreSchedule, String> {
    let place = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{place} cannot be read: {error}"))?;
    if !StoreSchedule::is_in(&text) {
        return Err(format!(
            "{place} is not a schedule of the store, whose first line is profile = \"store\"; use replay for schedules of clusters"
        ));
    }
    StoreSchedule::from_toml(&text).map_err(|error| format!("{place}: {error}"))
}

fn find(what: &str) -> Result<StoreSchedule, String> {
    what.parse()
        .map_or_else(|_| read(Path::new(what)), |seed| Ok(StoreSchedule::of(seed)))
}

fn replay(case: &Case, store: &dyn StoreUnderTest, command: &Command) -> Result<Ending, String> {
    let _planted = case.plant.find(command)?.plant();
    let schedule = find(&case.what)?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut is_open = true;
    let report = store::replay(&schedule, store, &mut |line| {
        is_open = is_open && output::is_open(writeln!(out, "{line}"));
    });
    let again = store::run(&schedule, store);
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

fn shrink(
    case: &Case,
    output: Option<&Path>,
    store: &dyn StoreUnderTest,
    command: &Command,
) -> Result<Ending, String> {
    let _planted = case.plant.find(command)?.plant();
    can_be_written(output)?;
    let schedule = find(&case.what)?;
    let Some(shrunk) = store::shrink(&schedule, store) else {
        output::complain("this run finds no violation, so there is nothing to shrink");
        return Ok(Ending::Pass);
    };
    write(&text_of(&shrunk.schedule)?, output)?;
    eprintln!(
        "{}: {} of {} items are left after {} runs",
        shrunk.oracle,
        shrunk.schedule.items(),
        schedule.items(),
        shrunk.runs
    );
    Ok(Ending::Pass)
}

/// What is counted in runs of the store.
#[derive(Default)]
struct Counts {
    operations: u64,
    acknowledged: u64,
    opened: u64,
    crashes: u64,
    errors: u64,
    refused: u64,
    forgotten: u64,
    struck: BTreeMap<&'static str, u64>,
}

impl Counts {
    fn add(&mut self, report: &StoreReport) {
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
    }
}

/// Runs a schedule, once or twice, and returns what did not pass.
fn judge(
    schedule: &StoreSchedule,
    store: &dyn StoreUnderTest,
    twice: bool,
) -> (StoreReport, Option<Finding>) {
    let report = store::run(schedule, store);
    let repeats = !twice || store::run(schedule, store).hash == report.hash;
    let found = report.violation.as_ref().map(|violation| Finding {
        ending: Ending::Violation,
        oracle: violation.oracle.to_string(),
        message: violation.message.clone(),
    });
    let unrepeated =
        (!repeats).then(|| Finding::unrepeatable("the same schedule had two different outcomes".to_owned()));
    (report, found.or(unrepeated))
}

impl Totals<Counts> {
    /// Counts a run, which this argument of `store replay` shows again.
    fn note(&mut self, number: u64, what: &str, (report, finding): (StoreReport, Option<Finding>)) {
        self.add(report.hash_as(number), |counts| counts.add(&report));
        let failure = finding.map(|finding| Failure {
            name: what.to_owned(),
            again: format!("{} store replay {what}", program()),
            finding,
        });
        self.fail(number, failure);
    }

    fn as_json(&self) -> Value {
        let findings = self.failures().into_iter().map(|(_, failure)| {
            json!({
                "replay": failure.again,
                "oracle": failure.finding.oracle,
                "message": failure.finding.message,
            })
        });
        let counts = &self.counts;
        json!({
            "schedules": self.schedules,
            "operations": counts.operations,
            "acknowledged": counts.acknowledged,
            "starts": counts.opened,
            "crashes": counts.crashes,
            "errors": counts.errors,
            "refused": counts.refused,
            "forgotten": counts.forgotten,
            "faults": counts.struck,
            "findings": findings.collect::<Vec<_>>(),
            "hash": format!("{:016x}", self.hash),
        })
    }

    fn print(&self) {
        for (_, Failure { again, finding, .. }) in self.failures() {
            say!("{}: {}\n    {again}", finding.oracle, finding.message);
        }
        let counts = &self.counts;
        let struck = counts
            .struck
            .iter()
            .map(|(kind, count)| format!("{kind} {count}"));
        say!(
            "{} of the store: {} calls that change the disk, {} groups acknowledged, {} starts, {} crashes, {} typed errors",
            counted(self.schedules, "schedule"),
            counts.operations,
            counts.acknowledged,
            counts.opened,
            counts.crashes,
            counts.errors
        );
        say!("faults: {}", struck.collect::<Vec<_>>().join(", "));
        say!(
            "{} damaged folders were refused; {} times the store lost data undetected, on a disk whose faults checksums cannot show",
            counts.refused,
            counts.forgotten
        );
        say!(
            "{}, hash {:016x}",
            counted(self.found() as u64, "finding"),
            self.hash
        );
    }
}

fn sweep(arguments: &Run, store: &dyn StoreUnderTest) -> Result<Ending, String> {
    let mut totals = Totals::<Counts>::default();
    match arguments.seeds.clone() {
        Some(seeds) => {
            let progress = Progress::of(length(&seeds), "schedules").unless(arguments.json);
            let run = |seed| judge(&StoreSchedule::of(seed), store, is_run_twice(seed));
            side_by_side(seeds, arguments.jobs, run, |seed, judged| {
                totals.note(seed, &seed.to_string(), judged);
                progress.show(totals.schedules, || format!(", {} findings", totals.found()));
            });
        }
        None => {
            for (path, number) in arguments.files.iter().zip(0..) {
                totals.note(number, &shell::file(path), judge(&read(path)?, store, true));
            }
        }
    }
    match arguments.json {
        true => say!("{}", totals.as_json()),
        false => totals.print(),
    }
    Ok(totals.ending())
}
