//! Views a picture: the view is charged exactly once, even if a client or a server crashes.

use lsb_core::envelope::{Envelope, Mode, UserName};
use lsb_core::seal::{self, ExchangeKey, LedgerShare, ReleaseContext};
use lsb_core::{ClusterId, FileName, Limits, ObjectId, RequestId, UnixSeconds};
use raft_core::Index;

use super::connection::Call;
use super::journal::Journal;
use super::keys::DeviceKey;
use super::protect::blocking;
use super::{Client, ClientError, now};
use crate::api::{ClusterInfo, Reason, ViewAnswer};
use crate::ledger::request::{AcknowledgeRequest, FirstViewRequest, Signed, ViewRequest};

/// How often a first view is signed anew because the servers were further than the client had been told.
const FRESH_ATTEMPTS: usize = 3;

/// How long a request is valid: well below the ledger's limit, so that clocks may differ by minutes.
const REQUEST_SECONDS: u64 = 300;

/// The outcome of a view, which has to be saved and then finished.
///
/// The journal keeps the view until [`Viewing::finish`]. Save the outcome before that, so that a crash in between loses
/// nothing.
#[must_use = "a view is over only when it is finished"]
#[derive(Debug)]
pub struct Viewing {
    /// The outcome.
    pub outcome: ViewOutcome,
    /// Whether this is the answer to a request of an earlier run of this program.
    pub resumed: bool,
    finish: Option<Unfinished>,
}

/// The outcome of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewOutcome {
    /// The view is charged, and this is the picture.
    Granted {
        /// For a sealed picture the original file's bytes; for a label the picture as it is.
        picture: Vec<u8>,
        /// The original's name, with the extension of its format. Its owner chose it: it is safe to create a file with,
        /// and an existing file may have it.
        name: Option<FileName>,
        /// The remaining views; `None` for views without limit.
        remaining: Option<u32>,
        /// Whether it is only a label, so that everyone can see the photograph.
        label: bool,
    },
    /// The view is refused, and this is the picture instead.
    Denied {
        /// The denied picture's exact bytes.
        picture: Vec<u8>,
        /// Why, for programs.
        reason: Reason,
        /// Why, for people.
        message: String,
    },
}

#[derive(Debug)]
struct Unfinished {
    journal: Journal,
    acknowledgement: Signed<AcknowledgeRequest>,
}

impl Viewing {
    /// Tells the cluster that the answer is saved, and removes the request from the journal.
    pub async fn finish(self, client: &Client) {
        let Some(Unfinished {
            journal,
            acknowledgement,
        }) = self.finish
        else {
            return;
        };
        let told = match serde_json::to_vec(&acknowledgement) {
            Ok(body) => {
                client
                    .cluster
                    .ask_raw(&Call::post("/v1/views/ack", "application/json", body))
                    .await
            }
            Err(error) => Err(ClientError::Request(error)),
        };
        if let Err(error) = told {
            // Without it the cluster keeps the answer for a day.
            tracing::debug!("the view could not be acknowledged: {error}");
        }
        journal.finish();
    }
}

impl Client {
    /// Views a protected picture as a user. The picture's integrity is checked before any server is asked.
    ///
    /// # Errors
    ///
    /// [`ClientError`]: the file is not a protected picture, damaged, tampered with or of another cluster; no leader. A
    /// refused view is no error but [`ViewOutcome::Denied`].
    pub async fn view(&self, file: Vec<u8>, user: &UserName) -> Result<Viewing, ClientError> {
        let envelope = self.decoder.extract(file.clone(), &Limits::DEFAULT).await?;
        envelope.verify_signature().map_err(lsb_core::Error::from)?;
        let info = self.cluster_info().await?;
        let (cluster, object) = (info.cluster, envelope.header().object);
        if envelope.header().cluster != cluster {
            return Err(ClientError::OtherCluster {
                picture: envelope.header().cluster,
                asked: cluster,
            });
        }
        let device = self.device(cluster, user)?;
        if let Some(journal) = Journal::resume(&self.keys, cluster, object, user) {
            let answer = self.ask_for_view(&journal, &device, &info).await?;
            let void = |reason| matches!(reason, Reason::RequestTooOld | Reason::AlreadyAcknowledged);
            match answer {
                // It was never charged, or it was acknowledged and only its record remained: this view is a new one.
                ViewAnswer::Denied { reason, .. } if void(reason) => journal.finish(),
                answer => {
                    return self
                        .conclude(file, envelope, &device, journal, answer, true)
                        .await;
                }
            }
        }
        let journal = self.begin_view(cluster, object, user, &device)?;
        let answer = self.ask_for_view(&journal, &device, &info).await?;
        self.conclude(file, envelope, &device, journal, answer, false)
            .await
    }

