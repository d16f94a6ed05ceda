//! Clients with memory: their requests depend on what they were told, they follow scripts, and any model of a workload's
//! objects judges what they saw.

use std::collections::BTreeMap;

use raft_core::replica::{SnapshotError, StateMachine};
use raft_core::{Halt, LogId};
use sim::schedule::{OperationKind, WorkloadPlan};
use sim::{Asks, Call, Happened, HistoryEvent, Model, Opinion, Profile, Request, Told, Workload};

/// A counter that is raised by whoever knows its value.
struct Counter(u64);

impl StateMachine for Counter {
    /// The value that was found, and whether it was the expected one.
    type Response = (u64, bool);
    type Query = ();
    type Answer = u64;

    fn apply(&mut self, _at: LogId, command: &[u8]) -> Result<(u64, bool), Halt> {
        let expected = command
            .first_chunk()
            .map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes));
        let found = self.0;
        self.0 += u64::from(found == expected);
        Ok((found, found == expected))
    }

    fn query(&self, (): ()) -> u64 {
        self.0
    }

    fn snapshot(&self) -> Vec<u8> {
        self.0.to_le_bytes().to_vec()
    }

    fn restore(&self, snapshot: &[u8]) -> Result<Self, SnapshotError> {
        let bytes = snapshot
            .first_chunk()
            .ok_or(SnapshotError("eight bytes make a counter".into()))?;
        Ok(Self(u64::from_le_bytes(*bytes)))
    }
}

/// Clients that read the counter and then raise it from what they read: a script of two steps. Bit 0 of a client's memory
/// says whether it has just read, and the rest is the value that it saw last.
struct Raising {
    /// What the model of the counter takes a conditional for that expected another value.
    a_conflict_raises: bool,
}

impl Workload for Raising {
    type Machine = Counter;

    fn machine(&self, _plan: &WorkloadPlan) -> Counter {
        Counter(0)
    }

    fn command(&self, call: &Call) -> Vec<u8> {
        [(call.memory >> 1).to_le_bytes(), call.attempt.to_le_bytes()].concat()
    }

    fn query(&self, _choice: u64) {}

    fn remember(&self, _memory: u64, call: &Call, told: Told<'_, Self>) -> u64 {
        assert_eq!(call.choice, 0, "there is one counter");
        match told {
            Told::Answer(value) => value << 1 | 1,
            Told::Response((found, raised)) => (found + u64::from(*raised)) << 1,
        }
    }

    fn asks(&self, _client: u8, memory: u64, _drawn: Asks) -> Asks {
        let kind = match memory & 1 {
            0 => OperationKind::Read,
            _ => OperationKind::Write,
        };
        Asks { kind, choice: 0 }
    }

    fn opinion(&self, history: &[HistoryEvent<Self>], steps: u64) -> Option<Opinion> {
        Some(sim::linearizable(history, self, steps))
    }
}

impl Model<Raising> for Raising {
    type State = u64;

    fn start(&self, _choice: u64) -> u64 {
        0
    }

    fn write(&self, state: &u64, request: &Request, told: Option<&(u64, bool)>) -> Option<u64> {
        let raises = *state == request.memory >> 1;
        let fits = told.is_none_or(|told| *told == (*state, raises));
        fits.then_some(state + u64::from(raises || self.a_conflict_raises))
    }

    fn reads(&self, state: &u64, answer: &u64) -> bool {
        state == answer
    }
}

const SOUND: Raising = Raising {
    a_conflict_raises: false,
};

#[test]
fn a_request_depends_on_what_its_client_was_told_before() {
    let (mut raised, mut conflicts) = (0, 0);
    for seed in 0..40 {
        let schedule = Profile::Swarm.schedule_for(seed, &SOUND);
        let (report, history) = sim::record(&schedule, &SOUND).expect("the schedule can be run");
        assert_eq!(report.violation, None, "seed {seed}");
        for event in &history {
            match event.what {
                Happened::Written((found, true)) => {
                    assert_eq!(found, event.memory >> 1, "seed {seed}: it knew the value");
                    raised += 1;
                }
                Happened::Written((found, false)) => {
                    assert_ne!(found, event.memory >> 1, "seed {seed}");
                    conflicts += 1;
                }
                _ => {}
            }
        }
    }
    assert!(
        raised > 500 && conflicts > 50,
        "{raised} raised, {conflicts} conflicts"
    );
}

/// In good weather every client reads, writes, and reads again, although the schedule drew both at random.
#[test]
fn a_client_follows_its_script() {
    let mut schedule = Profile::Calm.schedule_for(1, &SOUND);
    schedule.workload.clients = 1;
    schedule.workload.interval = sim::Nanos::from_millis(200);
    let (_, history) = sim::record(&schedule, &SOUND).expect("the schedule can be run");
    let invoked = history
        .iter()
        .filter(|event| matches!(event.what, Happened::Invoked));
    let kinds: Vec<OperationKind> = invoked.map(|event| event.kind).collect();
    assert!(kinds.len() > 10, "{kinds:?}");
    let script = [OperationKind::Read, OperationKind::Write].into_iter().cycle();
    let followed = kinds.iter().zip(script).take_while(|(kind, step)| *kind == step);
    // Those at the end are asked for at once, after the heal.
    assert!(followed.count() + 2 >= kinds.len(), "{kinds:?}");
}

#[test]
fn a_model_of_the_workload_judges_its_histories_and_a_wrong_one_is_contradicted() {
    let wrong = Raising {
        a_conflict_raises: true,
    };
    let mut opinions: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..40 {
        let schedule = Profile::Swarm.schedule_for(seed, &SOUND);
        let (report, history) = sim::record(&schedule, &SOUND).expect("the schedule can be run");
        if !report.is_within_budget() {
            continue;
        }
        let name = |opinion| match opinion {
            Opinion::Linearizable => "linearizable",
            Opinion::NotLinearizable { .. } => "not",
            Opinion::Unknown { .. } => "unknown",
        };
        let sound = name(sim::linearizable(&history, &SOUND, 20_000));
        assert_ne!(sound, "not", "seed {seed}");
        *opinions.entry(sound).or_default() += 1;
        let wrong = name(sim::linearizable(&history, &wrong, 20_000));
        *opinions
            .entry(if wrong == "not" { "contradicted" } else { "" })
            .or_default() += 1;
    }
    assert!(opinions["linearizable"] > 20, "{opinions:?}");
    assert!(opinions["contradicted"] > 20, "{opinions:?}");
}

#[test]
fn a_history_in_jepsens_form_shows_what_clients_of_any_workload_were_told() {
    let schedule = Profile::Calm.schedule_for(1, &SOUND);
    let (_, history) = sim::record(&schedule, &SOUND).expect("the schedule can be run");
    let mut text = Vec::new();
    SOUND
        .write_history(&history, &mut text)
        .expect("memory can be written to");
    let text = String::from_utf8(text).expect("it is text");
    assert_eq!(text.lines().count(), history.len());
    assert!(
        text.contains(":type :ok, :f :write") && text.contains(":told \"(0, true)\""),
        "{text}"
    );
}
