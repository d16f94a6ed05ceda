//! Our side: `Raft` with logs in memory.

use std::collections::VecDeque;

use raft_core::{
    Action, Config, Durable, Entry, Envelope, Event, GroupId, Identity, Incarnation, Input, Membership,
    NodeId, Options, Payload, ProposalId, Raft, RoleName, Setup, Snapshots,
};

use super::PAYLOAD_BYTES;

pub(super) struct Cluster {
    nodes: Vec<Node>,
    wire: VecDeque<Envelope>,
    leader: usize,
    next_proposal: u64,
    actions: Vec<Action>,
}

struct Node {
    raft: Raft,
    log: Vec<Entry>,
    applied: u64,
    done: u64,
    snapshot_at: u64,
}

impl Cluster {
    pub(super) fn new(size: u64) -> Self {
        let members: Vec<NodeId> = (1..=size).map(NodeId::new).collect();
        let node = |number| {
            let identity = Identity {
                group: GroupId::new(1),
                node: NodeId::new(number),
                incarnation: Incarnation::new(number),
                boot: raft_core::Boot::new(1, 1),
            };
            let bootstrap = Membership::of_voters(members.clone());
            let config = Config {
                snapshots: Snapshots {
                    every_entries: super::SNAPSHOT_EVERY,
                    keep_entries: super::SNAPSHOT_KEEP,
                    ..Snapshots::default()
                },
                options: Options {
                    persists_at_once: true,
                    applies_at_once: true,
                    ..Options::default()
                },
                ..Config::default()
            };
            let setup = Setup {
                identity,
                config,
                bootstrap,
                durable: Durable::default(),
            };
            let raft = Raft::new(setup).expect("the settings are sound");
            Node {
                raft,
                log: Vec::new(),
                applied: 0,
                done: 0,
                snapshot_at: super::SNAPSHOT_EVERY,
            }
        };
        let nodes = (1..=size).map(node).collect();
        let mut cluster = Self {
            nodes,
            wire: VecDeque::new(),
            leader: 0,
            next_proposal: 0,
            actions: Vec::new(),
        };
        loop {
            cluster.tick();
            let leads = |node: &Node| node.raft.vitals().role == RoleName::Leader;
            if let Some(leader) = cluster.nodes.iter().position(leads) {
                cluster.leader = leader;
                break;
            }
        }
        for _ in 0..10 {
            cluster.tick();
        }
        cluster
    }

    fn tick(&mut self) {
        for at in 0..self.nodes.len() {
            self.nodes[at].raft.step(Event::Tick(1));
            self.carry_out(at);
        }
        self.deliver();
    }

    fn carry_out(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let mut has_news = true;
        while core::mem::take(&mut has_news) {
            node.raft.drain(&mut self.actions);
            for action in self.actions.drain(..) {
                match action {
                    Action::Persist(persist) => {
                        node.log.extend_from_slice(&persist.entries);
                        if let Some(to) = persist.compact_to {
                            let compacted = node.log.partition_point(|entry| entry.id.index <= to);
                            node.log.drain(..compacted);
                        }
                    }
                    Action::Send(envelope) => self.wire.push_back(envelope),
                    Action::Apply { entries } => {
                        for entry in &entries {
                            if let Some(command) = entry.command() {
                                node.applied += u64::from(command.len() == PAYLOAD_BYTES);
                            }
                        }
                        if let Some(last) = entries.last()
                            && last.id.index.value() >= node.snapshot_at
                        {
                            node.snapshot_at = last.id.index.value() + super::SNAPSHOT_EVERY;
                            node.raft.step(Input::SnapshotTaken { last: last.id });
                            has_news = true;
                        }
                    }
                    Action::Done { .. } => node.done += 1,
                    _ => {}
                }
            }
        }
    }

    /// Delivers messages: each server takes in everything that has arrived before it acts.
    fn deliver(&mut self) {
        while let Some(first) = self.wire.front() {
            let node = first.to;
            let to = node.value() as usize - 1;
            while let Some(envelope) = self.wire.pop_front_if(|envelope| envelope.to == node) {
                self.nodes[to].raft.step(Event::Receive(envelope));
            }
            self.carry_out(to);
        }
    }
}

impl super::Cluster for Cluster {
    fn work(&mut self, batch: usize) {
        let leader = self.leader;
        for _ in 0..batch {
            self.next_proposal += 1;
            let id = ProposalId::new(self.next_proposal);
            let payload = Payload::from(&[7_u8; PAYLOAD_BYTES][..]);
            self.nodes[leader].raft.step(Event::Propose { id, payload });
        }
        self.carry_out(leader);
        self.deliver();
        assert_eq!(
            self.nodes[leader].done, self.next_proposal,
            "the leader has applied the batch"
        );
    }

    fn settle(&mut self) -> Vec<u64> {
        for _ in 0..10 {
            self.tick();
        }
        self.nodes.iter().map(|node| node.applied).collect()
    }
}
