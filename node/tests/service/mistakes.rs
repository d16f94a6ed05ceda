//! What operators get wrong, and what they are told.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use node::client::ViewOutcome;
use node::cluster_key::ClusterKey;

use crate::harness::{Cluster, DEADLINE, UNIFIED_IMAGE, ended, files, protect, remaining, view};

#[tokio::test]
async fn a_server_with_another_cluster_key_is_told_apart_and_told_what_to_do() {
    let mut cluster = Cluster::new(3);
    ClusterKey::create_or_load(&cluster.path("other.key")).unwrap();
    cluster.flags[2] = vec!["--cluster-key".into(), "other.key".into()];
    // The odd one comes last: a client that asks it first takes its cluster for the one that is meant.
    cluster.start(0);
    cluster.start(1);
    protect(&cluster.library("alice"), "alice", vec![]).await;
    cluster.start(2);
    cluster.wait_for_log(
        2,
        "their cluster keys differ. Copy the key file of one server to all the others",
    );
    cluster.wait_for_log(0, "their cluster keys differ");
}

#[tokio::test]
async fn a_server_with_another_unified_image_says_so_and_protects_nothing() {
    let mut cluster = Cluster::new(3);
    fs::write(cluster.path("other.png"), crate::harness::PHOTO).unwrap();
    cluster.start(0);
    cluster.start(1);
    cluster.leader().await;
    let alice = cluster.library("alice");
    protect(&alice, "alice", vec![]).await;
    cluster.flags[2] = vec!["--unified-image".into(), "other.png".into()];
    cluster.start(2);
    cluster.wait_for_log(2, "is not the picture that this cluster was founded with");
    let trouble = alice.status().await.swap_remove(2).trouble.unwrap();
    assert!(
        trouble.contains("not the one that this cluster was founded with"),
        "{trouble}"
    );
}

#[tokio::test]
async fn a_wiped_data_folder_takes_no_part_and_the_others_go_on() {
    let mut cluster = Cluster::started(3);
    let leader = cluster.leader().await;
    let alice = cluster.library("alice");
    let protected = protect(&alice, "alice", vec![]).await;
    let wiped = (leader + 1) % 3;
    cluster.caught_up(wiped).await;
    cluster.kill(wiped);
    fs::remove_dir_all(cluster.path("data").join(Cluster::name(wiped))).unwrap();
    cluster.start(wiped);
    cluster.wait_for_log(
        wiped,
        "this server is fenced: the cluster has bound it to another data folder",
    );
    assert_eq!(remaining(&view(&alice, &protected.picture, "alice").await), 4);
    let trouble = alice.status().await.swap_remove(wiped).trouble.unwrap();
    assert!(trouble.contains("this server is fenced"), "{trouble}");
}

#[tokio::test]
async fn a_data_folder_that_was_put_back_from_a_backup_keeps_silent_and_the_others_go_on() {
    let mut cluster = Cluster::started(3);
    let leader = cluster.leader().await;
    let alice = cluster.library("alice");
    let restored = (leader + 1) % 3;
    cluster.caught_up(restored).await;
    cluster.kill(restored);
    let folder = cluster.path("data").join(Cluster::name(restored));
    let backup = cluster.path("backup");
    copy_folder(&folder, &backup);
    cluster.start(restored);
    let protected = protect(&alice, "alice", vec![]).await;
    cluster.caught_up(restored).await;
    cluster.kill(restored);
    fs::remove_dir_all(&folder).unwrap();
    copy_folder(&backup, &folder);
    cluster.start(restored);
    cluster.wait_for_log(restored, "this server keeps silent");
    assert_eq!(remaining(&view(&alice, &protected.picture, "alice").await), 4);
    let trouble = alice.status().await.swap_remove(restored).trouble.unwrap();
    assert!(trouble.contains("put back from an older copy"), "{trouble}");
}

/// Copies the files of a folder, which has no folders in it.
fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[tokio::test]
async fn a_server_outside_the_membership_is_told_so() {
    let mut cluster = Cluster::new(3);
    // The first two were started without the third in their list of peers.
    let all = cluster.ports.clone();
    cluster.ports.truncate(2);
    cluster.start(0);
    cluster.start(1);
    cluster.leader().await;
    cluster.ports = all;
    cluster.start(2);
    cluster.wait_for_log(0, "is not a member of this cluster");
    cluster.ports.truncate(2);
    protect(&cluster.library("alice"), "alice", vec![]).await;
}

