//! Carries out a schedule, and judges every answer of the store.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use raft_core::{Entry, HardState, Index, LogId, NodeId, Payload, Persist};

use super::disk::SimulatedDisk;
use super::model::Contents;
use super::schedule::{Change, Keep, Step, StoreSchedule, Write};
use super::sectors::SectorDisk;
use super::subject::{NewStore, OpenStore, Opened, StoreFailure, StoreUnderTest};
use crate::hash::Rolling;
use crate::oracle::{Judgement, Oracle, Violation, violated};
use crate::random::{Domain, Seed};
use crate::schedule::Class;

/// How often opening a store is attempted before it counts as impossible: each fault fails one attempt, and a full disk
/// has room again after a while.
const MAX_ATTEMPTS: u64 = 100;

/// The outcome of a run of the store.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct StoreReport {
    /// What an oracle found, if any did.
    pub violation: Option<Violation>,
    /// A hash over every call to the disk and every answer of the store.
    pub hash: u64,
    /// Calls to the disk that change something.
    pub operations: u64,
    /// Groups of writes that the store acknowledged.
    pub acknowledged: u64,
    /// How often the store was opened, and compared.
    pub opened: u64,
    /// How often the power failed.
    pub crashes: u64,
    /// How many typed errors the store returned.
    pub errors: u64,
    /// How often a store said that its last group is lost, and that the server keeps silent: in classes B and C only.
    pub silenced: u64,
    /// How often the store had no room, and was asked again.
    pub waited: u64,
    /// Whether the run ended with a store that cannot be opened, as is right for a damaged one.
    pub is_refused: bool,
    /// How often a store had lost acknowledged writes undetected: in class C only, where that is a known limit and not
    /// a violation.
    pub forgotten: u64,
    /// The faults that struck, by name.
    pub struck: BTreeMap<&'static str, u64>,
}

impl StoreReport {
    /// The run's hash, tied to its number (its seed, in a sweep). The sum of these, in any order and in parts, is the
    /// hash of many runs.
    pub const fn hash_as(&self, number: u64) -> u64 {
        self.hash.wrapping_mul(number.wrapping_mul(2).wrapping_add(1))
    }
}

/// Carries out a schedule.
pub fn run(schedule: &StoreSchedule, store: &dyn StoreUnderTest) -> StoreReport {
    Run::new(schedule, store, None).finish()
}

/// Carries out a schedule, and reports every call and every answer.
pub fn replay(
    schedule: &StoreSchedule,
    store: &dyn StoreUnderTest,
    tell: &mut dyn FnMut(&str),
) -> StoreReport {
    Run::new(schedule, store, Some(tell)).finish()
}

/// Why a run ends before its last step.
enum Stop {
    Violation(Violation),
    /// The store refuses its folder, rightly.
    Refused,
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

/// Everything that was ever given to the store, acknowledged or not.
#[derive(Default)]
struct Written {
    entries: BTreeMap<LogId, Vec<Entry>>,
    hard_states: BTreeSet<(u64, Option<NodeId>, bool)>,
    snapshots: Vec<Payload>,
}

impl Written {
    fn add(&mut self, persist: &Persist, bytes: Option<&Payload>) {
        for entry in &persist.entries {
            self.entries.entry(entry.id).or_default().push(entry.clone());
        }
        self.hard_states.extend(
            persist
                .hard_state
                .as_ref()
                .map(|state| (state.term.value(), state.vote, state.admitted)),
        );
        self.snapshots.extend(bytes.cloned());
    }

    /// Describes what of these contents was never written.
    fn stranger(&self, contents: &Contents) -> Option<String> {
        let HardState {
            term, vote, admitted, ..
        } = contents.hard_state;
        if contents.hard_state != HardState::default()
            && !self.hard_states.contains(&(term.value(), vote, admitted))
        {
            return Some(format!(
                "a term and vote that were never written: {:?}",
                contents.hard_state
            ));
        }
        if let Some((meta, bytes)) = &contents.snapshot
            && !self.snapshots.contains(bytes)
        {
            return Some(format!("a snapshot up to {} that was never written", meta.last));
        }
        self.strange_entry(&contents.entries)
    }

