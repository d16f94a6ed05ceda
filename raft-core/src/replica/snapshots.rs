//! The life of a snapshot: taken here or collected from a leader, kept until it is written, sent, installed.

use crate::input;
use crate::queue::Ends;
use crate::types::{LogId, SnapshotMeta, Ticket};

use super::transfer::{Inbound, Progress, Snapshot};
use super::{Output, Replica, StateMachine};

impl<M: StateMachine> Replica<M> {
    pub(super) fn take_snapshot(&mut self) {
        if self.raft.halted().is_some() {
            // A state machine that refused a command may have changed before it did.
            return;
        }
        let Some(mut last) = self.last_applied else { return };
        if planted!(LABELS_SNAPSHOT_EARLY)
            && let Some(before) = last.index.previous().and_then(|before| self.raft.log_id(before))
        {
            last = before;
        }
        if self
            .raft
            .snapshot()
            .is_some_and(|meta| meta.last.index >= last.index)
        {
            return;
        }
        let data = self.machine.snapshot().into();
        self.raft.step(input::Input::SnapshotTaken { last });
        if self.has_snapshot(last) {
            self.keep(Snapshot::new(last, data));
        }
    }

    /// Whether the core's latest snapshot is this one.
    fn has_snapshot(&self, last: LogId) -> bool {
        self.raft.snapshot().is_some_and(|meta| meta.last == last)
    }

    fn keep(&mut self, snapshot: Snapshot) {
        self.unwritten.push_back(snapshot.clone());
        self.snapshot = Some(snapshot);
    }

    pub(super) fn begin_sending(&mut self, ticket: Ticket, meta: &SnapshotMeta) {
        match self
            .snapshot
            .as_ref()
            .filter(|snapshot| snapshot.last == meta.last)
        {
            Some(snapshot) => {
                self.outbound.insert(ticket, snapshot.clone());
                self.send_piece(ticket, 0);
            }
            None => self.raft.step(input::Input::SnapshotAborted { ticket }),
        }
    }

    pub(super) fn send_piece(&mut self, ticket: Ticket, offset: u64) {
        let Some(snapshot) = self.outbound.get(&ticket) else {
            return;
        };
        self.raft.step(input::Input::SnapshotPiece {
            ticket,
            last: snapshot.last,
            total_bytes: snapshot.total_bytes(),
            checksum: snapshot.checksum,
            offset,
            data: snapshot.piece(offset, self.settings.chunk_bytes),
        });
    }

    pub(super) fn receive_piece(&mut self, announced: Inbound, offset: u64, data: &[u8]) {
        let inbound = match &mut self.inbound {
            Some(inbound) if inbound.is_same(&announced) => inbound,
            // A late piece of another snapshot must not cost what has arrived of this one. Only a new beginning may.
            Some(_) if offset > 0 => return,
            inbound => inbound.insert(announced),
        };
        match inbound.add(offset, data) {
            Progress::Incomplete { received_bytes } => {
                let (from, last) = (inbound.from, inbound.meta.last);
                self.raft.step(input::Input::SnapshotStored {
                    from,
                    last,
                    received_bytes,
                });
            }
            Progress::Complete => self.accept_snapshot(),
        }
    }

    /// A snapshot is there as a whole. It is restored before the core hears of it, so that malformed bytes
    /// cost this server nothing.
    fn accept_snapshot(&mut self) {
        let Some(inbound) = self.inbound.take() else {
            return;
        };
        let from = inbound.from;
        match inbound
            .verify()
            .and_then(|(meta, data)| Ok((self.machine.restore(&data)?, meta, data)))
        {
            Ok((machine, meta, data)) => {
                let last = meta.last;
                let is_news = !self.has_snapshot(last);
                self.raft.step(input::Input::SnapshotReady { from, meta });
                if is_news && self.has_snapshot(last) {
                    self.keep(Snapshot::new(last, data));
                    // Of those before, only one that the core has handed out already will still be installed.
                    self.arrived
                        .retain(|(arrived, _)| self.raft.is_applying(arrived.index));
                    self.arrived.push_back((last, machine));
                }
            }
            Err(error) => self.outputs.push(Output::SnapshotRefused { from, error }),
        }
    }

    pub(super) fn install(&mut self, meta: SnapshotMeta) {
        let Some((last, machine)) = self.arrived.take_front_if(|(last, _)| *last == meta.last) else {
            debug_assert!(false, "a snapshot is installed after it arrived");
            return;
        };
        self.machine = machine;
        self.last_applied = Some(last);
        self.responses.clear();
        self.raft.step(input::Input::Applied(last.index));
        self.outputs.push(Output::SnapshotInstalled { meta });
    }
}