#[tokio::test]
async fn without_a_unified_image_the_built_in_one_is_used_with_a_warning() {
    let mut cluster = Cluster::new(1);
    fs::remove_file(cluster.path("unified_image.png")).unwrap();
    cluster.start(0);
    cluster.wait_for_log(0, "people without permission will see the built-in picture");
    cluster.leader().await;
    let alice = cluster.library("alice");
    let protected = protect(&alice, "alice", vec![]).await;
    let bob = view(&cluster.library("bob"), &protected.picture, "bob").await;
    assert!(matches!(bob, ViewOutcome::Denied { picture, .. } if picture == UNIFIED_IMAGE));
    // Named explicitly, a picture that is missing or none is an error.
    for (name, said) in [
        ("missing.png", "cannot read the unified image"),
        ("servers.conf", "cannot be used"),
    ] {
        let mut other = Cluster::new(1);
        other.flags[0] = vec!["--unified-image".into(), name.into()];
        ended(&other.server_command(0).output().unwrap(), 1, said);
    }
}

#[test]
fn impossible_command_lines_end_with_usage() {
    let cluster = Cluster::new(1);
    let server = |arguments: &str| {
        let mut command = cluster.server_command(0);
        let mut fresh = std::process::Command::new(command.get_program());
        fresh
            .args(arguments.split(' '))
            .current_dir(cluster.folder.path());
        fresh.env("XDG_CONFIG_HOME", cluster.path("config"));
        command = fresh;
        command.output().unwrap()
    };
    ended(&server("64536 server1"), 2, "choose one from 1 to 64535");
    ended(
        &server("8080 server1 127.0.0.1:9080"),
        2,
        "also the consensus port",
    );
    ended(&server("8080 server1 127.0.0.1:8080"), 2, "is this server itself");
    ended(&server("8080 server1 10.0.0.1:8080"), 2, "--advertise");
    ended(
        &server("8080 server1 --heartbeat-ms 9999"),
        2,
        "--heartbeat-ms (9999)",
    );
    ended(&server("8080 server1 --no-such-flag"), 2, "--no-such-flag");
    ended(&server("8080 server1 --config missing.toml"), 2, "missing.toml");
    assert!(
        !cluster.path("data").exists(),
        "nothing is made before everything is checked"
    );
}

#[test]
fn a_port_in_use_is_named_with_what_to_do() {
    let cluster = Cluster::new(1);
    for port in [cluster.ports[0], cluster.ports[0] + 1000] {
        let _held = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        let output = cluster.server_command(0).output().unwrap();
        ended(&output, 1, &format!("Address already in use: 127.0.0.1:{port}"));
    }
}

#[tokio::test]
async fn a_data_folder_in_use_by_a_running_server_is_refused() {
    let mut cluster = Cluster::new(2);
    cluster.ports.truncate(1);
    cluster.start(0);
    cluster.leader().await;
    let other = Cluster::new(1);
    cluster.ports[0] = other.ports[0];
    let output = cluster.server_command(0).output().unwrap();
    ended(&output, 1, "is in use by another server");
}

#[tokio::test]
async fn a_flipped_byte_in_a_data_folder_is_named_or_harmless() {
    let mut cluster = Cluster::new(1);
    cluster.start(0);
    cluster.leader().await;
    let alice = cluster.library("alice");
    let protected = protect(&alice, "alice", vec![]).await;
    cluster.kill(0);
    let data = cluster.path("data").join(Cluster::name(0));
    for file in files(&data) {
        let genuine = fs::read(&file).unwrap();
        if genuine.is_empty() {
            continue;
        }
        let mut flipped = genuine.clone();
        // Inside what every file has: its header.
        let place = 4.min(flipped.len() - 1);
        flipped[place] ^= 0x10;
        fs::write(&file, flipped).unwrap();
        let mut child = cluster
            .server_command(0)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + DEADLINE;
        let refused = loop {
            if let Some(status) = child.try_wait().unwrap() {
                assert_eq!(status.code(), Some(1));
                break true;
            }
            if cluster.library("watcher").status().await[0].reachable {
                break false;
            }
            assert!(Instant::now() < deadline);
        };
        let _ = child.kill();
        let _ = child.wait();
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        if refused {
            assert!(said.contains("data folder"), "{}: {said}", file.display());
        }
        fs::write(&file, genuine).unwrap();
    }
    cluster.start(0);
    assert_eq!(remaining(&view(&alice, &protected.picture, "alice").await), 4);
}
