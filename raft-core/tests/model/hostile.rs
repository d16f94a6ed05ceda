//! One server among hostile peers, with a confused host.

use std::collections::BTreeSet;

use raft_core::{
    Action, AppendOutcome, Boot, Change, ClusterId, Durable, Entry, EntryBody, Envelope, Event, Expected,
    GroupId, Incarnation, Index, Input, Lease, Level, LogId, Message, NodeId, Options, Payload, PeerSession,
    ProposalId, Raft, ReadId, ReadMode, ReadOutcome, Refusal, Round, SnapshotMeta, Standing, Term, Ticket,
    WallTime,
};

use super::support::{
    self,
    scene::{node, voters},
};
use super::{Dice, small_config};

fn mode(dice: &mut Dice) -> ReadMode {
    if dice.one_in(2) {
        ReadMode::Lease
    } else {
        ReadMode::Quorum
    }
}

/// What a wall clock shows that may be right or broken.
fn random_wall_time(dice: &mut Dice) -> WallTime {
    WallTime::new(match dice.below(4) {
        0 => 0,
        1 => u64::MAX,
        _ => 1_780_000_000_000_000 + dice.below(10_000_000),
    })
}

/// A message that no honest server would send, or that it would send in another state.
fn random_message(dice: &mut Dice) -> (Term, Message) {
    let edge = |dice: &mut Dice| match dice.below(12) {
        0 => u64::MAX,
        1 => u64::MAX >> 16,
        2 => (u64::MAX >> 16) + 1,
        3 => 0,
        _ => dice.below(8),
    };
    let any_id = |dice: &mut Dice| {
        let term = Term::new(edge(dice));
        Index::new(edge(dice)).map(|index| LogId::new(term, index))
    };
    let term = Term::new(if dice.one_in(3) {
        edge(dice)
    } else {
        1 + dice.below(8)
    });
    let session = PeerSession::new(1 + dice.small(2));
    let round = Round::new(dice.below(3));
    let prev = any_id(dice);
    let mut at = prev;
    let mut entries = Vec::new();
    for _ in 0..dice.below(4) {
        let index = if dice.one_in(9) {
            Index::new(1 + edge(dice) % 9).unwrap_or(Index::FIRST)
        } else {
            Index::after(at.map(|id| id.index))
        };
        let term = at.map_or(1, |id| id.term.value()).saturating_add(dice.below(2));
        let id = LogId::new(Term::new(term), index);
        let body = match dice.below(6) {
            0 => EntryBody::Noop,
            2 => EntryBody::Withheld,
            3 => EntryBody::Level(Level::new(dice.below(4) as u32)),
            1 => EntryBody::Membership(voters(1 + dice.below(4)).into()),
            _ => EntryBody::Command(Payload::from(&b"hostile"[..])),
        };
        at = Some(id);
        entries.push(Entry { id, body });
    }
    let ask = if dice.one_in(2) {
        term.next()
    } else {
        Term::new(edge(dice))
    };
    let message = match dice.below(19) {
        0 => Message::Hello,
        1 => {
            let bound = Incarnation::new(dice.below(3));
            let standings = [
                Standing::Blank,
                Standing::Established,
                Standing::Admitted,
                Standing::Fenced { bound },
            ];
            Message::HelloReply {
                standing: standings[dice.below(4) as usize],
            }
        }
        2 => Message::PreVote { ask, last: prev },
        3 => Message::PreVoteReply {
            ask,
            granted: dice.one_in(2),
        },
        4 => Message::Vote { last: prev },
        5 => Message::VoteReply {
            granted: dice.one_in(2),
        },
        6 | 7 => {
            let commit = Index::new(edge(dice));
            Message::Append {
                session,
                round,
                prev,
                commit,
                entries: entries.into(),
            }
        }
        8 => {
            let outcome = if dice.one_in(2) {
                AppendOutcome::Accepted { last: prev }
            } else {
                AppendOutcome::Rejected {
                    prev,
                    hint: any_id(dice),
                }
            };
            Message::AppendReply {
                session,
                round,
                outcome,
                promise_micros: 0,
            }
        }
        9 => Message::Heartbeat {
            session,
            round,
            commit: prev,
        },
        10 => Message::HeartbeatReply {
            session,
            round,
            promise_micros: 0,
            level: Level::new(dice.below(4) as u32),
            halted: dice.one_in(3),
            stalled: false,
            wall_time: dice.one_in(2).then(|| random_wall_time(dice)),
        },
        11 => Message::TimeoutNow,
        12 => Message::TransferVote { last: prev },
        13 => {
            let floor = edge(dice);
            let mut number = floor;
            let mut commands = Vec::new();
            for _ in 0..dice.below(3) {
                commands.push((number, Payload::from(&b"forwarded"[..])));
                number = number.wrapping_add(dice.below(2));
            }
            Message::Forward {
                boot: Boot::new(dice.small(3), dice.small(2)),
                floor,
                commands,
            }
        }
        14 => {
            let refusals = [
                Refusal::Busy { limit: edge(dice) },
                Refusal::TooLarge { limit: edge(dice) },
                Refusal::Transferring { to: node(edge(dice)) },
            ];
            Message::ForwardRefused {
                boot: Boot::new(dice.small(3), dice.small(2)),
                refused: vec![(edge(dice), refusals[dice.below(3) as usize])],
            }
        }
        15 => Message::ReadIndex {
            boot: Boot::new(dice.small(3), dice.small(2)),
            request: edge(dice),
            mode: mode(dice),
        },
        16 => {
            let busy = ReadOutcome::Busy { limit: edge(dice) };
            let index = Index::new(edge(dice)).filter(|_| dice.one_in(2));
            Message::ReadIndexReply {
                boot: Boot::new(dice.small(3), dice.small(2)),
                request: dice.below(4),
                outcome: index.map_or(busy, |index| ReadOutcome::Confirmed { index }),
            }
        }
        17 => Message::Greeting {
            heard: dice.one_in(2).then(|| Boot::new(dice.small(3), dice.small(2))),
            lacks: prev.filter(|_| dice.one_in(2)),
            is_answer: dice.one_in(2),
            tick_micros: edge(dice),
            settings: edge(dice),
        },
        _ => Message::SnapshotChunk {
            session,
            meta: random_meta(dice, prev).into(),
            total_bytes: edge(dice),
            checksum: 0,
            offset: edge(dice),
            data: Payload::from(vec![0; dice.below(3) as usize]),
        },
    };
    (term, message)
}

