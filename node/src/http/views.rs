//! Charges views and releases key shares.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use lsb_core::envelope::Views;
use lsb_core::seal::ReleaseContext;

use super::body::Small;
use super::callers::Caller;
use super::error::ApiError;
use super::{App, mismatched};
use crate::api::{Reason, ViewAnswer};
use crate::ledger::request::{AcknowledgeRequest, FirstViewRequest, Signed, ViewRequest};
use crate::ledger::{Action, Answer, Denial, GrantedView, Ledger, Outcome, Query};

/// Charges a view. The share is released only after the charge was applied at its place in the log, by a leader with a
/// quorum. A deposed leader never releases a share for an entry that was not committed.
///
/// A device that is not enrolled is denied here. A user who is enrolled and not listed is denied by the ledger, which
/// keeps the denial, so that the request is not charged when it comes again after a grant; but only so many of them.
pub(super) async fn view(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    Small(signed): Small<Signed<ViewRequest>>,
) -> Result<Json<ViewAnswer>, ApiError> {
    signed
        .verify(app.0.key.cluster_id())
        .map_err(ApiError::from_request)?;
    let request = signed.request.clone();
    if !app.is_enrolled(&request.user, &request.device).await? {
        return deny(Denial::UnknownDevice).map(Json);
    }
    let _under_way = app.proved(&caller, &request.device)?;
    let listed = request.clone();
    let condition = Box::new(move |ledger: &Ledger| ledger.lists(&listed));
    let outcome = match app.commit_if(condition, Action::View(signed.clone())).await? {
        Some(outcome) => outcome,
        None => {
            app.0.gate.denial(&request.device)?;
            app.commit(Action::View(signed)).await?
        }
    };
    conclude(&app, &request, outcome)
}

/// Charges the view of a user who may not be enrolled yet. Only a view that would be granted, linearizably, or one that
/// the ledger has to record costs a place in the log.
pub(super) async fn first_view(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    Small(signed): Small<Signed<FirstViewRequest>>,
) -> Result<Json<ViewAnswer>, ApiError> {
    signed
        .verify(app.0.key.cluster_id())
        .map_err(ApiError::from_request)?;
    let request = signed.request.clone();
    let view = request.view.clone();
    let listed = view.clone();
    let condition = Box::new(move |ledger: &Ledger| ledger.lists(&listed));
    // Counted before it is proposed and not after: a listed user is limited like any other.
    let mut under_way = None;
    if app.is_known(&view.user, &view.device).await? {
        under_way = Some(app.proved(&caller, &view.device)?);
        let outcome = app
            .commit_if(condition, Action::FirstView(signed.clone()))
            .await?;
        if let Some(outcome) = outcome {
            return conclude(&app, &view, outcome);
        }
    }
    app.0.gate.stranger()?;
    let query = Query::FirstView(Box::new(request.clone()), super::now());
    match app.read(query).await? {
        Answer::FirstView(Some(denial)) => return conclude(&app, &view, Outcome::Denied(denial)),
        Answer::FirstView(None) => {}
        other => return Err(mismatched(&other)),
    }
    let standing = app.standing();
    if request.after > standing.vitals.applied {
        let now = standing.ledger_time;
        return conclude(&app, &view, Outcome::Denied(Denial::MadeAhead { now }));
    }
    if under_way.is_none() {
        app.0.gate.name(caller.source())?;
    }
    let outcome = app.commit(Action::FirstView(signed)).await?;
    conclude(&app, &view, outcome)
}

