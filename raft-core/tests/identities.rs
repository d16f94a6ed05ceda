//! Which data folder speaks for a server, and which log a server belongs to.

mod support;

use std::collections::VecDeque;

use raft_core::replica::StateMachine;
use raft_core::{
    Boot, Change, Config, Durable, Envelope, Event, GroupId, HardState, Identity, Incarnation, Limits,
    Membership, Message, NodeId, Payload, Persist, Recovery, RoleName, Setup, Standing, Term,
};
use support::scene::{Scene, at, entries, node, sent, setup, writes};
use support::{Cluster, Disk, Journal};

/// A cluster in which every append carries a single entry, so that a test can stop a replay at any of them.
fn one_entry_a_message(size: u64) -> Cluster {
    let limits = Limits {
        message_bytes: 64,
        ..Limits::default()
    };
    let config = Config {
        limits,
        ..Config::default()
    };
    Cluster::with(size, config)
}

fn voters_known_to(cluster: &mut Cluster, id: u64) -> Vec<u64> {
    let membership = cluster.server(id).replica.raft().membership().clone();
    membership.voters().map(NodeId::value).collect()
}

/// A cluster that began with server 1, has the voters 2 and 3 now, and removed server 1, whose disk was lost.
fn grown_without_its_founder() -> Cluster {
    let mut cluster = one_entry_a_message(1);
    assert_eq!(cluster.elect(), 1);
    cluster.propose(1, b"first");
    for id in [2, 3] {
        cluster.start_new(id);
        assert!(cluster.make_change(Change::AddLearner(node(id))));
        assert!(cluster.make_change(Change::Promote(node(id))));
    }
    let leader = cluster.elect();
    cluster.propose(leader, b"second");
    cluster.tick(10);
    cluster.crash(1);
    cluster.elect();
    assert!(cluster.make_change(Change::Remove(node(1))));
    let leader = cluster.elect();
    cluster.propose(leader, b"third");
    cluster.tick(10);
    cluster
}

/// Makes server 1 of three the whole cluster, as after the loss of both others.
fn recover(cluster: &mut Cluster) {
    for id in 1..=3 {
        cluster.crash(id);
    }
    let setup = Setup {
        identity: Identity {
            group: GroupId::new(1),
            node: node(1),
            incarnation: Incarnation::new(1),
            boot: Boot::new(2, 77),
        },
        config: cluster.config.clone(),
        bootstrap: Membership::of_voters((1..=3).map(node)),
        durable: cluster.crashed[&1].0.durable.clone(),
    };
    let recovery = Recovery::of(&setup).expect("a survivor can be recovered");
    let (disk, _) = cluster.crashed.get_mut(&1).expect("server 1 is down");
    disk.write(&recovery.write);
    cluster.restart(1);
    assert_eq!(cluster.elect(), 1);
}

/// Starts server 1 on folder 101, has it added, and stops it where its log names server 1 as the only voter.
fn replay_to_the_configuration_of_one(cluster: &mut Cluster) {
    let leader = cluster.elect();
    cluster.start_with(1, Disk::default(), 1, 101, Membership::default());
    cluster.change(leader, Change::AddLearner(node(1)));
    for _ in 0..100 {
        for id in cluster.servers.keys().copied().collect::<Vec<_>>() {
            cluster.step(id, Event::Tick(1));
        }
        while let Some(envelope) = cluster.wire.pop_front() {
            let to = envelope.to.value();
            if cluster.servers.contains_key(&to) {
                cluster.step(to, Event::Receive(envelope));
            }
            if voters_known_to(cluster, 1) == [1] {
                cluster.isolate(1);
                return;
            }
        }
    }
    panic!("the replay never passed the configuration of one");
}

// Ours: a configuration binds an id to a data folder. Another folder of that id that has replayed the log only up to
// that configuration must not elect itself by it.
#[test]
fn a_replayed_configuration_that_binds_the_id_to_another_folder_elects_no_server() {
    let mut cluster = grown_without_its_founder();
    replay_to_the_configuration_of_one(&mut cluster);
    cluster.tick(100);
    assert_ne!(cluster.role(1), RoleName::Leader, "a learner leads");
    let lost = cluster.propose(1, b"lost");
    cluster.tick(10);
    assert!(!cluster.server(1).done.contains_key(&lost));
    cluster.heal();
    cluster.tick(200);
    let journals: Vec<_> = [1, 2, 3].map(|id| cluster.journal(id)).to_vec();
    assert_eq!(journals[0], journals[1]);
    assert_eq!(journals[1], journals[2]);
}

