//! One value of every kind that is encoded, made of fixed numbers.

use std::sync::Arc;

use raft_core::{
    AppendOutcome, Boot, ClusterId, Durable, Entry, EntryBody, Envelope, Forwarded, GroupId, HardState,
    Identity, Incarnation, Index, Level, LogId, Membership, Message, NodeId, Origin, Payload, PeerSession,
    Persist, ReadMode, ReadOutcome, Refusal, Round, SnapshotMeta, Standing, Term, Ticket, WallTime,
};

const BOOT: Boot = Boot::new(3, 0x1234_5678);

const CLUSTER: ClusterId = ClusterId {
    founding: 0x0102_0304,
    nonce: 0x1112_1314,
};

fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(Term::new(term), Index::new(index).unwrap())
}

fn membership() -> Membership {
    Membership::of_voters([1, 2, 3].map(NodeId::new)).bind([(NodeId::new(2), Incarnation::new(22))])
}

/// The description of a snapshot.
pub(crate) fn meta() -> SnapshotMeta {
    SnapshotMeta {
        cluster: CLUSTER,
        last: log_id(2, 6),
        membership: membership().into(),
        membership_id: Some(log_id(1, 2)),
        withheld: false,
        level: Level::new(2),
    }
}

/// An entry of every kind.
pub(crate) fn entries() -> Vec<Entry> {
    vec![
        Entry {
            id: log_id(2, 7),
            body: EntryBody::Noop,
        },
        Entry {
            id: log_id(2, 8),
            body: EntryBody::Command(Payload::from(b"command".as_slice())),
        },
        Entry {
            id: log_id(3, 9),
            body: EntryBody::Membership(membership().into()),
        },
        Entry {
            id: log_id(3, 10),
            body: EntryBody::Withheld,
        },
        Entry {
            id: log_id(3, 11),
            body: EntryBody::Forwarded(Arc::new(Forwarded {
                origin: Origin {
                    node: NodeId::new(2),
                    incarnation: Incarnation::new(22),
                    boot: BOOT,
                    number: 4,
                },
                command: Payload::from(b"passed on".as_slice()),
            })),
        },
        Entry {
            id: log_id(3, 12),
            body: EntryBody::Founding(CLUSTER),
        },
        Entry {
            id: log_id(3, 13),
            body: EntryBody::Level(Level::new(3)),
        },
    ]
}

/// A configuration that uses every field but that of the outgoing voters, which only a leader makes.
pub(crate) fn full_membership() -> Membership {
    let bound = [(1, 11), (5, 55)].map(|(node, folder)| (NodeId::new(node), Incarnation::new(folder)));
    Membership::of_voters([1, 2, 3].map(NodeId::new))
        .with_learners([4, 5].map(NodeId::new))
        .with_witnesses([NodeId::new(5)])
        .bind(bound)
}

/// A write with every part, as it is decoded.
pub(crate) fn persist() -> Persist {
    Persist {
        ticket: Ticket::new(0),
        hard_state: Some(Box::new(HardState {
            term: Term::new(3),
            vote: Some(NodeId::new(2)),
            admitted: true,
            level: Level::new(3),
            ..HardState::default()
        })),
        snapshot: Some(Box::new(meta())),
        truncate_from: Index::new(7),
        entries: entries().into(),
        commit: Index::new(8),
        compact_to: Index::new(6),
        sync: true,
    }
}

/// A write with no part.
pub(crate) fn empty_persist() -> Persist {
    Persist {
        hard_state: None,
        snapshot: None,
        truncate_from: None,
        entries: Vec::new().into(),
        commit: None,
        compact_to: None,
        ..persist()
    }
}

/// A disk with everything on it.
pub(crate) fn durable() -> Durable {
    let mut durable = Durable::default();
    durable.write(&persist());
    durable
}

/// A server that starts for the third time.
pub(crate) fn identity() -> Identity {
    Identity {
        group: GroupId::new(100),
        node: NodeId::new(1),
        incarnation: Incarnation::new(11),
        boot: BOOT,
    }
}

