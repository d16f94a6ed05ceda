//! Wall clocks: what a leader knows of those of the voters, when its host may stamp commands, and when it hands over.

mod handover;
mod key_values;
mod median;
#[path = "../support/mod.rs"]
mod support;

use raft_core::{
    Action, ClockError, ClockOffset, Config, ConfigError, Event, Message, RoleName, Round, Setup, WallTime,
};
use support::scene::{Scene, at, heartbeat, node, sent, sent_to, setup};

/// The length of a tick and the bound, in microseconds, as they are by default.
const TICK: u64 = 100_000;
const BOUND: u64 = 5_000_000;

/// What a right clock shows when the tests begin: a day in 2026.
const BEGINNING: u64 = 1_780_000_000_000_000;

const TWO_YEARS: i64 = 2 * 365 * 86_400 * 1_000_000;

/// For so many ticks a reading counts: the longest election timeout of the default settings.
const LASTS_TICKS: u64 = 20;

/// Server 1 as the leader of term 2, with a host that gives its wall time after every tick.
struct Timed {
    scene: Scene,
    /// What a right clock shows.
    right: u64,
    /// How far the host's clock is ahead.
    ahead: i64,
    /// The latest round that the leader has asked its peers to confirm.
    round: Round,
}

impl Timed {
    /// The leader of servers 1 to `count`, whose clock is right, and who all hold its no-op. It has sent no heartbeat
    /// since its host gave its time.
    fn leader(count: u64) -> Self {
        Self::of(Scene::leader(count, 2, &[]), 2..=count)
    }

    fn with(setup: Setup, peers: std::ops::RangeInclusive<u64>) -> Self {
        let mut scene = Scene::new(setup).expect("the disk is valid");
        scene.win();
        Self::of(scene, peers)
    }

    fn of(mut scene: Scene, peers: std::ops::RangeInclusive<u64>) -> Self {
        for peer in peers {
            scene.accept(peer, at(2, 1));
        }
        let mut timed = Self {
            scene,
            right: BEGINNING,
            ahead: 0,
            round: Round::new(0),
        };
        timed.give();
        timed
    }

    fn shown(&self, ahead: i64) -> WallTime {
        WallTime::new(self.right.saturating_add_signed(ahead))
    }

    fn give(&mut self) -> Vec<Action> {
        let shown = self.shown(self.ahead);
        self.scene.step(Event::WallTime(shown))
    }

    /// Lets a tick pass, after which the host gives its time. Returns what the leader does.
    fn tick(&mut self) -> Vec<Action> {
        let mut actions = self.scene.step(Event::Tick(1));
        self.right += TICK;
        actions.extend(self.give());
        if let Some(round) = round(&actions) {
            self.round = round;
        }
        actions
    }

    /// The peer confirms the round, and says that its clock is so far ahead of a right one, or nothing.
    fn answer(&mut self, from: u64, round: Round, ahead: Option<i64>) -> Vec<Action> {
        let (session, term) = (self.scene.session(from), self.scene.term());
        let wall_time = ahead.map(|ahead| self.shown(ahead));
        let reply = Message::HeartbeatReply {
            session,
            round,
            promise_micros: 0,
            level: raft_core::Level::ZERO,
            halted: false,
            stalled: false,
            wall_time,
        };
        self.scene.receive(from, term, reply)
    }

    /// Lets a heartbeat pass, which these peers answer within the tick. Returns what the leader does.
    fn beat(&mut self, clocks: &[(u64, Option<i64>)]) -> Vec<Action> {
        let mut actions = self.tick();
        actions.extend(self.tick());
        for &(peer, ahead) in clocks {
            let round = self.round;
            actions.extend(self.answer(peer, round, ahead));
        }
        actions
    }

    fn stamp(&self) -> Result<WallTime, ClockError> {
        self.scene.raft.stamp()
    }

    fn offsets(&self) -> Vec<(u64, i64, u64)> {
        let clocks = self.scene.raft.status().clocks;
        let of = |clock: ClockOffset| (clock.node.value(), clock.offset_micros, clock.error_micros);
        clocks.offsets.into_iter().map(of).collect()
    }
}

