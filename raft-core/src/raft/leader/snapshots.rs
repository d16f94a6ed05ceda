//! Snapshots for peers (paper §7): sending the latest one to a peer that lacks compacted entries. The bytes are the
//! host's; this module knows their last entry and how many have arrived.

use alloc::boxed::Box;

use crate::action::Action;
use crate::message::Message;
use crate::outbox::Promise;
use crate::types::{Index, LogId, NodeId, Payload, PeerSession, SnapshotMeta, Ticket};

use super::progress::Progress;
use super::{Leader, Sender, Server};

impl Leader {
    /// The first entry that a peer needs which is being fed and has not caught up: the one after the snapshot that is on
    /// its way to it, or after what it has acknowledged since. A peer that does not answer is not being fed, nor is one
    /// that only a snapshot can help. A witness is sent a snapshot without bytes, as easily as an entry.
    pub(in crate::raft) fn first_needed(&mut self, server: &Server) -> Option<Index> {
        let (now, timing) = (server.now, &server.config.timing);
        let (patience, election) = (timing.snapshot_timeout_ticks, timing.election_timeout_min_ticks);
        let (base, last) = (server.log.base().map(|base| base.index), server.log.last_index());
        let fed = self.peers.values_mut().filter(|peer| !peer.is_witness);
        let needed = fed.filter_map(|peer| {
            if let Some(transfer) = peer.transfer() {
                return Some(transfer.meta.last.index.next());
            }
            let is_fed =
                peer.lags(last, now, election) && peer.answers(now, patience) && peer.matched() >= base;
            is_fed.then(|| Index::after(peer.matched()))
        });
        needed.min()
    }

    /// Begins to send the latest snapshot to a peer whose next entry is compacted, if the peer answers.
    pub(super) fn begin_snapshot_transfer(&mut self, server: &mut Server, to: NodeId) {
        let (now, ticket) = (server.now, server.next_request_ticket());
        let patience = server.config.timing.election_timeout_min_ticks;
        let Some(meta) = server.log.snapshot().cloned() else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&to) else {
            return;
        };
        if !peer.answers(now, patience) {
            return;
        }
        if peer.is_witness {
            send_to_witness(server, to, peer, meta);
            return;
        }
        peer.begin_snapshot(ticket, meta.clone(), now);
        server.out.push(Action::SendSnapshot { ticket, to, meta });
    }

    fn transferring(&mut self, ticket: Ticket) -> Option<(NodeId, &mut Progress)> {
        let mut peers = self.peers.iter_mut();
        peers.find_map(|(node, peer)| (peer.transfer()?.ticket == ticket).then_some((node, peer)))
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one kind of input")]
    pub(in crate::raft) fn on_snapshot_piece(
        &mut self,
        server: &mut Server,
        ticket: Ticket,
        last: LogId,
        total_bytes: u64,
        checksum: u32,
        offset: u64,
        data: Payload,
    ) {
        let Some((to, peer)) = self.transferring(ticket) else {
            return;
        };
        let meta = peer.transfer().map(|transfer| transfer.meta.clone());
        // Sent under another name, a snapshot would make a peer believe that it has applied what it has not.
        let Some(meta) = meta.filter(|meta| meta.last == last) else {
            return;
        };
        let chunk = Message::SnapshotChunk {
            session: peer.session,
            meta: Box::new(meta),
            total_bytes,
            checksum,
            offset,
            data,
        };
        server.send(to, peer.incarnation, Promise::Term, chunk);
    }

    pub(in crate::raft) fn on_snapshot_aborted(&mut self, server: &mut Server, ticket: Ticket) {
        if let Some((_, peer)) = self.transferring(ticket) {
            end_transfer(server, peer);
            peer.pause();
        }
    }

    pub(in crate::raft) fn on_snapshot_reply(
        &mut self,
        server: &mut Server,
        from: Sender,
        session: PeerSession,
        last: LogId,
        received_bytes: u64,
    ) {
        let now = server.now;
        let heartbeat = server.config.timing.heartbeat_ticks;
        let Some(peer) = self.heard(server, from, session) else {
            return;
        };
        let Some(transfer) = peer.transfer().filter(|transfer| transfer.meta.last == last) else {
            server.ignored.stale += 1;
            return;
        };
        let is_news = received_bytes > transfer.received_bytes;
        // A receiver that was started again has lost what had arrived. While pieces arrive, an answer that names less is
        // only late.
        let is_lost = received_bytes < transfer.received_bytes && transfer.idle_ticks(now) >= heartbeat;
        let is_lost = plant!(is_lost, IGNORES_LOST_PIECES => false);
        if is_news {
            transfer.advance(received_bytes, now);
        } else if is_lost {
            transfer.rewind(received_bytes);
        } else {
            return;
        }
        let ticket = transfer.ticket;
        server.out.push(Action::SnapshotAdvanced {
            ticket,
            received_bytes,
        });
    }

    /// With every heartbeat: asks again for the piece that was not acknowledged, and gives up a transfer that has come
    /// no further for too long. So every transfer ends, also one whose receiver loses or refuses it again and again.
    pub(super) fn drive_snapshot_transfers(&mut self, server: &mut Server) {
        let now = server.now;
        let patience = server.config.timing.snapshot_timeout_ticks;
        let heartbeat = server.config.timing.heartbeat_ticks;
        for peer in self.peers.values_mut() {
            let Some(transfer) = peer.transfer() else {
                continue;
            };
            let (ticket, received_bytes) = (transfer.ticket, transfer.received_bytes);
            if transfer.stuck_ticks(now) > patience {
                end_transfer(server, peer);
            } else if transfer.idle_ticks(now) >= heartbeat {
                server.out.push(Action::SnapshotAdvanced {
                    ticket,
                    received_bytes,
                });
            }
        }
    }

    /// Ends the transfer to a peer that holds everything that the snapshot covers, or so much that the log suffices.
    pub(super) fn maybe_end_snapshot_transfer(&mut self, server: &mut Server, from: NodeId) {
        let Some(peer) = self.peers.get_mut(&from) else {
            return;
        };
        let matched = peer.matched();
        let Some(transfer) = peer.transfer() else { return };
        let base = server.log.base().map(|base| base.index);
        let suffices = matched.is_some() && matched >= base;
        if suffices || matched >= Some(transfer.meta.last.index) {
            end_transfer(server, peer);
        }
    }

    /// Ends all transfers: leadership is over, or the disk failed.
    pub(super) fn end_snapshot_transfers(&mut self, server: &mut Server) {
        for peer in self.peers.values_mut() {
            end_transfer(server, peer);
        }
    }
}

/// Ends the transfer to the peer, if there is one, and tells the host so.
pub(super) fn end_transfer(server: &mut Server, peer: &mut Progress) {
    if let Some(ticket) = peer.transfer().map(|transfer| transfer.ticket) {
        peer.end_transfer();
        server.out.push(Action::SnapshotEnded { ticket });
    }
}

/// Sends a witness that lacks compacted entries the snapshot's last entry and configuration, and none of its bytes,
/// with every heartbeat until it is acknowledged.
fn send_to_witness(server: &mut Server, to: NodeId, peer: &mut Progress, meta: SnapshotMeta) {
    peer.pause();
    let meta = SnapshotMeta {
        withheld: true,
        ..meta
    };
    let chunk = Message::SnapshotChunk {
        session: peer.session,
        meta: meta.into(),
        total_bytes: 0,
        checksum: 0,
        offset: 0,
        data: Payload::from(&b""[..]),
    };
    server.send(to, peer.incarnation, Promise::Term, chunk);
}
