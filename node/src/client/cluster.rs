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
use super::connection::{Call, CallError, Connections, Reply};
use crate::api::ErrorBody;
use crate::settings::Address;

/// The first pause between two passes over the list, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// How long to retry while no server answers at all: they may just be starting.
const SILENCE_PATIENCE: Duration = Duration::from_secs(5);

/// The servers of one cluster, with the last known leader.
pub(super) struct Cluster {
    servers: Vec<Address>,
    connections: Connections,
    encrypted: bool,
    insecure: bool,
    patience: Duration,
    leader: Mutex<Option<Address>>,
    /// Servers that kept us waiting and have not answered since. They are asked last.
    late: Mutex<Vec<Address>>,
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
    /// What each server said, in the order in which they were asked last.
    said: Vec<(Address, String)>,
    /// How many of them said nothing.
    silent: usize,
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
            encrypted: tls.is_some(),
            connections: Connections::new(tls),
            insecure,
            patience,
            leader: Mutex::new(None),
            late: Mutex::default(),
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
        let encrypted = self.is_encrypted(address)?;
        let deadline = Instant::now() + request.patience;
        let reply = self.connections.call(address, encrypted, request, deadline).await;
        let reply = reply.map_err(|error| ClientError::Unreachable {
            servers: error.to_string(),
            waited: request.patience,
        })?;
        serde_json::from_slice(&accept(reply)?.body).map_err(ClientError::Answer)
    }

    /// Asks every server once: first the last known leader, servers that others name as leader as soon as they are
    /// named, and last those that kept us waiting before.
    async fn ask_each(
        &self,
        request: &Call,
        deadline: Instant,
        heard: &mut Heard,
    ) -> Result<Option<Reply>, ClientError> {
        let known = self.known_leader();
        let late = self.late.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut waiting: Vec<Address> = self.servers.iter().rev().cloned().collect();
        // Stable: among equals, the order of the list counts. The last one is asked first.
        waiting.sort_by_key(|address| (!late.contains(address), Some(address) == known.as_ref()));
        let mut asked: Vec<Address> = Vec::new();
        heard.said.clear();
        heard.silent = 0;
        while let Some(address) = waiting.pop() {
            asked.push(address.clone());
            let encrypted = self.is_encrypted(&address)?;
            let reply = self
                .connections
                .call(&address, encrypted, request, deadline)
                .await;
            self.note_late(&address, reply.as_ref().is_err_and(CallError::is_late));
            let verdict = reply.map_or_else(Verdict::Silent, judge);
            heard.any_answer |= !matches!(verdict, Verdict::Silent(_));
            let said = match verdict {
                Verdict::Final(reply) => {
                    self.remember(Some(address));
                    return Ok(Some(reply));
                }
                Verdict::Elsewhere(hint) => {
                    self.remember(None);
                    let said = match &hint {
                        Some(leader) => format!("{leader} leads"),
                        None => "another server leads".to_owned(),
                    };
                    if let Some(leader) = hint.filter(|leader| !asked.contains(leader)) {
                        waiting.retain(|other| *other != leader);
                        // The others may not know yet that their leader is frozen.
                        let place = if late.contains(&leader) { 0 } else { waiting.len() };
                        waiting.insert(place, leader);
                    }
                    said
                }
                Verdict::Later(body) => {
                    let said = body.message.clone();
                    heard.refusal = Some(body);
                    said
                }
                Verdict::Silent(error) => {
                    self.remember(None);
                    heard.silent += 1;
                    error.to_string()
                }
            };
            heard.said.push((address, said));
        }
        Ok(None)
    }

    fn give_up(&self, heard: Heard, waited: Duration) -> ClientError {
        let lines = heard
            .said
            .iter()
            .map(|(address, said)| format!("{address}: {said}"));
        let servers = lines.collect::<Vec<_>>().join("; ");
        match heard.refusal {
            Some(mut body) if body.error != "NO_LEADER" && body.error != "TIMEOUT" => {
                body.message = format!("{} (asked {servers})", body.message);
                ClientError::Refused(Box::new(body))
            }
            _ if heard.any_answer => ClientError::NoLeader {
                waited,
                answering: self.servers.len().saturating_sub(heard.silent),
                listed: self.servers.len(),
                servers,
            },
            _ => ClientError::Unreachable { servers, waited },
        }
    }

    /// Whether to encrypt. Loopback may be plain; anything else is encrypted unless the user said otherwise.
    fn is_encrypted(&self, address: &Address) -> Result<bool, ClientError> {
        if self.encrypted || self.insecure || address.is_loopback() {
            return Ok(self.encrypted);
        }
        Err(ClientError::AuthorityMissing {
            address: address.clone(),
        })
    }

    fn note_late(&self, address: &Address, is_late: bool) {
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        late.retain(|other| other != address);
        if is_late {
            late.push(address.clone());
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