    fn strange_entry(&self, entries: &[Entry]) -> Option<String> {
        let known = |entry: &&Entry| self.entries.get(&entry.id).is_some_and(|all| all.contains(entry));
        let entry = entries.iter().find(|entry| !known(entry))?;
        Some(format!("an entry {} that was never written", entry.id))
    }
}

struct Run<'a> {
    schedule: &'a StoreSchedule,
    subject: &'a dyn StoreUnderTest,
    tell: Option<&'a mut dyn FnMut(&str)>,
    disk: SimulatedDisk,
    store: Option<Box<dyn OpenStore>>,
    /// What the store may hold after the next start: the last state that it reported as durable, and those after it.
    /// The last one is what it holds now.
    allowed: Vec<Contents>,
    /// What it could hold before the last sync: a store that says that it has lost its last group may hold it again.
    before: Vec<Contents>,
    written: Written,
    /// Counts the writes, to give each its own contents.
    number: u64,
    boot: u64,
    /// Whether a step has left garbage on the disk.
    is_garbled: bool,
    /// Whether the store said at its last start that it keeps silent.
    was_silenced: bool,
    hash: Rolling,
    report: StoreReport,
}

impl<'a> Run<'a> {
    fn new(
        schedule: &'a StoreSchedule,
        subject: &'a dyn StoreUnderTest,
        tell: Option<&'a mut dyn FnMut(&str)>,
    ) -> Self {
        let disk = SectorDisk::new(schedule.seed, schedule.faults.clone(), tell.is_some());
        Self {
            schedule,
            subject,
            tell,
            disk: SimulatedDisk::new(disk),
            store: None,
            allowed: vec![Contents::default()],
            before: Vec::new(),
            written: Written::default(),
            number: 0,
            boot: 0,
            is_garbled: false,
            was_silenced: false,
            hash: Rolling::default(),
            report: StoreReport::default(),
        }
    }

    fn finish(mut self) -> StoreReport {
        let stopped = self.carry_out();
        match stopped {
            Ok(()) => {}
            Err(Stop::Refused) => self.report.is_refused = true,
            Err(Stop::Violation(violation)) => {
                self.say(&format!("violation of {violation}"));
                self.report.violation = Some(violation);
            }
        }
        // A store that is still open may panic when it is closed; that was judged where it counts.
        let store = self.store.take();
        if catch_unwind(AssertUnwindSafe(move || drop(store))).is_err() {
            self.say("the store panicked while it was closed");
        }
        let disk = self.disk.lock();
        for kind in disk.struck() {
            *self.report.struck.entry(kind.name()).or_default() += 1;
        }
        self.report.operations = disk.operations();
        self.hash.word(disk.hash());
        drop(disk);
        self.report.hash = self.hash.finish();
        self.report
    }

    fn carry_out(&mut self) -> Result<(), Stop> {
        self.open()?;
        for (place, step) in self.schedule.steps.iter().enumerate() {
            self.say(&format!("step {}: {step:?}", place + 1));
            match step {
                Step::Persist { writes } => self.persist(writes)?,
                Step::Load {
                    from_permyriad,
                    max_bytes,
                } => self.load(*from_permyriad, *max_bytes)?,
                Step::Reopen => self.reopen()?,
                Step::Crash { keep } => {
                    let draw = Seed(self.schedule.seed).quick(Domain::Store, 0, place as u64, 3);
                    self.is_garbled |= *keep == Keep::Garbage;
                    self.disk.lock().cut_power(*keep, draw);
                    self.reopen()?;
                }
            }
        }
        // A fault that has not shown by now shows at the next start.
        self.say("the end");
        self.reopen()
    }

