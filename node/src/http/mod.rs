//! The HTTP interface for clients.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/cluster` | the cluster's id and keys ([`ClusterInfo`](crate::api::ClusterInfo)) |
//! | `GET /v1/unified-image` | the picture that people without permission see |
//! | `GET /v1/status` | role, term and positions ([`ServerStatus`](crate::api::ServerStatus)) |
//! | `GET /healthz` | 200 unless an operator must act |
//! | `GET /readyz` | 200 when requests can be served |
//! | `POST /v1/users` | binds a name to a device key |
//! | `POST /v1/objects` | registers a picture's policy and key share, and returns the picture that carries them |
//! | `POST /v1/objects/query` | returns to the owner what is left of a picture's grants |
//! | `POST /v1/views` | charges a view, and releases the key share for it |
//! | `POST /v1/views/first` | the same for a user who may not be enrolled: a granted view enrols its user |
//! | `POST /v1/views/ack` | forgets the stored outcome of a view |
//!
//! # Strangers
//!
//! Anyone may send anything. What a request costs before an enrolled device has proved to be its author is limited: a
//! place that it loses to a newcomer (`callers`), the rates of its address (`limits`), a small body (`body`), and time
//! for each phase (`listener`, `body`, `patience`). `SECURITY.md` has a table of it.
//!
//! # Errors
//!
//! Every error response carries an [`ErrorBody`](crate::api::ErrorBody). Commands go through the leader: another server
//! answers 421 with `NOT_LEADER:<id>` and the leader's address, or 503 with `NO_LEADER`.

mod body;
mod callers;
mod error;
mod limits;
mod listener;
mod objects;
mod patience;
mod proof;
mod status;
mod turned_away;
mod users;
mod views;

pub(crate) use listener::serve;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use lsb_core::UnixSeconds;
use raft_core::{NodeId, RoleName};

use self::body::MemoryBudget;
use self::callers::Caller;
use self::error::ApiError;
use self::limits::{Gate, PerDevice};
use self::turned_away::{Limit, TurnedAway};
use crate::api::Leader;
use crate::cluster_key::ClusterKey;
use crate::decoding::Decoder;
use crate::ledger::{Action, Answer, Command, Outcome, Query, encode_command};
use crate::server::{Condition, Handle, RequestFailure, SILENCED, Standing, UnifiedImage};
use crate::settings::ServerSettings;

/// The memory that one upload takes while it is processed, as a multiple of its size: the body, its envelope, the
/// picture's samples (eight bits carry three) and the file they are written to.
const MEMORY_FACTOR: usize = 10;

/// The memory for all uploads in progress; one of the largest always fits.
const MEMORY_BYTES: usize = 512 << 20;

/// What an upload may hold beside the envelope: its first line.
const HEAD_LIMIT_BYTES: usize = 256 << 10;

/// The state that all requests share.
#[derive(Clone)]
pub(crate) struct App(Arc<Inner>);

struct Inner {
    server_id: String,
    address: String,
    node: NodeId,
    key: ClusterKey,
    image: UnifiedImage,
    handle: Handle,
    decoder: Decoder,
    upload_limit_bytes: usize,
    memory: MemoryBudget,
    processors: tokio::sync::Semaphore,
    devices: PerDevice,
    gate: Gate,
    turned_away: Arc<TurnedAway>,
}

impl App {
    /// Makes the shared state.
    pub(crate) fn new(
        settings: &ServerSettings,
        node: NodeId,
        key: ClusterKey,
        image: UnifiedImage,
        handle: Handle,
        decoder: Decoder,
    ) -> Self {
        let memory = MEMORY_BYTES.max(settings.upload_limit_bytes.saturating_mul(MEMORY_FACTOR));
        let processors = processors();
        Self(Arc::new(Inner {
            server_id: settings.server_id.clone(),
            address: settings.address.to_string(),
            node,
            key,
            image,
            handle,
            decoder: decoder.at_most(processors),
            upload_limit_bytes: settings.upload_limit_bytes,
            memory: MemoryBudget::of_bytes(memory),
            processors: tokio::sync::Semaphore::new(processors),
            devices: PerDevice::default(),
            gate: Gate::new(&settings.limits),
            turned_away: Arc::default(),
        }))
    }

    /// Returns the routes.
    fn router(self) -> Router {
        Router::new()
            .route("/v1/cluster", get(status::cluster))
            .route("/v1/unified-image", get(status::unified_image))
            .route("/v1/status", get(status::status))
            .route("/v1/users", post(users::enrol))
            .route("/v1/objects", post(objects::protect))
            .route("/v1/objects/query", post(objects::query))
            .route("/v1/views", post(views::view))
            .route("/v1/views/first", post(views::first_view))
            .route("/v1/views/ack", post(views::acknowledge))
            .route("/healthz", get(status::healthy))
            .route("/readyz", get(status::ready))
            .fallback(unknown)
            .method_not_allowed_fallback(unknown)
            .layer(from_fn_with_state(self.clone(), admit))
            .with_state(self)
    }

