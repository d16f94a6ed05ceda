//! What a store must offer to be simulated.

use raft_core::{
    Durable, Entry, GroupId, Identity, Incarnation, Index, LogId, Membership, NodeId, Payload, Persist,
};

use super::disk::SimulatedDisk;

/// A store that is simulated: the program that opens a folder.
pub trait StoreUnderTest: Sync {
    /// Opens the store of this folder, or creates it. If a crash interrupted the creation, the next call completes it.
    /// When it returns, the start is counted durably, in the identity's `boot`.
    ///
    /// # Errors
    ///
    /// The disk fails, or the folder is damaged.
    fn open(&self, disk: SimulatedDisk, new: &NewStore)
    -> Result<(Box<dyn OpenStore>, Opened), StoreFailure>;
}

/// An open store.
pub trait OpenStore {
    /// Writes the bytes of a snapshot that ends at `last`. They count from the [`Persist`] on that names the snapshot;
    /// what no `Persist` has named may be removed by the next start.
    ///
    /// # Errors
    ///
    /// The disk fails. That poisons nothing: the store goes on without the snapshot.
    fn write_snapshot(&self, last: LogId, bytes: &Payload) -> Result<(), StoreFailure>;

    /// Carries out these in order, as one group. The snapshots that they name were written before. When it returns,
    /// everything up to the last one with [`Persist::sync`] or with a snapshot is durable; the rest becomes durable with
    /// the next.
    ///
    /// # Errors
    ///
    /// After any error every further call must fail (oracle D4): what is durable is known only after another start. The
    /// exception is [`StoreFailure::is_no_room`]: nothing has changed, and the same call is made again.
    fn persist(&mut self, group: &[Persist]) -> Result<(), StoreFailure>;

    /// Reads entries from `first` to `last`, until `max_bytes` of [`Entry::cost_bytes`] are reached; the first is always
    /// returned. Returns nothing if `first` is not there.
    ///
    /// # Errors
    ///
    /// The disk fails, or the folder is damaged.
    fn load_entries(&self, first: Index, last: Index, max_bytes: usize) -> Result<Vec<Entry>, StoreFailure>;
}

/// Why a call of a store failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreFailure {
    /// The error and its causes, in one line.
    pub message: String,
    /// Whether the store says that its folder is damaged. On a disk that keeps its contract it must never say so
    /// (oracle D2).
    pub is_damage: bool,
    /// Whether a write found no room, and has changed nothing.
    pub is_no_room: bool,
}

/// What a new store is to hold; a folder that has a store keeps its own.
#[derive(Clone, Debug)]
pub struct NewStore {
    /// The group.
    pub group: GroupId,
    /// The server.
    pub node: NodeId,
    /// The incarnation of its disk.
    pub incarnation: Incarnation,
    /// What tells this start from one of another process that counts the same.
    pub boot_nonce: u32,
    /// The configuration that the cluster began with.
    pub bootstrap: Membership,
    /// Roughly how many bytes the store may write before it has to make room, by a checkpoint or by another file. Small
    /// numbers bring that about often.
    pub journal_bytes: u64,
}

impl NewStore {
    pub(super) fn simulated(journal_bytes: u64) -> Self {
        Self {
            group: GroupId::new(7),
            node: NodeId::new(1),
            incarnation: Incarnation::new(11),
            boot_nonce: 5,
            bootstrap: Membership::of_voters([1, 2, 3].map(NodeId::new)),
            journal_bytes,
        }
    }
}

/// The contents of a folder when it was opened.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The server's identity. `boot` counts this start already, durably.
    pub identity: Identity,
    /// Everything that the core starts from.
    pub durable: Durable,
    /// The bytes of the latest snapshot.
    pub snapshot: Option<Payload>,
    /// Where the last group of writes was, if the store knows that it is lost and may have been acknowledged. Then the hard
    /// state is `silenced`. On a disk that keeps its contract it must never be lost (oracle D2).
    pub lost_end: Option<String>,
}
