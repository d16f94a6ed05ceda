//! Reads on a server that does not lead: it asks the leader from which index on it may answer them itself (dissertation
//! §6.4, last paragraph).

use alloc::vec;
use alloc::vec::Vec;

use crate::action::{Action, Notice, Rejection, Waiting};
use crate::identity::Boot;
use crate::input::ReadMode;
use crate::message::{Message, ReadOutcome};
use crate::outbox::Promise;
use crate::types::{Index, NodeId, ReadId, Tick};

use super::Forwarding;
use crate::raft::server::Server;

/// Reads that came within one drain and share one request.
#[derive(Debug)]
pub(in crate::raft) struct ForwardedReads {
    request: u64,
    mode: ReadMode,
    ids: Vec<ReadId>,
    was_sent: bool,
    send_at: Tick,
    gives_up_at: Tick,
    /// The index from which on they may be answered, once the leader has named it.
    confirmed: Option<Index>,
}

impl ForwardedReads {
    pub(super) fn deadline(&self, can_send: bool) -> Tick {
        if can_send && self.confirmed.is_none() {
            self.send_at.min(self.gives_up_at)
        } else {
            self.gives_up_at
        }
    }
}

impl Forwarding {
    /// Whether a read of this id waits for the leader's answer or for the state machine.
    pub(in crate::raft) fn is_read(&self, id: ReadId) -> bool {
        self.reads.iter().any(|reads| reads.ids.contains(&id))
    }

    pub(in crate::raft) fn waiting_reads(&self) -> usize {
        self.reads.iter().map(|reads| reads.ids.len()).sum()
    }
}

impl Server {
    pub(in crate::raft) fn forward_read(&mut self, id: ReadId, mode: ReadMode) -> Result<(), Rejection> {
        self.leader_to_ask()?;
        self.check_room_for_read(0)?;
        let (send_at, gives_up_at) = (self.now, self.patience_ends_at());
        let open = |reads: &&mut ForwardedReads| !reads.was_sent && reads.mode == mode;
        match self.forwarding.reads.iter_mut().find(open) {
            Some(reads) => reads.ids.push(id),
            None => {
                let request = self.forwarding.next_number();
                self.forwarding.reads.push(ForwardedReads {
                    request,
                    mode,
                    ids: vec![id],
                    was_sent: false,
                    send_at,
                    gives_up_at,
                    confirmed: None,
                });
            }
        }
        Ok(())
    }

    pub(super) fn ask_for_read_index(&mut self, leader: NodeId) {
        let (now, boot) = (self.now, self.out.identity().boot);
        let again = self.after(self.config.timing.heartbeat_ticks);
        let due = |reads: &&mut ForwardedReads| reads.confirmed.is_none() && reads.send_at <= now;
        let mut asked = Vec::new();
        for reads in self.forwarding.reads.iter_mut().filter(due) {
            reads.was_sent = true;
            reads.send_at = again;
            asked.push((reads.request, reads.mode));
        }
        for (request, mode) in asked {
            let request = Message::ReadIndex { boot, request, mode };
            self.send(leader, None, Promise::Term, request);
        }
    }

    pub(in crate::raft) fn on_read_index_reply(&mut self, boot: Boot, request: u64, outcome: ReadOutcome) {
        let is_meant = |reads: &ForwardedReads| reads.request == request && reads.confirmed.is_none();
        let place = self.forwarding.reads.iter().position(is_meant);
        let Some(place) = place.filter(|_| boot == self.out.identity().boot) else {
            self.ignored.stale += 1;
            return;
        };
        match outcome {
            ReadOutcome::Confirmed { index } => {
                self.forwarding.reads[place].confirmed = Some(index);
                self.answer_forwarded_reads();
            }
            ReadOutcome::Busy { limit } => {
                let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                let what = Waiting::Reads;
                let refused = self.forwarding.reads.remove(place);
                self.reject_reads(refused.ids, Rejection::Busy { what, limit });
            }
        }
    }

    /// §6.4, step 4: a read is answered once the state machine of *this* server has caught up with it.
    pub(in crate::raft) fn answer_forwarded_reads(&mut self) {
        let applied = self.applied;
        let caught_up = |reads: &mut ForwardedReads| {
            reads.confirmed.is_some_and(|index| {
                let caught_up = Some(index) <= applied;
                plant!(caught_up, FOLLOWER_READS_BEFORE_APPLY => true)
            })
        };
        for ForwardedReads { ids, confirmed, .. } in self.forwarding.reads.extract_if(.., caught_up) {
            let ready = ids.into_iter().zip(core::iter::repeat(confirmed));
            for (id, index) in ready.filter_map(|(id, index)| Some((id, index?))) {
                self.out.push(Action::ReadReady { id, index });
            }
        }
    }

    pub(super) fn give_up_reads(&mut self) {
        let (now, reason) = (self.now, self.not_leader());
        let overdue = |reads: &mut ForwardedReads| now >= reads.gives_up_at;
        let given_up: Vec<ReadId> = (self.forwarding.reads.extract_if(.., overdue))
            .flat_map(|reads| reads.ids)
            .collect();
        self.reject_reads(given_up, reason);
    }

    pub(in crate::raft) fn fail_forwarded_reads(&mut self, reason: Rejection) {
        let all = core::mem::take(&mut self.forwarding.reads);
        self.reject_reads(all.into_iter().flat_map(|reads| reads.ids), reason);
    }

    fn reject_reads(&mut self, ids: impl IntoIterator<Item = ReadId>, reason: Rejection) {
        for id in ids {
            self.out.push(Notice::ReadRejected { id, reason });
        }
    }

    /// The reads that no leader has confirmed yet.
    pub(in crate::raft) fn take_unconfirmed_reads(&mut self) -> Vec<ReadId> {
        let unconfirmed = |reads: &mut ForwardedReads| reads.confirmed.is_none();
        let taken = self.forwarding.reads.extract_if(.., unconfirmed);
        taken.flat_map(|reads| reads.ids).collect()
    }
}
