//! What a leader knows of one peer, and how fast it may be fed (paper §5.3; dissertation §10.2.1 for pipelining).

use alloc::collections::VecDeque;

use super::reconfiguration::Leaving;
use crate::config::Limits;
use crate::status::{Feeding, PeerStatus};
use crate::types::{Incarnation, Index, NodeId, PeerSession, Round, SnapshotMeta, Tick, Ticket};

#[derive(Debug)]
pub(super) struct Progress {
    pub(super) session: PeerSession,
    /// Whether it gets no commands.
    pub(super) is_witness: bool,
    /// The data folder that answers, once it has; the log may not have bound it yet.
    pub(super) incarnation: Option<Incarnation>,
    /// The last entry that the peer holds for certain.
    matched: Option<Index>,
    /// The entry to send next; always beyond `matched`.
    next: Index,
    feed: Feed,
    /// When the peer last answered in this term, if it did.
    pub(super) heard_at: Option<Tick>,
    /// The latest round that the peer has confirmed.
    pub(super) round: Round,
    /// When that round began: from then on the peer keeps its vote to itself, see `lease`.
    pub(super) bound_at: Option<Tick>,
    catching_up: CatchingUp,
    /// Set once the configuration in force does not name the peer any more.
    pub(super) leaving: Option<Leaving>,
}

/// Replication seen in rounds (dissertation §4.2.1): each brings what the leader's log held when it began.
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
    /// Where the logs part is unknown: one message at a time.
    Probe { waiting: bool },
    /// The windows set the pace.
    Replicate {
        window: Window,
        loading: Option<Loading>,
    },
    /// The log does not reach back to where the peer is.
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
    /// When more was acknowledged than ever before: going over the same ground again is no progress.
    furthest_at: Tick,
    /// When the last piece was acknowledged.
    advanced_at: Tick,
}

impl Transfer {
    /// So much has arrived by now.
    pub(super) fn advance(&mut self, received_bytes: u64, now: Tick) {
        self.received_bytes = received_bytes;
        self.advanced_at = now;
        if received_bytes > self.furthest_bytes {
            self.furthest_bytes = received_bytes;
            self.furthest_at = now;
        }
    }

    /// The receiver has lost what had arrived.
    pub(super) fn begin_again(&mut self, received_bytes: u64) {
        self.received_bytes = received_bytes;
    }

    /// For how many ticks no piece was acknowledged.
    pub(super) fn idle_ticks(&self, now: Tick) -> u64 {
        now.value() - self.advanced_at.value()
    }

    /// For how many ticks it has come no further than ever.
    pub(super) fn stuck_ticks(&self, now: Tick) -> u64 {
        now.value() - self.furthest_at.value()
    }
}

/// Appends on their way to a peer, oldest first.
#[derive(Debug, Default)]
struct Window {
    inflight: VecDeque<(Index, usize)>,
    bytes: usize,
    /// How many appends have been acknowledged since the last probe. The window opens with them (as TCP's slow start
    /// does), so that a refusal costs a few messages and not a window.
    acknowledged: usize,
    /// Whether nothing was acknowledged since the last heartbeat.
    stalled: bool,
}

