//! Whose clocks count, and how: the median is that of all voters, whether they are known or not.

use super::*;
use raft_core::{Change, Expected, Incarnation, Membership, ProposalId};

// Of three, one is silent and two differ: whichever is right, a minority would decide.
#[test]
fn a_clock_that_is_not_known_may_show_anything() {
    for ahead in [TWO_YEARS, -TWO_YEARS] {
        let mut timed = Timed::leader(3);
        timed.beat(&[(2, Some(ahead))]);
        let undecided = ClockError::Undecided {
            node: node(2),
            by_micros: ahead,
            bound_micros: BOUND,
        };
        assert_eq!(timed.stamp(), Err(undecided));
        // The third decides, for this server or against it.
        let mut agreeing = Timed::leader(3);
        agreeing.beat(&[(2, Some(ahead)), (3, Some(0))]);
        assert_eq!(agreeing.stamp(), Ok(agreeing.shown(0)));
        timed.beat(&[(2, Some(ahead)), (3, Some(ahead))]);
        assert!(
            matches!(timed.stamp(), Err(ClockError::Off { by_micros, .. }) if by_micros == -ahead),
            "{:?}",
            timed.stamp()
        );
    }
}

#[test]
fn any_minority_of_wrong_and_silent_clocks_is_outvoted() {
    // Of five: two wrong ones, a wrong and a silent one, two silent ones.
    let cases: [&[(u64, Option<i64>)]; 3] = [
        &[
            (2, Some(TWO_YEARS)),
            (3, Some(-TWO_YEARS)),
            (4, Some(0)),
            (5, Some(0)),
        ],
        &[(2, Some(TWO_YEARS)), (3, None), (4, Some(0)), (5, Some(0))],
        &[(2, None), (3, None), (4, Some(0)), (5, Some(0))],
    ];
    for clocks in cases {
        let mut timed = Timed::leader(5);
        timed.beat(clocks);
        assert_eq!(timed.stamp(), Ok(timed.shown(0)), "{clocks:?}");
    }
    // Two wrong and one silent are no minority.
    let mut timed = Timed::leader(5);
    timed.beat(&[(2, Some(TWO_YEARS)), (3, Some(TWO_YEARS)), (4, Some(0))]);
    assert!(matches!(timed.stamp(), Err(ClockError::Undecided { .. })));
}

#[test]
fn the_median_of_an_even_number_lies_between_the_middle_two() {
    let mut timed = Timed::leader(4);
    timed.beat(&[(2, Some(0)), (3, Some(TWO_YEARS)), (4, Some(TWO_YEARS))]);
    let median = timed.scene.raft.status().clocks.median;
    let median = median.map(|median| (median.earliest, median.latest));
    assert_eq!(median, Some((timed.shown(0), timed.shown(TWO_YEARS))));
    assert!(matches!(timed.stamp(), Err(ClockError::Undecided { .. })));
}

#[test]
fn a_single_voter_has_no_other_to_compare_its_clock_with() {
    let mut timed = Timed::leader(1);
    timed.ahead = TWO_YEARS;
    timed.beat(&[]);
    assert_eq!(timed.stamp(), Ok(timed.shown(TWO_YEARS)));
}

// Neither of two is known to be right.
#[test]
fn two_voters_whose_clocks_differ_stamp_nothing() {
    let mut timed = Timed::leader(2);
    timed.beat(&[(2, Some(BOUND as i64))]);
    assert_eq!(timed.stamp(), Ok(timed.shown(0)));
    timed.beat(&[(2, Some(BOUND as i64 + 1))]);
    assert!(matches!(timed.stamp(), Err(ClockError::Undecided { .. })));
}

fn bound(membership: Membership, count: u64) -> Membership {
    membership.bind((1..=count).map(|number| (node(number), Incarnation::new(number))))
}

#[test]
fn the_clocks_of_learners_are_shown_and_do_not_count() {
    let mut setup = setup(3, 1, &[]);
    let membership = Membership::of_voters((1..=3).map(node)).with_learners((4..=5).map(node));
    setup.bootstrap = bound(membership, 5);
    let mut timed = Timed::with(setup, 2..=5);
    let learners = [(4, Some(TWO_YEARS)), (5, Some(TWO_YEARS))];
    timed.beat(&learners);
    assert_eq!(timed.stamp(), Err(ClockError::Unknown { known: 1 }));
    timed.beat(&[(2, Some(0)), (3, Some(0)), learners[0], learners[1]]);
    assert_eq!(timed.stamp(), Ok(timed.shown(0)));
    let offsets: Vec<_> = timed
        .offsets()
        .into_iter()
        .map(|(node, offset, _)| (node, offset))
        .collect();
    assert_eq!(offsets, [(2, 0), (3, 0), (4, TWO_YEARS), (5, TWO_YEARS)]);
}

#[test]
fn the_clocks_of_witnesses_count() {
    let mut setup = setup(3, 1, &[]);
    let membership = Membership::of_voters((1..=3).map(node)).with_witnesses([node(3)]);
    setup.bootstrap = bound(membership, 3);
    let mut timed = Timed::with(setup, 2..=3);
    timed.beat(&[(2, Some(TWO_YEARS)), (3, Some(0))]);
    assert_eq!(timed.stamp(), Ok(timed.shown(0)));
}

#[test]
fn both_halves_of_a_joint_configuration_count() {
    let mut setup = setup(3, 1, &[]);
    let membership = Membership::of_voters((1..=3).map(node)).with_learners((4..=5).map(node));
    setup.bootstrap = bound(membership, 5);
    let mut timed = Timed::with(setup, 2..=5);
    let of_old = [(2, Some(0)), (3, Some(0))];
    timed.beat(&of_old);
    assert_eq!(timed.stamp(), Ok(timed.shown(0)));
    timed.scene.step(Event::ChangeMembership {
        id: ProposalId::new(1),
        expect: Expected::Any,
        change: Change::Replace {
            voters: [1, 4, 5].map(node).into(),
            learners: [].into(),
        },
        force: false,
    });
    assert!(timed.scene.raft.membership().is_joint());
    assert_eq!(timed.stamp(), Err(ClockError::Unknown { known: 1 }));
    timed.beat(&[of_old[0], of_old[1], (4, Some(TWO_YEARS)), (5, Some(TWO_YEARS))]);
    assert!(
        matches!(
            timed.stamp(),
            Err(ClockError::Undecided {
                by_micros: TWO_YEARS,
                ..
            })
        ),
        "the halves differ: {:?}",
        timed.stamp()
    );
    timed.beat(&[of_old[0], of_old[1], (4, Some(0)), (5, Some(0))]);
    assert_eq!(timed.stamp(), Ok(timed.shown(0)));
}

#[test]
fn the_clock_of_a_voter_that_is_removed_counts_no_longer() {
    let mut timed = Timed::leader(3);
    timed.beat(&[(2, Some(0)), (3, None)]);
    assert_eq!(timed.stamp(), Ok(timed.shown(0)));
    timed.scene.step(Event::ChangeMembership {
        id: ProposalId::new(1),
        expect: Expected::Any,
        change: Change::Remove(node(2)),
        force: false,
    });
    assert_eq!(timed.scene.raft.membership().voters().count(), 2);
    assert_eq!(timed.stamp(), Err(ClockError::Unknown { known: 1 }));
}