/// The round of the heartbeats among the actions.
fn round(actions: &[Action]) -> Option<Round> {
    let rounds = sent(actions)
        .into_iter()
        .filter_map(|(_, message)| match message {
            Message::Heartbeat { round, .. } => Some(round),
            _ => None,
        });
    rounds.last()
}

/// What the answers to heartbeats among the actions say of the sender's clock.
fn said(actions: &[Action]) -> Vec<Option<WallTime>> {
    let said = sent(actions)
        .into_iter()
        .filter_map(|(_, message)| match message {
            Message::HeartbeatReply { wall_time, .. } => Some(wall_time),
            _ => None,
        });
    said.collect()
}

#[test]
fn a_leader_near_the_median_stamps_with_its_own_time() {
    let mut timed = Timed::leader(3);
    timed.ahead = 2_000_000;
    timed.beat(&[(2, Some(-1_000_000)), (3, Some(TWO_YEARS))]);
    assert_eq!(timed.stamp(), Ok(timed.shown(2_000_000)));
    let clocks = timed.scene.raft.status().clocks;
    assert_eq!(clocks.stamp, timed.stamp());
    let median = clocks.median.expect("all clocks are known");
    assert_eq!(
        (median.earliest, median.latest),
        (timed.shown(2_000_000), timed.shown(2_000_000))
    );
}

#[test]
fn a_leader_beyond_the_bound_stamps_nothing_and_says_by_how_much_it_is_off() {
    let bound = BOUND as i64;
    for (ahead, is_near) in [
        (bound, true),
        (bound + 1, false),
        (-bound, true),
        (-bound - 1, false),
    ] {
        let mut timed = Timed::leader(3);
        timed.ahead = ahead;
        timed.beat(&[(2, Some(0)), (3, Some(0))]);
        let expected = if is_near {
            Ok(timed.shown(ahead))
        } else {
            Err(ClockError::Off {
                node: node(1),
                by_micros: ahead,
                bound_micros: BOUND,
                successor: Some(node(2)),
            })
        };
        assert_eq!(timed.stamp(), expected, "{ahead}");
    }
}

#[test]
fn only_a_leader_stamps() {
    let mut scene = Scene::follower(3, 1, &[]);
    scene.receive(2, 1, heartbeat(None));
    scene.step(Event::WallTime(WallTime::new(BEGINNING)));
    let leader = Some(node(2));
    assert_eq!(scene.raft.stamp(), Err(ClockError::NotLeader { leader }));
    let clocks = scene.raft.status().clocks;
    assert_eq!((clocks.offsets, clocks.median), (vec![], None));
}

#[test]
fn a_leader_stamps_nothing_before_it_knows_the_clocks_of_a_quorum() {
    let mut timed = Timed::leader(5);
    assert_eq!(timed.stamp(), Err(ClockError::Unknown { known: 1 }));
    timed.beat(&[(2, Some(0)), (3, None), (4, None)]);
    assert_eq!(timed.stamp(), Err(ClockError::Unknown { known: 2 }));
    timed.beat(&[(3, Some(0))]);
    assert_eq!(timed.stamp(), Ok(timed.shown(0)));
}

#[test]
fn a_time_counts_in_the_tick_in_which_it_is_given() {
    let mut timed = Timed::leader(3);
    timed.beat(&[(2, Some(0)), (3, Some(0))]);
    assert_eq!(timed.stamp(), Ok(timed.shown(0)));
    timed.scene.step(Event::Tick(0));
    assert_eq!(timed.stamp(), Ok(timed.shown(0)));
    timed.scene.step(Event::Tick(1));
    assert_eq!(timed.stamp(), Err(ClockError::NotGiven));
    timed.give();
    assert_eq!(timed.stamp(), Ok(timed.shown(0)));
}

