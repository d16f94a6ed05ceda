//! A cluster in one thread: the test decides over every message and every write.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test file uses another part of it"
)]

pub mod scene;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use raft_core::replica::{Input, Output, Replica, SnapshotError, StateMachine};
use raft_core::{
    Boot, Change, Config, Durable, Envelope, Event, Expected, GroupId, Halt, Identity, Incarnation, Level,
    LoadEntries, LogId, Membership, NodeId, Notice, Payload, Persist, ProposalId, ReadId, ReadMode, RoleName,
    Setup, Snapshots,
};

/// What begins so is a command that only the newer of two programs understands.
pub const NEWER: &[u8] = b"!!";

/// Remembers every command in order; the second field says whether its program is the newer one of two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Journal(pub Vec<Vec<u8>>, pub bool);

impl StateMachine for Journal {
    type Response = usize;
    type Query = ();
    type Answer = usize;

    fn apply(&mut self, _at: LogId, command: &[u8]) -> Result<usize, Halt> {
        if command.starts_with(NEWER) && !self.1 {
            return Err(Halt { needs: None });
        }
        self.0.push(command.to_vec());
        Ok(self.0.len())
    }

    fn query(&self, (): ()) -> usize {
        self.0.len()
    }

    fn snapshot(&self) -> Vec<u8> {
        self.0
            .iter()
            .flat_map(|c| {
                (c.len() as u32)
                    .to_be_bytes()
                    .into_iter()
                    .chain(c.iter().copied())
            })
            .collect()
    }

    fn restore(&self, mut snapshot: &[u8]) -> Result<Self, SnapshotError> {
        let mut commands = Vec::new();
        while let Some((length, rest)) = snapshot.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            let (command, rest) = rest
                .split_at_checked(length)
                .ok_or_else(|| SnapshotError("it ends too early".into()))?;
            commands.push(command.to_vec());
            snapshot = rest;
        }
        Ok(Self(commands, self.1))
    }
}

/// The contents of a disk; writes reach it when the test says so.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub durable: Durable,
    /// The bytes of the snapshot that `durable` names.
    pub snapshot: Option<Payload>,
    /// Snapshots that are written and not named.
    pub unnamed: BTreeMap<LogId, Payload>,
}

impl Disk {
    pub fn write(&mut self, persist: &Persist) {
        self.durable.write(persist);
        if let Some(meta) = persist.snapshot.as_ref().filter(|meta| !meta.withheld) {
            let written = self.unnamed.remove(&meta.last);
            assert!(
                written.is_some(),
                "the snapshot of {} is named and not written",
                meta.last
            );
            self.snapshot = written;
        }
    }
}

pub struct Server {
    pub replica: Replica<Journal>,
    pub disk: Disk,
    /// Writes that were requested and not yet made.
    pub writes: VecDeque<Persist>,
    /// Whether writes wait for the test.
    pub slow_disk: bool,
    /// Snapshots whose write was requested and not yet made.
    pub snapshot_writes: VecDeque<(LogId, Payload)>,
    /// Whether the writes of snapshots wait for the test.
    pub slow_snapshots: bool,
    pub boot: u64,
    pub done: BTreeMap<u64, (LogId, usize)>,
    pub rejected: BTreeMap<u64, raft_core::Rejection>,
    pub superseded: BTreeSet<u64>,
    pub unknown: BTreeSet<u64>,
    pub answered: BTreeMap<u64, usize>,
    pub reads_rejected: BTreeMap<u64, raft_core::Rejection>,
    pub installed: usize,
    pub transfers: Vec<(u64, raft_core::TransferOutcome)>,
    pub changed: BTreeMap<u64, LogId>,
    pub changes_rejected: BTreeMap<u64, raft_core::ChangeRejection>,
    pub halts: Vec<raft_core::Halted>,
}

pub struct Cluster {
    pub servers: BTreeMap<u64, Server>,
    pub crashed: BTreeMap<u64, (Disk, u64)>,
    pub wire: VecDeque<Envelope>,
    /// Directed links that drop everything.
    pub cut: BTreeSet<(u64, u64)>,
    pub config: Config,
    /// The servers that start with the newer program.
    pub newer: BTreeSet<u64>,
    /// The levels of programs that are not those of `config`.
    pub levels: BTreeMap<u64, Level>,
    pub size: u64,
    next_id: u64,
}

impl Cluster {
    pub fn new(size: u64) -> Self {
        Self::with(size, Config::default())
    }

    pub fn with_snapshots(size: u64, every_entries: u64, keep_entries: u64) -> Self {
        let snapshots = Snapshots {
            every_entries,
            keep_entries,
            chunk_bytes: 16,
            ..Snapshots::default()
        };
        Self::with(
            size,
            Config {
                snapshots,
                ..Config::default()
            },
        )
    }

    pub fn with(size: u64, config: Config) -> Self {
        let mut cluster = Self {
            servers: BTreeMap::new(),
            crashed: BTreeMap::new(),
            wire: VecDeque::new(),
            cut: BTreeSet::new(),
            config,
            newer: BTreeSet::new(),
            levels: BTreeMap::new(),
            size,
            next_id: 0,
        };
        for id in 1..=size {
            cluster.start(id, Disk::default(), 1, id);
        }
        cluster
    }

