//! One value of every kind that is encoded, made of fixed numbers and fixed keys.

use std::sync::Arc;

use lsb_core::envelope::{Grant, Policy, UserName, Views};
use lsb_core::seal::{ExchangeKey, LedgerShare, ShareForCluster, SigningKey};
use lsb_core::{ClusterId, ObjectId, RequestId, UnixSeconds};
use node::cluster_key::ClusterKey;
use node::ledger::request::{AcknowledgeRequest, EnrolRequest, ProtectRequest, Signed, ViewRequest};
use node::ledger::{Action, Command, Genesis, Registration};
use raft_core::{
    AppendOutcome, Entry, EntryBody, Envelope, Forwarded, GroupId, Incarnation, Index, LogId, Membership,
    Message, NodeId, Origin, Payload, PeerSession, ReadMode, ReadOutcome, Refusal, Round, SnapshotMeta,
    Standing, Term,
};

fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(Term::new(term), Index::new(index).unwrap())
}

fn membership() -> Membership {
    Membership::of_voters([1, 2, 3].map(NodeId::new)).bind([(NodeId::new(2), Incarnation::new(22))])
}

/// Every kind of message, by name.
pub(crate) fn envelopes() -> Vec<(&'static str, Envelope)> {
    let (session, round) = (PeerSession::new(4), Round::new(5));
    let meta = SnapshotMeta {
        last: log_id(2, 6),
        membership: membership().into(),
        membership_id: Some(log_id(1, 2)),
        withheld: false,
    };
    let entries = vec![
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
                    boot: 3,
                    number: 4,
                },
                command: Payload::from(b"passed on".as_slice()),
            })),
        },
    ];
    let accepted = AppendOutcome::Accepted {
        last: Some(log_id(3, 9)),
    };
    let rejected = AppendOutcome::Rejected {
        prev: Some(log_id(3, 9)),
        hint: None,
    };
    let messages = vec![
        ("Hello", Message::Hello {}),
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
                entries: entries.into(),
            },
        ),
        (
            "AppendReply.Accepted",
            Message::AppendReply {
                session,
                round,
                outcome: accepted,
                promise_micros: 0,
            },
        ),
        (
            "AppendReply.Rejected",
            Message::AppendReply {
                session,
                round,
                outcome: rejected,
                promise_micros: 0,
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
                promise_micros: 0,
            },
        ),
        (
            "SnapshotChunk",
            Message::SnapshotChunk {
                session,
                meta: Box::new(meta),
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
                boot: 3,
                floor: 4,
                commands: vec![(4, Payload::from(b"passed on".as_slice()))],
            },
        ),
        (
            "ForwardRefused",
            Message::ForwardRefused {
                boot: 3,
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
                boot: 3,
                request: 7,
                mode: ReadMode::Lease,
            },
        ),
        (
            "ReadIndexReply.Confirmed",
            Message::ReadIndexReply {
                boot: 3,
                request: 7,
                outcome: ReadOutcome::Confirmed {
                    index: Index::new(9).unwrap(),
                },
            },
        ),
        (
            "ReadIndexReply.Busy",
            Message::ReadIndexReply {
                boot: 3,
                request: 7,
                outcome: ReadOutcome::Busy { limit: 100 },
            },
        ),
    ];
    let envelope = |(name, message)| {
        let envelope = Envelope {
            group: GroupId::new(100),
            from: NodeId::new(1),
            from_incarnation: Incarnation::new(11),
            to: NodeId::new(2),
            to_incarnation: Some(Incarnation::new(22)),
            term: Term::new(3),
            message,
        };
        (name, envelope)
    };
    messages.into_iter().map(envelope).collect()
}

/// Every kind of command, by name.
pub(crate) fn commands() -> Vec<(&'static str, Command)> {
    let cluster = ClusterId::from_bytes([1; 16]);
    let object = ObjectId::from_bytes([2; 16]);
    let request = RequestId::from_bytes([3; 16]);
    let key = SigningKey::from_bytes(&[4; 32]);
    let alice = UserName::parse("alice").unwrap();
    let device = key.public();

    let grants = vec![
        Grant::new(alice.clone(), Views::Unlimited),
        Grant {
            not_before: Some(UnixSeconds(10)),
            expires: Some(UnixSeconds(20)),
            ..Grant::new(UserName::parse("bob").unwrap(), Views::Total(3))
        },
    ];
    let enrol = EnrolRequest {
        cluster,
        user: alice.clone(),
        key: device,
    };
    let protect = ProtectRequest {
        cluster,
        object,
        policy: Policy::new(alice.clone(), device, grants).unwrap(),
        manifest_hash: [5; 32],
        sealed_share: ShareForCluster::from_bytes([6; 80]),
    };
    let share = ClusterKey::from_bytes([7; 32]).wrap_share(object, &LedgerShare::from_bytes([8; 32]));
    let view = ViewRequest {
        cluster,
        object,
        user: alice.clone(),
        device,
        request,
        reply_to: ExchangeKey::from_bytes([9; 32]).public(),
        expires: UnixSeconds(1600),
    };
    let acknowledge = AcknowledgeRequest {
        cluster,
        user: alice,
        device,
        request,
    };
    let actions = vec![
        (
            "Genesis",
            Action::Genesis(Genesis {
                cluster,
                denied_picture_hash: [10; 32],
            }),
        ),
        ("Enrol", Action::Enrol(Signed::sign(enrol, &key).unwrap())),
        (
            "Protect",
            Action::Protect(Box::new(Registration::new(
                Signed::sign(protect, &key).unwrap(),
                share,
            ))),
        ),
        ("View", Action::View(Signed::sign(view, &key).unwrap())),
        (
            "Acknowledge",
            Action::Acknowledge(Signed::sign(acknowledge, &key).unwrap()),
        ),
    ];
    actions
        .into_iter()
        .map(|(name, action)| {
            (
                name,
                Command {
                    time: UnixSeconds(1000),
                    action,
                },
            )
        })
        .collect()
}
