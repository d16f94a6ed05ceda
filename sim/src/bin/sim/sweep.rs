//! `sim run`: runs many schedules on a few threads, with a result that does not depend on their number.

use std::collections::BTreeMap;
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
use sim::{Coverage, Opinion, Probe, Report, Schedule, ScheduleError, TraceEvent, Verdict, Workload};

use crate::canaries::{self, Canaries};
use crate::elsewhere;
use crate::jobs::on_every_job;
use crate::results::{self, Found, Results, Searches, conclude, per_second};
use crate::workload::{WorkloadName, read_schedule, with_workload};
use crate::{Ending, ProfileName, shell};

/// How many seeds pass between two that are run twice, to compare the hashes, and whose histories get a second opinion.
const TWICE_EVERY: u64 = 64;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The seeds, from the first up to but not including the last.
    #[arg(long, value_name = "A..B", value_parser = seeds, required_unless_present = "files")]
    seeds: Option<Range<u64>>,
    /// Schedule files to run instead of seeds.
    #[arg(conflicts_with = "seeds")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    how: How,
    /// Run only the Kth of N equal parts of the seeds; the hashes of all parts add up to that of the whole.
    #[arg(long, value_name = "K/N", value_parser = shard, conflicts_with = "files")]
    shard: Option<Shard>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// The options that turn seeds into runs, and how many run at once.
#[derive(clap::Args)]
pub(crate) struct How {
    /// How many runs to make at once.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=256))]
    jobs: u64,
    /// The kind of schedule that a seed gives.
    #[arg(long, value_enum, default_value_t)]
    profile: ProfileName,
    /// The state machine to simulate; files name their own. By default the key-value store.
    #[arg(long, value_enum)]
    workload: Option<WorkloadName>,
    #[cfg(feature = "planted-bugs")]
    #[command(flatten)]
    plant: crate::bugs::Plant,
}

impl How {
    /// Returns the arguments that make another process do the same, without the number of jobs.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--profile".to_owned(), self.profile.name().to_owned()];
        if let Some(workload) = self.workload {
            arguments.extend(["--workload".to_owned(), workload.name().to_owned()]);
        }
        #[cfg(feature = "planted-bugs")]
        arguments.extend(self.plant.arguments());
        arguments
    }

    pub(crate) const fn jobs(&self) -> u64 {
        self.jobs
    }

    pub(crate) fn profile(&self) -> sim::Profile {
        self.profile.into()
    }

    pub(crate) fn workload(&self) -> WorkloadName {
        self.workload.unwrap_or_default()
    }

    /// Switches a bug on in this thread, if one was asked for.
    #[cfg(feature = "planted-bugs")]
    pub(crate) fn plant(&self) -> Option<sim::planted::Planted> {
        self.plant.plant()
    }

    /// Returns the options that plant the same bug, for a command line to paste.
    #[cfg(feature = "planted-bugs")]
    pub(crate) fn plant_words(&self) -> String {
        self.plant.arguments().map(|word| format!(" {word}")).collect()
    }

    #[cfg(not(feature = "planted-bugs"))]
    pub(crate) const fn plant_words(&self) -> &'static str {
        ""
    }

    /// Returns a number of jobs that differs from this one.
    pub(crate) fn other_jobs(&self) -> u64 {
        match self.jobs {
            1 => 2,
            _ => 1,
        }
    }

    /// The schedule of a seed.
    pub(crate) fn schedule(&self, seed: u64) -> Schedule {
        self.workload
            .unwrap_or_default()
            .schedule(self.profile.into(), seed)
    }
}

impl Arguments {
    /// Returns the seeds to run: all of them, or those of the shard that was asked for.
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
            "\"{text}\" is not a shard; write K/N with K from 1 to N, as in 3/16"
        )),
    }
}

