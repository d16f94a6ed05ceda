//! How the rest of the program talks to the shell: ask, and be answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use raft_core::{Index, NodeId, Payload, Rejection, Vitals};
use tokio::sync::{mpsc, oneshot, watch};

use crate::ledger::{Answer, Outcome, Query};

/// Something a client wants of the replica.
pub(super) enum ClientRequest {
    /// A command in the log.
    Propose {
        command: Payload,
        answer: oneshot::Sender<Result<Outcome, RequestFailure>>,
    },
    /// A linearizable answer.
    Read {
        query: Query,
        answer: oneshot::Sender<Result<Answer, RequestFailure>>,
    },
}

/// Why a request has no answer. Every command can be sent again: the ledger recognises what it has seen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestFailure {
    /// The core turned it down; nothing of it happened.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// Leadership changed on the way: it may have happened or not.
    #[error("the leadership changed while the request was under way")]
    Interrupted,
    /// The shell has too many requests waiting.
    #[error("too many requests are waiting ({limit}); try again in a moment")]
    Full {
        /// How many may wait.
        limit: usize,
    },
    /// No quorum answered in time: it may have happened or not.
    #[error("no majority of the servers answered within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The server is stopping.
    #[error("this server is stopping")]
    Stopping,
}

/// Requests that wait for the shell. The core has its own, larger limit for what it has taken in.
pub(super) const WAITING_REQUESTS: usize = 4096;

/// The way to the shell, and a view of what it publishes.
#[derive(Clone)]
pub(crate) struct Handle {
    pub(super) requests: mpsc::Sender<ClientRequest>,
    pub(super) standing: watch::Receiver<Standing>,
    pub(super) patience: Duration,
}

impl Handle {
    /// Puts a command through the log, and returns what the ledger said when it was applied here.
    pub(crate) async fn propose(&self, command: Payload) -> Result<Outcome, RequestFailure> {
        self.ask(|answer| ClientRequest::Propose { command, answer })
            .await
    }

    /// Asks the ledger, linearizably.
    pub(crate) async fn read(&self, query: Query) -> Result<Answer, RequestFailure> {
        self.ask(|answer| ClientRequest::Read { query, answer }).await
    }

    /// What the server last said about itself.
    pub(crate) fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, RequestFailure>>) -> ClientRequest,
    ) -> Result<T, RequestFailure> {
        let (answer, answered) = oneshot::channel();
        self.requests
            .try_send(request(answer))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => RequestFailure::Full {
                    limit: WAITING_REQUESTS,
                },
                mpsc::error::TrySendError::Closed(_) => RequestFailure::Stopping,
            })?;
        match tokio::time::timeout(self.patience, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(RequestFailure::Stopping),
            Err(_) => Err(RequestFailure::Timeout(self.patience)),
        }
    }
}

/// What a server publishes about itself after every turn of the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Role, term, leader and positions.
    pub(crate) vitals: Vitals,
    /// What is known of the other servers.
    pub(crate) directory: Arc<BTreeMap<NodeId, Contact>>,
    /// Whether a link to each of them is open.
    pub(crate) linked: usize,
    /// The hash of the denied picture that the ledger has fixed, once it has.
    pub(crate) denied_picture: Option<[u8; 32]>,
    /// Whether the cluster knows this server by another data folder.
    pub(crate) fenced: bool,
    /// Why the disk failed, if it did.
    pub(crate) disk_failure: Option<Arc<str>>,
}

/// Where another server is, from its greeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contact {
    /// Its name.
    pub(crate) server_id: String,
    /// Where it serves clients.
    pub(crate) address: String,
}

impl Standing {
    /// Whether this server can serve: it is a member in good health and knows a leader.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_healthy() && self.vitals.leader.is_some() && self.denied_picture.is_some()
    }

    /// Whether nothing is wrong that only an operator can mend.
    pub(crate) fn is_healthy(&self) -> bool {
        self.disk_failure.is_none() && !self.fenced
    }

    /// A position as a number, 0 for none: for display only.
    pub(crate) fn position(index: Option<Index>) -> u64 {
        index.map_or(0, Index::value)
    }
}