fn random_meta(dice: &mut Dice, last: Option<LogId>) -> SnapshotMeta {
    SnapshotMeta {
        last: last.unwrap_or(LogId::new(Term::new(1), Index::FIRST)),
        membership: voters(dice.below(5)).into(),
        membership_id: last.filter(|_| dice.one_in(2)),
        withheld: false,
        level: Level::new(dice.below(4) as u32),
        cluster: random_cluster(dice),
    }
}

fn random_cluster(dice: &mut Dice) -> ClusterId {
    ClusterId {
        founding: dice.small(3),
        nonce: dice.small(3),
    }
}

fn random_change(dice: &mut Dice, node: NodeId) -> Change {
    match dice.below(6) {
        4 => Change::AddWitness(node),
        0 => Change::AddLearner(node),
        1 => Change::Promote(node),
        2 => Change::Demote(node),
        3 => Change::Remove(node),
        _ => Change::Replace {
            voters: voters(dice.below(5)).voters().collect(),
            learners: BTreeSet::from([node]),
        },
    }
}

/// An input that a confused host might feed.
fn random_input(dice: &mut Dice, number: u64) -> Input {
    let ticket = Ticket::new(dice.below(40));
    let from = node(dice.below(5));
    let last = LogId::new(
        Term::new(dice.below(6)),
        Index::new(1 + dice.below(12)).unwrap_or(Index::FIRST),
    );
    match dice.below(18) {
        0 => Input::Event(Event::Tick(if dice.one_in(50) {
            u64::MAX
        } else {
            dice.below(30)
        })),
        1..4 => Input::Event(Event::Persisted(ticket)),
        4 | 5 => Input::Applied(last.index),
        6 => Input::Event(Event::EntriesLoaded {
            ticket,
            entries: vec![Entry {
                id: last,
                body: EntryBody::Noop,
            }]
            .into(),
        }),
        7 => Input::SnapshotTaken { last },
        8 => Input::SnapshotPiece {
            last,
            ticket,
            total_bytes: dice.below(9),
            checksum: 0,
            offset: dice.below(9),
            data: Payload::from(&b"x"[..]),
        },
        9 => Input::SnapshotAborted { ticket },
        10 => Input::SnapshotStored {
            from,
            last,
            received_bytes: dice.below(9),
        },
        11 => Input::SnapshotReady {
            from,
            meta: random_meta(dice, Some(last)),
        },
        12 => Input::Event(Event::Unreachable(from)),
        17 => Input::Event(Event::WallTime(random_wall_time(dice))),
        13 => Input::Event(Event::Transfer { to: from }),
        15 => Input::Halted {
            at: last.index,
            needs: dice.one_in(2).then(|| Level::new(dice.below(4) as u32)),
        },
        14 => Input::Event(Event::ChangeMembership {
            id: ProposalId::new(1_000 + number),
            expect: if dice.one_in(4) {
                Expected::This(Some(last))
            } else {
                Expected::Any
            },
            change: random_change(dice, from),
            force: false,
        }),
        _ => Input::Event(Event::Campaign),
    }
}

