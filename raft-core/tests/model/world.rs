//! A small cluster whose messages, writes and applies happen in every order that is allowed, and the promises of its
//! servers to each other.

mod requests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use raft_core::{
    Action, Boot, Durable, Entries, Entry, EntryBody, Envelope, Event, GroupId, Identity, Incarnation, Index,
    Input, LoadEntries, LogId, Membership, NodeId, Notice, Payload, Persist, Raft, RoleName, Setup,
    SnapshotMeta, Term, Ticket,
};

use super::support::scene::{node, small};
use super::{Dice, small_config};

/// One server, its disk, and its state machine: a list of the entries that were applied.
struct Server {
    raft: Raft,
    boot: u64,
    disk: Durable,
    /// Handed out and not carried out, in order.
    writes: VecDeque<Persist>,
    persists_at_once: bool,
    applies_at_once: bool,
    applying: VecDeque<(Index, Entries)>,
    installing: Option<SnapshotMeta>,
    loads: Vec<(Ticket, Index, Index)>,
    transfers: BTreeMap<Ticket, LogId>,
    pending: BTreeSet<u64>,
    /// With the index that was certainly committed when each was asked for.
    reads: BTreeMap<u64, u64>,
    /// Transfers of leadership without an outcome.
    handovers: u64,
}

pub(super) struct World {
    dice: Dice,
    count: u64,
    servers: BTreeMap<u64, Server>,
    down: BTreeMap<u64, (Durable, u64)>,
    wire: Vec<Envelope>,
    /// Servers that are partitioned from all others.
    cut: BTreeSet<u64>,
    /// Whether the configuration changes.
    changes: bool,
    /// The servers that hold no commands.
    witness: Option<u64>,
    /// Whether servers that do not lead forward requests.
    forwards: bool,
    /// Whether one server may lose its disk, and which one has.
    pub(super) loses: bool,
    lost: Option<u64>,
    leaders: BTreeMap<Term, NodeId>,
    /// The committed entry at every position, as the first server to apply it saw it.
    committed: BTreeMap<u64, Entry>,
    /// Where every command was committed.
    commands: BTreeMap<Vec<u8>, LogId>,
    next_id: u64,
    /// How often each kind of action was seen: a model that never reaches a state proves nothing about it.
    pub(super) seen: BTreeMap<&'static str, u64>,
}

fn kind(action: &Action) -> &'static str {
    match action {
        Action::Persist(persist) if persist.truncate_from == Some(Index::FIRST) => {
            "Persist that empties the log"
        }
        Action::Persist(persist) if persist.truncate_from.is_some() => "Persist that truncates",
        Action::Persist(persist) if persist.compact_to.is_some() => "Persist that compacts",
        Action::Persist(_) => "Persist",
        Action::Send(envelope) => envelope.message.name(),
        Action::Apply { .. } => "Apply",
        Action::Done { .. } => "Done",
        Action::Notice(Notice::Rejected { .. }) => "Rejected",
        Action::Notice(Notice::Superseded { .. }) => "Superseded",
        Action::Notice(Notice::Unknown { .. }) => "Unknown",
        Action::ReadReady { .. } => "ReadReady",
        Action::Notice(Notice::ReadRejected { .. }) => "ReadRejected",
        Action::LoadEntries(LoadEntries { .. }) => "LoadEntries",
        Action::SendSnapshot { .. } => "SendSnapshot",
        Action::SnapshotAdvanced { .. } => "SnapshotAdvanced",
        Action::SnapshotEnded { .. } => "SnapshotEnded",
        Action::SnapshotArrived { .. } => "SnapshotArrived",
        Action::SnapshotTooLarge { .. } => "SnapshotTooLarge",
        Action::InstallSnapshot { .. } => "InstallSnapshot",
        Action::Notice(Notice::ChangeRejected { .. }) => "ChangeRejected",
        Action::Notice(Notice::TransferEnded { .. }) => "TransferEnded",
        Action::Notice(Notice::RoleChanged { .. }) => "RoleChanged",
        Action::Notice(Notice::LeaderChanged { .. }) => "LeaderChanged",
        Action::Notice(Notice::MembershipChanged { .. }) => "MembershipChanged",
        Action::Notice(Notice::Halted(_)) => "Halted",
        Action::Notice(Notice::Removed { .. }) => "Removed",
        Action::Notice(Notice::Trace(step)) => step.name(),
    }
}

