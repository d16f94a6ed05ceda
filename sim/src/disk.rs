//! The logical disk of one server: what was written, what a read would return now, and what a crash would leave.
//!
//! ```text
//!   Persist ──▶ issued ──────── sync delay ───────▶ durable ──▶ Persisted(ticket)
//!                 │                                    │
//!                 ▼                                    ▼
//!         `written`: what a read sees        `durable`: what a crash leaves for certain
//! ```
//!
//! A crash may keep or lose what lies between the two, by [`Survival`]. The further faults of a disk (forgetting, lying
//! and rotting) are in `damage`.

mod damage;
mod snapshots;

use std::collections::VecDeque;
use std::fmt;

use raft_core::{Durable, Entry, HardState, Index, LogId, Payload, Persist, SnapshotMeta, Ticket};

use crate::nanos::Nanos;
use crate::random::{Domain, Draws, Seed, bucket};
use crate::schedule::{DiskWeather, Survival};

pub(crate) use self::damage::{Rot, Rotten};

/// What a disk holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Image {
    /// The term and the vote.
    pub(crate) hard_state: HardState,
    /// The latest snapshot with its bytes.
    pub(crate) snapshot: Option<(SnapshotMeta, Payload)>,
    /// The commit hint.
    pub(crate) commit: Option<Index>,
    entries: VecDeque<Entry>,
    /// The record that has rotted, if any has.
    rot: Option<Rot>,
}

impl Image {
    /// The retained log, in order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The entry at this position.
    pub(crate) fn entry(&self, at: Index) -> Option<&Entry> {
        let first = self.entries.front()?.id.index.value();
        let offset = usize::try_from(at.value().checked_sub(first)?).ok()?;
        self.entries.get(offset).filter(|entry| entry.id.index == at)
    }

    /// The id of the entry at this position, as the log or the snapshot's end knows it.
    pub(crate) fn log_id(&self, at: Index) -> Option<LogId> {
        let from_log = self.entry(at).map(|entry| entry.id);
        from_log.or_else(|| self.snapshot_last().filter(|last| last.index == at))
    }

    /// The last entry that the snapshot covers.
    pub(crate) fn snapshot_last(&self) -> Option<LogId> {
        self.snapshot.as_ref().map(|(meta, _)| meta.last)
    }

    /// The last entry of the log, or of the snapshot when the log has none after it.
    pub(crate) fn last(&self) -> Option<LogId> {
        self.entries
            .back()
            .map(|entry| entry.id)
            .max(self.snapshot_last())
    }

    /// Whether the disk has never held anything.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns what a server is started from.
    fn to_durable(&self) -> Durable {
        Durable {
            hard_state: self.hard_state,
            snapshot: self.snapshot.as_ref().map(|(meta, _)| meta.clone()),
            entries: self.entries.iter().cloned().collect(),
            commit: self.commit,
        }
    }

    /// Carries out the parts of a write in their order, as many as `parts` allows; each entry is a part.
    pub(crate) fn write(&mut self, persist: &Persist, snapshot: Option<&Payload>, parts: usize) {
        let mut left = parts;
        let mut allowed = || {
            let allowed = left > 0;
            left = left.saturating_sub(1);
            allowed
        };
        for part in order_of_parts() {
            self.write_part(part, persist, snapshot, &mut allowed);
        }
        if self.rot.is_some() {
            self.forget_replaced_rot(persist);
        }
    }

    fn write_part(
        &mut self,
        part: Part,
        persist: &Persist,
        snapshot: Option<&Payload>,
        allowed: &mut impl FnMut() -> bool,
    ) {
        match part {
            Part::HardState => {
                if let Some(hard_state) = persist.hard_state.as_deref().filter(|_| allowed()) {
                    self.hard_state = *hard_state;
                }
            }
            Part::Snapshot => {
                if let (Some(meta), Some(bytes)) = (&persist.snapshot, snapshot)
                    && allowed()
                {
                    self.snapshot = Some((SnapshotMeta::clone(meta), bytes.clone()));
                }
            }
            Part::Truncation => {
                if let Some(from) = persist.truncate_from.filter(|_| allowed()) {
                    while self.entries.pop_back_if(|entry| entry.id.index >= from).is_some() {}
                }
            }
            Part::Entries => {
                for entry in persist.entries.iter().filter(|_| allowed()) {
                    self.entries.push_back(entry.clone());
                }
            }
            Part::Commit => {
                if let Some(commit) = persist.commit.filter(|_| allowed()) {
                    self.commit = Some(commit);
                }
            }
            Part::Compaction => {
                if let Some(to) = persist.compact_to.filter(|_| allowed()) {
                    while self.entries.pop_front_if(|entry| entry.id.index <= to).is_some() {}
                }
            }
        }
    }
}

