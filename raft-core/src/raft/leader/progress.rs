//! What a leader knows of one peer, and how fast the peer may be fed (paper §5.3; dissertation §10.2.1 for pipelining).

use super::levels::Program;
use super::removal::Removal;
use super::window::Window;
use crate::clock::Reading;
use crate::config::Limits;
use crate::identity::{Boot, Incarnation};
use crate::queue::Ends;
use crate::status::{Feeding, Limited, PeerStatus};
use crate::types::{Index, NodeId, PeerSession, Round, SnapshotMeta, Tick, Ticket};

#[derive(Debug)]
pub(super) struct Progress {
    pub(super) session: PeerSession,
    /// Whether it is a witness, which gets no commands.
    pub(super) is_witness: bool,
    /// The data folder from which it answers, once it has; the log may not have bound it yet.
    pub(super) incarnation: Option<Incarnation>,
    /// The last entry that the peer is known to hold (Figure 2: matchIndex).
    matched: Option<Index>,
    /// The start of the peer that said so.
    pub(super) matched_by: Boot,
    /// The entry to send next; always after `matched` (Figure 2: nextIndex).
    next: Index,
    feed: Feed,
    /// When the peer last answered in this term, if it did.
    pub(super) heard_at: Option<Tick>,
    /// The latest read round that the peer has confirmed.
    pub(super) round: Round,
    /// When that round began: from then on the peer refuses its vote to other servers, see `lease`.
    pub(super) bound_at: Option<Tick>,
    /// For how many ticks it then is.
    pub(super) bound_ticks: u64,
    /// What the peer's wall clock showed, and the round whose answer said so.
    pub(super) clock: Option<(Round, Reading)>,
    catching_up: CatchingUp,
    /// Whether it was sent a snapshot, or entries from the store, and has not been seen to have caught up since.
    lags: bool,
    /// What it has said of its program in its present boot.
    pub(super) program: Option<Program>,
    /// Set once the configuration in force does not name the peer any more.
    pub(super) removal: Option<Removal>,
}

/// Catch-up rounds (dissertation §4.2.1): each brings what the leader's log held when it began.
#[derive(Debug)]
struct CatchingUp {
    until: Option<Index>,
    began_at: Tick,
    /// How many ticks the last round took, if there was one.
    last_took: Option<u64>,
}

/// How the peer is fed.
#[derive(Debug)]
enum Feed {
    /// Where the logs part is unknown: one append at a time.
    Probe { waiting: bool },
    /// The peer is sent appends as fast as the windows allow.
    Replicate {
        window: Window,
        loading: Option<Loading>,
    },
    /// The next entry is compacted.
    Snapshot { transfer: Transfer },
}

/// Entries that the host was asked for.
#[derive(Clone, Copy, Debug)]
struct Loading {
    ticket: Ticket,
    asked_at: Tick,
}

/// A snapshot on its way to a peer.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) ticket: Ticket,
    pub(super) meta: SnapshotMeta,
    pub(super) received_bytes: u64,
    /// The most that was ever acknowledged.
    furthest_bytes: u64,
    /// When more was acknowledged than ever before: the same bytes acknowledged again are no progress.
    furthest_at: Tick,
    /// When the last piece was acknowledged.
    advanced_at: Tick,
}

impl Transfer {
    /// Notes that so much has arrived by now.
    pub(super) fn advance(&mut self, received_bytes: u64, now: Tick) {
        self.received_bytes = received_bytes;
        self.advanced_at = now;
        if received_bytes > self.furthest_bytes {
            self.furthest_bytes = received_bytes;
            self.furthest_at = now;
        }
    }

    /// Notes that the receiver has lost some of what had arrived.
    pub(super) fn rewind(&mut self, received_bytes: u64) {
        self.received_bytes = received_bytes;
    }

    /// For how many ticks no piece was acknowledged.
    pub(super) fn idle_ticks(&self, now: Tick) -> u64 {
        now.value() - self.advanced_at.value()
    }

    /// For how many ticks it has come no further than before.
    pub(super) fn stuck_ticks(&self, now: Tick) -> u64 {
        now.value() - self.furthest_at.value()
    }
}