fn identity(id: u64, folder: u64, boot: u64) -> Identity {
    Identity {
        group: GroupId::new(1),
        node: node(id),
        incarnation: Incarnation::new(folder),
        boot: Boot::new(small(boot), small(1000 * id + boot)),
    }
}

fn apply_to_disk(disk: &mut Durable, persist: &Persist, parts: u64) {
    let mut left = parts;
    let mut takes = || {
        let takes = left > 0;
        left = left.saturating_sub(1);
        takes
    };
    if let Some(hard_state) = persist.hard_state.as_deref().filter(|_| takes()) {
        disk.hard_state = *hard_state;
    }
    if let Some(meta) = persist.snapshot.as_ref().filter(|_| takes()) {
        disk.snapshot = Some((**meta).clone());
    }
    if let Some(from) = persist.truncate_from.filter(|_| takes()) {
        disk.entries.retain(|entry| entry.id.index < from);
    }
    for entry in &persist.entries {
        if takes() {
            disk.entries.push(entry.clone());
        }
    }
    if let Some(commit) = persist.commit.filter(|_| takes()) {
        disk.commit = Some(commit);
    }
    if let Some(to) = persist.compact_to.filter(|_| takes()) {
        disk.entries.retain(|entry| entry.id.index > to);
    }
}

impl World {
    pub(super) fn new(seed: u64, count: u64) -> Self {
        let mut world = Self {
            dice: Dice::new(seed),
            count,
            servers: BTreeMap::new(),
            down: BTreeMap::new(),
            wire: Vec::new(),
            cut: BTreeSet::new(),
            changes: !seed.is_multiple_of(2),
            witness: Some(count).filter(|count| *count >= 3 && seed % 8 >= 5),
            forwards: !seed.is_multiple_of(3),
            loses: seed % 4 == 3 && count >= 3,
            lost: None,
            leaders: BTreeMap::new(),
            committed: BTreeMap::new(),
            commands: BTreeMap::new(),
            next_id: 0,
            seen: BTreeMap::new(),
        };
        for id in 1..=count {
            world.start(id, Durable::default(), 1);
        }
        world
    }

    fn start(&mut self, id: u64, disk: Durable, boot: u64) {
        let mut config = small_config();
        config.seed = self.dice.below(u64::MAX);
        config.options.forwarding = self.forwards;
        config.options.witness = self.witness == Some(id);
        config.options.persists_at_once = self.dice.one_in(3);
        config.options.applies_at_once = self.dice.one_in(2);
        config.options.trace = true;
        config.options.yields = self.dice.below(2) as u32;
        let options = config.options;
        let setup = Setup {
            identity: identity(id, self.folder(id), boot),
            config,
            bootstrap: Membership::of_voters((1..=self.count).map(node))
                .with_witnesses(self.witness.map(node)),
            durable: disk.clone(),
        };
        let raft = Raft::new(setup).expect("whatever a crash leaves makes sense");
        let server = Server {
            raft,
            boot,
            disk,
            writes: VecDeque::new(),
            persists_at_once: options.persists_at_once,
            applies_at_once: options.applies_at_once,
            applying: VecDeque::new(),
            installing: None,
            loads: Vec::new(),
            transfers: BTreeMap::new(),
            pending: BTreeSet::new(),
            reads: BTreeMap::new(),
            handovers: 0,
        };
        self.servers.insert(id, server);
        self.drain(id);
    }

    /// The data folder that a server has now.
    fn folder(&self, id: u64) -> u64 {
        if self.lost == Some(id) { id + 100 } else { id }
    }

    /// A crash keeps a prefix of the requested writes, and of the last one a prefix of its parts.
    fn crash(&mut self, id: u64) {
        let Some(mut server) = self.servers.remove(&id) else {
            return;
        };
        let kept = self.dice.below(server.writes.len() as u64 + 1) as usize;
        for persist in server.writes.iter().take(kept) {
            apply_to_disk(&mut server.disk, persist, u64::MAX);
        }
        if let Some(torn) = server.writes.get(kept) {
            let parts = self.dice.below(6 + torn.entries.len() as u64);
            apply_to_disk(&mut server.disk, torn, parts);
        }
        self.down.insert(id, (server.disk, server.boot));
    }

