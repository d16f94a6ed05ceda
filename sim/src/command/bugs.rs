//! `bugs`: how soon random search finds each bug of the bank, and how small the failing run becomes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::jobs::side_by_side;
use super::output::{complain, say};
use super::progress::Progress;
use super::subject::Subject;
use super::{Command, Ending};
use crate::planted::{self, Bug, Find};
use crate::schedule::Family;
use crate::store::{self, StoreSchedule, StoreUnderTest};
use crate::{Profile, ScheduleError};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Only this bug; may be given several times.
    #[arg(long, value_name = "NAME")]
    bug: Vec<String>,
    /// How many disjoint ranges of seeds to search, each until the bug is found.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    ranges: u64,
    /// How many seeds a range has.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    seeds: u64,
    /// How many searches to make at once.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=256))]
    jobs: u64,
    /// List the bugs, with a sentence each, without searching.
    #[arg(long)]
    list: bool,
    /// Do not shrink an example of each.
    #[arg(long)]
    no_shrink: bool,
    /// Search again without each family of faults, and say which bugs need it. Bugs of the store are left out; it has
    /// no such families.
    #[arg(long, conflicts_with = "list")]
    ablation: bool,
    /// Print an array of rows.
    #[arg(long)]
    json: bool,
}

/// The results for one bug.
struct Row {
    bug: &'static Bug,
    /// The result of one search for each range.
    finds: Vec<Option<Find>>,
    example: Option<Example>,
}

/// One failing run, shrunk.
struct Example {
    seed: u64,
    before: usize,
    after: usize,
    runs: u64,
}

impl Row {
    fn is_found(&self) -> bool {
        self.finds.iter().any(Option::is_some)
    }

    /// Returns the oracles that found it, the most frequent one first.
    fn oracles(&self) -> Vec<(String, usize)> {
        let mut counted = BTreeMap::new();
        for find in self.finds.iter().flatten() {
            *counted.entry(find.oracle).or_insert(0_usize) += 1;
        }
        let mut counted: Vec<_> = counted.into_iter().collect();
        counted.sort_by_key(|&(oracle, count)| (std::cmp::Reverse(count), oracle));
        counted
            .into_iter()
            .map(|(oracle, count)| (oracle.to_string(), count))
            .collect()
    }

    /// Returns the number of seeds within which this percentage of the ranges found it; `None` if fewer ranges found
    /// it.
    fn seeds_within(&self, per_cent: usize) -> Option<u64> {
        let mut seeds: Vec<u64> = self.finds.iter().flatten().map(|find| find.seeds).collect();
        seeds.sort_unstable();
        // The nearest rank, counted among all ranges: those that did not find it come last.
        let rank = (self.finds.len() * per_cent).div_ceil(100).max(1);
        seeds.get(rank - 1).copied()
    }

    /// Returns the first find of the most frequent oracle.
    fn typical(&self) -> Option<Find> {
        let (oracle, _) = self.oracles().into_iter().next()?;
        self.finds
            .iter()
            .flatten()
            .find(|find| find.oracle.to_string() == oracle)
            .copied()
    }

    fn as_json(&self) -> Value {
        let oracles = self.oracles();
        let searches: Vec<Value> = self
            .finds
            .iter()
            .map(|find| find.map_or(Value::Null, |find| json!(find.seeds)))
            .collect();
        let mut row = json!({
            "bug": self.bug.name,
            "family": self.bug.family,
            "found": self.is_found(),
            "oracle": oracles.first().map(|(oracle, _)| oracle),
            "oracles": oracles.iter().cloned().collect::<BTreeMap<_, _>>(),
            "seeds": self.seeds_within(50),
            "seeds_95": self.seeds_within(95),
            "searches": searches,
        });
        if let (Some(example), Some(row)) = (&self.example, row.as_object_mut()) {
            row.insert("seed".to_owned(), json!(example.seed));
            row.insert("items_before".to_owned(), json!(example.before));
            row.insert("items_after".to_owned(), json!(example.after));
            row.insert("shrink_runs".to_owned(), json!(example.runs));
        }
        row
    }

