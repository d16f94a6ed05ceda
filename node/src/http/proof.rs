//! Who is enrolled, and what an enrolled device has signed.
//!
//! Anyone can sign with a key that they have just drawn. So a signature counts only together with the ledger: a request
//! of a device that is not enrolled is answered here, and never gets into the log.

use axum::http::{HeaderMap, StatusCode};
use lsb_core::PublicKey;
use lsb_core::envelope::UserName;

use super::callers::Caller;
use super::error::ApiError;
use super::limits::InProgress;
use super::turned_away::Limit;
use super::{App, now};
use crate::api::UPLOAD_HEADER;
use crate::ledger::request::{Signed, UploadRequest};
use crate::ledger::{Answer, Query};

/// How far ahead an upload's header may expire. With the server's and not the ledger's clock: it only guards memory.
const LONGEST_UPLOAD_SECONDS: u64 = 3600;

impl App {
    /// Whether the key is the user's device, as far as this server has applied the log. Names never change hands, so it
    /// can be wrong only where it says no.
    pub(super) async fn is_known(&self, user: &UserName, device: &PublicKey) -> Result<bool, ApiError> {
        let peeked = self.0.handle.peek(Query::Device(user.clone())).await;
        let answer = peeked.map_err(|failure| ApiError::from_failure(self, failure))?;
        Ok(matches!(answer, Answer::Device(Some(key)) if key == *device))
    }

    /// The same, linearizably. Only strangers cost a round to a majority.
    pub(super) async fn is_enrolled(&self, user: &UserName, device: &PublicKey) -> Result<bool, ApiError> {
        if self.is_known(user, device).await? {
            return Ok(true);
        }
        self.0.gate.stranger()?;
        let answer = self.read(Query::Device(user.clone())).await?;
        Ok(matches!(answer, Answer::Device(Some(key)) if key == *device))
    }

    /// Counts a request for the enrolled device that has signed it.
    pub(super) fn proved(&self, caller: &Caller, device: &PublicKey) -> Result<InProgress, ApiError> {
        caller.prove();
        self.0.gate.proved(caller.source(), device)?;
        self.0.devices.enter(*device)
    }

    /// Verifies the header of an upload: an enrolled device has signed it, for a body of this length.
    pub(super) async fn signed_upload(
        &self,
        headers: &HeaderMap,
        announced: Option<usize>,
    ) -> Result<UploadRequest, ApiError> {
        let unsigned = |message: &str| {
            ApiError::new(StatusCode::UNAUTHORIZED, "UNSIGNED_UPLOAD", message)
                .hint("use a client of the same version as the servers; it signs its uploads")
                .turned_away(Limit::Unsigned)
        };
        let header = headers.get(UPLOAD_HEADER).ok_or_else(|| {
            unsigned(
                "an upload of this size needs the header `upload-request`, signed by a device of its owner",
            )
        })?;
        let signed: Signed<UploadRequest> = serde_json::from_slice(header.as_bytes())
            .map_err(|error| unsigned(&format!("the header `upload-request` is malformed: {error}")))?;
        signed
            .verify(self.0.key.cluster_id())
            .map_err(ApiError::from_request)?;
        let request = signed.request;
        if announced.map(|bytes| bytes as u64) != Some(request.bytes) {
            return Err(unsigned(
                "the header `upload-request` is for a body of another length",
            ));
        }
        let now = now().0;
        if request.expires.0 <= now || request.expires.0 > now.saturating_add(LONGEST_UPLOAD_SECONDS) {
            return Err(unsigned(&format!(
                "the header `upload-request` expires at {}, and by the clock of this server it is {now} (seconds since 1970): it may be \
                 valid for {LONGEST_UPLOAD_SECONDS} s",
                request.expires
            )));
        }
        if !self.is_enrolled(&request.owner, &request.device).await? {
            return Err(unsigned(
                "the device that signed the header `upload-request` is not the owner's",
            ));
        }
        Ok(request)
    }
}
