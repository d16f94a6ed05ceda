//! Requests that cost memory, places in the log, or state.

use std::io::Write;
use std::time::{Duration, Instant};

use lsb_core::ObjectId;
use lsb_core::seal::SigningKey;
use node::api::UPLOAD_HEADER;
use node::ledger::request::UploadRequest;
use node::settings::{FIRST_NAMES_OF_AN_ADDRESS, ServiceLimits};

use crate::attack::{
    answer, ask, cluster_id, connect, connect_with_window, enrolment, get, in_seconds, info, post, signed,
    upload_of, view,
};
use crate::friend::Friend;
use crate::harness::{Cluster, user};

/// How far the log has grown, when nothing else happens.
fn committed(cluster: &Cluster, server: usize) -> u64 {
    let (_, status) = get(1, cluster.ports[server], "/v1/status");
    serde_json::from_str::<node::api::ServerStatus>(&status)
        .unwrap()
        .commit
}

fn key() -> SigningKey {
    SigningKey::generate().unwrap()
}

const OBJECT: ObjectId = ObjectId::from_bytes([9; 16]);

#[tokio::test(flavor = "multi_thread")]
async fn uploads_get_no_memory_before_an_enrolled_device_has_signed_for_them() {
    let cluster = Cluster::started(3);
    let leader = cluster.leader().await;
    let port = cluster.ports[leader];
    let id = cluster_id(port);
    let friend = Friend::of(&cluster).await;
    let announced = 32 << 20;
    let (stranger, enrolled) = (key(), key());
    let upload = |key: &SigningKey, name: &str| {
        let request = UploadRequest {
            cluster: id,
            object: OBJECT,
            owner: user(name),
            device: key.public(),
            bytes: announced as u64,
            expires: in_seconds(600),
        };
        format!("{UPLOAD_HEADER}: {}\r\n", signed(request, key))
    };
    // Without a signature, with garbage, with one of a key that nobody knows, and with one under another's name.
    for header in [
        "",
        "upload-request: {}\r\n",
        &upload(&stranger, "stranger"),
        &upload(&stranger, "friend"),
    ] {
        for host in 2..6 {
            let mut stream = connect(host, port).unwrap();
            stream
                .write_all(post("/v1/objects", announced, header).as_bytes())
                .unwrap();
            let began = Instant::now();
            let (status, body) = answer(&mut stream).unwrap();
            assert_eq!((status, body.contains("UNSIGNED_UPLOAD")), (401, true), "{body}");
            assert!(began.elapsed() < Duration::from_secs(5));
        }
    }
    let (status, health) = get(1, port, "/healthz");
    assert_eq!(
        (status, health.contains("unsigned uploads 16")),
        (200, true),
        "{health}"
    );
    // An enrolled device gets its memory, and loses it when it is slow.
    let mut stream = connect(7, port).unwrap();
    assert_eq!(
        ask(&mut stream, "/v1/users", &enrolment(id, "slow", &enrolled))
            .unwrap()
            .0,
        200
    );
    stream
        .write_all(post("/v1/objects", announced, &upload(&enrolled, "slow")).as_bytes())
        .unwrap();
    let (status, body) = answer(&mut stream).unwrap();
    assert_eq!((status, body.contains("TOO_SLOW")), (408, true), "{body}");
    friend.was_served(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_signed_by_unknown_keys_are_answered_and_never_get_into_the_log() {
    let cluster = Cluster::started(3);
    let leader = cluster.leader().await;
    let port = cluster.ports[leader];
    let id = cluster_id(port);
    let friend = Friend::of(&cluster).await;
    friend.was_served(&cluster).await;
    let before = committed(&cluster, leader);
    let (mut denied, mut refused) = (0, 0);
    let began = Instant::now();
    let attackers: Vec<_> = (2..6)
        .map(|host| {
            std::thread::spawn(move || {
                let mut stream = connect(host, port).unwrap();
                let (mut denied, mut refused) = (0, 0);
                for _ in 0..1200 {
                    // After a refusal at the rate, the server hangs up, because it has not read the body.
                    let body = view(id, "friend", &key(), OBJECT);
                    match ask(&mut stream, "/v1/views", &body) {
                        Some((200, body)) => {
                            assert!(body.contains("unknown_device"), "{body}");
                            denied += 1;
                        }
                        Some((429, body)) => {
                            assert!(body.contains("TOO_MANY_REQUESTS"), "{body}");
                            refused += 1;
                        }
                        Some(other) => panic!("{other:?}"),
                        None => stream = connect(host, port).unwrap(),
                    }
                }
                (denied, refused)
            })
        })
        .collect();
    for attacker in attackers {
        let (some, others) = attacker.join().unwrap();
        denied += some;
        refused += others;
    }
    let seconds = began.elapsed().as_secs() as u32 + 1;
    eprintln!("{denied} were denied and {refused} refused within {seconds} s");
    let limit = ServiceLimits::default().requests_per_second;
    assert!(denied <= 4 * limit * (10 + seconds), "{denied} in {seconds} s");
    assert!(denied > 1000, "{denied}");
    assert_eq!(committed(&cluster, leader), before, "the log grew");
    Friend::of(&cluster).await.was_served(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enrolled_user_who_is_not_listed_has_few_denials_recorded() {
    let cluster = Cluster::started(3);
    let leader = cluster.leader().await;
    let port = cluster.ports[leader];
    let id = cluster_id(port);
    let mallory = key();
    let mut stream = connect(2, port).unwrap();
    assert_eq!(
        ask(&mut stream, "/v1/users", &enrolment(id, "mallory", &mallory))
            .unwrap()
            .0,
        200
    );
    let before = committed(&cluster, leader);
    let mut refused = 0;
    for _ in 0..100 {
        let (status, body) = ask(&mut stream, "/v1/views", &view(id, "mallory", &mallory, OBJECT)).unwrap();
        match status {
            200 => assert!(body.contains("not_listed"), "{body}"),
            429 => refused += 1,
            _ => panic!("{status} {body}"),
        }
    }
    let recorded = committed(&cluster, leader) - before;
    assert!(
        recorded <= 40 && recorded + refused == 100,
        "{recorded} recorded, {refused} refused"
    );
    Friend::of(&cluster).await.was_served(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_enrolled_at_a_rate_for_each_address() {
    let cluster = Cluster::started(1);
    let leader = cluster.leader().await;
    let port = cluster.ports[leader];
    let id = cluster_id(port);
    let friend = Friend::of(&cluster).await;
    let mut stream = connect(2, port).unwrap();
    let (mut enrolled, mut refused) = (0, 0);
    let began = Instant::now();
    for number in 0..FIRST_NAMES_OF_AN_ADDRESS + 100 {
        match ask(
            &mut stream,
            "/v1/users",
            &enrolment(id, &format!("user-{number}"), &key()),
        ) {
            Some((200, _)) => enrolled += 1,
            Some((429, _)) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    let minutes = began.elapsed().as_secs() as u32 / 60 + 1;
    let most = FIRST_NAMES_OF_AN_ADDRESS + minutes * ServiceLimits::default().enrolments_per_minute;
    assert!(
        enrolled <= most && refused > 0,
        "{enrolled} enrolled, {refused} refused"
    );
    // A name that is taken costs no place in the log, and others are not affected.
    let before = committed(&cluster, leader);
    let mut other = connect(3, port).unwrap();
    for _ in 0..10 {
        let (status, body) = ask(&mut other, "/v1/users", &enrolment(id, "user-0", &key())).unwrap();
        assert_eq!((status, body.contains("NAME_TAKEN")), (409, true), "{body}");
    }
    assert_eq!(
        ask(&mut other, "/v1/users", &enrolment(id, "another", &key()))
            .unwrap()
            .0,
        200
    );
    assert!(committed(&cluster, leader) > before);
    friend.was_served(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_reads_are_given_up_with_their_memory() {
    const CONNECTIONS: usize = 6;
    let cluster = Cluster::started(3);
    let leader = cluster.leader().await;
    let port = cluster.ports[leader];
    let info = info(port);
    let friend = Friend::of(&cluster).await;
    let mallory = key();
    let mut stream = connect(2, port).unwrap();
    let enrolled = ask(
        &mut stream,
        "/v1/users",
        &enrolment(info.cluster, "mallory", &mallory),
    );
    assert_eq!(enrolled.unwrap().0, 200);
    // Far more than the kernel keeps for a reader with a small window.
    let uploads: Vec<_> = (0..CONNECTIONS)
        .map(|_| upload_of(&info, "mallory", &mallory, 2 << 20))
        .collect();
    let mut held = Vec::new();
    for (head, body) in &uploads {
        let mut stream = connect_with_window(2, port, Some(4 << 10)).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        held.push(stream);
    }
    let deadline = Instant::now() + 2 * crate::harness::DEADLINE;
    loop {
        let (_, status) = get(1, port, "/v1/status");
        let status: node::api::ServerStatus = serde_json::from_str(&status).unwrap();
        let slow = status.turned_away.get("slow clients").copied().unwrap_or(0);
        if slow >= CONNECTIONS as u64 {
            break;
        }
        assert!(Instant::now() < deadline, "{slow} of {CONNECTIONS} were given up");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    friend.was_served(&cluster).await;
}
