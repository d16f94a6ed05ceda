//! `sim replay`: one run, event by event.

use std::io::Write;
use std::path::{Path, PathBuf};

use sim::kv::KeyValue;
use sim::{Nanos, Place, Schedule, TraceEvent, Verdict, Workload};

use crate::workload::{WorkloadName, find_schedule, with_workload};
use crate::{Ending, ProfileName, output};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A seed, a scenario, or the file of a schedule.
    #[arg(value_name = "SEED|SCENARIO|FILE")]
    what: String,
    /// The kind of schedule that a seed gives.
    #[arg(long, value_enum, default_value_t)]
    profile: ProfileName,
    /// The state machine for a seed's schedule; a file names its own.
    #[arg(long, value_enum)]
    workload: Option<WorkloadName>,
    #[cfg(feature = "planted-bugs")]
    #[command(flatten)]
    plant: crate::bugs::Plant,
    /// Print only events up to this simulated time, such as 1.5s.
    #[arg(long)]
    until: Option<Nanos>,
    /// Print only events from this simulated time on.
    #[arg(long)]
    from: Option<Nanos>,
    /// Print only events of this server (and of the world).
    #[arg(long)]
    node: Option<u64>,
    /// Write what clients of the key-value store did and were told to this file, in Jepsen's form (EDN, one operation
    /// per line).
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

pub(crate) fn run(arguments: Arguments) -> Ending {
    #[cfg(feature = "planted-bugs")]
    let _planted = arguments.plant.plant();
    let (workload, schedule) = match find_schedule(&arguments.what, arguments.profile, arguments.workload) {
        Ok(found) => found,
        Err(error) => {
            eprintln!("sim: {error}");
            return Ending::Usage;
        }
    };
    if let Err(message) = arguments.check(&schedule) {
        eprintln!("sim: {message}");
        return Ending::Usage;
    }
    if let Some(path) = &arguments.history
        && let Err(message) = write_history(workload, &schedule, path)
    {
        eprintln!("sim: {message}");
        return Ending::Usage;
    }
    match with_workload!(workload, |machine| replay(&schedule, machine, &arguments)) {
        Ok(ending) => ending,
        Err(error) => {
            eprintln!("sim: {error}");
            Ending::Usage
        }
    }
}

fn write_history(workload: WorkloadName, schedule: &Schedule, path: &Path) -> Result<(), String> {
    if workload != WorkloadName::Kv {
        return Err("a history in Jepsen's form consists of reads and writes of keys; omit --history, or use --workload kv".to_owned());
    }
    let (_, history) = sim::record(schedule, &KeyValue).map_err(|error| error.to_string())?;
    let write = || {
        let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
        sim::kv::write_edn(&history, &mut file)?;
        file.flush()
    };
    write().map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

fn replay<W: Workload>(
    schedule: &Schedule,
    workload: &W,
    arguments: &Arguments,
) -> Result<Ending, sim::ScheduleError> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut is_open = true;
    let report = sim::replay(schedule, workload, &mut |event: TraceEvent| {
        if is_open && shows(arguments, &event) {
            is_open = output::is_open(writeln!(out, "{event}"));
        }
    })?;
    is_open = is_open && output::is_open(out.flush());
    let again = sim::run(schedule, workload)?;
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
