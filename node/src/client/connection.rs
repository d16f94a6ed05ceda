//! Sends one request over one connection: a minimal HTTP client.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;

use crate::settings::Address;

/// How long a server may take to accept a connection. In one building it takes a millisecond.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

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
    pub(super) body: Bytes,
}

/// Why a server did not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("Connection timeout: no answer within {} s", .0.as_secs())]
    ConnectTimeout(Duration),
    #[error("{0}")]
    Connect(#[source] std::io::Error),
    #[error("the encrypted handshake failed: {0}")]
    Handshake(#[source] std::io::Error),
    #[error("`{0}` is not a valid name in a certificate")]
    Name(String),
    #[error("Connection timeout: the server accepted the request and did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the answer cannot be read: {0}")]
    Answer(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the request cannot be written: {0}")]
    Request(#[from] hyper::http::Error),
}

/// Asks one server once, until `deadline` at the latest.
pub(super) async fn call(
    address: &Address,
    tls: Option<&Arc<ClientConfig>>,
    call: &Call,
    deadline: Instant,
) -> Result<Reply, CallError> {
    let now = Instant::now();
    let connect_by = deadline.min(now + CONNECT_TIMEOUT);
    let connecting = TcpStream::connect(address.to_string());
    let stream = match timeout_at(connect_by, connecting).await {
        Ok(connected) => connected.map_err(CallError::Connect)?,
        Err(_) => return Err(CallError::ConnectTimeout(connect_by - now)),
    };
    crate::listen::tune(&stream).map_err(CallError::Connect)?;
    let answer_by = deadline.min(now + call.patience);
    let exchange = async {
        match tls {
            None => converse(address, stream, call).await,
            Some(config) => {
                let name = ServerName::try_from(address.bare_host())
                    .map_err(|_| CallError::Name(address.bare_host()))?;
                let connector = TlsConnector::from(Arc::clone(config));
                let stream = connector
                    .connect(name, stream)
                    .await
                    .map_err(CallError::Handshake)?;
                converse(address, stream, call).await
            }
        }
    };
    timeout_at(answer_by, exchange)
        .await
        .unwrap_or_else(|_| Err(CallError::Timeout(answer_by - now)))
}

async fn converse(
    address: &Address,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    call: &Call,
) -> Result<Reply, CallError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut request = Request::builder()
        .method(&call.method)
        .uri(call.path)
        .header(HOST, address.to_string())
        .header(CONTENT_TYPE, call.content_type);
    if let Some((name, value)) = &call.header {
        request = request.header(*name, value);
    }
    let request = request.body(Full::new(call.body.clone()))?;
    // The connection runs beside the request, and ends with it.
    let driver = tokio::spawn(connection);
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_LIMIT_BYTES)
            .collect()
            .await;
        Ok(Reply {
            status,
            body: body.map_err(CallError::Answer)?.to_bytes(),
        })
    };
    let reply = answer.await;
    driver.abort();
    reply
}
