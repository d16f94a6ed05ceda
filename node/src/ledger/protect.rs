//! Registers an object.

use lsb_core::PolicyVersion;
use raft_core::Index;

use super::audit::EventKind;
use super::command::{Outcome, Refusal, Registration};
use super::state::{GrantAccount, MOST_OBJECTS, Object, State};

/// Registers an object, once. The same registration again changes nothing and returns the place of the first one.
///
/// [`Policy`](lsb_core::envelope::Policy) itself guarantees that a policy holds no user twice and no more grants than
/// it may: this was checked when the command was decoded.
pub(super) fn protect(
    state: &mut State,
    index: Index,
    registration: Registration,
) -> Result<Outcome, Refusal> {
    let policy = &registration.policy;
    if !state.is_device(policy.owner(), policy.owner_key()) {
        return Err(Refusal::UnknownOwner);
    }
    let object = Object {
        owner: policy.owner().clone(),
        policy_version: PolicyVersion::FIRST,
        policy_hash: policy.hash(),
        manifest_hash: registration.manifest_hash,
        share: registration.share,
        protected: index,
        grants: policy
            .grants()
            .iter()
            .map(|grant| (grant.user.clone(), GrantAccount::new(grant)))
            .collect(),
    };
    if let Some(known) = state.objects.get(&registration.object) {
        // Views that were charged meanwhile do not make a difference; the share is wrapped the same way each time.
        let same = known.owner == object.owner
            && known.policy_hash == object.policy_hash
            && known.manifest_hash == object.manifest_hash
            && known.share == object.share;
        return if same {
            Ok(Outcome::Protected {
                index: known.protected,
                already: true,
            })
        } else {
            Err(Refusal::ObjectTaken)
        };
    }
    if state.objects.len() >= MOST_OBJECTS {
        return Err(Refusal::Full {
            what: "objects",
            limit: MOST_OBJECTS,
        });
    }
    let event = EventKind::Protected {
        object: registration.object,
        owner: object.owner.clone(),
        policy: object.policy_hash,
    };
    state.objects.insert(registration.object, object);
    state.record(index, event);
    Ok(Outcome::Protected {
        index,
        already: false,
    })
}