/// The actions of a server for random inputs, and the number of proposals and reads among these.
pub(super) fn hostile_run(seed: u64) -> (Vec<Action>, (usize, usize)) {
    let mut dice = Dice::new(seed);
    let count = 1 + dice.below(4);
    let terms: Vec<u64> = (0..dice.below(6)).map(|at| 1 + at / 2).collect();
    let mut setup = support::scene::setup(count, 3, &terms);
    setup.config = small_config();
    setup.config.level = Level::new(dice.below(3) as u32);
    setup.config.options = Options {
        lease: Some(Lease { drift_permyriad: 100 }).filter(|_| dice.one_in(2)),
        forwarding: dice.one_in(2),
        yields: dice.below(3) as u32,
        witness: dice.one_in(8),
        persists_at_once: dice.one_in(2),
        applies_at_once: dice.one_in(2),
        trace: dice.one_in(2),
    };
    if setup.config.options.witness {
        for entry in &mut setup.durable.entries {
            entry.body = EntryBody::Withheld;
        }
    }
    if dice.one_in(4) {
        setup.durable = Durable::default();
    }
    let mut raft = Raft::new(setup).expect("the disk is valid");
    let (mut all, mut offered) = (Vec::new(), (0, 0));
    for number in 0..400 {
        let input = match dice.below(10) {
            0..5 => {
                let (term, message) = random_message(&mut dice);
                let from = dice.below(5);
                Input::Event(Event::Receive(Envelope {
                    group: GroupId::new(1),
                    cluster: match dice.below(12) {
                        0 => ClusterId::UNKNOWN,
                        1 => random_cluster(&mut dice),
                        _ => raft.status().cluster,
                    },
                    from_boot: Boot::new(dice.small(3), dice.small(2)),
                    from: node(from),
                    from_incarnation: Incarnation::new(if dice.one_in(9) { 9 } else { from }),
                    to: node(1),
                    to_incarnation: None,
                    term,
                    message,
                }))
            }
            5 => {
                offered.0 += 1;
                Input::Event(Event::Propose {
                    id: ProposalId::new(number),
                    payload: Payload::from(&b"?"[..]),
                })
            }
            6 => {
                offered.1 += 1;
                Input::Read {
                    id: ReadId::new(number),
                    mode: mode(&mut dice),
                }
            }
            _ => random_input(&mut dice, number),
        };
        offered.0 += usize::from(matches!(input, Input::Event(Event::ChangeMembership { .. })));
        let shown = format!("{input:?}");
        raft.step(input);
        assert_eq!(raft.check_invariants(), Ok(()), "seed {seed}, after {shown}");
        let mut actions = Vec::new();
        raft.drain(&mut actions);
        for action in &actions {
            if let Action::Persist(persist) = action
                && !dice.one_in(3)
            {
                raft.step(Event::Persisted(persist.ticket));
            }
        }
        let _ = (raft.status(), raft.next_deadline());
        all.extend(actions);
    }
    raft.step(Event::PersistFailed);
    raft.drain(&mut all);
    (all, offered)
}
