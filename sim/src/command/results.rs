//! The results of a sweep, as `run --json` prints them and `merge` reads them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Ending;
use super::output::{complain, program, say};

/// The results of many runs. Those of disjoint seeds add up, in any order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Results {
    /// The version of the simulator: another version gives other runs for the same seeds.
    pub(super) version: String,
    /// The state machine; none for files, each of which names its own.
    pub(super) workload: Option<String>,
    pub(super) profile: Option<String>,
    /// The ranges of seeds, from the first up to but not including the last, in order; none for files.
    pub(super) seeds: Vec<[u64; 2]>,
    pub(super) schedules: u64,
    /// By the clock on the wall, summed over everything that was merged: the rate is that of one part.
    pub(super) micros: u64,
    pub(super) schedules_per_second: u64,
    pub(super) simulated_nanos: u64,
    pub(super) events: u64,
    pub(super) committed: u64,
    pub(super) elections: u64,
    pub(super) linearizability: Searches,
    pub(super) findings: Vec<Found>,
    /// The canaries that were found, each with how many of the merged campaigns found it; none where seeds are too few.
    pub(super) canaries: BTreeMap<String, u64>,
    /// How often each probe was hit.
    pub(super) coverage: BTreeMap<String, u64>,
    /// Sixteen hexadecimal digits; those of parts add up to that of the whole.
    pub(super) hash: String,
}

/// The searches for a linearization of what clients saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Searches {
    pub(super) searched: u64,
    pub(super) unknown: u64,
}

/// A run that did not pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Found {
    /// The seed, or the number of the file.
    pub(super) seed: u64,
    /// "seed 4711", or the file.
    pub(super) name: String,
    pub(super) oracle: String,
    pub(super) message: String,
    /// The command that shows the run.
    pub(super) replay: String,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}: {}\n    {}",
            self.name, self.oracle, self.message, self.replay
        )
    }
}

impl Results {
    /// Reads what `run --json` printed, once or several times into the same file, and adds it up.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let place = path.display();
        let text = std::fs::read(path).map_err(|error| format!("{place} cannot be read: {error}"))?;
        let mut sum: Option<Self> = None;
        let mut parts = serde_json::Deserializer::from_slice(&text).into_iter::<Self>();
        loop {
            let begin = parts.byte_offset();
            let part = match parts.next() {
                None => break,
                Some(Err(error)) if !error.is_data() && is_unfinished_line(&text[begin..]) => {
                    complain(&format!("{place}: the last line is unfinished and is left out"));
                    break;
                }
                Some(part) => part.map_err(|error| {
                    format!(
                        "{place} is not what {} run --json of this version prints: {error}",
                        program()
                    )
                })?,
            };
            part.check().map_err(|error| format!("{place} {error}"))?;
            match &mut sum {
                None => sum = Some(part),
                Some(sum) => sum.add(part).map_err(|error| format!("{place}: {error}"))?,
            }
        }
        sum.ok_or_else(|| format!("{place} holds no results"))
    }

    /// Rejects results that no sweep has, which would add up to a wrong sum.
    fn check(&self) -> Result<(), String> {
        if self.seeds.is_empty() {
            return Err("is of schedule files; only sweeps over seeds can be merged".to_owned());
        }
        let mut seeds = 0_u128;
        for [first, end] in &self.seeds {
            match end.checked_sub(*first) {
                None | Some(0) => return Err(format!("has a part of seeds {first}..{end}, an empty range")),
                Some(count) => seeds += u128::from(count),
            }
        }
        // A seed whose schedule could not be run counts as a finding, and not as a schedule.
        let some_did_not_run = self.findings.iter().any(|found| found.oracle == SCHEDULE);
        let schedules = u128::from(self.schedules);
        if schedules > seeds || (schedules < seeds && !some_did_not_run) {
            return Err(format!(
                "has a part of {seeds} seeds that counts {schedules} schedules"
            ));
        }
        self.hash()
            .map(|_| ())
            .map_err(|error| format!("has a part without a valid hash: {error}"))
    }

    /// Adds the results of other seeds.
    pub(super) fn add(&mut self, other: Self) -> Result<(), String> {
        for (what, one, another) in [
            ("version", Some(&self.version), Some(&other.version)),
            ("workload", self.workload.as_ref(), other.workload.as_ref()),
            ("profile", self.profile.as_ref(), other.profile.as_ref()),
        ] {
            if one != another {
                let name = |what: Option<&String>| what.map_or("none", String::as_str).to_owned();
                return Err(format!(
                    "the parts are of different sweeps: the {what} of one is {}, that of another {}",
                    name(one),
                    name(another)
                ));
            }
        }
        self.hash = format!("{:016x}", self.hash()?.wrapping_add(other.hash()?));
        self.seeds.extend(other.seeds);
        self.seeds = joined(std::mem::take(&mut self.seeds))?;
        self.findings.extend(other.findings);
        self.findings.sort_by_key(|found| found.seed);
        for (canary, count) in other.canaries {
            add(self.canaries.entry(canary).or_default(), count)?;
        }
        for (probe, count) in other.coverage {
            add(self.coverage.entry(probe).or_default(), count)?;
        }
        for (sum, count) in [
            (&mut self.schedules, other.schedules),
            (&mut self.micros, other.micros),
            (&mut self.simulated_nanos, other.simulated_nanos),
            (&mut self.events, other.events),
            (&mut self.committed, other.committed),
            (&mut self.elections, other.elections),
            (&mut self.linearizability.searched, other.linearizability.searched),
            (&mut self.linearizability.unknown, other.linearizability.unknown),
        ] {
            add(sum, count)?;
        }
        self.schedules_per_second = per_second(self.schedules, self.micros);
        Ok(())
    }

    pub(super) fn hash(&self) -> Result<u64, String> {
        number(&self.hash)
    }

    /// Returns seeds between others that no part has.
    pub(super) fn missing(&self) -> Option<[u64; 2]> {
        let gap = self.seeds.array_windows().next();
        gap.map(|[[_, end], [first, _]]| [*end, *first])
    }

    /// Returns how the whole ended: the worst of all endings.
    pub(super) fn ending(&self) -> Ending {
        Ending::worst(self.findings.iter().map(|found| match found.oracle.as_str() {
            VACUOUS => Ending::Vacuous,
            DETERMINISM => Ending::Nondeterminism,
            SCHEDULE => Ending::Usage,
            _ => Ending::Violation,
        }))
    }

    /// Prints one JSON object, or the same in words.
    fn tell(&self, as_json: bool) -> Result<(), String> {
        match as_json {
            true => say!(
                "{}",
                serde_json::to_string(self).map_err(|error| error.to_string())?
            ),
            false => self.print(),
        }
        Ok(())
    }

    fn print(&self) {
        for found in &self.findings {
            say!("{found}");
        }
        for [first, end] in &self.seeds {
            say!("seeds {first}..{end}");
        }
        say!(
            "{}, {}, {}, {} entries committed, {}",
            counted(self.schedules, "schedule"),
            counted(self.simulated_nanos / 1_000_000_000, "simulated second"),
            counted(self.events, "event"),
            self.committed,
            counted(self.elections, "election")
        );
        say!(
            "{} schedules/s, {} ns per event",
            self.schedules_per_second,
            self.micros.saturating_mul(1_000) / self.events.max(1)
        );
        if self.linearizability.searched > 0 {
            say!(
                "{} histories searched for a linearization, {} of them without an answer in time",
                self.linearizability.searched,
                self.linearizability.unknown
            );
        }
        let missed: Vec<&str> = (self.coverage.iter())
            .filter(|(_, count)| **count == 0)
            .map(|(probe, _)| probe.as_str())
            .collect();
        // For a single file, the probes that were not hit are of no interest.
        if !missed.is_empty() && !self.seeds.is_empty() {
            say!("never happened: {}", missed.join(", "));
        }
        if !self.canaries.is_empty() {
            let names: Vec<&str> = self.canaries.keys().map(String::as_str).collect();
            say!("canaries found: {}", names.join(", "));
        }
        say!(
            "{}, hash {}",
            counted(self.findings.len() as u64, "finding"),
            self.hash
        );
    }
}

