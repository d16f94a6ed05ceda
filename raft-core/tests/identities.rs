//! Which data folder speaks for a server, and which log a server belongs to.

mod support;

use std::collections::VecDeque;

use raft_core::{
    Change, Config, Durable, Envelope, Event, GroupId, HardState, Identity, Incarnation, Limits, Membership,
    Message, NodeId, Recovery, RoleName, Setup, Standing, Term,
};
use support::scene::{Scene, at, entries, node, sent, setup, writes};
use support::{Cluster, Disk};

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
    for id in 1..=3 {
        cluster.crash(id);
    }
    let setup = Setup {
        identity: Identity {
            group: GroupId::new(1),
            node: node(1),
            incarnation: Incarnation::new(1),
            boot: 2,
        },
        config: cluster.config.clone(),
        bootstrap: Membership::of_voters((1..=3).map(node)),
        durable: cluster.crashed[&1].0.durable.clone(),
    };
    let recovery = Recovery::of(&setup).expect("a survivor can be recovered");
    let (disk, _) = cluster.crashed.get_mut(&1).expect("server 1 is down");
    disk.write(&recovery.write, None);
    cluster.restart(1);
    assert_eq!(cluster.elect(), 1);
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
                from: node(2),
                from_incarnation: Incarnation::new(2),
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
        admitted: true,
    };
    assert_eq!(written.hard_state, Some(expected));
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
