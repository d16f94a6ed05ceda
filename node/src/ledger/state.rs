//! The ledger's state.

use std::collections::BTreeMap;

use lsb_core::envelope::{Grant, UserName, Views};
use lsb_core::seal::ExchangePublicKey;
use lsb_core::{ObjectId, PolicyHash, PolicyVersion, PublicKey, RequestId, UnixSeconds};
use raft_core::Index;
use serde::{Deserialize, Serialize};

use super::audit::{AuditChain, Event, EventKind};
use super::command::{Denial, Genesis};
use super::outcomes::Outcomes;
use crate::cluster_key::WrappedShare;

/// The most users.
pub const MOST_USERS: usize = 100_000;
/// The most objects.
pub const MOST_OBJECTS: usize = 1_000_000;

/// The state. Its maps are ordered, so that equal states have equal bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// The highest time that any command carried.
    pub(super) now: UnixSeconds,
    pub(super) genesis: Option<Genesis>,
    pub(super) users: BTreeMap<UserName, User>,
    pub(super) objects: BTreeMap<ObjectId, Object>,
    pub(super) outcomes: Outcomes,
    pub(super) audit: AuditChain,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct User {
    pub(super) key: PublicKey,
    pub(super) enrolled: Index,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Object {
    pub(super) owner: UserName,
    pub(super) policy_version: PolicyVersion,
    pub(super) policy_hash: PolicyHash,
    pub(super) manifest_hash: [u8; 32],
    pub(super) share: WrappedShare,
    pub(super) protected: Index,
    /// Grants belong to names. A grant to a name that is not enrolled yet is pending. It binds to the first key that
    /// enrols the name, because a name never changes hands.
    pub(super) grants: BTreeMap<UserName, GrantAccount>,
}

/// A grant and what was charged to it. Grants are totals, so that what remains is their difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GrantAccount {
    pub(super) views: Views,
    pub(super) charged: u64,
    pub(super) not_before: Option<UnixSeconds>,
    pub(super) expires: Option<UnixSeconds>,
}

impl GrantAccount {
    pub(super) fn new(grant: &Grant) -> Self {
        Self {
            views: grant.views,
            charged: 0,
            not_before: grant.not_before,
            expires: grant.expires,
        }
    }

    pub(super) fn remaining(&self) -> Views {
        match self.views {
            Views::Total(total) => {
                Views::Total(u32::try_from(u64::from(total).saturating_sub(self.charged)).unwrap_or(0))
            }
            Views::Unlimited => Views::Unlimited,
        }
    }

    /// Whether a view may be charged at this time.
    pub(super) fn check(&self, now: UnixSeconds) -> Result<(), Denial> {
        if let Some(from) = self.not_before.filter(|&from| now < from) {
            return Err(Denial::NotYet { from });
        }
        if let Some(since) = self.expires.filter(|&since| now >= since) {
            return Err(Denial::Expired { since });
        }
        match self.views {
            Views::Total(total)
                if self.charged >= u64::from(total) + u64::from(planted!(GRANTS_ONE_MORE)) =>
            {
                Err(Denial::Exhausted { total })
            }
            _ => Ok(()),
        }
    }
}

/// The outcome of a view, as long as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum StoredOutcome {
    Granted {
        object: ObjectId,
        index: Index,
        remaining: Views,
        reply_to: ExchangePublicKey,
    },
    Denied(Denial),
    /// Answered and acknowledged; kept until the request is too old to be repeated.
    Acknowledged,
}

impl Default for State {
    fn default() -> Self {
        Self {
            now: UnixSeconds(0),
            genesis: None,
            users: BTreeMap::new(),
            objects: BTreeMap::new(),
            outcomes: Outcomes::default(),
            audit: AuditChain::default(),
        }
    }
}

impl State {
    /// Advances time, and never sets it back.
    pub(super) fn advance(&mut self, time: UnixSeconds) {
        self.now = if planted!(LEDGER_TIME_GOES_BACK) {
            time
        } else {
            self.now.max(time)
        };
        self.outcomes.forget_until(self.now);
    }

    /// Whether the key is a device of the user.
    pub(super) fn is_device(&self, user: &UserName, key: &PublicKey) -> bool {
        self.users.get(user).is_some_and(|known| known.key == *key)
    }

    pub(super) fn record(&mut self, index: Index, kind: EventKind) {
        let time = self.now;
        self.audit.record(Event { index, time, kind });
    }
}

/// The outcome of a request and the request that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OutcomeRecord {
    /// The SHA-256 of the request's contents.
    pub(super) content: [u8; 32],
    pub(super) outcome: StoredOutcome,
    /// When the request expires.
    pub(super) expires: UnixSeconds,
    /// When the record is removed.
    pub(super) forget: UnixSeconds,
}

/// The key by which outcomes are found.
pub(super) type OutcomeKey = (UserName, RequestId);
