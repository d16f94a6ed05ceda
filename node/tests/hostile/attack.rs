//! What strangers do: connections from other addresses, raw HTTP, and requests signed with keys that nobody knows.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use lsb_core::envelope::Policy;
use lsb_core::seal::{self, ExchangeKey, SealRequest, Shown, SigningKey};
use lsb_core::{ClusterId, Limits, ObjectId, RequestId, UnixSeconds};
use node::api::{ClusterInfo, ProtectHead, UPLOAD_HEADER};
use node::ledger::request::{EnrolRequest, ProtectRequest, Request, Signed, UploadRequest, ViewRequest};
use serde::Serialize;
use socket2::{Domain, Socket, Type};

use crate::harness::{DEADLINE, PHOTO, UNIFIED_IMAGE, user, views};

/// Connects to a port of this machine from 127.0.0.`host`. `None` if the server refuses.
pub(crate) fn connect(host: u8, port: u16) -> Option<TcpStream> {
    connect_with_window(host, port, None)
}

/// The same, with a buffer of this size for what arrives.
pub(crate) fn connect_with_window(host: u8, port: u16, bytes: Option<usize>) -> Option<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    if let Some(bytes) = bytes {
        socket.set_recv_buffer_size(bytes).unwrap();
    }
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0));
    socket.bind(&from.into()).unwrap();
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    socket.connect_timeout(&to.into(), Duration::from_secs(2)).ok()?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    Some(stream)
}

/// Opens many connections from a few addresses, and sends these bytes on each.
pub(crate) fn flood(hosts: std::ops::Range<u8>, port: u16, count: usize, bytes: &[u8]) -> Vec<TcpStream> {
    let connected = hosts.cycle().take(count).filter_map(|host| {
        let mut stream = connect(host, port)?;
        // The server may have hung up already.
        let _ = stream.write_all(bytes);
        Some(stream)
    });
    connected.collect()
}

/// The head of a `POST` whose body has this length.
pub(crate) fn post(path: &str, length: usize, more: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{more}\r\n"
    )
}

/// Reads one answer: the status and the body.
pub(crate) fn answer(stream: &mut TcpStream) -> Option<(u16, String)> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((status, String::from_utf8_lossy(&body).into_owned()))
}

/// Sends one request on a connection, and reads its answer.
pub(crate) fn ask(stream: &mut TcpStream, path: &str, body: &str) -> Option<(u16, String)> {
    stream.write_all(post(path, body.len(), "").as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()?;
    answer(stream)
}

/// One `GET`, from 127.0.0.`host`.
pub(crate) fn get(host: u8, port: u16, path: &str) -> (u16, String) {
    let mut stream = connect(host, port).unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes())
        .unwrap();
    answer(&mut stream).unwrap()
}

/// What anyone can learn about the cluster.
pub(crate) fn info(port: u16) -> ClusterInfo {
    let (_, body) = get(1, port, "/v1/cluster");
    serde_json::from_str(&body).unwrap()
}

/// The cluster's id.
pub(crate) fn cluster_id(port: u16) -> ClusterId {
    info(port).cluster
}

/// The head and the body of an upload as an honest client makes it, of an original of about so many bytes.
pub(crate) fn upload_of(
    info: &ClusterInfo,
    owner: &str,
    key: &SigningKey,
    bytes: usize,
) -> (String, Vec<u8>) {
    let mut original = PHOTO.to_vec();
    let photo = original.len();
    original.resize(photo + bytes, 0);
    getrandom::fill(&mut original[photo..]).unwrap();
    let policy = Policy::new(user(owner), key.public(), vec![views(owner, 1)]).unwrap();
    let sealed = seal::seal(&SealRequest {
        original: &original,
        name: None,
        denied_picture: UNIFIED_IMAGE,
        shown: Shown::DeniedPicture,
        policy: &policy,
        cluster: info.cluster,
        created: in_seconds(0),
        owner: key,
        limits: &Limits::DEFAULT,
    })
    .unwrap();
    let object = sealed.envelope.header().object;
    let request = ProtectRequest {
        cluster: info.cluster,
        object,
        policy,
        manifest_hash: sealed.envelope.manifest().hash(),
        sealed_share: sealed
            .ledger_share
            .seal_for_cluster(&info.exchange_key, info.cluster, object)
            .unwrap(),
    };
    let head = ProtectHead {
        request: Signed::sign(request, key).unwrap(),
        embed: true,
    };
    let mut body = serde_json::to_vec(&head).unwrap();
    body.push(b'\n');
    body.extend_from_slice(sealed.envelope.as_bytes());
    let announcement = UploadRequest {
        cluster: info.cluster,
        object,
        owner: user(owner),
        device: key.public(),
        bytes: body.len() as u64,
        expires: in_seconds(600),
    };
    let header = format!("{UPLOAD_HEADER}: {}\r\n", signed(announcement, key));
    (post("/v1/objects", body.len(), &header), body)
}

pub(crate) fn signed<R: Request + Serialize>(request: R, key: &SigningKey) -> String {
    serde_json::to_string(&Signed::sign(request, key).unwrap()).unwrap()
}

/// "This name is mine".
pub(crate) fn enrolment(cluster: ClusterId, name: &str, key: &SigningKey) -> String {
    let request = EnrolRequest {
        cluster,
        user: user(name),
        key: key.public(),
    };
    signed(request, key)
}

/// A request to view some picture, signed by this key.
pub(crate) fn view(cluster: ClusterId, name: &str, key: &SigningKey, object: ObjectId) -> String {
    let mut id = [0; 16];
    getrandom::fill(&mut id).unwrap();
    let request = ViewRequest {
        cluster,
        object,
        user: user(name),
        device: key.public(),
        request: RequestId::from_bytes(id),
        reply_to: ExchangeKey::from_bytes([7; 32]).public(),
        expires: in_seconds(300),
    };
    signed(request, key)
}

pub(crate) fn in_seconds(seconds: u64) -> UnixSeconds {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    UnixSeconds(now.as_secs() + seconds)
}
