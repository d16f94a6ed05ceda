//! The oracles find flawed state machines under the shipping replica.

use crate::codec::{Checks, Encoded};
use raft_core::replica::{SnapshotError, StateMachine};
use raft_core::{Halt, LogId};
use sim::schedule::WorkloadPlan;
use sim::{Call, Concluded, Oracle, Probe, Profile, Report, Schedule, Verdict, Violation, Workload};

/// A counter with a flaw.
#[derive(Clone, Copy, Debug)]
enum Flaw {
    None,
    /// Its snapshot forgets the count.
    ForgetfulSnapshot,
    /// Its answers depend on more than the commands: here, on the address of a box.
    Moody,
    /// It panics at the tenth command.
    Fragile,
    /// It rejects its own snapshot.
    Picky,
    /// It counts by twos, on every server alike.
    Double,
}

struct Counter {
    flaw: Flaw,
    count: u64,
    anchor: Box<u8>,
}

impl Counter {
    fn new(flaw: Flaw, count: u64) -> Self {
        Self {
            flaw,
            count,
            anchor: Box::new(0),
        }
    }
}

impl StateMachine for Counter {
    type Response = u64;
    type Query = ();
    type Answer = u64;

    fn apply(&mut self, _at: LogId, _command: &[u8]) -> Result<u64, Halt> {
        self.count += match self.flaw {
            Flaw::Double => 2,
            _ => 1,
        };
        Ok(match self.flaw {
            Flaw::Fragile if self.count == 10 => panic!("ten is too many"),
            Flaw::Moody => self.count + (std::ptr::from_ref::<u8>(&self.anchor).addr() as u64 >> 4 & 0xff),
            _ => self.count,
        })
    }

    fn query(&self, (): ()) -> u64 {
        self.count
    }

    fn snapshot(&self) -> Vec<u8> {
        match self.flaw {
            Flaw::ForgetfulSnapshot => vec![0; 8],
            _ => self.count.to_le_bytes().to_vec(),
        }
    }

    fn restore(&self, snapshot: &[u8]) -> Result<Self, SnapshotError> {
        match snapshot.first_chunk() {
            Some(bytes) if !matches!(self.flaw, Flaw::Picky) => {
                Ok(Self::new(self.flaw, u64::from_le_bytes(*bytes)))
            }
            _ => Err(SnapshotError("eight bytes, please".into())),
        }
    }
}

struct Counting(Flaw);

impl Workload for Counting {
    type Machine = Counter;

    fn machine(&self, _plan: &WorkloadPlan) -> Counter {
        Counter::new(self.0, 0)
    }

    fn command(&self, call: &Call) -> Vec<u8> {
        call.attempt.to_le_bytes().to_vec()
    }

    fn query(&self, _choice: u64) {}

    /// The rule of a counter: the nth command is answered with n.
    fn check(&self, run: &Concluded<'_, Counter>) -> Result<(), Violation> {
        match run
            .log
            .iter()
            .zip(1..)
            .find(|(applied, count)| applied.response != *count)
        {
            None => Ok(()),
            Some((applied, count)) => Err(Violation {
                oracle: Oracle::C9,
                message: format!(
                    "command {count}, at {}, was answered {}",
                    applied.at, applied.response
                ),
            }),
        }
    }
}

/// A schedule in which snapshots are taken, sent and restored.
fn schedule() -> Schedule {
    let text = include_str!("../../scenarios/lagging_follower.toml");
    Schedule::from_toml(text).expect("the schedule is sound")
}

fn found(flaw: Flaw, schedule: &Schedule) -> (Option<Oracle>, Report) {
    let report = sim::run(schedule, &Counting(flaw)).expect("the schedule can be run");
    (
        report.violation.as_ref().map(|violation| violation.oracle),
        report,
    )
}

#[test]
fn a_sound_machine_passes() {
    let schedule = schedule();
    let (oracle, report) = found(Flaw::None, &schedule);
    assert_eq!(oracle, None);
    assert_eq!(report.verdict(&schedule.expect), Verdict::Pass);
}

#[test]
fn a_snapshot_that_forgets_is_found() {
    let (oracle, _) = found(Flaw::ForgetfulSnapshot, &schedule());
    assert_eq!(oracle, Some(Oracle::S16));
}

#[test]
fn a_machine_that_depends_on_more_than_its_commands_is_found() {
    assert_eq!(
        found(Flaw::Moody, &Profile::Calm.schedule(1)).0,
        Some(Oracle::S16)
    );
}

