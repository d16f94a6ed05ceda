//! The leader's side: what it takes in for other servers, each command once.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::input::ReadMode;
use crate::message::{Message, ReadOutcome, Refusal};
use crate::outbox::Promise;
use crate::trace::Trace;
use crate::types::{Entry, EntryBody, Forwarded, Incarnation, LogId, NodeId, Origin, Payload};

use super::super::progress::Progress;
use super::super::reads::Reader;
use super::{Raft, Role};
use crate::action::Rejection;

/// What a leader remembers of what was passed on to it, by the folder that it came from. A leadership's worth of
/// folders is not many.
#[derive(Debug, Default)]
pub(in crate::raft) struct Intakes(BTreeMap<(NodeId, Incarnation), Intake>);

#[derive(Debug, Default)]
struct Intake {
    boot: u64,
    /// The origin knows the outcome of everything below.
    floor: u64,
    /// By number: why it was refused, or nothing if it is in the log.
    outcomes: BTreeMap<u64, Option<Refusal>>,
}

impl Intake {
    /// Takes note of a message's head. False for one of an earlier boot, whose clients are gone.
    fn turn_to(&mut self, boot: u64, floor: u64) -> bool {
        if boot < self.boot {
            return false;
        }
        if boot > self.boot {
            *self = Self {
                boot,
                ..Self::default()
            };
        }
        self.floor = self.floor.max(floor);
        self.outcomes = self.outcomes.split_off(&self.floor);
        true
    }
}

impl Raft {
    pub(in crate::raft) fn on_forward(
        &mut self,
        from: NodeId,
        incarnation: Incarnation,
        boot: u64,
        floor: u64,
        commands: Vec<(u64, Payload)>,
    ) {
        let Role::Leader(leader) = &mut self.role else {
            self.ignored.stale += 1;
            return;
        };
        let is_met = |peer: &Progress| peer.incarnation == Some(incarnation);
        if !leader.peers.get(&from).is_some_and(is_met) {
            // It is sent again. What is remembered of a server that was removed stays: it may be added again, and a
            // late copy may arrive then.
            self.ignored.stale += 1;
            return;
        }
        let mut intake = leader.intakes.0.remove(&(from, incarnation)).unwrap_or_default();
        if intake.turn_to(boot, floor) {
            let refused = self.take_in(&mut intake, from, incarnation, commands);
            if !refused.is_empty() {
                self.send(from, Promise::Term, Message::ForwardRefused { boot, refused });
            }
        } else {
            self.ignored.stale += 1;
        }
        if let Role::Leader(leader) = &mut self.role {
            leader.intakes.0.insert((from, incarnation), intake);
        }
    }

    /// Appends what is new, and returns what is refused, or was refused before.
    fn take_in(
        &mut self,
        intake: &mut Intake,
        node: NodeId,
        incarnation: Incarnation,
        commands: Vec<(u64, Payload)>,
    ) -> Vec<(u64, Refusal)> {
        let mut refused = Vec::new();
        for (number, command) in commands {
            if number < intake.floor {
                continue;
            }
            if let Some(outcome) = intake.outcomes.get(&number)
                && !planted!(FORWARDS_TWICE)
            {
                refused.extend(outcome.map(|refusal| (number, refusal)));
                continue;
            }
            if intake.outcomes.len() >= self.config.limits.proposals {
                // It could not be remembered, so nothing is promised about it. It is sent again.
                continue;
            }
            let refusal = self.judge_forwarded(&command);
            match refusal {
                Some(refusal) => refused.push((number, refusal)),
                None => {
                    let origin = Origin {
                        node,
                        incarnation,
                        boot: intake.boot,
                        number,
                    };
                    self.append_forwarded(Forwarded { origin, command });
                }
            }
            intake.outcomes.insert(number, refusal);
        }
        refused
    }

    fn judge_forwarded(&self, command: &Payload) -> Option<Refusal> {
        match self
            .check_proposal(command, Entry::cost_of_forwarded(command.len()))
            .err()?
        {
            Rejection::TooLarge { limit, .. } => Some(Refusal::TooLarge { limit: limit as u64 }),
            Rejection::Transferring { to } => Some(Refusal::Transferring { to }),
            Rejection::Busy { limit, .. } => Some(Refusal::Busy { limit: limit as u64 }),
            Rejection::NotLeader { .. } | Rejection::NotATarget { .. } | Rejection::Failed => {
                debug_assert!(false, "a leader that works takes proposals");
                Some(Refusal::Busy { limit: 0 })
            }
        }
    }

    fn append_forwarded(&mut self, forwarded: Forwarded) {
        let id = LogId::new(self.out.term(), self.log.next_index());
        let from = forwarded.origin.node;
        let entry = Entry {
            id,
            body: EntryBody::Forwarded(Arc::new(forwarded)),
        };
        if let Role::Leader(leader) = &mut self.role {
            leader.uncommitted.appended(&entry);
        }
        self.append(entry);
        self.trace(Trace::ForwardTaken { from, at: id });
    }

    pub(in crate::raft) fn on_read_index(&mut self, node: NodeId, boot: u64, request: u64, mode: ReadMode) {
        let Role::Leader(leader) = &self.role else {
            self.ignored.stale += 1;
            return;
        };
        if leader.peer(node).is_none() {
            self.ignored.stale += 1;
            return;
        }
        let reader = Reader::Peer { node, boot, request };
        if self.read_as_leader(reader, mode).is_err() {
            let limit = self.config.limits.reads as u64;
            let outcome = ReadOutcome::Busy { limit };
            let reply = Message::ReadIndexReply {
                boot,
                request,
                outcome,
            };
            self.send(node, Promise::Term, reply);
        }
    }
}
