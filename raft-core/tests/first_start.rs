//! The first start of a cluster, and how it is distinguished from a lost disk.

mod support;

use std::collections::BTreeSet;

use raft_core::{
    Action, Change, EntryBody, Event, Incarnation, Input, Membership, Message, PeerSession, RoleName, Round,
    Standing, Term,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use support::scene::{Scene, append, at, entries, heartbeat, index, kinds, node, sent, setup, voters};
use support::{Cluster, Disk};

/// Server 1 with an empty disk, in a cluster of `count` servers without a binding.
fn empty(count: u64) -> Scene {
    let mut setup = setup(count, 0, &[]);
    setup.bootstrap = Membership::of_voters((1..=count).map(node));
    Scene::new(setup).expect("an empty disk is sound")
}

fn hear(scene: &mut Scene, from: u64, standing: Standing) {
    scene.receive(from, 0, Message::HelloReply { standing });
}

// A server with an empty disk asks all others, again and again, until it knows its standing.
#[test]
fn a_server_with_an_empty_disk_asks_first() {
    let mut scene = empty(3);
    assert_eq!(scene.role(), RoleName::Joining);
    assert_eq!(kinds(&scene.opening), [(2, "Hello"), (3, "Hello")]);
    assert_eq!(kinds(&scene.tick(1)), []);
    assert_eq!(kinds(&scene.tick(1)), [(2, "Hello"), (3, "Hello")]);
}

// A cluster may begin with learners: they are sent the log, and their empty disks do not count.
#[test]
fn a_cluster_can_begin_with_learners() {
    let bootstrap = Membership::of_voters((1..=3).map(node)).with_learners([node(3), node(4), node(5)]);
    assert_eq!(
        bootstrap.learners().collect::<Vec<_>>(),
        [node(4), node(5)],
        "3 votes"
    );
    let mut cluster = Cluster::new(0);
    for id in [3, 4, 5] {
        cluster.start_with(id, Disk::default(), 1, id, bootstrap.clone());
    }
    cluster.tick(60);
    assert_eq!(
        cluster.leader(),
        None,
        "one voter of three and two learners are no majority"
    );
    cluster.start_with(1, Disk::default(), 1, 1, bootstrap);
    let leader = cluster.elect();
    assert!([1, 3].contains(&leader));
    cluster.propose(leader, b"for all");
    cluster.tick(5);
    for id in [1, 3, 4, 5] {
        assert_eq!(cluster.journal(id), [b"for all".to_vec()]);
    }
}

// It must not vote, acknowledge or campaign before: its disk may have been lost after it promised something.
#[test]
fn a_server_with_an_empty_disk_takes_no_part() {
    let mut scene = empty(3);
    for message in [
        Message::Vote { last: None },
        Message::PreVote {
            ask: Term::new(2),
            last: None,
        },
        append(None, entries(0, &[1]), 1),
        heartbeat(None),
    ] {
        assert_eq!(scene.receive(2, 1, message), []);
    }
    assert_eq!(scene.raft.status().ignored.stale, 4);
    scene.step(Event::Campaign);
    scene.tick(100);
    assert_eq!((scene.role(), scene.term()), (RoleName::Joining, 0));
}

// A first start proceeds when a majority, this server included, has answered that its log is empty.
#[test]
fn a_majority_of_empty_servers_is_a_first_start() {
    for (count, others) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3), (7, 3)] {
        let mut scene = empty(count);
        for other in 2..2 + others {
            assert_eq!(scene.role(), RoleName::Joining, "{other} of {count}");
            hear(&mut scene, other, Standing::Blank);
        }
        assert_eq!(scene.role(), RoleName::Follower, "{count}");
    }
}

