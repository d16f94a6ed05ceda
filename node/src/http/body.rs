//! Reads what a client sends, within limits of size, memory and time.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::App;
use super::error::ApiError;
use super::turned_away::Limit;

/// The largest body that is read before it is known who sends it. With the limit on connections, this bounds the memory
/// of all strangers.
pub(super) const STRANGERS_BODY_BYTES: usize = 32 << 10;

/// How fast a body must arrive.
const PACE: Pace = Pace {
    grace: Duration::from_secs(10),
    bytes_per_second: 32 << 10,
};

/// The time in which a body must arrive: `grace`, and a second more for each `bytes_per_second`.
#[derive(Clone, Copy, Debug)]
struct Pace {
    grace: Duration,
    bytes_per_second: usize,
}

/// How long a request waits for memory before its client is told to come back later.
const MEMORY_PATIENCE: Duration = Duration::from_secs(3);

/// The unit in which memory is granted.
const MEMORY_UNIT_BYTES: usize = 64 << 10;

/// How much of an answer is handed to the connection at a time.
const PIECE_BYTES: usize = 64 << 10;

/// Memory for uploads and for the answers to them, granted before their first byte is read.
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
    pub(super) async fn take(&self, bytes: usize) -> Result<Granted, ApiError> {
        let units = u32::try_from(bytes.div_ceil(MEMORY_UNIT_BYTES)).unwrap_or(u32::MAX);
        match timeout(MEMORY_PATIENCE, Arc::clone(&self.units).acquire_many_owned(units)).await {
            Ok(Ok(permit)) => Ok(Granted(permit)),
            _ => Err(
                ApiError::busy("this server is processing as many pictures as its memory allows")
                    .retry_after(2)
                    .turned_away(Limit::Memory),
            ),
        }
    }
}

/// Memory that was granted; free again when it is dropped.
pub(super) struct Granted(OwnedSemaphorePermit);

impl Granted {
    /// Keeps what an answer needs, and gives the rest back. The memory stays granted until the last byte is written, or
    /// the connection ends.
    pub(super) fn answer(mut self, answer: Vec<u8>) -> Body {
        struct Answer {
            bytes: Vec<u8>,
            _granted: OwnedSemaphorePermit,
        }
        impl AsRef<[u8]> for Answer {
            fn as_ref(&self) -> &[u8] {
                &self.bytes
            }
        }
        let units = answer
            .capacity()
            .div_ceil(MEMORY_UNIT_BYTES)
            .min(self.0.num_permits());
        if let Some(kept) = self.0.split(units) {
            self.0 = kept;
        }
        Body::new(Pieces(Bytes::from_owner(Answer {
            bytes: answer,
            _granted: self.0,
        })))
    }
}

