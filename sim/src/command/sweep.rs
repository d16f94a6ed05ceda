//! `run`: runs many schedules on a few threads, with a result that does not depend on their number.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
#[expect(
    clippy::disallowed_types,
    reason = "measures the rate of the sweep; no run sees it"
)]
use std::time::Instant;

use super::canaries::{self, Canaries};
use super::findings::{Failure, Finding, Totals, is_run_twice, length};
use super::jobs::side_by_side;
use super::judge::{Judged, Searched, judge, traced};
use super::plant::{Plant, Planting};
use super::progress::Progress;
use super::results::{self, Found, Results, Searches, conclude, per_second};
use super::seeds::{Shard, seeds, shard};
use super::subject::Subject;
use super::{Command, Ending, case, elsewhere, output, shell};
use crate::{Coverage, Probe, Profile, Report, Schedule};

#[derive(clap::Args)]
pub(super) struct Arguments {
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
pub(super) struct How {
    /// How many runs to make at once.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=256))]
    jobs: u64,
    /// The kind of schedule that a seed gives.
    #[arg(long, value_enum, default_value_t)]
    profile: Profile,
    /// The workload to simulate; files name their own.
    #[arg(long, value_name = "NAME")]
    workload: Option<String>,
    #[command(flatten)]
    plant: Plant,
}

impl How {
    /// Finds what the options name.
    pub(super) fn campaign<'a>(&self, command: &'a Command) -> Result<Campaign<'a>, String> {
        Ok(Campaign {
            command,
            subject: command.chosen(self.workload.as_deref())?,
            profile: self.profile,
            jobs: self.jobs,
            planting: self.plant.find(command)?,
        })
    }
}

/// The options, with what they name: everything that turns a seed into a run.
#[derive(Clone, Copy)]
pub(super) struct Campaign<'a> {
    command: &'a Command,
    pub(super) subject: &'a dyn Subject,
    pub(super) profile: Profile,
    pub(super) jobs: u64,
    pub(super) planting: Planting,
}

impl Campaign<'_> {
    /// Returns the arguments that make another process do the same, without the number of jobs.
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--profile".to_owned(), self.profile.name().to_owned()];
        if !self.subject.name().is_empty() {
            arguments.extend(["--workload".to_owned(), self.subject.name().to_owned()]);
        }
        arguments.extend(self.planting.arguments());
        arguments
    }

    /// Returns a number of jobs that differs from this one.
    pub(super) const fn other_jobs(&self) -> u64 {
        match self.jobs {
            1 => 2,
            _ => 1,
        }
    }

    /// The schedule of a seed.
    pub(super) fn schedule(&self, seed: u64) -> Schedule {
        self.subject.schedule(self.profile, seed)
    }

    fn judge(&self, seed: u64) -> Result<Judged, String> {
        let _planted = self.planting.plant();
        judge(self.subject, &self.schedule(seed), is_run_twice(seed)).map_err(|error| error.to_string())
    }

    fn failure(&self, seed: u64, finding: Finding) -> Failure {
        let words = shell::words_of_seed(self.profile, self.subject, self.command);
        let (program, plant) = (output::program(), self.planting.words());
        Failure {
            name: format!("seed {seed}"),
            again: format!("{program} replay {seed}{words}{plant}"),
            finding,
        }
    }
}

impl Arguments {
    /// Returns the seeds to run: all of them, or those of the shard that was asked for.
    fn the_seeds(&self) -> Option<Range<u64>> {
        let seeds = self.seeds.clone()?;
        Some(self.shard.map_or_else(|| seeds.clone(), |shard| shard.of(&seeds)))
    }
}

/// What is counted in runs of clusters.
#[derive(Default)]
struct Counts {
    simulated_nanos: u128,
    events: u64,
    committed: u64,
    elections: u64,
    coverage: Coverage,
    /// How many histories were searched for a linearization, and how many searches took too long to decide.
    searched: u64,
    search_unknown: u64,
    /// The seeds that another process runs as well, and the hash of each in this process.
    sample: Range<u64>,
    hashes: BTreeMap<u64, u64>,
    canaries: Vec<&'static str>,
}

impl Counts {
    fn add(&mut self, number: u64, report: &Report, searched: Searched) {
        self.searched += u64::from(searched != Searched::Not);
        self.search_unknown += u64::from(searched == Searched::Unknown);
        self.simulated_nanos += u128::from(report.at.value());
        self.events += report.events;
        self.committed += report.committed;
        self.elections += report.elections;
        self.coverage.merge(&report.coverage);
        if self.sample.contains(&number) {
            self.hashes.insert(number, report.hash_as(number));
        }
    }

    fn probes_hit(&self) -> usize {
        self.coverage.iter().filter(|(_, count)| *count > 0).count()
    }
}

#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "measures the rate of the sweep; no run sees it"
)]
pub(super) fn run(arguments: &Arguments, command: &Command) -> Result<Ending, String> {
    let campaign = arguments.how.campaign(command)?;
    let results = match arguments.the_seeds() {
        Some(seeds) => {
            let progress = Progress::of(length(&seeds), "schedules").unless(arguments.json);
            results_of(seeds, &campaign, &progress)
        }
        None => {
            let began = Instant::now();
            let _planted = campaign.planting.plant();
            let totals = run_files(&arguments.files, arguments.how.workload.as_deref(), command)?;
            as_results(&totals, None, &campaign, began.elapsed().as_micros())
        }
    };
    conclude(&results, arguments.json)
}

