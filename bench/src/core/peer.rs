//! The peer: raft-rs `RawNode` with `MemStorage`, driven as its own examples drive it.

use std::collections::VecDeque;

use protobuf::Message as _;
use raft::prelude::*;
use raft::storage::MemStorage;
use raft::{Config, StateRole};

use super::PAYLOAD_BYTES;

pub(super) struct Cluster {
    nodes: Vec<Node>,
    wire: VecDeque<Message>,
    leader: usize,
    proposed: u64,
}

struct Node {
    raw: RawNode<MemStorage>,
    applied: u64,
    snapshot_at: u64,
}

impl Cluster {
    pub(super) fn new(size: u64, batch_append: bool) -> Self {
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let members: Vec<u64> = (1..=size).collect();
        let node = |id| {
            let config = Config {
                id,
                election_tick: 10,
                heartbeat_tick: 2,
                max_size_per_msg: 1 << 20,
                max_inflight_msgs: 64,
                pre_vote: true,
                check_quorum: true,
                batch_append,
                ..Config::default()
            };
            let storage = MemStorage::new_with_conf_state((members.clone(), vec![]));
            let raw = RawNode::new(&config, storage, &logger).expect("the settings are sound");
            Node {
                raw,
                applied: 0,
                snapshot_at: super::SNAPSHOT_EVERY,
            }
        };
        let nodes = (1..=size).map(node).collect();
        let mut cluster = Self {
            nodes,
            wire: VecDeque::new(),
            leader: 0,
            proposed: 0,
        };
        cluster.nodes[0].raw.campaign().expect("a voter may campaign");
        cluster.carry_out(0);
        cluster.deliver();
        assert_eq!(cluster.nodes[0].raw.raft.state, StateRole::Leader);
        cluster
    }

    fn carry_out(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        while node.raw.has_ready() {
            let mut ready = node.raw.ready();
            self.wire.extend(ready.take_messages());
            apply(&mut node.applied, ready.take_committed_entries());
            let store = node.raw.mut_store();
            if !ready.entries().is_empty() {
                store
                    .wl()
                    .append(ready.entries())
                    .expect("entries follow each other");
            }
            if let Some(hard_state) = ready.hs() {
                store.wl().set_hardstate(hard_state.clone());
            }
            self.wire.extend(ready.take_persisted_messages());
            let mut light = node.raw.advance(ready);
            if let Some(commit) = light.commit_index() {
                node.raw.mut_store().wl().mut_hard_state().set_commit(commit);
            }
            self.wire.extend(light.take_messages());
            apply(&mut node.applied, light.take_committed_entries());
            node.raw.advance_apply();
            let applied = node.raw.raft.raft_log.applied;
            if applied >= node.snapshot_at {
                node.snapshot_at = applied + super::SNAPSHOT_EVERY;
                let keep_from = applied.saturating_sub(super::SNAPSHOT_KEEP);
                let mut store = node.raw.mut_store().wl();
                store
                    .compact(keep_from)
                    .expect("applied entries may be compacted");
            }
        }
    }

    /// Delivers messages: each server takes in everything that has arrived before it acts.
    fn deliver(&mut self) {
        while let Some(first) = self.wire.front() {
            let node = first.to;
            let to = node as usize - 1;
            while let Some(message) = self.wire.pop_front_if(|message| message.to == node) {
                let taken = self.nodes[to].raw.step(message);
                taken.expect("the message is from a peer");
            }
            self.carry_out(to);
        }
    }
}

fn apply(applied: &mut u64, entries: Vec<Entry>) {
    for entry in entries {
        *applied += u64::from(entry.data.len() == PAYLOAD_BYTES);
        debug_assert!(entry.compute_size() > 0);
    }
}

impl super::Cluster for Cluster {
    fn work(&mut self, batch: usize) {
        let leader = self.leader;
        for _ in 0..batch {
            let proposed = self.nodes[leader].raw.propose(vec![], vec![7_u8; PAYLOAD_BYTES]);
            proposed.expect("the leader takes proposals");
        }
        self.proposed += batch as u64;
        self.carry_out(leader);
        self.deliver();
        assert_eq!(
            self.nodes[leader].applied, self.proposed,
            "the leader has applied the batch"
        );
    }

    fn settle(&mut self) -> Vec<u64> {
        for _ in 0..10 {
            for at in 0..self.nodes.len() {
                self.nodes[at].raw.tick();
                self.carry_out(at);
            }
            self.deliver();
        }
        self.nodes.iter().map(|node| node.applied).collect()
    }
}
