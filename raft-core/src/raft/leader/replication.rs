//! How followers come to have the leader's log (paper §5.3): one append per peer and drain, pipelined within windows of
//! messages and bytes.

use crate::action::{Action, LoadEntries};
use crate::entries::Entries;
use crate::message::{AppendOutcome, Message};
use crate::outbox::Promise;
use crate::trace::Trace;
use crate::types::{Entry, Index, LogId, NodeId, PeerSession, Round, Ticket};

use super::progress::{Progress, waits_for_ever};
use super::snapshots::end_transfer;
use super::{Leader, Next, STAY, Sender, Server};

/// A slice of the log that was made for a peer. The others nearly always need the same in the same drain, and share it.
pub(super) struct Slice {
    first: Index,
    last: Index,
    entries: Entries,
}

impl Slice {
    /// Its entries, if it is from `first` to `last`.
    fn entries(&self, first: Index, last: Index) -> Option<&Entries> {
        (self.first == first && self.last == last).then_some(&self.entries)
    }
}

impl Leader {
    /// Sends every peer what is due. Called once per drain, so that all that was proposed since the last one travels
    /// together.
    pub(in crate::raft) fn replicate(&mut self, server: &mut Server) {
        self.maybe_leave_joint(server);
        self.maybe_bind(server);
        self.maybe_raise_level(server);
        self.maybe_tell_target(server);
        self.begin_round(server);
        let mut latest = None;
        for place in 0..self.peers.len() {
            let Some((node, peer)) = self.peers.nth(place) else {
                return;
            };
            let has_all = Some(peer.next()) > server.log.last_index() && !peer.is_probing();
            while !has_all && self.feed(server, node, &mut latest) {}
        }
    }

    /// How far the log may be sent to this peer. If only witnesses held an entry, no server that holds commands could
    /// win an election: see `witness`.
    fn last_for(&self, server: &Server, peer: &Progress) -> Option<Index> {
        let last = server.log.last_index();
        if peer.is_witness {
            plant!(last.min(self.safe_for_witnesses(server)), WITNESSES_HEAR_FIRST => last)
        } else {
            last
        }
    }

    /// How far a server that may lead after this one holds its log: this server itself, unless it has removed itself.
    fn safe_for_witnesses(&self, server: &Server) -> Option<Index> {
        let membership = server.log.membership();
        let stays = |node: NodeId| membership.is_incoming_voter(node);
        let durable = server.out.durable_index();
        if stays(server.me()) || membership.witnesses().next().is_none() {
            return durable;
        }
        let others = self
            .peers()
            .filter(|(node, peer)| stays(*node) && !peer.is_witness);
        durable.min(others.filter_map(|(_, peer)| peer.matched()).max())
    }

    /// Sends the peer its next append, or asks for what is needed to do so. Returns whether more is to be sent at once.
    fn feed(&mut self, server: &mut Server, to: NodeId, latest: &mut Option<Slice>) -> bool {
        let Some(peer) = self.peer(to) else {
            return false;
        };
        let (last, next) = (self.last_for(server, peer), peer.next());
        let is_due = Some(next) <= last || peer.is_probing();
        if !peer.may_send(&server.config.limits) || !is_due {
            if is_due {
                peer.note_full_window(&server.config.limits, &mut server.limited);
            }
            return false;
        }
        if next < server.log.first_index() {
            self.begin_snapshot_transfer(server, to);
            return false;
        }
        let entries = match last {
            Some(last) if next <= last && server.log.in_tail(next) => share(server, next, last, latest),
            // A probe without entries finds out whether they are needed before the host loads them.
            _ if peer.is_probing() => Entries::default(),
            _ => {
                self.load(server, to, next, last.unwrap_or(next));
                return false;
            }
        };
        self.send_append(server, to, next, entries);
        true
    }

    /// Asks the host for entries that are in memory no longer.
    fn load(&mut self, server: &mut Server, to: NodeId, first: Index, last: Index) {
        let ticket = server.next_request_ticket();
        if let Some(peer) = self.peers.get_mut(&to) {
            peer.begin_loading(ticket, server.now);
        }
        server.out.push(Action::LoadEntries(LoadEntries {
            ticket,
            first,
            last,
            max_bytes: server.config.limits.message_bytes,
        }));
    }

    fn send_append(&mut self, server: &mut Server, to: NodeId, next: Index, entries: Entries) {
        let prev = next.previous().and_then(|prev| server.log.log_id(prev));
        debug_assert_eq!(
            prev.map(|prev| prev.index),
            next.previous(),
            "an append begins where the leader still knows the entry before"
        );
        let Some(peer) = self.peers.get_mut(&to) else {
            return;
        };
        let entries = if peer.is_witness {
            entries.iter().map(Entry::withhold).collect()
        } else {
            entries
        };
        peer.sent(entries.last().map(|entry| entry.id.index), entries.cost_bytes());
        let append = Message::Append {
            session: peer.session,
            round: self.round,
            prev,
            commit: server.commit,
            entries,
        };
        // §10.2.1 of the dissertation: the leader's own write may take place while the followers make theirs, so an
        // append promises nothing but the term.
        server.send(to, peer.incarnation, Promise::Term, append);
    }

