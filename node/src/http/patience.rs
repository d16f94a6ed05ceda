//! A connection that does not wait for ever until its client reads.
//!
//! hyper has a time limit for a request's header, and none for writing. Here a write that has to wait begins a window
//! of [`WINDOW`], in which the client must read [`LEAST_BYTES`]; otherwise the connection ends, and with it the memory
//! of its answer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long a client may take for [`LEAST_BYTES`].
const WINDOW: Duration = Duration::from_secs(10);

/// How much a client must read within a [`WINDOW`]: 32 KiB a second.
const LEAST_BYTES: usize = 320 << 10;

/// A stream whose writes fail when the other end reads too slowly.
#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    /// [`WINDOW`], and less in tests.
    length: Duration,
    window: Option<Window>,
    /// Whether the last write had to wait.
    waiting: bool,
}

#[derive(Debug)]
struct Window {
    end: Pin<Box<Sleep>>,
    written: usize,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S) -> Self {
        Self::within(WINDOW, stream)
    }

    fn within(length: Duration, stream: S) -> Self {
        Self {
            stream,
            length,
            window: None,
            waiting: false,
        }
    }

    fn judge(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.waiting = written.is_pending();
        if let Poll::Ready(written) = written {
            if let (Some(window), Ok(bytes)) = (&mut self.window, &written) {
                window.written = window.written.saturating_add(*bytes);
                if window.written >= LEAST_BYTES {
                    self.window = None;
                }
            }
            return Poll::Ready(written);
        }
        let length = self.length;
        let window = self.window.get_or_insert_with(|| Window {
            end: Box::pin(sleep(length)),
            written: 0,
        });
        ready!(window.end.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        // The next request: the answer to the last one is written, and its window is over.
        if buffer.filled().len() > before && !self.waiting {
            self.window = None;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx).map_ok(|()| 0);
        self.judge(cx, flushed).map_ok(|_| ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut_down = Pin::new(&mut self.stream).poll_shutdown(cx).map_ok(|()| 0);
        self.judge(cx, shut_down).map_ok(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const LENGTH: Duration = Duration::from_millis(500);

    #[tokio::test]
    async fn a_client_that_does_not_read_loses_its_connection() {
        let (near, mut far) = tokio::io::duplex(1024);
        let mut near = Patient::within(LENGTH, near);
        let began = tokio::time::Instant::now();
        let error = near.write_all(&[0; 4096]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= LENGTH);
        let mut first = [0; 1024];
        far.read_exact(&mut first).await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_reads_slowly_loses_its_connection_and_one_that_reads_at_the_least_rate_keeps_it() {
        for (bytes, kept) in [(1 << 10, false), (LEAST_BYTES / 5, true)] {
            let (near, mut far) = tokio::io::duplex(1024);
            let mut near = Patient::within(LENGTH, near);
            let reader = tokio::spawn(async move {
                let mut buffer = vec![0; bytes];
                while far.read_exact(&mut buffer).await.is_ok() {
                    sleep(LENGTH / 10).await;
                }
            });
            let written = near.write_all(&vec![0; LEAST_BYTES * 3]).await;
            assert_eq!(written.is_ok(), kept, "{bytes} bytes in a tenth of a window");
            reader.abort();
        }
    }
}
