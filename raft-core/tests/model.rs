//! Random inputs, valid and hostile, to one server and to small clusters with slow disks that crash and come back with
//! whatever a crash may leave. What Raft promises between servers is checked after every step; what holds within one
//! is checked by the core itself.

mod support;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use raft_core::{
    Action, AppendOutcome, Change, Config, Durable, Entry, EntryBody, Envelope, GroupId, Identity,
    Incarnation, Index, Input, Limits, LogId, Membership, Message, NodeId, Payload, Persist, ProposalId,
    Raft, ReadId, RoleName, Round, Session, Setup, SnapshotMeta, Snapshots, Standing, Term, Ticket, Timing,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use support::scene::{node, voters};

struct Dice(ChaCha8Rng);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// From 0 up to and without the limit.
    fn below(&mut self, limit: u64) -> u64 {
        self.0.next_u64() % limit.max(1)
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

fn small_config() -> Config {
    Config {
        seed: 0,
        timing: Timing {
            election_timeout_min_ticks: 5,
            election_timeout_max_ticks: 10,
            heartbeat_ticks: 2,
            snapshot_timeout_ticks: 8,
        },
        limits: Limits {
            message_bytes: 150,
            inflight_messages: 3,
            inflight_bytes: 400,
            apply_bytes: 120,
            uncommitted_bytes: 600,
            tail_bytes: 200,
            proposals: 12,
            reads: 4,
        },
        snapshots: Snapshots {
            every_entries: 7,
            keep_entries: 3,
            chunk_bytes: 8,
            max_bytes: 1 << 20,
        },
    }
}

/// One server, its disk, and its state machine: a list of the entries that were applied.
struct Server {
    raft: Raft,
    boot: u64,
    disk: Durable,
    /// Handed out and not carried out, in order.
    writes: VecDeque<Persist>,
    applying: VecDeque<(Index, Vec<Entry>)>,
    installing: Option<SnapshotMeta>,
    loads: Vec<(Ticket, Index, Index)>,
    transfers: BTreeSet<Ticket>,
    pending: BTreeSet<u64>,
    reads: BTreeSet<u64>,
    /// Transfers of leadership without an outcome.
    handovers: u64,
}

struct World {
    dice: Dice,
    count: u64,
    servers: BTreeMap<u64, Server>,
    down: BTreeMap<u64, (Durable, u64)>,
    wire: Vec<Envelope>,
    /// Servers that are cut off from everybody.
    cut: BTreeSet<u64>,
    /// Whether the configuration changes.
    changes: bool,
    /// Whether one server may lose its disk, and which one has.
    loses: bool,
    lost: Option<u64>,
    leaders: BTreeMap<Term, NodeId>,
    /// What was committed at every position, as whoever applied it first saw it.
    committed: BTreeMap<u64, Entry>,
    next_id: u64,
    /// How often each kind of action was seen: a model that never gets somewhere proves nothing about it.
    seen: BTreeMap<&'static str, u64>,
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
        Action::Rejected { .. } => "Rejected",
        Action::Superseded { .. } => "Superseded",
        Action::Unknown { .. } => "Unknown",
        Action::ReadReady { .. } => "ReadReady",
        Action::ReadRejected { .. } => "ReadRejected",
        Action::LoadEntries { .. } => "LoadEntries",
        Action::SendSnapshot { .. } => "SendSnapshot",
        Action::SnapshotAdvanced { .. } => "SnapshotAdvanced",
        Action::SnapshotEnded { .. } => "SnapshotEnded",
        Action::SnapshotArrived { .. } => "SnapshotArrived",
        Action::InstallSnapshot { .. } => "InstallSnapshot",
        Action::ChangeRejected { .. } => "ChangeRejected",
        Action::TransferEnded { .. } => "TransferEnded",
        Action::RoleChanged { .. } => "RoleChanged",
        Action::LeaderChanged { .. } => "LeaderChanged",
        Action::MembershipChanged { .. } => "MembershipChanged",
    }
}

fn identity(id: u64, folder: u64, boot: u64) -> Identity {
    Identity {
        group: GroupId::new(1),
        node: node(id),
        incarnation: Incarnation::new(folder),
        boot,
    }
}

fn apply_to_disk(disk: &mut Durable, persist: &Persist, parts: u64) {
    let mut left = parts;
    let mut takes = || {
        let takes = left > 0;
        left = left.saturating_sub(1);
        takes
    };
    if let Some(hard_state) = persist.hard_state.filter(|_| takes()) {
        disk.hard_state = hard_state;
    }
    if let Some(meta) = persist.snapshot.as_ref().filter(|_| takes()) {
        disk.snapshot = Some(meta.clone());
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
    fn new(seed: u64, count: u64) -> Self {
        let mut world = Self {
            dice: Dice::new(seed),
            count,
            servers: BTreeMap::new(),
            down: BTreeMap::new(),
            wire: Vec::new(),
            cut: BTreeSet::new(),
            changes: seed % 2 == 1,
            loses: seed % 4 == 3 && count >= 3,
            lost: None,
            leaders: BTreeMap::new(),
            committed: BTreeMap::new(),
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
        let setup = Setup {
            identity: identity(id, self.folder(id), boot),
            config,
            bootstrap: Membership::of_voters((1..=self.count).map(node)),
            durable: disk.clone(),
        };
        let raft = Raft::new(setup).expect("whatever a crash leaves makes sense");
        let server = Server {
            raft,
            boot,
            disk,
            writes: VecDeque::new(),
            applying: VecDeque::new(),
            installing: None,
            loads: Vec::new(),
            transfers: BTreeSet::new(),
            pending: BTreeSet::new(),
            reads: BTreeSet::new(),
            handovers: 0,
        };
        self.servers.insert(id, server);
        self.drain(id);
    }

    /// The data folder that a server has now.
    fn folder(&self, id: u64) -> u64 {
        if self.lost == Some(id) { id + 100 } else { id }
    }

    /// A crash keeps a prefix of what was asked to be written, and of the last write a prefix of its parts.
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

    fn step(&mut self, id: u64, input: Input) {
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
                server.applying.push_back((last, entries.clone()));
                for entry in entries {
                    let disk = &self.servers[&id].disk;
                    let stored = disk.entries.iter().any(|stored| stored.id == entry.id);
                    let covered = disk.snapshot.as_ref().map(|meta| meta.last.index);
                    assert!(
                        stored || covered >= Some(entry.id.index),
                        "{} is applied and not durable",
                        entry.id
                    );
                    self.commits(&entry);
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
                    body => assert_eq!(body, &EntryBody::Command(said)),
                }
            }
            Action::Rejected { id: proposal, .. }
            | Action::ChangeRejected { id: proposal, .. }
            | Action::Superseded { id: proposal }
            | Action::Unknown { id: proposal } => {
                assert!(
                    server.pending.remove(&proposal.value()),
                    "{proposal} has one outcome"
                );
            }
            Action::ReadReady { id: read, index } => {
                assert!(server.reads.remove(&read.value()), "{read} has one outcome");
                assert!(server.raft.vitals().applied >= Some(index));
            }
            Action::ReadRejected { id: read, .. } => {
                assert!(server.reads.remove(&read.value()), "{read} has one outcome");
            }
            Action::LoadEntries {
                ticket, first, last, ..
            } => server.loads.push((ticket, first, last)),
            Action::SendSnapshot { ticket, .. } => {
                server.transfers.insert(ticket);
                self.send_piece(id, ticket, 0);
            }
            Action::SnapshotAdvanced {
                ticket,
                received_bytes,
            } => self.send_piece(id, ticket, received_bytes),
            Action::SnapshotEnded { ticket } => {
                assert!(server.transfers.remove(&ticket), "a transfer ends once");
            }
            Action::SnapshotArrived {
                from,
                meta,
                offset,
                total_bytes,
                ..
            } => {
                // Two pieces make a whole; whoever has the second has the first, in this host's opinion.
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
            Action::RoleChanged { role, term } => {
                if role == RoleName::Leader {
                    let first = *self.leaders.entry(term).or_insert(node(id));
                    assert_eq!(first, node(id), "§5.2: one leader in {term}");
                }
            }
            Action::TransferEnded { .. } => {
                server.handovers = server.handovers.checked_sub(1).expect("a transfer ends once");
            }
            Action::LeaderChanged { .. } | Action::MembershipChanged { .. } => {}
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
                total_bytes: 2,
                checksum: 0,
                offset,
                data,
            }
        };
        server.raft.step(input);
    }

    /// §5.4.3, State Machine Safety: what was committed once at a position stays there.
    fn commits(&mut self, entry: &Entry) {
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

    /// Cuts a leader off, or anybody, or nobody any more.
    fn cut_off(&mut self) {
        let anybody = self.any_server();
        let leader = self.any_leader().unwrap_or(anybody);
        self.cut.clear();
        match self.dice.below(4) {
            0 | 1 => self.cut.insert(leader),
            2 => self.cut.insert(anybody),
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

    fn act(&mut self) {
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
                    self.step(envelope.to.value(), Input::Receive(envelope));
                }
            }
            40..58 => self.step(id, Input::Tick(1)),
            58..73 => self.write(id),
            73..80 => self.apply(id),
            80..86 => {
                let leader = self.any_leader().filter(|_| !id.is_multiple_of(4));
                self.propose(leader.unwrap_or(id));
            }
            86..88 => self.read(id),
            88..90 => self.load(id),
            // Of a lost disk's removal and return something is to be seen in every run.
            90..92 if self.lost.is_some() => self.change(),
            90..92 => self.snapshot(id),
            92..93 if self.changes => self.change(),
            92..93 => self.snapshot(id),
            93..94 if self.dice.one_in(3) => self.hand_over(),
            93..94 => self.step(id, Input::Campaign),
            94..96 => {
                let peer = self.any_server();
                self.step(id, Input::Unreachable(node(peer)));
            }
            96..97 => {
                if self.dice.one_in(4) {
                    self.crash(id);
                } else if self.dice.one_in(2) {
                    self.cut_off();
                }
            }
            _ => {
                if let Some((disk, boot)) = self.down.remove(&id) {
                    if self.loses && self.lost.is_none() && self.everybody_holds_something() {
                        self.lost = Some(id);
                        self.start(id, Durable::default(), 1);
                    } else {
                        self.start(id, disk, boot + 1);
                    }
                }
            }
        }
    }

    /// Whether every other server's disk proves that the cluster exists: see the limits of what `joining` detects.
    fn everybody_holds_something(&self) -> bool {
        let running = self.servers.values().map(|server| &server.disk);
        let down = self.down.values().map(|(disk, _)| disk);
        running
            .chain(down)
            .all(|disk| !disk.entries.is_empty() || disk.snapshot.is_some())
    }

    /// Whether the server that lost its disk was removed, added again, and takes part.
    fn lost_one_is_back(&self) -> bool {
        let lost = self.lost.and_then(|id| self.servers.get(&id));
        lost.is_some_and(|server| server.raft.vitals().role != RoleName::Joining)
    }

    fn write(&mut self, id: u64) {
        let count = 1 + self.dice.below(3);
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        let mut last = None;
        for _ in 0..count {
            if let Some(persist) = server.writes.pop_front() {
                apply_to_disk(&mut server.disk, &persist, u64::MAX);
                last = Some(persist.ticket);
            }
        }
        if let Some(ticket) = last {
            self.step(id, Input::Persisted(ticket));
        }
    }

    fn apply(&mut self, id: u64) {
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        if let Some(meta) = server.installing.take() {
            self.step(id, Input::Applied(meta.last.index));
        } else if let Some((last, entries)) = server.applying.pop_front() {
            let part = self.dice.below(entries.len() as u64) as usize;
            if self.dice.one_in(3) && entries[part].id.index < last {
                self.servers
                    .get_mut(&id)
                    .expect("it runs")
                    .applying
                    .push_front((last, entries.clone()));
                self.step(id, Input::Applied(entries[part].id.index));
            } else {
                self.step(id, Input::Applied(last));
            }
        }
    }

    fn propose(&mut self, id: u64) {
        self.next_id += 1;
        let proposal = self.next_id;
        if let Some(server) = self.servers.get_mut(&id) {
            server.pending.insert(proposal);
            let payload = Payload::from(proposal.to_be_bytes().to_vec());
            self.step(
                id,
                Input::Propose {
                    id: ProposalId::new(proposal),
                    payload,
                },
            );
        }
    }

    /// Asks a leader for a change of the configuration, sensible or not.
    fn change(&mut self) {
        let Some(id) = self.any_leader() else { return };
        let any = node(self.any_server());
        let mut set = || -> BTreeSet<NodeId> {
            let mask = self.dice.below(1 << self.count);
            (0..self.count)
                .filter(|bit| mask >> bit & 1 == 1)
                .map(|bit| node(bit + 1))
                .collect()
        };
        let (voters, learners) = (set(), set());
        let learners = learners.difference(&voters).copied().collect();
        // Whoever lost its disk comes back only by these two.
        let lost = self.lost.map(node).filter(|_| self.dice.one_in(2));
        let change = match (self.dice.below(8), lost) {
            (0..4, Some(lost)) => Change::Remove(lost),
            (_, Some(lost)) => Change::AddLearner(lost),
            (0 | 1, None) => Change::AddLearner(any),
            (2 | 3, None) => Change::Promote(any),
            (4, None) => Change::Demote(any),
            (5, None) => Change::Remove(any),
            (_, None) => Change::Replace { voters, learners },
        };
        self.next_id += 1;
        let proposal = self.next_id;
        let expect = self
            .dice
            .one_in(2)
            .then(|| self.servers[&id].raft.membership_id())
            .flatten();
        self.servers
            .get_mut(&id)
            .expect("it leads")
            .pending
            .insert(proposal);
        let id_of_change = ProposalId::new(proposal);
        self.step(
            id,
            Input::ChangeMembership {
                id: id_of_change,
                expect,
                change,
            },
        );
    }

    /// Asks a leader to make room for somebody, now and then itself or a stranger.
    fn hand_over(&mut self) {
        let to = node(1 + self.dice.below(self.count + 1));
        if let Some(id) = self.any_leader()
            && let Some(server) = self.servers.get_mut(&id)
        {
            server.handovers += 1;
            self.step(id, Input::Transfer { to });
        }
    }

    fn read(&mut self, id: u64) {
        self.next_id += 1;
        let read = self.next_id;
        if let Some(server) = self.servers.get_mut(&id) {
            server.reads.insert(read);
            self.step(
                id,
                Input::Read {
                    id: ReadId::new(read),
                },
            );
        }
    }

    fn load(&mut self, id: u64) {
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        if let Some((ticket, first, last)) = server.loads.pop() {
            let wanted = server
                .disk
                .entries
                .iter()
                .filter(|e| e.id.index >= first && e.id.index <= last);
            let count = self.dice.below(4) as usize;
            let entries = wanted.take(count).cloned().collect();
            self.step(id, Input::EntriesLoaded { ticket, entries });
        }
    }

    fn snapshot(&mut self, id: u64) {
        let Some(server) = self.servers.get(&id) else {
            return;
        };
        let applied = server.raft.vitals().applied;
        if let Some(last) = applied.and_then(|applied| server.raft.log_id(applied)) {
            self.step(id, Input::SnapshotTaken { last });
        }
    }

    /// From here on everything works: everybody agrees in the end, and every proposal has its outcome.
    fn settle(&mut self) {
        self.cut.clear();
        for id in 1..=self.count {
            if let Some((disk, boot)) = self.down.remove(&id) {
                self.start(id, disk, boot + 1);
            }
        }
        for _ in 0..400 {
            for id in 1..=self.count {
                self.step(id, Input::Tick(1));
            }
            for _ in 0..6 {
                for envelope in core::mem::take(&mut self.wire) {
                    self.step(envelope.to.value(), Input::Receive(envelope));
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

    /// Whether all members of the latest leader's configuration are level and have nothing left to do. Who was removed may
    /// have been out of reach when the others took their leave of it, and knows nothing of what came after.
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

#[test]
fn clusters_keep_every_promise_whatever_happens() {
    let (mut seen, mut back) = (BTreeMap::<&str, u64>::new(), 0);
    for seed in 0..120 {
        let count = 1 + seed % 5;
        let mut world = World::new(seed, count);
        for _ in 0..2_500 {
            world.act();
        }
        if world.loses {
            // Too few servers may be left to settle anything; what was promised is checked all the same.
            back += usize::from(world.lost_one_is_back());
        } else {
            world.settle();
        }
        for (kind, count) in world.seen {
            *seen.entry(kind).or_default() += count;
        }
    }
    assert_eq!(seen.len(), 37, "every kind of action is seen: {seen:?}");
    assert!(
        seen.values().all(|&count| count >= 10),
        "and more than by chance: {seen:?}"
    );
    assert!(back > 0, "a server that lost its disk was removed and came back");
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
    let session = Session::new(1 + dice.below(2));
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
        let body = match dice.below(4) {
            0 => EntryBody::Noop,
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
    let message = match dice.below(14) {
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
                entries,
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
            }
        }
        9 => Message::Heartbeat {
            session,
            round,
            commit: prev,
        },
        10 => Message::HeartbeatReply { session, round },
        11 => Message::TimeoutNow,
        12 => Message::TransferVote { last: prev },
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
    }
}

fn random_change(dice: &mut Dice, node: NodeId) -> Change {
    match dice.below(5) {
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

/// What a confused host might say.
fn random_input(dice: &mut Dice, number: u64) -> Input {
    let ticket = Ticket::new(dice.below(40));
    let from = node(dice.below(5));
    let last = LogId::new(
        Term::new(dice.below(6)),
        Index::new(1 + dice.below(12)).unwrap_or(Index::FIRST),
    );
    match dice.below(16) {
        0 => Input::Tick(if dice.one_in(50) { u64::MAX } else { dice.below(30) }),
        1..4 => Input::Persisted(ticket),
        4 | 5 => Input::Applied(last.index),
        6 => Input::EntriesLoaded {
            ticket,
            entries: vec![Entry {
                id: last,
                body: EntryBody::Noop,
            }],
        },
        7 => Input::SnapshotTaken { last },
        8 => Input::SnapshotPiece {
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
        12 => Input::Unreachable(from),
        13 => Input::Transfer { to: from },
        14 => Input::ChangeMembership {
            id: ProposalId::new(1_000 + number),
            expect: Some(last).filter(|_| dice.one_in(4)),
            change: random_change(dice, from),
        },
        _ => Input::Campaign,
    }
}

/// What a server did with random inputs, and how many proposals and reads were among them.
fn hostile_run(seed: u64) -> (Vec<Action>, (usize, usize)) {
    let mut dice = Dice::new(seed);
    let count = 1 + dice.below(4);
    let terms: Vec<u64> = (0..dice.below(6)).map(|at| 1 + at / 2).collect();
    let mut setup = support::scene::setup(count, 3, &terms);
    setup.config = small_config();
    if dice.one_in(4) {
        setup.durable = Durable::default();
    }
    let mut raft = Raft::new(setup).expect("the disk is sound");
    let (mut all, mut offered) = (Vec::new(), (0, 0));
    for number in 0..400 {
        let input = match dice.below(10) {
            0..5 => {
                let (term, message) = random_message(&mut dice);
                let from = dice.below(5);
                Input::Receive(Envelope {
                    group: GroupId::new(1),
                    from: node(from),
                    from_incarnation: Incarnation::new(if dice.one_in(9) { 9 } else { from }),
                    to: node(1),
                    to_incarnation: None,
                    term,
                    message,
                })
            }
            5 => {
                offered.0 += 1;
                Input::Propose {
                    id: ProposalId::new(number),
                    payload: Payload::from(&b"?"[..]),
                }
            }
            6 => {
                offered.1 += 1;
                Input::Read {
                    id: ReadId::new(number),
                }
            }
            _ => random_input(&mut dice, number),
        };
        offered.0 += usize::from(matches!(input, Input::ChangeMembership { .. }));
        let shown = format!("{input:?}");
        raft.step(input);
        assert_eq!(raft.check_invariants(), Ok(()), "seed {seed}, after {shown}");
        let mut actions = Vec::new();
        raft.drain(&mut actions);
        for action in &actions {
            if let Action::Persist(persist) = action
                && !dice.one_in(3)
            {
                raft.step(Input::Persisted(persist.ticket));
            }
        }
        let _ = (raft.status(), raft.next_deadline());
        all.extend(actions);
    }
    raft.step(Input::PersistFailed);
    raft.drain(&mut all);
    (all, offered)
}

#[test]
fn no_input_makes_a_server_panic_or_break_an_invariant() {
    for seed in 0..4_000 {
        hostile_run(seed);
    }
}

#[test]
fn every_proposal_and_read_has_one_outcome_even_from_a_hostile_host() {
    for seed in 10_000..10_300 {
        let (mut proposals, mut reads) = (BTreeSet::new(), BTreeSet::new());
        let (actions, offered) = hostile_run(seed);
        for action in actions {
            match action {
                Action::Done { id, .. }
                | Action::Rejected { id, .. }
                | Action::ChangeRejected { id, .. }
                | Action::Superseded { id }
                | Action::Unknown { id } => {
                    assert!(proposals.insert(id.value()), "seed {seed}: {id} ended twice")
                }
                Action::ReadReady { id, .. } | Action::ReadRejected { id, .. } => {
                    assert!(reads.insert(id.value()), "seed {seed}: read {id} ended twice");
                }
                _ => {}
            }
        }
        // The disk failed at the end, so everything has ended.
        assert_eq!((proposals.len(), reads.len()), offered, "seed {seed}");
    }
}

#[test]
fn the_same_inputs_give_the_same_actions() {
    for seed in 0..50 {
        assert_eq!(hostile_run(seed), hostile_run(seed));
    }
}
