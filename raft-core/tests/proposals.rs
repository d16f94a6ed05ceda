//! Every proposal ends once: done, rejected with its command handed back, superseded, or unknown.

mod support;

use raft_core::{Action, Change, ChangeRejection, Event, Expected, Input, Notice, ProposalId, Rejection};
use support::Cluster;
use support::scene::{Scene, append, at, entries, heartbeat, id, index, node, snapshot, writes};

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Done(raft_core::LogId),
    Rejected(Rejection, Vec<u8>),
    Superseded,
    Unknown,
}

fn outcomes(actions: &[Action]) -> Vec<(u64, Outcome)> {
    let outcomes = actions.iter().filter_map(|action| match action {
        Action::Done { id, at } => Some((id.value(), Outcome::Done(*at))),
        Action::Notice(Notice::Rejected { id, reason, payload }) => {
            Some((id.value(), Outcome::Rejected(*reason, payload.to_vec())))
        }
        Action::Notice(Notice::Superseded { id }) => Some((id.value(), Outcome::Superseded)),
        Action::Notice(Notice::Unknown { id }) => Some((id.value(), Outcome::Unknown)),
        _ => None,
    });
    outcomes.collect()
}

/// A leader of three in term 2 with its no-op committed and the proposals 1 and 2 at positions 2 and 3.
fn leader_with_two() -> Scene {
    let mut scene = Scene::leader(3, 2, &[]);
    scene.accept(2, at(2, 1));
    scene.propose(1, b"one");
    scene.propose(2, b"two");
    scene
}

#[test]
fn a_proposal_that_is_committed_and_handed_out_is_done() {
    let mut scene = leader_with_two();
    assert_eq!(
        outcomes(&scene.accept(2, at(2, 2))),
        [(1, Outcome::Done(id(2, 2)))]
    );
    assert_eq!(
        outcomes(&scene.accept(2, at(2, 3))),
        [(2, Outcome::Done(id(2, 3)))]
    );
}

// Done comes right after the Apply that holds its entry, so that a host knows the state machine's response.
#[test]
fn done_follows_its_apply() {
    let mut scene = leader_with_two();
    scene.prompt = false;
    let actions = scene.accept(2, at(2, 3));
    let order: Vec<_> = actions
        .iter()
        .filter(|a| matches!(a, Action::Apply { .. } | Action::Done { .. }))
        .collect();
    assert!(
        matches!(
            order.as_slice(),
            [Action::Apply { .. }, Action::Done { .. }, Action::Done { .. }]
        ),
        "{order:?}"
    );
}

#[test]
fn a_proposal_elsewhere_is_handed_back_with_the_leaders_name() {
    let mut scene = Scene::follower(3, 2, &[]);
    let unknown_leader = Rejection::NotLeader { leader: None };
    assert_eq!(
        outcomes(&scene.propose(1, b"x")),
        [(1, Outcome::Rejected(unknown_leader, b"x".to_vec()))]
    );
    scene.receive(3, 2, heartbeat(None));
    let third = Rejection::NotLeader {
        leader: Some(node(3)),
    };
    assert_eq!(
        outcomes(&scene.propose(2, b"y")),
        [(2, Outcome::Rejected(third, b"y".to_vec()))]
    );
    scene.step(Event::Campaign);
    assert_eq!(
        outcomes(&scene.propose(3, b"z")),
        [(3, Outcome::Rejected(unknown_leader, b"z".to_vec()))]
    );
}

// Stepping down decides nothing: the log decides, with the next leader's entries.
#[test]
fn stepping_down_settles_no_proposal() {
    let mut scene = leader_with_two();
    assert_eq!(outcomes(&scene.receive(3, 3, heartbeat(None))), []);
    // The new leader holds the first of the two, and another entry in place of the second.
    let actions = scene.receive(3, 3, append(at(2, 2), entries(2, &[3]), 0));
    assert_eq!(outcomes(&actions), []);
    let actions = scene.receive(3, 3, append(at(3, 3), Vec::new(), 3));
    assert_eq!(
        outcomes(&actions),
        [(2, Outcome::Superseded), (1, Outcome::Done(id(2, 2)))]
    );
}

#[test]
fn committed_entries_of_a_later_leader_supersede_the_proposals_that_they_replace() {
    let mut scene = leader_with_two();
    let actions = scene.receive(3, 3, append(at(2, 1), entries(1, &[3]), 1));
    assert_eq!(outcomes(&actions), []);
    // The entry of term 3 replaces the first one, and no log holds one of term 2 after it.
    let actions = scene.receive(3, 3, append(at(3, 2), Vec::new(), 2));
    assert_eq!(
        outcomes(&actions),
        [(2, Outcome::Superseded), (1, Outcome::Superseded)]
    );
}

