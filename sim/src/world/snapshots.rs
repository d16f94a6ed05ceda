//! The bytes of snapshots, which servers write beside their logs: see [`crate::disk`].

use raft_core::replica::Input;
use raft_core::{LogId, Payload};

use super::step::Given;
use super::{Event, Simulation};
use crate::coverage::Probe;
use crate::oracle::{Judgement, Oracle, resources, violated};
use crate::report::Place;
use crate::workload::Workload;

impl<W: Workload> Simulation<'_, W> {
    /// A server asks for a snapshot's bytes to be made durable.
    pub(super) fn write_snapshot(&mut self, at: usize, last: LogId, bytes: Payload) -> Judgement {
        let Some(server) = self.servers.get_mut(at).filter(|server| !server.disk_failed) else {
            return Ok(());
        };
        let (node, boot) = (server.node, server.boot);
        let mut written = server.disk.write_snapshot(self.now, &self.disk_weather, last);
        // A full disk refuses a snapshot as it refuses everything else, and this costs nothing but the snapshot.
        written.fails |= server.full > 0;
        resources::snapshots_are_few(node, server.disk.snapshot_files())?;
        if self.trace.is_some() {
            let detail = format!("up to {last}, {} bytes", bytes.len());
            self.tell(self.event, Place::Server(node), "write snapshot", detail);
        }
        self.happened(Probe::WriteSnapshot, Some(at));
        self.quiet.writes_snapshot(at, written.at);
        let event = Event::SnapshotWritten {
            server: at,
            boot,
            last,
            bytes: (!written.fails).then_some(bytes),
        };
        self.push(written.at, event);
        Ok(())
    }

    /// The write of a snapshot has ended; `bytes` are there if it has succeeded.
    pub(super) fn snapshot_written(
        &mut self,
        cause: u64,
        at: usize,
        boot: u64,
        last: LogId,
        bytes: Option<Payload>,
    ) -> Judgement {
        let Some(server) = self.servers.get_mut(at).filter(|server| server.is_boot(boot)) else {
            return Ok(());
        };
        if server.disk_failed {
            return Ok(());
        }
        if server.is_busy() {
            server.missed.push_back(Event::SnapshotWritten {
                server: at,
                boot,
                last,
                bytes,
            });
            return Ok(());
        }
        let node = server.node;
        let is_written = bytes.is_some();
        match bytes {
            Some(bytes) => server.disk.snapshot_written(last, bytes),
            None => server.disk.snapshot_not_written(last),
        }
        self.hash_event(8, at as u64);
        if self.tells() {
            let what = if is_written {
                "wrote snapshot"
            } else {
                "wrote no snapshot"
            };
            self.tell(cause, Place::Server(node), what, format!("up to {last}"));
        }
        let input = if is_written {
            Input::SnapshotWritten { last }
        } else {
            self.happened(Probe::SnapshotNotWritten, Some(at));
            Input::SnapshotNotWritten { last }
        };
        self.step(at, Some(input), Given::default())
    }

    /// S24: a server discards only what was written.
    pub(super) fn discard_snapshot(&mut self, at: usize, last: LogId) -> Judgement {
        let Some(server) = self.servers.get_mut(at) else {
            return Ok(());
        };
        if !server.disk.discard_snapshot(last) {
            let message = format!(
                "server {} discards a snapshot up to {last}, which is not written",
                server.node
            );
            return violated(Oracle::S24, message);
        }
        self.happened(Probe::SnapshotDiscarded, Some(at));
        Ok(())
    }
}