// Found by simulation: a Hello may be as old as the cluster, and its sender may hold entries by now. Only a reply to
// our own Hello describes a log after our disk was found empty.
#[test]
fn a_hello_proves_nothing_about_its_senders_log() {
    let mut scene = empty(3);
    let actions = scene.receive(2, 0, Message::Hello);
    assert_eq!(
        sent(&actions),
        [(
            2,
            Message::HelloReply {
                standing: Standing::Blank
            }
        )]
    );
    assert_eq!(scene.role(), RoleName::Joining);
    hear(&mut scene, 2, Standing::Blank);
    assert_eq!(scene.role(), RoleName::Follower);
}

// Once any server's log is not empty, the cluster exists, and a majority of empty servers proves nothing.
#[test]
fn an_established_server_stops_the_first_start() {
    let mut scene = empty(5);
    hear(&mut scene, 2, Standing::Established);
    for other in 3..=5 {
        hear(&mut scene, other, Standing::Blank);
    }
    assert_eq!(scene.role(), RoleName::Joining);
}

// But whatever filled a log that was reported empty happened after this disk was found empty.
#[test]
fn a_log_that_was_seen_empty_still_counts_as_empty_when_it_fills() {
    let mut scene = empty(5);
    hear(&mut scene, 2, Standing::Blank);
    hear(&mut scene, 2, Standing::Established);
    hear(&mut scene, 3, Standing::Blank);
    assert_eq!(scene.role(), RoleName::Follower);
}

// Only voters start a cluster.
#[test]
fn a_server_outside_the_first_configuration_does_not_start_it() {
    let mut setup = setup(3, 0, &[]);
    setup.bootstrap = Membership::of_voters([node(2), node(3)]);
    let mut scene = Scene::new(setup).expect("an empty disk is sound");
    hear(&mut scene, 2, Standing::Blank);
    hear(&mut scene, 3, Standing::Blank);
    assert_eq!(scene.role(), RoleName::Joining);
}

#[test]
fn a_committed_binding_admits_and_another_one_fences() {
    let mut admitted = empty(3);
    hear(&mut admitted, 2, Standing::Established);
    hear(&mut admitted, 2, Standing::Admitted);
    assert_eq!(admitted.role(), RoleName::Follower);
    hear(&mut admitted, 3, Standing::Admitted);
    assert_eq!(admitted.raft.status().ignored.stale, 1, "it has joined already");

    let mut fenced = empty(3);
    let bound = Incarnation::new(99);
    hear(&mut fenced, 2, Standing::Fenced { bound });
    hear(&mut fenced, 3, Standing::Blank);
    assert_eq!(fenced.role(), RoleName::Joining);
    assert!(fenced.raft.status().fenced);
}

// The folder before this one may have voted in the term in which this one is admitted, for an unknown candidate.
// A vote for another candidate of that term could elect a second leader.
#[test]
fn an_admitted_server_votes_in_later_terms_only() {
    let mut scene = empty(3);
    hear(&mut scene, 2, Standing::Established);
    scene.receive(
        2,
        7,
        Message::HelloReply {
            standing: Standing::Admitted,
        },
    );
    assert_eq!(scene.role(), RoleName::Follower);
    let granted = |scene: &mut Scene, term| {
        let mut vote = scene.envelope(3, term, Message::Vote { last: None });
        // The candidate's log holds the entry that admitted this folder.
        vote.to_incarnation = Some(Incarnation::new(1));
        let actions = scene.step(Event::Receive(vote));
        sent(&actions).contains(&(3, Message::VoteReply { granted: true }))
    };
    assert!(!granted(&mut scene, 6));
    assert!(!granted(&mut scene, 7));
    assert!(granted(&mut scene, 8));
}