/// A body that is handed out in pieces, so that a connection that has to copy it never copies all of it.
struct Pieces(Bytes);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let piece = self.0.len().min(PIECE_BYTES);
        Poll::Ready((piece > 0).then(|| Ok(Frame::data(self.0.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

/// Returns the number of bytes that the client announces, at most `limit`; `None` if it announces none.
pub(super) fn announced_bytes(headers: &HeaderMap, limit: usize) -> Result<Option<usize>, ApiError> {
    let Some(length) = headers.get(header::CONTENT_LENGTH) else {
        return Ok(None);
    };
    let length: Option<usize> = length.to_str().ok().and_then(|length| length.parse().ok());
    match length {
        Some(length) if length <= limit => Ok(Some(length)),
        Some(length) => Err(too_large(format!("{length} bytes"), limit)),
        None => Err(ApiError::bad_request("the Content-Length is not a number")),
    }
}

/// Reads a whole body of at most `limit` bytes, which must keep to the [`PACE`].
pub(super) async fn read(body: Body, limit: usize) -> Result<Vec<u8>, ApiError> {
    read_at(PACE, body, limit).await
}

async fn read_at(pace: Pace, mut body: Body, limit: usize) -> Result<Vec<u8>, ApiError> {
    let began = Instant::now();
    let mut bytes = Vec::new();
    loop {
        let needed = Duration::from_secs_f64(bytes.len() as f64 / pace.bytes_per_second as f64);
        let frame = match timeout_at(began + pace.grace + needed, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => {
                return Err(ApiError::bad_request(format!("the request ended early: {error}")));
            }
            Ok(None) => return Ok(bytes),
            Err(_) => return Err(too_slow(pace)),
        };
        if let Some(data) = frame.data_ref() {
            if bytes.len() + data.len() > limit {
                return Err(too_large(format!("more than {limit} bytes"), limit));
            }
            bytes.extend_from_slice(data);
        }
    }
}

/// A small request in JSON that only the leader can answer.
pub(super) struct Small<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<App> for Small<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        app.require_leadership()?;
        let (parts, body) = request.into_parts();
        let kind = parts
            .headers
            .get(header::CONTENT_TYPE)
            .map(|kind| kind.as_bytes());
        if !kind.is_some_and(|kind| kind.starts_with(b"application/json")) {
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "BAD_REQUEST",
                "the Content-Type of this request must be application/json",
            ));
        }
        announced_bytes(&parts.headers, STRANGERS_BODY_BYTES)?;
        let bytes = read(body, STRANGERS_BODY_BYTES).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            let status = match error.is_data() {
                true => StatusCode::UNPROCESSABLE_ENTITY,
                false => StatusCode::BAD_REQUEST,
            };
            ApiError::new(
                status,
                "BAD_REQUEST",
                format!("the body is not the expected JSON: {error}"),
            )
        })
    }
}

fn too_large(what: String, limit: usize) -> ApiError {
    let message = format!("the upload has {what}; this server accepts {limit}");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", message)
        .limit(limit as u64)
        .hint("make the picture smaller, or start the servers with a larger --max-upload-mib")
}

fn too_slow(pace: Pace) -> ApiError {
    let message = format!(
        "the body did not arrive in time: a request may take {} s, and a second for every {} KiB",
        pace.grace.as_secs(),
        pace.bytes_per_second >> 10
    );
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "TOO_SLOW", message).turned_away(Limit::Slow)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body that sends so many bytes each hundredth of a second, for ever.
    struct Drip {
        bytes: usize,
        next: Pin<Box<tokio::time::Sleep>>,
    }

    impl HttpBody for Drip {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            std::task::ready!(self.next.as_mut().poll(cx));
            self.next.set(tokio::time::sleep(Duration::from_millis(10)));
            Poll::Ready(Some(Ok(Frame::data(vec![0; self.bytes].into()))))
        }
    }

    fn drip(bytes: usize) -> Body {
        Body::new(Drip {
            bytes,
            next: Box::pin(tokio::time::sleep(Duration::ZERO)),
        })
    }

    #[tokio::test]
    async fn a_body_that_drips_is_ended_and_one_at_the_least_rate_is_read_to_its_limit() {
        let pace = Pace {
            grace: Duration::from_millis(500),
            bytes_per_second: 100_000,
        };
        let began = Instant::now();
        let error = read_at(pace, drip(1), usize::MAX).await.unwrap_err();
        assert_eq!(error.status(), StatusCode::REQUEST_TIMEOUT);
        assert!(began.elapsed() >= pace.grace);
        let error = read_at(pace, drip(2_000), 200_000).await.unwrap_err();
        assert_eq!(error.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn the_memory_of_an_answer_is_free_only_when_its_last_byte_is() {
        let budget = MemoryBudget::of_bytes(4 * MEMORY_UNIT_BYTES);
        let granted = budget.take(4 * MEMORY_UNIT_BYTES).await.unwrap();
        let mut body = granted.answer(vec![7; MEMORY_UNIT_BYTES + 1]);
        assert_eq!(budget.units.available_permits(), 2);
        let mut pieces = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            pieces.push(frame.into_data().unwrap());
        }
        drop(body);
        assert_eq!(
            pieces.iter().map(Bytes::len).sum::<usize>(),
            MEMORY_UNIT_BYTES + 1
        );
        // Not yet: the connection still has the bytes to write.
        assert_eq!(budget.units.available_permits(), 2);
        drop(pieces);
        assert_eq!(budget.units.available_permits(), 4);
    }
}