/// Answers a view, and leaves a line for operators: the fields stay the same, and none of them is a secret.
fn conclude(app: &App, request: &ViewRequest, outcome: Outcome) -> Result<Json<ViewAnswer>, ApiError> {
    let ViewRequest { object, user, .. } = request;
    match outcome {
        Outcome::Granted(granted) => {
            let GrantedView {
                index,
                remaining,
                repeated,
                ..
            } = &granted;
            tracing::info!(%object, %user, %index, %remaining, repeated, "view granted");
            release(app, &granted).map(Json)
        }
        Outcome::Denied(denial) => {
            // Only those who are listed: strangers are counted, and must not cost a line each.
            if matches!(
                denial,
                Denial::Exhausted { .. } | Denial::Expired { .. } | Denial::NotYet { .. }
            ) {
                tracing::info!(%object, %user, reason = %denial, "view denied");
            }
            deny(denial).map(Json)
        }
        other => Err(mismatched(&other)),
    }
}

/// Seals the ledger's share to a key that only the client has.
fn release(app: &App, granted: &GrantedView) -> Result<ViewAnswer, ApiError> {
    let key = &app.0.key;
    let internal = |error: &dyn std::fmt::Display| {
        tracing::error!("cannot release the share of {}: {error}", granted.object);
        ApiError::internal(
            "the key share of this picture cannot be released; the view is charged, and a repetition is not charged again",
        )
    };
    let share = key
        .unwrap_share(granted.object, &granted.share)
        .map_err(|error| internal(&error))?;
    let context = ReleaseContext {
        cluster: key.cluster_id(),
        object: granted.object,
        request: granted.request,
        log_index: granted.index.value(),
    };
    let share = share
        .seal_for_viewer(&granted.reply_to, &context)
        .map_err(|error| internal(&error))?;
    let remaining = match granted.remaining {
        Views::Total(views) => Some(views),
        Views::Unlimited => None,
    };
    Ok(ViewAnswer::Granted {
        index: granted.index.value(),
        remaining,
        share,
    })
}

fn deny(denial: Denial) -> Result<ViewAnswer, ApiError> {
    let reason = match denial {
        Denial::UnknownDevice => Reason::UnknownDevice,
        Denial::NotListed => Reason::NotListed,
        Denial::Exhausted { .. } => Reason::Exhausted,
        Denial::Expired { .. } => Reason::Expired,
        Denial::NotYet { .. } => Reason::NotYet,
        Denial::RequestTooOld { .. } => Reason::RequestTooOld,
        Denial::RequestTooLong { .. } => Reason::RequestTooLong,
        Denial::RequestReused => Reason::RequestReused,
        Denial::AlreadyAcknowledged => Reason::AlreadyAcknowledged,
        // The ledger recorded no decision: the same request may come again.
        Denial::TooManyOutcomes { limit } => {
            let error = ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "TOO_MANY_OUTCOMES",
                denial.to_string(),
            );
            return Err(error.limit(limit as u64).retry_after(5));
        }
        // The client can make a request that is decided.
        Denial::MadeBefore => {
            return Err(ApiError::new(
                StatusCode::CONFLICT,
                "MADE_BEFORE",
                denial.to_string(),
            ));
        }
        Denial::MadeAhead { .. } => {
            return Err(ApiError::new(
                StatusCode::CONFLICT,
                "MADE_AHEAD",
                denial.to_string(),
            ));
        }
    };
    Ok(ViewAnswer::Denied {
        reason,
        message: denial.to_string(),
    })
}

/// Forgets the stored outcome of a view, which the client has received.
pub(super) async fn acknowledge(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    Small(signed): Small<Signed<AcknowledgeRequest>>,
) -> Result<StatusCode, ApiError> {
    signed
        .verify(app.0.key.cluster_id())
        .map_err(ApiError::from_request)?;
    let request = &signed.request;
    // A device that is not the user's has nothing to forget, and learns nothing.
    if !app.is_enrolled(&request.user, &request.device).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    let _under_way = app.proved(&caller, &request.device)?;
    match app.commit(Action::Acknowledge(signed)).await? {
        Outcome::Acknowledged | Outcome::Denied(_) => Ok(StatusCode::NO_CONTENT),
        other => Err(mismatched(&other)),
    }
}
