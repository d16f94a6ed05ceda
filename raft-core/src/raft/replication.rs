//! How followers come to have the leader's log (paper §5.3): one append per peer and drain, pipelined within windows
//! of messages and bytes.

use crate::action::Action;
use crate::entries::Entries;
use crate::message::{AppendOutcome, Message};
use crate::outbox::Promise;
use crate::trace::Trace;
use crate::types::{Entry, Incarnation, Index, LogId, NodeId, PeerSession, Round, Ticket};

use super::leader::Leader;
use super::progress::{Progress, waits_for_ever};
use super::{Raft, Role};

/// What was cut from the log for a peer. The others nearly always want the same in the same drain, and share it.
struct Cut {
    first: Index,
    last: Index,
    entries: Entries,
}

impl Cut {
    /// What was cut, if it is from `first` to `last`.
    fn of(&self, first: Index, last: Index) -> Option<&Entries> {
        (self.first == first && self.last == last).then_some(&self.entries)
    }
}

impl Raft {
    /// Sends every peer what is due. Called once per drain, so that all that was proposed since the last one travels
    /// together.
    pub(super) fn replicate(&mut self) {
        self.maybe_leave_joint();
        self.maybe_bind();
        self.maybe_tell_target();
        self.begin_round();
        let mut latest = None;
        for place in 0.. {
            let Role::Leader(leader) = &self.role else { return };
            let Some((node, peer)) = leader.peers.nth(place) else {
                return;
            };
            let has_all = Some(peer.next()) > self.log.last_index() && !peer.is_probing();
            while !has_all && self.feed(node, &mut latest) {}
        }
    }

    /// How far the log may be sent to this peer. What a witness holds, and nobody who holds commands, nobody could lead
    /// without: see `witness`.
    fn last_for(&self, peer: &Progress, leader: &Leader) -> Option<Index> {
        let last = self.log.last_index();
        if peer.is_witness && !planted!(WITNESSES_HEAR_FIRST) {
            last.min(self.safe_for_witnesses(leader))
        } else {
            last
        }
    }

    /// How far somebody who may lead after this server holds its log: this server itself, unless it has removed itself.
    fn safe_for_witnesses(&self, leader: &Leader) -> Option<Index> {
        let membership = self.log.membership();
        let stays = |node: NodeId| membership.voters().any(|voter| voter == node);
        let durable = self.out.durable_index();
        if stays(self.me()) || membership.witnesses().next().is_none() {
            return durable;
        }
        let others = leader
            .peers()
            .filter(|(node, peer)| stays(*node) && !peer.is_witness);
        durable.min(others.filter_map(|(_, peer)| peer.matched()).max())
    }

    /// Sends the peer its next append, or asks for what is needed to do so. Whether more is to be sent right away.
    fn feed(&mut self, to: NodeId, latest: &mut Option<Cut>) -> bool {
        let Role::Leader(leader) = &self.role else {
            return false;
        };
        let Some(peer) = leader.peer(to) else {
            return false;
        };
        let (last, first) = (self.last_for(peer, leader), self.log.first_index());
        let next = peer.next();
        if !peer.may_send(&self.config.limits) || (Some(next) > last && !peer.is_probing()) {
            return false;
        }
        if next < first {
            self.begin_snapshot_transfer(to);
            return false;
        }
        if Some(next) <= last && !self.log.in_tail(next) && !peer.is_probing() {
            let (ticket, now) = (self.next_request_ticket(), self.now);
            if let Role::Leader(leader) = &mut self.role
                && let Some(peer) = leader.peers.get_mut(&to)
            {
                peer.begin_loading(ticket, now);
            }
            let last = last.unwrap_or(next);
            let max_bytes = self.config.limits.message_bytes;
            self.out.push(Action::LoadEntries {
                ticket,
                first: next,
                last,
                max_bytes,
            });
            return false;
        }
        let entries = match last {
            Some(last) if next <= last && self.log.in_tail(next) => {
                if let Some(entries) = latest.as_ref().and_then(|cut| cut.of(next, last)) {
                    entries.clone()
                } else {
                    let entries = self.log.slice(next, last, self.config.limits.message_bytes);
                    let cut = Cut {
                        first: next,
                        last,
                        entries,
                    };
                    latest.insert(cut).entries.clone()
                }
            }
            _ => Entries::default(),
        };
        self.send_append(to, next, entries);
        true
    }

    fn send_append(&mut self, to: NodeId, next: Index, entries: Entries) {
        let commit = self.commit;
        let prev = next.previous().and_then(|prev| self.log.log_id(prev));
        debug_assert_eq!(
            prev.map(|prev| prev.index),
            next.previous(),
            "an append begins where the leader still knows the entry before"
        );
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let Some(peer) = leader.peers.get_mut(&to) else {
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
            round: leader.round,
            prev,
            commit,
            entries,
        };
        // §10.2.1 of the dissertation: the leader's own write may take place while the followers make theirs, so an
        // append promises nothing but the term.
        self.send(to, Promise::Term, append);
    }