// The same where the configuration of one comes from a recovery after a lost majority.
#[test]
fn a_replayed_recovery_elects_no_server() {
    let mut cluster = one_entry_a_message(3);
    let leader = cluster.elect();
    cluster.propose(leader, b"before");
    cluster.tick(10);
    recover(&mut cluster);
    for id in [4, 5] {
        cluster.start_new(id);
        assert!(cluster.make_change(Change::AddLearner(node(id))));
        assert!(cluster.make_change(Change::Promote(node(id))));
    }
    cluster.crash(1);
    cluster.elect();
    assert!(cluster.make_change(Change::Remove(node(1))));
    replay_to_the_configuration_of_one(&mut cluster);
    cluster.tick(100);
    assert_ne!(cluster.role(1), RoleName::Leader);
}

// No partition is needed: the leader may fail while the new folder catches up, after any number of messages.
#[test]
fn a_leader_that_fails_during_a_catch_up_is_not_succeeded_by_the_new_folder() {
    for fail_after in 1..40 {
        let mut cluster = grown_without_its_founder();
        let leader = cluster.elect();
        cluster.start_with(1, Disk::default(), 1, 101, Membership::default());
        cluster.change(leader, Change::AddLearner(node(1)));
        let mut to_the_new_folder: VecDeque<Envelope> = VecDeque::new();
        for _ in 0..fail_after {
            for id in cluster.servers.keys().copied().collect::<Vec<_>>() {
                cluster.step(id, Event::Tick(1));
            }
            while let Some(envelope) = cluster.wire.pop_front() {
                match envelope.to.value() {
                    1 => to_the_new_folder.push_back(envelope),
                    to if cluster.servers.contains_key(&to) => cluster.step(to, Event::Receive(envelope)),
                    _ => {}
                }
            }
            if let Some(envelope) = to_the_new_folder.pop_front() {
                cluster.step(1, Event::Receive(envelope));
            }
        }
        cluster.crash(leader);
        cluster.wire.clear();
        for _ in 0..60 {
            cluster.tick(1);
            assert_ne!(cluster.role(1), RoleName::Leader, "after {fail_after} messages");
        }
    }
}

/// Server 1 on folder 101, which was admitted later, with a log in which it is the only voter and bound to no folder.
fn replayed_without_a_binding(admitted: bool) -> Scene {
    let mut setup = setup(1, 3, &[1, 1]);
    setup.identity.incarnation = Incarnation::new(101);
    setup.bootstrap = Membership::of_voters([node(1)]);
    setup.durable.hard_state.admitted = admitted;
    Scene::new(setup).expect("the disk is valid")
}

// A configuration without bindings means only the folders of the cluster's first start.
#[test]
fn a_replayed_configuration_without_bindings_elects_no_folder_that_was_admitted_later() {
    let mut scene = replayed_without_a_binding(true);
    scene.tick(100);
    scene.step(Event::Campaign);
    assert_eq!(scene.role(), RoleName::Follower);
    let mut scene = replayed_without_a_binding(false);
    scene.tick(100);
    assert_eq!(scene.role(), RoleName::Leader, "it is of the first start");
}

// A server is admitted by a committed entry that binds it, so a candidate that does not address its folder lacks that
// entry. Its vote would let two servers of a configuration of the past elect a leader beside the cluster's.
#[test]
fn an_admitted_folder_votes_only_for_candidates_that_know_it() {
    let ask = |admitted: bool, addressed_as: Option<u64>| {
        let mut setup = setup(3, 3, &[1]);
        setup.bootstrap = Membership::of_voters((1..=3).map(node));
        setup.durable.hard_state.admitted = admitted;
        let mut scene = Scene::new(setup).expect("the disk is valid");
        let mut granted = Vec::new();
        for message in [
            Message::PreVote {
                ask: Term::new(5),
                last: at(1, 1),
            },
            Message::Vote { last: at(1, 1) },
        ] {
            let actions = scene.step(Event::Receive(Envelope {
                group: GroupId::new(1),
                cluster: scene.raft.status().cluster,
                from: node(2),
                from_incarnation: Incarnation::new(2),
                from_boot: Boot::new(1, 2),
                to: node(1),
                to_incarnation: addressed_as.map(Incarnation::new),
                term: Term::new(4),
                message,
            }));
            granted.extend(sent(&actions).into_iter().map(|(_, reply)| {
                matches!(
                    reply,
                    Message::PreVoteReply { granted: true, .. } | Message::VoteReply { granted: true }
                )
            }));
        }
        granted
    };
    assert_eq!(ask(false, None), [true, true], "a folder of the first start");
    assert_eq!(ask(true, Some(1)), [true, true], "the candidate's log binds it");
    assert_eq!(ask(true, None), [false, false]);
}