// A server's standing follows from committed bindings: an uncommitted one may yet be revoked.
#[test]
fn only_committed_bindings_decide_the_standing() {
    let standing = |scene: &mut Scene, from: u64, incarnation: u64| {
        let mut envelope = scene.envelope(from, 0, Message::Hello);
        envelope.from_incarnation = Incarnation::new(incarnation);
        let replies = sent(&scene.step(Event::Receive(envelope)));
        let Some((to, Message::HelloReply { standing })) = replies.first() else {
            panic!("{replies:?}")
        };
        assert_eq!(*to, from);
        *standing
    };
    let mut setup = setup(3, 1, &[1, 1]);
    setup.bootstrap = Membership::of_voters((1..=3).map(node));
    setup.durable.entries[1].body = EntryBody::Membership(voters(3).into());
    let mut scene = Scene::new(setup).expect("the disk is valid");
    assert_eq!(standing(&mut scene, 3, 3), Standing::Established);
    scene.receive(2, 1, heartbeat(at(1, 2)));
    assert_eq!(standing(&mut scene, 3, 3), Standing::Admitted);
    let bound = Incarnation::new(3);
    assert_eq!(standing(&mut scene, 3, 77), Standing::Fenced { bound });
    assert_eq!(standing(&mut scene, 9, 9), Standing::Established);
}

fn bindings(scene: &Scene) -> Vec<u64> {
    let membership = scene.raft.membership();
    (1..=3)
        .filter(|&n| membership.incarnation(node(n)).is_some())
        .collect()
}

/// A leader of term 2 that has bound no folder yet.
fn unbound_leader() -> Scene {
    let mut setup = setup(3, 1, &[]);
    setup.bootstrap = Membership::of_voters((1..=3).map(node));
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.win();
    scene
}

// A leader binds the folders that it has met, after an entry of its own term is committed (dissertation §4.1, corrected
// 2015), and one configuration at a time.
#[test]
fn a_leader_binds_the_folders_that_it_has_met_one_configuration_at_a_time() {
    let mut scene = unbound_leader();
    assert_eq!(
        bindings(&scene),
        [] as [u64; 0],
        "nothing of its term is committed"
    );
    scene.accept(2, at(2, 1));
    assert_eq!(bindings(&scene), [1, 2]);
    assert_eq!(scene.raft.membership_id(), at(2, 2));
    scene.accept(3, at(2, 1));
    assert_eq!(
        bindings(&scene),
        [1, 2],
        "the last configuration is not committed"
    );
    scene.accept(3, at(2, 2));
    assert_eq!(bindings(&scene), [1, 2, 3]);
    scene.accept(3, at(2, 3));
    assert_eq!(scene.raft.vitals().last, at(2, 3), "nothing is left to bind");
}

// A configuration is in force when it is appended, and revoked when it is truncated (paper §6).
#[test]
fn a_truncated_binding_is_revoked() {
    let mut scene = unbound_leader();
    scene.accept(2, at(2, 1));
    assert_eq!(bindings(&scene), [1, 2]);
    scene.receive(2, 3, append(at(2, 1), entries(1, &[3]), 0));
    assert_eq!(bindings(&scene), [] as [u64; 0]);
    assert_eq!(scene.raft.membership_id(), None);
}

// Fails closed: where a folder is bound, no other folder speaks for its server, and a server takes no message that is
// addressed to another folder.
#[test]
fn messages_of_another_folder_than_the_bound_one_are_dropped() {
    let mut scene = Scene::follower(3, 1, &[]);
    let mut foreign = scene.envelope(2, 5, Message::Vote { last: None });
    foreign.from_incarnation = Incarnation::new(22);
    let mut misdirected = scene.envelope(2, 5, Message::Vote { last: at(1, 1) });
    misdirected.to_incarnation = Some(Incarnation::new(11));
    for envelope in [foreign, misdirected] {
        assert_eq!(scene.step(Event::Receive(envelope)), []);
    }
    assert_eq!((scene.term(), scene.raft.status().ignored.fenced), (1, 2));
    let mut meant = scene.envelope(2, 5, Message::Vote { last: at(1, 1) });
    meant.to_incarnation = Some(Incarnation::new(1));
    scene.step(Event::Receive(meant));
    assert_eq!(scene.term(), 5);
}

