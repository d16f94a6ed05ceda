//! Error responses: a status for HTTP, a code for programs, a sentence for people.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use raft_core::Rejection;

use super::App;
use super::turned_away::Limit;
use crate::api::ErrorBody;
use crate::ledger::Refusal;
use crate::ledger::request::RequestError;
use crate::server::RequestFailure;

/// Why a request fails.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    retry_after_seconds: Option<u32>,
    turned_away: Option<Limit>,
    // Boxed, because every function here returns one and almost none ever does.
    body: Box<ErrorBody>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: impl Into<String>, message: impl Into<String>) -> Self {
        let body = ErrorBody {
            error: code.into(),
            message: message.into(),
            limit: None,
            hint: None,
            leader: None,
        };
        Self {
            status,
            retry_after_seconds: None,
            turned_away: None,
            body: Box::new(body),
        }
    }

    /// The request is malformed.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", message)
    }

    /// This server has a bug.
    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", message)
    }

    /// Too many requests are in progress.
    pub(super) fn busy(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "BUSY", message).retry_after(1)
    }

    /// Too many of something were sent.
    pub(super) fn too_many(limit: Limit, message: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS", message)
            .retry_after(1)
            .turned_away(limit)
    }

    /// Counts the request among those that were turned away at a limit.
    pub(super) fn turned_away(mut self, limit: Limit) -> Self {
        self.turned_away = Some(limit);
        self
    }

    /// Returns the status.
    #[cfg(test)]
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the message for people.
    pub(super) fn message(self) -> String {
        self.body.message
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.body.hint = Some(hint.into());
        self
    }

    pub(super) fn limit(mut self, limit: u64) -> Self {
        self.body.limit = Some(limit);
        self
    }

    pub(super) fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// Converts a failure of the shell into a response.
    pub(super) fn from_failure(app: &App, failure: RequestFailure) -> Self {
        let unavailable = |code: &str, message: String| {
            Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message).retry_after(1)
        };
        match failure {
            RequestFailure::Rejected(Rejection::NotLeader { .. }) => Self::not_leader(app),
            RequestFailure::Rejected(
                rejection @ (Rejection::Transferring { .. } | Rejection::NotATarget { .. }),
            ) => unavailable("TRANSFERRING", rejection.to_string()),
            RequestFailure::Rejected(Rejection::TooLarge { size, limit }) => {
                let message = format!("the request has {size} bytes; the limit is {limit}");
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", message).limit(limit as u64)
            }
            RequestFailure::Rejected(rejection @ Rejection::Halted(_)) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "HALTED", rejection.to_string())
                    .hint("ask another server")
            }
            RequestFailure::Rejected(rejection @ Rejection::Failed) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "DISK_FAILED",
                rejection.to_string(),
            )
            .hint("ask another server"),
            failure @ (RequestFailure::Rejected(Rejection::Busy { .. }) | RequestFailure::Full { .. }) => {
                Self::busy(failure.to_string())
            }
            failure @ RequestFailure::Interrupted => unavailable("INTERRUPTED", failure.to_string())
                .hint("send the same request again; it is recognised if it was carried out already"),
            failure @ RequestFailure::Timeout(_) => unavailable("TIMEOUT", failure.to_string())
                .hint("check that a majority of the servers runs, then send the same request again"),
            // Callers that set a condition handle it.
            failure @ RequestFailure::NotAdmitted => Self::internal(failure.to_string()),
            failure @ RequestFailure::Stopping => unavailable("STOPPING", failure.to_string()),
        }
    }

    /// The ledger refused a command.
    pub(super) fn from_refusal(refusal: Refusal) -> Self {
        let (status, code, hint) = match refusal {
            Refusal::NotBegun => return Self::busy(refusal.to_string()),
            Refusal::NotACommand => (StatusCode::INTERNAL_SERVER_ERROR, "NOT_A_COMMAND", None),
            Refusal::OtherCluster { .. } => (StatusCode::CONFLICT, "OTHER_CLUSTER", None),
            Refusal::OtherDeniedPicture => (StatusCode::SERVICE_UNAVAILABLE, "OTHER_UNIFIED_IMAGE", None),
            Refusal::NameTaken => (
                StatusCode::CONFLICT,
                "NAME_TAKEN",
                Some(
                    "use the machine on which the name was first used, or its device key; or choose another name",
                ),
            ),
            Refusal::UnknownOwner => (StatusCode::FORBIDDEN, "UNKNOWN_OWNER", None),
            Refusal::ObjectTaken => (StatusCode::CONFLICT, "OBJECT_TAKEN", None),
            Refusal::Full { .. } => (StatusCode::INSUFFICIENT_STORAGE, "FULL", None),
        };
        let error = Self::new(status, code, refusal.to_string());
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    /// A signed request is not what it claims to be.
    pub(super) fn from_request(error: RequestError) -> Self {
        let (status, code) = match error {
            RequestError::OtherCluster { .. } => (StatusCode::CONFLICT, "OTHER_CLUSTER"),
            RequestError::OtherKey { .. } | RequestError::Signature => {
                (StatusCode::FORBIDDEN, "BAD_SIGNATURE")
            }
        };
        Self::new(status, code, error.to_string())
    }

    /// Another server leads, or no leader is known.
    pub(super) fn not_leader(app: &App) -> Self {
        match app.leader() {
            Some(leader) => {
                let code = format!("NOT_LEADER:{}", leader.server_id);
                let message = format!(
                    "this server is not the leader of the cluster; {} is",
                    leader.server_id
                );
                let mut error = Self::new(StatusCode::MISDIRECTED_REQUEST, code, message);
                error.body.leader = Some(leader);
                error
            }
            None => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "NO_LEADER",
                "No leader elected yet",
            )
            .hint("wait until an election is over, and check that a majority of the servers runs")
            .retry_after(1),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if let Some(seconds) = self.retry_after_seconds {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(limit) = self.turned_away {
            response.extensions_mut().insert(limit);
        }
        response
    }
}
