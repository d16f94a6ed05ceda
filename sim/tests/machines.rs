//! Machines that are not ours in shape raise no alarm: commands and answers of 1 byte, 100 bytes, 10 kB and 1 MB, with
//! and without sessions; one whose every command is a conditional, one whose snapshot is large, and one whose apply is
//! slow.
//!
//! `cargo test` runs a few seeds of each, and `.ci/long machines` the ignored tests, which have thousands. With `PART=3/10`
//! in the environment they run the third of ten parts of their seeds.

use std::collections::BTreeMap;

use raft_core::replica::{SnapshotError, StateMachine};
use raft_core::sessions::StoredResponse;
use raft_core::{Halt, LogId};
use sim::schedule::WorkloadPlan;
use sim::{Call, Coverage, Nanos, Probe, Profile, Schedule, Sizes, Verdict, WithSessions, Workload};

/// Runs the seeds, and returns what happened in them.
#[track_caller]
fn passes<W: Workload>(workload: &W, seeds: std::ops::Range<u64>) -> Coverage {
    let mut coverage = Coverage::default();
    for seed in seeds {
        let schedule = Profile::Swarm.schedule_for(seed, workload);
        let report = sim::run(&schedule, workload).expect("the schedule of a seed fits its workload");
        let verdict = report.verdict(&schedule.expect);
        assert_eq!(verdict, Verdict::Pass, "seed {seed}: {verdict}");
        coverage.merge(&report.coverage);
    }
    coverage
}

/// Runs some seeds, and requires that they do what the machine is for.
#[track_caller]
fn passes_and_does(workload: &impl Workload, seeds: u64, probes: &[Probe]) {
    let coverage = passes(workload, 0..seeds);
    let usual = [Probe::WriteDone, Probe::ReadDone, Probe::Served];
    for probe in usual.iter().chain(probes) {
        assert!(coverage.count(*probe) > 0, "{probe} never happened");
    }
}

/// The first of the seeds of the ignored tests.
const FIRST: u64 = 1_000_000;

/// Runs this many seeds, or the part of them that the environment asks for.
#[track_caller]
#[expect(
    clippy::disallowed_methods,
    reason = "it decides which seeds are run, and nothing about a run"
)]
fn passes_for_long(workload: &impl Workload, seeds: u64) {
    let part = std::env::var("PART").unwrap_or_else(|_| "1/1".to_owned());
    let numbers = part
        .split_once('/')
        .and_then(|(part, parts)| Some((part.parse().ok()?, parts.parse().ok()?)));
    let (part, parts): (u64, u64) = numbers.expect("PART is two numbers, as in 3/10");
    assert!((1..=parts).contains(&part), "there is no part {part} of {parts}");
    let end = |part| FIRST + seeds * part / parts;
    passes(workload, end(part - 1)..end(part));
}

/// Takes a word off the front.
fn word(bytes: &[u8]) -> Result<(u64, &[u8]), SnapshotError> {
    let (word, rest) = bytes
        .split_first_chunk()
        .ok_or_else(|| SnapshotError("it is truncated".into()))?;
    Ok((u64::from_le_bytes(*word), rest))
}

/// Counts each byte that it is told.
#[derive(Default)]
struct Tally(BTreeMap<u8, u8>);

impl StateMachine for Tally {
    type Response = u8;
    type Query = u8;
    type Answer = u8;

    fn apply(&mut self, _at: LogId, command: &[u8]) -> Result<u8, Halt> {
        let count = self.0.entry(command.first().copied().unwrap_or(0)).or_default();
        *count = count.wrapping_add(1);
        Ok(*count)
    }

    fn query(&self, byte: u8) -> u8 {
        self.0.get(&byte).copied().unwrap_or(0)
    }

    fn snapshot(&self) -> Vec<u8> {
        self.0.iter().flat_map(|(byte, count)| [*byte, *count]).collect()
    }

    fn restore(&self, snapshot: &[u8]) -> Result<Self, SnapshotError> {
        Ok(Self(
            snapshot.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect(),
        ))
    }
}

/// Commands of one byte, so that attempts of different clients may have equal ones.
struct SingleBytes;

impl Workload for SingleBytes {
    type Machine = Tally;

    fn machine(&self, _plan: &WorkloadPlan) -> Tally {
        Tally::default()
    }

    fn command(&self, call: &Call) -> Vec<u8> {
        vec![call.choice as u8]
    }