    fn say(&mut self, line: &str) {
        let calls = self.disk.lock().take_trace();
        if let Some(tell) = &mut self.tell {
            calls.iter().for_each(|call| tell(call));
            tell(line);
        }
    }

    /// Whether the disk has had a fault of this class.
    fn has_struck(&self, class: Class) -> bool {
        let by_fault = self.disk.lock().struck().iter().any(|kind| kind.class() == class);
        by_fault || class == Class::B && self.is_garbled
    }

    /// Whether old but well-formed sectors may have come back.
    fn is_beyond_checksums(&self) -> bool {
        self.has_struck(Class::C)
    }

    /// Calls the store, and judges a panic.
    fn call<T>(
        &mut self,
        what: &str,
        call: impl FnOnce(&mut Option<Box<dyn OpenStore>>) -> T,
    ) -> Result<T, Violation> {
        let store = &mut self.store;
        catch_unwind(AssertUnwindSafe(|| call(store))).map_err(|panic| Violation {
            oracle: Oracle::S25,
            message: format!("the store panicked in {what}: {}", panic_message(&*panic)),
        })
    }

    /// An error is justified if the disk gave a reason for it.
    fn judge_error(&mut self, what: &str, error: &StoreFailure, failures_before: u64) -> Judgement {
        self.report.errors += 1;
        let StoreFailure {
            message, is_damage, ..
        } = error;
        self.say(&format!("{what}: {message}"));
        let disk = self.disk.lock();
        let excused = disk.is_down() || disk.failures() > failures_before;
        drop(disk);
        let is_damaged = self.has_struck(Class::B) || self.has_struck(Class::C);
        // A fault within the contract may fail a call, and must never look like damage.
        if is_damaged || excused && !is_damage {
            return Ok(());
        }
        violated(
            Oracle::D2,
            format!("the disk kept its contract, but {what} failed: {message}"),
        )
    }

    fn failures(&self) -> u64 {
        self.disk.lock().failures()
    }

    /// Ends the process, cleanly if the power is on, and opens the store again.
    fn reopen(&mut self) -> Result<(), Stop> {
        self.call("close", |store| drop(store.take()))?;
        self.open()
    }

    /// Starts the process until it runs.
    fn open(&mut self) -> Result<(), Stop> {
        for _ in 0..MAX_ATTEMPTS {
            let mut disk = self.disk.lock();
            self.report.crashes += u64::from(disk.is_down());
            disk.restart();
            drop(disk);
            let failures = self.failures();
            let new = NewStore::simulated(self.schedule.journal_bytes);
            let (subject, disk) = (self.subject, self.disk.clone());
            let result = self.call("open", |store| {
                let (open, opened) = subject.open(disk, &new)?;
                *store = Some(open);
                Ok(opened)
            })?;
            match result {
                Ok(opened) => return Ok(self.compare(opened)?),
                Err(error) => self.judge_error("opening the store", &error, failures)?,
            }
            // Without a fault of the disk, every further attempt would fail the same way.
            if self.failures() == failures && !self.disk.lock().is_down() {
                return Err(Stop::Refused);
            }
        }
        Ok(violated(
            Oracle::D2,
            format!("the store cannot be opened, even at attempt {MAX_ATTEMPTS}"),
        )?)
    }