// The admission is durable before any promise of the folder, and survives a restart.
#[test]
fn an_admission_is_remembered_across_a_restart() {
    let mut setup = setup(3, 0, &[]);
    setup.bootstrap = Membership::of_voters((1..=3).map(node));
    let mut scene = Scene::new(setup).expect("an empty disk is sound");
    scene.prompt = false;
    let standing = Standing::Admitted;
    let actions = scene.receive(2, 4, Message::HelloReply { standing });
    let written = writes(&actions).remove(0);
    let expected = HardState {
        term: Term::new(4),
        vote: Some(node(1)),
        vote_boot: Boot::new(1, 1),
        admitted: true,
        promise_micros: 0,
        silenced: false,
        cluster: scene.raft.status().cluster,
        level: raft_core::Level::ZERO,
    };
    assert_eq!(written.hard_state.as_deref(), Some(&expected));
    let mut durable = Durable::default();
    durable.write(&written);
    assert!(durable.hard_state.admitted);
}

// The rule must not stop a first start: no configuration binds its folders until a leader has heard them.
#[test]
fn a_first_start_of_three_still_elects_and_any_two_of_them_continue() {
    let mut cluster = Cluster::new(3);
    // Server 3 takes part in the first start, and is not heard before the others are bound.
    cluster.tick(1);
    cluster.isolate(3);
    let leader = cluster.elect();
    cluster.propose(leader, b"one");
    cluster.tick(10);
    let membership = cluster.server(leader).replica.raft().membership().clone();
    assert_eq!(membership.incarnation(node(3)), None);
    cluster.crash(leader);
    cluster.heal();
    let other = 3 - leader;
    assert_eq!(
        cluster.elect(),
        other,
        "with the vote of server 3, which no entry binds"
    );
    cluster.propose(other, b"two");
    cluster.tick(10);
    assert_eq!(cluster.journal(3), [b"one".to_vec(), b"two".to_vec()]);
}

// The latest configuration in the log decides which folder its id means, also where an earlier one is the last that
// was committed.
#[test]
fn a_folder_that_the_configuration_in_force_replaced_does_not_campaign() {
    let mut setup = setup(1, 3, &[]);
    let replaced = Membership::of_voters([node(1)]).bind([(node(1), Incarnation::new(9))]);
    let mut log = entries(0, &[1, 1]);
    log[1].body = raft_core::EntryBody::Membership(replaced.into());
    setup.durable.entries = log;
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.tick(100);
    assert_eq!(scene.role(), RoleName::Follower);
}

/// Servers of which each was started with a list of members of its own.
fn started_with(lists: &[(u64, &[u64])]) -> Cluster {
    let mut cluster = Cluster::with(0, Config::default());
    for (id, members) in lists {
        let bootstrap = Membership::of_voters(members.iter().copied().map(node));
        cluster.start_with(*id, Disk::default(), 1, *id, bootstrap);
    }
    cluster
}

fn other_cluster(cluster: &mut Cluster, id: u64) -> u64 {
    cluster.server(id).replica.raft().status().ignored.other_cluster
}

/// Both sides drop what the other one says, count it, and name it.
fn refuse_each_other(cluster: &mut Cluster, one: u64, other: u64) {
    for (id, stranger) in [(one, other), (other, one)] {
        assert!(other_cluster(cluster, id) > 0, "{id} counts {stranger}");
        let status = cluster.server(id).replica.raft().status();
        assert_eq!(status.stranger.map(|(node, _)| node), Some(node(stranger)));
        assert_eq!(status.ignored.malformed + status.ignored.contradicting, 0);
    }
}