/// A part of a write; a torn one leaves the first few.
#[derive(Clone, Copy, Debug)]
enum Part {
    HardState,
    Snapshot,
    Truncation,
    Entries,
    Commit,
    Compaction,
}

/// The order in which [`Persist`] says that its parts take effect.
fn order_of_parts() -> [Part; 6] {
    use Part::{Commit, Compaction, Entries, HardState, Snapshot, Truncation};

    if planted!(COMPACTS_BEFORE_SNAPSHOT) {
        return [HardState, Compaction, Snapshot, Truncation, Entries, Commit];
    }
    if planted!(WRITES_TERM_LAST) {
        return [Snapshot, Truncation, Entries, Commit, Compaction, HardState];
    }
    if planted!(WRITES_LOG_BEFORE_SNAPSHOT) {
        return [HardState, Truncation, Entries, Snapshot, Commit, Compaction];
    }
    if planted!(TRUNCATES_LAST) {
        return [HardState, Snapshot, Entries, Truncation, Commit, Compaction];
    }
    [HardState, Snapshot, Truncation, Entries, Commit, Compaction]
}

/// Returns how many parts a write has.
fn parts_of(persist: &Persist) -> usize {
    usize::from(persist.hard_state.is_some())
        + usize::from(persist.snapshot.is_some())
        + usize::from(persist.truncate_from.is_some())
        + persist.entries.len()
        + usize::from(persist.commit.is_some())
        + usize::from(persist.compact_to.is_some())
}

/// A write that is not durable yet.
struct Write {
    persist: Persist,
    snapshot: Option<Payload>,
}

/// What a crash did to the writes that were not synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Aftermath {
    pub(crate) unsynced: usize,
    pub(crate) kept: usize,
    pub(crate) torn: bool,
    pub(crate) gap: bool,
}

impl fmt::Display for Aftermath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            unsynced,
            kept,
            torn,
            gap,
        } = *self;
        match unsynced {
            0 => f.write_str("every write was synced")?,
            _ => write!(f, "keeps {kept} of {unsynced} writes that were not synced")?,
        }
        if torn {
            f.write_str(", and a part of the next")?;
        }
        if gap {
            f.write_str(", and loses one in the middle")?;
        }
        Ok(())
    }
}

/// The disk of one server.
pub(crate) struct Disk {
    seed: Seed,
    server: u64,
    written: Image,
    durable: Image,
    /// The real contents, while the disk lies about its syncs.
    truth: Option<Box<Image>>,
    pending: VecDeque<Write>,
    /// Snapshots that no write has named.
    files: snapshots::Files,
    /// What will be durable at the end of the current step, if its server waits for its writes.
    ahead: Option<Box<Image>>,
    /// When the last sync that was begun ends.
    busy_until: Nanos,
    /// Under group commit: the current sync covers everything up to here.
    syncing: Option<Ticket>,
    /// Under group commit: whether a caller waits for a write that came too late for the current sync.
    sync_again: bool,
    ordinal: u64,
    crashes: u64,
    /// The time that faults add to every sync.
    pub(crate) extra: Nanos,
}

/// When a write becomes durable, and what the weather did to its sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sync {
    pub(crate) ticket: Ticket,
    pub(crate) done_at: Nanos,
    pub(crate) stalled: bool,
}

impl Disk {
    pub(crate) fn new(seed: Seed, server: u64) -> Self {
        Self {
            seed,
            server,
            written: Image::default(),
            durable: Image::default(),
            truth: None,
            pending: VecDeque::new(),
            files: snapshots::Files::default(),
            ahead: None,
            busy_until: Nanos::ZERO,
            syncing: None,
            sync_again: false,
            ordinal: 0,
            crashes: 0,
            extra: Nanos::ZERO,
        }
    }

    /// Returns what a crash would leave for certain.
    pub(crate) fn durable(&self) -> &Image {
        &self.durable
    }

    /// Returns what a read sees.
    pub(crate) fn written(&self) -> &Image {
        &self.written
    }

