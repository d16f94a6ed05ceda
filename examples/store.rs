//! `raft-core` over another store: one file of checksummed records, written anew when a snapshot shortens the log.
//!
//! ```text
//! cargo run --release --example store
//! ```
//!
//! A server that is a cluster of its own writes, is killed in the middle of a record, and goes on from what is left; then
//! it takes a snapshot and does so again. What it had said to be done is there each time.

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bincode::config::standard;
use raft_core::replica::{Input, Output, Replica, SnapshotError, StateMachine};
use raft_core::{
    Config, Durable, Entry, GroupId, HardState, Identity, Incarnation, Index, LogId, Membership, NodeId,
    Payload, Persist, ProposalId, ReadId, ReadMode, RoleName, Setup, SnapshotMeta,
};
use serde::{Deserialize, Serialize};

/// Everything that a data folder holds, and what the first record of a file says.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Contents {
    incarnation: u64,
    boot: u64,
    hard_state: HardState,
    snapshot: Option<(SnapshotMeta, Payload)>,
    entries: Vec<Entry>,
    commit: Option<Index>,
}

/// What the other records say. A record is there or it is not, so a crash leaves a prefix of what was asked for.
#[derive(Serialize, Deserialize)]
enum Change {
    Started,
    Written {
        hard_state: Option<HardState>,
        truncate_from: Option<Index>,
        entries: Vec<Entry>,
        commit: Option<Index>,
    },
}

impl Contents {
    fn take(&mut self, change: Change) {
        let Change::Written {
            hard_state,
            truncate_from,
            entries,
            commit,
        } = change
        else {
            self.boot += 1;
            return;
        };
        self.hard_state = hard_state.unwrap_or(self.hard_state);
        if let Some(from) = truncate_from {
            self.entries.retain(|entry| entry.id.index < from);
        }
        self.entries.extend(entries);
        self.commit = commit.or(self.commit);
    }
}

struct Store {
    path: PathBuf,
    file: File,
    contents: Contents,
}

impl Store {
    fn open(folder: &Path) -> Result<Self, Box<dyn Error>> {
        fs::create_dir_all(folder)?;
        let path = folder.join("log");
        if !path.exists() {
            // Two folders of one server must differ: the keys of the standard library's hash maps are random.
            let incarnation = std::hash::RandomState::new().build_hasher().finish();
            replace(
                &path,
                &Contents {
                    incarnation,
                    ..Contents::default()
                },
            )?;
        }
        let bytes = fs::read(&path)?;
        let (records, whole) = records(&bytes)?;
        let (first, changes) = records.split_first().ok_or("the file has no first record")?;
        let mut contents: Contents = bincode::serde::decode_from_slice(first, standard())?.0;
        for change in changes {
            contents.take(bincode::serde::decode_from_slice(change, standard())?.0);
        }
        let file = OpenOptions::new().append(true).open(&path)?;
        if whole < bytes.len() {
            println!(
                "  {} bytes of a record that was never finished are cut off",
                bytes.len() - whole
            );
            file.set_len(whole as u64)?;
        }
        let mut store = Self { path, file, contents };
        store.append(Change::Started)?;
        Ok(store)
    }

    /// Nothing may be said to be durable before this has returned; if it fails, nothing ever again.
    fn write(&mut self, persist: Persist, snapshot: Option<Payload>) -> Result<(), Box<dyn Error>> {
        let Persist {
            hard_state,
            truncate_from,
            entries,
            commit,
            compact_to,
            ..
        } = persist;
        let change = Change::Written {
            hard_state,
            truncate_from,
            entries,
            commit,
        };
        if persist.snapshot.is_none() && compact_to.is_none() {
            return self.append(change);
        }
        if let Some(meta) = persist.snapshot {
            self.contents.snapshot = Some((meta, snapshot.ok_or("a snapshot comes with its bytes")?));
        }
        self.contents.take(change);
        self.contents
            .entries
            .retain(|entry| Some(entry.id.index) > compact_to);
        self.file = replace(&self.path, &self.contents)?;
        Ok(())
    }

    fn append(&mut self, change: Change) -> Result<(), Box<dyn Error>> {
        self.file
            .write_all(&record(&bincode::serde::encode_to_vec(&change, standard())?))?;
        self.file.sync_data()?;
        self.contents.take(change);
        Ok(())
    }
}

/// The old file or the new one is there whatever happens, and when this returns, the new one.
fn replace(path: &Path, contents: &Contents) -> Result<File, Box<dyn Error>> {
    let (temporary, folder) = (
        path.with_extension("new"),
        path.parent().ok_or("a file is in a folder")?,
    );
    let mut file = File::create(&temporary)?;
    file.write_all(&record(&bincode::serde::encode_to_vec(contents, standard())?))?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(folder)?.sync_all()?;
    Ok(file)
}

