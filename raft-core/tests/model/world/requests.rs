//! Requests of hosts and clients, valid or not.

use std::collections::BTreeSet;

use raft_core::{Change, Event, Expected, Input, NodeId, Payload, ProposalId, ReadId, ReadMode};

use super::super::support::scene::node;
use super::{World, apply_to_disk};

impl World {
    pub(super) fn write(&mut self, id: u64) {
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
            self.step(id, Event::Persisted(ticket));
        }
    }

    pub(super) fn apply(&mut self, id: u64) {
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

    pub(super) fn propose(&mut self, id: u64) {
        self.next_id += 1;
        let proposal = self.next_id;
        if let Some(server) = self.servers.get_mut(&id) {
            server.pending.insert(proposal);
            let payload = Payload::from(proposal.to_be_bytes().to_vec());
            self.step(
                id,
                Event::Propose {
                    id: ProposalId::new(proposal),
                    payload,
                },
            );
        }
    }

    /// Proposes a change of the configuration to a leader, valid or not.
    pub(super) fn change(&mut self) {
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
        let mut learners: BTreeSet<NodeId> = learners.difference(&voters).copied().collect();
        let witness = self.witness.map(node);
        if let Some(witness) = witness {
            // A new server of the set joins as an ordinary learner, never as a witness.
            learners.remove(&witness);
        }
        // A server that lost its disk returns only by these two.
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
        let change = match change {
            Change::AddLearner(new) if witness == Some(new) => Change::AddWitness(new),
            change => change,
        };
        self.next_id += 1;
        let proposal = self.next_id;
        let expect = if self.dice.one_in(2) {
            Expected::This(self.servers[&id].raft.membership_id())
        } else {
            Expected::Any
        };
        self.servers
            .get_mut(&id)
            .expect("it leads")
            .pending
            .insert(proposal);
        let id_of_change = ProposalId::new(proposal);
        self.step(
            id,
            Event::ChangeMembership {
                id: id_of_change,
                expect,
                change,
                force: false,
            },
        );
    }

    /// Asks a leader to hand over leadership, now and then to itself or to a server outside the configuration.
    pub(super) fn hand_over(&mut self) {
        let to = node(1 + self.dice.below(self.count + 1));
        if let Some(id) = self.any_leader()
            && let Some(server) = self.servers.get_mut(&id)
        {
            server.handovers += 1;
            self.step(id, Event::Transfer { to });
        }
    }

    pub(super) fn read(&mut self, id: u64) {
        self.next_id += 1;
        let read = self.next_id;
        if let Some(server) = self.servers.get_mut(&id) {
            let committed = self.committed.last_key_value().map_or(0, |(&at, _)| at);
            server.reads.insert(read, committed);
            self.step(
                id,
                Input::Read {
                    id: ReadId::new(read),
                    mode: ReadMode::Quorum,
                },
            );
        }
    }

    pub(super) fn load(&mut self, id: u64) {
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        if let Some((ticket, first, last)) = server.loads.pop() {
            if self.dice.one_in(16) {
                // The host forgets it.
                return;
            }
            let wanted = server
                .disk
                .entries
                .iter()
                .filter(|e| e.id.index >= first && e.id.index <= last);
            let count = self.dice.below(4) as usize;
            let entries = wanted.take(count).cloned().collect();
            self.step(id, Event::EntriesLoaded { ticket, entries });
        }
    }

    pub(super) fn snapshot(&mut self, id: u64) {
        let Some(server) = self.servers.get(&id) else {
            return;
        };
        let applied = server.raft.vitals().applied;
        if let Some(last) = applied.and_then(|applied| server.raft.log_id(applied)) {
            self.step(id, Input::SnapshotTaken { last });
        }
    }
}