#[test]
fn an_answer_to_a_heartbeat_carries_the_time_that_was_given_in_its_tick() {
    let mut scene = Scene::follower(3, 1, &[]);
    let time = WallTime::new(BEGINNING);
    assert_eq!(said(&scene.receive(2, 1, heartbeat(None))), [None]);
    scene.step(Event::WallTime(time));
    assert_eq!(said(&scene.receive(2, 1, heartbeat(None))), [Some(time)]);
    scene.step(Event::Tick(1));
    assert_eq!(
        said(&scene.receive(2, 1, heartbeat(None))),
        [None],
        "it is an earlier time"
    );
    // The answer to an earlier term confirms no round, so it says nothing of the clock.
    scene.step(Event::WallTime(time));
    assert_eq!(said(&scene.receive(2, 0, heartbeat(None))), []);
    let answers = scene.receive(3, 2, heartbeat(None));
    assert_eq!(said(&answers), [Some(time)]);
    assert_eq!(said(&scene.receive(2, 1, heartbeat(None))), [None]);
}

#[test]
fn a_host_that_gives_no_time_begins_no_rounds_for_it() {
    let mut scene = Scene::leader(3, 2, &[]);
    for peer in [2, 3] {
        scene.accept(peer, at(2, 1));
    }
    let actions = scene.tick(6);
    assert_eq!(sent_to(2, &actions).len(), 3);
    assert_eq!(round(&actions), Some(Round::new(0)));
    let mut timed = Timed::leader(3);
    timed.beat(&[]);
    timed.beat(&[]);
    assert_eq!(
        timed.round,
        Round::new(2),
        "every heartbeat is told from the next"
    );
}

// The peer's clock was read between the beginning of the round and the arrival of the answer, and neither host's time
// need be newer than its tick.
#[test]
fn an_offset_is_wrong_by_no_more_than_the_exchange_took_and_two_ticks() {
    for took in 0..6 {
        for read_after in 0..=took {
            for part_of_tick in [0, 1, TICK / 2, TICK - 1] {
                let mut timed = Timed::leader(3);
                timed.beat(&[]);
                let round = timed.round;
                let mut read = None;
                for passed in 0..=took {
                    if passed == read_after {
                        // Somewhere within this tick; the peer's host may have given its time up to a tick ago.
                        read = Some(timed.right + part_of_tick);
                    }
                    if passed < took {
                        timed.tick();
                    }
                }
                for stale in [0, TICK] {
                    let shown = read.map(|read| (read - stale) as i64 - timed.right as i64);
                    let mut answered = Timed::leader(3);
                    answered.beat(&[]);
                    for _ in 0..took {
                        answered.tick();
                    }
                    answered.answer(2, round, shown);
                    // The true offset is 0. It does not change while the reading is carried on.
                    for _ in 0..5 {
                        let [(2, offset, error)] = answered.offsets()[..] else {
                            panic!("the clock of server 2 is known")
                        };
                        assert_eq!(error, (took + 2) * TICK);
                        assert!(offset.unsigned_abs() <= error, "{took} {read_after} {offset}");
                        answered.tick();
                    }
                }
            }
        }
    }
}

#[test]
fn a_reading_counts_for_the_longest_election_timeout() {
    let mut timed = Timed::leader(3);
    timed.beat(&[(2, None), (3, Some(0))]);
    // Server 2 keeps up the quorum and says nothing of its clock.
    for _ in 0..LASTS_TICKS / 2 {
        assert_eq!(timed.stamp(), Ok(timed.shown(0)));
        timed.beat(&[(2, None)]);
    }
    assert_eq!(timed.stamp(), Ok(timed.shown(0)), "after exactly so long");
    timed.tick();
    assert_eq!(timed.scene.role(), RoleName::Leader);
    assert_eq!(timed.stamp(), Err(ClockError::Unknown { known: 1 }));
    assert_eq!(timed.offsets(), []);
}

