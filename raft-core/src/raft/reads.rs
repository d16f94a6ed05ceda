//! Linearizable reads without writing to the log: ReadIndex (paper §8; dissertation §6.4), in rounds, so that any
//! number of reads share one exchange of heartbeats.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::action::{Action, Rejection, Waiting};
use crate::input::ReadMode;
use crate::message::{Message, ReadOutcome};
use crate::outbox::Promise;
use crate::trace::Trace;
use crate::types::{Index, NodeId, ReadId, Round};

use super::{Raft, Role};

/// Who wants to read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reader {
    /// A client of this server.
    Client(ReadId),
    /// Clients of another server, which passes their reads on in one request.
    Peer { node: NodeId, boot: u64, request: u64 },
}

/// Reads on a leader that are not confirmed yet.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// Came before the leader knew what is committed: queued, not dropped.
    early: Vec<Reader>,
    /// Came since the last round began; the next round confirms them.
    fresh: Vec<(Reader, Index)>,
    /// Wait for a quorum to confirm the round.
    asked: VecDeque<(Round, Reader, Index)>,
}

impl Reads {
    fn len(&self) -> usize {
        self.early.len() + self.fresh.len() + self.asked.len()
    }

    /// Takes in those that must wait, for the leader's first own commit or for the next round.
    pub(super) fn queue(&mut self, readers: impl IntoIterator<Item = Reader>) {
        self.early.extend(readers);
    }
}

impl Raft {
    pub(super) fn on_read(&mut self, id: ReadId, mode: ReadMode) {
        let refusal = match &self.role {
            Role::Leader(_) => self.read_as_leader(Reader::Client(id), mode),
            _ => self.forward_read(id, mode),
        };
        if let Err(reason) = refusal {
            self.out.push(Action::ReadRejected { id, reason });
        }
    }

    /// How many reads wait here for anything, for the limit.
    pub(super) fn waiting_reads(&self) -> usize {
        let unconfirmed = match &self.role {
            Role::Leader(leader) => leader.reads.len(),
            _ => 0,
        };
        unconfirmed
            .saturating_add(self.confirmed_reads.len())
            .saturating_add(self.forwarding.waiting_reads())
    }

    pub(super) fn check_room_for_read(&self) -> Result<(), Rejection> {
        let (what, limit) = (Waiting::Reads, self.config.limits.reads);
        if self.waiting_reads() < limit {
            Ok(())
        } else {
            Err(Rejection::Busy { what, limit })
        }
    }

    pub(super) fn read_as_leader(&mut self, reader: Reader, mode: ReadMode) -> Result<(), Rejection> {
        self.check_room_for_read()?;
        let Role::Leader(leader) = &self.role else {
            return Ok(());
        };
        if mode == ReadMode::Lease
            && self.holds_lease(leader)
            && let Some(commit) = self.commit
        {
            self.read_confirmed(reader, commit);
            self.answer_reads();
            return Ok(());
        }
        if let Role::Leader(leader) = &mut self.role {
            leader.reads.queue([reader]);
        }
        self.release_waiting_reads();
        Ok(())
    }

    /// Dissertation §6.4, step 1: a leader that has committed nothing in its term does not know the latest commit
    /// index.
    pub(super) fn release_waiting_reads(&mut self) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        // From the first own commit on, the commit index is at least everything that any leader before committed.
        if let Some(index) = self
            .commit
            .filter(|&commit| commit >= leader.first_own || planted!(READS_BEFORE_OWN_COMMIT))
        {
            leader
                .reads
                .fresh
                .extend(leader.reads.early.drain(..).map(|reader| (reader, index)));
        }
    }

    /// Step 3: begins a round for the reads that came since the last one. Only answers to messages sent from now on
    /// confirm it.
    pub(super) fn begin_round(&mut self) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        if leader.reads.fresh.is_empty() {
            return;
        }
        let round = if leader.reads.asked.is_empty() || !planted!(READS_JOIN_EARLIER_ROUND) {
            self.next_round()
        } else {
            leader.round
        };
        if let Role::Leader(leader) = &mut self.role {
            let fresh = leader.reads.fresh.drain(..);
            leader
                .reads
                .asked
                .extend(fresh.map(|(reader, index)| (round, reader, index)));
        }
        self.broadcast_heartbeat();
        // A quorum of one needs nobody else's word.
        self.confirm_reads();
    }

    /// A peer has answered a message of this round.
    pub(super) fn confirm_round(&mut self, from: NodeId, round: Round) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let latest = leader.round;
        let Some(peer) = leader.peers.get_mut(&from) else {
            return;
        };
        if round > latest {
            self.ignored.contradicting += 1;
        } else if round > peer.round {
            peer.round = round;
            self.bound_by(from, round);
            self.confirm_reads();
        }
    }

    /// Reads whose round is confirmed by a quorum of the configuration in force go on.
    pub(super) fn confirm_reads(&mut self) {
        loop {
            let me = self.me();
            let Role::Leader(leader) = &mut self.role else {
                return;
            };
            let peers = &leader.peers;
            let membership = self.log.membership();
            let Some((_, reader, index)) = leader.reads.asked.pop_front_if(|(round, ..)| {
                let confirms = |node| node == me || peers.get(&node).is_some_and(|peer| peer.round >= *round);
                planted!(READS_WITHOUT_QUORUM) || membership.has_quorum(confirms)
            }) else {
                break;
            };
            self.read_confirmed(reader, index);
        }
        self.answer_reads();
    }

    /// Nothing beyond `index` was committed when the read arrived: who wants to read may do so from there on.
    fn read_confirmed(&mut self, reader: Reader, index: Index) {
        self.trace(Trace::ReadConfirmed { index });
        match reader {
            Reader::Client(id) => self.await_apply(id, index),
            Reader::Peer { node, boot, request } => {
                let outcome = ReadOutcome::Confirmed { index };
                let reply = Message::ReadIndexReply {
                    boot,
                    request,
                    outcome,
                };
                self.send(node, Promise::Term, reply);
            }
        }
    }

    /// Step 4, first half: puts the read among those that wait for the state machine, which are in the order of their
    /// indexes.
    pub(super) fn await_apply(&mut self, id: ReadId, index: Index) {
        let behind = self.confirmed_reads.partition_point(|(_, other)| *other <= index);
        self.confirmed_reads.insert(behind, (id, index));
    }

    /// Step 4: a read is answered once the state machine has caught up with it.
    pub(super) fn answer_reads(&mut self) {
        let applied = self.applied;
        while let Some((id, index)) = self
            .confirmed_reads
            .pop_front_if(|(_, index)| Some(*index) <= applied || planted!(READS_BEFORE_APPLY))
        {
            self.out.push(Action::ReadReady { id, index });
        }
        self.answer_forwarded_reads();
    }

    /// Ends the reads that are not confirmed. Those that are stay valid, whoever leads now. Other servers ask again,
    /// whoever leads then.
    pub(super) fn fail_reads(&mut self, reason: Rejection) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let reads = core::mem::take(&mut leader.reads);
        if planted!(FORGETS_READS) {
            return;
        }
        let unconfirmed = (reads.early.into_iter())
            .chain(reads.fresh.into_iter().map(|(reader, _)| reader))
            .chain(reads.asked.into_iter().map(|(_, reader, _)| reader));
        for reader in unconfirmed {
            if let Reader::Client(id) = reader {
                self.out.push(Action::ReadRejected { id, reason });
            }
        }
    }
}