// Except from a leader: servers that know its new folder elected it, and a lagging log that knows the old one has to
// catch up.
#[test]
fn a_lagging_server_accepts_a_leader_from_an_unknown_folder() {
    let mut scene = Scene::follower(3, 1, &[]);
    let from = |scene: &Scene, folder, message| {
        let mut envelope = scene.envelope(2, 2, message);
        envelope.from_incarnation = Incarnation::new(folder);
        Input::Event(Event::Receive(envelope))
    };
    let append = append(None, entries(0, &[2]), 0);
    let actions = scene.step(from(&scene, 22, append.clone()));
    let answers = actions.iter().filter_map(|action| match action {
        Action::Send(envelope) => Some((envelope.to, envelope.to_incarnation)),
        _ => None,
    });
    let answers: Vec<_> = answers.collect();
    assert_eq!(
        answers,
        [(node(2), Some(Incarnation::new(22)))],
        "the folder that spoke is answered"
    );
    assert_eq!(scene.log(), [2]);
    // In one term there is one leader, and it has one folder.
    assert_eq!(scene.step(from(&scene, 2, append)), []);
    assert_eq!(scene.raft.status().ignored.fenced, 1);
    // A candidate may be a folder that was lost.
    let vote = scene.envelope(3, 3, Message::Vote { last: at(2, 1) });
    let mut foreign = vote.clone();
    foreign.from_incarnation = Incarnation::new(33);
    assert_eq!(scene.step(Event::Receive(foreign)), []);
    assert_eq!(scene.raft.status().ignored.fenced, 2);
}

// Found by review: a lagging server must not keep itself from catching up by denying its vote to the only server that
// could lead. A log that is newer than this server's does not belong to an earlier folder than the one it knows.
#[test]
fn a_candidate_from_another_folder_with_a_newer_log_is_answered() {
    let mut scene = Scene::follower(3, 1, &[1]);
    let mut asked = |last, message: fn(Option<raft_core::LogId>) -> Message| {
        let mut envelope = scene.envelope(3, 1, message(last));
        envelope.from_incarnation = Incarnation::new(33);
        scene.step(Event::Receive(envelope))
    };
    let pre_vote = |last| Message::PreVote {
        ask: Term::new(2),
        last,
    };
    assert_eq!(asked(at(1, 1), pre_vote), []);
    for message in [pre_vote, |last| Message::Vote { last }] {
        let actions = asked(at(1, 2), message);
        let answers = actions.iter().filter_map(|action| match action {
            Action::Send(envelope) => Some((envelope.to_incarnation, envelope.message.clone())),
            _ => None,
        });
        let answers: Vec<_> = answers.collect();
        let [(Some(folder), answer)] = &answers[..] else {
            panic!("{actions:?}")
        };
        assert_eq!(*folder, Incarnation::new(33), "the folder that asked is answered");
        assert!(matches!(
            answer,
            Message::PreVoteReply { granted: true, .. } | Message::VoteReply { granted: true }
        ));
    }
}

#[test]
fn a_new_folder_is_elected_although_a_voter_knows_only_the_old_one() {
    let mut cluster = Cluster::new(5);
    let leader = cluster.elect();
    cluster.tick(30);
    let others: Vec<u64> = (1..=5).filter(|&id| id != leader).collect();
    let [replaced, lagging, gone, late] = others[..] else {
        panic!("five servers")
    };
    cluster.crash(replaced);
    cluster.isolate(lagging);
    assert!(cluster.make_change(Change::Remove(node(replaced))));
    cluster.crashed.remove(&replaced);
    cluster.start(replaced, Disk::default(), 1, 33);
    assert!(cluster.make_change(Change::AddLearner(node(replaced))));
    assert!(cluster.make_change(Change::Promote(node(replaced))));
    cluster.tick(10);
    cluster.isolate(late);
    let proposal = cluster.propose(leader, b"held by the new folder");
    cluster.tick(10);
    assert!(cluster.server(leader).done.contains_key(&proposal));
    cluster.crash(leader);
    cluster.crash(gone);
    cluster.heal();
    assert_eq!(cluster.elect(), replaced, "no other server has the whole log");
    let proposal = cluster.propose(replaced, b"goes on");
    cluster.tick(30);
    assert!(cluster.server(replaced).done.contains_key(&proposal));
    assert_eq!(cluster.journal(lagging), cluster.journal(replaced));
}