impl Progress {
    pub(super) fn new(
        session: PeerSession,
        incarnation: Option<Incarnation>,
        next: Index,
        now: Tick,
    ) -> Self {
        Self {
            session,
            is_witness: false,
            incarnation,
            matched: None,
            matched_by: Boot::default(),
            next,
            feed: Feed::Probe { waiting: false },
            heard_at: None,
            round: Round::new(0),
            bound_at: None,
            bound_ticks: 0,
            clock: None,
            lags: false,
            catching_up: CatchingUp {
                until: next.previous(),
                began_at: now,
                last_took: None,
            },
            program: None,
            removal: None,
        }
    }

    /// What a leader that was elected then knows of the peer.
    pub(super) fn status(&self, node: NodeId, elected_at: Tick, now: Tick) -> PeerStatus {
        let (feeding, inflight_messages, snapshot_bytes) = match &self.feed {
            Feed::Probe { .. } => (Feeding::Probe, 0, None),
            Feed::Replicate { window, .. } => (Feeding::Replicate, window.inflight.len(), None),
            Feed::Snapshot { transfer } => (Feeding::Snapshot, 0, Some(transfer.received_bytes)),
        };
        PeerStatus {
            node,
            matched: self.matched,
            next: self.next,
            feeding,
            inflight_messages,
            snapshot_bytes,
            silent_ticks: now.value() - self.heard_at.unwrap_or(elected_at).value(),
            level: self.level(),
            is_halted: self.is_halted(),
            is_stalled: self.is_stalled(),
        }
    }

    /// Remembers the data folder from which the peer answers, if none is known: the first one counts. Returns whether
    /// that is news.
    pub(super) fn note_folder(&mut self, incarnation: Incarnation) -> bool {
        let is_news = self.incarnation.is_none();
        self.incarnation.get_or_insert(incarnation);
        is_news
    }

    pub(super) fn matched(&self) -> Option<Index> {
        self.matched
    }

    /// Ends a catch-up round once the peer holds what it brings, and begins the next, up to the leader's `last` entry
    /// (dissertation §4.2.1).
    pub(super) fn note_catch_up_round(&mut self, last: Option<Index>, now: Tick) {
        let round = &mut self.catching_up;
        if self.matched >= round.until {
            round.last_took = Some(now.value() - round.began_at.value());
            round.began_at = now;
            round.until = last;
        }
    }

    /// Whether the peer has answered within the last so many ticks.
    pub(super) fn answers(&self, now: Tick, patience: u64) -> bool {
        self.heard_at
            .is_some_and(|heard_at| now.value() - heard_at.value() <= patience)
    }

    /// Whether the peer would hold up no commitment if it voted (dissertation §4.2.1): it answers, and either it has
    /// every entry, or the last catch-up round took no longer than this, and neither has the present one.
    pub(super) fn has_caught_up(&self, last: Option<Index>, now: Tick, patience: u64) -> bool {
        let round = &self.catching_up;
        let lasts = now.value() - round.began_at.value();
        let keeps_up = round.last_took.is_some_and(|took| took <= patience) && lasts <= patience;
        self.answers(now, patience) && (self.matched >= last || keeps_up)
    }

    pub(super) fn next(&self) -> Index {
        self.next
    }

    /// Whether the peer is being fed by snapshot or from the store, and has not caught up since.
    pub(super) fn lags(&mut self, last: Option<Index>, now: Tick, patience: u64) -> bool {
        self.lags &= !self.has_caught_up(last, now, patience);
        self.lags
    }

    /// A round that began before says nothing of how the peer keeps up.
    fn begin_to_lag(&mut self) {
        if !self.lags {
            self.lags = true;
            self.catching_up.last_took = None;
        }
    }

    /// Whether another append may leave now.
    pub(super) fn may_send(&self, limits: &Limits) -> bool {
        match &self.feed {
            Feed::Probe { waiting } => !waiting,
            Feed::Replicate { window, loading } => {
                loading.is_none()
                    && window.inflight.len() <= window.acknowledged
                    && window.inflight.len() < limits.inflight_messages
                    && window.bytes < limits.inflight_bytes
            }
            Feed::Snapshot { .. } => false,
        }
    }

    /// Counts which limit of its window keeps the peer from the next append, if one does.
    pub(super) fn note_full_window(&self, limits: &Limits, limited: &mut Limited) {
        if let Feed::Replicate { window, .. } = &self.feed {
            limited.inflight_messages += u64::from(window.inflight.len() >= limits.inflight_messages);
            limited.inflight_bytes += u64::from(window.bytes >= limits.inflight_bytes);
        }
    }

    pub(super) fn is_probing(&self) -> bool {
        matches!(self.feed, Feed::Probe { .. })
    }

