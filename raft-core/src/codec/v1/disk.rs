//! What a store keeps: writes, whole disks, and whose folder it is.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bincode::error::EncodeError;

use super::super::DecodeError;
use super::super::wire::{Sink, Source, Wire, wire_struct};
use super::log::{Run, SnapshotMeta};
use crate::entries::Entries;
use crate::identity::{Boot, ClusterId, Incarnation};
use crate::level::Level;
use crate::types::{GroupId, Index, NodeId, Term, Ticket};

wire_struct!(HardState {
    term: Term,
    vote: Option<NodeId>,
    vote_boot: Boot,
    admitted: bool,
    promise_micros: u64,
    silenced: bool,
    cluster: ClusterId,
    level: Level,
});

wire_struct!(Persist {
    hard_state: Option<HardState>,
    snapshot: Option<SnapshotMeta>,
    truncate_from: Option<Index>,
    entries: Run<Entries>,
    commit: Option<Index>,
    compact_to: Option<Index>,
});

wire_struct!(Durable {
    hard_state: HardState,
    snapshot: Option<SnapshotMeta>,
    entries: Run<Vec<crate::Entry>>,
    commit: Option<Index>,
});

wire_struct!(Identity {
    group: GroupId,
    node: NodeId,
    incarnation: Incarnation,
    boot: Boot,
});

impl From<crate::HardState> for HardState {
    fn from(hard_state: crate::HardState) -> Self {
        Self {
            term: hard_state.term,
            vote: hard_state.vote,
            vote_boot: hard_state.vote_boot,
            admitted: hard_state.admitted,
            promise_micros: hard_state.promise_micros,
            silenced: hard_state.silenced,
            cluster: hard_state.cluster,
            level: hard_state.level,
        }
    }
}

impl From<HardState> for crate::HardState {
    fn from(hard_state: HardState) -> Self {
        Self {
            term: hard_state.term,
            vote: hard_state.vote,
            vote_boot: hard_state.vote_boot,
            admitted: hard_state.admitted,
            promise_micros: hard_state.promise_micros,
            silenced: hard_state.silenced,
            cluster: hard_state.cluster,
            level: hard_state.level,
        }
    }
}

impl From<&crate::Persist> for Persist {
    fn from(persist: &crate::Persist) -> Self {
        Self {
            hard_state: persist.hard_state.as_deref().map(|&hard_state| hard_state.into()),
            snapshot: persist.snapshot.as_deref().map(SnapshotMeta::from),
            truncate_from: persist.truncate_from,
            entries: Run(persist.entries.clone()),
            commit: persist.commit,
            compact_to: persist.compact_to,
        }
    }
}

impl From<Persist> for crate::Persist {
    fn from(persist: Persist) -> Self {
        Self {
            ticket: Ticket::new(0),
            hard_state: persist.hard_state.map(|hard_state| Box::new(hard_state.into())),
            snapshot: persist.snapshot.map(|meta| Box::new(meta.into())),
            truncate_from: persist.truncate_from,
            entries: persist.entries.0,
            commit: persist.commit,
            compact_to: persist.compact_to,
            sync: true,
        }
    }
}

impl From<&crate::Durable> for Durable {
    fn from(durable: &crate::Durable) -> Self {
        Self {
            hard_state: durable.hard_state.into(),
            snapshot: durable.snapshot.as_ref().map(SnapshotMeta::from),
            entries: Run(durable.entries.clone()),
            commit: durable.commit,
        }
    }
}

impl From<Durable> for crate::Durable {
    fn from(durable: Durable) -> Self {
        Self {
            hard_state: durable.hard_state.into(),
            snapshot: durable.snapshot.map(crate::SnapshotMeta::from),
            entries: durable.entries.0,
            commit: durable.commit,
        }
    }
}

impl From<&crate::Identity> for Identity {
    fn from(identity: &crate::Identity) -> Self {
        Self {
            group: identity.group,
            node: identity.node,
            incarnation: identity.incarnation,
            boot: identity.boot,
        }
    }
}

impl From<Identity> for crate::Identity {
    fn from(identity: Identity) -> Self {
        Self {
            group: identity.group,
            node: identity.node,
            incarnation: identity.incarnation,
            boot: identity.boot,
        }
    }
}