    /// Compares a store that was just opened with what it may hold.
    fn compare(&mut self, opened: Opened) -> Judgement {
        self.report.opened += 1;
        let identity = opened.identity;
        let found_boot = u64::from(identity.boot.counter);
        let lost_end = opened.lost_end.clone();
        let mut found = Contents::of(opened);
        self.say(&format!("opened for the {found_boot}th time: {found}"));
        let silenced = self.judge_loss(lost_end.as_deref(), &mut found)?;
        found.hash_into(&mut self.hash);
        self.hash.word(found_boot);
        let new = NewStore::simulated(self.schedule.journal_bytes);
        if (identity.group, identity.node, identity.incarnation) != (new.group, new.node, new.incarnation) {
            return violated(Oracle::D3, format!("the store says that it is {identity:?}"));
        }
        let says_so = lost_end.is_some() || silenced && !self.was_silenced;
        let is_earlier = says_so && self.before.contains(&found);
        let is_known = (self.allowed.contains(&found) || is_earlier) && found_boot > self.boot;
        if !is_known {
            if let Some(stranger) = self.written.stranger(&found) {
                return violated(Oracle::D3, format!("the store has {stranger}"));
            }
            if !self.is_beyond_checksums() {
                let allowed: Vec<String> = self.allowed.iter().map(ToString::to_string).collect();
                return violated(
                    Oracle::D1,
                    format!(
                        "the store holds: {found}, start {found_boot}\n    what it may hold: {}, start {} or later",
                        allowed.join("\n    or: "),
                        self.boot + 1
                    ),
                );
            }
            self.report.forgotten += 1;
        }
        self.boot = found_boot;
        // Opening counts the start durably, and makes everything that was found durable with it.
        self.was_silenced = silenced;
        self.before.clear();
        self.allowed = vec![found];
        Ok(())
    }

    /// Judges what a store says of its last group of writes. Returns whether the server is to keep silent, and takes that
    /// out of the contents. A store that lost its last group says so until it is written to, also if a crash interrupts
    /// the start that finds it.
    fn judge_loss(&mut self, lost_end: Option<&str>, found: &mut Contents) -> Result<bool, Violation> {
        let may_lose = self.has_struck(Class::B) || self.has_struck(Class::C);
        let silenced = std::mem::take(&mut found.hard_state.silenced);
        if let Some(damage) = lost_end {
            self.report.silenced += 1;
            self.say(&format!(
                "the last group is lost, and the server keeps silent: {damage}"
            ));
            if !may_lose {
                let message = format!(
                    "the disk kept its contract, but the store says that its last group is lost: {damage}"
                );
                return violated(Oracle::D2, message);
            }
            if !silenced {
                return violated(
                    Oracle::D1,
                    "the store has lost its last group, and goes on".to_owned(),
                );
            }
        }
        if silenced && !may_lose {
            return violated(Oracle::D2, "the store keeps silent for no reason".to_owned());
        }
        Ok(silenced)
    }

    fn now(&self) -> Contents {
        self.allowed.last().cloned().unwrap_or_default()
    }

    fn persist(&mut self, writes: &[Write]) -> Result<(), Stop> {
        let mut after = self.now();
        let (mut group, mut snapshots) = (Vec::new(), Vec::new());
        for &write in writes {
            self.number += 1;
            let (persist, bytes) = after.persist(self.schedule.seed, self.number, write);
            after.apply(&persist, bytes.as_ref());
            self.written.add(&persist, bytes.as_ref());
            snapshots.extend(persist.snapshot.as_ref().map(|meta| meta.last).zip(bytes));
            group.push(persist);
        }
        let is_synced = group
            .iter()
            .any(|persist| persist.sync || persist.snapshot.is_some());
        let failures = self.failures();
        // The bytes of snapshots first, as a server does. A failure costs this attempt, and poisons nothing.
        let result = self.call("writing a snapshot", |store| {
            let store = store.as_ref();
            store.map(|store| {
                let mut snapshots = snapshots.iter();
                snapshots.try_for_each(|(last, bytes)| store.write_snapshot(*last, bytes))
            })
        })?;
        if let Some(Err(failure)) = result {
            self.judge_error("writing a snapshot", &failure, failures)?;
            let is_down = self.disk.lock().is_down();
            return if is_down { self.reopen() } else { Ok(()) };
        }
        let (result, failures) = self.persist_with_room(&group)?;
        match result {
            None => Ok(()),
            Some(Ok(())) => {
                self.report.acknowledged += 1;
                self.hash.word(self.number);
                if is_synced {
                    self.before = std::mem::take(&mut self.allowed);
                }
                self.allowed.push(after);
                Ok(())
            }
            Some(Err(error)) => {
                self.allowed.push(after);
                self.fail("persisting", &error, failures)
            }
        }
    }

