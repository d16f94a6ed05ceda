//! The audit: what happened, each event hashed with the one before it.
//!
//! `hash(n) = SHA-256("raft-lsb audit v1" ‖ 0x00 ‖ hash(n - 1) ‖ event n)`, beginning with 32 zeros. The
//! ledger keeps the latest [`KEPT_EVENTS`] of them, and the hash before the first one kept, so that the kept
//! ones can be recomputed at any time.

use std::collections::VecDeque;

use lsb_core::envelope::{UserName, Views};
use lsb_core::{ObjectId, PolicyHash, PublicKey, RequestId, UnixSeconds};
use raft_core::Index;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::command::{Denial, Genesis};
use crate::codec;

/// How many events the ledger keeps.
pub const KEPT_EVENTS: usize = 32_768;

const LABEL: &[u8] = b"raft-lsb audit v1\0";

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The position in the log.
    pub index: Index,
    /// The ledger's time.
    pub time: UnixSeconds,
    /// The kind of event.
    pub kind: EventKind,
}

/// The kinds of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// The cluster's constants were fixed.
    Begun(Genesis),
    /// A name was bound to a key.
    Enrolled {
        /// The name.
        user: UserName,
        /// The key.
        key: PublicKey,
    },
    /// An object was registered.
    Protected {
        /// The object.
        object: ObjectId,
        /// Its owner.
        owner: UserName,
        /// Its policy.
        policy: PolicyHash,
    },
    /// A view was charged.
    Viewed {
        /// The object.
        object: ObjectId,
        /// The viewer.
        user: UserName,
        /// The request.
        request: RequestId,
        /// Views left afterwards.
        remaining: Views,
    },
    /// A view was denied to a user who is listed.
    Denied {
        /// The object.
        object: ObjectId,
        /// The user.
        user: UserName,
        /// The request.
        request: RequestId,
        /// The reason.
        reason: Denial,
    },
}

/// The chain of hashes.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct AuditChain {
    /// How many events there ever were.
    length: u64,
    /// The hash before the first event kept.
    base: [u8; 32],
    /// The hash of the last event.
    head: [u8; 32],
    events: VecDeque<Event>,
}

/// The kept events do not lead from the base to the head: the chain was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit chain does not recompute: its events were changed")]
pub struct BrokenChain;

impl AuditChain {
    pub(super) fn record(&mut self, event: Event) {
        self.head = link(&self.head, &event);
        self.length += 1;
        self.events.push_back(event);
        if self.events.len() > KEPT_EVENTS
            && let Some(oldest) = self.events.pop_front()
        {
            self.base = link(&self.base, &oldest);
        }
    }

    pub(super) fn head(&self) -> [u8; 32] {
        self.head
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The kept events, oldest first.
    pub(super) fn events(&self) -> impl DoubleEndedIterator<Item = &Event> {
        self.events.iter()
    }

    /// Recomputes the head from the base.
    pub(super) fn verify(&self) -> Result<(), BrokenChain> {
        let computed = self
            .events
            .iter()
            .fold(self.base, |previous, event| link(&previous, event));
        let complete = self.length >= self.events.len() as u64
            && self.events.len() <= KEPT_EVENTS
            && (self.length > self.events.len() as u64 || self.base == [0; 32]);
        if computed == self.head && complete {
            Ok(())
        } else {
            Err(BrokenChain)
        }
    }
}

fn link(previous: &[u8; 32], event: &Event) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(LABEL);
    hasher.update(previous);
    hasher.update(codec::encode(event));
    hasher.finalize().into()
}
