//! The answers that programs other than our client see.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::harness::{Cluster, DEADLINE, ended};

/// One request; the status and the body.
fn ask(port: u16, head: &str, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n").unwrap();
    if !head.contains("content-length") {
        write!(stream, "content-length: {}\r\n", body.len()).unwrap();
    }
    stream
        .write_all(b"content-type: application/json\r\n\r\n")
        .unwrap();
    // The server may have answered and hung up before it has read everything.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (
        head.split(' ').nth(1).unwrap_or("0").parse().unwrap(),
        body.to_owned(),
    )
}

#[tokio::test]
async fn every_answer_that_is_no_success_is_json_with_a_code_and_a_sentence() {
    let cluster = Cluster::started(3);
    let leader = cluster.leader().await;
    cluster.caught_up(leader).await;
    let (led, follower) = (cluster.ports[leader], cluster.ports[(leader + 1) % 3]);
    assert_eq!(ask(led, "GET /healthz", b"").0, 200);
    assert_eq!(ask(follower, "GET /readyz", b"").0, 200);
    assert_eq!(ask(led, "GET /v1/unified-image", b"").0, 200);
    let refused = |port, head: &str, body: &[u8], status: u16, code: &str| {
        let (found, body) = ask(port, head, body);
        let json: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{head}: {found} {body}"));
        assert_eq!(
            (found, json["error"].as_str()),
            (status, Some(code)),
            "{head}: {body}"
        );
        assert!(
            json["message"]
                .as_str()
                .is_some_and(|message| !message.is_empty()),
            "{head}: {body}"
        );
        json
    };
    refused(led, "GET /nothing", b"", 404, "NOT_FOUND");
    refused(led, "DELETE /v1/users", b"", 404, "NOT_FOUND");
    refused(led, "POST /v1/users", b"{}", 422, "BAD_REQUEST");
    refused(led, "POST /v1/views", b"not json", 400, "BAD_REQUEST");
    refused(led, "POST /v1/objects", b"{}\n", 400, "BAD_REQUEST");
    refused(led, "POST /v1/objects", b"no line feed", 400, "BAD_REQUEST");
    let huge = "POST /v1/objects HTTP/1.1\r\ncontent-length: 999999999999\r\nx: ";
    let json = refused(led, huge, b"", 413, "TOO_LARGE");
    assert!(json["limit"].as_u64().is_some_and(|limit| limit >= 32 << 20));
    let name = Cluster::name(leader);
    let json = refused(
        follower,
        "POST /v1/objects",
        b"",
        421,
        &format!("NOT_LEADER:{name}"),
    );
    assert_eq!(
        json["leader"]["address"].as_str(),
        Some(format!("127.0.0.1:{led}").as_str())
    );
}

#[tokio::test]
async fn without_a_majority_everybody_says_so() {
    let mut cluster = Cluster::new(3);
    cluster.start(0);
    cluster.wait_for_log(0, "Joining");
    let (status, body) = ask(cluster.ports[0], "POST /v1/objects", b"");
    assert_eq!((status, body.contains("\"NO_LEADER\"")), (503, true), "{body}");
    assert_eq!(ask(cluster.ports[0], "GET /readyz", b"").0, 503);
    assert_eq!(ask(cluster.ports[0], "GET /healthz", b"").0, 200);
    let output = cluster.client(&["encrypt", "-i", "photo.png", "-u", "alice", "--timeout", "2"]);
    ended(&output, 6, "No leader elected yet");
    // Each server that was asked, with what it said.
    let own = format!("127.0.0.1:{}: No leader elected yet", cluster.ports[0]);
    ended(&output, 6, &own);
    ended(&output, 6, &format!("127.0.0.1:{}: ", cluster.ports[2]));
    ended(&cluster.client(&["status"]), 6, "");
}

#[tokio::test]
async fn clients_beyond_loopback_are_served_with_tls_and_check_the_authority() {
    let mut cluster = Cluster::new(1);
    cluster.flags[0] = vec!["--listen".into(), "0.0.0.0".into()];
    cluster.start(0);
    let authority = "data/server1/authority.pem";
    let deadline = std::time::Instant::now() + DEADLINE;
    while cluster
        .client(&["status", "--authority", authority])
        .status
        .code()
        != Some(0)
    {
        assert!(std::time::Instant::now() < deadline);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let encrypt = |more: &[&str]| {
        let arguments = ["encrypt", "-i", "photo.png", "-u", "alice", "--timeout", "2"];
        cluster.client(&[&arguments, more].concat())
    };
    ended(&encrypt(&["--authority", authority]), 0, "");
    // Without encryption, and with the certificate of another cluster, there is no conversation.
    ended(&encrypt(&[]), 6, "Connection timeout");
    let mut other = Cluster::new(1);
    other.flags[0] = cluster.flags[0].clone();
    other.start(0);
    let pem = other.path(authority);
    while !pem.exists() {
        assert!(std::time::Instant::now() < deadline);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    ended(
        &encrypt(&["--authority", &pem.display().to_string()]),
        6,
        "handshake failed",
    );
}