    /// Notes that entries up to `last` have been sent; `None` for an append without entries.
    pub(super) fn sent(&mut self, last: Option<Index>, bytes: usize) {
        match &mut self.feed {
            Feed::Probe { waiting } => *waiting = true,
            Feed::Replicate { window, .. } => {
                if let Some(last) = last {
                    window.inflight.push_back((last, bytes));
                    window.bytes = window.bytes.saturating_add(bytes);
                    self.next = last.next();
                }
            }
            Feed::Snapshot { .. } => {}
        }
    }

    /// Notes that the peer holds every entry up to `last`. Returns whether that is news.
    pub(super) fn accepted(&mut self, last: Option<Index>) -> bool {
        let news = last > self.matched;
        let before_next = self.next.previous();
        // Figure 2: matchIndex increases monotonically within a leadership.
        self.matched = self.matched.max(last);
        self.next = self.next.max(Index::after(self.matched));
        match &mut self.feed {
            // Only the answer to the probe itself says that the logs agree from here on. A late answer to an earlier
            // append would send a whole window after it, most of it to be rejected again.
            Feed::Probe { .. } if last >= before_next => {
                self.next = Index::after(self.matched);
                self.feed = Feed::Replicate {
                    window: Window::default(),
                    loading: None,
                };
            }
            Feed::Probe { .. } => {}
            Feed::Replicate { window, .. } => {
                let matched = self.matched;
                while let Some((_, bytes)) = window.inflight.take_front_if(|(end, _)| Some(*end) <= matched) {
                    unless_planted!(
                        KEEPS_WINDOW_BYTES,
                        window.bytes = window.bytes.saturating_sub(bytes)
                    );
                    window.acknowledged = window.acknowledged.saturating_add(1);
                    window.stalled = false;
                }
            }
            Feed::Snapshot { .. } => {}
        }
        news
    }

    /// Whether a rejection concerns an append in flight, or the snapshot. `rejected_prev` is the entry before that append, which the peer
    /// does not hold. A stale rejection rewinds nothing.
    pub(super) fn concerns(&self, rejected_prev: Option<Index>) -> bool {
        match self.feed {
            Feed::Probe { .. } => rejected_prev == self.next.previous(),
            Feed::Replicate { ref window, .. } => {
                // A rejection names the entry before an append in flight, or before the next one.
                let is_in_flight = rejected_prev == self.next.previous() || window.ends_at(rejected_prev);
                rejected_prev > self.matched && is_in_flight
            }
            // Only a peer that has halted answers a snapshot so: it must not take it, and says what it holds.
            Feed::Snapshot { ref transfer } => {
                self.is_halted() && rejected_prev == Some(transfer.meta.last.index)
            }
        }
    }

    /// Probes from `next` on, or right after what is known to match.
    pub(super) fn probe_from(&mut self, next: Index) {
        self.next = plant!(next.max(Index::after(self.matched)), REWINDS_BELOW_MATCH => next);
        self.feed = Feed::Probe { waiting: false };
    }

    /// Ends a snapshot transfer, one way or the other: the peer is probed right after what it is known to hold.
    pub(super) fn end_transfer(&mut self) {
        self.catching_up.last_took = None;
        self.probe_from(Index::after(self.matched));
    }

    /// Waits for the next heartbeat before anything is sent again: what is needed could not be had, and a host asked at
    /// once would be asked without end.
    pub(super) fn pause(&mut self) {
        self.feed = Feed::Probe { waiting: true };
    }

    /// Presumes that what is in flight is lost.
    pub(super) fn unreachable(&mut self) {
        if matches!(self.feed, Feed::Replicate { .. }) {
            self.probe_from(Index::after(self.matched));
        }
    }

    /// A heartbeat passes. A probe is due again. A host that does not answer a load is asked anew. Returns whether
    /// nothing in the window moved since the last heartbeat: its appends, or their answers, may be lost, so the leader
    /// should ask. Every wait ends.
    pub(super) fn heartbeat(&mut self, now: Tick, patience: u64) -> bool {
        let is_overdue = |loading: Loading| now.value() - loading.asked_at.value() > patience;
        match &mut self.feed {
            Feed::Replicate { loading, .. } if loading.is_some_and(is_overdue) && !waits_for_ever() => {
                self.probe_from(Index::after(self.matched));
                false
            }
            Feed::Probe { waiting } => {
                *waiting = plant!(false, PROBES_ONCE => *waiting);
                false
            }
            Feed::Replicate { window, loading } => {
                let awaits_answers = !window.inflight.is_empty();
                let awaits_answers = plant!(awaits_answers, ASKS_FOR_NOTHING => true);
                let stalled = window.stalled && awaits_answers && loading.is_none();
                window.stalled = true;
                plant!(stalled, NEVER_ASKS_AGAIN => false)
            }
            Feed::Snapshot { .. } => false,
        }
    }

