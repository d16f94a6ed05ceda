//! A leader whose clock is wrong hands over leadership, to a server that may stamp, and not without end.

use super::*;
use crate::support::Cluster;
use raft_core::{NodeId, Notice};

const ALL_RIGHT: [(u64, Option<i64>); 2] = [(2, Some(0)), (3, Some(0))];

/// The servers that are told to campaign among the actions.
fn told(actions: &[Action]) -> Vec<u64> {
    let told = sent(actions)
        .into_iter()
        .filter(|(_, message)| *message == Message::TimeoutNow);
    told.map(|(to, _)| to).collect()
}

/// How many handovers begin within so many heartbeats, which all peers with right clocks answer.
fn handovers(timed: &mut Timed, beats: usize) -> usize {
    let mut begun = 0;
    let mut was_under_way = timed.scene.raft.status().transferring_to.is_some();
    for _ in 0..beats {
        timed.beat(&ALL_RIGHT);
        let is_under_way = timed.scene.raft.status().transferring_to.is_some();
        begun += usize::from(is_under_way && !was_under_way);
        was_under_way = is_under_way;
    }
    begun
}

fn successor(timed: &Timed) -> Option<NodeId> {
    match timed.stamp() {
        Err(ClockError::Off { successor, .. }) => successor,
        other => panic!("its clock is wrong: {other:?}"),
    }
}

/// A leader of three whose clock is two years ahead of the others', which has just learnt so.
fn wrong() -> Timed {
    let mut timed = Timed::leader(3);
    timed.ahead = TWO_YEARS;
    timed.beat(&ALL_RIGHT);
    timed
}

#[test]
fn a_leader_with_a_wrong_clock_hands_over_with_the_next_heartbeat() {
    let mut timed = wrong();
    assert_eq!(timed.scene.raft.status().transferring_to, None);
    let actions = timed.beat(&[]);
    assert_eq!(told(&actions), [2]);
    assert_eq!(timed.scene.raft.status().transferring_to, Some(node(2)));
    assert_eq!(
        timed.scene.role(),
        RoleName::Leader,
        "it leads until it is replaced"
    );
}

#[test]
fn a_cluster_whose_leader_has_a_wrong_clock_is_soon_led_by_another_and_stays_so() {
    let mut cluster = Cluster::new(3);
    let first = cluster.elect();
    let ahead = |id: u64| if id == first { TWO_YEARS } else { 0 };
    let mut terms = Vec::new();
    for ticks in 0..300_u64 {
        for id in 1..=3 {
            cluster.step(id, Event::Tick(1));
            let shown = WallTime::new((BEGINNING + ticks * TICK).saturating_add_signed(ahead(id)));
            cluster.step(id, Event::WallTime(shown));
        }
        cluster.deliver();
        if ticks > 10 {
            let leader = cluster.leader().expect("there is a leader");
            assert_ne!(leader, first, "its clock is wrong");
            let raft = cluster.server(leader).replica.raft();
            terms.push(raft.vitals().term);
            if ticks > 20 {
                let shown = WallTime::new(BEGINNING + ticks * TICK);
                assert_eq!(raft.stamp(), Ok(shown));
            }
        }
    }
    terms.dedup();
    assert_eq!(terms.len(), 1, "leadership passes on once");
    let reported = &cluster.server(first).transfers;
    assert_eq!(*reported, [], "its host has asked for no transfer");
}

#[test]
fn a_successor_answers_and_holds_every_committed_entry() {
    let mut timed = Timed::leader(3);
    timed.scene.propose(1, b"one");
    timed.scene.accept(3, at(2, 2));
    assert_eq!(timed.scene.commit(), 2);
    timed.ahead = TWO_YEARS;
    timed.beat(&ALL_RIGHT);
    assert_eq!(successor(&timed), Some(node(3)), "server 2 lacks an entry");
    // Server 3 falls silent; its clock counts for longer than it would be trusted to take over.
    for _ in 0..6 {
        timed.beat(&[(2, Some(0))]);
    }
    assert_eq!(successor(&timed), None);
}

#[test]
fn no_witness_and_no_learner_is_a_successor_for_its_clock() {
    use raft_core::{Incarnation, Membership};
    let mut setup = setup(3, 1, &[]);
    let membership = Membership::of_voters((1..=3).map(node));
    let membership = membership.with_witnesses([node(3)]).with_learners([node(4)]);
    setup.bootstrap = membership.bind((1..=4).map(|number| (node(number), Incarnation::new(number))));
    let mut timed = Timed::with(setup, 2..=4);
    timed.ahead = TWO_YEARS;
    // The median is server 2's. It is right, and lacks an entry.
    timed.scene.propose(1, b"one");
    timed.scene.accept(3, at(2, 2));
    timed.scene.accept(4, at(2, 2));
    timed.beat(&[(2, Some(0)), (3, Some(0)), (4, Some(0))]);
    assert_eq!(successor(&timed), None);
    timed.scene.accept(2, at(2, 2));
    assert_eq!(successor(&timed), Some(node(2)));
}