// A leader remembers which folder answered before the log does, and a second folder of that server counts for nothing.
#[test]
fn a_second_folder_does_not_answer_for_the_first() {
    let mut scene = unbound_leader();
    let reply = Message::HeartbeatReply {
        session: PeerSession::new(1),
        round: Round::new(0),
        promise_micros: 0,
        level: raft_core::Level::ZERO,
        halted: false,
        stalled: false,
        wall_time: None,
    };
    scene.receive(2, 2, reply);
    let outcome = raft_core::AppendOutcome::Accepted { last: at(2, 1) };
    let (session, round) = (PeerSession::new(1), Round::new(0));
    let mut second = scene.envelope(
        2,
        2,
        Message::AppendReply {
            session,
            round,
            outcome,
            promise_micros: 0,
        },
    );
    second.from_incarnation = Incarnation::new(22);
    scene.step(Event::Receive(second));
    assert_eq!(scene.commit(), 0);
    assert_eq!(scene.raft.log_id(index(1)), at(2, 1));
}

/// Starts a cluster in which some servers come late and some messages are lost; whether all take part in the end.
fn starts(seed: u64, count: u64, present: u64) -> bool {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let mut cluster = Cluster::new(count);
    for id in present + 1..=count {
        cluster.crash(id);
    }
    cluster.wire.retain(|envelope| envelope.from.value() <= present);
    let mut joined = false;
    for tick in 0..600 {
        for id in cluster.servers.keys().copied().collect::<Vec<_>>() {
            cluster.step(id, Event::Tick(1));
        }
        for _ in 0..4 {
            for envelope in core::mem::take(&mut cluster.wire) {
                let to = envelope.to.value();
                // A third of the messages is lost at the beginning.
                let lost = tick < 200 && dice.next_u64().is_multiple_of(3);
                if !lost && cluster.servers.contains_key(&to) {
                    cluster.step(to, Event::Receive(envelope));
                }
            }
        }
        if tick == 300 {
            for id in present + 1..=count {
                cluster.restart(id);
            }
        }
        let roles: BTreeSet<u64> = (cluster.servers.keys().copied().collect::<Vec<_>>().into_iter())
            .filter(|&id| cluster.role(id) != RoleName::Joining)
            .collect();
        joined = roles.len() as u64 == count && cluster.leader().is_some();
    }
    joined
}

// Any majority starts a cluster, and late servers are admitted, though messages are lost.
#[test]
fn every_majority_starts_a_cluster_of_two_to_seven() {
    for count in 2..=7 {
        for present in count / 2 + 1..=count {
            for seed in 0..3 {
                assert!(starts(seed, count, present), "{present} of {count}, seed {seed}");
            }
        }
    }
}

// A minority starts nothing.
#[test]
fn a_minority_waits() {
    let mut cluster = Cluster::new(5);
    for id in 3..=5 {
        cluster.crash(id);
    }
    cluster.wire.retain(|envelope| envelope.from.value() <= 2);
    cluster.tick(300);
    assert_eq!([1, 2].map(|id| cluster.role(id)), [RoleName::Joining; 2]);
    cluster.restart(4);
    assert!((1..=5).contains(&cluster.elect()));
}

// A server that lost its disk is fenced for good, and stays fenced after a restart.
#[test]
fn a_lost_disk_is_fenced_across_restarts() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.tick(10);
    let wiped = (1..=3).find(|&id| id != leader).expect("there are three");
    cluster.crash(wiped);
    for boot in 1..4 {
        cluster.start(wiped, Disk::default(), boot, 77);
        cluster.tick(50);
        assert_eq!(cluster.role(wiped), RoleName::Joining);
        cluster.crash(wiped);
    }
}