    pub(super) fn loading(&self) -> Option<Ticket> {
        match self.feed {
            Feed::Replicate { loading, .. } => loading.map(|loading| loading.ticket),
            _ => None,
        }
    }

    pub(super) fn begin_loading(&mut self, ticket: Ticket, asked_at: Tick) {
        self.begin_to_lag();
        if let Feed::Replicate { loading, .. } = &mut self.feed {
            *loading = Some(Loading { ticket, asked_at });
        }
    }

    pub(super) fn end_loading(&mut self) {
        if let Feed::Replicate { loading, .. } = &mut self.feed {
            *loading = None;
        }
    }

    pub(super) fn begin_snapshot(&mut self, ticket: Ticket, meta: SnapshotMeta, now: Tick) {
        self.begin_to_lag();
        let transfer = Transfer {
            ticket,
            meta,
            received_bytes: 0,
            furthest_bytes: 0,
            furthest_at: now,
            advanced_at: now,
        };
        self.feed = Feed::Snapshot { transfer };
    }

    pub(super) fn is_sent_a_snapshot(&self) -> bool {
        matches!(self.feed, Feed::Snapshot { .. })
    }

    pub(super) fn transfer(&mut self) -> Option<&mut Transfer> {
        match &mut self.feed {
            Feed::Snapshot { transfer } => Some(transfer),
            _ => None,
        }
    }

    /// What must always hold of a peer, given the leader's last entry.
    pub(super) fn check(&self, last: Option<Index>, limits: &Limits) -> Result<(), &'static str> {
        if Some(self.next) <= self.matched {
            return Err("a peer's next entry is one that it already holds");
        }
        if self.matched > last {
            return Err("a peer holds more than its leader");
        }
        if let Feed::Replicate { window, .. } = &self.feed {
            window.check(self.matched, self.next, limits)?;
        }
        Ok(())
    }
}

/// A planted bug that takes two places: that a load was answered is forgotten, and so is that it was asked for long ago.
pub(super) fn waits_for_ever() -> bool {
    plant!(false, LOADS_ONCE => true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(value: u64) -> Index {
        Index::new(value).expect("positions begin at 1")
    }

    fn replicating(limits: &Limits) -> Progress {
        let mut peer = Progress::new(PeerSession::new(1), None, index(6), Tick::new(0));
        peer.sent(None, 0);
        peer.accepted(Some(index(5)));
        assert!(peer.may_send(limits));
        peer
    }

    /// Found by simulation: under heavy reordering a late acknowledgement of an earlier append ended the probe, and a
    /// whole window followed it, to be rejected again, without end.
    #[test]
    fn a_late_acknowledgement_does_not_end_a_probe() {
        let limits = Limits::default();
        let mut peer = replicating(&limits);
        peer.probe_from(index(11));
        peer.sent(Some(index(11)), 1);
        assert!(peer.accepted(Some(index(7))), "what it says counts");
        assert!(
            peer.is_probing() && !peer.may_send(&limits),
            "but it is no answer to the probe"
        );
        assert!(peer.accepted(Some(index(11))));
        assert!(!peer.is_probing());
    }

    #[test]
    fn a_window_opens_with_acknowledgements() {
        let limits = Limits {
            inflight_messages: 3,
            ..Limits::default()
        };
        let mut peer = replicating(&limits);
        let mut last = 5;
        for allowed in [1, 2, 3, 3] {
            let first = last;
            while peer.may_send(&limits) {
                last += 1;
                peer.sent(Some(index(last)), 1);
            }
            assert_eq!(last - first, allowed, "messages in flight");
            peer.accepted(Some(index(last)));
        }
    }

    #[test]
    fn a_stale_rejection_rewinds_nothing() {
        let mut peer = replicating(&Limits::default());
        peer.sent(Some(index(8)), 1);
        assert!(
            !peer.concerns(Some(index(5))),
            "the peer has acknowledged this entry since"
        );
        assert!(peer.concerns(Some(index(8))));
        peer.probe_from(index(3));
        assert_eq!(peer.next(), index(6), "next stays beyond what is known to match");
    }
}
