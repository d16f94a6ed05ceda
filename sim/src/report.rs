//! The outcome of a run, and the events that it reports on the way.

use std::fmt;

use raft_core::{AppendOutcome, Envelope, LogId, Message, NodeId, Persist, Vitals};

use crate::coverage::{Coverage, Probe};
use crate::nanos::Nanos;
use crate::oracle::{Oracle, Violation};
use crate::schedule::Expectation;

/// The outcome of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What an oracle found, if any did.
    pub violation: Option<Violation>,
    /// When the run ended.
    pub at: Nanos,
    /// How many events it took.
    pub events: u64,
    /// A hash over all events and states: two runs of one schedule have the same.
    pub hash: u64,
    /// How many entries were committed.
    pub committed: u64,
    /// How many attempts clients made.
    pub attempts: u64,
    /// How many terms had a leader.
    pub elections: u64,
    /// What happened, counted.
    pub coverage: Coverage,
}

/// A run's outcome, compared with what was expected of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As expected.
    Pass,
    /// An oracle found something that was not expected, or something else than expected.
    Violation(Violation),
    /// This oracle was expected to find something, and did not.
    Undetected(Oracle),
    /// Something that was required did not happen, so that passing means nothing.
    Vacuous(Vec<Probe>),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("passed"),
            Self::Violation(violation) => f.write_str(&violation.message),
            Self::Undetected(oracle) => write!(f, "{oracle} was expected to report a violation, but did not"),
            Self::Vacuous(missed) if missed.is_empty() => f.write_str("nothing was committed"),
            Self::Vacuous(missed) => {
                f.write_str("these never happened:")?;
                missed.iter().try_for_each(|probe| write!(f, " {probe}"))
            }
        }
    }
}

impl Report {
    /// The run's hash, tied to its number (its seed, in a sweep). The sum of these, in any order and in parts, is the
    /// hash of many runs.
    pub const fn hash_as(&self, number: u64) -> u64 {
        self.hash.wrapping_mul(number.wrapping_mul(2).wrapping_add(1))
    }

    /// Whether the run stayed within the fault budget, so that everything that clients saw must be consistent.
    pub fn is_within_budget(&self) -> bool {
        self.coverage.count(Probe::BudgetExceeded) == 0
    }

    /// Compares the run with what was expected of it. A run that commits nothing is vacuous whatever was expected.
    pub fn verdict(&self, expected: &Expectation) -> Verdict {
        match (&self.violation, expected.violation) {
            (Some(found), None) => return Verdict::Violation(found.clone()),
            (Some(found), Some(oracle)) if found.oracle != oracle => {
                return Verdict::Violation(found.clone());
            }
            (None, Some(oracle)) => return Verdict::Undetected(oracle),
            _ => {}
        }
        let missed: Vec<Probe> = expected
            .probes
            .iter()
            .copied()
            .filter(|&probe| self.coverage.count(probe) == 0)
            .collect();
        // Where disks lost so much that nothing is promised, nothing need have been committed.
        let is_promised = self.coverage.count(Probe::HealUnjudged) == 0 && self.is_within_budget();
        if !missed.is_empty() || (self.committed == 0 && is_promised) {
            return Verdict::Vacuous(missed);
        }
        Verdict::Pass
    }
}

/// Where an event happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At a server.
    Server(NodeId),
    /// At a client.
    Client(u8),
    /// Everywhere.
    World,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(node) => f.pad(&format!("server {node}")),
            Self::Client(client) => f.pad(&format!("client {client}")),
            Self::World => f.pad("world"),
        }
    }
}

/// One line of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceEvent {
    /// The number of the event; what happens during an event shares its number.
    pub number: u64,
    /// The number of the event that caused it.
    pub cause: u64,
    /// When.
    pub at: Nanos,
    /// Where.
    pub place: Place,
    /// The kind of event.
    pub what: &'static str,
    /// The details.
    pub detail: String,
}

