//! The disk, on threads of its own, so that a slow sync delays nothing but the answers that wait for it: one for the
//! log, and one for the bytes of snapshots, for which no entry may wait.

use std::sync::mpsc;
use std::thread;

use raft_core::{Entry, Index, LogId, Payload, Persist, Ticket};
use tokio::sync::mpsc as completions;

use crate::store::{SnapshotWriter, Store, StoreError};

/// The most `Persist`s that share one transaction: enough that a slow disk catches up, and few enough that the first
/// does not wait long for the last.
const GROUP_LIMIT: usize = 1024;

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
    jobs: mpsc::Sender<Job>,
    snapshots: mpsc::Sender<SnapshotJob>,
}

impl Disk {
    /// Starts the threads. They end, and close the store, when the `Disk` is dropped.
    pub(super) fn start(
        store: Store,
    ) -> std::io::Result<(
        Self,
        completions::UnboundedReceiver<Completion>,
        thread::JoinHandle<()>,
    )> {
        let (jobs, queue) = mpsc::channel();
        let (snapshots, snapshot_queue) = mpsc::channel();
        let (done, results) = completions::unbounded_channel();
        let (writer, written) = (store.snapshots(), done.clone());
        let snapshot_thread = thread::Builder::new()
            .name("snapshots".into())
            .spawn(move || write_snapshots(&writer, &snapshot_queue, &written))?;
        let thread = thread::Builder::new().name("storage".into()).spawn(move || {
            work(store, &queue, &done);
            let _ = snapshot_thread.join();
        })?;
        Ok((Self { jobs, snapshots }, results, thread))
    }

    /// Queues a job. After a failure the thread has ended, and the job is dropped: the shell has been told.
    pub(super) fn queue(&self, job: Job) {
        let _ = self.jobs.send(job);
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
fn work(mut store: Store, queue: &mpsc::Receiver<Job>, done: &completions::UnboundedSender<Completion>) {
    let mut group: Vec<Persist> = Vec::new();
    while let Ok(first) = queue.recv() {
        let mut next = Some(first);
        let mut load = None;
        while let Some(job) = next.take() {
            match job {
                Job::Persist(persist) => group.push(persist),
                // A read may be for entries that are still to be written: the group ends here.
                load_job @ Job::Load { .. } => {
                    load = Some(load_job);
                    break;
                }
            }
            if group.len() < GROUP_LIMIT {
                next = queue.try_recv().ok();
            }
        }
        if let Some(last) = group.last() {
            let ticket = last.ticket;
            let completion = match store.persist(&group) {
                Ok(()) => Completion::Persisted(ticket),
                Err(error) => Completion::Failed(error),
            };
            group.clear();
            let failed = matches!(completion, Completion::Failed(_));
            if done.send(completion).is_err() || failed {
                return;
            }
        }
        if let Some(Job::Load {
            ticket,
            first,
            last,
            max_bytes,
        }) = load
        {
            let entries = store
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
}