/// Prints the results, and returns the worst ending.
pub(super) fn conclude(results: &Results, as_json: bool) -> Result<Ending, String> {
    results.tell(as_json)?;
    Ok(results.ending())
}

/// Replaces the oracle of a run that proves nothing.
pub(super) const VACUOUS: &str = "vacuous";
/// Replaces the oracle of a run that had two different outcomes.
pub(super) const DETERMINISM: &str = "determinism";
/// Replaces the oracle of a run that could not be run.
pub(super) const SCHEDULE: &str = "schedule";

/// Returns a rate, as a whole number. Below 10 a second it loses digits, but then the number of schedules and the
/// duration tell more anyway.
pub(super) fn per_second(count: u64, micros: u64) -> u64 {
    let rate = u128::from(count) * 1_000_000 / u128::from(micros.max(1));
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// Returns a count with its noun, in the plural where needed.
pub(super) fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

fn number(hash: &str) -> Result<u64, String> {
    let is_hexadecimal = hash.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = u64::from_str_radix(hash, 16).ok().filter(|_| is_hexadecimal);
    number.ok_or_else(|| format!("\"{hash}\" is not the hash of a sweep"))
}

/// Whether this is one line without an end, which a full disk or a power failure leaves of the last write.
fn is_unfinished_line(rest: &[u8]) -> bool {
    !rest.trim_ascii_start().contains(&b'\n')
}

fn add(sum: &mut u64, count: u64) -> Result<(), String> {
    *sum = sum
        .checked_add(count)
        .ok_or_else(|| "the counts of the parts add up to more than 64 bits hold".to_owned())?;
    Ok(())
}

/// The ranges in order, neighbours joined.
fn joined(mut ranges: Vec<[u64; 2]>) -> Result<Vec<[u64; 2]>, String> {
    ranges.sort_unstable();
    let mut joined: Vec<[u64; 2]> = Vec::new();
    for [first, end] in ranges {
        match joined.last_mut() {
            Some([_, last]) if first < *last => {
                return Err(format!(
                    "seeds {first}..{} are in two parts, and would count twice",
                    end.min(*last)
                ));
            }
            Some([_, last]) if first == *last => *last = end,
            _ => joined.push([first, end]),
        }
    }
    Ok(joined)
}