// Figure 8: an entry that one leader truncated here may be held elsewhere, and committed by a later leader.
#[test]
fn a_truncated_proposal_is_done_when_its_entry_comes_back() {
    let mut scene = leader_with_two();
    let actions = scene.receive(3, 3, append(at(2, 1), entries(1, &[3]), 1));
    assert_eq!(outcomes(&actions), []);
    // The leader of term 4 still had both entries of term 2.
    let actions = scene.receive(2, 4, append(at(2, 1), entries(1, &[2, 2, 4]), 4));
    assert_eq!(
        outcomes(&actions),
        [(1, Outcome::Done(id(2, 2))), (2, Outcome::Done(id(2, 3)))]
    );
}

// Nor is it superseded when an entry before it is committed, unless that entry is of a later term.
#[test]
fn a_truncated_proposal_is_not_superseded_by_a_commit_before_it() {
    let mut scene = Scene::leader(3, 2, &[]);
    scene.propose(1, b"one");
    scene.propose(2, b"two");
    let actions = scene.receive(3, 3, append(at(2, 1), entries(1, &[3]), 1));
    assert_eq!((scene.commit(), outcomes(&actions)), (1, vec![]));
    let actions = scene.receive(2, 4, append(at(2, 1), entries(1, &[2, 2, 4]), 4));
    assert_eq!(
        outcomes(&actions),
        [(1, Outcome::Done(id(2, 2))), (2, Outcome::Done(id(2, 3)))]
    );
}

// A leader that is elected again carries on with what it had.
#[test]
fn proposals_of_an_earlier_leadership_are_done_by_the_next_one() {
    let mut scene = leader_with_two();
    scene.receive(3, 3, heartbeat(None));
    scene.tick(20);
    scene.grant(2);
    scene.grant(2);
    assert_eq!(scene.role(), raft_core::RoleName::Leader);
    let actions = scene.accept(2, at(4, 4));
    assert_eq!(
        outcomes(&actions),
        [(1, Outcome::Done(id(2, 2))), (2, Outcome::Done(id(2, 3)))]
    );
}

// A snapshot that covers a proposal's index hides what became of it; proposals after it in an earlier term are
// superseded.
#[test]
fn a_snapshot_over_another_log_leaves_proposals_unknown_or_superseded() {
    let mut scene = leader_with_two();
    scene.receive(3, 3, heartbeat(None));
    let actions = scene.step(Input::SnapshotReady {
        from: node(3),
        meta: snapshot(3, 2, 3),
    });
    assert_eq!(
        outcomes(&actions),
        [(1, Outcome::Unknown), (2, Outcome::Superseded)]
    );
}

#[test]
fn a_snapshot_over_the_same_log_keeps_the_proposals_after_it() {
    let mut scene = leader_with_two();
    scene.receive(3, 3, heartbeat(None));
    let actions = scene.step(Input::SnapshotReady {
        from: node(3),
        meta: snapshot(2, 2, 3),
    });
    assert_eq!(outcomes(&actions), [(1, Outcome::Unknown)]);
    let actions = scene.receive(3, 3, heartbeat(at(2, 3)));
    assert_eq!(outcomes(&actions), [(2, Outcome::Done(id(2, 3)))]);
}

#[test]
fn a_failed_disk_leaves_logged_proposals_unknown_and_rejects_the_rest() {
    let mut scene = leader_with_two();
    let actions = scene.step(Event::PersistFailed);
    assert_eq!(outcomes(&actions), [(1, Outcome::Unknown), (2, Outcome::Unknown)]);
    let failed = Outcome::Rejected(Rejection::Failed, b"three".to_vec());
    assert_eq!(outcomes(&scene.propose(3, b"three")), [(3, failed)]);
}

// An outcome that was reported before the disk failed is not reported again.
#[test]
fn outcomes_from_before_the_disk_failed_stay() {
    let mut scene = leader_with_two();
    let (session, round) = (scene.session(2), raft_core::Round::new(0));
    let outcome = raft_core::AppendOutcome::Accepted { last: at(2, 2) };
    let reply = scene.envelope(
        2,
        2,
        raft_core::Message::AppendReply {
            session,
            round,
            outcome,
            promise_micros: 0,
        },
    );
    scene.raft.step(Event::Receive(reply));
    scene.raft.step(Event::PersistFailed);
    assert_eq!(
        outcomes(&scene.drain()),
        [(1, Outcome::Done(id(2, 2))), (2, Outcome::Unknown)]
    );
}

