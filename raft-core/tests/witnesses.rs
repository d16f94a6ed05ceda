//! Servers that vote and acknowledge like the others and hold no commands. Ours.

mod support;

use raft_core::replica::{Output, Replica};
use raft_core::{
    Action, Change, ChangeError, ChangeRejection, Durable, Entries, Entry, EntryBody, Event, Expected,
    Incarnation, Input, Membership, Message, NodeId, Notice, PeerSession, ProposalId, Raft, Rejection,
    RestoreError, RoleName, SnapshotMeta, TransferOutcome,
};
use support::Journal;
use support::scene::{
    Scene, append, at, entries, heartbeat, id, index, node, outcomes, sent_to, setup, snapshot, voters,
    writes,
};

/// Three voters, of which the given one is a witness.
fn configuration(witness: u64) -> Membership {
    voters(3).with_witnesses([node(witness)])
}

/// Server 1 of three as a witness, with entries of these terms that it holds without their commands.
fn witness(log: &[u64]) -> Scene {
    let mut setup = setup(3, 2, &[]);
    setup.bootstrap = configuration(1);
    setup.config.options.witness = true;
    setup.durable.entries = withheld(0, log);
    Scene::new(setup).expect("the disk is valid")
}

fn withheld(before: u64, terms: &[u64]) -> Vec<Entry> {
    let hide = |entry: Entry| Entry {
        body: EntryBody::Withheld,
        ..entry
    };
    entries(before, terms).into_iter().map(hide).collect()
}

/// Server 1 of three as the leader of term 2, server 3 being a witness.
fn leader(log: &[u64]) -> Scene {
    let mut setup = setup(3, 1, log);
    setup.bootstrap = configuration(3);
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.win();
    scene
}

/// The entries' contents in the appends to this peer.
fn bodies(to: u64, actions: &[Action]) -> Vec<EntryBody> {
    let entries = sent_to(to, actions)
        .into_iter()
        .filter_map(|message| match message {
            Message::Append { entries, .. } => Some(entries),
            _ => None,
        });
    let bodies = |entries: Entries| entries.iter().map(|entry| entry.body.clone()).collect::<Vec<_>>();
    entries.flat_map(bodies).collect()
}

fn change(scene: &mut Scene, change: Change) -> Result<(), ChangeRejection> {
    let id = ProposalId::new(77);
    let actions = scene.step(Event::ChangeMembership {
        id,
        expect: Expected::Any,
        change,
        force: false,
    });
    let refused = actions.iter().find_map(|action| match action {
        Action::Notice(Notice::ChangeRejected { reason, .. }) => Some(*reason),
        _ => None,
    });
    refused.map_or(Ok(()), Err)
}

#[test]
fn a_witness_gets_terms_and_positions_and_no_commands() {
    let mut scene = leader(&[]);
    scene.accept(2, at(2, 1));
    scene.accept(3, at(2, 1));
    let actions = scene.propose(1, b"secret");
    assert_eq!(bodies(2, &actions), [EntryBody::Command(b"secret"[..].into())]);
    assert_eq!(bodies(3, &actions), [EntryBody::Withheld]);
}

// Configurations are needed for votes, so they come in full.
#[test]
fn a_witness_gets_configurations_in_full() {
    let mut scene = leader(&[]);
    scene.accept(3, at(2, 1));
    let actions = scene.step(Event::ChangeMembership {
        id: ProposalId::new(1),
        expect: Expected::Any,
        change: Change::AddLearner(node(4)),
        force: false,
    });
    let [EntryBody::Membership(membership)] = &bodies(3, &actions)[..] else {
        panic!("{actions:?}")
    };
    assert!(membership.contains(node(4)) && membership.is_witness(node(3)));
}

#[test]
fn a_witness_counts_for_commitment() {
    let mut scene = leader(&[]);
    scene.accept(3, at(2, 1));
    assert_eq!(scene.commit(), 1);
}

#[test]
fn a_witness_votes_and_acknowledges_like_the_others() {
    let mut scene = witness(&[1, 2]);
    let actions = scene.receive(2, 3, Message::Vote { last: at(2, 1) });
    assert!(
        sent_to(2, &actions).contains(&Message::VoteReply { granted: false }),
        "§5.4.1"
    );
    let actions = scene.receive(2, 4, Message::Vote { last: at(2, 2) });
    assert!(sent_to(2, &actions).contains(&Message::VoteReply { granted: true }));
    let actions = scene.receive(2, 4, append(at(2, 2), withheld(2, &[4]), 3));
    assert_eq!(
        outcomes(&actions),
        [raft_core::AppendOutcome::Accepted { last: at(4, 3) }]
    );
    assert_eq!(
        (scene.commit(), scene.applied()),
        (3, 3),
        "there is nothing to apply"
    );
    assert!(
        !actions
            .iter()
            .any(|action| matches!(action, Action::Apply { .. }))
    );
}

