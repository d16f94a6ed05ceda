//! Names and device keys.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;

use super::error::ApiError;
use super::{App, mismatched};
use crate::api::Enrolled;
use crate::ledger::request::{EnrolRequest, Signed};
use crate::ledger::{Action, Answer, Outcome, Query};

/// Binds a name to a key, for good.
pub(super) async fn enrol(
    State(app): State<App>,
    body: Result<Json<Signed<EnrolRequest>>, JsonRejection>,
) -> Result<Json<Enrolled>, ApiError> {
    let Json(signed) = body.map_err(ApiError::from_json)?;
    app.require_leadership()?;
    signed
        .verify(app.0.key.cluster_id())
        .map_err(ApiError::from_request)?;
    // Clients enrol before everything they do, so that they need not remember what a cluster knows. A query first keeps
    // all but the first enrolment out of the log.
    let request = &signed.request;
    match app.read(Query::Device(request.user.clone())).await? {
        Answer::Device(Some(key)) if key == request.key => return Ok(Json(Enrolled { already: true })),
        _ => app.0.enrolments.take("new names")?,
    }
    match app.commit(Action::Enrol(signed)).await? {
        Outcome::Enrolled { already } => Ok(Json(Enrolled { already })),
        other => Err(mismatched(&other)),
    }
}
