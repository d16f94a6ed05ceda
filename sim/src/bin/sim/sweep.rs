//! `sim run`: many schedules, on a few threads, with a result that does not depend on how many.

use std::io::IsTerminal;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
#[expect(
    clippy::disallowed_types,
    reason = "measures the rate of the sweep; no run sees it"
)]
use std::time::Instant;

use sim::kv::KeyValue;
use sim::{Coverage, Opinion, Profile, Report, Schedule, ScheduleError, TraceEvent, Verdict, Workload};

use crate::jobs::on_every_job;
use crate::results::{self, Found, Results, Searches, per_second, severity};
use crate::workload::{WorkloadName, read_schedule, with_workload};
use crate::{Ending, ProfileName};

/// Every so many seeds a run is made twice and the hashes are compared, and its history gets a second opinion.
const TWICE_EVERY: u64 = 64;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The seeds, from the first up to but not including the last.
    #[arg(long, value_name = "A..B", value_parser = seeds, required_unless_present = "files")]
    seeds: Option<Range<u64>>,
    /// Schedule files to run instead of seeds.
    #[arg(conflicts_with = "seeds")]
    files: Vec<PathBuf>,
    /// How many runs to make at once.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=256))]
    jobs: u64,
    /// What kind of schedule a seed gives.
    #[arg(long, value_enum, default_value_t)]
    profile: ProfileName,
    /// Run only the Kth of N equal parts of the seeds; the hashes of all parts add up to that of the whole.
    #[arg(long, value_name = "K/N", value_parser = shard, conflicts_with = "files")]
    shard: Option<Shard>,
    /// Which state machine is simulated; files say it themselves. By default the key-value store.
    #[arg(long, value_enum)]
    workload: Option<WorkloadName>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// The seeds to run: all of them, or those of the part that was asked for.
    fn the_seeds(&self) -> Option<Range<u64>> {
        let seeds = self.seeds.clone()?;
        Some(self.shard.map_or_else(|| seeds.clone(), |shard| shard.of(&seeds)))
    }
}

/// One of `parts` equal parts of a range, counted from 1.
#[derive(Clone, Copy, Debug)]
struct Shard {
    part: u64,
    parts: u64,
}

impl Shard {
    fn of(self, seeds: &Range<u64>) -> Range<u64> {
        let length = u128::from(seeds.end - seeds.start);
        let boundary = |part: u64| {
            let offset = length * u128::from(part) / u128::from(self.parts);
            seeds.start + u64::try_from(offset).unwrap_or(u64::MAX)
        };
        boundary(self.part - 1)..boundary(self.part)
    }
}

fn shard(text: &str) -> Result<Shard, String> {
    let parsed = text
        .split_once('/')
        .and_then(|(part, parts)| Some((part.parse().ok()?, parts.parse().ok()?)));
    match parsed {
        Some((part, parts)) if (1..=parts).contains(&part) => Ok(Shard { part, parts }),
        _ => Err(format!(
            "\"{text}\" is no part: write K/N with K from 1 to N, as in 3/16"
        )),
    }
}

pub(crate) fn seeds(text: &str) -> Result<Range<u64>, String> {
    let usage = || format!("\"{text}\" is no range: write A..B, as in 0..1000");
    let (first, end) = text.split_once("..").ok_or_else(usage)?;
    let range = first.parse().map_err(|_| usage())?..end.parse().map_err(|_| usage())?;
    // TOML has no unsigned numbers, and every seed must be writable as a schedule.
    match range.is_empty() || i64::try_from(range.end).is_err() {
        true => Err(format!("{text} holds no seeds; they go from 0 to {}", i64::MAX)),
        false => Ok(range),
    }
}

/// Why a run did not pass.
struct Finding {
    ending: Ending,
    /// The oracle, or what else did not hold.
    oracle: String,
    message: String,
}

/// A run that did not pass, and how to see it again.
struct Failure {
    name: String,
    again: String,
    finding: Finding,
}

/// Everything that the runs came to.
#[derive(Default)]
struct Totals {
    schedules: u64,
    simulated_nanos: u128,
    events: u64,
    committed: u64,
    elections: u64,
    coverage: Coverage,
    /// How many histories were searched for a linearization, and in how many cases that took too long to say anything.
    searched: u64,
    search_unknown: u64,
    hash: u64,
    failures: Vec<(u64, Failure)>,
}