// "Start one, later add two lines to the file and start the others" founds a second cluster: while the first server is
// away, the two others are a majority of empty servers. Whichever list the first one comes back with, it has a log of
// its own, in which the same terms and indexes hold other entries.
#[test]
fn a_server_of_another_founding_is_refused_by_both_sides() {
    for (comes_back_with, in_a_later_term) in [
        (vec![1], false),
        (vec![1], true),
        (vec![1, 2, 3], false),
        (vec![], true),
    ] {
        let mut cluster = started_with(&[(1, &[1])]);
        cluster.elect();
        for number in 0..5_u8 {
            cluster.propose(1, &[number]);
        }
        cluster.tick(10);
        cluster.crash(1);
        for id in [2, 3] {
            let bootstrap = Membership::of_voters([1, 2, 3].map(node));
            cluster.start_with(id, Disk::default(), 1, id, bootstrap);
        }
        let leader = cluster.elect();
        cluster.propose(leader, b"other");
        cluster.tick(10);
        if in_a_later_term {
            cluster.step(leader, Event::Transfer { to: node(5 - leader) });
            cluster.tick(20);
        }
        let (disk, boot) = cluster.crashed.remove(&1).expect("it is down");
        let list = Membership::of_voters(comes_back_with.iter().copied().map(node));
        cluster.start_with(1, disk, boot + 1, 1, list);
        cluster.tick(100);
        let leader = [2, 3]
            .into_iter()
            .find(|&id| cluster.role(id) == RoleName::Leader);
        let leader = leader.expect("the others are a majority");
        let done = cluster.propose(leader, b"after");
        cluster.tick(10);
        assert!(cluster.server(leader).done.contains_key(&done));
        assert_eq!(cluster.journal(1).len(), 5, "nothing of the other log came here");
        assert_eq!(cluster.journal(2), cluster.journal(3));
        assert_eq!(cluster.journal(2), [b"other".to_vec(), b"after".to_vec()]);
        refuse_each_other(&mut cluster, 1, leader);
    }
}

// The lists are the same, and the logs are not: two of three disks were wiped, and their servers took that for a first
// start. The third one, which was away, remembers what the first leader drew.
#[test]
fn the_same_list_that_was_founded_twice_is_two_clusters() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.propose(leader, b"first");
    cluster.tick(10);
    let away = 6 - leader - if leader == 1 { 2 } else { 1 };
    let wiped: Vec<u64> = (1..=3).filter(|&id| id != away).collect();
    for id in 1..=3 {
        cluster.crash(id);
    }
    for &id in &wiped {
        cluster.crashed.remove(&id);
        cluster.start(id, Disk::default(), 1, 100 + id);
    }
    let leader = cluster.elect();
    cluster.propose(leader, b"second");
    cluster.tick(10);
    cluster.restart(away);
    cluster.tick(100);
    assert!(!cluster.journal(away).contains(&b"second".to_vec()));
    for &id in &wiped {
        assert_eq!(cluster.journal(id), [b"second".to_vec()]);
    }
    let leader = cluster.elect();
    assert_ne!(leader, away);
    refuse_each_other(&mut cluster, away, leader);
}

// Until the first entry is committed, the list is all that there is to compare, and it is compared.
#[test]
fn empty_servers_with_different_lists_start_nothing_together() {
    let mut cluster = started_with(&[(1, &[1, 2, 3]), (2, &[1, 2, 3, 4])]);
    cluster.tick(100);
    assert_eq!(cluster.leader(), None);
    refuse_each_other(&mut cluster, 1, 2);
}

// A recovery begins another cluster. A survivor that was left out, and comes back with its old folder, is refused; so
// is an empty server that was given the old list.
#[test]
fn what_is_left_of_a_recovered_cluster_is_refused() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.propose(leader, b"before");
    cluster.tick(10);
    recover(&mut cluster);
    cluster.restart(2);
    cluster.start(3, Disk::default(), 1, 33);
    assert!(cluster.make_change(Change::AddLearner(node(2))));
    assert!(cluster.make_change(Change::AddLearner(node(3))));
    cluster.propose(1, b"after");
    cluster.tick(50);
    for left in [2, 3] {
        assert!(!cluster.journal(left).contains(&b"after".to_vec()));
    }
    assert!(other_cluster(&mut cluster, 3) > 0);
    cluster.crash(3);
    cluster.tick(10);
    refuse_each_other(&mut cluster, 1, 2);
}

