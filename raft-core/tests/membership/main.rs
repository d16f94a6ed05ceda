//! Changes of the configuration: paper §6; dissertation chapter 4. This file holds what the tests share; the other
//! files are named after their subjects.

mod health;
mod joint;
mod learners;
mod life_of_a_cluster;
mod one_at_a_time;
mod removal;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use raft_core::{
    Action, AppendOutcome, Change, ChangeError, ChangeRejection, Entry, EntryBody, Event, Expected,
    Incarnation, Input, LogId, Membership, Message, NodeId, Notice, PeerSession, ProposalId, Rejection,
    RoleName, Round, Tick,
};
use support::Cluster;
use support::scene::{
    Scene, append, appends, at, entries, heartbeat, id, index, kinds, node, sent, sent_to, setup, voters,
};

fn change(scene: &mut Scene, proposal: u64, change: Change) -> Vec<Action> {
    scene.step(Event::ChangeMembership {
        id: ProposalId::new(proposal),
        expect: Expected::Any,
        change,
        force: false,
    })
}

fn set(numbers: &[u64]) -> BTreeSet<NodeId> {
    numbers.iter().copied().map(node).collect()
}

fn replace(voters: &[u64], learners: &[u64]) -> Change {
    Change::Replace {
        voters: set(voters),
        learners: set(learners),
    }
}

fn refusals(actions: &[Action]) -> Vec<(u64, ChangeRejection)> {
    let refusals = actions.iter().filter_map(|action| match action {
        Action::Notice(Notice::ChangeRejected { id, reason, .. }) => Some((id.value(), *reason)),
        _ => None,
    });
    refusals.collect()
}

fn done(actions: &[Action]) -> Vec<(u64, LogId)> {
    let done = actions.iter().filter_map(|action| match action {
        Action::Done { id, at } => Some((id.value(), *at)),
        _ => None,
    });
    done.collect()
}

fn numbers(nodes: impl Iterator<Item = NodeId>) -> Vec<u64> {
    nodes.map(NodeId::value).collect()
}

/// Voters, outgoing voters and learners in force.
fn members(scene: &Scene) -> [Vec<u64>; 3] {
    let membership = scene.raft.membership();
    [
        numbers(membership.voters()),
        numbers(membership.outgoing()),
        numbers(membership.learners()),
    ]
}

/// The peer, in this session, acknowledges the log up to this index.
fn accept_in(scene: &mut Scene, from: u64, session: u32, last: Option<LogId>) -> Vec<Action> {
    let (session, round, term) = (PeerSession::new(session), Round::new(0), scene.term());
    let outcome = AppendOutcome::Accepted { last };
    let reply = Message::AppendReply {
        session,
        round,
        outcome,
        promise_micros: 0,
    };
    scene.receive(from, term, reply)
}

/// A leader in term 2 whose no-op at 1 is committed and held by all servers.
fn leader(count: u64) -> Scene {
    let mut scene = Scene::leader(count, 2, &[]);
    for peer in 2..=count {
        scene.accept(peer, at(2, 1));
    }
    assert_eq!(scene.commit(), 1);
    scene
}

/// The same leader after server 4 was added as a learner at position 2 and holds everything, with the binding at 3.
fn leader_with_learner() -> Scene {
    let mut scene = leader(3);
    change(&mut scene, 1, Change::AddLearner(node(4)));
    scene.accept(2, at(2, 2));
    accept_in(&mut scene, 4, 3, at(2, 2));
    assert_eq!(scene.raft.membership_id(), at(2, 3), "server 4 is bound");
    for (peer, session) in [(2, 1), (3, 2), (4, 3)] {
        accept_in(&mut scene, peer, session, at(2, 3));
    }
    assert_eq!(scene.commit(), 3);
    scene
}

/// An entry that sets a configuration.
fn sets(term: u64, position: u64, membership: Membership) -> Entry {
    Entry {
        id: id(term, position),
        body: EntryBody::Membership(membership.into()),
    }
}

/// Server 1 of three as a follower in term 1, with these entries in its log after one that is committed.
fn follower_with(count: u64, more: Vec<Entry>) -> Scene {
    let mut setup = setup(count, 1, &[1]);
    setup.durable.commit = Some(index(1));
    setup.durable.entries.extend(more);
    Scene::new(setup).expect("the disk is valid")
}

/// The round of the heartbeats to this peer among the actions.
fn heartbeats(to: u64, actions: &[Action]) -> Vec<(u64, Option<LogId>)> {
    let beats = sent_to(to, actions)
        .into_iter()
        .filter_map(|message| match message {
            Message::Heartbeat { round, commit, .. } => Some((round.value(), commit)),
            _ => None,
        });
    beats.collect()
}
