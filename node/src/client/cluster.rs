//! Finds the leader, and retries a request through a failover.
//!
//! Every request can be sent again, because the ledger recognises requests that it has seen. So the rule is simple: ask
//! the last known leader first, follow hints, try every server of the list, pause, and try again, until a server gives
//! a final answer or the patience ends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::StatusCode;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tokio_rustls::rustls::ClientConfig;

use super::ClientError;
use super::connection::{Call, CallError, Reply, call};
use crate::api::ErrorBody;
use crate::settings::Address;

/// The first pause between two passes over the list, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// How long to retry while no server answers at all: they may just be starting.
const SILENCE_PATIENCE: Duration = Duration::from_secs(5);

/// The servers of one cluster, with the last known leader.
pub(super) struct Cluster {
    servers: Vec<Address>,
    tls: Option<Arc<ClientConfig>>,
    insecure: bool,
    patience: Duration,
    leader: Mutex<Option<Address>>,
}

/// The meaning of one server's answer.
enum Verdict {
    /// It is the final answer.
    Final(Reply),
    /// Another server leads, perhaps this one.
    Elsewhere(Option<Address>),
    /// No server can answer at the moment.
    Later(ErrorBody),
    /// This server did not answer.
    Silent(CallError),
}

/// What the servers said before any of them gave a final answer.
#[derive(Default)]
struct Heard {
    refusal: Option<ErrorBody>,
    silence: Vec<(Address, String)>,
    any_answer: bool,
}

impl Cluster {
    pub(super) fn new(
        servers: Vec<Address>,
        tls: Option<Arc<ClientConfig>>,
        insecure: bool,
        patience: Duration,
    ) -> Self {
        Self {
            servers,
            tls,
            insecure,
            patience,
            leader: Mutex::new(None),
        }
    }

    pub(super) fn servers(&self) -> &[Address] {
        &self.servers
    }

    /// Asks until a server gives a final answer, and reads it as JSON.
    pub(super) async fn ask<T: DeserializeOwned>(&self, request: &Call) -> Result<T, ClientError> {
        let reply = self.ask_raw(request).await?;
        serde_json::from_slice(&reply.body).map_err(ClientError::Answer)
    }

    /// Asks until a server gives a final answer. A refusal is an error.
    pub(super) async fn ask_raw(&self, request: &Call) -> Result<Reply, ClientError> {
        let began = Instant::now();
        let deadline = began + self.patience;
        let (mut pause, longest_pause) = PAUSES;
        let mut heard = Heard::default();
        loop {
            if let Some(reply) = self.ask_each(request, deadline, &mut heard).await? {
                return accept(reply);
            }
            let patience = if heard.any_answer {
                self.patience
            } else {
                self.patience.min(SILENCE_PATIENCE)
            };
            // Half of each pause is random, so that many clients do not retry in step.
            let half = pause / 2;
            let randomized =
                half + half.mul_f64(f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX));
            if began.elapsed() + randomized >= patience {
                return Err(self.give_up(heard, began.elapsed()));
            }
            tokio::time::sleep(randomized).await;
            pause = (pause * 2).min(longest_pause);
        }
    }

    /// Asks one server once, whatever its role.
    pub(super) async fn ask_one<T: DeserializeOwned>(
        &self,
        address: &Address,
        request: &Call,
    ) -> Result<T, ClientError> {
        let reply = call(
            address,
            self.tls_for(address)?,
            request,
            Instant::now() + request.patience,
        )
        .await;
        let reply = reply.map_err(|error| ClientError::Unreachable {
            servers: error.to_string(),
            waited: request.patience,
        })?;
        serde_json::from_slice(&accept(reply)?.body).map_err(ClientError::Answer)
    }

    /// Asks every server once, servers that others name as leader first.
    async fn ask_each(
        &self,
        request: &Call,
        deadline: Instant,
        heard: &mut Heard,
    ) -> Result<Option<Reply>, ClientError> {
        let mut waiting: Vec<Address> = self.servers.iter().rev().cloned().collect();
        let known = self.known_leader();
        waiting.retain(|address| Some(address) != known.as_ref());
        waiting.extend(known);
        let mut asked: Vec<Address> = Vec::new();
        heard.silence.clear();
        while let Some(address) = waiting.pop() {
            asked.push(address.clone());
            let verdict = match call(&address, self.tls_for(&address)?, request, deadline).await {
                Ok(reply) => judge(reply),
                Err(error) => Verdict::Silent(error),
            };
            heard.any_answer |= !matches!(verdict, Verdict::Silent(_));
            match verdict {
                Verdict::Final(reply) => {
                    self.remember(Some(address));
                    return Ok(Some(reply));
                }
                Verdict::Elsewhere(hint) => {
                    self.remember(None);
                    if let Some(leader) = hint.filter(|leader| !asked.contains(leader)) {
                        waiting.retain(|other| *other != leader);
                        waiting.push(leader);
                    }
                }
                Verdict::Later(body) => heard.refusal = Some(body),
                Verdict::Silent(error) => {
                    self.remember(None);
                    heard.silence.push((address, error.to_string()));
                }
            }
        }
        Ok(None)
    }

    fn give_up(&self, heard: Heard, waited: Duration) -> ClientError {
        let silent = || {
            let lines = heard
                .silence
                .iter()
                .map(|(address, error)| format!("{address}: {error}"));
            lines.collect::<Vec<_>>().join("; ")
        };
        match heard.refusal {
            Some(body) if body.error != "NO_LEADER" && body.error != "TIMEOUT" => {
                ClientError::Refused(Box::new(body))
            }
            _ if heard.any_answer => ClientError::NoLeader {
                waited,
                answering: self.servers.len().saturating_sub(heard.silence.len()),
                listed: self.servers.len(),
            },
            _ => ClientError::Unreachable {
                servers: silent(),
                waited,
            },
        }
    }

    /// Returns how to encrypt. Loopback may be plain; anything else is encrypted unless the user said otherwise.
    fn tls_for(&self, address: &Address) -> Result<Option<&Arc<ClientConfig>>, ClientError> {
        match &self.tls {
            Some(tls) => Ok(Some(tls)),
            None if self.insecure || address.is_loopback() => Ok(None),
            None => Err(ClientError::AuthorityMissing {
                address: address.clone(),
            }),
        }
    }

    fn known_leader(&self) -> Option<Address> {
        self.leader.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, leader: Option<Address>) {
        *self.leader.lock().unwrap_or_else(PoisonError::into_inner) = leader;
    }
}

fn judge(reply: Reply) -> Verdict {
    match reply.status {
        StatusCode::MISDIRECTED_REQUEST => {
            let hint = error_body(&reply)
                .leader
                .and_then(|leader| leader.address?.parse().ok());
            Verdict::Elsewhere(hint)
        }
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Verdict::Later(error_body(&reply)),
        _ => Verdict::Final(reply),
    }
}

fn accept(reply: Reply) -> Result<Reply, ClientError> {
    if reply.status.is_success() {
        Ok(reply)
    } else {
        Err(ClientError::Refused(Box::new(error_body(&reply))))
    }
}

/// Returns the error that a server reports, or one made from the status if its body cannot be parsed.
fn error_body(reply: &Reply) -> ErrorBody {
    serde_json::from_slice(&reply.body).unwrap_or_else(|_| ErrorBody {
        error: "UNEXPECTED".into(),
        message: format!("the server answered {}", reply.status),
        limit: None,
        hint: Some("check that servers.conf lists servers of this program".into()),
        leader: None,
    })
}
