//! Names and device keys.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};

use super::body::Small;
use super::callers::Caller;
use super::error::ApiError;
use super::{App, mismatched};
use crate::api::Enrolled;
use crate::ledger::request::{EnrolRequest, Signed};
use crate::ledger::{Action, Answer, Outcome, Query, Refusal};

/// Binds a name to a key, for good. Only a name that is free, linearizably, costs a place in the log.
pub(super) async fn enrol(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    Small(signed): Small<Signed<EnrolRequest>>,
) -> Result<Json<Enrolled>, ApiError> {
    signed
        .verify(app.0.key.cluster_id())
        .map_err(ApiError::from_request)?;
    let EnrolRequest { user, key, .. } = &signed.request;
    if app.is_enrolled(user, key).await? {
        let _under_way = app.proved(&caller, key)?;
        return Ok(Json(Enrolled { already: true }));
    }
    match app.read(Query::Device(user.clone())).await? {
        Answer::Device(None) => app.0.gate.name(caller.source())?,
        _ => return Err(ApiError::from_refusal(Refusal::NameTaken)),
    }
    match app.commit(Action::Enrol(signed)).await? {
        Outcome::Enrolled { already } => Ok(Json(Enrolled { already })),
        other => Err(mismatched(&other)),
    }
}
