//! One server under test: build a state, feed inputs, compare the actions.

use raft_core::{
    Action, AppendOutcome, Boot, ClusterId, Config, Durable, Entry, EntryBody, Envelope, Event, GroupId,
    HardState, Identity, Incarnation, Index, Input, LogId, Membership, Message, NodeId, PeerSession, Persist,
    ProposalId, Raft, ReadId, ReadMode, RestoreError, RoleName, Round, Setup, SnapshotMeta, Term,
};

/// The number in 32 bits, as boots and sessions have it.
pub fn small(number: u64) -> u32 {
    u32::try_from(number).expect("numbers of these tests are small")
}

pub fn node(number: u64) -> NodeId {
    NodeId::new(number)
}

pub fn index(number: u64) -> Index {
    Index::new(number).expect("positions begin at 1")
}

/// The entry of this term at this position, or none for position 0.
pub fn at(term: u64, position: u64) -> Option<LogId> {
    Index::new(position).map(|index| LogId::new(Term::new(term), index))
}

pub fn id(term: u64, position: u64) -> LogId {
    at(term, position).expect("positions begin at 1")
}

/// A command that names its own term and index.
pub fn entry(term: u64, position: u64) -> Entry {
    let command = [term.to_be_bytes(), position.to_be_bytes()].concat();
    Entry {
        id: id(term, position),
        body: EntryBody::Command(command.into()),
    }
}

/// Entries of these terms, the first of them right after `before`.
pub fn entries(before: u64, terms: &[u64]) -> Vec<Entry> {
    let positions = before + 1..;
    terms
        .iter()
        .zip(positions)
        .map(|(&term, position)| entry(term, position))
        .collect()
}

/// Servers 1 to `count`, each bound to the data folder of its number.
pub fn voters(count: u64) -> Membership {
    let known = (1..=count).map(|number| (node(number), Incarnation::new(number)));
    Membership::of_voters((1..=count).map(node)).bind(known)
}

pub fn snapshot(term: u64, position: u64, count: u64) -> SnapshotMeta {
    SnapshotMeta {
        last: id(term, position),
        membership: voters(count).into(),
        membership_id: None,
        withheld: false,
        level: raft_core::Level::ZERO,
        cluster: ClusterId::UNKNOWN,
    }
}

/// The setup of server 1 of `count`. Its log has one entry for each of `log`'s terms.
pub fn setup(count: u64, term: u64, log: &[u64]) -> Setup {
    Setup {
        identity: Identity {
            group: GroupId::new(1),
            node: node(1),
            incarnation: Incarnation::new(1),
            boot: Boot::new(1, 1),
        },
        config: Config::default(),
        bootstrap: voters(count),
        durable: Durable {
            hard_state: HardState {
                term: Term::new(term),
                vote: None,
                ..HardState::default()
            },
            entries: entries(0, log),
            ..Durable::default()
        },
    }
}

/// Server 1 and all actions that it has handed out.
pub struct Scene {
    pub raft: Raft,
    /// The actions of its start.
    pub opening: Vec<Action>,
    /// Whether writes become durable at once, and entries are applied at once.
    pub prompt: bool,
    pub count: u64,
    /// The greetings that were sent. They are in no list of actions: every contact with a new start begins with one.
    pub greetings: Vec<Envelope>,
}

impl Scene {
    pub fn new(setup: Setup) -> Result<Self, RestoreError> {
        let count = setup.bootstrap.voters().count() as u64;
        let mut scene = Self {
            raft: Raft::new(setup)?,
            opening: Vec::new(),
            prompt: true,
            count,
            greetings: Vec::new(),
        };
        scene.opening = scene.drain();
        Ok(scene)
    }

    pub fn follower(count: u64, term: u64, log: &[u64]) -> Self {
        Self::new(setup(count, term, log)).expect("the disk is valid")
    }

    /// Server 1 as leader of `term`, its no-op appended and durable, and everything else in this log uncommitted.
    pub fn leader(count: u64, term: u64, log: &[u64]) -> Self {
        let mut scene = Self::follower(count, term - 1, log);
        scene.win();
        assert_eq!(scene.raft.vitals().term, Term::new(term));
        scene
    }

