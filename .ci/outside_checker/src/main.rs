//! Judges the histories of a folder that `sim histories` has written, by a linearizability checker that shares no code
//! with the simulator, and compares its opinions with sim's own. Every history is then made wrong on purpose, and must
//! be judged wrong: a checker that accepts everything would agree as well.
//!
//! Usage: outside_checker FOLDER

mod history;
mod judge;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use judge::{Opinion, judge};

/// How many histories have each opinion.
#[derive(Default)]
struct Tally {
    linearizable: u64,
    not_linearizable: u64,
    unknown: u64,
}

impl Tally {
    fn add(&mut self, opinion: Opinion) {
        match opinion {
            Opinion::Linearizable => self.linearizable += 1,
            Opinion::NotLinearizable => self.not_linearizable += 1,
            Opinion::Unknown => self.unknown += 1,
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            linearizable,
            not_linearizable,
            unknown,
        } = self;
        let all = linearizable + not_linearizable + unknown;
        write!(
            f,
            "{all} judged: {linearizable} linearizable, {not_linearizable} not, {unknown} unknown"
        )
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder] = arguments.as_slice() else {
        eprintln!("usage: outside_checker FOLDER");
        return ExitCode::from(2);
    };
    match judge_all(Path::new(folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("outside_checker: {message}");
            ExitCode::FAILURE
        }
    }
}

fn judge_all(folder: &Path) -> Result<(), String> {
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let (mut theirs, mut forged) = (Tally::default(), Tally::default());
    let (mut agreed, mut undecided, mut disagreed) = (0_u64, 0_u64, Vec::new());
    for (seed, ours) in opinions(&read("opinions.tsv")?)? {
        let history = history::parse(&read(&format!("{seed}.edn"))?)
            .map_err(|message| format!("{seed}.edn, {message}"))?;
        let opinion = judge(&history);
        theirs.add(opinion);
        match opinion == ours {
            _ if opinion == Opinion::Unknown || ours == Opinion::Unknown => undecided += 1,
            true => agreed += 1,
            false => disagreed.push(seed),
        }
        if let Some(wrong) = history::forge(&history) {
            forged.add(judge(&wrong));
        }
    }
    println!("histories: {theirs}");
    println!(
        "sim and the outside checker: {agreed} agreed, {undecided} unknown to one of them, {} disagreed",
        disagreed.len()
    );
    println!("the same made wrong on purpose: {forged}");
    if !disagreed.is_empty() {
        return Err(format!("sim has another opinion on seeds {disagreed:?}"));
    }
    if forged.linearizable > 0 || forged.not_linearizable == 0 {
        return Err("histories that were made wrong on purpose were not judged wrong".to_owned());
    }
    match theirs.not_linearizable {
        0 => Ok(()),
        _ => Err("histories of a sound library are not linearizable".to_owned()),
    }
}

/// The opinion of sim's own search on each seed.
fn opinions(text: &str) -> Result<BTreeMap<u64, Opinion>, String> {
    let opinion = |line: &str| {
        let (seed, opinion) = line.split_once('\t')?;
        let opinion = match opinion {
            "linearizable" => Opinion::Linearizable,
            "not linearizable" => Opinion::NotLinearizable,
            "unknown" => Opinion::Unknown,
            _ => return None,
        };
        Some((seed.parse().ok()?, opinion))
    };
    text.lines()
        .map(|line| opinion(line).ok_or_else(|| format!("opinions.tsv: not an opinion: {line}")))
        .collect()
}
