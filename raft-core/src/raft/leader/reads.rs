//! Linearizable reads without writing to the log: ReadIndex (paper §8; dissertation §6.4), in rounds, so that any
//! number of reads share one exchange of heartbeats.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::action::{Notice, Rejection};
use crate::identity::Boot;
use crate::input::ReadMode;
use crate::message::{Message, ReadOutcome};
use crate::outbox::Promise;
use crate::queue::Ends;
use crate::trace::Trace;
use crate::types::{Index, NodeId, ReadId, Round};

use super::{Leader, Sender, Server};

/// The client that wants to read.
#[derive(Clone, Copy, Debug)]
pub(in crate::raft) enum Reader {
    /// A client of this server.
    Client(ReadId),
    /// Clients of another server, which forwards their reads in one request.
    Peer { node: NodeId, boot: Boot, request: u64 },
}

/// Reads on a leader that are not confirmed yet.
#[derive(Debug, Default)]
pub(in crate::raft) struct Reads {
    /// Those that came before the leader knew what is committed: queued, not dropped.
    early: Vec<Reader>,
    /// Those that came since the last round began; the next round confirms them.
    fresh: Vec<(Reader, Index)>,
    /// Those that wait for a quorum to confirm their round.
    asked: VecDeque<(Round, Reader, Index)>,
}

impl Reads {
    pub(super) fn len(&self) -> usize {
        self.early.len() + self.fresh.len() + self.asked.len()
    }

    /// Queues readers that must wait, for the leader's first own commit or for the next round.
    pub(super) fn queue(&mut self, readers: impl IntoIterator<Item = Reader>) {
        self.early.extend(readers);
    }
}

impl Leader {
    pub(in crate::raft) fn read(
        &mut self,
        server: &mut Server,
        reader: Reader,
        mode: ReadMode,
    ) -> Result<(), Rejection> {
        server.check_room_for_read(self.reads.len())?;
        if mode == ReadMode::Lease
            && self.holds_lease(server)
            && let Some(commit) = server.commit
        {
            self.read_confirmed(server, reader, commit);
            server.answer_reads();
            return Ok(());
        }
        self.reads.queue([reader]);
        self.release_early_reads(server);
        Ok(())
    }

    /// A request of another server's, which forwards its clients' reads.
    pub(in crate::raft) fn on_read_index(
        &mut self,
        server: &mut Server,
        from: Sender,
        boot: Boot,
        request: u64,
        mode: ReadMode,
    ) {
        let node = from.node;
        if self.peer(node).is_none() {
            server.ignored.stale += 1;
            return;
        }
        let reader = Reader::Peer { node, boot, request };
        if let Err(reason) = self.read(server, reader, mode) {
            server.limited.note(&reason);
            let limit = server.config.limits.reads as u64;
            let outcome = ReadOutcome::Busy { limit };
            self.answer_peer(server, node, boot, request, outcome);
        }
    }

    /// Dissertation §6.4, step 1: a leader that has committed nothing in its term does not know the latest commit index.
    /// From its first own commit on, its commit index is at least everything that any leader before committed.
    pub(super) fn release_early_reads(&mut self, server: &Server) {
        let Some(index) = server.commit else { return };
        let knows_commit = index >= self.first_own;
        let knows_commit = plant!(knows_commit, READS_BEFORE_OWN_COMMIT => true);
        if knows_commit {
            let early = self.reads.early.drain(..).map(|reader| (reader, index));
            self.reads.fresh.extend(early);
        }
    }

    /// Step 3: begins a round for the reads that came since the last one. Only answers to messages sent from now on
    /// confirm it.
    pub(super) fn begin_round(&mut self, server: &mut Server) {
        if self.reads.fresh.is_empty() {
            return;
        }
        let joins_earlier = plant!(false, READS_JOIN_EARLIER_ROUND => !self.reads.asked.is_empty());
        let round = if joins_earlier {
            self.round
        } else {
            self.next_round(server)
        };
        let fresh = self.reads.fresh.drain(..);
        self.reads
            .asked
            .extend(fresh.map(|(reader, index)| (round, reader, index)));
        self.broadcast_heartbeat(server);
        // A quorum of one needs no other server's confirmation.
        self.confirm_reads(server);
    }

    /// Notes that a peer has answered a message of this round.
    pub(super) fn confirm_round(
        &mut self,
        server: &mut Server,
        from: NodeId,
        round: Round,
        promise_micros: u64,
    ) {
        let latest = self.round;
        let Some(peer) = self.peers.get_mut(&from) else {
            return;
        };
        if round > latest {
            server.ignored.contradicting += 1;
        } else if round > peer.round {
            peer.round = round;
            self.bound_by(server, from, round, promise_micros);
            self.confirm_reads(server);
        }
    }

    /// Confirms the reads whose round a quorum of the configuration in force has confirmed.
    pub(super) fn confirm_reads(&mut self, server: &mut Server) {
        let (me, counts_itself) = (server.me(), server.counts_itself());
        loop {
            let peers = &self.peers;
            let membership = server.log.membership();
            let is_confirmed = |round: Round| {
                let confirms = |node| {
                    (node == me && counts_itself) || peers.get(&node).is_some_and(|peer| peer.round >= round)
                };
                let is_confirmed = membership.has_quorum(confirms);
                plant!(is_confirmed, READS_WITHOUT_QUORUM => true)
            };
            let Some((_, reader, index)) =
                (self.reads.asked).take_front_if(|(round, ..)| is_confirmed(*round))
            else {
                break;
            };
            self.read_confirmed(server, reader, index);
        }
        server.answer_reads();
    }

    /// Nothing beyond `index` was committed when the read arrived: the reader may read from there on.
    fn read_confirmed(&mut self, server: &mut Server, reader: Reader, index: Index) {
        server.trace(Trace::ReadConfirmed { index });
        match reader {
            Reader::Client(id) => server.await_apply(id, index),
            Reader::Peer { node, boot, request } => {
                self.answer_peer(server, node, boot, request, ReadOutcome::Confirmed { index });
            }
        }
    }

    fn answer_peer(&self, server: &mut Server, node: NodeId, boot: Boot, request: u64, outcome: ReadOutcome) {
        let reply = Message::ReadIndexReply {
            boot,
            request,
            outcome,
        };
        server.send(node, self.folder_met(node), Promise::Term, reply);
    }

    /// Ends the reads that are not confirmed. Those that are stay valid, whichever server leads now. Other servers ask
    /// the next leader again.
    pub(super) fn fail_reads(&mut self, server: &mut Server, reason: Rejection) {
        let reads = core::mem::take(&mut self.reads);
        let reads = plant!(reads, FORGETS_READS => Reads::default());
        let unconfirmed = (reads.early.into_iter())
            .chain(reads.fresh.into_iter().map(|(reader, _)| reader))
            .chain(reads.asked.into_iter().map(|(_, reader, _)| reader));
        for reader in unconfirmed {
            if let Reader::Client(id) = reader {
                server.out.push(Notice::ReadRejected { id, reason });
            }
        }
    }
}