    fn step(&mut self, id: u64, input: impl Into<Input>) {
        if let Some(server) = self.servers.get_mut(&id) {
            server.raft.step(input);
            server.raft.check_invariants().expect("every invariant holds");
            if !self.dice.one_in(3) {
                self.drain(id);
            }
        }
    }

    fn drain(&mut self, id: u64) {
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        let mut actions = Vec::new();
        server.raft.drain(&mut actions);
        for action in actions {
            self.carry_out(id, action);
        }
        self.check(id);
    }

    fn carry_out(&mut self, id: u64, action: Action) {
        *self.seen.entry(kind(&action)).or_default() += 1;
        let server = self.servers.get_mut(&id).expect("it asked");
        match action {
            Action::Persist(persist) if server.persists_at_once => {
                apply_to_disk(&mut server.disk, &persist, u64::MAX);
            }
            Action::Persist(persist) => server.writes.push_back(persist),
            Action::Send(envelope) => {
                if self.cut.contains(&envelope.from.value()) || self.cut.contains(&envelope.to.value()) {
                    return;
                }
                self.wire.push(envelope);
                if self.wire.len() > 60 {
                    let lost = self.dice.below(self.wire.len() as u64) as usize;
                    self.wire.swap_remove(lost);
                }
            }
            Action::Apply { entries } => {
                let last = entries.last().expect("nothing is never applied").id.index;
                if !server.applies_at_once {
                    server.applying.push_back((last, entries.clone()));
                }
                for entry in &entries {
                    let disk = &self.servers[&id].disk;
                    let stored = disk.entries.iter().any(|stored| stored.id == entry.id);
                    let covered = disk.snapshot.as_ref().map(|meta| meta.last.index);
                    assert!(
                        stored || covered >= Some(entry.id.index),
                        "{} is applied and not durable",
                        entry.id
                    );
                    self.commits(entry);
                }
            }
            Action::InstallSnapshot { meta } => {
                assert_eq!(
                    server.disk.snapshot.as_ref(),
                    Some(&meta),
                    "installed before it is durable"
                );
                server.installing = Some(meta);
            }
            Action::Done { id: proposal, at } => {
                assert!(
                    server.pending.remove(&proposal.value()),
                    "{proposal} has one outcome"
                );
                let entry = &self.committed[&at.index.value()];
                assert_eq!(entry.id, at);
                let said = Payload::from(proposal.value().to_be_bytes().to_vec());
                match &entry.body {
                    EntryBody::Membership(_) => {
                        *self.seen.entry("change of the configuration").or_default() += 1;
                    }
                    body => assert_eq!(body.command(), Some(&said)),
                }
            }
            Action::Notice(
                Notice::Rejected { id: proposal, .. }
                | Notice::ChangeRejected { id: proposal, .. }
                | Notice::Superseded { id: proposal }
                | Notice::Unknown { id: proposal },
            ) => {
                assert!(
                    server.pending.remove(&proposal.value()),
                    "{proposal} has one outcome"
                );
            }
            Action::ReadReady { id: read, index } => {
                let committed = server.reads.remove(&read.value());
                let committed = committed.expect("a read has one outcome");
                assert!(
                    index.value() >= committed,
                    "§6.4: {read} misses what was committed before it was asked"
                );
                assert!(server.raft.vitals().applied >= Some(index));
            }
            Action::Notice(Notice::ReadRejected { id: read, .. }) => {
                assert!(
                    server.reads.remove(&read.value()).is_some(),
                    "{read} has one outcome"
                );
            }
            Action::LoadEntries(LoadEntries {
                ticket, first, last, ..
            }) => server.loads.push((ticket, first, last)),
            Action::SendSnapshot { ticket, meta, .. } => {
                server.transfers.insert(ticket, meta.last);
                self.send_piece(id, ticket, 0);
            }
            Action::SnapshotAdvanced {
                ticket,
                received_bytes,
            } => self.send_piece(id, ticket, received_bytes),
            Action::SnapshotEnded { ticket } => {
                let ended = server.transfers.remove(&ticket);
                assert!(ended.is_some(), "a transfer ends once");
            }
            Action::SnapshotArrived {
                from,
                meta,
                offset,
                total_bytes,
                ..
            } => {
                // Two pieces make a whole; this host assumes that a server with the second also has the first.
                if offset + 1 >= total_bytes {
                    server.raft.step(Input::SnapshotReady { from, meta });
                } else {
                    let last = meta.last;
                    server.raft.step(Input::SnapshotStored {
                        from,
                        last,
                        received_bytes: offset + 1,
                    });
                }
            }
            Action::Notice(Notice::RoleChanged { role, term }) => {
                if role == RoleName::Leader {
                    let first = *self.leaders.entry(term).or_insert(node(id));
                    assert_eq!(first, node(id), "§5.2: one leader in {term}");
                }
            }
            Action::Notice(Notice::TransferEnded { .. }) => {
                server.handovers = server.handovers.checked_sub(1).expect("a transfer ends once");
            }
            Action::SnapshotTooLarge { .. }
            | Action::Notice(
                Notice::LeaderChanged { .. }
                | Notice::MembershipChanged { .. }
                | Notice::Halted(_)
                | Notice::Removed { .. }
                | Notice::Trace(_),
            ) => {}
        }
    }