/// Runs a sweep over these seeds, and returns its results.
#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "measures the rate of the sweep; no run sees it"
)]
pub(super) fn results_of(seeds: Range<u64>, campaign: &Campaign<'_>, progress: &Progress) -> Results {
    let began = Instant::now();
    let totals = sweep(&seeds, campaign, progress);
    as_results(&totals, Some(seeds), campaign, began.elapsed().as_micros())
}

fn run_files(files: &[PathBuf], asked: Option<&str>, command: &Command) -> Result<Totals<Counts>, String> {
    let mut totals = Totals::<Counts>::default();
    for (path, number) in files.iter().zip(0..) {
        let (subject, schedule) =
            case::read(path.clone(), command, asked).map_err(|error| error.to_string())?;
        let judged = judge(subject, &schedule, true).map_err(|error| error.to_string())?;
        let failure = judged.finding.map(|finding| Failure {
            again: format!("{} replay {}", output::program(), shell::file(path)),
            name: path.display().to_string(),
            finding,
        });
        let report = &judged.report;
        totals.add(report.hash_as(number), |counts| {
            counts.add(number, report, judged.searched)
        });
        totals.fail(number, failure);
    }
    Ok(totals)
}

fn sweep(seeds: &Range<u64>, campaign: &Campaign<'_>, progress: &Progress) -> Totals<Counts> {
    let mut totals = Totals::<Counts>::default();
    totals.counts.sample = elsewhere::sample(seeds);
    side_by_side(
        seeds.clone(),
        campaign.jobs,
        |seed| campaign.judge(seed),
        |seed, judged| {
            let finding = match judged {
                Ok(judged) => {
                    let report = &judged.report;
                    totals.add(report.hash_as(seed), |counts| {
                        counts.add(seed, report, judged.searched)
                    });
                    judged.finding
                }
                Err(message) => Some(Finding::not_run(message)),
            };
            totals.fail(seed, finding.map(|finding| campaign.failure(seed, finding)));
            progress.show(totals.schedules, || {
                let (hit, all) = (totals.counts.probes_hit(), Probe::ALL.len());
                format!(", {hit} of {all} probes, {} findings", totals.found())
            });
        },
    );
    if length(seeds) >= canaries::FROM_SEEDS {
        hunt_canaries(&mut totals, seeds, campaign);
    }
    if let Some((seed, finding)) = compared_elsewhere(&totals.counts, campaign) {
        totals.fail(seed, Some(campaign.failure(seed, finding)));
    }
    totals
}

/// Adds a finding for each canary that was missed: a campaign that misses one is vacuous, whatever else it found.
fn hunt_canaries(totals: &mut Totals<Counts>, seeds: &Range<u64>, campaign: &Campaign<'_>) {
    let canaries = Canaries::hunt(seeds, &|seed| campaign.schedule(seed), campaign.subject);
    for (canary, message) in canaries.missed() {
        let finding = Finding {
            ending: Ending::Vacuous,
            oracle: results::VACUOUS.to_owned(),
            message: format!("the canary {canary}: {message}"),
        };
        totals.fail(seeds.start, Some(campaign.failure(seeds.start, finding)));
    }
    totals.counts.canaries = canaries.found().collect();
}

/// Compares the sample with another process, and returns the first difference.
fn compared_elsewhere(counts: &Counts, campaign: &Campaign<'_>) -> Option<(u64, Finding)> {
    let hash = |seeds: Range<u64>| {
        let hashes = counts.hashes.range(seeds).map(|(_, hash)| *hash);
        hashes.fold(0, u64::wrapping_add)
    };
    let trace = |seed| {
        let _planted = campaign.planting.plant();
        traced(campaign.subject, &campaign.schedule(seed)).map_err(|error| error.to_string())
    };
    match elsewhere::compare(counts.sample.clone(), campaign, hash, trace) {
        Ok(None) => None,
        Ok(Some(parted)) => Some((parted.seed, Finding::unrepeatable(parted.message))),
        Err(message) => Some((counts.sample.start, Finding::not_run(message))),
    }
}

/// Makes results of the totals, for seeds or for files.
fn as_results(
    totals: &Totals<Counts>,
    seeds: Option<Range<u64>>,
    campaign: &Campaign<'_>,
    micros: u128,
) -> Results {
    let Counts {
        simulated_nanos,
        events,
        committed,
        elections,
        coverage,
        searched,
        search_unknown,
        canaries,
        ..
    } = &totals.counts;
    let findings = totals
        .failures()
        .into_iter()
        .map(|(seed, Failure { name, again, finding })| Found {
            seed: *seed,
            name: name.clone(),
            oracle: finding.oracle.clone(),
            message: finding.message.clone(),
            replay: again.clone(),
        });
    let micros = u64::try_from(micros.max(1)).unwrap_or(u64::MAX);
    Results {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        // Files may be for several workloads; each names its own.
        workload: seeds.is_some().then(|| campaign.subject.name().to_owned()),
        profile: seeds.is_some().then(|| campaign.profile.name().to_owned()),
        seeds: seeds.iter().map(|seeds| [seeds.start, seeds.end]).collect(),
        schedules: totals.schedules,
        micros,
        schedules_per_second: per_second(totals.schedules, micros),
        simulated_nanos: u64::try_from(*simulated_nanos).unwrap_or(u64::MAX),
        events: *events,
        committed: *committed,
        elections: *elections,
        linearizability: Searches {
            searched: *searched,
            unknown: *search_unknown,
        },
        findings: findings.collect(),
        canaries: (canaries.iter())
            .map(|canary| ((*canary).to_owned(), 1))
            .collect(),
        coverage: (coverage.iter())
            .map(|(probe, count)| (probe.name().to_owned(), count))
            .collect(),
        hash: format!("{:016x}", totals.hash),
    }
}