#[test]
fn a_witness_never_campaigns() {
    let mut scene = witness(&[2]);
    scene.tick(200);
    scene.step(Event::Campaign);
    assert_eq!((scene.role(), scene.term()), (RoleName::Follower, 2));
    scene.receive(2, 2, heartbeat(None));
    scene.receive(2, 2, Message::TimeoutNow);
    assert_eq!(scene.role(), RoleName::Follower);
}

#[test]
fn a_witness_is_no_target_and_no_successor() {
    let mut scene = leader(&[]);
    scene.accept(3, at(2, 1));
    let actions = scene.step(Event::Transfer { to: node(3) });
    let reason = Rejection::NotATarget { to: node(3) };
    let outcome = TransferOutcome::Rejected(reason);
    assert_eq!(
        actions,
        [Action::Notice(Notice::TransferEnded { to: node(3), outcome })]
    );
    // A leader that removes itself names a successor: of those that answer, not the witness.
    change(&mut scene, Change::AddLearner(node(4))).expect("it makes sense");
    scene.accept(3, at(2, 2));
    let demoted = change(&mut scene, Change::Demote(node(1)));
    assert_eq!(demoted, Err(ChangeError::TooManyWitnesses.into()));
}

#[test]
fn a_witness_answers_no_client() {
    let mut scene = witness(&[]);
    scene.receive(2, 2, heartbeat(None));
    let leader = Some(node(2));
    let [Action::Notice(Notice::Rejected { reason, .. })] = &scene.propose(1, b"one")[..] else {
        panic!("it is refused")
    };
    assert_eq!(*reason, Rejection::NotLeader { leader });
    let [Action::Notice(Notice::ReadRejected { reason, .. })] = &scene.read(1)[..] else {
        panic!("it is refused")
    };
    assert_eq!(*reason, Rejection::NotLeader { leader });
}

// Otherwise a quorum could commit entries whose commands none of its servers holds, and too few servers could lead.
#[test]
fn witnesses_are_fewer_than_half_of_each_half() {
    let mut scene = leader(&[]);
    scene.accept(3, at(2, 1));
    scene.accept(2, at(2, 1));
    let too_many = Err(ChangeRejection::from(ChangeError::TooManyWitnesses));
    assert_eq!(change(&mut scene, Change::Remove(node(2))), too_many);
    let replace = |voters: &[u64]| Change::Replace {
        voters: voters.iter().copied().map(node).collect(),
        learners: [].into(),
    };
    assert_eq!(change(&mut scene, replace(&[1, 3])), too_many);
    assert_eq!(change(&mut scene, replace(&[1])), Ok(()));
    let all: Vec<NodeId> = (1..=2).map(node).collect();
    for witnesses in 1..=2 {
        let mut setup = setup(2, 1, &[]);
        setup.bootstrap = voters(2).with_witnesses(all[..witnesses].iter().copied());
        assert_eq!(Raft::new(setup).err(), Some(RestoreError::TooManyWitnesses));
    }
}

#[test]
fn a_witness_comes_as_a_learner_and_is_promoted() {
    let mut scene = Scene::leader(3, 2, &[]);
    scene.accept(2, at(2, 1));
    change(&mut scene, Change::AddWitness(node(4))).expect("it makes sense");
    scene.accept(2, at(2, 2));
    let hello = scene.envelope(4, 2, Message::Hello);
    scene.step(Event::Receive(hello));
    scene.accept(2, at(2, 3));
    let membership = scene.raft.membership();
    assert!(membership.is_witness(node(4)) && !membership.is_voter(node(4)));
    assert_eq!(membership.incarnation(node(4)), Some(Incarnation::new(4)));
    let session = PeerSession::new(3);
    let accepted = Message::AppendReply {
        session,
        round: raft_core::Round::new(0),
        outcome: raft_core::AppendOutcome::Accepted { last: at(2, 3) },
        promise_micros: 0,
    };
    scene.receive(4, 2, accepted);
    change(&mut scene, Change::Promote(node(4))).expect("it has caught up");
    let membership = scene.raft.membership();
    assert!(membership.is_witness(node(4)) && membership.is_voter(node(4)));
    // Once it is removed it may come again as either.
    scene.accept(2, at(2, 4));
    scene.accept(3, at(2, 4));
    change(&mut scene, Change::Remove(node(4))).expect("it is a member");
    assert!(!scene.raft.membership().is_witness(node(4)));
}

