//! The rows that every benchmark prints.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

use serde::Serialize;

/// One piece of work, done by both.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// What was done.
    pub(crate) work: String,
    /// Our figure.
    pub(crate) ours: f64,
    /// The peer's figure; not a number if the peer is missing.
    pub(crate) peer: f64,
    /// The unit of the figures.
    pub(crate) unit: &'static str,
    /// How many times better we are.
    pub(crate) ratio: f64,
    /// The ratio that we promise; zero where we promise none.
    pub(crate) due: f64,
}

/// Prints a line. A closed pipe is not an error: its reader does not want the rest.
pub(crate) fn say(line: Arguments<'_>) {
    if let Err(error) = writeln!(std::io::stdout(), "{line}")
        && error.kind() != ErrorKind::BrokenPipe
    {
        eprintln!("error: standard output: {error}");
        std::process::exit(1);
    }
}

/// Prints rows of any kind for programs.
pub(crate) fn print_json(rows: &[impl Serialize]) {
    match serde_json::to_string_pretty(rows) {
        Ok(text) => say(format_args!("{text}")),
        Err(error) => eprintln!("the rows cannot be written as JSON: {error}"),
    }
}

/// Prints every row as soon as it is measured, or all of them together for programs.
pub(crate) fn print(rows: impl Iterator<Item = Row>, json: bool) {
    if json {
        return print_json(&rows.collect::<Vec<Row>>());
    }
    say(format_args!(
        "{:<34} {:>14} {:>14} {:<14} {:>6} {:>5}",
        "work", "ours", "peer", "unit", "ratio", "due"
    ));
    for Row {
        work,
        ours,
        peer,
        unit,
        ratio,
        due,
    } in rows
    {
        // Small figures need their decimals.
        let decimals = usize::from(ours.abs() < 1000.0);
        say(format_args!(
            "{work:<34} {ours:>14.decimals$} {peer:>14.decimals$} {unit:<14} {ratio:>6.2} {due:>5.1}"
        ));
    }
}