    pub fn start(&mut self, id: u64, disk: Disk, boot: u64, incarnation: u64) {
        let bootstrap = Membership::of_voters((1..=self.size).map(NodeId::new));
        self.start_with(id, disk, boot, incarnation, bootstrap);
    }

    /// A server that is to be added: its disk is empty, and it knows no other server.
    pub fn start_new(&mut self, id: u64) {
        self.start_with(id, Disk::default(), 1, id, Membership::default());
    }

    pub fn start_with(
        &mut self,
        id: u64,
        mut disk: Disk,
        boot: u64,
        incarnation: u64,
        bootstrap: Membership,
    ) {
        // What a crash left between a snapshot's write and its name.
        disk.unnamed.clear();
        let identity = Identity {
            group: GroupId::new(1),
            node: NodeId::new(id),
            incarnation: Incarnation::new(incarnation),
            boot: Boot::new(scene::small(boot), scene::small(1000 * incarnation + boot)),
        };
        let setup = Setup {
            identity,
            config: self.config_of(id),
            bootstrap,
            durable: disk.durable.clone(),
        };
        let machine = Journal(Vec::new(), self.newer.contains(&id));
        let replica = Replica::new(setup, machine, disk.snapshot.clone()).expect("the disk is valid");
        let server = Server {
            replica,
            disk,
            writes: VecDeque::new(),
            slow_disk: false,
            snapshot_writes: VecDeque::new(),
            slow_snapshots: false,
            boot,
            done: BTreeMap::new(),
            rejected: BTreeMap::new(),
            superseded: BTreeSet::new(),
            unknown: BTreeSet::new(),
            answered: BTreeMap::new(),
            reads_rejected: BTreeMap::new(),
            installed: 0,
            transfers: Vec::new(),
            changed: BTreeMap::new(),
            changes_rejected: BTreeMap::new(),
            halts: Vec::new(),
        };
        self.servers.insert(id, server);
        self.drain(id);
    }

    /// The settings of a server's next start.
    pub fn config_of(&self, id: u64) -> Config {
        Config {
            level: self.levels.get(&id).copied().unwrap_or(self.config.level),
            ..self.config.clone()
        }
    }

    /// Starts the server again with the newer program.
    pub fn upgrade(&mut self, id: u64) {
        self.newer.insert(id);
        if self.servers.contains_key(&id) {
            self.crash(id);
        }
        self.restart(id);
    }

    /// Crashes the server; writes that were not made are lost.
    pub fn crash(&mut self, id: u64) {
        let server = self.servers.remove(&id).expect("the server runs");
        self.crashed.insert(id, (server.disk, server.boot));
    }

    pub fn restart(&mut self, id: u64) {
        let (disk, boot) = self.crashed.remove(&id).expect("the server is down");
        self.start(id, disk, boot + 1, id);
    }

    pub fn server(&mut self, id: u64) -> &mut Server {
        self.servers.get_mut(&id).expect("the server runs")
    }

    pub fn step(&mut self, id: u64, input: impl Into<Input<Journal>>) {
        self.server(id).replica.step(input);
        self.drain(id);
    }

    /// Carries out what the server asks for, until it asks for nothing.
    pub fn drain(&mut self, id: u64) {
        loop {
            let mut outputs = Vec::new();
            self.server(id).replica.drain(&mut outputs);
            if outputs.is_empty() {
                return;
            }
            for output in outputs {
                self.carry_out(id, output);
            }
        }
    }

    fn carry_out(&mut self, id: u64, output: Output<Journal>) {
        let server = self.servers.get_mut(&id).expect("the server runs");
        match output {
            Output::Persist(persist) if server.slow_disk => server.writes.push_back(persist),
            Output::Persist(persist) => {
                server.disk.write(&persist);
                server.replica.step(Event::Persisted(persist.ticket));
            }
            Output::WriteSnapshot { last, bytes } if server.slow_snapshots => {
                server.snapshot_writes.push_back((last, bytes));
            }
            Output::WriteSnapshot { last, bytes } => {
                server.disk.unnamed.insert(last, bytes);
                server.replica.step(Input::SnapshotWritten { last });
            }
            Output::DiscardSnapshot { last } => {
                let written = server.disk.unnamed.remove(&last);
                assert!(
                    written.is_some(),
                    "the snapshot of {last} is discarded and not written"
                );
            }
            Output::Send(envelope) => self.wire.push_back(envelope),
            Output::LoadEntries(LoadEntries {
                ticket,
                first,
                last,
                max_bytes,
            }) => {
                let entries = server.disk.durable.load(first, last, max_bytes);
                server.replica.step(Event::EntriesLoaded { ticket, entries });
            }
            Output::Done { id, at, response } => {
                server.done.insert(id.value(), (at, response));
            }
            Output::Notice(Notice::Rejected { id, reason, .. }) => {
                server.rejected.insert(id.value(), reason);
            }
            Output::Notice(Notice::Superseded { id }) => {
                server.superseded.insert(id.value());
            }
            Output::Notice(Notice::Unknown { id }) => {
                server.unknown.insert(id.value());
            }
            Output::Answered { id, answer, .. } => {
                server.answered.insert(id.value(), answer);
            }
            Output::Notice(Notice::ReadRejected { id, reason }) => {
                server.reads_rejected.insert(id.value(), reason);
            }
            Output::SnapshotInstalled { .. } => server.installed += 1,
            Output::SnapshotRefused { error, .. } => panic!("{error}"),
            Output::Changed { id, at } => {
                server.changed.insert(id.value(), at);
            }
            Output::Notice(Notice::ChangeRejected { id, reason, .. }) => {
                server.changes_rejected.insert(id.value(), reason);
            }
            Output::Notice(Notice::TransferEnded { to, outcome }) => {
                server.transfers.push((to.value(), outcome))
            }
            Output::Notice(
                Notice::RoleChanged { .. }
                | Notice::LeaderChanged { .. }
                | Notice::MembershipChanged { .. }
                | Notice::Trace(_),
            ) => {}
            Output::Notice(Notice::Halted(halted)) => server.halts.push(halted),
        }
    }

