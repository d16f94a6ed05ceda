//! Runs one schedule and judges it, once or twice.

use super::Ending;
use super::findings::Finding;
use super::results;
use super::subject::{RecordError, Subject};
use crate::linearizability::Opinion;
use crate::{Report, Schedule, ScheduleError, TraceEvent, Verdict};

/// The result of the search for a linearization of one history.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Searched {
    Not,
    Decided,
    Unknown,
}

/// C3: what clients saw, judged without the log.
fn second_opinion(
    subject: &dyn Subject,
    schedule: &Schedule,
) -> Result<(Searched, Option<Finding>), ScheduleError> {
    let recorded = match subject.record(schedule, None) {
        Ok(recorded) => recorded,
        Err(RecordError::Schedule(error)) => return Err(error),
        // Nothing is written.
        Err(RecordError::Io(_)) => return Ok((Searched::Not, None)),
    };
    let Some(opinion) = recorded.opinion else {
        return Ok((Searched::Not, None));
    };
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
pub(super) struct Judged {
    pub(super) report: Report,
    pub(super) searched: Searched,
    pub(super) finding: Option<Finding>,
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

pub(super) fn traced(subject: &dyn Subject, schedule: &Schedule) -> Result<Vec<TraceEvent>, ScheduleError> {
    let mut trace = Vec::new();
    subject.replay(schedule, &mut |event| trace.push(event))?;
    Ok(trace)
}

/// Judges one schedule. `twice` also runs it a second time, and searches for a linearization of what clients saw.
pub(super) fn judge(
    subject: &dyn Subject,
    schedule: &Schedule,
    twice: bool,
) -> Result<Judged, ScheduleError> {
    let (searched, other) = match twice {
        true => second_opinion(subject, schedule)?,
        false => (Searched::Not, None),
    };
    let report = subject.run(schedule)?;
    let verdict = report.verdict(&schedule.expect);
    let unrepeated = match twice {
        true => repeated(&report, || subject.run(schedule), || traced(subject, schedule))?,
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
    Ok(Judged {
        report,
        searched,
        finding: other.or(found),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;
    use crate::kv::KeyValue;

    fn schedule() -> Schedule {
        Profile::Calm.schedule(1)
    }

    fn report() -> Report {
        crate::run(&schedule(), &KeyValue).expect("the schedule of a seed can be run")
    }

    /// The simulated runs do not differ from one another, so the second run is given another outcome by hand.
    #[test]
    fn a_run_that_cannot_be_repeated_is_a_finding_that_says_where_the_runs_diverge() {
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
        assert_eq!(finding.ending, Ending::Nondeterminism);
    }

    #[test]
    fn a_run_that_can_be_repeated_is_not_a_finding() {
        let found = repeated(&report(), || Ok(report()), || traced(&KeyValue, &schedule()));
        assert!(found.expect("the runs are made").is_none());
    }
}