/// Every kind of message, by name.
pub(crate) fn envelopes() -> Vec<(&'static str, Envelope)> {
    let (session, round) = (PeerSession::new(4), Round::new(5));
    let accepted = AppendOutcome::Accepted {
        last: Some(log_id(3, 9)),
    };
    let rejected = AppendOutcome::Rejected {
        prev: Some(log_id(3, 9)),
        hint: None,
    };
    let messages = vec![
        ("Hello", Message::Hello {}),
        ("OtherCluster", Message::OtherCluster),
        (
            "Greeting",
            Message::Greeting {
                heard: Some(BOOT),
                lacks: Some(log_id(2, 6)),
                is_answer: true,
                tick_micros: 100_000,
                settings: 7,
            },
        ),
        (
            "HelloReply.Blank",
            Message::HelloReply {
                standing: Standing::Blank,
            },
        ),
        (
            "HelloReply.Established",
            Message::HelloReply {
                standing: Standing::Established,
            },
        ),
        (
            "HelloReply.Admitted",
            Message::HelloReply {
                standing: Standing::Admitted,
            },
        ),
        (
            "HelloReply.Fenced",
            Message::HelloReply {
                standing: Standing::Fenced {
                    bound: Incarnation::new(9),
                },
            },
        ),
        (
            "PreVote",
            Message::PreVote {
                ask: Term::new(4),
                last: Some(log_id(3, 9)),
            },
        ),
        (
            "PreVoteReply",
            Message::PreVoteReply {
                ask: Term::new(4),
                granted: true,
            },
        ),
        ("Vote", Message::Vote { last: None }),
        ("VoteReply", Message::VoteReply { granted: false }),
        (
            "Append",
            Message::Append {
                session,
                round,
                prev: Some(log_id(2, 6)),
                commit: Index::new(5),
                entries: entries().into(),
            },
        ),
        (
            "AppendReply.Accepted",
            Message::AppendReply {
                session,
                round,
                outcome: accepted,
                promise_micros: 900_000,
            },
        ),
        (
            "AppendReply.Rejected",
            Message::AppendReply {
                session,
                round,
                outcome: rejected,
                promise_micros: 900_000,
            },
        ),
        (
            "Heartbeat",
            Message::Heartbeat {
                session,
                round,
                commit: Some(log_id(2, 5)),
            },
        ),
        (
            "HeartbeatReply",
            Message::HeartbeatReply {
                session,
                round,
                promise_micros: 900_000,
                level: Level::new(4),
                halted: true,
                stalled: false,
                wall_time: Some(WallTime::new(1_780_000_000_000_000)),
            },
        ),
        (
            "HeartbeatReply.NoTime",
            Message::HeartbeatReply {
                session,
                round,
                promise_micros: 0,
                level: Level::ZERO,
                halted: false,
                stalled: false,
                wall_time: None,
            },
        ),
        (
            "SnapshotChunk",
            Message::SnapshotChunk {
                session,
                meta: Box::new(meta()),
                total_bytes: 1000,
                checksum: 0xDEAD_BEEF,
                offset: 256,
                data: Payload::from(b"piece".as_slice()),
            },
        ),
        (
            "SnapshotReply",
            Message::SnapshotReply {
                session,
                last: log_id(2, 6),
                received_bytes: 512,
            },
        ),
        ("TimeoutNow", Message::TimeoutNow),
        (
            "TransferVote",
            Message::TransferVote {
                last: Some(log_id(3, 9)),
            },
        ),
        (
            "Forward",
            Message::Forward {
                boot: BOOT,
                floor: 4,
                commands: vec![(4, Payload::from(b"passed on".as_slice()))],
            },
        ),
        (
            "ForwardRefused",
            Message::ForwardRefused {
                boot: BOOT,
                refused: vec![
                    (4, Refusal::Busy { limit: 1000 }),
                    (5, Refusal::TooLarge { limit: 100 }),
                    (6, Refusal::Transferring { to: NodeId::new(3) }),
                ],
            },
        ),
        (
            "ReadIndex",
            Message::ReadIndex {
                boot: BOOT,
                request: 7,
                mode: ReadMode::Lease,
            },
        ),
        (
            "ReadIndexReply.Confirmed",
            Message::ReadIndexReply {
                boot: BOOT,
                request: 7,
                outcome: ReadOutcome::Confirmed {
                    index: Index::new(9).unwrap(),
                },
            },
        ),
        (
            "ReadIndexReply.Busy",
            Message::ReadIndexReply {
                boot: BOOT,
                request: 7,
                outcome: ReadOutcome::Busy { limit: 100 },
            },
        ),
    ];
    let envelope = |(name, message)| {
        let envelope = Envelope {
            group: GroupId::new(100),
            from: NodeId::new(1),
            cluster: CLUSTER,
            from_incarnation: Incarnation::new(11),
            from_boot: BOOT,
            to: NodeId::new(2),
            to_incarnation: Some(Incarnation::new(22)),
            term: Term::new(3),
            message,
        };
        (name, envelope)
    };
    messages.into_iter().map(envelope).collect()
}
