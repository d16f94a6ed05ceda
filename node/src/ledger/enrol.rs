//! Genesis and enrolment: the cluster's constants, and the keys of names.

use raft_core::Index;

use super::audit::EventKind;
use super::command::{Genesis, Outcome, Refusal};
use super::request::EnrolRequest;
use super::state::{MOST_USERS, State, User};

/// Fixes the cluster's constants. Every leader proposes them again, so that a server with other constants is detected.
pub(super) fn begin(state: &mut State, index: Index, genesis: Genesis) -> Result<Outcome, Refusal> {
    match state.genesis {
        None => {
            state.genesis = Some(genesis);
            state.record(index, EventKind::Begun(genesis));
            Ok(Outcome::Begun)
        }
        Some(fixed) if fixed.cluster != genesis.cluster => Err(Refusal::OtherCluster {
            found: genesis.cluster,
            expected: fixed.cluster,
        }),
        Some(fixed) if fixed.denied_picture_hash != genesis.denied_picture_hash => {
            Err(Refusal::OtherDeniedPicture)
        }
        Some(_) => Ok(Outcome::Begun),
    }
}

/// Binds a name to the first key that asks for it, for good.
pub(super) fn enrol(state: &mut State, index: Index, request: EnrolRequest) -> Result<Outcome, Refusal> {
    if let Some(known) = state.users.get(&request.user) {
        return if known.key == request.key {
            Ok(Outcome::Enrolled { already: true })
        } else {
            Err(Refusal::NameTaken)
        };
    }
    if state.users.len() >= MOST_USERS {
        return Err(Refusal::Full {
            what: "users",
            limit: MOST_USERS,
        });
    }
    let EnrolRequest {
        user,
        key,
        cluster: _,
    } = request;
    state.users.insert(user.clone(), User { key, enrolled: index });
    state.record(index, EventKind::Enrolled { user, key });
    Ok(Outcome::Enrolled { already: false })
}