pub(crate) fn seeds(text: &str) -> Result<Range<u64>, String> {
    let usage = || format!("\"{text}\" is not a range; write A..B, as in 0..1000");
    let (first, end) = text.split_once("..").ok_or_else(usage)?;
    let number = |text: &str| text.parse::<u128>().map_err(|_| usage());
    let (first, end) = (number(first)?, number(end)?);
    if first >= end {
        return Err(format!(
            "{text} holds no seeds; the first must be less than the end"
        ));
    }
    // TOML has no unsigned numbers, and every seed must be writable as a schedule.
    let as_seed = |number| {
        u64::try_from(number)
            .ok()
            .filter(|seed| i64::try_from(*seed).is_ok())
    };
    match (as_seed(first), as_seed(end)) {
        (Some(first), Some(end)) => Ok(first..end),
        _ => Err(format!(
            "{text} exceeds the largest seed; the largest end is {}",
            i64::MAX
        )),
    }
}

/// Why a run did not pass.
pub(crate) struct Finding {
    pub(crate) ending: Ending,
    /// The oracle, or what stands in its place.
    pub(crate) oracle: String,
    pub(crate) message: String,
}

/// A run that did not pass, and the command that repeats it.
struct Failure {
    name: String,
    again: String,
    finding: Finding,
}

/// The totals of all runs.
#[derive(Default)]
struct Totals {
    schedules: u64,
    simulated_nanos: u128,
    events: u64,
    committed: u64,
    elections: u64,
    coverage: Coverage,
    /// How many histories were searched for a linearization, and how many searches took too long to decide.
    searched: u64,
    search_unknown: u64,
    hash: u64,
    /// The seeds that another process runs as well, and the hash of each in this process.
    sample: Range<u64>,
    hashes: BTreeMap<u64, u64>,
    canaries: Vec<&'static str>,
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
        if self.sample.contains(&number) {
            self.hashes.insert(number, report.hash_as(number));
        }
        self.failures.extend(failure.map(|failure| (number, failure)));
    }
}

/// How many steps the search for a linearization may take, per key.
pub(crate) const SEARCH_STEPS: u64 = 200_000;

/// The result of the search for a linearization of one history.
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
pub(crate) struct Judged {
    pub(crate) report: Report,
    searched: Searched,
    pub(crate) finding: Option<Finding>,
}

/// Runs a schedule again, which must have the same outcome. If it does not, two more traced runs show where they
/// diverge.
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
            format!("one of them continues after {} lines", one.len().min(other.len()))
        }
        None => "two more runs had the same outcome again".to_owned(),
    };
    Ok(Some(Finding {
        ending: Ending::Nondeterminism,
        oracle: results::DETERMINISM.to_owned(),
        message: format!("the same schedule had two different outcomes; {place}"),
    }))
}

fn traced<W: Workload>(workload: &W, schedule: &Schedule) -> Result<Vec<TraceEvent>, ScheduleError> {
    let mut trace = Vec::new();
    sim::replay(schedule, workload, &mut |event| trace.push(event))?;
    Ok(trace)
}

/// Judges one schedule; `twice` also runs it a second time.
pub(crate) fn judge(name: WorkloadName, schedule: &Schedule, twice: bool) -> Result<Judged, ScheduleError> {
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
    let seeds = arguments.the_seeds();
    let totals = match seeds.clone() {
        Some(seeds) => {
            let shows_progress = std::io::stderr().is_terminal() && !arguments.json;
            Ok(sweep_seeds(seeds, &arguments.how, shows_progress))
        }
        None => run_files(&arguments.files, arguments.how.workload),
    };
    let micros = began.elapsed().as_micros().max(1);
    let results = totals.map(|totals| as_results(&totals, seeds, &arguments.how, micros));
    conclude(results, arguments.json)
}

/// Runs a sweep over these seeds, and returns its results.
#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "measures the rate of the sweep; no run sees it"
)]
pub(crate) fn results_of(seeds: Range<u64>, how: &How) -> Results {
    let began = Instant::now();
    let totals = sweep_seeds(seeds.clone(), how, false);
    as_results(&totals, Some(seeds), how, began.elapsed().as_micros().max(1))
}

