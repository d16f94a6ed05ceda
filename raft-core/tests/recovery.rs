//! A majority is lost for good, and an operator makes one survivor the whole cluster. Ours; never automatic.

mod support;

use raft_core::{
    Change, Config, Durable, Entry, EntryBody, Incarnation, Membership, NodeId, Options, Recovery,
    RecoveryError, RestoreError, RoleName, Setup, Term,
};
use support::scene::{entries, id, index, node, setup, snapshot};
use support::{Cluster, Disk};

/// The setup that the server would be started with.
fn setup_of(cluster: &Cluster, number: u64, disk: &Disk) -> Setup {
    let mut setup = setup(cluster.size, 0, &[]);
    setup.identity.node = node(number);
    setup.identity.incarnation = Incarnation::new(number);
    setup.durable = disk.durable.clone();
    setup
}

/// Stops the server, makes it the whole cluster, and starts it again.
fn recover(cluster: &mut Cluster, number: u64) -> Recovery {
    cluster.crash(number);
    let (disk, _) = &cluster.crashed[&number];
    let recovery = Recovery::of(&setup_of(cluster, number, disk)).expect("it is a member");
    let (disk, _) = cluster.crashed.get_mut(&number).expect("it is down");
    disk.write(&recovery.write);
    cluster.restart(number);
    recovery
}

fn written(cluster: &mut Cluster, command: &[u8]) -> bool {
    let leader = cluster.elect();
    let proposal = cluster.propose(leader, command);
    cluster.tick(15);
    cluster.server(leader).done.contains_key(&proposal)
}

fn voters(cluster: &mut Cluster, number: u64) -> Vec<u64> {
    let membership = cluster.server(number).replica.raft().membership();
    membership.voters().map(NodeId::value).collect()
}

#[test]
fn a_survivor_continues_alone_and_the_cluster_grows_again() {
    for mut cluster in [Cluster::new(3), Cluster::with_snapshots(3, 4, 1)] {
        for number in 0..10 {
            assert!(written(&mut cluster, &[number]));
        }
        cluster.crash(2);
        cluster.crash(3);
        cluster.tick(100);
        assert_eq!(cluster.leader(), None, "no server does this by itself");

        let recovery = recover(&mut cluster, 1);
        assert_eq!(recovery.without, [node(2), node(3)]);
        assert_eq!(cluster.elect(), 1);
        assert_eq!(voters(&mut cluster, 1), [1]);
        assert!(written(&mut cluster, b"alone"));
        assert_eq!(cluster.journal(1).len(), 11);

        // One comes back with an empty folder, one is new. Neither counts before it is added.
        for (number, folder) in [(2, 22), (4, 4)] {
            cluster.start_with(number, Disk::default(), 1, folder, Membership::default());
            assert!(cluster.make_change(Change::AddLearner(node(number))));
            assert!(cluster.make_change(Change::Promote(node(number))));
        }
        assert_eq!(voters(&mut cluster, 4), [1, 2, 4]);
        assert!(written(&mut cluster, b"together"));
        cluster.crash(1);
        assert!(written(&mut cluster, b"without the first"));
        let leader = cluster.elect();
        assert_eq!(cluster.journal(leader).len(), 13);
    }
}

// The old cluster's leader never knew that it was committed, and told no server; the survivor cannot know either.
#[test]
fn the_survivors_whole_log_becomes_committed_and_is_reported() {
    let mut cluster = Cluster::new(3);
    assert!(written(&mut cluster, b"on all"));
    let leader = cluster.elect();
    cluster.isolate(leader);
    let proposal = cluster.propose(leader, b"on one");
    cluster.tick(1);
    assert!(!cluster.server(leader).done.contains_key(&proposal));
    for other in (1..=3).filter(|&other| other != leader) {
        cluster.crash(other);
    }
    let last = cluster.server(leader).replica.raft().vitals().last;
    let recovery = recover(&mut cluster, leader);
    assert_eq!(recovery.last, last);
    let (first, to) = recovery.unconfirmed.expect("one is not known to be committed");
    assert!(first <= to && Some(to) == last.map(|last| last.index));
    cluster.elect();
    assert_eq!(cluster.journal(leader), [b"on all".to_vec(), b"on one".to_vec()]);
}

// The configuration that was in force last counts, committed or not, joint or not: none of its other members is needed
// any longer.
#[test]
fn a_change_that_was_in_progress_is_over() {
    let mut cluster = Cluster::new(5);
    let leader = cluster.elect();
    assert!(written(&mut cluster, b"before"));
    let gone: Vec<u64> = (1..=5).filter(|&other| other != leader).collect();
    for &other in &gone {
        cluster.crash(other);
    }
    let (voters, learners) = ([leader, gone[0]].map(node).into(), [node(gone[1])].into());
    cluster.change(leader, Change::Replace { voters, learners });
    assert!(cluster.server(leader).replica.raft().membership().is_joint());
    let recovery = recover(&mut cluster, leader);
    assert_eq!(
        recovery.without,
        gone.iter().copied().map(node).collect::<Vec<_>>()
    );
    assert!(written(&mut cluster, b"after"));
    let membership = cluster.server(leader).replica.raft().membership();
    assert!(!membership.is_joint() && membership.len() == 1);
}

