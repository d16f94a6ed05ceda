//! Starting: two of three, all at once, five, and moving to other ports.

use crate::harness::{Cluster, protect, remaining, view, views};

#[tokio::test]
async fn two_of_three_are_enough_and_the_third_joins_later() {
    let mut cluster = Cluster::new(3);
    cluster.start(0);
    cluster.start(1);
    cluster.leader().await;
    let alice = cluster.library("alice");
    let protected = protect(&alice, "alice", vec![]).await;
    assert_eq!(remaining(&view(&alice, &protected.picture, "alice").await), 4);
    cluster.start(2);
    cluster.caught_up(2).await;
    // With the first one gone, the late one is needed for every majority.
    cluster.kill(0);
    assert_eq!(remaining(&view(&alice, &protected.picture, "alice").await), 3);
}

#[tokio::test]
async fn the_log_names_the_roles_and_three_servers_share_the_key_that_one_of_them_makes() {
    let cluster = Cluster::started(3);
    let leader = cluster.leader().await;
    cluster.wait_for_log(leader, "Leader 🎉");
    cluster.wait_for_log(leader, "Candidate");
    for server in 0..3 {
        cluster.wait_for_log(server, "Follower");
        cluster.wait_for_log(server, "the leader is");
    }
    assert!(cluster.path("config/raft-lsb/cluster.key").exists());
}

#[tokio::test]
async fn five_servers_do_without_two() {
    let mut cluster = Cluster::started(5);
    let leader = cluster.leader().await;
    let alice = cluster.library("alice");
    let protected = protect(&alice, "alice", vec![views("alice", 9)]).await;
    cluster.kill(leader);
    cluster.kill((leader + 1) % 5);
    assert_eq!(remaining(&view(&alice, &protected.picture, "alice").await), 8);
}

#[tokio::test]
async fn servers_that_move_to_other_ports_keep_their_data() {
    let mut cluster = Cluster::started(3);
    cluster.leader().await;
    let protected = protect(&cluster.library("alice"), "alice", vec![]).await;
    for server in 0..3 {
        cluster.kill(server);
    }
    cluster.ports = Cluster::new(3).ports.clone();
    cluster.write_servers_conf();
    for server in 0..3 {
        cluster.start(server);
    }
    let alice = cluster.library("alice");
    assert_eq!(remaining(&view(&alice, &protected.picture, "alice").await), 4);
}

#[tokio::test]
async fn every_server_may_have_a_folder_of_its_own() {
    let mut cluster = Cluster::new(3);
    for server in 0..3 {
        let folder = cluster.path(&format!("folder-of-{server}"));
        std::fs::create_dir(&folder).unwrap();
        cluster.flags[server] = vec!["--data-dir".into(), folder.join("data").display().to_string()];
        cluster.start(server);
    }
    cluster.leader().await;
    protect(&cluster.library("alice"), "alice", vec![]).await;
    assert!(!cluster.path("data").exists());
}