// A server that waits to be added belongs to the cluster that admits it, for good.
#[test]
fn an_added_server_takes_the_identity_of_its_cluster_and_keeps_it() {
    let mut cluster = Cluster::new(1);
    cluster.elect();
    cluster.start_new(2);
    assert!(cluster.server(2).replica.raft().status().cluster.is_unknown());
    assert!(cluster.make_change(Change::AddLearner(node(2))));
    cluster.tick(20);
    let of = |cluster: &mut Cluster, id| cluster.server(id).replica.raft().status().cluster;
    let founded = of(&mut cluster, 1);
    assert!(founded.is_bound());
    assert_eq!(of(&mut cluster, 2), founded);
    cluster.crash(2);
    let (disk, _) = cluster.crashed.remove(&2).expect("it is down");
    cluster.start_with(2, disk, 2, 2, Membership::default());
    assert_eq!(of(&mut cluster, 2), founded);
}

// The identity outlives the first entry: a snapshot covers it, and says it.
#[test]
fn a_compacted_log_and_a_received_snapshot_keep_the_identity() {
    let mut cluster = Cluster::with_snapshots(3, 4, 1);
    let leader = cluster.elect();
    let lagging = if leader == 1 { 2 } else { 1 };
    let founded = cluster.server(leader).replica.raft().status().cluster;
    assert!(founded.is_bound());
    cluster.crash(lagging);
    for number in 0..30_u8 {
        cluster.propose(leader, &[number]);
        cluster.tick(1);
    }
    cluster.crashed.insert(lagging, (Disk::default(), 1));
    // Its disk kept the term and nothing else: the identity comes with the snapshot.
    let (disk, _) = cluster.crashed.get_mut(&lagging).expect("it is down");
    disk.durable.hard_state.term = Term::new(1);
    cluster.restart(lagging);
    cluster.tick(60);
    assert!(cluster.server(lagging).installed > 0);
    for id in 1..=3 {
        if cluster.servers.contains_key(&id) {
            assert_eq!(
                cluster.server(id).replica.raft().status().cluster,
                founded,
                "server {id}"
            );
        }
    }
}

// Two copies of one folder run side by side, and both ask for the vote of one term: it is given to one of them.
#[test]
fn a_vote_is_given_to_one_boot_of_a_candidate() {
    let mut scene = Scene::follower(3, 1, &[]);
    let ask = |scene: &mut Scene, boot: Boot| {
        let mut vote = scene.envelope(2, 5, Message::Vote { last: None });
        vote.from_boot = boot;
        sent(&scene.step(Event::Receive(vote))).contains(&(2, Message::VoteReply { granted: true }))
    };
    assert!(ask(&mut scene, Boot::new(4, 71)));
    assert!(
        ask(&mut scene, Boot::new(4, 71)),
        "it is answered as often as it asks"
    );
    assert!(!ask(&mut scene, Boot::new(4, 72)), "a copy");
    assert!(!ask(&mut scene, Boot::new(5, 73)), "a later start");
}

// A state is carried into a new cluster, and the cluster that it comes from goes on: each refuses the other.
#[test]
fn a_cluster_that_begins_with_a_snapshot_is_another_one() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.propose(leader, b"before");
    cluster.tick(10);
    let bytes = Payload::from(Journal(cluster.journal(leader), false).snapshot());
    let away = if leader == 3 { 1 } else { 3 };
    cluster.crash(away);
    let founders = Membership::of_voters((1..=3).map(node));
    let mut copy = Cluster::with(0, Config::default());
    for id in 1..=3 {
        let founding = Persist::founding(node(id), &founders, raft_core::Level::ZERO, 77);
        let meta = founding.snapshot.as_ref().expect("it begins with a snapshot");
        let mut disk = Disk::default();
        disk.unnamed.insert(meta.last, bytes.clone());
        disk.write(&founding);
        copy.start_with(id, disk, 1, 200 + id, founders.clone());
    }
    let leading = copy.elect();
    copy.propose(leading, b"copied");
    copy.tick(10);
    for id in 1..=3 {
        assert_eq!(copy.journal(id), [b"before".to_vec(), b"copied".to_vec()]);
    }
    let of = |cluster: &mut Cluster, id| cluster.server(id).replica.raft().status().cluster;
    let identity = of(&mut copy, leading);
    assert_eq!(identity.nonce, 77);
    assert!(!identity.agrees_with(of(&mut cluster, leader)));
    // A server of the old cluster comes up where one of the new one should be.
    copy.crash(away);
    let (disk, boot) = cluster.crashed.remove(&away).expect("it is down");
    copy.start_with(away, disk, boot + 1, away, founders);
    copy.tick(100);
    let leading = copy.elect();
    refuse_each_other(&mut copy, away, leading);
    assert!(!copy.journal(away).contains(&b"copied".to_vec()));
}