    /// Campaigns, and lets all others vote for it.
    pub fn win(&mut self) -> Vec<Action> {
        self.step(Event::Campaign);
        let mut actions = Vec::new();
        for stage in [RoleName::PreCandidate, RoleName::Candidate] {
            for voter in 2..=self.count {
                if self.role() == stage {
                    actions.extend(self.grant(voter));
                }
            }
        }
        assert_eq!(self.role(), RoleName::Leader);
        actions
    }

    /// The voter grants the pre-vote or vote that is being asked for.
    pub fn grant(&mut self, voter: u64) -> Vec<Action> {
        let term = self.term();
        let message = if self.role() == RoleName::PreCandidate {
            Message::PreVoteReply {
                ask: Term::new(term + 1),
                granted: true,
            }
        } else {
            Message::VoteReply { granted: true }
        };
        self.receive(voter, term, message)
    }

    pub fn role(&self) -> RoleName {
        self.raft.vitals().role
    }

    pub fn term(&self) -> u64 {
        self.raft.vitals().term.value()
    }

    pub fn vote(&self) -> Option<u64> {
        self.raft.hard_state().vote.map(NodeId::value)
    }

    pub fn commit(&self) -> u64 {
        self.raft.vitals().commit.map_or(0, Index::value)
    }

    pub fn applied(&self) -> u64 {
        self.raft.vitals().applied.map_or(0, Index::value)
    }

    /// The terms of the retained entries in order.
    pub fn log(&self) -> Vec<u64> {
        let last = self.raft.vitals().last.map_or(0, |last| last.index.value());
        (self.raft.first_index().value()..=last)
            .map(|at| {
                self.raft
                    .log_id(index(at))
                    .expect("a retained entry has a name")
                    .term
                    .value()
            })
            .collect()
    }

    /// A member's envelope to this server. Server `n` has incarnation `n`.
    pub fn envelope(&self, from: u64, term: u64, message: Message) -> Envelope {
        Envelope {
            group: GroupId::new(1),
            cluster: self.raft.status().cluster,
            from: node(from),
            from_incarnation: Incarnation::new(from),
            from_boot: Boot::new(1, small(from)),
            to: node(1),
            to_incarnation: None,
            term: Term::new(term),
            message,
        }
    }

    pub fn receive(&mut self, from: u64, term: u64, message: Message) -> Vec<Action> {
        let envelope = self.envelope(from, term, message);
        self.step(Event::Receive(envelope))
    }

    pub fn step(&mut self, input: impl Into<Input>) -> Vec<Action> {
        self.raft.step(input);
        self.drain()
    }

    pub fn tick(&mut self, ticks: u64) -> Vec<Action> {
        (0..ticks).flat_map(|_| self.step(Event::Tick(1))).collect()
    }

    pub fn propose(&mut self, id: u64, payload: &[u8]) -> Vec<Action> {
        self.step(Event::Propose {
            id: ProposalId::new(id),
            payload: payload.into(),
        })
    }

    pub fn read(&mut self, id: u64) -> Vec<Action> {
        self.read_by(id, ReadMode::Quorum)
    }

    pub fn read_by(&mut self, id: u64, mode: ReadMode) -> Vec<Action> {
        let id = ReadId::new(id);
        self.step(Input::Read { id, mode })
    }

    /// The actions of now; a prompt server carries out writes and applies, and goes on until there are none.
    pub fn drain(&mut self) -> Vec<Action> {
        let mut all = Vec::new();
        loop {
            let mut actions = Vec::new();
            self.raft.drain(&mut actions);
            if actions.is_empty() {
                return all;
            }
            actions.retain(|action| match action {
                Action::Send(envelope) if matches!(envelope.message, Message::Greeting { .. }) => {
                    self.greetings.push(envelope.clone());
                    false
                }
                _ => true,
            });
            for action in &actions {
                match action {
                    Action::Persist(persist) if self.prompt => {
                        self.raft.step(Event::Persisted(persist.ticket))
                    }
                    Action::Apply { entries } if self.prompt => {
                        let last = entries.last().expect("nothing is never applied").id.index;
                        self.raft.step(Input::Applied(last));
                    }
                    Action::InstallSnapshot { meta } if self.prompt => {
                        self.raft.step(Input::Applied(meta.last.index));
                    }
                    _ => {}
                }
            }
            all.extend(actions);
        }
    }