impl Totals {
    fn add(&mut self, number: u64, report: &Report, searched: Searched, failure: Option<Failure>) {
        self.searched += u64::from(searched != Searched::Not);
        self.search_unknown += u64::from(searched == Searched::Unknown);
        self.schedules += 1;
        self.simulated_nanos += u128::from(report.at.value());
        self.events += report.events;
        self.committed += report.committed;
        self.elections += report.elections;
        self.coverage.merge(&report.coverage);
        self.hash = self.hash.wrapping_add(report.hash_as(number));
        self.failures.extend(failure.map(|failure| (number, failure)));
    }

    /// The worst of all endings.
    fn ending(&self) -> Ending {
        let endings = self.failures.iter().map(|(_, failure)| failure.finding.ending);
        endings.max_by_key(severity).unwrap_or(Ending::Pass)
    }
}

/// How many steps the search for a linearization may take, per key.
const SEARCH_STEPS: u64 = 200_000;

/// What the search for a linearization came to, for each history that was searched.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Searched {
    Not,
    Decided,
    Unknown,
}

/// C3: what clients saw, judged without the log.
fn second_opinion(schedule: &Schedule) -> Result<(Searched, Option<Finding>), ScheduleError> {
    let (report, history) = sim::record(schedule, &KeyValue)?;
    if !report.is_within_budget() {
        // Where disks lost too much, nothing is promised about what clients see.
        return Ok((Searched::Not, None));
    }
    let opinion = sim::linearizable(&history, SEARCH_STEPS);
    let searched = match opinion {
        Opinion::Unknown { .. } => Searched::Unknown,
        Opinion::Linearizable | Opinion::NotLinearizable { .. } => Searched::Decided,
    };
    let finding = opinion.violation().map(|violation| Finding {
        ending: Ending::Violation,
        oracle: violation.oracle.to_string(),
        message: violation.message,
    });
    Ok((searched, finding))
}

/// A run with what was found in it.
struct Judged {
    report: Report,
    searched: Searched,
    finding: Option<Finding>,
}

/// Makes a run again, which must come to the same end. If it does not, two more runs that tell everything say where
/// they part.
fn repeated(
    first: &Report,
    again: impl FnOnce() -> Result<Report, ScheduleError>,
    mut trace: impl FnMut() -> Result<Vec<TraceEvent>, ScheduleError>,
) -> Result<Option<Finding>, ScheduleError> {
    if again()? == *first {
        return Ok(None);
    }
    let (one, other) = (trace()?, trace()?);
    let parted = one.iter().zip(&other).find(|(one, other)| one != other);
    let place = match parted {
        Some((one, other)) => format!("first at event {}:\n{one}\n{other}", one.number),
        None if one.len() != other.len() => {
            format!("one of them goes on after {} lines", one.len().min(other.len()))
        }
        None => "two more runs came to the same end again".to_owned(),
    };
    Ok(Some(Finding {
        ending: Ending::Nondeterminism,
        oracle: results::DETERMINISM.to_owned(),
        message: format!("the same schedule came to two different ends; {place}"),
    }))
}

fn traced<W: Workload>(workload: &W, schedule: &Schedule) -> Result<Vec<TraceEvent>, ScheduleError> {
    let mut trace = Vec::new();
    sim::replay(schedule, workload, &mut |event| trace.push(event))?;
    Ok(trace)
}

/// One schedule, judged; a second time too if asked.
fn judge(name: WorkloadName, schedule: &Schedule, twice: bool) -> Result<Judged, ScheduleError> {
    // The search knows registers that are read and written, and nothing else.
    let (searched, other) = match twice && name == WorkloadName::Kv {
        true => second_opinion(schedule)?,
        false => (Searched::Not, None),
    };
    with_workload!(name, |workload| {
        let (report, found) = judge_with(workload, schedule, twice)?;
        Ok(Judged {
            report,
            searched,
            finding: other.or(found),
        })
    })
}

fn judge_with<W: Workload>(
    workload: &W,
    schedule: &Schedule,
    twice: bool,
) -> Result<(Report, Option<Finding>), ScheduleError> {
    let report = sim::run(schedule, workload)?;
    let verdict = report.verdict(&schedule.expect);
    let unrepeated = match twice {
        true => repeated(
            &report,
            || sim::run(schedule, workload),
            || traced(workload, schedule),
        )?,
        false => None,
    };
    let finding = |ending, oracle: &str| {
        Some(Finding {
            ending,
            oracle: oracle.to_owned(),
            message: verdict.to_string(),
        })
    };
    let found = match &verdict {
        _ if unrepeated.is_some() => unrepeated,
        Verdict::Pass => None,
        Verdict::Violation(violation) => finding(Ending::Violation, &violation.oracle.to_string()),
        Verdict::Undetected(oracle) => finding(Ending::Violation, &oracle.to_string()),
        Verdict::Vacuous(_) => finding(Ending::Vacuous, results::VACUOUS),
    };
    Ok((report, found))
}

