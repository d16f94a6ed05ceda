//! Version 1 of the bytes: its types, and what they are in the crate's own.
//!
//! **Frozen with the first release.** The crate's types may then change as they like. The conversions here follow them,
//! and every byte stays where it is, which golden files in `tests/golden` hold it to. What version 1 cannot say is said
//! in version 2, a module of its own beside this one.

mod disk;
mod log;
mod message;

use bincode::error::EncodeError;

use super::DecodeError;
use super::wire::{Sink, Source, Wire, wire_struct};
use crate::identity::{Boot, ClusterId, Incarnation};
use crate::types::{GroupId, NodeId, Term};

pub(super) use self::disk::{Durable, Identity, Persist};
pub(super) use self::log::{Entry, Membership, SnapshotMeta};

wire_struct!(Envelope {
    group: GroupId,
    cluster: ClusterId,
    from: NodeId,
    from_incarnation: Incarnation,
    from_boot: Boot,
    to: NodeId,
    to_incarnation: Option<Incarnation>,
    term: Term,
    message: message::Message,
});

impl From<&crate::Envelope> for Envelope {
    fn from(envelope: &crate::Envelope) -> Self {
        Self {
            group: envelope.group,
            cluster: envelope.cluster,
            from: envelope.from,
            from_incarnation: envelope.from_incarnation,
            from_boot: envelope.from_boot,
            to: envelope.to,
            to_incarnation: envelope.to_incarnation,
            term: envelope.term,
            message: (&envelope.message).into(),
        }
    }
}

impl From<Envelope> for crate::Envelope {
    fn from(envelope: Envelope) -> Self {
        Self {
            group: envelope.group,
            cluster: envelope.cluster,
            from: envelope.from,
            from_incarnation: envelope.from_incarnation,
            from_boot: envelope.from_boot,
            to: envelope.to,
            to_incarnation: envelope.to_incarnation,
            term: envelope.term,
            message: envelope.message.into(),
        }
    }
}