    fn print(&self) {
        let oracles: Vec<String> = self.oracles().into_iter().map(|(oracle, _)| oracle).collect();
        let oracles = if oracles.is_empty() {
            "-".to_owned()
        } else {
            oracles.join(", ")
        };
        let found = |per_cent| match (self.seeds_within(per_cent), self.is_found()) {
            (Some(seeds), _) => seeds.to_string(),
            (None, true) => "late".to_owned(),
            (None, false) => "never".to_owned(),
        };
        let (median, high) = (found(50), found(95));
        let size = self.example.as_ref().map_or("-".to_owned(), |example| {
            format!("{} -> {}", example.before, example.after)
        });
        let (name, family) = (self.bug.name, self.bug.family);
        say!("| {name} | {family} | {oracles} | {median} | {high} | {size} |");
    }
}

/// What bugs are searched for with.
struct Hunt<'a> {
    arguments: &'a Arguments,
    subject: &'a dyn Subject,
    store: Option<&'a dyn StoreUnderTest>,
}

pub(super) fn run(arguments: &Arguments, command: &Command) -> Result<Ending, String> {
    let bugs: Vec<&'static Bug> = match arguments.bug.is_empty() {
        true => command.bank.clone(),
        false => (arguments.bug.iter())
            .map(|name| command.find_bug(name))
            .collect::<Result<_, _>>()?,
    };
    if arguments.list {
        for bug in bugs {
            say!("{:<32} {:<12} {}", bug.name, bug.family, bug.sentence);
        }
        return Ok(Ending::Pass);
    }
    let hunt = Hunt {
        arguments,
        subject: command.chosen(None)?,
        store: command
            .store
            .as_ref()
            .map(|store| &**store as &dyn StoreUnderTest),
    };
    if arguments.ablation {
        hunt.ablate(&bugs);
        return Ok(Ending::Pass);
    }
    let rows = hunt.measure(&bugs, None);
    if arguments.json {
        say!("{}", Value::Array(rows.iter().map(Row::as_json).collect()));
    } else {
        say!("| bug | family | found by | median | 95 % | size |\n|---|---|---|---|---|---|");
        rows.iter().for_each(Row::print);
    }
    let missed: Vec<&str> = rows
        .iter()
        .filter(|row| !row.is_found())
        .map(|row| row.bug.name)
        .collect();
    if missed.is_empty() {
        return Ok(Ending::Pass);
    }
    complain(&format!("not found: {}", missed.join(", ")));
    Ok(Ending::Violation)
}

/// A bug counts as found later only if it takes this many times as many seeds; less may be chance.
const SLOWER: u64 = 4;

