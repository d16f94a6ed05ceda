//! The life of a snapshot: taken here or collected from a leader, written, named, sent, installed.
//!
//! ```text
//!   taken here ───────┐                    written      named by a Persist
//!                     ├─▶ WriteSnapshot ──────────▶ core ────────────────▶ sent to peers, installed
//!   arrived, checked ─┘                               └──▶ DiscardSnapshot: something newer is here
//! ```
//!
//! The core hears of a snapshot when its bytes are durable, so nothing can name, send or install one that a crash would
//! take away, and no entry waits for a snapshot's bytes.

use crate::input;
use crate::queue::Ends;
use crate::types::{LogId, SnapshotMeta, Ticket};

use super::transfer::{Inbound, Landing, Progress, Snapshot};
use super::{Output, Replica, StateMachine};

impl<M: StateMachine> Replica<M> {
    pub(super) fn take_snapshot(&mut self) {
        // A state machine that refused a command may have changed before it did. And one write at a time: with two, a slow
        // disk would fall back ever further.
        let writes = self.writing.is_some() || self.landing.is_some();
        let writes = plant!(writes, WRITES_SNAPSHOT_AFTER_SNAPSHOT => false);
        if self.raft.halted().is_some() || writes {
            return;
        }
        let Some(mut last) = self.last_applied else { return };
        if planted!(LABELS_SNAPSHOT_EARLY)
            && let Some(before) = last.index.previous().and_then(|before| self.raft.log_id(before))
        {
            last = before;
        }
        if !self.raft.may_name_snapshot(last) {
            return;
        }
        let snapshot = Snapshot::new(last, self.machine.snapshot().into());
        self.policy.taken(snapshot.total_bytes());
        self.outputs.push(snapshot.to_write());
        if planted!(NAMES_UNWRITTEN_SNAPSHOTS) {
            self.raft.step(input::Input::SnapshotTaken { last });
        }
        self.writing = Some(snapshot);
    }

    /// The bytes of a snapshot are durable: now the core may name it, compact the log, and have it sent or installed.
    pub(super) fn snapshot_written(&mut self, last: LogId) {
        if let Some(snapshot) = self.writing.take_if(|snapshot| snapshot.last == last) {
            self.raft.step(input::Input::SnapshotTaken { last });
            if self.has_snapshot(last) {
                self.snapshot = Some(snapshot);
            } else {
                self.outputs.push(Output::DiscardSnapshot { last });
            }
        } else if let Some(landing) = self.landing.take_if(|landing| landing.snapshot.last == last) {
            self.adopt(landing);
            self.maybe_accept_snapshot();
        }
    }

    /// The log stays as it is. What arrived may arrive again: its sender gives up, and tries once more.
    pub(super) fn snapshot_not_written(&mut self, last: LogId) {
        self.writing.take_if(|snapshot| snapshot.last == last);
        self.landing.take_if(|landing| landing.snapshot.last == last);
        self.maybe_accept_snapshot();
    }

    /// Whether the core's latest snapshot is this one.
    fn has_snapshot(&self, last: LogId) -> bool {
        self.raft.snapshot().is_some_and(|meta| meta.last == last)
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
        if let Some(landing) = &mut self.landing {
            // All of it is here. A leader that has not heard so, or a later leader, need not send it again.
            if landing.is_same(&announced) {
                landing.from = announced.from;
                self.raft.step(input::Input::SnapshotStored {
                    from: landing.from,
                    last: landing.snapshot.last,
                    received_bytes: landing.snapshot.total_bytes(),
                });
                return;
            }
        }
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
            Progress::Complete => self.maybe_accept_snapshot(),
        }
    }

    /// Accepts a snapshot that is there as a whole, once no earlier one is being written. It is restored before it is
    /// written and the core hears of it, so that malformed bytes cost this server nothing.
    fn maybe_accept_snapshot(&mut self) {
        if self.landing.is_some() {
            return;
        }
        let Some(inbound) = self.inbound.take_if(|inbound| inbound.is_complete()) else {
            return;
        };
        let from = inbound.from;
        match inbound
            .verify()
            .and_then(|(meta, snapshot)| Ok((self.machine.restore(&snapshot.data)?, meta, snapshot)))
        {
            Ok((machine, meta, snapshot)) => {
                self.outputs.push(snapshot.to_write());
                let landing = Landing {
                    from,
                    meta,
                    snapshot,
                    machine,
                };
                if planted!(ADOPTS_UNWRITTEN_SNAPSHOTS) {
                    self.adopt(landing);
                } else {
                    self.landing = Some(landing);
                }
            }
            Err(error) => self.outputs.push(Output::SnapshotRefused { from, error }),
        }
    }

    /// Hands a snapshot that arrived and is durable to the core, which takes it unless it has something newer.
    fn adopt(&mut self, landing: Landing<M>) {
        let Landing {
            from,
            meta,
            snapshot,
            machine,
        } = landing;
        let last = snapshot.last;
        let is_news = !self.has_snapshot(last);
        self.raft.step(input::Input::SnapshotReady { from, meta });
        if is_news && self.has_snapshot(last) {
            self.policy.taken(snapshot.total_bytes());
            self.snapshot = Some(snapshot);
            // Of those before, only one that the core has handed out already will still be installed.
            self.arrived
                .retain(|(arrived, _)| self.raft.is_applying(arrived.index));
            self.arrived.push_back((last, machine));
        } else {
            self.outputs.push(Output::DiscardSnapshot { last });
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
