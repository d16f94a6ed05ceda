//! Snapshots in pieces: cut where they leave, joined and checked where they arrive.

use alloc::format;
use alloc::vec::Vec;

use crate::replica::{Output, SnapshotError, StateMachine};
use crate::types::{LogId, NodeId, Payload, SnapshotMeta};

/// A snapshot that this server has.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) last: LogId,
    pub(super) data: Payload,
    pub(super) checksum: u32,
}

impl Snapshot {
    pub(super) fn new(last: LogId, data: Payload) -> Self {
        let checksum = crc32fast::hash(&data);
        Self { last, data, checksum }
    }

    pub(super) fn total_bytes(&self) -> u64 {
        self.data.len() as u64
    }

    /// The duty to make it durable.
    pub(super) fn to_write<M: StateMachine>(&self) -> Output<M> {
        Output::WriteSnapshot {
            last: self.last,
            bytes: self.data.clone(),
        }
    }

    /// At most `chunk_bytes` from `offset` on; nothing beyond the end.
    pub(super) fn piece(&self, offset: u64, chunk_bytes: usize) -> Payload {
        let begin = usize::try_from(offset).unwrap_or(usize::MAX).min(self.data.len());
        let end = begin.saturating_add(chunk_bytes).min(self.data.len());
        Payload::from(&self.data[begin..end])
    }
}

/// A snapshot that is arriving.
#[derive(Debug)]
pub(super) struct Inbound {
    pub(super) from: NodeId,
    pub(super) meta: SnapshotMeta,
    total_bytes: u64,
    checksum: u32,
    data: Vec<u8>,
}

/// How far a snapshot has arrived.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Incomplete { received_bytes: u64 },
    Complete,
}

impl Inbound {
    pub(super) fn new(from: NodeId, meta: SnapshotMeta, total_bytes: u64, checksum: u32) -> Self {
        Self {
            from,
            meta,
            total_bytes,
            checksum,
            data: Vec::new(),
        }
    }

    /// Whether this is the snapshot that the other is a piece of.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        if planted!(MIXES_SNAPSHOTS) {
            return self.from == other.from;
        }
        self.from == other.from
            && self.meta == other.meta
            && self.total_bytes == other.total_bytes
            && self.checksum == other.checksum
    }

    pub(super) fn received_bytes(&self) -> u64 {
        self.data.len() as u64
    }

    /// Takes a piece if it is the next one. Memory grows with what has arrived, never with what was announced.
    pub(super) fn add(&mut self, offset: u64, data: &[u8]) -> Progress {
        let received = self.data.len() as u64;
        if (offset == received || planted!(PIECES_OUT_OF_ORDER))
            && received.saturating_add(data.len() as u64) <= self.total_bytes
        {
            self.data.extend_from_slice(data);
        }
        if self.is_complete() {
            Progress::Complete
        } else {
            let received_bytes = self.data.len() as u64;
            Progress::Incomplete { received_bytes }
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.data.len() as u64 == self.total_bytes
    }

    /// The snapshot, if its bytes are those that were sent.
    pub(super) fn verify(self) -> Result<(SnapshotMeta, Snapshot), SnapshotError> {
        let found = crc32fast::hash(&self.data);
        if found != self.checksum {
            let expected = self.checksum;
            return Err(SnapshotError(format!(
                "its checksum is {found:08x} where the sender announced {expected:08x}"
            )));
        }
        let snapshot = Snapshot {
            last: self.meta.last,
            data: self.data.into(),
            checksum: found,
        };
        Ok((self.meta, snapshot))
    }
}

/// A snapshot that arrived, was checked, and is being written.
#[derive(Debug)]
pub(super) struct Landing<M> {
    pub(super) from: NodeId,
    pub(super) meta: SnapshotMeta,
    pub(super) snapshot: Snapshot,
    /// The state that it describes.
    pub(super) machine: M,
}

impl<M> Landing<M> {
    /// Whether the other, which begins to arrive, is this snapshot.
    pub(super) fn is_same(&self, other: &Inbound) -> bool {
        self.meta == other.meta
            && self.snapshot.total_bytes() == other.total_bytes
            && self.snapshot.checksum == other.checksum
    }
}