#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "measures the rate of the sweep; no run sees it"
)]
pub(crate) fn run(arguments: &Arguments) -> Ending {
    let began = Instant::now();
    let totals = match arguments.the_seeds() {
        Some(seeds) => sweep_seeds(seeds, arguments),
        None => match run_files(&arguments.files, arguments.workload) {
            Ok(totals) => totals,
            Err(message) => {
                eprintln!("sim: {message}");
                return Ending::Usage;
            }
        },
    };
    let micros = began.elapsed().as_micros().max(1);
    if arguments.json {
        match serde_json::to_string(&as_results(&totals, arguments, micros)) {
            Ok(text) => println!("{text}"),
            Err(error) => {
                eprintln!("sim: {error}");
                return Ending::Usage;
            }
        }
    } else {
        print_summary(&totals, micros);
    }
    totals.ending()
}

fn run_files(files: &[PathBuf], asked: Option<WorkloadName>) -> Result<Totals, String> {
    let mut totals = Totals::default();
    for (path, number) in files.iter().zip(0..) {
        let (workload, schedule) = read_schedule(path.clone(), asked).map_err(|error| error.to_string())?;
        let judged = judge(workload, &schedule, true).map_err(|error| error.to_string())?;
        let name = path.display().to_string();
        let failure = judged.finding.map(|finding| Failure {
            again: format!("sim replay {name}"),
            name,
            finding,
        });
        totals.add(number, &judged.report, judged.searched, failure);
    }
    Ok(totals)
}

#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "measures the rate of the sweep; no run sees it"
)]
fn sweep_seeds(seeds: Range<u64>, arguments: &Arguments) -> Totals {
    let profile = Profile::from(arguments.profile);
    let workload = arguments.workload.unwrap_or_default();
    let next = AtomicU64::new(seeds.start);
    let totals = Mutex::new(Totals::default());
    let shows_progress = std::io::stderr().is_terminal() && !arguments.json;
    let began = Instant::now();
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !seeds.contains(&seed) {
                return;
            }
            let schedule = workload.schedule(profile, seed);
            let judged = judge(workload, &schedule, seed.is_multiple_of(TWICE_EVERY));
            let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
            match judged {
                Ok(Judged {
                    report,
                    searched,
                    finding,
                }) => {
                    let failure = finding.map(|finding| failure_of(seed, arguments, finding));
                    totals.add(seed, &report, searched, failure);
                }
                Err(error) => {
                    let (oracle, message) = (results::SCHEDULE.to_owned(), error.to_string());
                    let finding = Finding {
                        ending: Ending::Usage,
                        oracle,
                        message,
                    };
                    totals.failures.push((seed, failure_of(seed, arguments, finding)));
                }
            }
            if shows_progress && totals.schedules.is_multiple_of(16) {
                let rate = u128::from(totals.schedules) * 1_000_000 / began.elapsed().as_micros().max(1);
                let found = totals.failures.len();
                let (done, all) = (totals.schedules, seeds.end - seeds.start);
                let left = u128::from(all - done) / rate.max(1);
                eprint!("\r{done} of {all} schedules, {rate}/s, {left} s left, {found} findings \x1b[K");
            }
        }
    };
    on_every_job(arguments.jobs, work);
    if shows_progress {
        eprint!("\r\x1b[K");
    }
    let mut totals = totals.into_inner().unwrap_or_else(PoisonError::into_inner);
    totals.failures.sort_by_key(|(seed, _)| *seed);
    totals
}

fn failure_of(seed: u64, arguments: &Arguments, finding: Finding) -> Failure {
    let profile = match arguments.profile {
        ProfileName::Swarm => String::new(),
        other => format!(" --profile {}", other.name()),
    };
    let workload = match arguments.workload.unwrap_or_default() {
        WorkloadName::Kv => "",
        WorkloadName::Ledger => " --workload ledger",
    };
    Failure {
        name: format!("seed {seed}"),
        again: format!("sim replay {seed}{profile}{workload}"),
        finding,
    }
}

