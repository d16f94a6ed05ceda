//! What a leader appends for clients: proposals of its own clients, and those that other servers forward, each command
//! once (see `forwarding`).

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::action::{Rejection, Waiting};
use crate::identity::{Boot, Incarnation};
use crate::message::{Message, Refusal};
use crate::outbox::Promise;
use crate::trace::Trace;
use crate::types::{Entry, EntryBody, Forwarded, LogId, NodeId, Origin, Payload, ProposalId};

use super::super::waiting::Proposal;
use super::progress::Progress;
use super::{Leader, Sender, Server};

/// What a leader remembers of the commands that were forwarded to it, by the folder that they came from. The folders of
/// one leadership are few.
#[derive(Debug, Default)]
pub(super) struct Intakes(BTreeMap<(NodeId, Incarnation), Intake>);

#[derive(Debug, Default)]
struct Intake {
    boot: Boot,
    /// The origin knows the outcome of every command before this one.
    floor: u64,
    /// By number: the refusal, or none if the command is in the log.
    outcomes: BTreeMap<u64, Option<Refusal>>,
}

impl Intake {
    /// Notes a message's boot and floor. Returns false for an earlier boot, whose clients are gone, and for another one
    /// of the same counter: one of the two was started from a copy of the folder, and their numbers mean different
    /// commands.
    fn turn_to(&mut self, boot: Boot, floor: u64) -> bool {
        let known = self.boot;
        if boot.counter < known.counter || (boot.counter == known.counter && boot != known) {
            return false;
        }
        if boot != known {
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

impl Leader {
    pub(in crate::raft) fn on_propose(&mut self, server: &mut Server, id: ProposalId, payload: Payload) {
        let refusal = self
            .check_proposal(server, &payload, Entry::cost_of_command(payload.len()))
            .and_then(|()| server.check_room_for_proposal());
        if let Err(reason) = refusal {
            server.reject(id, reason, payload);
            return;
        }
        let at = LogId::new(server.out.term(), server.log.next_index());
        let entry = Entry {
            id: at,
            body: EntryBody::Command(payload),
        };
        self.uncommitted.appended(&entry);
        server.proposals.push_back(Proposal { id, at });
        self.append(server, entry);
    }

    /// Checks that this leader may append the command, from whichever server it comes. Its entry will cost so many
    /// bytes.
    fn check_proposal(&self, server: &Server, command: &Payload, cost: usize) -> Result<(), Rejection> {
        let transferring_to = self.transferring_to();
        let transferring_to = plant!(transferring_to, PROPOSALS_DURING_TRANSFER => None);
        if let Some(to) = transferring_to {
            // Dissertation §3.10: the target can catch up only with a log that does not grow.
            return Err(Rejection::Transferring { to });
        }
        let limits = &server.config.limits;
        let (size, limit) = (command.len(), limits.message_bytes);
        if size > limit {
            return Err(Rejection::TooLarge { size, limit });
        }
        let (waiting, limit) = (self.uncommitted.bytes(), limits.uncommitted_bytes);
        if waiting > 0 && waiting.saturating_add(cost) > limit {
            let what = Waiting::UncommittedBytes;
            return Err(Rejection::Busy { what, limit });
        }
        Ok(())
    }

    pub(in crate::raft) fn on_forward(
        &mut self,
        server: &mut Server,
        from: Sender,
        boot: Boot,
        floor: u64,
        commands: Vec<(u64, Payload)>,
    ) {
        let is_met = |peer: &Progress| peer.incarnation == Some(from.incarnation);
        if !self.peers.get(&from.node).is_some_and(is_met) {
            // It is sent again. What is remembered of a server that was removed stays: it may be added again, and a
            // late copy may arrive then.
            server.ignored.stale += 1;
            return;
        }
        let origin = (from.node, from.incarnation);
        let mut intake = self.intakes.0.remove(&origin).unwrap_or_default();
        if intake.turn_to(boot, floor) {
            let refused = self.append_new(server, &mut intake, from, commands);
            if !refused.is_empty() {
                let reply = Message::ForwardRefused { boot, refused };
                server.send(from.node, Some(from.incarnation), Promise::Term, reply);
            }
        } else {
            server.ignored.stale += 1;
        }
        self.intakes.0.insert(origin, intake);
    }

    /// Appends the commands that are new. Returns those that are refused, now or before.
    fn append_new(
        &mut self,
        server: &mut Server,
        intake: &mut Intake,
        from: Sender,
        commands: Vec<(u64, Payload)>,
    ) -> Vec<(u64, Refusal)> {
        let mut refused = Vec::new();
        for (number, command) in commands {
            if number < intake.floor {
                continue;
            }
            let outcome = intake.outcomes.get(&number);
            let outcome = plant!(outcome, FORWARDS_TWICE => None);
            let outcome =
                plant!(outcome, JUDGES_REFUSALS_ANEW => outcome.filter(|refusal| refusal.is_none()));
            if let Some(outcome) = outcome {
                refused.extend(outcome.map(|refusal| (number, refusal)));
                continue;
            }
            if intake.outcomes.len() >= server.config.limits.proposals {
                // It could not be remembered, so nothing is promised about it. It is sent again.
                continue;
            }
            let refusal = self.judge_forwarded(server, &command);
            match refusal {
                Some(refusal) => {
                    server.limited.uncommitted_bytes += u64::from(matches!(refusal, Refusal::Busy { .. }));
                    refused.push((number, refusal));
                }
                None => {
                    let origin = Origin {
                        node: from.node,
                        incarnation: from.incarnation,
                        boot: intake.boot,
                        number,
                    };
                    self.append_forwarded(server, Forwarded { origin, command });
                }
            }
            intake.outcomes.insert(number, refusal);
        }
        refused
    }

    fn judge_forwarded(&self, server: &Server, command: &Payload) -> Option<Refusal> {
        match self
            .check_proposal(server, command, Entry::cost_of_forwarded(command.len()))
            .err()?
        {
            Rejection::TooLarge { limit, .. } => Some(Refusal::TooLarge { limit: limit as u64 }),
            Rejection::Transferring { to } => Some(Refusal::Transferring { to }),
            Rejection::Busy { limit, .. } => Some(Refusal::Busy { limit: limit as u64 }),
            Rejection::NotLeader { .. }
            | Rejection::NotATarget { .. }
            | Rejection::Halted(_)
            | Rejection::Failed => {
                debug_assert!(false, "a leader whose disk works takes proposals");
                Some(Refusal::Busy { limit: 0 })
            }
        }
    }

    fn append_forwarded(&mut self, server: &mut Server, forwarded: Forwarded) {
        let at = LogId::new(server.out.term(), server.log.next_index());
        let from = forwarded.origin.node;
        let entry = Entry {
            id: at,
            body: EntryBody::Forwarded(Arc::new(forwarded)),
        };
        self.uncommitted.appended(&entry);
        self.append(server, entry);
        server.trace(Trace::ForwardTaken { from, at });
    }
}
