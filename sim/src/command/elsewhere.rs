//! Runs the same seeds in another process, with another number of jobs. Whatever differs from process to process, such
//! as addresses in memory or the order of threads, must not change the outcome.

use std::ops::Range;
use std::process::Command;

use super::results::Results;
use super::sweep::Campaign;
use crate::TraceEvent;

/// The first seeds of a sweep of at least so many are run again.
const FROM_SEEDS: u64 = 1_024;
const SAMPLE: u64 = 64;

/// Returns the seeds to run again; none in a sweep of few seeds.
pub(super) fn sample(seeds: &Range<u64>) -> Range<u64> {
    match seeds.end - seeds.start >= FROM_SEEDS {
        true => seeds.start..seeds.start + SAMPLE,
        false => seeds.start..seeds.start,
    }
}

/// The first difference between the two processes.
pub(super) struct Divergence {
    pub(super) seed: u64,
    pub(super) message: String,
}

/// Runs the sample in another process. `hash` returns the hash of these seeds in this process, and `trace` traces a
/// run.
pub(super) fn compare(
    sample: Range<u64>,
    campaign: &Campaign<'_>,
    hash: impl Fn(Range<u64>) -> u64,
    trace: impl Fn(u64) -> Result<Vec<TraceEvent>, String>,
) -> Result<Option<Divergence>, String> {
    let differs = |seeds: Range<u64>| Ok::<_, String>(hash_elsewhere(&seeds, campaign)? != hash(seeds));
    if sample.is_empty() || !differs(sample.clone())? {
        return Ok(None);
    }
    for seed in sample.clone() {
        if differs(seed..seed + 1)? {
            let message = first_difference(&trace(seed)?, &trace_elsewhere(seed, campaign)?);
            return Ok(Some(Divergence { seed, message }));
        }
    }
    Ok(Some(Divergence {
        seed: sample.start,
        message: format!(
            "seeds {}..{} had another outcome in another process, but each of them alone has the same outcome in both",
            sample.start, sample.end
        ),
    }))
}

fn first_difference(here: &[TraceEvent], elsewhere: &str) -> String {
    let lines = here.iter().zip(elsewhere.lines());
    let mut parted = lines.filter(|(here, elsewhere)| here.to_string() != *elsewhere);
    let place = match parted.next() {
        Some((here, elsewhere)) => format!("first at event {}:\n{here}\n{elsewhere}", here.number),
        None => "two more runs had the same outcome again".to_owned(),
    };
    format!("the same schedule had another outcome in another process; {place}")
}

fn hash_elsewhere(seeds: &Range<u64>, campaign: &Campaign<'_>) -> Result<u64, String> {
    let range = format!("{}..{}", seeds.start, seeds.end);
    let jobs = campaign.other_jobs().to_string();
    let text = run(&["run", "--json", "--seeds", &range, "--jobs", &jobs], campaign)?;
    let results: Results = serde_json::from_str(&text)
        .map_err(|error| format!("another process of this program did not print results: {error}"))?;
    results.hash()
}

fn trace_elsewhere(seed: u64, campaign: &Campaign<'_>) -> Result<String, String> {
    run(&["replay", &seed.to_string(), "--trace"], campaign)
}

fn run(arguments: &[&str], campaign: &Campaign<'_>) -> Result<String, String> {
    let failed = |error| format!("another process of this program cannot be started: {error}");
    let program = std::env::current_exe().map_err(failed)?;
    let output = Command::new(program)
        .args(arguments)
        .args(campaign.arguments())
        .output()
        .map_err(failed)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
