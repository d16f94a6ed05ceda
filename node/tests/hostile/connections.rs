//! Connections that do nothing, or that do it slowly.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::attack::{answer, connect, flood, get, post};
use crate::friend::Friend;
use crate::harness::{Cluster, DEADLINE};

/// How many files a server has open.
fn open_files(cluster: &Cluster, server: usize) -> usize {
    let process = cluster.children[server].as_ref().unwrap().id();
    std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}

/// Whether the server has ended the connection.
fn is_over(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let mut rest = [0; 4096];
    loop {
        match stream.read(&mut rest) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_slow_headers_take_neither_the_stores_descriptors_nor_anyones_place() {
    let mut cluster = Cluster::new(3);
    cluster.open_files = Some(400);
    for server in 0..3 {
        cluster.start(server);
    }
    let leader = cluster.leader().await;
    let friend = Friend::of(&cluster).await;
    let mut held = Vec::new();
    for port in cluster.ports.clone() {
        held.extend(flood(2..6, port, 700, b"GET /v1/status HTTP/1.1\r\nhost: "));
    }
    for server in 0..3 {
        let open = open_files(&cluster, server);
        assert!((100..400).contains(&open), "{open}");
    }
    // A stranger at an address that does not take part in the attack is served, too.
    let (status, health) = get(9, cluster.ports[leader], "/healthz");
    assert_eq!(status, 200);
    assert!(
        health.contains("turned away") && health.contains("connections"),
        "{health}"
    );
    friend.was_served(&cluster).await;
    // Headers have a deadline: nothing is left of the attack.
    let deadline = Instant::now() + DEADLINE;
    while !held.iter_mut().all(is_over) {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_of_a_body_on_every_connection_shuts_nobody_out() {
    let cluster = Cluster::started(3);
    let leader = cluster.leader().await;
    let friend = Friend::of(&cluster).await;
    let began = Instant::now();
    let bytes = post("/v1/views", 100, "") + "{";
    let mut held = flood(2..22, cluster.ports[leader], 1500, bytes.as_bytes());
    friend.was_served(&cluster).await;
    // The youngest of them is still served, and told why it is ended.
    let (status, body) = answer(held.last_mut().unwrap()).unwrap();
    assert_eq!((status, body.contains("TOO_SLOW")), (408, true), "{body}");
    assert!(began.elapsed() < Duration::from_secs(40));
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_to_consensus_ports_keep_no_member_out() {
    let mut cluster = Cluster::started(3);
    let leader = cluster.leader().await;
    let member = (leader + 1) % 3;
    let friend = Friend::of(&cluster).await;
    cluster.kill(member);
    let consensus: Vec<u16> = cluster.ports.iter().map(|port| port + 1000).collect();
    let mut held = Vec::new();
    for port in &consensus {
        held.extend(flood(2..6, *port, 300, b""));
    }
    cluster.start(member);
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        for port in &consensus {
            held.extend(flood(2..6, *port, 20, b""));
        }
        let linked = |server: usize| {
            let (_, status) = get(1, cluster.ports[server], "/v1/status");
            serde_json::from_str::<node::api::ServerStatus>(&status)
                .unwrap()
                .linked
        };
        let is_up = connect(1, cluster.ports[member]).is_some();
        // Both ways: the others have dialled the member, and the member has dialled the others.
        if is_up && (0..3).all(|server| linked(server) == 2) {
            break;
        }
        assert!(Instant::now() < deadline, "{}", cluster.log(member));
    }
    assert!(
        open_files(&cluster, leader) < 300,
        "{}",
        open_files(&cluster, leader)
    );
    friend.was_served(&cluster).await;
}
