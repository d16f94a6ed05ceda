//! Servers that die: nothing that was acknowledged is lost, and nothing is counted twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lsb_core::ObjectId;
use node::client::ViewOutcome;

use crate::harness::{Cluster, protect, remaining, user, view, views};

/// What one client was told.
struct Told {
    name: String,
    /// Views that remained after each granted one, in order.
    remaining: Vec<u32>,
    /// What it protected.
    objects: Vec<ObjectId>,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_killed_leaders_and_is_counted_once() {
    const QUOTA: u32 = 1_000_000;
    let mut cluster = Cluster::started(3);
    cluster.leader().await;
    let names = ["alice", "bob", "carol"];
    let owner = cluster.library("owner");
    let protected = protect(&owner, "owner", names.map(|name| views(name, QUOTA)).to_vec()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for name in names {
        let (client, picture, stop) = (
            cluster.library(name),
            protected.picture.clone(),
            Arc::clone(&stop),
        );
        clients.push(tokio::spawn(async move {
            let mut told = Told {
                name: name.to_owned(),
                remaining: Vec::new(),
                objects: Vec::new(),
            };
            while !stop.load(Ordering::Relaxed) {
                told.remaining
                    .push(remaining(&view(&client, &picture, name).await));
                told.objects.push(protect(&client, name, vec![]).await.object);
            }
            told
        }));
    }
    for _ in 0..3 {
        let leader = cluster.leader().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        cluster.kill(leader);
        // Somebody else leads before the dead one returns.
        cluster.leader().await;
        cluster.start(leader);
    }
    cluster.leader().await;
    stop.store(true, Ordering::Relaxed);
    let info = owner.object(&user("owner"), protected.object).await;
    assert!(info.is_ok(), "{info:?}");
    for client in clients {
        let told = client.await.unwrap();
        let granted = told.remaining.len() as u32;
        assert!(granted > 0, "{} never got a view", told.name);
        // Each view was charged once: what remained fell by one each time, whoever died in between.
        let expected: Vec<u32> = (0..granted).map(|earlier| QUOTA - 1 - earlier).collect();
        assert_eq!(told.remaining, expected, "{}", told.name);
        let info = owner.object(&user("owner"), protected.object).await.unwrap();
        let account = info
            .grants
            .iter()
            .find(|grant| grant.user.as_str() == told.name)
            .unwrap();
        assert_eq!(account.charged, u64::from(granted), "{}", told.name);
        let library = cluster.library(&told.name);
        for object in told.objects {
            assert_eq!(
                library.object(&user(&told.name), object).await.unwrap().owner,
                user(&told.name)
            );
        }
    }
}

#[tokio::test]
async fn a_cluster_that_loses_its_power_comes_back_with_everything() {
    let mut cluster = Cluster::started(3);
    cluster.leader().await;
    let alice = cluster.library("alice");
    let protected = protect(&alice, "alice", vec![views("alice", 3)]).await;
    assert_eq!(remaining(&view(&alice, &protected.picture, "alice").await), 2);
    for server in 0..3 {
        cluster.kill(server);
    }
    for server in 0..3 {
        cluster.start(server);
    }
    assert_eq!(remaining(&view(&alice, &protected.picture, "alice").await), 1);
}

#[tokio::test]
async fn a_client_that_dies_before_it_has_saved_the_picture_is_not_charged_twice() {
    let cluster = Cluster::started(3);
    cluster.leader().await;
    let alice = cluster.library("alice");
    let protected = protect(&alice, "alice", vec![views("alice", 3)]).await;
    let viewing = alice
        .view(protected.picture.clone(), &user("alice"))
        .await
        .unwrap();
    assert_eq!((remaining(&viewing.outcome), viewing.resumed), (2, false));
    // Two at once are two views.
    let beside = alice
        .view(protected.picture.clone(), &user("alice"))
        .await
        .unwrap();
    assert_eq!((remaining(&beside.outcome), beside.resumed), (1, false));
    beside.finish(&alice).await;
    // The end of the process: nothing was saved, nothing is acknowledged.
    drop(viewing);
    let again = alice
        .view(protected.picture.clone(), &user("alice"))
        .await
        .unwrap();
    assert_eq!((remaining(&again.outcome), again.resumed), (2, true));
    again.finish(&alice).await;
    assert_eq!(remaining(&view(&alice, &protected.picture, "alice").await), 0);
    assert!(matches!(
        view(&alice, &protected.picture, "alice").await,
        ViewOutcome::Denied { .. }
    ));
}

#[tokio::test]
async fn a_frozen_server_costs_a_sign_of_life_once_and_is_asked_last_afterwards() {
    let cluster = Cluster::started(3);
    let leader = cluster.leader().await;
    // The one that a client of its own accord asks first.
    let frozen = if leader == 0 { 1 } else { 0 };
    let process = cluster.children[frozen].as_ref().unwrap().id();
    let process = rustix::process::Pid::from_raw(process.try_into().unwrap()).unwrap();
    let mut servers = vec![cluster.ports[frozen]];
    servers.extend(
        cluster
            .ports
            .iter()
            .filter(|port| **port != cluster.ports[frozen]),
    );
    let alice = cluster.library_asking("alice", &servers);
    rustix::process::kill_process(process, rustix::process::Signal::STOP).unwrap();
    let began = Instant::now();
    let protected = protect(&alice, "alice", vec![]).await;
    let first = began.elapsed();
    let began = Instant::now();
    assert_eq!(remaining(&view(&alice, &protected.picture, "alice").await), 4);
    let second = began.elapsed();
    rustix::process::kill_process(process, rustix::process::Signal::CONT).unwrap();
    assert!(first >= Duration::from_secs(4), "{first:?}: it was not asked");
    assert!(
        second + Duration::from_secs(3) < first,
        "{second:?} after {first:?}"
    );
}
