//! `raft-core` over another store: one file of checksummed records, rewritten when a snapshot shortens the log.
//!
//! ```text
//! cargo run --release --example store
//! ```
//!
//! The store is in `store/log_file.rs`. A server that is a cluster of its own writes, is killed in the middle of a
//! record, and continues from what is left; then it takes a snapshot and does so again. Everything that it had
//! acknowledged is there each time.

#[path = "store/log_file.rs"]
mod log_file;

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::path::Path;

use log_file::{Contents, Store, record};

use raft_core::replica::{Input, Output, Replica, SnapshotError, StateMachine};
use raft_core::{
    Boot, Config, Event, GroupId, Halt, Identity, Incarnation, LoadEntries, LogId, Membership, NodeId,
    Options, ProposalId, ReadId, ReadMode, RoleName, Setup, Snapshots,
};

/// The state machine: a sum.
#[derive(Default)]
struct Sum(u64);

impl StateMachine for Sum {
    type Response = u64;
    type Query = ();
    type Answer = u64;

    fn apply(&mut self, _at: LogId, command: &[u8]) -> Result<u64, Halt> {
        self.0 += command.iter().map(|&byte| u64::from(byte)).sum::<u64>();
        Ok(self.0)
    }

    fn query(&self, (): ()) -> u64 {
        self.0
    }

    fn snapshot(&self) -> Vec<u8> {
        self.0.to_be_bytes().to_vec()
    }

    fn restore(&self, snapshot: &[u8]) -> Result<Self, SnapshotError> {
        let bytes = snapshot
            .try_into()
            .map_err(|_| SnapshotError("a sum has eight bytes".into()))?;
        Ok(Self(u64::from_be_bytes(bytes)))
    }
}

/// One life of the server: it adds the numbers, prints their sum, and ends without a shutdown.
fn live(folder: &Path, numbers: &[u8], take_snapshot: bool) -> Result<u64, Box<dyn Error>> {
    let mut store = Store::open(folder)?;
    let Contents {
        incarnation,
        boot,
        durable,
        snapshot,
    } = store.contents.clone();
    let covered = durable.snapshot.as_ref();
    let covered = covered.map(|meta| format!(" after a snapshot of {}", meta.last));
    println!(
        "start {boot} with {} entries{}",
        durable.entries.len(),
        covered.unwrap_or_default()
    );
    let node = NodeId::new(1);
    let setup = Setup {
        identity: Identity {
            group: GroupId::new(1),
            node,
            incarnation: Incarnation::new(incarnation),
            // Drawn by the system, like the incarnation.
            boot: Boot::new(
                u32::try_from(boot)?,
                RandomState::new().build_hasher().finish() as u32,
            ),
        },
        config: Config {
            snapshots: Snapshots {
                keep_entries: 0,
                ..Snapshots::default()
            },
            options: Options {
                persists_at_once: true,
                ..Options::default()
            },
            ..Config::default()
        },
        bootstrap: Membership::of_voters([node]),
        durable,
    };
    let mut server = Replica::new(setup, Sum::default(), snapshot)?;
    let mut numbers = numbers.iter();
    let mut waits_for = None;
    // A cluster of one needs no clock: time passes as fast as the disk allows.
    for number in 1..1_000 {
        server.step(Event::Tick(1));
        if waits_for.is_none() && server.raft().vitals().role == RoleName::Leader {
            let id = ProposalId::new(number);
            waits_for = Some(id);
            match numbers.next() {
                Some(&command) => server.step(Event::Propose {
                    id,
                    payload: vec![command].into(),
                }),
                None => server.step(Input::Read {
                    id: ReadId::new(number),
                    mode: ReadMode::Quorum,
                    query: (),
                }),
            }
        }
        let mut outputs = Vec::new();
        server.drain(&mut outputs);
        for output in outputs {
            match output {
                // The write is durable before the next output is carried out; if it fails, no output counts.
                Output::Persist(persist) => store.write(persist)?,
                // This store keeps the bytes in memory until a write names them, and then puts both into one file. A
                // store of large states writes them to a file of their own here, on a thread of their own.
                Output::WriteSnapshot { last, bytes } => {
                    store.unnamed.insert(last, bytes);
                    server.step(Input::SnapshotWritten { last });
                }
                Output::DiscardSnapshot { last } => {
                    store.unnamed.remove(&last);
                }
                Output::LoadEntries(LoadEntries {
                    ticket,
                    first,
                    last,
                    max_bytes,
                }) => {
                    let entries = store.contents.durable.load(first, last, max_bytes);
                    server.step(Event::EntriesLoaded { ticket, entries });
                }
                Output::Done { id, at, response } if Some(id) == waits_for => {
                    println!("  done at {at}: the sum is {response}");
                    waits_for = None;
                }
                Output::Answered { answer, .. } if !take_snapshot => return Ok(answer),
                Output::Answered { .. } => server.step(Input::TakeSnapshot),
                // The cluster of one sends nothing, and this run needs no news.
                Output::Done { .. } | Output::Changed { .. } | Output::Send(_) => {}
                Output::SnapshotInstalled { .. } | Output::SnapshotRefused { .. } | Output::Notice(_) => {}
            }
        }
        if take_snapshot && store.contents.snapshot.is_some() {
            return Ok(server.machine().0);
        }
    }
    Err("the server did not finish".into())
}

/// Leaves what a power cut leaves of a record: its head, and half of its bytes.
fn tear(folder: &Path) -> io::Result<()> {
    let whole = record(b"a record that is never finished");
    OpenOptions::new()
        .append(true)
        .open(folder.join("log"))?
        .write_all(&whole[..whole.len() / 2])
}

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).is_some() {
        println!("A server writes to one file, is killed, and continues from what is left.\nUsage: store");
        return Ok(());
    }
    let folder = std::env::temp_dir().join(format!("raft-store-{}", std::process::id()));
    assert_eq!(live(&folder, &[1, 2, 3], false)?, 6);
    tear(&folder)?;
    assert_eq!(live(&folder, &[4], true)?, 10);
    tear(&folder)?;
    assert_eq!(
        live(&folder, &[5], false)?,
        15,
        "nothing that was acknowledged is lost"
    );
    fs::remove_dir_all(&folder)?;
    Ok(())
}
