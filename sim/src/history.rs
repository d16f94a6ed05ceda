//! What clients did and were told, in order: the history that other people's checkers judge.

use std::collections::BTreeSet;
use std::io;

use crate::nanos::Nanos;
use crate::schedule::OperationKind;
use crate::workload::{AnswerOf, Call, ResponseOf, Workload};

/// One line of a history.
pub struct HistoryEvent<W: Workload> {
    /// The client process. A process waits for one thing at a time; a process that never learns an outcome does nothing
    /// ever again.
    pub process: u64,
    /// When it happened.
    pub at: Nanos,
    /// The number of the request, which is that of its first attempt. An operation that a client repeats until it is
    /// answered is one request.
    pub attempt: u64,
    /// Whether the request is a write or a read...
    pub kind: OperationKind,
    /// ...and on which of the workload's objects.
    pub choice: u64,
    /// What the client remembered when it made the request ([`Call::memory`]).
    pub memory: u64,
    /// What happened.
    pub what: Happened<W>,
}

/// What happened in a line of a history.
pub enum Happened<W: Workload> {
    /// The process sent its request.
    Invoked,
    /// The command was applied, with this response.
    Written(ResponseOf<W>),
    /// The query was answered.
    Read(AnswerOf<W>),
    /// The request had no effect.
    Failed,
    /// It is unknown whether the request took effect.
    Unknown,
}

/// Writes a history as Jepsen does: EDN, one operation a line, unknown outcomes as `:info`, values as
/// `[object attempt]`. What a client was told is a string.
pub(crate) fn write_edn<W: Workload>(history: &[HistoryEvent<W>], out: &mut dyn io::Write) -> io::Result<()> {
    for (event, index) in history.iter().zip(0_u64..) {
        let HistoryEvent {
            process,
            choice,
            attempt,
            ..
        } = event;
        let function = match event.kind {
            OperationKind::Write => "write",
            OperationKind::Read => "read",
        };
        let told = match &event.what {
            Happened::Written(response) => format!(", :told {:?}", format!("{response:?}")),
            Happened::Read(answer) => format!(", :told {:?}", format!("{answer:?}")),
            Happened::Invoked | Happened::Failed | Happened::Unknown => String::new(),
        };
        let (kind, at) = (event.what.kind(), event.at.value());
        writeln!(
            out,
            "{{:process {process}, :type :{kind}, :f :{function}, :value [{choice} {attempt}]{told}, :time {at}, :index {index}}}"
        )?;
    }
    Ok(())
}

impl<W: Workload> Happened<W> {
    /// The type of the operation, as Jepsen names it.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Invoked => "invoke",
            Self::Written(_) | Self::Read(_) => "ok",
            Self::Failed => "fail",
            Self::Unknown => "info",
        }
    }
}

/// A history that is being recorded.
pub(crate) struct History<W: Workload> {
    pub(crate) events: Vec<HistoryEvent<W>>,
    /// The idle processes.
    idle: BTreeSet<u64>,
    processes: u64,
    /// The process that makes each attempt.
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

    pub(crate) fn invoked(&mut self, at: Nanos, call: &Call, kind: OperationKind) {
        let process = self.idle.pop_first().unwrap_or_else(|| {
            self.processes += 1;
            self.processes - 1
        });
        self.waiting.push((call.request, process));
        self.events.push(HistoryEvent {
            process,
            at,
            attempt: call.request,
            kind,
            choice: call.choice,
            memory: call.memory,
            what: Happened::Invoked,
        });
    }

    pub(crate) fn ended(&mut self, at: Nanos, call: &Call, kind: OperationKind, what: Happened<W>) {
        let attempt = call.request;
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
            choice: call.choice,
            memory: call.memory,
            what,
        });
    }
}