/// Length, checksum, bytes.
fn record(bytes: &[u8]) -> Vec<u8> {
    let (length, checksum) = (bytes.len() as u32, crc32fast::hash(bytes));
    [&length.to_be_bytes()[..], &checksum.to_be_bytes(), bytes].concat()
}

/// The whole records, and where they end. Only the last one may be torn: anything else is damage, and not to be repaired by guessing.
fn records(bytes: &[u8]) -> Result<(Vec<&[u8]>, usize), io::Error> {
    let (mut records, mut rest) = (Vec::new(), bytes);
    while let Some((head, behind)) = rest.split_first_chunk::<8>() {
        let [length, checksum] =
            [0, 4].map(|at| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
        let Some((record, next)) = behind.split_at_checked(length as usize) else {
            break;
        };
        // A file may have grown before its bytes arrived: then the rest is zeros.
        if crc32fast::hash(record) != checksum || length == 0 {
            let torn = next.is_empty() || rest.iter().all(|&byte| byte == 0);
            if torn {
                break;
            }
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a record before the last one is damaged",
            ));
        }
        records.push(record);
        rest = next;
    }
    Ok((records, bytes.len() - rest.len()))
}

/// The state machine: a sum.
#[derive(Default)]
struct Sum(u64);

impl StateMachine for Sum {
    type Response = u64;
    type Query = ();
    type Answer = u64;

    fn apply(&mut self, _at: LogId, command: &[u8]) -> u64 {
        self.0 += command.iter().map(|&byte| u64::from(byte)).sum::<u64>();
        self.0
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

/// One life of the server: it adds the numbers, says what their sum is, and is gone without a farewell.
fn live(folder: &Path, numbers: &[u8], take_snapshot: bool) -> Result<u64, Box<dyn Error>> {
    let mut store = Store::open(folder)?;
    let Contents {
        incarnation,
        boot,
        hard_state,
        snapshot,
        entries,
        commit,
    } = store.contents.clone();
    let covered = snapshot
        .as_ref()
        .map(|(meta, _)| format!(" behind a snapshot of {}", meta.last));
    println!(
        "start {boot} with {} entries{}",
        entries.len(),
        covered.unwrap_or_default()
    );
    let (snapshot, bytes) = snapshot.unzip();
    let node = NodeId::new(1);
    let setup = Setup {
        identity: Identity {
            group: GroupId::new(1),
            node,
            incarnation: Incarnation::new(incarnation),
            boot,
        },
        config: Config::default(),
        bootstrap: Membership::of_voters([node]),
        durable: Durable {
            hard_state,
            snapshot,
            entries,
            commit,
        },
    };
    let mut server = Replica::new(setup, Sum::default(), bytes)?;
    let mut numbers = numbers.iter();
    let mut waits_for = None;
    // No clock is needed where nobody else is: time passes as fast as the disk allows.
    for number in 1..1_000 {
        server.step(Input::Tick(1));
        if waits_for.is_none() && server.raft().vitals().role == RoleName::Leader {
            let id = ProposalId::new(number);
            waits_for = Some(id);
            match numbers.next() {
                Some(&command) => server.step(Input::Propose {
                    id,
                    command: vec![command].into(),
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
                Output::Persist { persist, snapshot } => {
                    let ticket = persist.ticket;
                    store.write(persist, snapshot)?;
                    server.step(Input::Persisted(ticket));
                }
                Output::LoadEntries {
                    ticket, first, last, ..
                } => {
                    let wanted = |entry: &&Entry| (first..=last).contains(&entry.id.index);
                    let entries = store.contents.entries.iter().filter(wanted).cloned().collect();
                    server.step(Input::EntriesLoaded { ticket, entries });
                }
                Output::Done { id, at, response } if Some(id) == waits_for => {
                    println!("  done at {at}: the sum is {response}");
                    waits_for = None;
                }
                Output::Answered { answer, .. } if !take_snapshot => return Ok(answer),
                Output::Answered { .. } => server.step(Input::TakeSnapshot),
                _ => {}
            }
        }
        if take_snapshot && store.contents.snapshot.is_some() {
            return Ok(server.machine().0);
        }
    }
    Err("the server came to no end".into())
}

/// What a power cut leaves of a record: its head, and half of its bytes.
fn tear(folder: &Path) -> io::Result<()> {
    let whole = record(b"a record that is never finished");
    OpenOptions::new()
        .append(true)
        .open(folder.join("log"))?
        .write_all(&whole[..whole.len() / 2])
}

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).is_some() {
        println!("A server writes to one file, is killed, and goes on from what is left.\nUsage: store");
        return Ok(());
    }
    let folder = std::env::temp_dir().join(format!("raft-store-{}", std::process::id()));
    assert_eq!(live(&folder, &[1, 2, 3], false)?, 6);
    tear(&folder)?;
    assert_eq!(live(&folder, &[4], true)?, 10);
    tear(&folder)?;
    assert_eq!(live(&folder, &[5], false)?, 15, "nothing that was done is lost");
    fs::remove_dir_all(&folder)?;
    Ok(())
}
