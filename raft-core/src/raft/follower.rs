//! What a follower does (paper §5.2, §5.3): it accepts the leader of its term, keeps its log equal to the leader's, and
//! campaigns when it hears no heartbeats for an election timeout. Snapshots that arrive are in `snapshots`.

mod snapshots;

use crate::entries::Entries;
use crate::message::{AppendOutcome, Message};
use crate::outbox::Promise;
use crate::types::{Index, LogId, NodeId, PeerSession, Round, Tick};

use super::server::Server;
use super::{Next, STAY, Sender, Transition};

#[derive(Debug)]
pub(super) struct Follower {
    /// When this server last heard the leader of any term. It outlives a change of term, for stickiness.
    heard_at: Option<Tick>,
    campaign_at: Tick,
    /// The session of the snapshot that is arriving.
    snapshot_session: PeerSession,
    /// The last snapshot that was refused for its size, so that the host is told once.
    refused_snapshot: Option<(PeerSession, LogId)>,
}

impl Follower {
    pub(super) fn new(heard_at: Option<Tick>, campaign_at: Tick) -> Self {
        Self {
            heard_at,
            campaign_at,
            snapshot_session: PeerSession::NONE,
            refused_snapshot: None,
        }
    }

    pub(super) fn heard_at(&self) -> Option<Tick> {
        self.heard_at
    }

    /// The end of the election timeout, if it leads to anything: to a campaign, or to a leader that is not named any
    /// more.
    pub(super) fn deadline(&self, server: &Server) -> Option<Tick> {
        let waits = server.leader().is_some() || server.may_campaign();
        waits.then_some(self.campaign_at)
    }

    pub(super) fn tick(&mut self, server: &mut Server) -> Next {
        if server.now < self.campaign_at {
            return STAY;
        }
        if !server.may_campaign() {
            // A server that may not campaign would name a silent leader for ever.
            server.set_leader(None);
        } else if server.withholds_vote() {
            // It would vote for itself.
            self.campaign_at = server.withholds_until;
        } else if server.yields_left > 0 {
            // Servers of a higher priority campaign first, for as long as this one has timeouts to yield.
            server.yields_left -= 1;
            self.reset_election_timer(server);
        } else if server.disk_stalls() {
            // It could not vote for itself.
            self.reset_election_timer(server);
        } else {
            return Transition::PreCampaign.into();
        }
        STAY
    }

    /// Campaigns now, unless a lease may rest on this server's vote.
    pub(super) fn on_campaign(&mut self, server: &mut Server) -> Next {
        if !server.may_campaign() {
            return STAY;
        }
        if (server.honours_leases() && self.hears_leader(server)) || server.withholds_vote() {
            // It would vote for itself, and its leader may rely on it not to. Only that leader can ask for a campaign.
            server.ignored.sticky += 1;
            return STAY;
        }
        Transition::PreCampaign.into()
    }

    /// TimeoutNow: the leader wants this server to take over. It has the leader's whole log, so there is nothing to ask
    /// first, and it may campaign although it hears a leader: that leader wants it (dissertation §3.10, §4.2.3).
    pub(super) fn on_timeout_now(&mut self, server: &mut Server, from: Sender) -> Next {
        if server.leader() != Some(from.node) || !server.may_campaign() {
            server.ignored.stale += 1;
            return STAY;
        }
        Transition::Campaign { in_transfer: true }.into()
    }

    /// Whether the leader was heard within the shortest election timeout.
    pub(super) fn hears_leader(&self, server: &Server) -> bool {
        server.is_recent(self.heard_at)
    }

    /// Draws a new election timeout, after a vote was granted or a campaign put off (paper §5.2).
    pub(super) fn reset_election_timer(&mut self, server: &mut Server) {
        self.campaign_at = server.draw_election_timeout();
    }

    /// Notes that the leader was heard, and resets the election timer (paper §5.2).
    fn hear_leader(&mut self, server: &mut Server) {
        let campaign_at = server.draw_election_timeout();
        server.yields_left = server.config.options.yields;
        unless_planted!(CAMPAIGNS_REGARDLESS, self.campaign_at = campaign_at);
        self.heard_at = Some(server.now);
        server.out.raise_promise(server.config.promise_micros());
    }

    /// A server that starts may have confirmed a round of its leader's lease just before, whatever its settings were
    /// then, and an admitted one may have done so with its former folder. It keeps its vote as if it had just heard that
    /// leader.
    pub(super) fn wait_out_forgotten_leases(&mut self, server: &mut Server) {
        unless_planted!(FORGETS_LEASE_AT_RESTART, self.keep_forgotten_promises(server));
    }

    fn keep_forgotten_promises(&mut self, server: &mut Server) {
        if server.honours_leases() {
            self.hear_leader(server);
        }
        server.wait_out_earlier_promises();
    }

    /// Takes the sender for the leader of the current term. Returns false if it cannot be: a term has one leader.
    pub(super) fn follow(&mut self, server: &mut Server, from: Sender) -> bool {
        let leader = server.leader();
        if leader.is_some_and(|leader| leader != from.node) {
            return false;
        }
        self.hear_leader(server);
        if leader.is_none() {
            server.set_leader(Some(from));
        }
        true
    }

