//! Charges a view exactly once, even if its request is sent twice.
//!
//! The checks are made in this order. A device that is not the user's learns nothing. A request that was answered
//! before gets the same answer, however old it is. A request that is too old, or valid for too long, is denied. Then
//! the grant decides. Every answer to an enrolled device is kept, denials too: a client that was denied a view must not
//! be charged later because the network repeated its request.

use lsb_core::UnixSeconds;
use raft_core::Index;
use sha2::{Digest, Sha256};

use super::audit::EventKind;
use super::command::{Denial, GrantedView, Outcome};
use super::outcomes::OUTCOME_LIFETIME_SECONDS;
use super::request::{AcknowledgeRequest, LONGEST_REQUEST_SECONDS, Request, ViewRequest};
use super::state::{OutcomeKey, OutcomeRecord, State, StoredOutcome};

/// Decides about a view and charges it.
pub(super) fn view(state: &mut State, index: Index, request: &ViewRequest) -> Outcome {
    if !state.is_device(&request.user, &request.device) && !planted!(ANY_DEVICE) {
        return Outcome::Denied(Denial::UnknownDevice);
    }
    let too_old = Outcome::Denied(Denial::RequestTooOld {
        expired: request.expires,
        now: state.now,
    });
    if planted!(AGE_BEFORE_OUTCOME) && request.expires <= state.now {
        return too_old;
    }
    let key = (request.user.clone(), request.request);
    let content: [u8; 32] = Sha256::digest(request.message()).into();
    if let Some(record) = state.outcomes.get(&key).filter(|_| !planted!(CHARGES_REPEATS)) {
        let outcome = if record.content == content || planted!(ANY_CONTENT) {
            record.outcome
        } else {
            StoredOutcome::Denied(Denial::RequestReused)
        };
        return answer(state, request, outcome, true);
    }
    if request.expires <= state.now {
        // Not kept: time only advances, so the answer stays the same by itself.
        return too_old;
    }
    if let Some(limit) = state.outcomes.limit_reached(&request.user) {
        return Outcome::Denied(Denial::TooManyOutcomes { limit });
    }
    let outcome = match charge(state, index, request) {
        Ok(granted) => granted,
        Err(denial) => StoredOutcome::Denied(denial),
    };
    if !(planted!(FORGETS_DENIALS) && matches!(outcome, StoredOutcome::Denied(_))) {
        keep(state, key, content, request.expires, outcome);
    }
    answer(state, request, outcome, false)
}

fn charge(state: &mut State, index: Index, request: &ViewRequest) -> Result<StoredOutcome, Denial> {
    let now = state.now;
    if request.expires.0 > now.0.saturating_add(LONGEST_REQUEST_SECONDS) {
        return Err(Denial::RequestTooLong {
            expires: request.expires,
            now,
        });
    }
    // One answer for both, so that strangers cannot find out which objects exist.
    let account = state
        .objects
        .get_mut(&request.object)
        .and_then(|object| object.grants.get_mut(&request.user));
    let account = account.ok_or(Denial::NotListed)?;
    let checked = account.check(now).map(|()| {
        account.charged = account.charged.saturating_add(1);
        account.remaining()
    });
    let (object, user, id) = (request.object, request.user.clone(), request.request);
    match checked {
        Ok(remaining) => {
            state.record(
                index,
                EventKind::Viewed {
                    object,
                    user,
                    request: id,
                    remaining,
                },
            );
            Ok(StoredOutcome::Granted {
                object,
                index,
                remaining,
                reply_to: request.reply_to,
            })
        }
        Err(reason) => {
            state.record(
                index,
                EventKind::Denied {
                    object,
                    user,
                    request: id,
                    reason,
                },
            );
            Err(reason)
        }
    }
}

fn keep(state: &mut State, key: OutcomeKey, content: [u8; 32], expires: UnixSeconds, outcome: StoredOutcome) {
    let forget = UnixSeconds(state.now.0.saturating_add(OUTCOME_LIFETIME_SECONDS));
    state.outcomes.insert(
        key,
        OutcomeRecord {
            content,
            outcome,
            expires,
            forget,
        },
    );
}

fn answer(state: &State, request: &ViewRequest, outcome: StoredOutcome, repeated: bool) -> Outcome {
    match outcome {
        StoredOutcome::Granted {
            object,
            index,
            remaining,
            reply_to,
        } => match state.objects.get(&object) {
            Some(known) => Outcome::Granted(GrantedView {
                object,
                request: request.request,
                index,
                remaining,
                share: known.share,
                reply_to,
                repeated,
            }),
            None => Outcome::Denied(Denial::NotListed),
        },
        StoredOutcome::Denied(denial) => Outcome::Denied(denial),
        StoredOutcome::Acknowledged => Outcome::Denied(Denial::AlreadyAcknowledged),
    }
}

/// Forgets an outcome. No failure is possible that its viewer would have to know about.
pub(super) fn acknowledge(state: &mut State, request: &AcknowledgeRequest) -> Outcome {
    if !state.is_device(&request.user, &request.device) {
        return Outcome::Denied(Denial::UnknownDevice);
    }
    state
        .outcomes
        .acknowledge(&(request.user.clone(), request.request));
    Outcome::Acknowledged
}