impl Hunt<'_> {
    /// Prints, for each family of faults, the bugs that are not found without it, or much later.
    fn ablate(&self, bugs: &[&'static Bug]) {
        let bugs: Vec<&'static Bug> = bugs.iter().copied().filter(|bug| !is_of_the_store(bug)).collect();
        let seeds_of = |without| {
            let rows = self.measure(&bugs, without);
            rows.into_iter()
                .map(|row| row.seeds_within(50))
                .collect::<Vec<_>>()
        };
        let base = seeds_of(None);
        let mut table = Vec::new();
        for family in Family::ALL {
            let found = seeds_of(Some(family));
            let compared = bugs.iter().zip(base.iter().zip(&found));
            let of = |matters: &dyn Fn(u64, Option<u64>) -> bool| {
                let chosen = compared
                    .clone()
                    .filter(|(_, (base, found))| base.is_some_and(|base| matters(base, **found)));
                chosen.map(|(bug, _)| bug.name).collect::<Vec<_>>()
            };
            let lost = of(&|_, found| found.is_none());
            let slower = of(&|base, found| found.is_some_and(|found| found > SLOWER * base.max(2)));
            table.push((family.name(), lost, slower));
        }
        if self.arguments.json {
            let rows = table.iter().map(
                |(without, lost, slower)| json!({ "without": without, "not_found": lost, "found_later": slower }),
            );
            say!("{}", Value::Array(rows.collect()));
            return;
        }
        say!("| without | not found | found much later |\n|---|---|---|");
        for (without, lost, slower) in table {
            say!("| {without} | {} | {} |", lost.join(", "), slower.join(", "));
        }
    }

    /// Searches every range for every bug, then shrinks an example of each.
    fn measure(&self, bugs: &[&'static Bug], without: Option<Family>) -> Vec<Row> {
        let Arguments { ranges, seeds, .. } = *self.arguments;
        let searches: Vec<(&'static Bug, u64)> = bugs
            .iter()
            .flat_map(|&bug| (0..ranges).map(move |range| (bug, range)))
            .collect();
        let finds = self.of_each("searches", &searches, |&(bug, range)| {
            let first = range * seeds;
            let seeds = first..first + seeds;
            if is_of_the_store(bug) {
                return planted::hunt_store(bug, seeds, self.store?);
            }
            let schedule = |seed| {
                let whole = self.subject.schedule(Profile::Swarm, seed);
                match without {
                    Some(family) => whole.without(family),
                    None => whole,
                }
            };
            self.subject.hunt(bug, seeds, &schedule)
        });
        let ranges = usize::try_from(ranges).unwrap_or(usize::MAX);
        let mut rows: Vec<Row> = bugs
            .iter()
            .zip(finds.chunks(ranges))
            .map(|(&bug, finds)| Row {
                bug,
                finds: finds.to_vec(),
                example: None,
            })
            .collect();
        if !self.arguments.no_shrink && !self.arguments.ablation {
            let examples = self.of_each("examples", &rows, |row| {
                self.shrink(row.bug, row.typical()?).ok().flatten()
            });
            for (row, example) in rows.iter_mut().zip(examples) {
                row.example = example;
            }
        }
        rows
    }

    fn shrink(&self, bug: &'static Bug, find: Find) -> Result<Option<Example>, ScheduleError> {
        let _planted = bug.plant();
        let seed = find.seed;
        if is_of_the_store(bug) {
            let schedule = StoreSchedule::of(seed);
            let shrunk = self.store.and_then(|store| store::shrink(&schedule, store));
            return Ok(shrunk.map(|shrunk| Example {
                seed,
                before: schedule.items(),
                after: shrunk.schedule.items(),
                runs: shrunk.runs,
            }));
        }
        let schedule = self.subject.schedule(Profile::Swarm, seed);
        let shrunk = self.subject.shrink(&schedule, &mut |_, _| {})?;
        Ok(shrunk.map(|shrunk| Example {
            seed,
            before: shrunk.items_before,
            after: shrunk.items_after,
            runs: shrunk.runs,
        }))
    }

    /// Does the same to every item, and returns the results in the order of the items.
    fn of_each<T: Sync, R: Send>(&self, what: &str, items: &[T], each: impl Fn(&T) -> R + Sync) -> Vec<R> {
        let progress = Progress::of(items.len() as u64, what).unless(self.arguments.json);
        let mut results = BTreeMap::new();
        let item = |place: u64| items.get(usize::try_from(place).ok()?).map(&each);
        side_by_side(
            0..items.len() as u64,
            self.arguments.jobs,
            item,
            |place, result| {
                results.extend(result.map(|result| (place, result)));
                progress.show(results.len() as u64, String::new);
            },
        );
        results.into_values().collect()
    }
}

/// Whether the bug is searched for with runs of the store instead of clusters.
fn is_of_the_store(bug: &Bug) -> bool {
    bug.family == "store"
}