    fn standing(&self) -> Standing {
        self.0.handle.standing()
    }

    /// Returns the leader that this server knows.
    fn leader(&self) -> Option<Leader> {
        let standing = self.standing();
        let leader = standing.vitals.leader?;
        let contact = standing.directory.get(&leader);
        Some(Leader {
            server_id: contact.map_or_else(|| node_name(leader), |contact| contact.server_id.clone()),
            address: contact.map(|contact| contact.address.clone()),
        })
    }

    /// Rejects at once, before anything is read, what only the leader can do.
    fn require_leadership(&self) -> Result<(), ApiError> {
        let standing = self.standing();
        if let Some(trouble) = trouble(&standing) {
            return Err(
                ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "OUT_OF_SERVICE", trouble)
                    .hint("ask another server"),
            );
        }
        if standing.vitals.role == RoleName::Leader {
            Ok(())
        } else {
            Err(ApiError::not_leader(self))
        }
    }

    /// Rejects requests for pictures if this server's unified image is not the cluster's.
    fn require_same_picture(&self) -> Result<(), ApiError> {
        match self.standing().denied_picture {
            Some(agreed) if agreed != self.0.image.hash() => Err(ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "OTHER_UNIFIED_IMAGE",
                format!(
                    "{} of {} is not the one that this cluster was founded with",
                    self.0.image.name(),
                    self.0.server_id
                ),
            )
            .hint("give all servers the same unified_image.png and restart them")),
            _ => Ok(()),
        }
    }

    /// Replicates an action, stamped with this server's time.
    async fn commit(&self, action: Action) -> Result<Outcome, ApiError> {
        let command = encode_command(&Command { time: now(), action });
        match self.0.handle.propose(command).await {
            Ok(Outcome::Refused(refusal)) => Err(ApiError::from_refusal(refusal)),
            Ok(outcome) => Ok(outcome),
            Err(failure) => Err(ApiError::from_failure(self, failure)),
        }
    }

    /// The same, if this server's own state fulfils the condition; `None` if it does not, and nothing was proposed.
    async fn commit_if(&self, condition: Condition, action: Action) -> Result<Option<Outcome>, ApiError> {
        let command = encode_command(&Command { time: now(), action });
        match self.0.handle.propose_if(condition, command).await {
            Ok(Outcome::Refused(refusal)) => Err(ApiError::from_refusal(refusal)),
            Ok(outcome) => Ok(Some(outcome)),
            Err(RequestFailure::NotAdmitted) => Ok(None),
            Err(failure) => Err(ApiError::from_failure(self, failure)),
        }
    }

    /// Queries the ledger, linearizably and without a log entry.
    async fn read(&self, query: Query) -> Result<Answer, ApiError> {
        let answer = self.0.handle.read(query).await;
        answer.map_err(|failure| ApiError::from_failure(self, failure))
    }

    /// Does work that keeps a processor busy, without delaying requests or consensus.
    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let stopped =
            || ApiError::internal("a picture could not be processed: this server is stopping, or has a bug");
        let _processor = self.0.processors.acquire().await.map_err(|_| stopped())?;
        tokio::task::spawn_blocking(work).await.map_err(|_| stopped())
    }
}

/// Returns how many pictures are processed at a time. One processor is left for consensus, which must never wait for a
/// picture.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, |count| count.get().saturating_sub(1).max(1))
}

/// Counts every request against the rate of its address, before anything of it is read or verified, and every response
/// that turns a request away.
async fn admit(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    request: Request,
    next: Next,
) -> Response {
    let response = match app.0.gate.arrived(caller.source(), request.method()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    if let Some(limit) = response.extensions().get::<Limit>() {
        app.0.turned_away.count(*limit);
    }
    response
}

/// Returns the reading of this server's clock.
fn now() -> UnixSeconds {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    // A clock before 1970 counts as 0; the ledger's time never runs backwards.
    UnixSeconds(since.map_or(0, |since| since.as_secs()))
}

/// Answers a client when the ledger's outcome belongs to another kind of command, which is our own bug.
fn mismatched(outcome: &impl std::fmt::Debug) -> ApiError {
    tracing::error!("the ledger gave an answer of another kind: {outcome:?}");
    ApiError::internal("the ledger gave an answer of the wrong kind")
}

/// Returns a placeholder for the name of a server whose name is not known here.
fn node_name(node: NodeId) -> String {
    format!("{:016x}", node.value())
}

/// Returns what an operator has to repair, if anything.
fn trouble(standing: &Standing) -> Option<String> {
    if let Some(failure) = &standing.disk_failure {
        return Some(format!(
            "the disk failed, and this server takes no part until it is restarted: {failure}"
        ));
    }
    if standing.silenced {
        return Some(SILENCED.into());
    }
    if let Some(halted) = standing.halted {
        return Some(halted.to_string());
    }
    standing.fenced.then(|| {
        "this server is fenced: the cluster has bound it to another data folder, which was lost or replaced; restore that folder and restart".into()
    })
}

async fn unknown() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "NOT_FOUND",
        "no resource has this path and method",
    )
}
