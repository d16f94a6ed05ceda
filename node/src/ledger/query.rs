//! Queries, which change nothing.

use lsb_core::envelope::{UserName, Views};
use lsb_core::{ObjectId, PolicyHash, PolicyVersion, PublicKey, UnixSeconds};
use raft_core::Index;

use super::audit::Event;
use super::command::{Denial, Genesis};
use super::first_view;
use super::request::FirstViewRequest;
use super::state::{Object, State};

/// A query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// The key of a user's device.
    Device(UserName),
    /// Everything about an object that its owner may know.
    Object(ObjectId),
    /// Whether a first view would be denied at this time of a leader's clock.
    FirstView(Box<FirstViewRequest>, UnixSeconds),
    /// A summary of the ledger.
    Overview,
    /// The latest audit events, at most so many.
    Audit {
        /// The most events.
        most: usize,
    },
}

/// The answer to the [`Query`] of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `None` if the name is not enrolled.
    Device(Option<PublicKey>),
    /// `None` if there is no such object.
    Object(Option<ObjectFacts>),
    /// Why it would be denied; `None` if it is one to propose.
    FirstView(Option<Denial>),
    /// A summary of the ledger.
    Overview(Overview),
    /// In the order in which they happened.
    Audit(Vec<Event>),
}

/// The facts about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectFacts {
    /// Its owner.
    pub owner: UserName,
    /// The version of its policy.
    pub policy_version: PolicyVersion,
    /// Its policy.
    pub policy_hash: PolicyHash,
    /// The SHA-256 of its envelope's manifest.
    pub manifest_hash: [u8; 32],
    /// Where in the log it was registered.
    pub protected: Index,
    /// Who may view it, in the order of names.
    pub grants: Vec<GrantFacts>,
}

/// The facts about a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantFacts {
    /// The user that it is for.
    pub user: UserName,
    /// How many views in total.
    pub views: Views,
    /// How many are left.
    pub remaining: Views,
    /// How many were charged.
    pub charged: u64,
    /// The first moment it is valid.
    pub not_before: Option<UnixSeconds>,
    /// The first moment at which it is no longer valid.
    pub expires: Option<UnixSeconds>,
    /// Whether the name is not enrolled yet.
    pub pending: bool,
}

/// A summary of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overview {
    /// The cluster's constants, once they are fixed.
    pub genesis: Option<Genesis>,
    /// The ledger's time.
    pub now: UnixSeconds,
    /// How many users are enrolled.
    pub users: usize,
    /// How many objects are registered.
    pub objects: usize,
    /// How many outcomes are kept.
    pub outcomes: usize,
    /// How many audit events there ever were.
    pub events: u64,
    /// The hash of the last one.
    pub audit_head: [u8; 32],
}

pub(super) fn answer(state: &State, query: Query) -> Answer {
    match query {
        Query::Device(user) => Answer::Device(state.users.get(&user).map(|known| known.key)),
        Query::Object(object) => Answer::Object(state.objects.get(&object).map(|known| facts(state, known))),
        Query::FirstView(request, clock) => {
            let now = state.now.max(clock);
            Answer::FirstView(first_view::decide(state, now, &request).err())
        }
        Query::Overview => Answer::Overview(Overview {
            genesis: state.genesis,
            now: state.now,
            users: state.users.len(),
            objects: state.objects.len(),
            outcomes: state.outcomes.len(),
            events: state.audit.length(),
            audit_head: state.audit.head(),
        }),
        Query::Audit { most } => {
            let mut events: Vec<Event> = state.audit.events().rev().take(most).cloned().collect();
            events.reverse();
            Answer::Audit(events)
        }
    }
}

fn facts(state: &State, object: &Object) -> ObjectFacts {
    let grants = object.grants.iter().map(|(user, account)| GrantFacts {
        user: user.clone(),
        views: account.views,
        remaining: account.remaining(),
        charged: account.charged,
        not_before: account.not_before,
        expires: account.expires,
        pending: !state.users.contains_key(user),
    });
    ObjectFacts {
        owner: object.owner.clone(),
        policy_version: object.policy_version,
        policy_hash: object.policy_hash,
        manifest_hash: object.manifest_hash,
        protected: object.protected,
        grants: grants.collect(),
    }
}