#[test]
fn an_answer_of_a_forgotten_or_earlier_round_says_nothing_of_the_clock() {
    let mut timed = Timed::leader(3);
    timed.beat(&[(2, Some(7))]);
    let first = timed.round;
    timed.answer(2, first, Some(TWO_YEARS));
    assert_eq!(timed.offsets()[0].1, 7, "a round is answered once");
    timed.beat(&[(2, Some(8))]);
    timed.answer(2, first, Some(TWO_YEARS));
    assert_eq!(timed.offsets()[0].1, 8, "an earlier round's answer was delayed");
    for _ in 0..LASTS_TICKS {
        timed.beat(&[(2, None)]);
    }
    timed.answer(3, first, Some(TWO_YEARS));
    assert_eq!(timed.offsets(), [], "when that round began is forgotten");
    let never = Round::new(timed.round.value() + 1);
    timed.answer(3, never, Some(TWO_YEARS));
    assert_eq!(timed.offsets(), [], "it has not begun");
    assert_eq!(timed.scene.raft.status().ignored.contradicting, 1);
}

#[test]
fn a_jump_of_the_leaders_own_clock_is_noticed_at_once() {
    let mut timed = Timed::leader(3);
    timed.beat(&[(2, Some(0)), (3, Some(0))]);
    assert_eq!(timed.stamp(), Ok(timed.shown(0)));
    for ahead in [TWO_YEARS, -TWO_YEARS] {
        timed.ahead = ahead;
        timed.give();
        assert!(
            matches!(timed.stamp(), Err(ClockError::Off { by_micros, .. }) if by_micros == ahead),
            "{:?}",
            timed.stamp()
        );
    }
    timed.ahead = 0;
    timed.give();
    assert_eq!(timed.stamp(), Ok(timed.shown(0)), "it was set right");
}

// What was measured before the clock was set is carried on by ticks, and not by the clock that jumped.
#[test]
fn no_time_is_measured_by_the_leaders_own_clock() {
    let mut timed = Timed::leader(3);
    timed.beat(&[]);
    timed.ahead = TWO_YEARS;
    timed.tick();
    let round = timed.round;
    timed.answer(2, round, Some(0));
    assert_eq!(timed.offsets(), [(2, -TWO_YEARS, 3 * TICK)]);
}

#[test]
fn a_start_and_an_election_know_no_clocks() {
    let mut timed = Timed::leader(3);
    timed.beat(&[(2, Some(0)), (3, Some(0))]);
    assert!(timed.stamp().is_ok());
    timed.scene.receive(2, 3, heartbeat(None));
    timed.scene.step(Event::Tick(60));
    timed.scene.drain();
    timed.scene.grant(2);
    timed.scene.grant(2);
    assert_eq!(timed.scene.role(), RoleName::Leader);
    timed.give();
    assert_eq!(timed.stamp(), Err(ClockError::Unknown { known: 1 }));
}

#[test]
fn no_value_of_a_clock_breaks_anything() {
    let extremes = [0, 1, BEGINNING, u64::MAX / 2, u64::MAX - 1, u64::MAX];
    for own in extremes {
        for peer in extremes {
            let mut timed = Timed::leader(3);
            timed.beat(&[]);
            timed.scene.step(Event::WallTime(WallTime::new(own)));
            let (session, term, round) = (timed.scene.session(2), timed.scene.term(), timed.round);
            let reply = Message::HeartbeatReply {
                session,
                round,
                promise_micros: 0,
                level: raft_core::Level::ZERO,
                halted: false,
                stalled: false,
                wall_time: Some(WallTime::new(peer)),
            };
            timed.scene.receive(2, term, reply);
            let clocks = timed.scene.raft.status().clocks;
            let exact = i128::from(peer) - i128::from(own);
            let nearest = exact.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
            assert_eq!(i128::from(clocks.offsets[0].offset_micros), nearest);
            assert_eq!(clocks.stamp.is_ok(), exact.unsigned_abs() <= u128::from(BOUND));
            if let Err(error) = clocks.stamp {
                assert!(error.to_string().contains("server 2"), "{error}");
            }
            // Time passes, however much, and the leader goes on.
            timed.scene.step(Event::Tick(2));
            timed.scene.step(Event::Tick(u64::MAX));
            assert!(timed.scene.raft.stamp().is_err());
        }
    }
}

#[test]
fn a_bound_of_zero_is_refused() {
    let config = Config {
        clock_bound_micros: 0,
        ..Config::default()
    };
    let name = "clock_bound_micros";
    assert_eq!(config.validate(), Err(ConfigError::Zero { name }));
}
