//! A reader of the logs that does not read.

use std::io::{Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::attack::{connect, get};
use crate::harness::{Cluster, protect, remaining, view, views};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_pipe_of_logs_stops_nothing_and_its_reader_learns_what_it_missed() {
    let cluster = Cluster::new(1);
    let mut command = cluster.server_command(0);
    command
        .env("RUST_LOG", "trace")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut server = command.spawn().unwrap();
    let alice = cluster.library("alice");
    let picture = protect(&alice, "alice", vec![views("alice", 1000)]).await.picture;
    // Far more lines than a pipe holds, and than the queue before it: one for each of these.
    for number in 0..8000 {
        let mut stream = connect(2 + (number % 8) as u8, cluster.ports[0]).unwrap();
        let _ = stream.write_all(b"this is not HTTP\r\n\r\n");
    }
    let began = Instant::now();
    assert_eq!(remaining(&view(&alice, &picture, "alice").await), 999);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(get(1, cluster.ports[0], "/readyz").0, 200);
    let mut pipe = server.stderr.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        let mut piece = [0; 65536];
        let said = b"log lines were dropped";
        while !text.windows(said.len()).any(|window| window == said) {
            let read = pipe.read(&mut piece).unwrap();
            assert!(read > 0, "the server ended");
            text.extend_from_slice(&piece[..read]);
        }
    });
    let deadline = Instant::now() + crate::harness::DEADLINE;
    while !reader.is_finished() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let said = reader.is_finished();
    server.kill().unwrap();
    server.wait().unwrap();
    reader.join().unwrap();
    assert!(said, "dropped lines were not reported");
}
