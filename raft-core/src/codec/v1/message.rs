//! What servers say to each other.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bincode::error::EncodeError;

use super::super::DecodeError;
use super::super::wire::{Sink, Source, Wire, wire_enum, wire_struct};
use super::log::{Run, SnapshotMeta};
use crate::clock::WallTime;
use crate::entries::Entries;
use crate::identity::{Boot, Incarnation};
use crate::level::Level;
use crate::types::{Index, LogId, NodeId, Payload, PeerSession, Round, Term};

wire_enum!(Message {
    0 = Hello,
    1 = HelloReply { standing: Standing },
    2 = PreVote { ask: Term, last: Option<LogId> },
    3 = PreVoteReply { ask: Term, granted: bool },
    4 = Vote { last: Option<LogId> },
    5 = VoteReply { granted: bool },
    6 = Append { session: PeerSession, round: Round, prev: Option<LogId>, commit: Option<Index>, entries: Run<Entries> },
    7 = AppendReply { session: PeerSession, round: Round, promise_micros: u64, outcome: AppendOutcome },
    8 = Heartbeat { session: PeerSession, round: Round, commit: Option<LogId> },
    9 = HeartbeatReply { session: PeerSession, round: Round, promise_micros: u64, level: Level, halted: bool, stalled: bool, wall_time: Option<WallTime> },
    10 = SnapshotChunk { session: PeerSession, meta: SnapshotMeta, total_bytes: u64, checksum: u32, offset: u64, data: Payload },
    11 = SnapshotReply { session: PeerSession, last: LogId, received_bytes: u64 },
    12 = TimeoutNow,
    13 = TransferVote { last: Option<LogId> },
    14 = Forward { boot: Boot, floor: u64, commands: Vec<NumberedCommand> },
    15 = ForwardRefused { boot: Boot, refused: Vec<NumberedRefusal> },
    16 = ReadIndex { boot: Boot, request: u64, mode: ReadMode },
    17 = ReadIndexReply { boot: Boot, request: u64, outcome: ReadOutcome },
    18 = OtherCluster,
    19 = Greeting { heard: Option<Boot>, lacks: Option<LogId>, is_answer: bool, tick_micros: u64, settings: u64 },
});

wire_enum!(Standing {
    0 = Blank,
    1 = Established,
    2 = Admitted,
    3 = Fenced { bound: Incarnation },
});

wire_enum!(AppendOutcome {
    0 = Accepted { last: Option<LogId> },
    1 = Rejected { prev: Option<LogId>, hint: Option<LogId> },
});

wire_enum!(ReadMode {
    0 = Quorum,
    1 = Lease,
});

wire_enum!(ReadOutcome {
    0 = Confirmed { index: Index },
    1 = Busy { limit: u64 },
});

wire_enum!(Refusal {
    0 = Busy { limit: u64 },
    1 = TooLarge { limit: u64 },
    2 = Transferring { to: NodeId },
});

wire_struct!(NumberedCommand {
    number: u64,
    command: Payload,
});

wire_struct!(NumberedRefusal {
    number: u64,
    refusal: Refusal,
});

