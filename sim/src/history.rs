//! What clients did and were told, in order: the history that other people's checkers judge.

use std::collections::BTreeSet;

use crate::nanos::Nanos;
use crate::schedule::OperationKind;
use crate::workload::{AnswerOf, ResponseOf, Workload};

/// One line of a history.
pub struct HistoryEvent<W: Workload> {
    /// Who. A process waits for one thing at a time; one that does not learn what became of it does nothing ever again.
    pub process: u64,
    /// When.
    pub at: Nanos,
    /// The number of the request: that of its first attempt. What a client repeats until it is answered is one request.
    pub attempt: u64,
    /// A write or a read...
    pub kind: OperationKind,
    /// ...of which of the things that there are.
    pub choice: u64,
    /// What happened.
    pub what: Happened<W>,
}

/// What happened in a line of a history.
pub enum Happened<W: Workload> {
    /// The process asked.
    Invoked,
    /// The command was applied, with this response.
    Written(ResponseOf<W>),
    /// The query was answered.
    Read(AnswerOf<W>),
    /// It had no effect.
    Failed,
    /// Nobody knows what became of it.
    Unknown,
}

/// A history that is being written down.
pub(crate) struct History<W: Workload> {
    pub(crate) events: Vec<HistoryEvent<W>>,
    /// Processes that wait for nothing.
    idle: BTreeSet<u64>,
    processes: u64,
    /// Which process makes which attempt.
    waiting: Vec<(u64, u64)>,
}

impl<W: Workload> History<W> {
    pub(crate) fn new() -> Self {
        Self {
            events: Vec::new(),
            idle: BTreeSet::new(),
            processes: 0,
            waiting: Vec::new(),
        }
    }

    pub(crate) fn invoked(&mut self, at: Nanos, attempt: u64, kind: OperationKind, choice: u64) {
        let process = self.idle.pop_first().unwrap_or_else(|| {
            self.processes += 1;
            self.processes - 1
        });
        self.waiting.push((attempt, process));
        self.events.push(HistoryEvent {
            process,
            at,
            attempt,
            kind,
            choice,
            what: Happened::Invoked,
        });
    }

    pub(crate) fn ended(
        &mut self,
        at: Nanos,
        attempt: u64,
        kind: OperationKind,
        choice: u64,
        what: Happened<W>,
    ) {
        let Some(place) = self.waiting.iter().position(|(waiting, _)| *waiting == attempt) else {
            return;
        };
        let (_, process) = self.waiting.swap_remove(place);
        if !matches!(what, Happened::Unknown) {
            self.idle.insert(process);
        }
        self.events.push(HistoryEvent {
            process,
            at,
            attempt,
            kind,
            choice,
            what,
        });
    }
}