fn as_results(totals: &Totals, arguments: &Arguments, micros: u128) -> Results {
    let findings = totals.failures.iter().map(|(seed, failure)| Found {
        seed: *seed,
        oracle: failure.finding.oracle.clone(),
        message: failure.finding.message.clone(),
        replay: failure.again.clone(),
    });
    let coverage = totals.coverage.iter();
    let micros = u64::try_from(micros).unwrap_or(u64::MAX);
    let seeds = arguments.the_seeds();
    Results {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        // Files may be for several; each says itself for which.
        workload: seeds
            .is_some()
            .then(|| arguments.workload.unwrap_or_default().name().to_owned()),
        profile: seeds.is_some().then(|| arguments.profile.name().to_owned()),
        seeds: seeds.iter().map(|seeds| [seeds.start, seeds.end]).collect(),
        schedules: totals.schedules,
        micros,
        schedules_per_second: per_second(totals.schedules, micros),
        simulated_nanos: u64::try_from(totals.simulated_nanos).unwrap_or(u64::MAX),
        events: totals.events,
        committed: totals.committed,
        elections: totals.elections,
        linearizability: Searches {
            searched: totals.searched,
            unknown: totals.search_unknown,
        },
        findings: findings.collect(),
        coverage: coverage
            .map(|(probe, count)| (probe.name().to_owned(), count))
            .collect(),
        hash: format!("{:016x}", totals.hash),
    }
}

fn print_summary(totals: &Totals, micros: u128) {
    for (_, Failure { name, again, finding }) in &totals.failures {
        println!("{name}: {}: {}\n    {again}", finding.oracle, finding.message);
    }
    println!(
        "{} schedules, {} simulated seconds, {} events, {} entries committed, {} elections",
        totals.schedules,
        totals.simulated_nanos / 1_000_000_000,
        totals.events,
        totals.committed,
        totals.elections
    );
    println!(
        "{} schedules/s, {} ns per event, hash {:016x}",
        per_second(totals.schedules, u64::try_from(micros).unwrap_or(u64::MAX)),
        micros * 1_000 / u128::from(totals.events.max(1)),
        totals.hash
    );
    if totals.searched > 0 {
        println!(
            "{} histories searched for an order of what clients saw, {} of them without an answer in time",
            totals.searched, totals.search_unknown
        );
    }
    let missed: Vec<&str> = totals
        .coverage
        .iter()
        .filter(|(_, count)| *count == 0)
        .map(|(probe, _)| probe.name())
        .collect();
    if !missed.is_empty() {
        println!("never happened: {}", missed.join(", "));
    }
    println!("{} findings", totals.failures.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule() -> Schedule {
        Profile::Calm.schedule(1)
    }

    fn report() -> Report {
        sim::run(&schedule(), &KeyValue).expect("the schedule of a seed can be run")
    }

    /// Nothing that is simulated here differs from run to run, so the second run is given another end by hand.
    #[test]
    fn a_run_that_cannot_be_repeated_ends_with_3_and_says_where_the_runs_part() {
        let other = Report {
            hash: report().hash ^ 1,
            ..report()
        };
        let mut runs = 0;
        let drifting = || {
            runs += 1;
            let mut trace = traced(&KeyValue, &schedule())?;
            let event = trace
                .get_mut(100)
                .filter(|_| runs == 2)
                .map(|event| &mut event.detail);
            if let Some(detail) = event {
                detail.push_str(" and something else");
            }
            Ok(trace)
        };
        let found = repeated(&report(), || Ok(other), drifting).expect("the runs are made");
        let finding = found.expect("the second run came to another end");
        let expected = traced(&KeyValue, &schedule())
            .expect("the run is made")
            .swap_remove(100);
        assert!(
            finding
                .message
                .contains(&format!("first at event {}", expected.number))
                && finding.message.contains("and something else"),
            "{}",
            finding.message
        );
        let mut totals = Totals::default();
        let vacuous = Finding {
            ending: Ending::Vacuous,
            oracle: String::new(),
            message: String::new(),
        };
        for (number, finding) in [(0, finding), (1, vacuous)] {
            let failure = Failure {
                name: String::new(),
                again: String::new(),
                finding,
            };
            totals.add(number, &report(), Searched::Not, Some(failure));
        }
        assert_eq!(totals.ending() as u8, 3);
    }

    #[test]
    fn a_run_that_can_be_repeated_is_no_finding() {
        let found = repeated(&report(), || Ok(report()), || traced(&KeyValue, &schedule()));
        assert!(found.expect("the runs are made").is_none());
    }

    #[test]
    fn shards_share_out_all_seeds() {
        for (seeds, parts) in [(0..1_000, 16), (5..8, 4), (0..i64::MAX as u64, 3)] {
            let shards = (1..=parts).map(|part| Shard { part, parts }.of(&seeds));
            let end = shards.fold(seeds.start, |next, shard| {
                assert_eq!(shard.start, next);
                shard.end
            });
            assert_eq!(end, seeds.end);
        }
        for text in ["0/4", "5/4", "1/0", "3", "a/b"] {
            assert!(shard(text).is_err(), "{text}");
        }
    }
}
