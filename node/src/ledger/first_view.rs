//! The first view of a user who is not enrolled: enrolment and view in one command, both or neither.
//!
//! A grant may be for a name that nobody has enrolled yet. Its first view binds the name to the key that signed it, and
//! only if the view is granted: a view that fails enrols nobody, and leaves nothing behind.
//!
//! # Why a refusal that is not kept is final
//!
//! Denials of strangers are not kept, so the same request may come again, when it would be granted. A client that was
//! told "denied" must not be charged then. So a first view says when it was made: which position of the log, and which
//! time, its client had been told. A grant that came later, or that was not valid yet at that time, does not count for
//! it. The other reasons for a denial last: an exhausted or expired grant stays so, and a name never changes hands.
//! A request that claims a position or a time that is not reached yet is neither granted nor denied.

use lsb_core::UnixSeconds;
use raft_core::Index;

use super::audit::EventKind;
use super::command::{Denial, Outcome, Refusal};
use super::request::{FirstViewRequest, LONGEST_REQUEST_SECONDS};
use super::state::{MOST_USERS, State, User};
use super::view;

/// Decides about a first view, enrols its user, and charges it.
pub(super) fn first_view(
    state: &mut State,
    index: Index,
    request: &FirstViewRequest,
) -> Result<Outcome, Refusal> {
    if request.after >= Some(index) {
        let now = state.now;
        return Ok(Outcome::Denied(Denial::MadeAhead { now }));
    }
    if let Err(denial) = decide(state, state.now, request) {
        return Ok(Outcome::Denied(denial));
    }
    let (user, key) = (request.view.user.clone(), request.view.device);
    if !state.users.contains_key(&user) {
        if state.users.len() >= MOST_USERS {
            return Err(Refusal::Full {
                what: "users",
                limit: MOST_USERS,
            });
        }
        let enrolled = index;
        state.users.insert(user.clone(), User { key, enrolled });
        state.record(index, EventKind::Enrolled { user, key });
    }
    Ok(view::view(state, index, &request.view))
}

/// Decides at this time whether the view is one for the rules of [`view::view`]: one of an enrolled user who is listed,
/// or one that will be granted. Changes nothing.
pub(super) fn decide(state: &State, now: UnixSeconds, request: &FirstViewRequest) -> Result<(), Denial> {
    let FirstViewRequest { view, after, told } = request;
    if *told > now {
        return Err(Denial::MadeAhead { now });
    }
    let known = state.users.get(&view.user);
    if known.is_some_and(|known| known.key != view.device) {
        return Err(Denial::UnknownDevice);
    }
    let was_answered = state.outcomes.get(&(view.user.clone(), view.request)).is_some();
    if known.is_some() && was_answered {
        return Ok(());
    }
    // One answer for both, so that strangers cannot find out which objects exist.
    let object = state.objects.get(&view.object).ok_or(Denial::NotListed)?;
    let account = object.grants.get(&view.user).ok_or(Denial::NotListed)?;
    if *after < Some(object.protected) {
        return Err(Denial::MadeBefore);
    }
    // By the time that the client was told, and not by its own clock or by the present time: both checks give the same
    // answer whenever the request comes again.
    let begun = account.not_before.filter(|&from| *told < from && from <= now);
    if let Some(from) = begun {
        return Err(Denial::NotYet { from });
    }
    if known.is_some() {
        return Ok(());
    }
    if view.expires.0 > told.0.saturating_add(LONGEST_REQUEST_SECONDS) {
        return Err(Denial::RequestTooLong {
            expires: view.expires,
            now: *told,
        });
    }
    if view.expires <= now {
        return Err(Denial::RequestTooOld {
            expired: view.expires,
            now,
        });
    }
    if let Some(limit) = state.outcomes.limit_reached(&view.user) {
        return Err(Denial::TooManyOutcomes { limit });
    }
    account.check(now)
}