impl From<&crate::Message> for Message {
    fn from(value: &crate::Message) -> Self {
        match value {
            crate::Message::Hello => Self::Hello,
            crate::Message::OtherCluster => Self::OtherCluster,
            crate::Message::Greeting {
                heard,
                lacks,
                is_answer,
                tick_micros,
                settings,
            } => Self::Greeting {
                heard: *heard,
                lacks: *lacks,
                is_answer: *is_answer,
                tick_micros: *tick_micros,
                settings: *settings,
            },
            crate::Message::HelloReply { standing } => Self::HelloReply {
                standing: (*standing).into(),
            },
            crate::Message::PreVote { ask, last } => Self::PreVote {
                ask: *ask,
                last: *last,
            },
            crate::Message::PreVoteReply { ask, granted } => Self::PreVoteReply {
                ask: *ask,
                granted: *granted,
            },
            crate::Message::Vote { last } => Self::Vote { last: *last },
            crate::Message::VoteReply { granted } => Self::VoteReply { granted: *granted },
            crate::Message::Append {
                session,
                round,
                prev,
                commit,
                entries,
            } => Self::Append {
                session: *session,
                round: *round,
                prev: *prev,
                commit: *commit,
                entries: Run(entries.clone()),
            },
            crate::Message::AppendReply {
                session,
                round,
                promise_micros,
                outcome,
            } => Self::AppendReply {
                session: *session,
                round: *round,
                promise_micros: *promise_micros,
                outcome: (*outcome).into(),
            },
            crate::Message::Heartbeat {
                session,
                round,
                commit,
            } => Self::Heartbeat {
                session: *session,
                round: *round,
                commit: *commit,
            },
            crate::Message::HeartbeatReply {
                session,
                round,
                promise_micros,
                level,
                halted,
                stalled,
                wall_time,
            } => Self::HeartbeatReply {
                session: *session,
                round: *round,
                promise_micros: *promise_micros,
                level: *level,
                halted: *halted,
                stalled: *stalled,
                wall_time: *wall_time,
            },
            crate::Message::SnapshotChunk {
                session,
                meta,
                total_bytes,
                checksum,
                offset,
                data,
            } => Self::SnapshotChunk {
                session: *session,
                meta: (&**meta).into(),
                total_bytes: *total_bytes,
                checksum: *checksum,
                offset: *offset,
                data: data.clone(),
            },
            crate::Message::SnapshotReply {
                session,
                last,
                received_bytes,
            } => Self::SnapshotReply {
                session: *session,
                last: *last,
                received_bytes: *received_bytes,
            },
            crate::Message::TimeoutNow => Self::TimeoutNow,
            crate::Message::TransferVote { last } => Self::TransferVote { last: *last },
            crate::Message::Forward {
                boot,
                floor,
                commands,
            } => Self::Forward {
                boot: *boot,
                floor: *floor,
                commands: commands.iter().map(From::from).collect(),
            },
            crate::Message::ForwardRefused { boot, refused } => Self::ForwardRefused {
                boot: *boot,
                refused: refused.iter().map(From::from).collect(),
            },
            crate::Message::ReadIndex { boot, request, mode } => Self::ReadIndex {
                boot: *boot,
                request: *request,
                mode: (*mode).into(),
            },
            crate::Message::ReadIndexReply {
                boot,
                request,
                outcome,
            } => Self::ReadIndexReply {
                boot: *boot,
                request: *request,
                outcome: (*outcome).into(),
            },
        }
    }
}

impl From<Message> for crate::Message {
    fn from(value: Message) -> Self {
        match value {
            Message::Hello => Self::Hello,
            Message::OtherCluster => Self::OtherCluster,
            Message::Greeting {
                heard,
                lacks,
                is_answer,
                tick_micros,
                settings,
            } => Self::Greeting {
                heard,
                lacks,
                is_answer,
                tick_micros,
                settings,
            },
            Message::HelloReply { standing } => Self::HelloReply {
                standing: standing.into(),
            },
            Message::PreVote { ask, last } => Self::PreVote { ask, last },
            Message::PreVoteReply { ask, granted } => Self::PreVoteReply { ask, granted },
            Message::Vote { last } => Self::Vote { last },
            Message::VoteReply { granted } => Self::VoteReply { granted },
            Message::Append {
                session,
                round,
                prev,
                commit,
                entries,
            } => Self::Append {
                session,
                round,
                prev,
                commit,
                entries: entries.0,
            },
            Message::AppendReply {
                session,
                round,
                promise_micros,
                outcome,
            } => Self::AppendReply {
                session,
                round,
                promise_micros,
                outcome: outcome.into(),
            },
            Message::Heartbeat {
                session,
                round,
                commit,
            } => Self::Heartbeat {
                session,
                round,
                commit,
            },
            Message::HeartbeatReply {
                session,
                round,
                promise_micros,
                level,
                halted,
                stalled,
                wall_time,
            } => Self::HeartbeatReply {
                session,
                round,
                promise_micros,
                level,
                halted,
                stalled,
                wall_time,
            },
            Message::SnapshotChunk {
                session,
                meta,
                total_bytes,
                checksum,
                offset,
                data,
            } => Self::SnapshotChunk {
                session,
                meta: Box::new(meta.into()),
                total_bytes,
                checksum,
                offset,
                data,
            },
            Message::SnapshotReply {
                session,
                last,
                received_bytes,
            } => Self::SnapshotReply {
                session,
                last,
                received_bytes,
            },
            Message::TimeoutNow => Self::TimeoutNow,
            Message::TransferVote { last } => Self::TransferVote { last },
            Message::Forward {
                boot,
                floor,
                commands,
            } => Self::Forward {
                boot,
                floor,
                commands: commands.into_iter().map(From::from).collect(),
            },
            Message::ForwardRefused { boot, refused } => Self::ForwardRefused {
                boot,
                refused: refused.into_iter().map(From::from).collect(),
            },
            Message::ReadIndex { boot, request, mode } => Self::ReadIndex {
                boot,
                request,
                mode: mode.into(),
            },
            Message::ReadIndexReply {
                boot,
                request,
                outcome,
            } => Self::ReadIndexReply {
                boot,
                request,
                outcome: outcome.into(),
            },
        }
    }
}