    fn send_piece(&mut self, id: u64, ticket: Ticket, offset: u64) {
        let server = self.servers.get_mut(&id).expect("it asked");
        let input = if self.dice.one_in(10) {
            Input::SnapshotAborted { ticket }
        } else {
            let data = Payload::from(&b"x"[..]);
            Input::SnapshotPiece {
                ticket,
                last: server.transfers[&ticket],
                total_bytes: 2,
                checksum: 0,
                offset,
                data,
            }
        };
        server.raft.step(input);
    }

    /// A command is in the log once, also if it was forwarded and sent again.
    fn is_there_once(&mut self, entry: &Entry) {
        if let Some(command) = entry.body.command() {
            let first = *self.commands.entry(command.to_vec()).or_insert(entry.id);
            assert_eq!(first, entry.id, "one command is committed twice");
        }
    }

    /// §5.4.3, State Machine Safety: what was committed once at a position stays there.
    fn commits(&mut self, entry: &Entry) {
        self.is_there_once(entry);
        let first = self
            .committed
            .entry(entry.id.index.value())
            .or_insert_with(|| entry.clone());
        assert_eq!(first, entry, "what was committed stays");
    }

    /// §5.3, Log Matching: two logs that share an entry are equal up to it. Checked between this server and the others.
    fn check(&self, id: u64) {
        let Some(server) = self.servers.get(&id) else {
            return;
        };
        for other in self.servers.values() {
            let ends = [&server.raft, &other.raft]
                .map(|raft| raft.vitals().last.map_or(0, |last| last.index.value()));
            let first = server.raft.first_index().max(other.raft.first_index()).value();
            let mut agree = false;
            for at in (first..=ends[0].min(ends[1])).rev().filter_map(Index::new) {
                let same = server.raft.log_id(at) == other.raft.log_id(at);
                assert!(
                    same || !agree,
                    "§5.3: the logs agree beyond {at} and differ there"
                );
                agree = same;
            }
        }
    }

    /// Partitions a leader, or any server, or heals the network.
    fn partition(&mut self) {
        let any = self.any_server();
        let leader = self.any_leader().unwrap_or(any);
        self.cut.clear();
        match self.dice.below(4) {
            0 | 1 => self.cut.insert(leader),
            2 => self.cut.insert(any),
            _ => false,
        };
    }

    fn any_leader(&mut self) -> Option<u64> {
        let leads = |server: &Server| server.raft.vitals().role == RoleName::Leader;
        let leaders: Vec<u64> = self
            .servers
            .iter()
            .filter(|(_, server)| leads(server))
            .map(|(&id, _)| id)
            .collect();
        let one = self.dice.below(leaders.len() as u64) as usize;
        leaders.get(one).copied()
    }

    fn any_server(&mut self) -> u64 {
        1 + self.dice.below(self.count)
    }

