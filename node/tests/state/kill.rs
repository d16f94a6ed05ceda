//! `kill -9` at any moment: what was acknowledged is there at the next start.
//!
//! The test starts itself again as a child process that appends to a store in a real folder and reports on its standard
//! output what it has made durable. The parent kills it without warning, reads what it has reported, opens the folder
//! and compares.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::store::new_folder;
use node::store::{Opened, Store};
use raft_core::{
    Entry, EntryBody, HardState, Index, LogId, NodeId, Payload, Persist, SnapshotMeta, Term, Ticket,
};

const FOLDER_VARIABLE: &str = "NODE_TEST_KILL_FOLDER";
const KILLS: u64 = 12;

fn log_id(index: u64) -> LogId {
    LogId::new(Term::new(1), Index::new(index).unwrap())
}

fn entry(index: u64) -> Entry {
    let bytes = vec![u8::try_from(index % 251).unwrap(); usize::try_from(index % 700).unwrap()];
    Entry {
        id: log_id(index),
        body: EntryBody::Command(Payload::from(bytes)),
    }
}

fn snapshot_bytes(index: u64) -> Payload {
    Payload::from(index.to_be_bytes().repeat(5000))
}

/// One step of the history: a few entries, the commit index, a vote, and now and then a snapshot that
/// replaces most of the log.
fn step(last: u64) -> (Persist, Option<Payload>, u64) {
    let new_last = last + 1 + last % 5;
    let snapshot_at = (new_last / 100 > last / 100 && last > 0).then_some(last);
    let persist = Persist {
        ticket: Ticket::new(new_last),
        hard_state: Some(Box::new(HardState {
            term: Term::new(new_last),
            vote: Some(NodeId::new(2)),
            admitted: true,
            ..HardState::default()
        })),
        snapshot: snapshot_at.map(|at| {
            Box::new(SnapshotMeta {
                cluster: raft_core::ClusterId {
                    founding: 3,
                    nonce: 4,
                },
                last: log_id(at),
                membership: new_folder().bootstrap.into(),
                membership_id: None,
                withheld: false,
                level: raft_core::Level::ZERO,
            })
        }),
        truncate_from: None,
        entries: (last + 1..=new_last).map(entry).collect(),
        commit: Index::new(last),
        compact_to: snapshot_at.and_then(|at| Index::new(at.saturating_sub(20))),
        sync: true,
    };
    (persist, snapshot_at.map(snapshot_bytes), new_last)
}

fn last_index(opened: &Opened) -> u64 {
    opened
        .durable
        .entries
        .last()
        .map_or(0, |entry| entry.id.index.value())
}

fn child(folder: &Path) -> ! {
    let (mut store, opened) = Store::create_or_open(folder, &new_folder()).unwrap();
    let mut last = last_index(&opened);
    let mut out = std::io::stdout();
    loop {
        let (persist, bytes, new_last) = step(last);
        if let (Some(meta), Some(bytes)) = (&persist.snapshot, &bytes) {
            store.snapshots().write(meta.last, bytes).unwrap();
        }
        store.persist(&[persist]).unwrap();
        last = new_last;
        // Without the parent there is no reason to go on.
        if writeln!(out, "durable {last}")
            .and_then(|()| out.flush())
            .is_err()
        {
            std::process::exit(0);
        }
    }
}

/// The index that a line of the child's reports as durable. A line that the kill truncated reports a lower index.
fn acknowledgement(line: String) -> Option<u64> {
    line.rsplit_once("durable ")?.1.parse().ok()
}

#[test]
fn nothing_acknowledged_is_lost() {
    if let Some(folder) = std::env::var_os(FOLDER_VARIABLE) {
        child(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for kill in 0..KILLS {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::nothing_acknowledged_is_lost", "--nocapture"])
            .env(FOLDER_VARIABLE, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut said: Vec<u64> = Vec::new();
        // Half of the children are killed by the clock: while they create the folder, or recover from the last kill.
        // The others are killed after a number of reports, in the middle of the next one, however slow the disk is
        // today.
        if kill % 2 == 0 {
            std::thread::sleep(Duration::from_millis(20 + kill * 37 % 200));
        } else {
            said.extend(
                lines
                    .by_ref()
                    .map_while(Result::ok)
                    .filter_map(acknowledgement)
                    .take(30),
            );
        }
        process.kill().unwrap();
        said.extend(lines.map_while(Result::ok).filter_map(acknowledgement));
        process.wait().unwrap();
        acknowledged = said.last().copied().unwrap_or(acknowledged);

        let (_store, opened) = Store::create_or_open(folder.path(), &new_folder()).unwrap();
        let last = last_index(&opened);
        assert!(
            last >= acknowledged,
            "kill {kill}: {acknowledged} were acknowledged, but {last} are left"
        );
        for found in &opened.durable.entries {
            assert_eq!(*found, entry(found.id.index.value()));
        }
        if last > 0 {
            assert_eq!(opened.durable.hard_state.term, Term::new(last));
        }
        let first = opened
            .durable
            .entries
            .first()
            .map_or(1, |entry| entry.id.index.value());
        match &opened.durable.snapshot {
            Some(meta) => {
                let at = meta.last.index.value();
                assert!(first <= at + 1, "no gap between snapshot {at} and entry {first}");
                assert_eq!(opened.snapshot, Some(snapshot_bytes(at)));
            }
            None => assert_eq!(first, 1),
        }
        acknowledged = last;
    }
    assert!(
        acknowledged > 200,
        "only {acknowledged} entries were written in {KILLS} runs"
    );
    println!("{acknowledged} entries survived {KILLS} kills");
}