fn run_files(files: &[PathBuf], asked: Option<WorkloadName>) -> Result<Totals, String> {
    let mut totals = Totals::default();
    for (path, number) in files.iter().zip(0..) {
        let (workload, schedule) = read_schedule(path.clone(), asked).map_err(|error| error.to_string())?;
        let judged = judge(workload, &schedule, true).map_err(|error| error.to_string())?;
        let name = path.display().to_string();
        let failure = judged.finding.map(|finding| Failure {
            again: format!("sim replay {}", shell::file(path)),
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
fn sweep_seeds(seeds: Range<u64>, how: &How, shows_progress: bool) -> Totals {
    let workload = how.workload();
    let next = AtomicU64::new(seeds.start);
    let totals = Mutex::new(Totals {
        sample: elsewhere::sample(&seeds),
        ..Totals::default()
    });
    let began = Instant::now();
    let work = || {
        #[cfg(feature = "planted-bugs")]
        let _planted = how.plant();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !seeds.contains(&seed) {
                return;
            }
            let judged = judge(workload, &how.schedule(seed), seed.is_multiple_of(TWICE_EVERY));
            let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
            match judged {
                Ok(Judged {
                    report,
                    searched,
                    finding,
                }) => {
                    let failure = finding.map(|finding| failure_of(seed, how, finding));
                    totals.add(seed, &report, searched, failure);
                }
                Err(error) => {
                    let (oracle, message) = (results::SCHEDULE.to_owned(), error.to_string());
                    let finding = Finding {
                        ending: Ending::Usage,
                        oracle,
                        message,
                    };
                    totals.failures.push((seed, failure_of(seed, how, finding)));
                }
            }
            if shows_progress && totals.schedules.is_multiple_of(16) {
                let rate = u128::from(totals.schedules) * 1_000_000 / began.elapsed().as_micros().max(1);
                let found = totals.failures.len();
                let (done, all) = (totals.schedules, seeds.end - seeds.start);
                let left = u128::from(all - done) / rate.max(1);
                let (hit, probes) = (
                    totals.coverage.iter().filter(|(_, count)| *count > 0).count(),
                    Probe::ALL.len(),
                );
                eprint!(
                    "\r{done} of {all} schedules, {rate}/s, {hit} of {probes} probes, {left} s left, {found} findings \x1b[K"
                );
            }
        }
    };
    on_every_job(how.jobs, work);
    if shows_progress {
        eprint!("\r\x1b[K");
    }
    let mut totals = totals.into_inner().unwrap_or_else(PoisonError::into_inner);
    if seeds.end - seeds.start >= canaries::FROM_SEEDS {
        totals.hunt_canaries(&seeds, how);
    }
    if let Some((seed, finding)) = compared_elsewhere(&totals, how) {
        totals.failures.push((seed, failure_of(seed, how, finding)));
    }
    totals.failures.sort_by_key(|(seed, _)| *seed);
    totals
}

impl Totals {
    /// Adds a finding for each canary that was missed: a campaign that misses one is vacuous, whatever else it found.
    fn hunt_canaries(&mut self, seeds: &Range<u64>, how: &How) {
        let hunt = |seed| how.schedule(seed);
        let canaries = with_workload!(how.workload(), |workload| Canaries::hunt(seeds, hunt, workload));
        for (canary, message) in canaries.missed() {
            let finding = Finding {
                ending: Ending::Vacuous,
                oracle: results::VACUOUS.to_owned(),
                message: format!("the canary {canary}: {message}"),
            };
            let failure = failure_of(seeds.start, how, finding);
            self.failures.push((seeds.start, failure));
        }
        self.canaries = canaries.found().collect();
    }
}

/// Compares the sample with another process, and returns the first difference.
fn compared_elsewhere(totals: &Totals, how: &How) -> Option<(u64, Finding)> {
    let hash = |seeds: Range<u64>| {
        let hashes = totals.hashes.range(seeds).map(|(_, hash)| *hash);
        hashes.fold(0, u64::wrapping_add)
    };
    let trace = |seed| {
        #[cfg(feature = "planted-bugs")]
        let _planted = how.plant();
        with_workload!(how.workload(), |workload| {
            traced(workload, &how.schedule(seed)).map_err(|error| error.to_string())
        })
    };
    let finding = |seed, oracle: &str, ending, message| {
        let oracle = oracle.to_owned();
        Some((
            seed,
            Finding {
                ending,
                oracle,
                message,
            },
        ))
    };
    match elsewhere::compare(totals.sample.clone(), how, hash, trace) {
        Ok(None) => None,
        Ok(Some(parted)) => finding(
            parted.seed,
            results::DETERMINISM,
            Ending::Nondeterminism,
            parted.message,
        ),
        Err(message) => finding(totals.sample.start, results::SCHEDULE, Ending::Usage, message),
    }
}

fn failure_of(seed: u64, how: &How, finding: Finding) -> Failure {
    let words = shell::words_of_seed(how.profile, how.workload());
    let plant = how.plant_words();
    Failure {
        name: format!("seed {seed}"),
        again: format!("sim replay {seed}{words}{plant}"),
        finding,
    }
}

/// Makes results of the totals, for seeds or for files.
fn as_results(totals: &Totals, seeds: Option<Range<u64>>, how: &How, micros: u128) -> Results {
    let findings = totals.failures.iter().map(|(seed, failure)| Found {
        seed: *seed,
        name: failure.name.clone(),
        oracle: failure.finding.oracle.clone(),
        message: failure.finding.message.clone(),
        replay: failure.again.clone(),
    });
    let coverage = totals.coverage.iter();
    let micros = u64::try_from(micros).unwrap_or(u64::MAX);
    Results {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        // Files may be for several workloads; each names its own.
        workload: seeds.is_some().then(|| how.workload().name().to_owned()),
        profile: seeds.is_some().then(|| how.profile.name().to_owned()),
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
        canaries: totals
            .canaries
            .iter()
            .map(|canary| ((*canary).to_owned(), 1))
            .collect(),
        coverage: coverage
            .map(|(probe, count)| (probe.name().to_owned(), count))
            .collect(),
        hash: format!("{:016x}", totals.hash),
    }
}

#[cfg(test)]
mod tests {
    use sim::Profile;

    use super::*;

    fn schedule() -> Schedule {
        Profile::Calm.schedule(1)
    }

    fn report() -> Report {
        sim::run(&schedule(), &KeyValue).expect("the schedule of a seed can be run")
    }

    /// The simulated runs do not differ from one another, so the second run is given another outcome by hand.
    #[test]
    fn a_run_that_cannot_be_repeated_ends_with_3_and_says_where_the_runs_diverge() {
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
        let finding = found.expect("the second run had another outcome");
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
            oracle: results::VACUOUS.to_owned(),
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
        let how = How {
            jobs: 1,
            profile: ProfileName::Swarm,
            workload: None,
            #[cfg(feature = "planted-bugs")]
            plant: crate::bugs::Plant::default(),
        };
        assert_eq!(as_results(&totals, None, &how, 1).ending() as u8, 3);
    }

    #[test]
    fn a_run_that_can_be_repeated_is_not_a_finding() {
        let found = repeated(&report(), || Ok(report()), || traced(&KeyValue, &schedule()));
        assert!(found.expect("the runs are made").is_none());
    }

    #[test]
    fn a_range_that_is_rejected_is_told_why() {
        assert_eq!(seeds("3..9223372036854775807"), Ok(3..9_223_372_036_854_775_807));
        for text in ["0..9223372036854775808", "0..99999999999999999999999"] {
            let refused = seeds(text).expect_err("the end is too large");
            assert!(
                refused.contains("the largest end is 9223372036854775807"),
                "{refused}"
            );
        }
        assert!(seeds("5..4").is_err_and(|refused| refused.contains("no seeds")));
    }

    #[test]
    fn shards_cover_all_seeds_once() {
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
