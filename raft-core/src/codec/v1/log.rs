//! Entries, configurations and the descriptions of snapshots, which both envelopes and records contain.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Deref;

use bincode::error::EncodeError;

use super::super::DecodeError;
use super::super::wire::{Sink, Source, Wire, put_each, take_each, wire_enum, wire_struct};
use crate::identity::{Boot, ClusterId, Incarnation};
use crate::level::Level;
use crate::types::{LogId, NodeId, Payload};

wire_struct!(Entry {
    id: LogId,
    body: EntryBody,
});

wire_enum!(EntryBody {
    0 = Noop,
    1 = Command { command: Payload },
    2 = Membership { membership: Membership },
    3 = Forwarded { origin: Origin, command: Payload },
    4 = Withheld,
    5 = Founding { cluster: ClusterId },
    6 = Level { level: Level },
});

wire_struct!(Origin {
    node: NodeId,
    incarnation: Incarnation,
    boot: Boot,
    number: u64,
});

wire_struct!(Membership {
    voters: Ascending<NodeId>,
    outgoing: Ascending<NodeId>,
    learners: Ascending<NodeId>,
    witnesses: Ascending<NodeId>,
    incarnations: Ascending<Binding>,
});

wire_struct!(Binding {
    node: NodeId,
    incarnation: Incarnation,
});

wire_struct!(SnapshotMeta {
    last: LogId,
    membership: Membership,
    membership_id: Option<LogId>,
    withheld: bool,
    cluster: ClusterId,
    level: Level,
});

/// A list in strictly ascending order of what identifies its elements, so that a set has one encoding.
pub(in crate::codec) struct Ascending<T>(Vec<T>);

impl<T: Wire + Keyed> Wire for Ascending<T> {
    const LEAST_BYTES: usize = Vec::<T>::LEAST_BYTES;

    fn put(&self, sink: &mut Sink<'_>) -> Result<(), EncodeError> {
        self.0.put(sink)
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        let elements = Vec::<T>::take(source)?;
        if !elements.is_sorted_by(|one, next| one.key() < next.key()) {
            return Err(DecodeError::Invalid {
                what: "a set that is not in ascending order",
            });
        }
        Ok(Self(elements))
    }
}

impl<T> FromIterator<T> for Ascending<T> {
    /// The configuration's own sets are in this order.
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        Self(elements.into_iter().collect())
    }
}

/// What identifies an element of a set.
trait Keyed {
    fn key(&self) -> NodeId;
}

impl Keyed for NodeId {
    fn key(&self) -> NodeId {
        *self
    }
}

impl Keyed for Binding {
    fn key(&self) -> NodeId {
        self.node
    }
}

/// Entries in either of their containers, which are written and read one by one: there is no second list in memory.
pub(in crate::codec) struct Run<E>(pub(in crate::codec) E);

impl<E> Wire for Run<E>
where
    E: Deref<Target = [crate::Entry]> + From<Vec<crate::Entry>>,
{
    const LEAST_BYTES: usize = Vec::<Entry>::LEAST_BYTES;

    fn put(&self, sink: &mut Sink<'_>) -> Result<(), EncodeError> {
        put_each::<Entry>(self.0.iter().map(Entry::from), sink)
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        take_each::<Entry, crate::Entry>(source).map(|entries| Self(entries.into()))
    }
}

impl From<&crate::Entry> for Entry {
    fn from(entry: &crate::Entry) -> Self {
        let body = match &entry.body {
            crate::EntryBody::Noop => EntryBody::Noop,
            crate::EntryBody::Founding(cluster) => EntryBody::Founding { cluster: *cluster },
            crate::EntryBody::Command(command) => EntryBody::Command {
                command: command.clone(),
            },
            crate::EntryBody::Membership(membership) => EntryBody::Membership {
                membership: (&**membership).into(),
            },
            crate::EntryBody::Forwarded(forwarded) => EntryBody::Forwarded {
                origin: forwarded.origin.into(),
                command: forwarded.command.clone(),
            },
            crate::EntryBody::Withheld => EntryBody::Withheld,
            crate::EntryBody::Level(level) => EntryBody::Level { level: *level },
        };
        Self { id: entry.id, body }
    }
}

impl From<Entry> for crate::Entry {
    fn from(entry: Entry) -> Self {
        let body = match entry.body {
            EntryBody::Noop => crate::EntryBody::Noop,
            EntryBody::Founding { cluster } => crate::EntryBody::Founding(cluster),
            EntryBody::Command { command } => crate::EntryBody::Command(command),
            EntryBody::Membership { membership } => crate::EntryBody::Membership(Arc::new(membership.into())),
            EntryBody::Forwarded { origin, command } => {
                let origin = origin.into();
                crate::EntryBody::Forwarded(Arc::new(crate::Forwarded { origin, command }))
            }
            EntryBody::Withheld => crate::EntryBody::Withheld,
            EntryBody::Level { level } => crate::EntryBody::Level(level),
        };
        Self { id: entry.id, body }
    }
}

impl From<crate::Origin> for Origin {
    fn from(origin: crate::Origin) -> Self {
        Self {
            node: origin.node,
            incarnation: origin.incarnation,
            boot: origin.boot,
            number: origin.number,
        }
    }
}

impl From<Origin> for crate::Origin {
    fn from(origin: Origin) -> Self {
        Self {
            node: origin.node,
            incarnation: origin.incarnation,
            boot: origin.boot,
            number: origin.number,
        }
    }
}

impl From<&crate::Membership> for Membership {
    fn from(membership: &crate::Membership) -> Self {
        let binding = |(&node, &incarnation)| Binding { node, incarnation };
        Self {
            voters: membership.voters().collect(),
            outgoing: membership.outgoing().collect(),
            learners: membership.learners().collect(),
            witnesses: membership.witnesses().collect(),
            incarnations: membership.incarnations.iter().map(binding).collect(),
        }
    }
}

impl From<Membership> for crate::Membership {
    /// Also what no leader makes, which the core recognises where it arrives.
    fn from(membership: Membership) -> Self {
        let bindings = membership.incarnations.0.into_iter();
        Self {
            voters: membership.voters.0.into_iter().collect(),
            outgoing: membership.outgoing.0.into_iter().collect(),
            learners: membership.learners.0.into_iter().collect(),
            witnesses: membership.witnesses.0.into_iter().collect(),
            incarnations: bindings.map(|bound| (bound.node, bound.incarnation)).collect(),
        }
    }
}

impl From<&crate::SnapshotMeta> for SnapshotMeta {
    fn from(meta: &crate::SnapshotMeta) -> Self {
        Self {
            last: meta.last,
            membership: (&*meta.membership).into(),
            membership_id: meta.membership_id,
            withheld: meta.withheld,
            cluster: meta.cluster,
            level: meta.level,
        }
    }
}

impl From<SnapshotMeta> for crate::SnapshotMeta {
    fn from(meta: SnapshotMeta) -> Self {
        Self {
            last: meta.last,
            membership: Arc::new(meta.membership.into()),
            membership_id: meta.membership_id,
            withheld: meta.withheld,
            cluster: meta.cluster,
            level: meta.level,
        }
    }
}