    /// Persists a group, as often as the store has no room for it. Returns the last answer, and how many calls the disk
    /// had failed before that attempt.
    fn persist_with_room(
        &mut self,
        group: &[Persist],
    ) -> Result<(Option<Result<(), StoreFailure>>, u64), Stop> {
        for _ in 0..MAX_ATTEMPTS {
            let failures = self.failures();
            let result = self.call("persist", |store| {
                store.as_mut().map(|store| store.persist(group))
            })?;
            match result {
                Some(Err(error)) if error.is_no_room && !self.disk.lock().is_down() => {
                    self.judge_error("persisting", &error, failures)?;
                    self.report.waited += 1;
                }
                answer => return Ok((answer, failures)),
            }
        }
        Ok(violated(
            Oracle::D2,
            format!("the store has no room, even at attempt {MAX_ATTEMPTS}"),
        )?)
    }

    /// After an error the store must refuse to write; then the process is started again.
    fn fail(&mut self, what: &str, error: &StoreFailure, failures: u64) -> Result<(), Stop> {
        self.judge_error(what, error, failures)?;
        let vote = Write {
            change: Change::Vote,
            sync: true,
        };
        self.number += 1;
        let group = [self.now().persist(self.schedule.seed, self.number, vote).0];
        let result = self.call("persist after a failure", |store| {
            store.as_mut().map(|store| store.persist(&group))
        })?;
        if matches!(result, Some(Ok(()))) {
            return Ok(violated(
                Oracle::D4,
                format!("{what} failed, but the next write was acknowledged"),
            )?);
        }
        self.reopen()
    }

