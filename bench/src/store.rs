//! What a command costs on its way to the disk: the store of the service beside a plain preallocated file.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use node::store::{DataFolder, Disk, DiskFile, NewFolder, Store, StoreOptions};
use raft_core::{
    Entry, EntryBody, GroupId, Incarnation, Index, LogId, Membership, NodeId, Payload, Persist, Term, Ticket,
};

use crate::report::Row;

/// The size of the service's smallest command.
const COMMAND_BYTES: usize = 158;

/// The most bytes that one command may pass to writes.
const MOST_BYTES: f64 = 1024.0;

#[derive(Args)]
pub(crate) struct Options {
    /// How many commands each side writes, one sync after each batch.
    #[arg(long, default_value_t = 2_000)]
    commands: u64,
}

/// What was passed to the disk.
#[derive(Debug, Default)]
struct Counts {
    bytes: AtomicU64,
    syncs: AtomicU64,
}

/// A folder that counts.
#[derive(Debug)]
struct Counted {
    folder: DataFolder,
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct CountedFile {
    file: std::fs::File,
    counts: Arc<Counts>,
}

impl Counted {
    fn file(&self, file: std::fs::File) -> CountedFile {
        CountedFile {
            file,
            counts: Arc::clone(&self.counts),
        }
    }
}

impl Disk for Counted {
    type File = CountedFile;

    fn place(&self) -> String {
        self.folder.place()
    }

    fn open(&self, name: &str) -> io::Result<Option<CountedFile>> {
        Ok(self.folder.open(name)?.map(|file| self.file(file)))
    }

    fn create(&self, name: &str) -> io::Result<CountedFile> {
        self.folder.create(name).map(|file| self.file(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.folder.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.folder.remove(name)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        self.folder.names()
    }

    fn sync(&self) -> io::Result<()> {
        self.counts.syncs.fetch_add(1, Ordering::Relaxed);
        self.folder.sync()
    }
}

impl DiskFile for CountedFile {
    fn len(&self) -> io::Result<u64> {
        DiskFile::len(&self.file)
    }

    fn read_at(&self, offset: u64, target: &mut [u8]) -> io::Result<()> {
        DiskFile::read_at(&self.file, offset, target)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.counts.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        DiskFile::write_at(&self.file, offset, bytes)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        DiskFile::set_len(&self.file, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.counts.syncs.fetch_add(1, Ordering::Relaxed);
        DiskFile::sync(&self.file)
    }
}

/// What a side spent on one command.
struct Spent {
    bytes: f64,
    syncs: f64,
    time: Duration,
}

fn append(at: u64) -> Persist {
    Persist {
        ticket: Ticket::new(at),
        hard_state: None,
        snapshot: None,
        truncate_from: None,
        entries: Index::new(at)
            .into_iter()
            .map(|index| Entry {
                id: LogId::new(Term::new(1), index),
                body: EntryBody::Command(Payload::from(vec![7; COMMAND_BYTES])),
            })
            .collect(),
        commit: Index::new(at - 1),
        compact_to: None,
        sync: true,
    }
}

fn ours(commands: u64, batch: u64) -> Result<Spent, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let counts = Arc::new(Counts::default());
    let disk = Counted {
        folder: DataFolder::hold(folder.path())?,
        counts: Arc::clone(&counts),
    };
    let new = NewFolder {
        group: GroupId::new(1),
        node: NodeId::new(1),
        incarnation: Incarnation::new(1),
        boot_nonce: 1,
        bootstrap: Membership::of_voters([NodeId::new(1)]),
    };
    let (mut store, _) = Store::create_or_open_on(disk, &new, StoreOptions::default())?;
    // The spare segment is filled beside the first writes.
    let mut last = 0;
    for _ in 0..100 {
        last += 1;
        store.persist(&[append(last)])?;
    }
    let [bytes, syncs] = [&counts.bytes, &counts.syncs].map(|count| count.load(Ordering::Relaxed));
    let begun = Instant::now();
    for _ in 0..commands / batch {
        let group: Vec<Persist> = (last + 1..=last + batch).map(append).collect();
        last += batch;
        store.persist(&group)?;
    }
    let time = begun.elapsed();
    Ok(per_command(
        counts.bytes.load(Ordering::Relaxed) - bytes,
        counts.syncs.load(Ordering::Relaxed) - syncs,
        time,
        commands,
    ))
}

/// Writes the bare commands one after the other into a file of zeros, and syncs after each batch.
fn plain(commands: u64, batch: u64) -> Result<Spent, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let folder = DataFolder::hold(folder.path())?;
    let file = folder.create("plain")?;
    DiskFile::write_at(&file, 0, &vec![0; 16 << 20])?;
    DiskFile::sync(&file)?;
    let bytes = vec![7; COMMAND_BYTES * usize::try_from(batch)?];
    let begun = Instant::now();
    for number in 0..commands / batch {
        DiskFile::write_at(&file, number * bytes.len() as u64, &bytes)?;
        DiskFile::sync(&file)?;
    }
    let rounds = commands / batch;
    Ok(per_command(
        rounds * bytes.len() as u64,
        rounds,
        begun.elapsed(),
        commands,
    ))
}

fn per_command(bytes: u64, syncs: u64, time: Duration, commands: u64) -> Spent {
    Spent {
        bytes: bytes as f64 / commands as f64,
        syncs: syncs as f64 / commands as f64,
        time: time.div_f64(commands as f64),
    }
}

/// Measures batches of 1 and of 16 commands: bytes, syncs and time for each command.
///
/// # Errors
///
/// The folder of temporary files cannot be written.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>, Box<dyn std::error::Error>> {
    let mut rows = Vec::new();
    for batch in [1, 16] {
        let (ours, plain) = (ours(options.commands, batch)?, plain(options.commands, batch)?);
        let row = |what: &str, unit, ours: f64, peer: f64, due| Row {
            work: format!("{what}, batches of {batch}"),
            ours,
            peer,
            unit,
            ratio: peer / ours,
            due,
        };
        // A ratio to the bare command, so that the bound is one as well.
        let due = COMMAND_BYTES as f64 / MOST_BYTES;
        rows.push(row(
            "158-byte command",
            "bytes written",
            ours.bytes,
            plain.bytes,
            due,
        ));
        rows.push(row("158-byte command", "syncs", ours.syncs, plain.syncs, 1.0));
        let micros = |spent: &Spent| spent.time.as_secs_f64() * 1e6;
        rows.push(row("158-byte command", "µs", micros(&ours), micros(&plain), 0.0));
    }
    Ok(rows)
}