impl fmt::Display for TraceEvent {
    /// Aligned columns: milliseconds, number, cause, place, kind, detail.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.at.value() / 1_000;
        let (number, cause) = (self.number, self.cause);
        write!(
            f,
            "{:>8}.{:03} ms {number:>7} <- {cause:<7}",
            micros / 1_000,
            micros % 1_000
        )?;
        write!(f, " {:<9} {:<8} {}", self.place, self.what, self.detail)
    }
}

pub(crate) fn or_none(id: Option<LogId>) -> String {
    id.map_or("none".to_owned(), |id| id.to_string())
}

/// Describes a message in one line.
pub(crate) fn describe(envelope: &Envelope) -> String {
    let name = envelope.message.name();
    let rest = match &envelope.message {
        Message::PreVote { ask, last } => format!("for term {ask}, last {}", or_none(*last)),
        Message::PreVoteReply { ask, granted } => format!("for term {ask}: {granted}"),
        Message::Vote { last } | Message::TransferVote { last } => format!("last {}", or_none(*last)),
        Message::VoteReply { granted } => granted.to_string(),
        Message::Append {
            prev,
            commit,
            entries,
            round,
            ..
        } => format!(
            "round {round}, after {}, {} entries, commit {}",
            or_none(*prev),
            entries.len(),
            crate::oracle::count(*commit)
        ),
        Message::AppendReply {
            outcome: AppendOutcome::Accepted { last },
            round,
            ..
        } => {
            format!("round {round}, accepted up to {}", or_none(*last))
        }
        Message::AppendReply {
            outcome: AppendOutcome::Rejected { prev, hint },
            ..
        } => {
            format!("rejected after {}, hint {}", or_none(*prev), or_none(*hint))
        }
        Message::Heartbeat { round, commit, .. } => format!("round {round}, commit {}", or_none(*commit)),
        Message::HeartbeatReply { round, .. } => format!("round {round}"),
        Message::SnapshotChunk {
            meta,
            offset,
            data,
            total_bytes,
            ..
        } => {
            format!(
                "up to {}, bytes {offset}..{} of {total_bytes}",
                meta.last,
                offset.saturating_add(data.len() as u64)
            )
        }
        Message::SnapshotReply {
            last, received_bytes, ..
        } => format!("up to {last}, {received_bytes} bytes"),
        Message::HelloReply { standing } => format!("{standing:?}"),
        Message::Forward { floor, commands, .. } => {
            let numbers: Vec<u64> = commands.iter().map(|(number, _)| *number).collect();
            format!("commands {numbers:?}, all below {floor} settled")
        }
        Message::Hello | Message::TimeoutNow => String::new(),
        other => format!("{other:?}"),
    };
    let (from, to, term) = (envelope.from, envelope.to, envelope.term);
    format!("{from} -> {to} t{term} {name} {rest}")
        .trim_end()
        .to_owned()
}

/// Describes what a server starts from, in one line.
pub(crate) fn describe_start(boot: u64, vitals: &Vitals) -> String {
    let Vitals {
        term, last, commit, ..
    } = *vitals;
    format!(
        "boot {boot}, term {term}, last {}, commit {}",
        or_none(last),
        crate::oracle::count(commit)
    )
}

/// Describes a write in one line.
pub(crate) fn describe_persist(persist: &Persist) -> String {
    let mut text = format!("ticket {}", persist.ticket);
    if let Some(hard_state) = &persist.hard_state {
        let vote = hard_state.vote.map_or("none".to_owned(), |vote| vote.to_string());
        text += &format!(", term {} vote {vote}", hard_state.term);
    }
    if let Some(meta) = &persist.snapshot {
        text += &format!(", snapshot up to {}", meta.last);
    }
    if let Some(from) = persist.truncate_from {
        text += &format!(", truncate from {from}");
    }
    if let (Some(first), Some(last)) = (persist.entries.first(), persist.entries.last()) {
        text += &format!(", entries {}..={}", first.id, last.id);
    }
    if let Some(commit) = persist.commit {
        text += &format!(", commit {commit}");
    }
    if let Some(to) = persist.compact_to {
        text += &format!(", compact to {to}");
    }
    if persist.sync {
        text += ", sync";
    }
    text
}