    pub(in crate::raft) fn on_entries_loaded(
        &mut self,
        server: &mut Server,
        ticket: Ticket,
        entries: Entries,
    ) {
        let loads = |(_, peer): &(NodeId, &mut Progress)| peer.loading() == Some(ticket);
        let Some((to, peer)) = self.peers.iter_mut().find(loads) else {
            return;
        };
        if !waits_for_ever() {
            peer.end_loading();
        }
        let next = peer.next();
        let in_order = entries.iter().zip(next.value()..).all(|(entry, at)| {
            entry.id.index.value() == at && server.log.log_id(entry.id.index) == Some(entry.id)
        });
        if in_order && !entries.is_empty() && next >= server.log.first_index() {
            self.send_append(server, to, next, entries);
            return;
        }
        peer.pause();
        // The store cannot read them. If a snapshot covers them, the peer need not wait until it can.
        let covered = server.log.snapshot().map(|meta| meta.last.index);
        if entries.is_empty() && Some(next) <= covered {
            self.begin_snapshot_transfer(server, to);
        }
    }

    /// A peer's answer to an append. It counts for this leadership and for the folder that was asked.
    pub(in crate::raft) fn on_append_reply(
        &mut self,
        server: &mut Server,
        from: Sender,
        (session, round): (PeerSession, Round),
        promise_micros: u64,
        outcome: AppendOutcome,
    ) -> Next {
        if self.heard(server, from, session).is_none() {
            return STAY;
        }
        match outcome {
            AppendOutcome::Accepted { last } => self.on_accepted(server, from, last)?,
            AppendOutcome::Rejected { prev, hint } => self.on_rejected(server, from, prev, hint),
        }
        self.confirm_round(server, from.node, round, promise_micros);
        STAY
    }

    fn on_accepted(&mut self, server: &mut Server, from: Sender, last: Option<LogId>) -> Next {
        // An acknowledgement names the entry. This leader never sent one that its log does not hold.
        let after_base = last.map(|id| id.index) >= server.log.base().map(|base| base.index);
        if after_base && !server.log.holds(last) {
            server.ignored.contradicting += 1;
            return STAY;
        }
        let Some(peer) = self.peers.get_mut(&from.node) else {
            return STAY;
        };
        let is_news = peer.accepted(last.map(|id| id.index));
        if is_news {
            peer.matched_by = from.boot;
        }
        let matched = peer.matched();
        peer.note_catch_up_round(server.log.last_index(), server.now);
        self.maybe_end_snapshot_transfer(server, from.node);
        if is_news {
            server.trace(Trace::Matched {
                peer: from.node,
                last: matched,
            });
            // A peer that holds no more than what is committed adds nothing to any majority beyond it.
            if matched > server.commit {
                self.maybe_commit(server)?;
            }
        }
        STAY
    }

    fn on_rejected(&mut self, server: &mut Server, from: Sender, prev: Option<LogId>, hint: Option<LogId>) {
        let Some(peer) = self.peers.get_mut(&from.node) else {
            return;
        };
        if !peer.concerns(prev.map(|id| id.index)) {
            server.ignored.stale += 1;
            return;
        }
        // A peer that keeps what it has acknowledged does not deny it, so this is an old answer, or its disk went back.
        // It is asked again with the next heartbeat; asked at once, it would deny without end.
        if prev.map(|id| id.index) <= peer.matched() {
            peer.pause();
            // Not an old answer: it began after the start that acknowledged this had ended.
            if let Some(lacks) = prev.filter(|_| from.boot.counter > peer.matched_by.counter) {
                server.went_back(from.node, lacks);
                self.forget_peer(server, from.node);
            }
            return;
        }
        // The other side of the back-up by terms: no entry of a later term than the hint's can match at or below it.
        let shared = hint.and_then(|hint| server.log.last_not_after(hint.index, hint.term));
        let below_base = hint.map(|hint| hint.index) < server.log.base().map(|base| base.index);
        let resume = match shared {
            Some(shared) => shared.index.next(),
            // The logs part before the base, so only a snapshot helps: aim below the log.
            None if below_base => Index::after(hint.map(|hint| hint.index)),
            None => server.log.first_index(),
        };
        let before = prev.map_or(Index::FIRST, |prev| prev.index);
        let resume = resume.min(before);
        if peer.transfer().is_some() && resume < server.log.first_index() {
            return;
        }
        end_transfer(server, peer);
        peer.probe_from(resume);
    }

    /// With every heartbeat: asks those peers that acknowledged nothing since the last one whether they have what was
    /// sent, by an append without entries after the last one sent. The answer releases the window, or says where to
    /// begin again.
    pub(super) fn probe_stalled_peers(&mut self, server: &mut Server) {
        let (now, patience) = (server.now, server.config.timing.snapshot_timeout_ticks);
        for place in 0..self.peers.len() {
            let Some((node, peer)) = self.peers.nth_mut(place) else {
                return;
            };
            if !peer.heartbeat(now, patience) {
                continue;
            }
            let next = peer.next();
            if next.previous() >= server.log.base().map(|base| base.index) {
                self.send_append(server, node, next, Entries::default());
            } else {
                self.on_unreachable(node);
            }
        }
    }

    pub(in crate::raft) fn on_unreachable(&mut self, node: NodeId) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.unreachable();
        }
    }
}

/// The entries from `first` to `last`, as many as one message takes. The slice that was made for the last peer serves
/// again.
fn share(server: &mut Server, first: Index, last: Index, latest: &mut Option<Slice>) -> Entries {
    if let Some(entries) = latest.as_ref().and_then(|slice| slice.entries(first, last)) {
        return entries.clone();
    }
    let entries = server.log.slice(first, last, server.config.limits.message_bytes);
    let holds_all = entries.last().is_some_and(|entry| entry.id.index == last);
    server.limited.message_bytes += u64::from(!holds_all);
    let slice = Slice { first, last, entries };
    latest.insert(slice).entries.clone()
}