#[test]
fn a_proposal_takes_the_next_place_in_the_leaders_log() {
    let mut scene = Scene::leader(3, 2, &[1]);
    let actions = scene.propose(7, b"here");
    let write = &writes(&actions)[0];
    assert_eq!(
        write.entries.iter().map(|entry| entry.id).collect::<Vec<_>>(),
        [id(2, 3)]
    );
    assert_eq!(scene.raft.log_id(index(3)), at(2, 3));
}

// Whatever happens to the leaders, every proposal of a cluster has an outcome in the end, and only one.
#[test]
fn every_proposal_has_one_outcome_through_changes_of_leaders() {
    let mut cluster = Cluster::new(3);
    let mut asked = Vec::new();
    for round in 0..12_u8 {
        let leader = cluster.elect();
        for number in 0..4 {
            asked.push((leader, cluster.propose(leader, &[round, number])));
        }
        if round % 2 == 0 {
            cluster.isolate(leader);
            asked.push((leader, cluster.propose(leader, &[round, 9])));
            cluster.tick(60);
            cluster.heal();
        }
        cluster.tick(30);
    }
    for (server, proposal) in asked {
        let server = cluster.server(server);
        let told = [
            server.done.contains_key(&proposal),
            server.rejected.contains_key(&proposal),
            server.superseded.contains(&proposal),
            server.unknown.contains(&proposal),
        ];
        assert_eq!(
            told.iter().filter(|&&told| told).count(),
            1,
            "{proposal}: {told:?}"
        );
    }
}

// Reads, proposals and changes of the configuration alike: of two unfinished ones with one id, the later is refused, and
// the earlier goes on. Proposals and changes share their ids.
#[test]
fn a_request_whose_id_is_in_use_is_refused_and_the_unfinished_one_goes_on() {
    let mut scene = leader_with_two();
    let refused = Outcome::Rejected(Rejection::IdInUse, b"again".to_vec());
    assert_eq!(outcomes(&scene.propose(1, b"again")), [(1, refused)]);
    let change = Event::ChangeMembership {
        id: ProposalId::new(2),
        expect: Expected::Any,
        change: Change::AddLearner(node(4)),
        force: false,
    };
    let actions = scene.step(change.clone());
    assert!(matches!(
        actions[..],
        [Action::Notice(Notice::ChangeRejected {
            reason: ChangeRejection::Refused(Rejection::IdInUse),
            ..
        })]
    ));
    assert_eq!(scene.raft.vitals().last, at(2, 3), "nothing was appended");
    let done = scene.accept(2, at(2, 3));
    assert_eq!(
        outcomes(&done),
        [(1, Outcome::Done(id(2, 2))), (2, Outcome::Done(id(2, 3)))]
    );
    scene.step(change);
    assert_eq!(scene.raft.vitals().last, at(2, 4), "the id is free again");
    let refused = Outcome::Rejected(Rejection::IdInUse, b"again".to_vec());
    assert_eq!(outcomes(&scene.propose(2, b"again")), [(2, refused)]);
}

// A proposal whose entry was truncated is unfinished as well, and so is one that is on its way to the leader.
#[test]
fn an_id_is_in_use_wherever_its_request_waits() {
    let mut scene = leader_with_two();
    scene.receive(3, 3, append(at(2, 1), entries(1, &[3]), 1));
    assert_eq!(scene.raft.vitals().last, at(3, 2));
    let mut setup = support::scene::setup(3, 1, &[]);
    setup.config.options.forwarding = true;
    let mut helpful = Scene::new(setup).expect("the disk is valid");
    helpful.receive(2, 2, heartbeat(None));
    helpful.propose(5, b"on its way");
    helpful.read(5);
    for (id, scene) in [(2, &mut scene), (5, &mut helpful)] {
        let refused = Outcome::Rejected(Rejection::IdInUse, b"again".to_vec());
        assert_eq!(outcomes(&scene.propose(id, b"again")), [(id, refused)]);
    }
    let refused = |action: &Action| {
        matches!(
            action,
            Action::Notice(Notice::ReadRejected {
                reason: Rejection::IdInUse,
                ..
            })
        )
    };
    assert!(helpful.read(5).iter().any(refused));
    assert!(!helpful.read(4).iter().any(refused), "a smaller id may be free");
}