// Otherwise the errors of two leaders' measurements could make them hand over to each other without end.
#[test]
fn a_successor_has_a_clock_within_half_of_the_bound() {
    let half = BOUND as i64 / 2;
    for (second, expected) in [(half, Some(node(2))), (half + 1, Some(node(3)))] {
        let mut timed = Timed::leader(5);
        timed.ahead = TWO_YEARS;
        // Server 3's clock is the median.
        timed.beat(&[
            (2, Some(second)),
            (3, Some(0)),
            (4, Some(-half - 2)),
            (5, Some(-half - 2)),
        ]);
        assert_eq!(successor(&timed), expected, "{second}");
    }
}

// All differ, so that no clock is near the median but the median itself, and that server lacks an entry.
#[test]
fn a_leader_with_a_wrong_clock_leads_on_while_no_other_could_stamp_and_says_so() {
    let mut timed = Timed::leader(3);
    timed.scene.propose(1, b"one");
    timed.scene.accept(3, at(2, 2));
    timed.ahead = TWO_YEARS;
    for _ in 0..100 {
        let actions = timed.beat(&[(2, Some(0)), (3, Some(-TWO_YEARS))]);
        assert_eq!(told(&actions), []);
    }
    assert_eq!(timed.scene.role(), RoleName::Leader);
    let off = ClockError::Off {
        node: node(1),
        by_micros: TWO_YEARS,
        bound_micros: BOUND,
        successor: None,
    };
    assert_eq!(timed.scene.raft.status().clocks.stamp, Err(off));
    // Commands are taken as ever; only a time may they not carry.
    timed.scene.propose(2, b"two");
    assert_eq!(timed.scene.raft.vitals().last, at(2, 3));
}

#[test]
fn an_attempt_that_fails_is_repeated_ever_more_rarely() {
    let mut timed = wrong();
    let mut begun = Vec::new();
    let mut was_under_way = false;
    for ticks in 0..1300_u64 {
        let actions = timed.tick();
        let ends = |action: &Action| matches!(action, Action::Notice(Notice::TransferEnded { .. }));
        assert!(!actions.iter().any(ends), "the host has asked for none");
        let round = timed.round;
        for (peer, ahead) in ALL_RIGHT {
            timed.answer(peer, round, ahead);
        }
        let is_under_way = timed.scene.raft.status().transferring_to.is_some();
        if is_under_way && !was_under_way {
            begun.push(ticks);
        }
        was_under_way = is_under_way;
    }
    let pauses: Vec<u64> = begun.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses, [40, 80, 160, 320, 640]);
    assert_eq!(timed.scene.role(), RoleName::Leader);
}

// The one that it hands over to may be heard by this server alone, and nobody votes for it. Seed 251 elected them in turns.
#[test]
fn the_pause_outlives_the_leadership() {
    let mut timed = wrong();
    assert_eq!(told(&timed.beat(&[])), [2]);
    let mut again = 0;
    for term in [3, 5, 7] {
        timed.scene.receive(
            2,
            term,
            Message::TransferVote {
                last: at(term - 1, term / 2),
            },
        );
        assert_eq!(timed.scene.role(), RoleName::Follower);
        timed.scene.win();
        let first = timed.scene.raft.vitals().last;
        for peer in [2, 3] {
            timed.scene.accept(peer, first);
        }
        again += handovers(&mut timed, 15);
    }
    assert_eq!(
        again, 1,
        "at first it waits for two of the longest election timeouts, then for four"
    );
}

#[test]
fn a_pause_that_is_long_over_does_not_lengthen_the_next_one() {
    let mut timed = wrong();
    assert_eq!(told(&timed.beat(&[])), [2]);
    timed.ahead = 0;
    assert_eq!(handovers(&mut timed, 200), 0);
    timed.ahead = TWO_YEARS;
    assert_eq!(handovers(&mut timed, 50), 2, "after 40 ticks again");
}

#[test]
fn a_transfer_of_the_hosts_goes_first_and_is_reported() {
    let mut timed = wrong();
    timed.scene.step(Event::Transfer { to: node(3) });
    assert_eq!(told(&timed.beat(&ALL_RIGHT)), [3]);
    let mut ended = Vec::new();
    for _ in 0..6 {
        ended.extend(
            timed
                .beat(&ALL_RIGHT)
                .into_iter()
                .filter_map(|action| match action {
                    Action::Notice(Notice::TransferEnded { to, .. }) => Some(to),
                    _ => None,
                }),
        );
    }
    assert_eq!(ended, [node(3)]);
    assert_eq!(
        timed.scene.raft.status().transferring_to,
        Some(node(2)),
        "now its own"
    );
}

#[test]
fn a_leader_that_cannot_tell_which_clock_is_wrong_leads_on() {
    let mut timed = Timed::leader(3);
    for _ in 0..100 {
        let actions = timed.beat(&[(2, Some(TWO_YEARS)), (3, None)]);
        assert_eq!(told(&actions), []);
    }
    assert_eq!(timed.scene.raft.status().transferring_to, None);
}