#[test]
fn entries_of_the_other_kind_are_not_acknowledged() {
    let mut scene = witness(&[2]);
    let actions = scene.receive(2, 2, append(at(2, 1), entries(1, &[2]), 1));
    assert_eq!(
        (outcomes(&actions), scene.raft.status().ignored.misfit),
        (vec![], 1)
    );
    let mut other = Scene::follower(3, 2, &[2]);
    let actions = other.receive(2, 2, append(at(2, 1), withheld(1, &[2]), 1));
    assert_eq!(
        (outcomes(&actions), other.raft.status().ignored.misfit),
        (vec![], 1)
    );
    assert_eq!((scene.log(), other.log()), (vec![2], vec![2]));
}

#[test]
fn a_folder_is_of_a_witness_from_its_beginning_or_never() {
    let misfit = Some(RestoreError::Misfit);
    let mut with_commands = setup(3, 2, &[1, 2]);
    with_commands.config.options.witness = true;
    assert_eq!(Raft::new(with_commands).err(), misfit);
    let mut without = setup(3, 2, &[]);
    without.durable.entries = withheld(0, &[1, 2]);
    assert_eq!(Raft::new(without).err(), misfit);
    for witness in [true, false] {
        let mut of_the_other_kind = setup(3, 2, &[]);
        of_the_other_kind.config.options.witness = witness;
        of_the_other_kind.durable.snapshot = Some(SnapshotMeta {
            withheld: !witness,
            ..snapshot(2, 4, 3)
        });
        assert_eq!(Raft::new(of_the_other_kind).err(), misfit);
    }
}

fn small(witness: u64) -> raft_core::Setup {
    let mut setup = setup(3, 2, &[]);
    setup.bootstrap = configuration(witness);
    setup.config.options.witness = witness == 1;
    setup.config.snapshots.every_entries = 3;
    setup.config.snapshots.keep_entries = 1;
    setup
}

#[test]
fn a_witness_compacts_its_log_by_itself() {
    let mut scene = Scene::new(small(1)).expect("the disk is valid");
    let actions = scene.receive(2, 2, append(None, withheld(0, &[1, 1, 2, 2]), 4));
    let compacted = writes(&actions).into_iter().find_map(|write| {
        let meta = write.snapshot?;
        Some((meta.last, meta.withheld, write.compact_to))
    });
    assert_eq!(compacted, Some((id(2, 4), true, Some(index(3)))));
    assert_eq!(scene.raft.first_index(), index(4));
    // Its disk then holds a valid state to start from.
    let mut again = small(1);
    again.durable = Durable {
        hard_state: scene.raft.hard_state(),
        snapshot: scene.raft.snapshot().cloned(),
        entries: withheld(3, &[2]),
        ..Durable::default()
    };
    let again = Scene::new(again).expect("the disk is valid");
    assert_eq!((again.commit(), again.applied()), (4, 4));
}

