//! The interface of the shell for the rest of the program: send a request, and receive its answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lsb_core::UnixSeconds;
use raft_core::{Halted, Index, NodeId, Payload, Rejection, Vitals};
use tokio::sync::{mpsc, oneshot, watch};

use super::progress::Progress;
use crate::ledger::{Answer, Ledger, Outcome, Query};

/// A client's request to the replica.
pub(super) enum ClientRequest {
    /// A command in the log, if this server's own state, which may be stale, fulfils the condition.
    Propose {
        command: Payload,
        condition: Option<Condition>,
        answer: oneshot::Sender<Result<Outcome, RequestFailure>>,
    },
    /// A linearizable read.
    Read {
        query: Query,
        answer: oneshot::Sender<Result<Answer, RequestFailure>>,
    },
    /// A read of this server's own state, which may be stale.
    Peek {
        query: Query,
        answer: oneshot::Sender<Result<Answer, RequestFailure>>,
    },
}

/// What a command needs in order to be proposed.
pub(crate) type Condition = Box<dyn FnOnce(&Ledger) -> bool + Send>;

/// Why a request has no answer. Every command can be sent again: the ledger recognises a repetition.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestFailure {
    /// The core rejected it, and it has no effect.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// Leadership changed meanwhile: the request may have taken effect or not.
    #[error("the leadership changed while the request was in progress")]
    Interrupted,
    /// The shell has too many requests waiting.
    #[error("too many requests are waiting ({limit}); try again in a moment")]
    Full {
        /// The most requests that may wait.
        limit: usize,
    },
    /// No quorum answered in time: the request may have taken effect or not.
    #[error("no majority of the servers answered within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The state does not fulfil the command's condition, and nothing was proposed.
    #[error("the command's condition is not fulfilled")]
    NotAdmitted,
    /// The server is stopping.
    #[error("this server is stopping")]
    Stopping,
}

/// The most requests that wait for the shell. The core has its own, larger limit for those that it has accepted.
pub(super) const WAITING_REQUESTS: usize = 4096;

/// Sends requests to the shell, and sees what it publishes.
#[derive(Clone)]
pub(crate) struct Handle {
    pub(super) requests: mpsc::Sender<ClientRequest>,
    pub(super) standing: watch::Receiver<Standing>,
    pub(super) patience: Duration,
    pub(super) progress: Arc<Progress>,
}

impl Handle {
    /// Replicates a command, and returns the ledger's outcome when it was applied here.
    pub(crate) async fn propose(&self, command: Payload) -> Result<Outcome, RequestFailure> {
        let condition = None;
        self.ask(|answer| ClientRequest::Propose {
            command,
            condition,
            answer,
        })
        .await
    }

    /// The same, if the state that this server has applied fulfils the condition. The condition may find less than is
    /// committed, and never more.
    pub(crate) async fn propose_if(
        &self,
        condition: Condition,
        command: Payload,
    ) -> Result<Outcome, RequestFailure> {
        let condition = Some(condition);
        self.ask(|answer| ClientRequest::Propose {
            command,
            condition,
            answer,
        })
        .await
    }

    /// Queries the state that this server has applied, which may be stale.
    pub(crate) async fn peek(&self, query: Query) -> Result<Answer, RequestFailure> {
        self.ask(|answer| ClientRequest::Peek { query, answer }).await
    }

    /// Queries the ledger, linearizably.
    pub(crate) async fn read(&self, query: Query) -> Result<Answer, RequestFailure> {
        self.ask(|answer| ClientRequest::Read { query, answer }).await
    }

    /// Returns what this server has been waiting for too long, if anything.
    pub(crate) fn stalled(&self) -> Option<String> {
        self.progress.stalled(self.patience)
    }

    /// Returns the state that the server last published.
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

/// The state that a server publishes after every turn of the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Role, term, leader and positions.
    pub(crate) vitals: Vitals,
    /// The known names and addresses of the other servers.
    pub(crate) directory: Arc<BTreeMap<NodeId, Contact>>,
    /// How many of them have an open link.
    pub(crate) linked: usize,
    /// The ledger's time after the last position that was applied.
    pub(crate) ledger_time: UnixSeconds,
    /// The hash of the denied picture that the ledger has fixed, once it has.
    pub(crate) denied_picture: Option<[u8; 32]>,
    /// Whether the server is fenced because its data folder was replaced.
    pub(crate) fenced: bool,
    /// Whether the server was told that its data folder went back to an old copy, or that a second copy speaks.
    pub(crate) silenced: bool,
    /// Where the server has halted, because its program does not understand what a newer one has proposed.
    pub(crate) halted: Option<Halted>,
    /// Why the disk failed, if it did.
    pub(crate) disk_failure: Option<Arc<str>>,
}

/// The name and address of another server, from its greeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contact {
    /// Its name.
    pub(crate) server_id: String,
    /// Where it serves clients.
    pub(crate) address: String,
}

/// What an operator has to know of a server that keeps silent.
pub(crate) const SILENCED: &str = "this server keeps silent: its data folder was put back from an older copy, or a second \
    copy of it runs, so it may have forgotten what it promised. The other servers continue without it. Stop it, remove it \
    from the cluster, empty its data folder, and add it again";

impl Standing {
    /// Whether this server can serve: it is a healthy member and knows a leader.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_healthy() && self.vitals.leader.is_some() && self.denied_picture.is_some()
    }

    /// Whether nothing is wrong that only an operator can repair.
    pub(crate) fn is_healthy(&self) -> bool {
        let speaks = !self.fenced && !self.silenced && self.halted.is_none();
        self.disk_failure.is_none() && speaks
    }

    /// Returns a position as a number, 0 for none; for display only.
    pub(crate) fn position(index: Option<Index>) -> u64 {
        index.map_or(0, Index::value)
    }
}