    /// Whether a crash now could lose something.
    pub(crate) fn has_unsynced(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether a sync that was begun has not ended.
    pub(crate) fn is_syncing(&self, now: Nanos) -> bool {
        self.busy_until > now
    }

    /// What is durable when the current step is judged. A server that waits for its writes has done all of them by the
    /// end of the step, and acts on them in the same step.
    pub(crate) fn judged(&self) -> &Image {
        self.ahead.as_deref().unwrap_or(&self.durable)
    }

    /// Announces a write that the current step will do and wait for. The step may at once compact away what it commits,
    /// so nothing is compacted here.
    pub(crate) fn look_ahead(&mut self, persist: &Persist, snapshot: Option<&Payload>) {
        let ahead = self.ahead.get_or_insert_with(|| Box::new(self.durable.clone()));
        let persist = Persist {
            compact_to: None,
            ..persist.clone()
        };
        ahead.write(&persist, snapshot, usize::MAX);
    }

    /// The step is over, and all of its writes are done.
    pub(crate) fn step_ends(&mut self) {
        if let Some(ahead) = self.ahead.take() {
            debug_assert_eq!(
                (ahead.last(), ahead.hard_state),
                (self.durable.last(), self.durable.hard_state),
                "the step's writes differ from those that it was judged by"
            );
        }
    }

    /// Takes a write and makes it durable while the server waits.
    pub(crate) fn write_through(&mut self, persist: &Persist, snapshot: Option<&Payload>) {
        debug_assert!(
            self.pending.is_empty(),
            "the server has also waited for every earlier write"
        );
        self.written.write(persist, snapshot, usize::MAX);
        self.durable.write(persist, snapshot, usize::MAX);
    }

    /// Takes a write during which the server dies.
    pub(crate) fn begin_last_write(&mut self, persist: Persist, snapshot: Option<Payload>) {
        self.pending.push_back(Write { persist, snapshot });
    }

    /// Takes a write. Returns the sync to wait for, unless the current or a queued one covers the write.
    pub(crate) fn issue(
        &mut self,
        now: Nanos,
        weather: &DiskWeather,
        persist: Persist,
        snapshot: Option<Payload>,
    ) -> Option<Sync> {
        self.written.write(&persist, snapshot.as_ref(), usize::MAX);
        let (ticket, waited_for) = (persist.ticket, persist.sync);
        self.pending.push_back(Write { persist, snapshot });
        if !waited_for {
            let done_at = (now + weather.write_back).max(self.busy_until);
            return Some(Sync {
                ticket,
                done_at,
                stalled: false,
            });
        }
        if !weather.group_commit {
            return Some(self.begin_sync(now, weather, ticket));
        }
        if self.syncing.is_some() {
            self.sync_again = true;
            return None;
        }
        self.syncing = Some(ticket);
        Some(self.begin_sync(now, weather, ticket))
    }

    fn begin_sync(&mut self, now: Nanos, weather: &DiskWeather, ticket: Ticket) -> Sync {
        self.ordinal += 1;
        let draw = self
            .seed
            .quick(Domain::Disk, self.server, bucket(now), self.ordinal);
        let mut takes =
            Nanos::new(draw.between(weather.sync_min.value(), weather.sync_max.value())) + self.extra;
        let stalled = draw.part(1).chance(weather.stall_permyriad);
        if stalled {
            takes += Nanos::new(draw.part(2).below(weather.stall.value()));
        }
        // "Everything up to it is durable" makes an earlier sync end no later than a later one.
        let done_at = (now + takes).max(self.busy_until);
        self.busy_until = done_at;
        Sync {
            ticket,
            done_at,
            stalled,
        }
    }

    /// A sync has ended: everything up to its ticket is durable. Returns whether that is news, and the sync that begins
    /// now.
    pub(crate) fn synced(
        &mut self,
        now: Nanos,
        weather: &DiskWeather,
        ticket: Ticket,
    ) -> (bool, Option<Sync>) {
        let mut news = false;
        while let Some(write) = self.pending.pop_front_if(|write| write.persist.ticket <= ticket) {
            self.durable
                .write(&write.persist, write.snapshot.as_ref(), usize::MAX);
            news = true;
        }
        if self.syncing != Some(ticket) {
            return (news, None);
        }
        self.syncing = None;
        let last = self.last_issued();
        let next = last.filter(|_| std::mem::take(&mut self.sync_again)).map(|last| {
            self.syncing = Some(last);
            self.begin_sync(now, weather, last)
        });
        (news, next)
    }

    /// The last write that was issued and is not durable.
    pub(crate) fn last_issued(&self) -> Option<Ticket> {
        self.pending.back().map(|write| write.persist.ticket)
    }

    /// The process dies, and `survival` decides what is left of the writes that were not synced.
    pub(crate) fn crash(&mut self, survival: Survival) -> Aftermath {
        self.crashes += 1;
        // The step was judged as one that does all of its writes. The crash loses the messages that it would have sent,
        // and its compactions.
        if let Some(ahead) = self.ahead.take() {
            self.durable = *ahead;
        }
        let mut draws = self
            .seed
            .careful(Domain::Disk, self.server, u64::MAX, self.crashes);
        let unsynced = self.pending.len();
        let mut aftermath = Aftermath {
            unsynced,
            ..Aftermath::default()
        };
        if unsynced > 0 {
            let survival = match survival {
                Survival::Random => {
                    let ways = [
                        Survival::None,
                        Survival::Prefix,
                        Survival::Torn,
                        Survival::Subset,
                        Survival::All,
                    ];
                    draws.pick(&ways).unwrap_or(Survival::None)
                }
                other => other,
            };
            self.keep(survival, &mut draws, &mut aftermath);
        }
        self.pending.clear();
        self.written.clone_from(&self.durable);
        self.busy_until = Nanos::ZERO;
        self.syncing = None;
        self.sync_again = false;
        aftermath
    }

    fn keep(&mut self, survival: Survival, draws: &mut Draws, aftermath: &mut Aftermath) {
        let unsynced = aftermath.unsynced;
        let below = |draws: &mut Draws, bound: usize| usize::try_from(draws.below(bound as u64)).unwrap_or(0);
        aftermath.kept = match survival {
            Survival::None | Survival::Random => 0,
            Survival::All => unsynced,
            Survival::Prefix | Survival::Torn => {
                below(draws, unsynced + usize::from(survival == Survival::Prefix))
            }
            Survival::Subset => {
                let survivors: Vec<bool> = (0..unsynced).map(|_| draws.chance(6_000)).collect();
                if planted!(READS_UNCHECKED) {
                    for (write, _) in self.pending.iter().zip(survivors).filter(|&(_, kept)| kept) {
                        self.durable
                            .write(&write.persist, write.snapshot.as_ref(), usize::MAX);
                    }
                    return;
                }
                let kept = survivors.iter().take_while(|&&kept| kept).count();
                aftermath.gap = survivors.iter().skip(kept).any(|&kept| kept);
                kept
            }
        };
        for write in self.pending.iter().take(aftermath.kept) {
            self.durable
                .write(&write.persist, write.snapshot.as_ref(), usize::MAX);
        }
        if survival == Survival::Torn
            && let Some(write) = self.pending.get(aftermath.kept)
        {
            let parts = below(draws, parts_of(&write.persist));
            aftermath.torn = parts > 0;
            self.durable.write(&write.persist, write.snapshot.as_ref(), parts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft_core::{EntryBody, NodeId, Term};

    fn entry(index: u64) -> Entry {
        Entry {
            id: LogId::new(Term::new(1), Index::new(index).unwrap()),
            body: EntryBody::Noop,
        }
    }

    fn write(ticket: u64, entries: std::ops::Range<u64>, sync: bool) -> Persist {
        Persist {
            ticket: Ticket::new(ticket),
            hard_state: Some(Box::new(HardState {
                term: Term::new(ticket),
                vote: Some(NodeId::new(1)),
                ..HardState::default()
            })),
            snapshot: None,
            truncate_from: None,
            entries: entries.map(entry).collect(),
            commit: None,
            compact_to: None,
            sync,
        }
    }

    fn disk_with_three_unsynced_writes() -> Disk {
        let mut disk = Disk::new(Seed(1), 1);
        let weather = DiskWeather::default();
        disk.issue(Nanos::ZERO, &weather, write(1, 1..3, true), None);
        disk.synced(Nanos::ZERO, &weather, Ticket::new(1));
        for (ticket, entries) in [(2, 3..5), (3, 5..7), (4, 7..9)] {
            disk.issue(Nanos::ZERO, &weather, write(ticket, entries, true), None);
        }
        disk
    }

    #[test]
    fn what_is_not_synced_is_read_back_and_lost_in_a_crash() {
        let mut disk = disk_with_three_unsynced_writes();
        assert_eq!(disk.written().last(), Some(entry(8).id));
        assert_eq!(disk.durable().last(), Some(entry(2).id));
        disk.crash(Survival::None);
        assert_eq!(disk.written().last(), Some(entry(2).id));
    }

    #[test]
    fn a_crash_keeps_what_its_survival_says() {
        let mut all = disk_with_three_unsynced_writes();
        assert_eq!(all.crash(Survival::All).kept, 3);
        assert_eq!(all.durable().last(), Some(entry(8).id));

        let mut torn = false;
        for seed in 0..20 {
            let mut disk = disk_with_three_unsynced_writes();
            disk.seed = Seed(seed);
            let aftermath = disk.crash(Survival::Torn);
            // A torn write keeps its first parts: a new term without its entries, or the first entry without the
            // second.
            let kept = aftermath.kept as u64;
            let term = disk.durable().hard_state.term.value();
            assert_eq!(term, 1 + kept + u64::from(aftermath.torn));
            let last = disk.durable().last().map_or(0, |last| last.index.value());
            assert!(
                last == 2 + 2 * kept || (aftermath.torn && last == 3 + 2 * kept),
                "{last} {aftermath:?}"
            );
            torn |= aftermath.torn;
        }
        assert!(torn, "no crash tore a write");
    }

    #[test]
    fn a_step_that_waits_for_its_writes_is_judged_by_them_and_a_crash_in_it_leaves_them() {
        let mut disk = Disk::new(Seed(1), 1);
        let writes = [write(1, 1..2, true), write(2, 2..3, true)];
        for write in &writes {
            disk.look_ahead(write, None);
        }
        disk.write_through(&writes[0], None);
        assert_eq!(disk.judged().last(), Some(entry(2).id));
        assert_eq!(
            disk.durable().last(),
            Some(entry(1).id),
            "the second one comes later"
        );
        let mut twin = Disk::new(Seed(1), 1);
        for write in &writes {
            twin.look_ahead(write, None);
            twin.write_through(write, None);
        }
        twin.step_ends();
        disk.crash(Survival::None);
        for disk in [&disk, &twin] {
            assert_eq!(disk.judged().last(), Some(entry(2).id));
            assert_eq!(disk.durable().last(), Some(entry(2).id));
            assert_eq!(disk.written().last(), Some(entry(2).id));
        }
    }

    #[test]
    fn a_server_that_waits_for_its_writes_and_dies_in_one_leaves_a_part_of_it() {
        let dies = |seed, survival| {
            let mut disk = Disk::new(Seed(seed), 1);
            disk.write_through(&write(1, 1..3, true), None);
            disk.begin_last_write(write(2, 3..5, true), None);
            let aftermath = disk.crash(survival);
            (aftermath, disk.durable().last().map(|last| last.index.value()))
        };
        assert_eq!(dies(1, Survival::None).1, Some(2));
        assert_eq!(dies(1, Survival::All).1, Some(4));
        let torn = (0..20).map(|seed| dies(seed, Survival::Torn));
        let ends: Vec<_> = torn
            .filter(|(aftermath, _)| aftermath.torn)
            .map(|(_, last)| last)
            .collect();
        assert!(ends.contains(&Some(2)) && ends.contains(&Some(3)), "{ends:?}");
        assert!(!ends.contains(&Some(4)), "{ends:?}");
    }

    #[test]
    fn a_later_sync_covers_a_write_without_a_waiter() {
        let mut disk = Disk::new(Seed(1), 1);
        let weather = DiskWeather::default();
        disk.issue(Nanos::ZERO, &weather, write(1, 1..2, false), None);
        let sync = disk
            .issue(Nanos::ZERO, &weather, write(2, 2..3, true), None)
            .unwrap();
        assert!(sync.done_at < weather.write_back);
        assert!(disk.synced(sync.done_at, &weather, sync.ticket).0);
        assert!(!disk.has_unsynced());
        assert!(
            !disk.synced(weather.write_back, &weather, Ticket::new(1)).0,
            "the write-back came too late to matter"
        );
    }

    #[test]
    fn under_group_commit_writes_share_the_next_sync() {
        let mut disk = Disk::new(Seed(1), 1);
        let weather = DiskWeather {
            group_commit: true,
            ..DiskWeather::default()
        };
        let first = disk
            .issue(Nanos::ZERO, &weather, write(1, 1..2, true), None)
            .unwrap();
        assert_eq!(
            disk.issue(Nanos::ZERO, &weather, write(2, 2..3, true), None),
            None
        );
        assert_eq!(
            disk.issue(Nanos::ZERO, &weather, write(3, 3..4, true), None),
            None
        );
        let (_, second) = disk.synced(first.done_at, &weather, first.ticket);
        assert_eq!(second.map(|sync| sync.ticket), Some(Ticket::new(3)));
    }
}
