//! `replay`: one run, event by event.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::case::{Case, Found};
use super::subject::Subject;
use super::{Command, Ending, histories, output};
use crate::{Nanos, Place, Schedule, ScheduleError, TraceEvent, Verdict};

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    case: Case,
    /// Print only events up to this simulated time, such as 1.5s.
    #[arg(long)]
    until: Option<Nanos>,
    /// Print only events from this simulated time on.
    #[arg(long)]
    from: Option<Nanos>,
    /// Print only events of this server (and of the world).
    #[arg(long)]
    node: Option<u64>,
    /// Write what clients did and were told to this file, in Jepsen's form (EDN, one operation per line).
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Print one aligned line per event: time, number, cause, place, kind, detail. This is the default.
    #[arg(long, conflicts_with = "quiet")]
    trace: bool,
    /// Print only how the run ended.
    #[arg(long)]
    quiet: bool,
}

impl Arguments {
    /// Rejects filters that can match no event.
    fn check(&self, schedule: &Schedule) -> Result<(), String> {
        if let (Some(from), Some(until)) = (self.from, self.until)
            && from > until
        {
            return Err(format!(
                "no event is from {from} on and up to {until}; --from must not be after --until"
            ));
        }
        let servers = u64::from(schedule.cluster.all_servers());
        match self.node {
            Some(node) if !(1..=servers).contains(&node) => Err(format!(
                "the schedule has servers 1 to {servers}, and no server {node}"
            )),
            _ => Ok(()),
        }
    }
}

pub(super) fn run(arguments: &Arguments, command: &Command) -> Result<Ending, String> {
    let Found {
        subject,
        schedule,
        planting,
    } = arguments.case.find(command)?;
    let _planted = planting.plant();
    arguments.check(&schedule)?;
    if let Some(path) = &arguments.history {
        write_history(subject, &schedule, path)?;
    }
    replay(&schedule, subject, arguments).map_err(|error| error.to_string())
}

fn write_history(subject: &dyn Subject, schedule: &Schedule, path: &Path) -> Result<(), String> {
    let recorded = histories::write(subject, schedule, path);
    recorded.map(|_| ()).map_err(|error| error.at(path))
}

fn replay(
    schedule: &Schedule,
    subject: &dyn Subject,
    arguments: &Arguments,
) -> Result<Ending, ScheduleError> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut is_open = true;
    let report = subject.replay(schedule, &mut |event: TraceEvent| {
        if is_open && shows(arguments, &event) {
            is_open = output::is_open(writeln!(out, "{event}"));
        }
    })?;
    is_open = is_open && output::is_open(out.flush());
    let again = subject.run(schedule)?;
    let verdict = report.verdict(&schedule.expect);
    let (ending, line) = match &verdict {
        _ if again != report => (
            Ending::Nondeterminism,
            "a second run of the same schedule had another outcome".to_owned(),
        ),
        Verdict::Pass => (Ending::Pass, verdict.to_string()),
        Verdict::Violation(violation) => (
            Ending::Violation,
            format!("violation of {violation}\n{}", violation.oracle.description()),
        ),
        Verdict::Undetected(_) => (Ending::Violation, verdict.to_string()),
        Verdict::Vacuous(_) => (Ending::Vacuous, format!("vacuous: {verdict}")),
    };
    if is_open {
        let written = writeln!(
            out,
            "{line}\n{} events in {} simulated, {} entries committed, {} elections, hash {:016x}",
            report.events, report.at, report.committed, report.elections, report.hash
        );
        output::is_open(written.and_then(|()| out.flush()));
    }
    Ok(ending)
}

fn shows(arguments: &Arguments, event: &TraceEvent) -> bool {
    let here = match (arguments.node, event.place) {
        (Some(node), Place::Server(server)) => server.value() == node,
        (Some(_), Place::Client(_)) => false,
        _ => true,
    };
    !arguments.quiet
        && here
        && arguments.until.is_none_or(|until| event.at <= until)
        && arguments.from.is_none_or(|from| event.at >= from)
}