    fn query(&self, choice: u64) -> u8 {
        choice as u8
    }

    fn sizes(&self, _plan: &WorkloadPlan) -> Sizes {
        Sizes {
            command_bytes: 1,
            response_bytes: 1,
            snapshot_bytes: 16,
        }
    }
}

/// Keys with values of any length. A write is answered with the value before.
#[derive(Default)]
struct Values(BTreeMap<u64, Vec<u8>>);

impl StateMachine for Values {
    type Response = Option<Value>;
    type Query = u64;
    type Answer = Option<Value>;

    fn apply(&mut self, _at: LogId, command: &[u8]) -> Result<Option<Value>, Halt> {
        let Ok((key, value)) = word(command) else {
            return Ok(None);
        };
        Ok(self.0.insert(key, value.to_vec()).map(Value))
    }

    fn query(&self, key: u64) -> Option<Value> {
        self.0.get(&key).cloned().map(Value)
    }

    fn snapshot(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (key, value) in &self.0 {
            bytes.extend(key.to_le_bytes());
            bytes.extend((value.len() as u64).to_le_bytes());
            bytes.extend_from_slice(value);
        }
        bytes
    }

    fn restore(&self, snapshot: &[u8]) -> Result<Self, SnapshotError> {
        let (mut values, mut rest) = (BTreeMap::new(), snapshot);
        while !rest.is_empty() {
            let (key, after) = word(rest)?;
            let (length, after) = word(after)?;
            let (value, after) = after
                .split_at_checked(length as usize)
                .ok_or_else(|| SnapshotError("a value is truncated".into()))?;
            values.insert(key, value.to_vec());
            rest = after;
        }
        Ok(Self(values))
    }
}

/// A value, which a message shows by its length and its beginning.
#[derive(Clone, PartialEq)]
struct Value(Vec<u8>);

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let beginning: Vec<u8> = self.0.iter().copied().take(8).collect();
        write!(f, "{} bytes from {beginning:?} on", self.0.len())
    }
}

/// What a session keeps of a response of [`Values`].
#[derive(Clone, Debug, PartialEq)]
struct Kept(Option<Value>);

impl StoredResponse for Kept {
    fn encode(&self, into: &mut Vec<u8>) {
        if let Self(Some(Value(bytes))) = self {
            into.push(1);
            into.extend_from_slice(bytes);
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first() {
            None => Some(Self(None)),
            Some((1, bytes)) => Some(Self(Some(Value(bytes.to_vec())))),
            Some(_) => None,
        }
    }
}

/// [`Values`] in sessions.
#[derive(Default)]
struct KeptValues(Values);

impl StateMachine for KeptValues {
    type Response = Kept;
    type Query = u64;
    type Answer = Option<Value>;

    fn apply(&mut self, at: LogId, command: &[u8]) -> Result<Kept, Halt> {
        Ok(Kept(self.0.apply(at, command)?))
    }

    fn query(&self, key: u64) -> Option<Value> {
        self.0.query(key)
    }

    fn snapshot(&self) -> Vec<u8> {
        self.0.snapshot()
    }

    fn restore(&self, snapshot: &[u8]) -> Result<Self, SnapshotError> {
        Ok(Self(self.0.restore(snapshot)?))
    }
}

/// Clients that write values, so that commands have this many bytes.
#[derive(Clone, Copy)]
struct Writes {
    bytes: usize,
    states: States,
    /// How long the machine takes for each command.
    takes: Nanos,
}

/// What a workload states of its sizes.
#[derive(Clone, Copy)]
enum States {
    Truth,
    /// Commands of half their size.
    Half,
    Nothing,
}

impl Writes {
    const fn of(bytes: usize) -> Self {
        Self {
            bytes,
            states: States::Truth,
            takes: Nanos::ZERO,
        }
    }

    const fn slow(takes: Nanos) -> Self {
        Self { takes, ..WRITES_100 }
    }

    fn command_of(&self, call: &Call) -> Vec<u8> {
        let mut command = call.choice.to_le_bytes().to_vec();
        // Each value is another one from its first byte to its last.
        command.extend(call.attempt.to_le_bytes().iter().cycle().take(self.bytes - 8));
        command
    }