    pub(super) fn on_entries_loaded(&mut self, ticket: Ticket, entries: Entries) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let waiting = leader
            .peers
            .iter_mut()
            .find(|(_, peer)| peer.loading() == Some(ticket));
        let Some((to, peer)) = waiting else { return };
        if !waits_for_ever() {
            peer.end_loading();
        }
        let next = peer.next();
        let in_order = entries.iter().zip(next.value()..).all(|(entry, at)| {
            entry.id.index.value() == at && self.log.log_id(entry.id.index) == Some(entry.id)
        });
        if in_order && !entries.is_empty() && next >= self.log.first_index() {
            self.send_append(to, next, entries);
        } else {
            peer.pause();
        }
    }

    /// An answer from a peer counts if it comes from the session and the data folder that were asked. Returns what is
    /// known of it.
    pub(super) fn heard(
        &mut self,
        from: NodeId,
        incarnation: Incarnation,
        session: PeerSession,
    ) -> Option<&mut Progress> {
        let now = self.now;
        if let Role::Leader(leader) = &mut self.role
            && let Some(peer) = leader.peers.get_mut(&from)
            && peer.session == session
        {
            leader.to_bind |= peer.meet(incarnation);
            peer.heard_at = Some(now);
            return Some(peer);
        }
        self.ignored.stale += 1;
        None
    }

    pub(super) fn on_append_reply(
        &mut self,
        from: NodeId,
        incarnation: Incarnation,
        session: PeerSession,
        round: Round,
        outcome: AppendOutcome,
    ) {
        if self.heard(from, incarnation, session).is_none() {
            return;
        }
        match outcome {
            AppendOutcome::Accepted { last } => self.on_accepted(from, last),
            AppendOutcome::Rejected { prev, hint } => self.on_rejected(from, prev, hint),
        }
        self.confirm_round(from, round);
    }

    fn on_accepted(&mut self, from: NodeId, last: Option<LogId>) {
        // An acknowledgement names the entry. One that this log does not hold was never sent by this leader.
        let beyond_base = last.map(|id| id.index) >= self.log.base().map(|base| base.index);
        if beyond_base && !self.log.holds(last) {
            self.ignored.contradicting += 1;
            return;
        }
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let Some(peer) = leader.peers.get_mut(&from) else {
            return;
        };
        let news = peer.accepted(last.map(|id| id.index));
        let matched = peer.matched();
        peer.note_round(self.log.last_index(), self.now);
        self.maybe_end_snapshot_transfer(from);
        if news {
            let (peer, last) = (from, matched);
            self.trace(Trace::Matched { peer, last });
            // Who holds no more than what is committed adds nothing to any majority beyond it.
            if matched > self.commit {
                self.maybe_commit();
            }
        }
    }

    fn on_rejected(&mut self, from: NodeId, prev: Option<LogId>, hint: Option<LogId>) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let Some(peer) = leader.peers.get_mut(&from) else {
            return;
        };
        if !peer.concerns(prev.map(|id| id.index)) {
            self.ignored.stale += 1;
            return;
        }
        // Nobody who keeps what it has acknowledged denies it, so this is old news, or a disk went back. It is asked
        // again with the next heartbeat; asked at once, it would deny without end.
        if prev.map(|id| id.index) <= peer.matched() {
            peer.pause();
            return;
        }
        // The other side of the back-up by terms: nothing of a later term than the hint's can match at or below it.
        let shared = hint.and_then(|hint| self.log.last_not_after(hint.index, hint.term));
        let below_base = hint.map(|hint| hint.index) < self.log.base().map(|base| base.index);
        let resume = match shared {
            Some(shared) => shared.index.next(),
            // Where the logs part lies behind the base, only a snapshot helps: aim below the log.
            None if below_base => Index::after(hint.map(|hint| hint.index)),
            None => self.log.first_index(),
        };
        let before = prev.map_or(Index::FIRST, |prev| prev.index);
        peer.probe_from(resume.min(before));
    }

    pub(super) fn on_heartbeat_reply(
        &mut self,
        from: NodeId,
        incarnation: Incarnation,
        session: PeerSession,
        round: Round,
    ) {
        if self.heard(from, incarnation, session).is_some() {
            self.confirm_round(from, round);
        }
    }

    /// Asks those peers that acknowledged nothing since the last heartbeat whether they have what was sent: an append
    /// without entries, behind the last one sent. The answer releases the window, or says where to begin again.
    pub(super) fn probe_what_stalls(&mut self) {
        let (now, patience) = (self.now, self.config.timing.snapshot_timeout_ticks);
        for place in 0.. {
            let Role::Leader(leader) = &mut self.role else {
                return;
            };
            let Some((node, peer)) = leader.peers.nth_mut(place) else {
                return;
            };
            if !peer.heartbeat(now, patience) {
                continue;
            }
            let next = peer.next();
            if next.previous() >= self.log.base().map(|base| base.index) {
                self.send_append(node, next, Entries::default());
            } else {
                self.on_unreachable(node);
            }
        }
    }

    pub(super) fn on_unreachable(&mut self, node: NodeId) {
        if let Role::Leader(leader) = &mut self.role
            && let Some(peer) = leader.peers.get_mut(&node)
        {
            peer.unreachable();
        }
    }
}
