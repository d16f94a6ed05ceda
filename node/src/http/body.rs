//! Reads what a client sends, within limits of size, memory and time.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::error::ApiError;

/// How long a client may send nothing before its request is ended.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take to send everything.
const BODY_TIMEOUT: Duration = Duration::from_secs(120);

/// How long a request waits for memory before its client is told to come back later.
const MEMORY_PATIENCE: Duration = Duration::from_secs(3);

/// The unit in which memory is granted.
const MEMORY_UNIT_BYTES: usize = 64 << 10;

/// Memory for uploads, granted before their first byte is read.
#[derive(Clone)]
pub(super) struct MemoryBudget {
    units: Arc<Semaphore>,
}

impl MemoryBudget {
    pub(super) fn of_bytes(bytes: usize) -> Self {
        Self {
            units: Arc::new(Semaphore::new(bytes.div_ceil(MEMORY_UNIT_BYTES))),
        }
    }

    /// Waits a little for so much memory.
    pub(super) async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        let units = u32::try_from(bytes.div_ceil(MEMORY_UNIT_BYTES)).unwrap_or(u32::MAX);
        match timeout(MEMORY_PATIENCE, Arc::clone(&self.units).acquire_many_owned(units)).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(
                ApiError::busy("this server is processing as many pictures as its memory allows")
                    .retry_after(2),
            ),
        }
    }
}

/// Returns the number of bytes that the client announces, at most `limit`; `limit` if it announces none.
pub(super) fn announced_bytes(headers: &HeaderMap, limit: usize) -> Result<usize, ApiError> {
    let Some(length) = headers.get(header::CONTENT_LENGTH) else {
        return Ok(limit);
    };
    let length: Option<usize> = length.to_str().ok().and_then(|length| length.parse().ok());
    match length {
        Some(length) if length <= limit => Ok(length),
        Some(length) => Err(too_large(format!("{length} bytes"), limit)),
        None => Err(ApiError::bad_request("the Content-Length is not a number")),
    }
}

/// Reads a whole body.
pub(super) async fn read(body: Body, limit: usize) -> Result<Vec<u8>, ApiError> {
    match timeout(BODY_TIMEOUT, read_frames(body, limit)).await {
        Ok(result) => result,
        Err(_) => Err(too_slow(BODY_TIMEOUT)),
    }
}

async fn read_frames(mut body: Body, limit: usize) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::new();
    loop {
        let frame = match timeout(STALL_TIMEOUT, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => {
                return Err(ApiError::bad_request(format!("the request ended early: {error}")));
            }
            Ok(None) => return Ok(bytes),
            Err(_) => return Err(too_slow(STALL_TIMEOUT)),
        };
        if let Some(data) = frame.data_ref() {
            if bytes.len() + data.len() > limit {
                return Err(too_large(format!("more than {limit} bytes"), limit));
            }
            bytes.extend_from_slice(data);
        }
    }
}

fn too_large(what: String, limit: usize) -> ApiError {
    let message = format!("the upload has {what}; this server accepts {limit}");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", message)
        .limit(limit as u64)
        .hint("make the picture smaller, or start the servers with a larger --max-upload-mib")
}

fn too_slow(limit: Duration) -> ApiError {
    let message = format!("nothing more arrived within {} s", limit.as_secs());
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "TOO_SLOW", message)
}
