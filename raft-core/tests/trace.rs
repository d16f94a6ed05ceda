//! Steps of the protocol, traced for a host that asks for them. Ours.

mod support;

use raft_core::{Action, Message, Notice, Trace};
use support::scene::{Scene, append, at, entries, heartbeat, id, index, node, setup};

fn steps(actions: &[Action]) -> Vec<Trace> {
    let steps = actions.iter().filter_map(|action| match action {
        Action::Notice(Notice::Trace(step)) => Some(*step),
        _ => None,
    });
    steps.collect()
}

fn watched(log: &[u64]) -> Scene {
    let mut setup = setup(3, 2, log);
    setup.config.options.trace = true;
    Scene::new(setup).expect("the disk is valid")
}

#[test]
fn a_vote_an_append_and_a_truncation_are_traced_in_order() {
    let mut scene = watched(&[1, 1]);
    let term = raft_core::Term::new(3);
    let (to, granted) = (node(2), true);
    let actions = scene.receive(2, 3, Message::Vote { last: at(2, 2) });
    assert_eq!(
        steps(&actions),
        [
            Trace::TermChanged { term },
            Trace::VoteAnswered { to, term, granted }
        ]
    );
    let actions = scene.receive(2, 3, append(at(1, 1), entries(1, &[3]), 1));
    assert_eq!(
        steps(&actions),
        [
            Trace::Truncated { from: index(2) },
            Trace::Appended { at: id(3, 2) },
            Trace::Committed { to: Some(index(1)) },
        ]
    );
}

#[test]
fn a_leader_traces_the_progress_of_its_peers() {
    let mut scene = watched(&[]);
    scene.win();
    let actions = scene.accept(3, at(3, 1));
    let last = Some(index(1));
    assert_eq!(
        steps(&actions),
        [
            Trace::Matched { peer: node(3), last },
            Trace::Committed { to: last }
        ]
    );
}

#[test]
fn nothing_is_traced_unless_the_host_asks() {
    let mut scene = Scene::follower(3, 2, &[]);
    let actions = [
        scene.receive(2, 3, append(None, entries(0, &[3]), 1)),
        scene.receive(2, 3, heartbeat(at(3, 1))),
    ];
    assert_eq!(steps(&actions.concat()), []);
}
