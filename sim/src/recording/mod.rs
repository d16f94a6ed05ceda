//! A run recorded for people to look at: every event with its cause, and the state of every server after it.
//!
//! The recorder watches from outside. It draws nothing and changes nothing, so that a recorded run equals an unrecorded
//! one. Without a recorder, it costs one comparison per event.
//!
//! A run has a hundred thousand events, so the recording consists of columns of numbers, and contains only changes.

mod recorder;
mod texts;

use serde::Serialize;

pub(crate) use self::recorder::{Observer, Recorder, Standing};
pub use self::texts::Texts;

use crate::nanos::Nanos;
use crate::report::{Place, Report, TraceEvent};
use crate::schedule::{MAX_SERVERS, Schedule, ScheduleError};
use crate::workload::Workload;
use crate::world;

/// A run from its first event to its last.
#[derive(Clone, Debug, Serialize)]
pub struct Recording {
    /// How many servers there are; their numbers begin at 1.
    pub servers: u8,
    /// How many clients there are; their numbers begin at 1.
    pub clients: u8,
    /// The lines of the trace, in order.
    pub lines: Lines,
    /// The kinds of lines, by their numbers in [`Lines::kind`].
    pub kinds: Vec<&'static str>,
    /// The texts of the lines.
    pub texts: Texts,
    /// The states of each server: `event, mask, values…`, again and again, with one value for each bit of the mask, the
    /// lowest first. The event is counted from the one before; the values are those of [`FIELDS`].
    pub states: Vec<Vec<u64>>,
    /// The log of each server: `event, first, from, runs, (term, body, count)…`, again and again. From that event on
    /// (counted from the one before) the log begins at `first`, ends before `from`, and continues from there with runs
    /// of like entries. The body is one of [`BODIES`].
    pub logs: Vec<Vec<u64>>,
    /// Which links between servers are cut: `event, bytes…` with one byte per server, again and again. Bit j − 1 of the
    /// ith byte is the link from server i to server j.
    pub cuts: Vec<u64>,
    /// The configurations that servers were in, by the number in their state.
    pub memberships: Vec<String>,
}

/// The recorded fields of a server's state, in the order of the bits of a mask. Indexes and numbers of servers are 0
/// where there is none.
pub const FIELDS: [&str; MATCHED + MAX_SERVERS as usize] = [
    "role",
    "flags",
    "term",
    "vote",
    "leader",
    "last",
    "durable",
    "commit",
    "applied",
    "snapshot",
    "membership",
    "matched 1",
    "matched 2",
    "matched 3",
    "matched 4",
    "matched 5",
    "matched 6",
    "matched 7",
];

/// The first of the fields that say how far a leader knows the logs of the others to match its own.
pub const MATCHED: usize = 11;

/// The roles by their numbers.
pub const ROLES: [&str; 6] = [
    "down",
    "joining",
    "follower",
    "pre-candidate",
    "candidate",
    "leader",
];

/// The faults of a server, by the bits of its flags.
pub const FLAGS: [&str; 6] = [
    "paused",
    "disk failed",
    "disk full",
    "disk slow",
    "partitioned from clients",
    "down for good",
];

/// The kinds of entries, by number.
pub const BODIES: [&str; 4] = [
    "blank",
    "command",
    "configuration",
    "command that a witness does not hold",
];

/// Columns, with one value for each line.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Lines {
    /// The number of the event, counted from the line before.
    pub event: Vec<u64>,
    /// The time in nanoseconds, counted from the line before.
    pub at: Vec<u64>,
    /// How many events ago the event was caused; 0 for what happens in the course of an event.
    pub cause: Vec<u64>,
    /// Where it happened: the number of a server, minus the number of a client, or 0.
    pub place: Vec<i64>,
    /// The kind of line.
    pub kind: Vec<u16>,
}

impl Lines {
    /// Returns how many lines there are.
    pub fn len(&self) -> usize {
        self.event.len()
    }

    /// Whether there are no lines.
    pub fn is_empty(&self) -> bool {
        self.event.is_empty()
    }
}

impl Recording {
    /// Iterates over the lines as [`replay`](crate::replay) would report them.
    pub fn lines(&self) -> impl Iterator<Item = TraceEvent> + '_ {
        let (mut number, mut at) = (0, 0);
        let lines = &self.lines;
        let columns = (lines.event.iter().zip(&lines.at)).zip(lines.cause.iter().zip(&lines.place));
        columns.zip(lines.kind.iter().zip(self.texts.iter())).map(
            move |(((event, later), (cause, place)), (kind, detail))| {
                number += event;
                at += later;
                TraceEvent {
                    number,
                    cause: number - cause,
                    at: Nanos::new(at),
                    place: place_of(*place),
                    what: self.kinds.get(usize::from(*kind)).copied().unwrap_or_default(),
                    detail,
                }
            },
        )
    }
}

const fn number_of(place: Place) -> i64 {
    match place {
        Place::Server(node) => node.value().cast_signed(),
        Place::Client(client) => -(client as i64),
        Place::World => 0,
    }
}

fn place_of(number: i64) -> Place {
    match number {
        0 => Place::World,
        1.. => Place::Server(raft_core::NodeId::new(number.unsigned_abs())),
        _ => Place::Client(u8::try_from(number.unsigned_abs()).unwrap_or(u8::MAX)),
    }
}

/// Runs a schedule and records everything that [`Recording`] holds.
pub fn film<W: Workload>(schedule: &Schedule, workload: &W) -> Result<(Report, Recording), ScheduleError> {
    let mut recorder = Recorder::new(schedule);
    let report = world::observe(schedule, workload, &mut recorder)?;
    Ok((report, recorder.into_recording()))
}