// A crash in the middle leaves a server that can be recovered again.
#[test]
fn an_interrupted_recovery_is_made_again() {
    let mut setup = setup(3, 4, &[1, 4]);
    let first = Recovery::of(&setup).expect("it is a member");
    let written = first.write.hard_state.as_ref().expect("a term is written");
    assert_eq!((written.term, written.vote), (Term::new(5), None));
    assert!(written.cluster.is_bound(), "it is another cluster from here on");
    setup.durable.hard_state = *first.write.hard_state.expect("a term is written");
    let again = Recovery::of(&setup).expect("it is a member");
    assert_eq!(again.write.entries[0].id, id(6, 3));
    setup.durable.hard_state = *again.write.hard_state.expect("a term is written");
    setup.durable.entries.extend(again.write.entries.iter().cloned());
    assert_eq!(Recovery::of(&setup), Err(RecoveryError::Alone), "it is done");
}

// A new snapshot beside an old log that does not hold its last entry: the old log is discarded, as at any start.
#[test]
fn a_log_that_a_snapshot_replaced_is_discarded() {
    let mut setup = setup(3, 4, &[1, 1]);
    setup.durable.snapshot = Some(snapshot(3, 9, 3));
    let recovery = Recovery::of(&setup).expect("it is a member");
    assert_eq!(recovery.write.truncate_from, Some(index(1)));
    assert_eq!(recovery.write.entries[0].id, id(5, 10));
    assert_eq!((recovery.last, recovery.unconfirmed), (Some(id(3, 9)), None));
}

#[test]
fn an_invalid_basis_for_a_recovery_is_refused() {
    let refusal = |setup: &Setup| Recovery::of(setup).expect_err("it is refused");
    let member = || setup(3, 4, &[1, 4]);
    let sets = |membership: Membership| Entry {
        id: id(4, 3),
        body: EntryBody::Membership(membership.into()),
    };

    let mut empty = member();
    empty.durable = Durable::default();
    assert_eq!(refusal(&empty), RecoveryError::Empty);

    let mut witness = member();
    witness.config = Config {
        options: Options {
            witness: true,
            ..Options::default()
        },
        ..Config::default()
    };
    witness.durable.entries = Vec::new();
    assert_eq!(refusal(&witness), RecoveryError::Witness);

    let mut removed = member();
    removed.durable.commit = Some(index(3));
    removed
        .durable
        .entries
        .push(sets(Membership::of_voters([2, 3].map(node))));
    assert_eq!(refusal(&removed), RecoveryError::NotMember);

    // No server is left that could say whether the removal was committed.
    removed.durable.entries.pop();
    removed.durable.commit = Some(index(2));
    removed
        .durable
        .entries
        .push(sets(Membership::of_voters([2, 3].map(node))));
    let recovery = Recovery::of(&removed).expect("it is a member by what it knows to be committed");
    assert_eq!(recovery.unconfirmed, Some((index(3), index(3))));
    assert_eq!(recovery.without, [2, 3].map(node));

    let mut fenced = member();
    let (bound, found) = (Incarnation::new(77), fenced.identity.incarnation);
    let membership = Membership::of_voters([1, 2, 3].map(node)).bind([(node(1), bound)]);
    fenced.durable.entries.push(sets(membership));
    assert_eq!(refusal(&fenced), RecoveryError::Fenced { bound, found });

    let mut alone = member();
    alone.bootstrap = Membership::of_voters([node(1)]);
    assert_eq!(refusal(&alone), RecoveryError::Alone);

    let mut torn = member();
    torn.durable.entries = entries(0, &[1, 4, 4]);
    torn.durable.entries.remove(1);
    let gap = matches!(refusal(&torn), RecoveryError::Restore(RestoreError::Gap { .. }));
    assert!(gap);

    // The last numbers that are sound, so that there is none for what comes next.
    let largest = u64::MAX >> 16;
    let out_of_range = RecoveryError::Restore(RestoreError::OutOfRange { number: largest + 1 });
    let mut last_term = member();
    last_term.durable.hard_state.term = Term::new(largest);
    assert_eq!(refusal(&last_term), out_of_range);
    let mut last_position = member();
    last_position.durable.entries = Vec::new();
    last_position.durable.snapshot = Some(snapshot(4, largest, 3));
    assert_eq!(refusal(&last_position), out_of_range);
}

// A learner holds the log like any voter, and may be the only server left.
#[test]
fn a_learner_can_be_the_survivor() {
    let mut cluster = Cluster::new(3);
    assert!(written(&mut cluster, b"before"));
    cluster.start_new(4);
    assert!(cluster.make_change(Change::AddLearner(node(4))));
    cluster.tick(30);
    for gone in 1..=3 {
        cluster.crash(gone);
    }
    let recovery = recover(&mut cluster, 4);
    assert_eq!(recovery.without, [1, 2, 3].map(node));
    assert!(written(&mut cluster, b"after"));
    assert_eq!(cluster.role(4), RoleName::Leader);
    assert_eq!(cluster.journal(4).len(), 2);
}