    pub(super) fn act(&mut self) {
        let id = self.any_server();
        match self.dice.below(100) {
            0..40 => {
                if !self.wire.is_empty() {
                    let at = self.dice.below(self.wire.len() as u64) as usize;
                    let envelope = if self.dice.one_in(8) {
                        self.wire[at].clone()
                    } else {
                        self.wire.swap_remove(at)
                    };
                    self.step(envelope.to.value(), Event::Receive(envelope));
                }
            }
            40..58 => self.step(id, Event::Tick(1)),
            58..73 => self.write(id),
            73..80 => self.apply(id),
            80..86 => {
                let leader = self.any_leader().filter(|_| !id.is_multiple_of(4));
                self.propose(leader.unwrap_or(id));
            }
            86..88 => self.read(id),
            88..90 => self.load(id),
            // Every run shows something of a lost disk's removal and return.
            90..92 if self.lost.is_some() => self.change(),
            90..92 => self.snapshot(id),
            92..93 if self.changes => self.change(),
            92..93 => self.snapshot(id),
            93..94 if self.dice.one_in(3) => self.hand_over(),
            93..94 => self.step(id, Event::Campaign),
            94..96 => {
                let peer = self.any_server();
                self.step(id, Event::Unreachable(node(peer)));
            }
            96..97 => {
                if self.dice.one_in(4) {
                    self.crash(id);
                } else if self.dice.one_in(2) {
                    self.partition();
                }
            }
            _ => {
                if let Some((disk, boot)) = self.down.remove(&id) {
                    if self.loses && self.lost.is_none() && self.every_other_server_has_a_log() {
                        self.lost = Some(id);
                        self.start(id, Durable::default(), 1);
                    } else {
                        self.start(id, disk, boot + 1);
                    }
                }
            }
        }
    }

    /// Whether every other server's disk proves that the cluster exists: see the limits of detection in `joining`.
    fn every_other_server_has_a_log(&self) -> bool {
        let running = self.servers.values().map(|server| &server.disk);
        let down = self.down.values().map(|(disk, _)| disk);
        running
            .chain(down)
            .all(|disk| !disk.entries.is_empty() || disk.snapshot.is_some())
    }

    /// Whether the server that lost its disk was removed, added again, and takes part.
    pub(super) fn lost_one_is_back(&self) -> bool {
        let lost = self.lost.and_then(|id| self.servers.get(&id));
        lost.is_some_and(|server| server.raft.vitals().role != RoleName::Joining)
    }

    /// From here on everything works: all servers agree in the end, and every proposal has its outcome.
    pub(super) fn settle(&mut self) {
        self.cut.clear();
        for id in 1..=self.count {
            if let Some((disk, boot)) = self.down.remove(&id) {
                self.start(id, disk, boot + 1);
            }
        }
        for _ in 0..400 {
            for id in 1..=self.count {
                self.step(id, Event::Tick(1));
            }
            for _ in 0..6 {
                for envelope in core::mem::take(&mut self.wire) {
                    self.step(envelope.to.value(), Event::Receive(envelope));
                }
                for id in 1..=self.count {
                    self.drain(id);
                    self.write(id);
                    self.apply(id);
                    self.load(id);
                    self.drain(id);
                }
            }
            if self.agree() {
                return;
            }
        }
        let vitals: Vec<_> = self.servers.values().map(|server| server.raft.status()).collect();
        panic!("the cluster does not settle: {vitals:#?}");
    }

    /// Whether all members of the latest leader's configuration are level and have nothing left to do. A removed server
    /// may have been unreachable while the others told it, and knows nothing of what came after.
    fn agree(&self) -> bool {
        let leaders = self
            .servers
            .values()
            .filter(|server| server.raft.vitals().role == RoleName::Leader);
        let Some(leader) = leaders.max_by_key(|server| server.raft.vitals().term) else {
            return false;
        };
        let (first, membership) = (leader.raft.vitals(), leader.raft.membership());
        let mut members = membership.members().map(|node| &self.servers[&node.value()]);
        !membership.is_joint()
            && members.all(|server| {
                let vitals = server.raft.vitals();
                (vitals.last, vitals.applied) == (first.last, first.applied)
                    && vitals.applied == vitals.last.map(|last| last.index)
                    && server.pending.is_empty()
                    && server.reads.is_empty()
                    && server.handovers == 0
            })
    }
}