    fn load(&mut self, from_permyriad: u64, max_bytes: u64) -> Result<(), Stop> {
        let now = self.now();
        let count = now.entries.len() as u64;
        let place = usize::try_from(count * from_permyriad / 10_000).unwrap_or_default();
        let first = now
            .entries
            .get(place)
            .map_or(Index::FIRST, |entry| entry.id.index);
        let last = Index::new(now.last()).unwrap_or(Index::FIRST);
        let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        let failures = self.failures();
        let result = self.call("read", |store| {
            store
                .as_ref()
                .map(|store| store.load_entries(first, last, max_bytes))
        })?;
        match result {
            None => Ok(()),
            Some(Ok(entries)) => {
                let expected = now.load(first, max_bytes);
                let stranger = self.written.strange_entry(&entries);
                match stranger {
                    _ if entries == expected => Ok(()),
                    None if self.is_beyond_checksums() => {
                        self.report.forgotten += 1;
                        Ok(())
                    }
                    _ => Ok(violated(
                        Oracle::D3,
                        format!(
                            "from {first} to {last} in {max_bytes} bytes the store reads {} entries, which differ from the {} that it holds",
                            entries.len(),
                            expected.len()
                        ),
                    )?),
                }
            }
            Some(Err(error)) => self.fail("reading", &error, failures),
        }
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use raft_core::{Boot, Durable, EntryBody, Identity, Term};

    use super::*;
    use crate::store::{DiskFault, DiskFaultKind, StoreProfile};

    /// A store that holds nothing and acknowledges everything.
    struct Forgetful;

    impl StoreUnderTest for Forgetful {
        fn open(
            &self,
            disk: SimulatedDisk,
            _new: &NewStore,
        ) -> Result<(Box<dyn OpenStore>, Opened), StoreFailure> {
            match disk.open("anything") {
                Ok(_) => Ok((Box::new(Self), opened_with(Vec::new()))),
                Err(error) => Err(failure(&error.to_string())),
            }
        }
    }

    impl OpenStore for Forgetful {
        fn write_snapshot(&self, _last: LogId, _bytes: &Payload) -> Result<(), StoreFailure> {
            Ok(())
        }

        fn persist(&mut self, _group: &[Persist]) -> Result<(), StoreFailure> {
            Ok(())
        }

        fn load_entries(
            &self,
            _first: Index,
            _last: Index,
            _max_bytes: usize,
        ) -> Result<Vec<Entry>, StoreFailure> {
            Ok(Vec::new())
        }
    }

    fn failure(message: &str) -> StoreFailure {
        StoreFailure {
            message: message.to_owned(),
            is_damage: false,
            is_no_room: false,
        }
    }

    fn nothing_to_do(faults: Vec<DiskFault>) -> StoreSchedule {
        StoreSchedule {
            profile: StoreProfile::Store,
            seed: 1,
            class: Class::A,
            journal_bytes: 1 << 16,
            steps: Vec::new(),
            faults,
        }
    }

    fn opened_with(entries: Vec<Entry>) -> Opened {
        let new = NewStore::simulated(1 << 16);
        Opened {
            identity: Identity {
                group: new.group,
                node: new.node,
                incarnation: new.incarnation,
                boot: Boot::new(1, new.boot_nonce),
            },
            durable: Durable {
                hard_state: HardState::default(),
                snapshot: None,
                entries,
                commit: None,
            },
            snapshot: None,
            lost_end: None,
        }
    }

    fn entry() -> Entry {
        Entry {
            id: LogId::new(Term::new(1), Index::FIRST),
            body: EntryBody::Command(Payload::from(vec![1, 2, 3])),
        }
    }

    fn oracle_of<T>(result: Result<T, Stop>) -> Option<Oracle> {
        match result {
            Err(Stop::Violation(violation)) => Some(violation.oracle),
            Err(Stop::Refused) | Ok(_) => None,
        }
    }

    #[test]
    fn d1_reports_a_store_that_lost_what_it_acknowledged() {
        let schedule = nothing_to_do(Vec::new());
        let mut run = Run::new(&schedule, &Forgetful, None);
        run.allowed = vec![Contents::of(opened_with(vec![entry()]))];
        let judged = run.compare(opened_with(Vec::new()));
        assert_eq!(judged.map_err(|violation| violation.oracle), Err(Oracle::D1));
    }

    #[test]
    fn d1_reports_nothing_when_the_store_has_what_it_acknowledged() {
        let schedule = nothing_to_do(Vec::new());
        let mut run = Run::new(&schedule, &Forgetful, None);
        run.allowed = vec![Contents::of(opened_with(vec![entry()]))];
        assert!(run.compare(opened_with(vec![entry()])).is_ok());
    }

    #[test]
    fn d2_reports_an_error_for_which_the_disk_gave_no_reason() {
        let schedule = nothing_to_do(Vec::new());
        let mut run = Run::new(&schedule, &Forgetful, None);
        let error = failure("the store has had enough");
        let judged = run.judge_error("persisting", &error, 0);
        assert_eq!(judged.map_err(|violation| violation.oracle), Err(Oracle::D2));
    }

    #[test]
    fn d3_reports_an_entry_that_was_never_written() {
        let schedule = nothing_to_do(Vec::new());
        let mut run = Run::new(&schedule, &Forgetful, None);
        let judged = run.compare(opened_with(vec![entry()]));
        assert_eq!(judged.map_err(|violation| violation.oracle), Err(Oracle::D3));
    }

    #[test]
    fn d4_reports_a_store_that_writes_on_after_a_failure() {
        let read_fails = DiskFault {
            id: 1,
            at: 0,
            kind: DiskFaultKind::FailRead,
        };
        let schedule = nothing_to_do(vec![read_fails]);
        let mut run = Run::new(&schedule, &Forgetful, None);
        assert_eq!(oracle_of(run.open()), None, "the second attempt succeeds");
        assert_eq!(run.failures(), 1);
        // The store is sound, but the caller says that it has failed.
        let error = failure("the store has had enough");
        assert_eq!(oracle_of(run.fail("persisting", &error, 0)), Some(Oracle::D4));
    }
}