#[test]
fn c9_reports_a_machine_that_breaks_the_rules_of_its_workload() {
    assert_eq!(
        found(Flaw::Double, &Profile::Calm.schedule(1)).0,
        Some(Oracle::C9)
    );
}

#[test]
fn s25_reports_a_panic_and_the_sweep_goes_on() {
    assert_eq!(
        found(Flaw::Fragile, &Profile::Calm.schedule(1)).0,
        Some(Oracle::S25)
    );
}

#[test]
fn a_snapshot_that_its_own_machine_refuses_is_found() {
    let (oracle, _) = found(Flaw::Picky, &schedule());
    assert!(matches!(oracle, Some(Oracle::S17 | Oracle::S22)), "{oracle:?}");
}

#[test]
fn a_storm_of_events_is_found() {
    let mut schedule = Profile::Calm.schedule(1);
    schedule.event_budget = 500;
    assert_eq!(found(Flaw::None, &schedule).0, Some(Oracle::S24));
}

#[test]
fn a_core_that_cannot_converge_in_time_is_found() {
    let mut schedule = Profile::Calm.schedule(1);
    // No server can be elected in the first moment of a cluster's life.
    schedule.heal.at = sim::Nanos::from_millis(1);
    schedule.heal.converge_within = sim::Nanos::from_millis(10);
    assert_eq!(found(Flaw::None, &schedule).0, Some(Oracle::L1));
}

#[test]
fn a_core_that_does_not_serve_in_time_is_found() {
    let mut schedule = Profile::Calm.schedule(1);
    // Messages and disks are so slow that no client is served at the first examination.
    let slow = sim::Nanos::from_millis(15);
    (
        schedule.weather.network.delay_min,
        schedule.weather.network.delay_max,
    ) = (slow, slow);
    (schedule.weather.disk.sync_min, schedule.weather.disk.sync_max) = (slow, slow);
    schedule.heal.serve_within = sim::Nanos::ZERO;
    assert_eq!(found(Flaw::None, &schedule).0, Some(Oracle::L2));
}

#[test]
fn a_run_that_misses_what_it_must_hit_is_vacuous() {
    let mut schedule = Profile::Calm.schedule(1);
    schedule.expect.probes = vec![Probe::Crash];
    let (_, report) = found(Flaw::None, &schedule);
    assert_eq!(
        report.verdict(&schedule.expect),
        Verdict::Vacuous(vec![Probe::Crash])
    );
}

#[test]
fn a_failing_run_shrinks_to_what_makes_it_fail_and_still_fails() {
    let schedule = schedule();
    let shrunk = sim::shrink(&schedule, &Counting(Flaw::ForgetfulSnapshot), &mut |_, _| {})
        .unwrap()
        .unwrap();
    assert_eq!(shrunk.oracle, Oracle::S16);
    assert!(shrunk.items_before > 100, "{} items", shrunk.items_before);
    assert!(shrunk.items_after < 20, "{} items are left", shrunk.items_after);
    // The file is a regression: it fails as long as the flaw exists, and passes without it, hitting what it must.
    let read = Schedule::from_toml(&shrunk.schedule.to_toml().unwrap()).unwrap();
    assert_eq!(found(Flaw::ForgetfulSnapshot, &read).0, Some(Oracle::S16));
    let (oracle, report) = found(Flaw::None, &read);
    assert_eq!(oracle, None);
    assert_eq!(report.verdict(&read.expect), Verdict::Pass);
    assert!(
        sim::shrink(&schedule, &Counting(Flaw::None), &mut |_, _| {})
            .unwrap()
            .is_none()
    );
}

#[test]
fn s23_reports_a_codec_that_takes_damaged_bytes_for_another_message() {
    let mut schedule = Schedule::calm(1);
    schedule.knobs.encode_messages = true;
    schedule.weather.network.corrupt_permyriad = 3_000;
    let careful = sim::run(&schedule, &Encoded(Checks::Checksum)).expect("the schedule is valid");
    assert_eq!(careful.violation, None);
    assert!(careful.coverage.count(Probe::MessageCorrupted) > 20);
    let careless = sim::run(&schedule, &Encoded(Checks::Nothing)).expect("the schedule is valid");
    assert_eq!(careless.violation.map(|found| found.oracle), Some(Oracle::S23));
}
