//! The disk, on threads of its own, so that a slow sync delays nothing but the answers that wait for it: one for the
//! log, one for old entries, which are read beside it, and one for the bytes of snapshots, for which no entry may wait.

use std::fs;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use raft_core::{Entry, Index, LogId, Payload, Persist, Ticket};
use tokio::sync::mpsc as completions;

use crate::store::{LogReader, SnapshotWriter, Store, StoreError};

/// The most `Persist`s that share one transaction: enough that a slow disk catches up, and few enough that the first
/// does not wait long for the last.
const GROUP_LIMIT: usize = 1024;

/// How long a write waits, again and again, while there is no room for it.
const NO_ROOM_PAUSE: Duration = Duration::from_millis(100);

/// A task of the disk.
pub(super) enum Job {
    /// Makes this durable.
    Persist(Persist),
    /// Reads these entries.
    Load {
        ticket: Ticket,
        first: Index,
        last: Index,
        max_bytes: usize,
    },
}

/// A task of the thread for snapshots.
pub(super) enum SnapshotJob {
    /// Makes the bytes of the snapshot up to this entry durable.
    Write(LogId, Payload),
    /// Removes them: they will not be named.
    Discard(LogId),
}

/// A completed task of the disk.
pub(super) enum Completion {
    /// Everything up to this ticket is durable.
    Persisted(Ticket),
    /// The entries that were read; none if they could not be read.
    Loaded { ticket: Ticket, entries: Vec<Entry> },
    /// The bytes of the snapshot up to this entry are durable.
    SnapshotWritten(LogId),
    /// They could not be written.
    SnapshotNotWritten(LogId, std::io::Error),
    /// A write failed. The store rejects everything from now on.
    Failed(StoreError),
}

/// The queues to the disk's threads.
///
/// Neither direction is bounded here, because the core bounds both: a leader by its limit for uncommitted bytes, and a
/// follower by what its leader may have in flight. If the queue blocked the shell instead, a stalled disk would stop
/// heartbeats.
pub(super) struct Disk {
    writes: mpsc::Sender<Persist>,
    reads: mpsc::Sender<Read>,
    snapshots: mpsc::Sender<SnapshotJob>,
}

/// Entries to read.
struct Read {
    ticket: Ticket,
    first: Index,
    last: Index,
    max_bytes: usize,
}

/// What [`Disk::start`] hands out: the disk, its answers, and its threads.
pub(super) type Started = (
    Disk,
    completions::UnboundedReceiver<Completion>,
    Vec<thread::JoinHandle<()>>,
);

impl Disk {
    /// Starts the threads. They end, and close the store, when the `Disk` is dropped.
    pub(super) fn start(store: Store) -> std::io::Result<Started> {
        let (writes, write_queue) = mpsc::channel();
        let (reads, read_queue) = mpsc::channel();
        let (snapshots, snapshot_queue) = mpsc::channel();
        let (done, results) = completions::unbounded_channel();
        let (reader, loaded) = (store.reader(), done.clone());
        let (writer, written) = (store.snapshots(), done.clone());
        let thread = |name: &str| thread::Builder::new().name(name.into());
        let threads = vec![
            thread("snapshots").spawn(move || write_snapshots(&writer, &snapshot_queue, &written))?,
            thread("log reader").spawn(move || read(&reader, &read_queue, &loaded))?,
            thread("storage").spawn(move || write(store, &write_queue, &done))?,
        ];
        let disk = Self {
            writes,
            reads,
            snapshots,
        };
        Ok((disk, results, threads))
    }

    /// Queues a job. After a failure the thread has ended, and the job is dropped: the shell has been told.
    ///
    /// A read does not wait for the writes before it. The core asks only for entries that it dropped from memory, and it
    /// keeps those that are not durable yet.
    pub(super) fn queue(&self, job: Job) {
        match job {
            Job::Persist(persist) => {
                let _ = self.writes.send(persist);
            }
            Job::Load {
                ticket,
                first,
                last,
                max_bytes,
            } => {
                let _ = self.reads.send(Read {
                    ticket,
                    first,
                    last,
                    max_bytes,
                });
            }
        }
    }

    /// Queues a job for the thread of snapshots.
    pub(super) fn queue_snapshot(&self, job: SnapshotJob) {
        let _ = self.snapshots.send(job);
    }
}

fn write_snapshots(
    writer: &SnapshotWriter,
    queue: &mpsc::Receiver<SnapshotJob>,
    done: &completions::UnboundedSender<Completion>,
) {
    while let Ok(job) = queue.recv() {
        match job {
            SnapshotJob::Write(last, bytes) => {
                let completion = match writer.write(last, &bytes) {
                    Ok(()) => Completion::SnapshotWritten(last),
                    Err(error) => Completion::SnapshotNotWritten(last, error),
                };
                if done.send(completion).is_err() {
                    return;
                }
            }
            SnapshotJob::Discard(last) => writer.discard(last),
        }
    }
}

/// Group commit: everything that was queued while the last sync ran shares the next one.
fn write(mut store: Store, queue: &mpsc::Receiver<Persist>, done: &completions::UnboundedSender<Completion>) {
    let mut group = Vec::new();
    while let Ok(first) = queue.recv() {
        let mut last = first.ticket;
        group.push(first);
        while group.len() < GROUP_LIMIT
            && let Ok(next) = queue.try_recv()
        {
            last = next.ticket;
            group.push(next);
        }
        let completion = match persist(&mut store, &group, || done.is_closed()) {
            Ok(()) => Completion::Persisted(last),
            Err(error) => Completion::Failed(error),
        };
        group.clear();
        let failed = matches!(completion, Completion::Failed(_));
        if done.send(completion).is_err() || failed {
            return;
        }
    }
}

/// Persists a group, and waits for room for it if need be, unless the server stops. The core holds back meanwhile what
/// depends on it, and a leader rejects proposals once too much waits.
fn persist(store: &mut Store, group: &[Persist], stops: impl Fn() -> bool) -> Result<(), StoreError> {
    let mut waits = false;
    loop {
        match store.persist(group) {
            Err(error @ StoreError::NoRoom { .. }) if !stops() => {
                if !std::mem::replace(&mut waits, true) {
                    tracing::error!("waiting: {}", crate::with_causes(&error));
                }
                thread::sleep(NO_ROOM_PAUSE);
            }
            answer => {
                if waits && answer.is_ok() {
                    tracing::info!("there is room in the data folder again");
                }
                return answer;
            }
        }
    }
}

fn read(
    reader: &LogReader<fs::File>,
    queue: &mpsc::Receiver<Read>,
    done: &completions::UnboundedSender<Completion>,
) {
    while let Ok(Read {
        ticket,
        first,
        last,
        max_bytes,
    }) = queue.recv()
    {
        let entries = reader
            .load_entries(first, last, max_bytes)
            .unwrap_or_else(|error| {
                tracing::error!("cannot read entries {first} to {last} back from the store: {error}");
                Vec::new()
            });
        if done.send(Completion::Loaded { ticket, entries }).is_err() {
            return;
        }
    }
}
