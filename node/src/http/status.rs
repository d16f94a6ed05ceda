//! The state of a server and its cluster.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use raft_core::RoleName;

use super::error::ApiError;
use super::{App, node_name, trouble};
use crate::api::{ClusterInfo, Role, ServerStatus};
use crate::server::Standing;

pub(super) async fn cluster(State(app): State<App>) -> Json<ClusterInfo> {
    let standing = app.standing();
    Json(ClusterInfo {
        cluster: app.0.key.cluster_id(),
        exchange_key: app.0.key.exchange_key().public(),
        receipt_key: app.0.key.receipt_key().public(),
        unified_image: HEXLOWER.encode(&app.0.image.hash()),
        upload_limit_bytes: app.0.upload_limit_bytes as u64,
        position: Standing::position(standing.vitals.applied),
        time: standing.ledger_time,
    })
}

/// Returns this server's picture, unless the cluster was founded with another one.
pub(super) async fn unified_image(State(app): State<App>) -> Result<Response, ApiError> {
    app.require_same_picture()?;
    let bytes = axum::body::Bytes::from_owner(std::sync::Arc::clone(app.0.image.bytes()));
    Ok(([(header::CONTENT_TYPE, "image/png")], bytes).into_response())
}

pub(super) async fn status(State(app): State<App>) -> Json<ServerStatus> {
    let standing = app.standing();
    let vitals = standing.vitals;
    Json(ServerStatus {
        server_id: app.0.server_id.clone(),
        address: app.0.address.clone(),
        node: node_name(app.0.node),
        cluster: app.0.key.cluster_id(),
        role: match vitals.role {
            RoleName::Leader => Role::Leader,
            RoleName::Candidate | RoleName::PreCandidate => Role::Candidate,
            RoleName::Follower | RoleName::Joining => Role::Follower,
        },
        term: vitals.term.value(),
        commit: Standing::position(vitals.commit),
        applied: Standing::position(vitals.applied),
        leader: app.leader(),
        ready: standing.is_ready(),
        linked: standing.linked,
        trouble: trouble(&standing)
            .or_else(|| app.0.handle.stalled())
            .or_else(|| app.require_same_picture().err().map(|error| error.message())),
        turned_away: app.0.turned_away.totals(),
    })
}

/// Fails only when an operator must act. A server that turns requests away is healthy, and says so: to restart it would
/// help those who attack it.
pub(super) async fn healthy(State(app): State<App>) -> Result<String, ApiError> {
    if let Some(trouble) = trouble(&app.standing()) {
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "OUT_OF_SERVICE",
            trouble,
        ));
    }
    Ok(match app.0.turned_away.recent() {
        None => "ok\n".to_owned(),
        Some(recent) => format!("ok, but turned away in the last two minutes: {recent}\n"),
    })
}

/// Succeeds while the server can serve, judged by its progress.
pub(super) async fn ready(State(app): State<App>) -> Result<&'static str, ApiError> {
    let standing = app.standing();
    let stalled = app.0.handle.stalled();
    if standing.is_ready() && stalled.is_none() {
        return Ok("ready\n");
    }
    let reason = trouble(&standing)
        .or(stalled)
        .unwrap_or_else(|| "No leader elected yet".into());
    Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "NOT_READY", reason).retry_after(1))
}