    /// Makes the oldest waiting write durable.
    pub fn write_one(&mut self, id: u64) {
        let server = self.server(id);
        let persist = server.writes.pop_front().expect("a write waits");
        server.disk.write(&persist);
        self.step(id, Event::Persisted(persist.ticket));
    }

    /// Makes the oldest waiting snapshot durable.
    pub fn write_snapshot(&mut self, id: u64) {
        let server = self.server(id);
        let (last, bytes) = server.snapshot_writes.pop_front().expect("a snapshot waits");
        server.disk.unnamed.insert(last, bytes);
        self.step(id, Input::SnapshotWritten { last });
    }

    /// Delivers the messages on the wire, and those that they lead to, until there are none.
    pub fn deliver(&mut self) {
        while let Some(envelope) = self.wire.pop_front() {
            let (from, to) = (envelope.from.value(), envelope.to.value());
            if !self.cut.contains(&(from, to)) && self.servers.contains_key(&to) {
                self.step(to, Event::Receive(envelope));
            }
        }
    }

    pub fn tick(&mut self, ticks: u64) {
        for _ in 0..ticks {
            for id in self.servers.keys().copied().collect::<Vec<_>>() {
                self.step(id, Event::Tick(1));
            }
            self.deliver();
        }
    }

    /// Partitions a server from all others.
    pub fn isolate(&mut self, id: u64) {
        for other in (1..=9).filter(|&other| other != id) {
            self.cut.insert((id, other));
            self.cut.insert((other, id));
        }
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }

    pub fn role(&mut self, id: u64) -> RoleName {
        self.server(id).replica.raft().vitals().role
    }

    /// The leader with the highest term.
    pub fn leader(&self) -> Option<u64> {
        let vitals = self
            .servers
            .iter()
            .map(|(&id, server)| (id, server.replica.raft().vitals()));
        let leaders = vitals.filter(|(_, vitals)| vitals.role == RoleName::Leader);
        leaders.max_by_key(|(_, vitals)| vitals.term).map(|(id, _)| id)
    }

    /// Lets time pass until there is a leader.
    pub fn elect(&mut self) -> u64 {
        for _ in 0..200 {
            self.tick(1);
            if let Some(leader) = self.leader() {
                self.tick(5);
                return self.leader().unwrap_or(leader);
            }
        }
        panic!("no leader was elected in 200 ticks");
    }

    pub fn propose(&mut self, id: u64, command: &[u8]) -> u64 {
        self.next_id += 1;
        let proposal = self.next_id;
        self.step(
            id,
            Event::Propose {
                id: ProposalId::new(proposal),
                payload: command.into(),
            },
        );
        proposal
    }

    pub fn change(&mut self, id: u64, change: Change) -> u64 {
        self.next_id += 1;
        let proposal = self.next_id;
        let input = Input::Event(Event::ChangeMembership {
            id: ProposalId::new(proposal),
            expect: Expected::Any,
            change,
            force: false,
        });
        self.step(id, input);
        proposal
    }

    /// Proposes a change until it is made; false if that takes too long.
    pub fn make_change(&mut self, change: Change) -> bool {
        (0..20).any(|_| {
            let leader = self.elect();
            let proposal = self.change(leader, change.clone());
            self.tick(30);
            self.server(leader).changed.contains_key(&proposal)
        })
    }

    pub fn read(&mut self, id: u64) -> u64 {
        self.read_by(id, ReadMode::Quorum)
    }

    pub fn read_by(&mut self, id: u64, mode: ReadMode) -> u64 {
        self.next_id += 1;
        let read = self.next_id;
        self.step(
            id,
            Input::Read {
                id: ReadId::new(read),
                mode,
                query: (),
            },
        );
        read
    }

    /// The commands that a server has applied.
    pub fn journal(&mut self, id: u64) -> Vec<Vec<u8>> {
        self.server(id).replica.machine().0.clone()
    }
}