impl From<crate::Standing> for Standing {
    fn from(value: crate::Standing) -> Self {
        match value {
            crate::Standing::Blank => Self::Blank,
            crate::Standing::Established => Self::Established,
            crate::Standing::Admitted => Self::Admitted,
            crate::Standing::Fenced { bound } => Self::Fenced { bound },
        }
    }
}

impl From<Standing> for crate::Standing {
    fn from(value: Standing) -> Self {
        match value {
            Standing::Blank => Self::Blank,
            Standing::Established => Self::Established,
            Standing::Admitted => Self::Admitted,
            Standing::Fenced { bound } => Self::Fenced { bound },
        }
    }
}

impl From<crate::AppendOutcome> for AppendOutcome {
    fn from(value: crate::AppendOutcome) -> Self {
        match value {
            crate::AppendOutcome::Accepted { last } => Self::Accepted { last },
            crate::AppendOutcome::Rejected { prev, hint } => Self::Rejected { prev, hint },
        }
    }
}

impl From<AppendOutcome> for crate::AppendOutcome {
    fn from(value: AppendOutcome) -> Self {
        match value {
            AppendOutcome::Accepted { last } => Self::Accepted { last },
            AppendOutcome::Rejected { prev, hint } => Self::Rejected { prev, hint },
        }
    }
}

impl From<crate::ReadMode> for ReadMode {
    fn from(value: crate::ReadMode) -> Self {
        match value {
            crate::ReadMode::Quorum => Self::Quorum,
            crate::ReadMode::Lease => Self::Lease,
        }
    }
}

impl From<ReadMode> for crate::ReadMode {
    fn from(value: ReadMode) -> Self {
        match value {
            ReadMode::Quorum => Self::Quorum,
            ReadMode::Lease => Self::Lease,
        }
    }
}

impl From<crate::ReadOutcome> for ReadOutcome {
    fn from(value: crate::ReadOutcome) -> Self {
        match value {
            crate::ReadOutcome::Confirmed { index } => Self::Confirmed { index },
            crate::ReadOutcome::Busy { limit } => Self::Busy { limit },
        }
    }
}

impl From<ReadOutcome> for crate::ReadOutcome {
    fn from(value: ReadOutcome) -> Self {
        match value {
            ReadOutcome::Confirmed { index } => Self::Confirmed { index },
            ReadOutcome::Busy { limit } => Self::Busy { limit },
        }
    }
}

impl From<crate::Refusal> for Refusal {
    fn from(value: crate::Refusal) -> Self {
        match value {
            crate::Refusal::Busy { limit } => Self::Busy { limit },
            crate::Refusal::TooLarge { limit } => Self::TooLarge { limit },
            crate::Refusal::Transferring { to } => Self::Transferring { to },
        }
    }
}

impl From<Refusal> for crate::Refusal {
    fn from(value: Refusal) -> Self {
        match value {
            Refusal::Busy { limit } => Self::Busy { limit },
            Refusal::TooLarge { limit } => Self::TooLarge { limit },
            Refusal::Transferring { to } => Self::Transferring { to },
        }
    }
}

impl From<&(u64, Payload)> for NumberedCommand {
    fn from((number, command): &(u64, Payload)) -> Self {
        Self {
            number: *number,
            command: command.clone(),
        }
    }
}

impl From<NumberedCommand> for (u64, Payload) {
    fn from(numbered: NumberedCommand) -> Self {
        (numbered.number, numbered.command)
    }
}

impl From<&(u64, crate::Refusal)> for NumberedRefusal {
    fn from(&(number, refusal): &(u64, crate::Refusal)) -> Self {
        Self {
            number,
            refusal: refusal.into(),
        }
    }
}

impl From<NumberedRefusal> for (u64, crate::Refusal) {
    fn from(numbered: NumberedRefusal) -> Self {
        (numbered.number, numbered.refusal.into())
    }
}