    /// Writes the request into the journal.
    fn begin_view(
        &self,
        cluster: ClusterId,
        object: ObjectId,
        user: &UserName,
        device: &DeviceKey,
    ) -> Result<Journal, ClientError> {
        let key = ExchangeKey::generate().map_err(lsb_core::Error::from)?;
        let mut id = [0; RequestId::LENGTH];
        getrandom::fill(&mut id).map_err(std::io::Error::from)?;
        let request = ViewRequest {
            cluster,
            object,
            user: user.clone(),
            device: device.key.public(),
            request: RequestId::from_bytes(id),
            reply_to: key.public(),
            expires: UnixSeconds(now().0.saturating_add(REQUEST_SECONDS)),
        };
        Ok(Journal::begin(
            &self.keys,
            Signed::sign(request, &device.key)?,
            key,
        )?)
    }

    /// Sends the request in the journal: for a user who is not known to be enrolled as their first view, which enrols
    /// them if it is granted.
    async fn ask_for_view(
        &self,
        journal: &Journal,
        device: &DeviceKey,
        info: &ClusterInfo,
    ) -> Result<ViewAnswer, ClientError> {
        let view = &journal.request.request;
        if self.is_enrolled(view.cluster, &view.user) {
            let body = serde_json::to_vec(&journal.request).map_err(ClientError::Request)?;
            let answer: ViewAnswer = self
                .cluster
                .ask(&Call::post("/v1/views", "application/json", body))
                .await?;
            let unknown = matches!(
                answer,
                ViewAnswer::Denied {
                    reason: Reason::UnknownDevice,
                    ..
                }
            );
            if !unknown {
                return Ok(answer);
            }
            // The cluster was founded anew since.
            self.note_enrolled(view.cluster, &view.user, false);
        }
        let (mut after, mut told) = (Index::new(info.position), info.time);
        let mut attempts = 1;
        loop {
            let request = FirstViewRequest {
                view: view.clone(),
                after,
                told,
            };
            let body =
                serde_json::to_vec(&Signed::sign(request, &device.key)?).map_err(ClientError::Request)?;
            let call = Call::post("/v1/views/first", "application/json", body);
            match self.cluster.ask::<ViewAnswer>(&call).await {
                // What we were told was stale: by now the leader is known, and is asked first.
                Err(ClientError::Refused(body))
                    if body.error.starts_with("MADE_") && attempts < FRESH_ATTEMPTS =>
                {
                    attempts += 1;
                    let info = self.cluster_info().await?;
                    (after, told) = (Index::new(info.position), info.time);
                }
                Ok(answer) => {
                    if matches!(answer, ViewAnswer::Granted { .. }) {
                        self.note_enrolled(view.cluster, &view.user, true);
                    }
                    return Ok(answer);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn conclude(
        &self,
        file: Vec<u8>,
        envelope: Envelope,
        device: &DeviceKey,
        journal: Journal,
        answer: ViewAnswer,
        resumed: bool,
    ) -> Result<Viewing, ClientError> {
        let ViewRequest {
            cluster,
            object,
            user,
            request,
            ..
        } = journal.request.request.clone();
        let acknowledgement = AcknowledgeRequest {
            cluster,
            user,
            device: device.key.public(),
            request,
        };
        let acknowledgement = Signed::sign(acknowledgement, &device.key)?;
        let (index, remaining, share) = match answer {
            ViewAnswer::Granted {
                index,
                remaining,
                share,
            } => (index, remaining, share),
            ViewAnswer::Denied { reason, message } => {
                let mut viewing = denied(&envelope, reason, message);
                viewing.resumed = resumed;
                viewing.finish = Some(Unfinished {
                    journal,
                    acknowledgement,
                });
                return Ok(viewing);
            }
        };
        let label = envelope.header().mode == Mode::Label;
        let (picture, name) = if label {
            (file, None)
        } else {
            let context = ReleaseContext {
                cluster,
                object,
                request,
                log_index: index,
            };
            let share = LedgerShare::open_for_viewer(&share, &journal.key, &context)
                .map_err(lsb_core::Error::from)?;
            let opened = blocking(move || seal::open(&envelope, &share)).await?;
            let opened = opened.map_err(lsb_core::Error::from)?;
            let name = opened.metadata.file_name();
            (opened.bytes, name)
        };
        let outcome = ViewOutcome::Granted {
            picture,
            name,
            remaining,
            label,
        };
        Ok(Viewing {
            outcome,
            resumed,
            finish: Some(Unfinished {
                journal,
                acknowledgement,
            }),
        })
    }
}

fn denied(envelope: &Envelope, reason: Reason, message: String) -> Viewing {
    let outcome = ViewOutcome::Denied {
        picture: envelope.denied_picture().to_vec(),
        reason,
        message,
    };
    Viewing {
        outcome,
        resumed: false,
        finish: None,
    }
}