impl Window {
    /// Whether an append that is under way ends with this entry.
    fn ends_at(&self, last: Option<Index>) -> bool {
        let place = |last| self.inflight.binary_search_by_key(&last, |(end, _)| *end);
        last.is_some_and(|last| place(last).is_ok())
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
            next,
            feed: Feed::Probe { waiting: false },
            heard_at: None,
            round: Round::new(0),
            bound_at: None,
            catching_up: CatchingUp {
                until: next.previous(),
                began_at: now,
                last_took: None,
            },
            leaving: None,
        }
    }

    /// The peer at a glance, for a leader that was elected then.
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
        }
    }

    /// Remembers the data folder that answers, if none is known. Returns whether that is news.
    pub(super) fn meet(&mut self, incarnation: Incarnation) -> bool {
        let is_news = self.incarnation.is_none();
        self.incarnation.get_or_insert(incarnation);
        is_news
    }

    pub(super) fn matched(&self) -> Option<Index> {
        self.matched
    }

    /// Takes note of how far the peer is, `last` being the leader's last entry (dissertation §4.2.1).
    pub(super) fn note_round(&mut self, last: Option<Index>, now: Tick) {
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

    /// Whether the peer would hold nobody up if it voted (dissertation §4.2.1): it answers, and either it has
    /// everything, or the last round took no longer than this, and neither has the present one.
    pub(super) fn has_caught_up(&self, last: Option<Index>, now: Tick, patience: u64) -> bool {
        let round = &self.catching_up;
        let lasts = now.value() - round.began_at.value();
        let keeps_up = round.last_took.is_some_and(|took| took <= patience) && lasts <= patience;
        self.answers(now, patience) && (self.matched >= last || keeps_up)
    }

    pub(super) fn next(&self) -> Index {
        self.next
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

    pub(super) fn is_probing(&self) -> bool {
        matches!(self.feed, Feed::Probe { .. })
    }

    /// Takes note that entries up to `last` have been sent; none in a probe without entries.
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

    /// The peer holds everything up to `last`. Returns whether that is news.
    pub(super) fn accepted(&mut self, last: Option<Index>) -> bool {
        let news = last > self.matched;
        let before_next = self.next.previous();
        // Figure 2: matchIndex increases monotonically within a leadership.
        self.matched = self.matched.max(last);
        self.next = self.next.max(Index::after(self.matched));
        match &mut self.feed {
            // Only the answer to the probe itself says that the logs agree from here on. A late answer to an earlier
            // append would send a whole window after it, most of it to be refused again.
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
                while let Some((_, bytes)) = window.inflight.pop_front_if(|(end, _)| Some(*end) <= matched) {
                    window.bytes = window.bytes.saturating_sub(bytes);
                    window.acknowledged = window.acknowledged.saturating_add(1);
                    window.stalled = false;
                }
            }
            Feed::Snapshot { .. } => {}
        }
        news
    }

    /// The peer does not hold the entry before an append. Returns whether the append was one that we still care about:
    /// a stale rejection rewinds nothing.
    pub(super) fn concerns(&self, rejected_prev: Option<Index>) -> bool {
        match self.feed {
            Feed::Probe { .. } => rejected_prev == self.next.previous(),
            Feed::Replicate { ref window, .. } => {
                // A refusal names the entry before an append that is under way, or before the next one.
                let is_under_way = rejected_prev == self.next.previous() || window.ends_at(rejected_prev);
                rejected_prev > self.matched && is_under_way
            }
            Feed::Snapshot { .. } => false,
        }
    }

    /// Probes from `next` on, or right behind what is known to match.
    pub(super) fn probe_from(&mut self, next: Index) {
        self.next = if planted!(REWINDS_BELOW_MATCH) {
            next
        } else {
            next.max(Index::after(self.matched))
        };
        self.feed = Feed::Probe { waiting: false };
    }

    /// What is to be sent next could not be had: tries again with the next heartbeat and not at once, lest a host that
    /// cannot help is asked without end.
    pub(super) fn pause(&mut self) {
        self.feed = Feed::Probe { waiting: true };
    }

    /// What was in flight may be lost.
    pub(super) fn unreachable(&mut self) {
        if matches!(self.feed, Feed::Replicate { .. }) {
            self.probe_from(Index::after(self.matched));
        }
    }

    /// A heartbeat passes. A probe is due again, and returns true a window in which nothing moved since the last one:
    /// its appends, or their answers, may be lost, so somebody should ask. A host that does not say what became of
    /// entries that it was asked for is asked anew. Every wait ends.
    pub(super) fn heartbeat(&mut self, now: Tick, patience: u64) -> bool {
        let is_overdue = |loading: Loading| now.value() - loading.asked_at.value() > patience;
        match &mut self.feed {
            Feed::Replicate { loading, .. } if loading.is_some_and(is_overdue) && !waits_for_ever() => {
                self.probe_from(Index::after(self.matched));
                false
            }
            Feed::Probe { waiting } => {
                *waiting &= planted!(PROBES_ONCE);
                false
            }
            Feed::Replicate { window, loading } => {
                let stalled = !planted!(NEVER_ASKS_AGAIN)
                    && window.stalled
                    && (!window.inflight.is_empty() || planted!(ASKS_FOR_NOTHING))
                    && loading.is_none();
                window.stalled = true;
                stalled
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

    pub(super) fn transfer(&mut self) -> Option<&mut Transfer> {
        match &mut self.feed {
            Feed::Snapshot { transfer } => Some(transfer),
            _ => None,
        }
    }

    /// What must always hold of a peer, given the leader's last entry.
    pub(super) fn check(&self, last: Option<Index>) -> Result<(), &'static str> {
        if Some(self.next) <= self.matched {
            return Err("a peer's next entry is one that it already holds");
        }
        if self.matched > last {
            return Err("a peer holds more than its leader");
        }
        Ok(())
    }
}

/// A planted bug that takes two: that a load was answered is forgotten, and so is that it was asked for long ago.
pub(super) fn waits_for_ever() -> bool {
    planted!(LOADS_ONCE)
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

    /// Found by simulation: under heavy reordering a late acknowledgement of an earlier append ended the probe, and
    /// a whole window followed it, to be refused again, without end.
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
    fn a_stale_refusal_rewinds_nothing() {
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