    fn sizes_of(&self, plan: &WorkloadPlan) -> Sizes {
        let bytes = self.bytes as u64;
        match self.states {
            States::Truth => Sizes {
                command_bytes: bytes,
                response_bytes: bytes,
                snapshot_bytes: plan.choices * (bytes + 16),
            },
            States::Half => Sizes {
                command_bytes: bytes / 2,
                ..Sizes::default()
            },
            States::Nothing => Sizes::default(),
        }
    }
}

impl Workload for Writes {
    type Machine = Values;

    fn machine(&self, _plan: &WorkloadPlan) -> Values {
        Values::default()
    }

    fn command(&self, call: &Call) -> Vec<u8> {
        self.command_of(call)
    }

    fn query(&self, choice: u64) -> u64 {
        choice
    }

    fn sizes(&self, plan: &WorkloadPlan) -> Sizes {
        self.sizes_of(plan)
    }

    fn apply_takes(&self) -> Nanos {
        self.takes
    }
}

/// The same in sessions, which keep the answers.
struct KeptWrites(Writes);

impl Workload for KeptWrites {
    type Machine = KeptValues;

    fn machine(&self, _plan: &WorkloadPlan) -> KeptValues {
        KeptValues::default()
    }

    fn command(&self, call: &Call) -> Vec<u8> {
        self.0.command_of(call)
    }

    fn query(&self, choice: u64) -> u64 {
        choice
    }

    fn sizes(&self, plan: &WorkloadPlan) -> Sizes {
        self.0.sizes_of(plan)
    }
}

/// Cells with a version each. A command changes a cell only if the cell has a certain version, modulo three.
#[derive(Default)]
struct Cells(BTreeMap<u64, (u64, u64)>);

/// What came of a command: the version before, and whether it was the right one.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Compared {
    version: u64,
    changed: bool,
}

impl Cells {
    fn compare_and_set(&mut self, command: &[u8]) -> Option<Compared> {
        let (key, rest) = word(command).ok()?;
        let (expected, rest) = word(rest).ok()?;
        let (value, _) = word(rest).ok()?;
        let (version, held) = self.0.entry(key).or_default();
        let before = *version;
        let changed = before % 3 == expected;
        if changed {
            (*version, *held) = (before + 1, value);
        }
        Some(Compared {
            version: before,
            changed,
        })
    }
}

impl StateMachine for Cells {
    type Response = Option<Compared>;
    type Query = u64;
    type Answer = (u64, u64);

    fn apply(&mut self, _at: LogId, command: &[u8]) -> Result<Option<Compared>, Halt> {
        Ok(self.compare_and_set(command))
    }

    fn query(&self, key: u64) -> (u64, u64) {
        self.0.get(&key).copied().unwrap_or_default()
    }

    fn snapshot(&self) -> Vec<u8> {
        let words = self
            .0
            .iter()
            .flat_map(|(key, (version, value))| [*key, *version, *value]);
        words.flat_map(u64::to_le_bytes).collect()
    }

    fn restore(&self, snapshot: &[u8]) -> Result<Self, SnapshotError> {
        let (mut cells, mut rest) = (BTreeMap::new(), snapshot);
        while !rest.is_empty() {
            let (key, after) = word(rest)?;
            let (version, after) = word(after)?;
            let (value, after) = word(after)?;
            cells.insert(key, (version, value));
            rest = after;
        }
        Ok(Self(cells))
    }
}

/// Clients whose every command is a conditional.
struct Conditionals;

impl Workload for Conditionals {
    type Machine = Cells;

    fn machine(&self, _plan: &WorkloadPlan) -> Cells {
        Cells::default()
    }

    fn command(&self, call: &Call) -> Vec<u8> {
        let words = [call.choice, call.attempt % 3, call.attempt];
        words.into_iter().flat_map(u64::to_le_bytes).collect()
    }

    fn query(&self, choice: u64) -> u64 {
        choice
    }

    fn sizes(&self, plan: &WorkloadPlan) -> Sizes {
        Sizes {
            command_bytes: 24,
            response_bytes: 9,
            snapshot_bytes: 24 * plan.choices,
        }
    }
}

/// A large table, of which a command changes a row.
struct Table(Vec<u64>);

const ROWS: u64 = 1 << 18;

impl StateMachine for Table {
    type Response = u64;
    type Query = u64;
    type Answer = u64;

    fn apply(&mut self, _at: LogId, command: &[u8]) -> Result<u64, Halt> {
        let (Ok((row, rest)), rows) = (word(command), self.0.len()) else {
            return Ok(0);
        };
        let value = word(rest).map_or(0, |(value, _)| value);
        Ok(std::mem::replace(&mut self.0[row as usize % rows], value))
    }