    /// An append of entries of these terms after `prev`, from server 2 as leader of `term`.
    pub fn append(&mut self, term: u64, prev: Option<LogId>, terms: &[u64], commit: u64) -> Vec<Action> {
        let before = prev.map_or(0, |prev| prev.index.value());
        self.receive(2, term, append(prev, entries(before, terms), commit))
    }

    /// The peer acknowledges the log up to this index.
    pub fn accept(&mut self, from: u64, last: Option<LogId>) -> Vec<Action> {
        let term = self.term();
        let message = self.reply(from, AppendOutcome::Accepted { last });
        self.receive(from, term, message)
    }

    pub fn reject(&mut self, from: u64, prev: Option<LogId>, hint: Option<LogId>) -> Vec<Action> {
        let term = self.term();
        let message = self.reply(from, AppendOutcome::Rejected { prev, hint });
        self.receive(from, term, message)
    }

    /// A leader gives its peers sessions from 1 on, in the order of their ids.
    pub fn session(&self, peer: u64) -> PeerSession {
        PeerSession::new(small(peer - 1))
    }

    fn reply(&self, from: u64, outcome: AppendOutcome) -> Message {
        Message::AppendReply {
            session: self.session(from),
            round: Round::new(0),
            outcome,
            promise_micros: 0,
        }
    }
}

pub fn append(prev: Option<LogId>, entries: Vec<Entry>, commit: u64) -> Message {
    Message::Append {
        session: PeerSession::new(1),
        round: Round::new(0),
        prev,
        commit: Index::new(commit),
        entries: entries.into(),
    }
}

/// A heartbeat of the first round.
pub fn heartbeat(commit: Option<LogId>) -> Message {
    Message::Heartbeat {
        session: PeerSession::new(1),
        round: Round::new(0),
        commit,
    }
}

/// The messages among the actions, by recipient.
pub fn sent(actions: &[Action]) -> Vec<(u64, Message)> {
    let envelopes = actions.iter().filter_map(|action| match action {
        Action::Send(envelope) => Some(envelope),
        _ => None,
    });
    envelopes
        .map(|envelope| (envelope.to.value(), envelope.message.clone()))
        .collect()
}

/// The messages among the actions to this peer.
pub fn sent_to(to: u64, actions: &[Action]) -> Vec<Message> {
    let to_peer = sent(actions).into_iter().filter(|(peer, _)| *peer == to);
    to_peer.map(|(_, message)| message).collect()
}

/// The kinds of message among the actions, by recipient.
pub fn kinds(actions: &[Action]) -> Vec<(u64, &'static str)> {
    sent(actions)
        .into_iter()
        .map(|(to, message)| (to, message.name()))
        .collect()
}

pub fn writes(actions: &[Action]) -> Vec<Persist> {
    let writes = actions.iter().filter_map(|action| match action {
        Action::Persist(persist) => Some(persist.clone()),
        _ => None,
    });
    writes.collect()
}

/// The outcomes of appends among the messages.
pub fn outcomes(actions: &[Action]) -> Vec<AppendOutcome> {
    let outcomes = sent(actions)
        .into_iter()
        .filter_map(|(_, message)| match message {
            Message::AppendReply { outcome, .. } => Some(outcome),
            _ => None,
        });
    outcomes.collect()
}

/// The appends to a peer among the actions: the previous entry, and the terms of the entries.
pub fn appends(to: u64, actions: &[Action]) -> Vec<(Option<LogId>, Vec<u64>)> {
    let appends = sent_to(to, actions)
        .into_iter()
        .filter_map(|message| match message {
            Message::Append { prev, entries, .. } => {
                Some((prev, entries.iter().map(|entry| entry.id.term.value()).collect()))
            }
            _ => None,
        });
    appends.collect()
}
