//! The bytes of snapshots, which servers write beside their logs: see [`crate::disk`].

use raft_core::replica::Input;
use raft_core::{Envelope, Feeding, Index, LogId, Message, NodeId, Payload, Term};

use super::step::Given;
use super::{Event, Simulation};
use crate::coverage::Probe;
use crate::oracle::stability::PLACES;
use crate::oracle::{Judgement, Oracle, resources, violated};
use crate::places::{node_at, place_of};
use crate::report::Place;
use crate::workload::Workload;

/// Where the snapshot ends that each leader is sending to each peer, and the term in which it leads.
pub(super) type Fed = [[Option<(Term, Index)>; PLACES]; PLACES];

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

    /// A leader sends a piece of a snapshot.
    pub(super) fn feeds(&mut self, at: usize, envelope: &Envelope) {
        let Message::SnapshotChunk { meta, .. } = &envelope.message else {
            return;
        };
        if let Some(fed) = self
            .fed
            .get_mut(at)
            .and_then(|fed| fed.get_mut(place_of(envelope.to)))
        {
            *fed = Some((envelope.term, meta.last.index));
        }
    }

    /// L6: the log after a snapshot that is on its way to a peer stays until the peer has it. Otherwise it would need the
    /// next snapshot at once, and so on.
    pub(super) fn keeps_what_is_fed(&self, at: usize, to: Index) -> Judgement {
        for (peer, last) in self.fed_by(at) {
            if to > last {
                let node = node_at(at);
                let message = format!(
                    "server {node} compacts its log up to {to}, and sends server {peer} a snapshot that ends at {last}"
                );
                return violated(Oracle::L6, message);
            }
        }
        Ok(())
    }

    /// After a step: forgets the transfers that are over.
    pub(super) fn note_fed(&mut self, at: usize) {
        let Some(mut fed) = self
            .fed
            .get(at)
            .copied()
            .filter(|fed| fed.iter().any(Option::is_some))
        else {
            return;
        };
        let raft = self.servers.get(at).and_then(|server| server.replica.as_ref());
        for (place, transfer) in fed.iter_mut().enumerate() {
            let feeding = raft.and_then(|replica| replica.raft().progress(node_at(place)));
            if feeding.is_none_or(|peer| peer.feeding != Feeding::Snapshot) {
                *transfer = None;
            }
        }
        if let Some(known) = self.fed.get_mut(at) {
            *known = fed;
        }
    }

    /// The peers to which the server is sending a snapshot, and where each of those ends.
    fn fed_by(&self, at: usize) -> impl Iterator<Item = (NodeId, Index)> + '_ {
        let server = self.servers.get(at);
        let raft = server.and_then(|server| Some(server.replica.as_ref()?.raft()));
        let fed = self.fed.get(at).into_iter().flatten().enumerate();
        fed.filter_map(move |(place, transfer)| {
            let ((term, last), raft) = ((*transfer)?, raft?);
            let peer = raft.progress(node_at(place))?;
            let is_under_way = peer.feeding == Feeding::Snapshot && raft.vitals().term == term;
            is_under_way.then_some((peer.node, last))
        })
    }
}