    fn query(&self, row: u64) -> u64 {
        self.0[row as usize % self.0.len()]
    }

    fn snapshot(&self) -> Vec<u8> {
        self.0.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn restore(&self, snapshot: &[u8]) -> Result<Self, SnapshotError> {
        if snapshot.len() != self.0.len() * 8 {
            return Err(SnapshotError("it is not as long as the table".into()));
        }
        let rows = snapshot
            .chunks_exact(8)
            .map(|row| word(row).map_or(0, |(row, _)| row));
        Ok(Self(rows.collect()))
    }
}

/// Small commands for a machine whose snapshot has two megabytes.
struct LargeSnapshots;

impl Workload for LargeSnapshots {
    type Machine = Table;

    fn machine(&self, _plan: &WorkloadPlan) -> Table {
        Table((0..ROWS).collect())
    }

    fn command(&self, call: &Call) -> Vec<u8> {
        let row = call.choice * (ROWS / 8);
        [row, call.attempt]
            .into_iter()
            .flat_map(u64::to_le_bytes)
            .collect()
    }

    fn query(&self, choice: u64) -> u64 {
        choice * (ROWS / 8)
    }

    fn sizes(&self, _plan: &WorkloadPlan) -> Sizes {
        Sizes {
            command_bytes: 16,
            response_bytes: 8,
            snapshot_bytes: 8 * ROWS,
        }
    }
}

const WRITES_100: Writes = Writes::of(100);
const WRITES_10K: Writes = Writes::of(10_000);
const WRITES_1M: Writes = Writes::of(1_000_000);
/// Less than a disk takes to sync, and several times as much.
const SLOW: [Writes; 2] = [
    Writes::slow(Nanos::from_micros(300)),
    Writes::slow(Nanos::from_millis(8)),
];

#[test]
fn commands_and_answers_of_a_byte_raise_no_alarm() {
    passes_and_does(&SingleBytes, 100, &[Probe::SendForward, Probe::InstallSnapshot]);
}

#[test]
fn commands_and_answers_of_a_hundred_bytes_raise_no_alarm() {
    passes_and_does(&WRITES_100, 100, &[Probe::SendForward, Probe::InstallSnapshot]);
}

#[test]
fn sessions_with_answers_of_a_hundred_bytes_raise_no_alarm() {
    let workload = WithSessions(KeptWrites(WRITES_100));
    passes_and_does(&workload, 100, &[Probe::AnswerRepeated, Probe::InstallSnapshot]);
}

#[test]
fn commands_and_answers_of_ten_kilobytes_raise_no_alarm() {
    passes_and_does(&WRITES_10K, 60, &[Probe::SendForward, Probe::InstallSnapshot]);
}

#[test]
fn sessions_with_answers_of_ten_kilobytes_raise_no_alarm() {
    let workload = WithSessions(KeptWrites(WRITES_10K));
    passes_and_does(&workload, 60, &[Probe::AnswerRepeated, Probe::InstallSnapshot]);
}

#[test]
fn commands_and_answers_of_a_megabyte_raise_no_alarm() {
    passes_and_does(&WRITES_1M, 8, &[Probe::TakeSnapshot]);
}

#[test]
fn a_machine_whose_every_command_is_a_conditional_raises_no_alarm() {
    passes_and_does(&Conditionals, 100, &[Probe::SendForward, Probe::InstallSnapshot]);
}

#[test]
fn a_machine_whose_snapshot_is_large_raises_no_alarm() {
    passes_and_does(&LargeSnapshots, 8, &[Probe::SendSnapshot, Probe::InstallSnapshot]);
}

#[test]
fn a_machine_whose_apply_is_slow_raises_no_alarm() {
    for slow in &SLOW {
        passes_and_does(slow, 60, &[Probe::SendForward, Probe::InstallSnapshot]);
    }
}

/// What reaches a server while its machine applies has to wait, so that every client waits longer at the end.
#[test]
fn a_slow_apply_delays_what_comes_after_it() {
    let ends = |takes| {
        let report = sim::run(&Schedule::calm(1), &Writes::slow(takes)).expect("the schedule fits");
        assert_eq!(report.violation, None);
        report.at
    };
    assert!(ends(Nanos::from_millis(40)) > ends(Nanos::ZERO));
}

#[test]
fn a_schedule_whose_messages_are_too_small_for_the_commands_is_refused() {
    let small = |seed: &u64| Profile::Swarm.schedule(*seed).knobs.message_bytes == 48;
    let seed = (0..)
        .find(small)
        .expect("a quarter of the seeds have small messages");
    let refused =
        sim::run(&Profile::Swarm.schedule(seed), &WRITES_100).expect_err("100 bytes are more than 48");
    assert_eq!(
        refused,
        sim::ScheduleError::SmallMessages {
            limit: 48,
            command_bytes: 100
        }
    );
    assert!(sim::run(&Profile::Swarm.schedule_for(seed, &WRITES_100), &WRITES_100).is_ok());
}

#[test]
fn a_machine_that_states_no_sizes_raises_no_alarm() {
    let workload = Writes {
        states: States::Nothing,
        ..Writes::of(1 << 10)
    };
    passes_and_does(&workload, 100, &[Probe::SendForward, Probe::InstallSnapshot]);
}

#[test]
fn a_command_that_is_larger_than_stated_is_the_workloads_mistake_and_no_alarm() {
    let workload = Writes {
        states: States::Half,
        ..WRITES_100
    };
    let refused = sim::sweep(Profile::Swarm, 0..1, &workload).expect_err("100 bytes are more than 50");
    assert!(
        matches!(
            refused,
            sim::ScheduleError::LargeCommand {
                bytes: 100,
                stated: 50,
                ..
            }
        ),
        "{refused}"
    );
    assert!(refused.to_string().contains("Workload::sizes"));
}

#[test]
fn a_replay_says_which_command_was_refused_and_why() {
    let workload = &WRITES_100;
    let mut schedule = Profile::Calm.schedule_for(1, workload);
    // Two clients' commands do not fit into the log at once.
    schedule.knobs.uncommitted_bytes = 150;
    schedule.workload.interval = Nanos::from_millis(1);
    let mut refusals = Vec::new();
    let report = sim::replay(&schedule, workload, &mut |event| {
        if event.what == "hear" && event.detail.contains("rejected: ") {
            refusals.push(event.detail);
        }
    });
    assert_eq!(report.expect("the schedule fits").violation, None);
    let busy = "rejected: too many uncommitted bytes are waiting (150); try again in a moment";
    assert!(
        refusals.iter().any(|detail| detail.ends_with(busy)),
        "{refusals:?}"
    );
    let elsewhere = "rejected: this server is not the leader";
    assert!(
        refusals.iter().any(|detail| detail.contains(elsewhere)),
        "{refusals:?}"
    );
    assert!(
        refusals
            .iter()
            .all(|detail| detail.contains(": a command of 100 bytes, ") || detail.contains(": a query, "))
    );
}

#[test]
#[ignore = "20,000 seeds: .ci/long machines"]
fn long_commands_and_answers_of_a_byte() {
    passes_for_long(&SingleBytes, 20_000);
}

#[test]
#[ignore = "20,000 seeds: .ci/long machines"]
fn long_commands_and_answers_of_a_hundred_bytes() {
    passes_for_long(&WRITES_100, 20_000);
}

#[test]
#[ignore = "20,000 seeds: .ci/long machines"]
fn long_sessions_with_answers_of_a_hundred_bytes() {
    passes_for_long(&WithSessions(KeptWrites(WRITES_100)), 20_000);
}

#[test]
#[ignore = "20,000 seeds: .ci/long machines"]
fn long_commands_and_answers_of_ten_kilobytes() {
    passes_for_long(&WRITES_10K, 20_000);
}

#[test]
#[ignore = "20,000 seeds: .ci/long machines"]
fn long_sessions_with_answers_of_ten_kilobytes() {
    passes_for_long(&WithSessions(KeptWrites(WRITES_10K)), 20_000);
}

#[test]
#[ignore = "1,000 seeds: .ci/long machines"]
fn long_commands_and_answers_of_a_megabyte() {
    passes_for_long(&WRITES_1M, 1_000);
}

#[test]
#[ignore = "20,000 seeds: .ci/long machines"]
fn long_conditionals() {
    passes_for_long(&Conditionals, 20_000);
}

#[test]
#[ignore = "1,000 seeds: .ci/long machines"]
fn long_large_snapshots() {
    passes_for_long(&LargeSnapshots, 1_000);
}

#[test]
#[ignore = "20,000 seeds: .ci/long machines"]
fn long_slow_applies() {
    for slow in &SLOW {
        passes_for_long(slow, 10_000);
    }
}