    /// AppendEntries, receiver's side (paper, Figure 2).
    pub(super) fn on_append(
        &mut self,
        server: &mut Server,
        from: NodeId,
        (session, round): (PeerSession, Round),
        prev: Option<LogId>,
        leader_commit: Option<Index>,
        entries: Entries,
    ) {
        if !entries.iter().all(|entry| server.is_of_my_kind(&entry.body)) {
            server.ignored.misfit += 1;
            return;
        }
        // The last entry that this very message verifies.
        let verified = entries.last().map(|entry| entry.id).or(prev);
        let verified_index = verified.map(|id| id.index);
        if !entries.is_empty() && !server.may_store(verified_index) {
            server.ignored.beyond_halt += 1;
            server.limited.halted_entries += 1;
            return;
        }
        let outcome = if verified_index <= server.commit {
            // An old or repeated append. The leader of a term has everything that was committed before it (§5.4.3), so
            // nothing here can differ: say how far this server is instead.
            AppendOutcome::Accepted {
                last: server.commit.and_then(|commit| server.log.log_id(commit)),
            }
        } else if !self.holds_prev(server, prev) {
            // Receiver's step 2: reply false if the log does not hold prev.
            AppendOutcome::Rejected {
                prev,
                hint: conflict_hint(server, prev),
            }
        } else if store_entries(server, prev, entries) {
            // Receiver's step 5, bounded by the last entry that this message verified: the log may go on with entries
            // of an earlier leader, which the leader's commit index does not mean.
            let bound = plant!(verified_index, COMMITS_UNVERIFIED => server.log.last_index());
            self.advance_commit(server, leader_commit.min(bound));
            AppendOutcome::Accepted { last: verified }
        } else {
            server.ignored.contradicting += 1;
            return;
        };
        let promise = match outcome {
            // Figure 2: respond after the entries are on stable storage.
            AppendOutcome::Accepted { last } => Promise::Log(last.map(|last| last.index)),
            AppendOutcome::Rejected { .. } => Promise::Term,
        };
        let promise = plant!(promise, ACKS_BEFORE_DURABLE => Promise::Term);
        let reply = Message::AppendReply {
            session,
            round,
            promise_micros: server.promise_micros(),
            outcome,
        };
        server.send(from, None, promise, reply);
    }

    /// Receiver's step 2. What is committed here is in the leader's log too, so an append that begins there fits.
    fn holds_prev(&self, server: &Server, prev: Option<LogId>) -> bool {
        let index = prev.map(|id| id.index);
        let holds = index <= server.commit || server.log.holds(prev);
        plant!(holds, PREV_BY_INDEX => holds || index <= server.log.last_index())
    }

    pub(super) fn on_heartbeat(
        &mut self,
        server: &mut Server,
        from: NodeId,
        (session, round): (PeerSession, Round),
        commit: Option<LogId>,
    ) {
        // The leader believes that this server holds this entry. Should it be mistaken, the heartbeat commits nothing.
        if server.log.holds(commit) {
            self.advance_commit(server, commit.map(|id| id.index));
        }
        let promise_micros = server.promise_micros();
        let reply = server.heartbeat_reply(session, round, promise_micros);
        server.send(from, None, Promise::Term, reply);
    }

    fn advance_commit(&mut self, server: &mut Server, to: Option<Index>) {
        if server.advance_commit(to) {
            server.maybe_give_up_proposals();
        }
    }
}

/// Where the two logs may part: §5.3's accelerated back-up, by (term, index), so that one rejection skips a whole run
/// of conflicting terms. What is committed here cannot conflict.
fn conflict_hint(server: &Server, prev: Option<LogId>) -> Option<LogId> {
    let prev = prev?;
    let fitting = server.log.last_not_after(prev.index, prev.term);
    let committed = server.commit.and_then(|commit| server.log.log_id(commit));
    if fitting.map(|id| id.index) > server.commit {
        fitting
    } else {
        committed
    }
}

/// Receiver's steps 3 and 4: truncates the log where it conflicts and appends what is missing. An old or repeated append
/// truncates nothing. Returns false, with nothing changed, if it contradicts what is committed: no correct leader's
/// append does.
fn store_entries(server: &mut Server, prev: Option<LogId>, entries: Entries) -> bool {
    if prev == server.log.last() {
        // Nearly always: all of it is new.
        server.extend(entries);
        return true;
    }
    let Some(first_new) = first_different(server, prev, &entries) else {
        return true;
    };
    if Some(first_new.index) <= server.commit {
        return false;
    }
    if Some(first_new.index) <= server.log.last_index() {
        server.truncate(first_new.index);
    }
    let known = entries.partition_point(|entry| entry.id.index < first_new.index);
    server.extend(entries.part(known..entries.len()));
    true
}

/// The first entry of an append that this log does not hold. What the snapshot covers cannot be compared any more,
/// except for its last entry, the log's base.
fn first_different(server: &Server, prev: Option<LogId>, entries: &Entries) -> Option<LogId> {
    let base = server.log.base().map(|base| base.index);
    let is_different = |id: &LogId| {
        let differs = Some(id.index) >= base && !server.log.holds(Some(*id));
        plant!(differs, KEEPS_CONFLICTS => Some(id.index) > server.log.last_index())
    };
    let mut ids = prev.into_iter().chain(entries.iter().map(|entry| entry.id));
    plant!(
        ids.find(is_different),
        TRUNCATES_ON_DUPLICATES => entries.first().map(|entry| entry.id)
    )
}
