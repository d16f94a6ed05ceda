//! Sends requests over connections that are kept: after the first, a request costs no handshake.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;

use crate::api::RECEIPT_HEADER;
use crate::settings::Address;

/// How long a server may take to accept a connection. In one building it takes a millisecond.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a connection is kept without a request: less than a server keeps it.
const KEPT: Duration = Duration::from_secs(5);

/// How many connections to one server are kept.
const MOST_KEPT: usize = 256;

/// How long a server may be silent before it is asked whether it is alive, and how long it may take to say so. A
/// process that is frozen still accepts connections.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);

/// The largest answer that is read: a protected picture of the largest upload that any server accepts.
const ANSWER_LIMIT_BYTES: usize = 1 << 30;

/// A request. It is cheap to clone, since several servers may be asked.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) content_type: &'static str,
    pub(super) body: Bytes,
    /// A further header.
    pub(super) header: Option<(&'static str, String)>,
    /// How long one server may take, from the connection to the last byte of its answer.
    pub(super) patience: Duration,
}

impl Call {
    /// Returns a request without a body.
    pub(super) fn get(path: &'static str) -> Self {
        Self {
            method: Method::GET,
            path,
            content_type: "application/json",
            body: Bytes::new(),
            header: None,
            patience: Duration::from_secs(5),
        }
    }

    /// Returns a request with a body.
    pub(super) fn post(path: &'static str, content_type: &'static str, body: Vec<u8>) -> Self {
        // Longer than a server waits for a quorum.
        let patience = Duration::from_secs(35);
        Self {
            method: Method::POST,
            path,
            content_type,
            body: body.into(),
            header: None,
            patience,
        }
    }
}

/// What a server answered.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    /// The header with a receipt, if there is one.
    pub(super) receipt: Option<Bytes>,
    pub(super) body: Bytes,
}

/// Why a server did not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error(transparent)]
    Connect(#[from] Unconnected),
    #[error("Connection timeout: the server accepted the request and did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("Connection timeout: the server accepts connections and gives no sign of life")]
    Frozen,
    #[error("the connection broke: {0}")]
    Broken(#[from] legacy::Error),
    #[error("the answer cannot be read: {0}")]
    Answer(#[source] Box<dyn Error + Send + Sync>),
    #[error("the request cannot be written: {0}")]
    Request(#[from] hyper::http::Error),
}

impl CallError {
    /// Whether the server kept us waiting, so that others are better asked first.
    pub(super) fn is_late(&self) -> bool {
        matches!(
            self,
            Self::Timeout(_) | Self::Frozen | Self::Connect(Unconnected::Timeout)
        )
    }
}

/// Why there is no connection.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Unconnected {
    #[error("Connection timeout: no answer within {} s", CONNECT_TIMEOUT.as_secs())]
    Timeout,
    #[error("{0}")]
    Refused(#[source] Arc<std::io::Error>),
    #[error("the encrypted handshake failed: {0}")]
    Handshake(#[source] Arc<std::io::Error>),
    #[error("`{0}` is not a valid name in a certificate")]
    Name(String),
}

/// The connections to the servers of one cluster.
pub(super) struct Connections {
    client: legacy::Client<Connector, Full<Bytes>>,
}

impl Connections {
    pub(super) fn new(tls: Option<Arc<ClientConfig>>) -> Self {
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEPT)
            .pool_max_idle_per_host(MOST_KEPT)
            .build(Connector { tls });
        Self { client }
    }

    /// Asks one server once, until `deadline` at the latest. A server that gives no sign of life meanwhile costs no more
    /// than that takes to find out.
    pub(super) async fn call(
        &self,
        address: &Address,
        encrypted: bool,
        call: &Call,
        deadline: Instant,
    ) -> Result<Reply, CallError> {
        let now = Instant::now();
        let answer_by = deadline.min(now + call.patience);
        let exchange = self.exchange(address, encrypted, call);
        tokio::pin!(exchange);
        loop {
            let look_at = answer_by.min(Instant::now() + SIGN_OF_LIFE);
            if let Ok(reply) = timeout_at(look_at, &mut exchange).await {
                return reply;
            }
            if Instant::now() >= answer_by {
                return Err(CallError::Timeout(answer_by - now));
            }
            let probe = Call::get("/healthz");
            let alive = timeout(SIGN_OF_LIFE, self.exchange(address, encrypted, &probe));
            tokio::select! {
                reply = &mut exchange => return reply,
                alive = alive => if alive.is_err() {
                    return Err(CallError::Frozen);
                },
            }
        }
    }

    async fn exchange(&self, address: &Address, encrypted: bool, call: &Call) -> Result<Reply, CallError> {
        let scheme = if encrypted { "https" } else { "http" };
        let uri = Uri::builder()
            .scheme(scheme)
            .authority(address.to_string())
            .path_and_query(call.path)
            .build()?;
        let mut request = Request::builder()
            .method(&call.method)
            .uri(uri)
            .header(CONTENT_TYPE, call.content_type);
        if let Some((name, value)) = &call.header {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(call.body.clone()))?;
        let response = self.client.request(request).await.map_err(|error| {
            let cause = error
                .source()
                .and_then(|cause| cause.downcast_ref::<Unconnected>());
            cause
                .cloned()
                .map_or_else(|| CallError::Broken(error), CallError::Connect)
        })?;
        let status = response.status();
        let receipt = response.headers().get(RECEIPT_HEADER);
        let receipt = receipt.map(|receipt| Bytes::copy_from_slice(receipt.as_bytes()));
        let body = Limited::new(response.into_body(), ANSWER_LIMIT_BYTES)
            .collect()
            .await;
        Ok(Reply {
            status,
            receipt,
            body: body.map_err(CallError::Answer)?.to_bytes(),
        })
    }
}

/// Opens connections.
#[derive(Clone)]
struct Connector {
    tls: Option<Arc<ClientConfig>>,
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = Unconnected;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unconnected>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unconnected>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let tls = self.tls.clone().filter(|_| uri.scheme_str() == Some("https"));
        Box::pin(async move { connect(&uri, tls).await.map(TokioIo::new) })
    }
}

async fn connect(uri: &Uri, tls: Option<Arc<ClientConfig>>) -> Result<Stream, Unconnected> {
    let refused = |error| Unconnected::Refused(Arc::new(error));
    let authority = uri.authority().map(|authority| authority.as_str().to_owned());
    let connecting = TcpStream::connect(authority.unwrap_or_default());
    let stream = timeout(CONNECT_TIMEOUT, connecting)
        .await
        .map_err(|_| Unconnected::Timeout)?
        .map_err(refused)?;
    crate::listen::tune(&stream).map_err(refused)?;
    let Some(config) = tls else {
        return Ok(Stream(Box::new(stream)));
    };
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host.clone()).map_err(|_| Unconnected::Name(host))?;
    let stream = TlsConnector::from(config).connect(name, stream).await;
    let stream = stream.map_err(|error| Unconnected::Handshake(Arc::new(error)))?;
    Ok(Stream(Box::new(stream)))
}

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

/// A connection, plain or encrypted.
struct Stream(Box<dyn Duplex>);

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