#[test]
fn a_lagging_witness_gets_a_snapshot_without_bytes() {
    let mut leading = small(3);
    leading.durable.entries = entries(0, &[1, 1, 2, 2]);
    leading.durable.commit = Some(index(4));
    let mut scene = Scene::new(leading).expect("the disk is valid");
    scene.win();
    scene.accept(2, at(3, 5));
    scene.step(Input::SnapshotTaken { last: id(3, 5) });
    scene.reject(3, at(2, 4), None);
    let actions = [scene.drain(), scene.tick(4)].concat();
    let sent = sent_to(3, &actions)
        .into_iter()
        .find_map(|message| match message {
            Message::SnapshotChunk {
                meta,
                total_bytes,
                data,
                ..
            } => Some((meta, total_bytes, data.len())),
            _ => None,
        });
    let (meta, total_bytes, length) = sent.expect("it needs one");
    assert_eq!(
        (meta.last, meta.withheld, total_bytes, length),
        (id(3, 5), true, 0, 0)
    );
    let asked = |action: &Action| matches!(action, Action::SendSnapshot { to, .. } if *to == node(3));
    assert!(!actions.iter().any(asked), "the host has nothing to send");

    let mut witness = Scene::new(small(1)).expect("the disk is valid");
    let chunk = Message::SnapshotChunk {
        session: PeerSession::new(1),
        meta: meta.clone(),
        total_bytes,
        checksum: 0,
        offset: 0,
        data: b""[..].into(),
    };
    let actions = witness.receive(2, 3, chunk.clone());
    assert_eq!(
        outcomes(&actions),
        [raft_core::AppendOutcome::Accepted { last: at(3, 5) }]
    );
    assert_eq!((witness.commit(), witness.applied()), (5, 5));
    // A server that is not a witness must not install it as a state.
    let mut other = Scene::follower(3, 2, &[]);
    other.receive(2, 3, chunk);
    assert_eq!((other.commit(), other.raft.status().ignored.misfit), (0, 1));
    // Replication continues after it.
    let actions = scene.accept(3, at(3, 5));
    assert!(bodies(3, &actions).is_empty());
    let actions = scene.propose(1, b"next");
    assert_eq!(bodies(3, &actions), [EntryBody::Withheld]);
}

#[test]
fn a_removed_witness_is_still_sent_entries_without_commands() {
    let mut scene = leader(&[]);
    scene.accept(2, at(2, 1));
    scene.accept(3, at(2, 1));
    change(&mut scene, Change::Remove(node(3))).expect("it is a member");
    let actions = scene.propose(1, b"secret");
    let first = bodies(3, &actions);
    let then = bodies(3, &scene.accept(3, at(2, 2)));
    assert_eq!([first, then].concat(), [EntryBody::Withheld]);
}

// Found by simulation: a leader crashed before its own disk held what its witnesses held, and no other server could
// lead.
#[test]
fn a_witness_gets_nothing_that_is_not_durable_on_its_leader() {
    let mut scene = leader(&[]);
    scene.accept(2, at(2, 1));
    scene.accept(3, at(2, 1));
    scene.prompt = false;
    let actions = scene.propose(1, b"one");
    assert_eq!(bodies(2, &actions).len(), 1);
    assert_eq!(bodies(3, &actions), []);
    let ticket = writes(&actions).last().expect("it is to be written").ticket;
    let actions = scene.step(Event::Persisted(ticket));
    assert_eq!(bodies(3, &actions), [EntryBody::Withheld]);
}

// Found by simulation: a leader that had removed itself left an entry with witnesses only, and one of the others was
// down.
#[test]
fn a_witness_gets_nothing_that_only_a_removed_leader_holds() {
    let mut setup = setup(4, 1, &[]);
    let bootstrap = voters(4).with_witnesses([node(3)]).with_learners([node(5)]);
    setup.bootstrap = bootstrap.bind([(node(5), Incarnation::new(5))]);
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.win();
    for peer in 2..=5 {
        scene.accept(peer, at(2, 1));
    }
    assert_eq!(scene.commit(), 1);
    let actions = scene.step(Event::ChangeMembership {
        id: ProposalId::new(77),
        expect: Expected::Any,
        change: Change::Remove(node(1)),
        force: false,
    });
    assert_eq!((bodies(2, &actions).len(), bodies(4, &actions).len()), (1, 1));
    assert_eq!(bodies(3, &actions), []);
    let actions = scene.accept(5, at(2, 2));
    assert_eq!(bodies(3, &actions), [], "a learner may not lead either");
    let actions = scene.accept(4, at(2, 2));
    assert_eq!(bodies(3, &actions).len(), 1, "another one who may lead holds it");
}

// Found by simulation: a witness that could compact as it started was refused, because its snapshot had no bytes, which
// a witness's never has.
#[test]
fn a_witness_may_take_its_snapshot_while_it_starts() {
    let mut starting = small(1);
    starting.durable.entries = withheld(0, &[1, 1, 2, 2]);
    starting.durable.commit = Some(index(4));
    let mut replica = Replica::new(starting, Journal::default(), None).expect("the disk is valid");
    let mut outputs = Vec::new();
    replica.drain(&mut outputs);
    let named = outputs.iter().find_map(|output| match output {
        Output::Persist(persist) => Some(persist.snapshot.as_ref()?.last),
        _ => None,
    });
    assert_eq!(
        named,
        Some(id(2, 4)),
        "without bytes, there is nothing to write first"
    );
}
