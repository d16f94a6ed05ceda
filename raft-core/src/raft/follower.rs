//! What a follower does (paper §5.2, §5.3): it believes the leader of its term, keeps its log equal to the
//! leader's, and campaigns when the leader falls silent.

use crate::action::Action;
use crate::entries::Entries;
use crate::message::{AppendOutcome, Message};
use crate::outbox::Promise;
use crate::trace::Trace;
use crate::types::{Incarnation, Index, LogId, NodeId, PeerSession, Round, Tick};

use super::{Raft, Role};

#[derive(Debug)]
pub(super) struct Follower {
    /// The leader of the term, and the data folder from which it speaks.
    leader: Option<(NodeId, Incarnation)>,
    /// When the leader of any term was last heard; it outlives a change of term, for stickiness.
    heard_at: Option<Tick>,
    campaign_at: Tick,
    /// The session of the snapshot that is arriving.
    pub(super) snapshot_session: PeerSession,
    /// The last one that was refused for its size, so that it is said once.
    pub(super) refused_snapshot: Option<(PeerSession, LogId)>,
}

impl Default for Follower {
    fn default() -> Self {
        Self {
            leader: None,
            heard_at: None,
            campaign_at: Tick::new(0),
            snapshot_session: PeerSession::NONE,
            refused_snapshot: None,
        }
    }
}

impl Follower {
    pub(super) fn leader(&self) -> Option<NodeId> {
        self.leader.map(|(node, _)| node)
    }

    /// The data folder of this server, if it is the leader.
    pub(super) fn folder_of_leader(&self, node: NodeId) -> Option<Incarnation> {
        self.leader
            .and_then(|(leader, folder)| (leader == node).then_some(folder))
    }

    pub(super) fn campaign_at(&self) -> Tick {
        self.campaign_at
    }
}

impl Raft {
    /// Follows from now on: the leader with its data folder, or whoever will make itself heard.
    pub(super) fn become_follower(&mut self, leader: Option<(NodeId, Incarnation)>) {
        let led = self.leader();
        let heard_at = match &self.role {
            _ if leader.is_some() => Some(self.now),
            Role::Follower(follower) => follower.heard_at,
            _ => None,
        };
        self.leave_leadership();
        self.out.withdraw_requests();
        let campaign_at = self.draw_election_timeout();
        self.role = Role::Follower(Follower {
            leader,
            heard_at,
            campaign_at,
            ..Follower::default()
        });
        self.role_changed();
        let leader = leader.map(|(node, _)| node);
        if leader != led {
            self.out.push(Action::LeaderChanged {
                leader,
                term: self.out.term(),
            });
        }
    }

    pub(super) fn follower_tick(&mut self) {
        let Role::Follower(follower) = &self.role else {
            return;
        };
        if self.now < follower.campaign_at {
            return;
        }
        if !self.may_campaign() {
            self.lose_leader();
        } else if self.yields_left > 0 {
            // Those with a higher priority go first, for as long as this server has turns to give away.
            self.yields_left -= 1;
            self.put_off_campaign(false);
        } else if self.disk_stalls() {
            // It could not vote for itself.
            self.put_off_campaign(false);
        } else {
            self.become_pre_candidate();
        }
    }

    /// Who may not campaign must not name a leader for ever that nobody hears any more.
    fn lose_leader(&mut self) {
        if let Role::Follower(follower) = &mut self.role
            && follower.leader.take().is_some()
        {
            self.out.push(Action::LeaderChanged {
                leader: None,
                term: self.out.term(),
            });
        }
    }

    /// Whether a leader made itself heard within the shortest election timeout (paper §6, dissertation §4.2.3). A
    /// leader hears itself for as long as it hears a quorum, and steps down otherwise.
    pub(super) fn hears_a_leader(&self) -> bool {
        match &self.role {
            Role::Leader(_) => true,
            Role::Follower(follower) => follower.heard_at.is_some_and(|heard_at| {
                let silence = self.now.value() - heard_at.value();
                silence < self.config.timing.election_timeout_min_ticks
            }),
            Role::Joining(_) | Role::Candidate(_) => false,
        }
    }

    /// Puts off the campaign, after a leader was heard or a vote was given (paper §5.2).
    pub(super) fn put_off_campaign(&mut self, heard_leader: bool) {
        let campaign_at = self.draw_election_timeout();
        let now = self.now;
        if heard_leader {
            self.yields_left = self.config.options.yields;
        }
        if let Role::Follower(follower) = &mut self.role {
            if !heard_leader || !planted!(CAMPAIGNS_REGARDLESS) {
                follower.campaign_at = campaign_at;
            }
            if heard_leader {
                follower.heard_at = Some(now);
            }
        }
    }

    /// Takes `from`, who speaks from this data folder, for the leader of the current term. False if that cannot be: a
    /// term has one leader at most.
    pub(super) fn follow(&mut self, from: NodeId, folder: Incarnation) -> bool {
        match &mut self.role {
            Role::Follower(follower) if follower.leader() == Some(from) => {
                self.put_off_campaign(true);
                true
            }
            Role::Follower(follower) if follower.leader.is_none() => {
                follower.leader = Some((from, folder));
                self.put_off_campaign(true);
                self.out.push(Action::LeaderChanged {
                    leader: Some(from),
                    term: self.out.term(),
                });
                true
            }
            // §5.2: a candidate that hears from the leader of its term returns to following.
            Role::Candidate(_) => {
                self.become_follower(Some((from, folder)));
                true
            }
            Role::Follower(_) | Role::Leader(_) | Role::Joining(_) => {
                self.ignored.contradicting += 1;
                false
            }
        }
    }

    /// AppendEntries, receiver's side (paper, Figure 2).
    pub(super) fn on_append(
        &mut self,
        from: NodeId,
        session: PeerSession,
        round: Round,
        prev: Option<LogId>,
        leader_commit: Option<Index>,
        entries: Entries,
    ) {
        if !entries.iter().all(|entry| self.is_of_my_kind(&entry.body)) {
            self.ignored.misfit += 1;
            return;
        }
        let verified = entries.last().map(|entry| entry.id).or(prev);
        let verified_index = verified.map(|id| id.index);
        let outcome = if verified_index <= self.commit {
            // The leader of a term has everything that was committed before it (§5.4.3), so nothing here can differ.
            AppendOutcome::Accepted {
                last: self.commit.and_then(|commit| self.log.log_id(commit)),
            }
        } else if prev.map(|id| id.index) > self.commit
            && !self.log.holds(prev)
            && !(planted!(PREV_BY_INDEX) && prev.map(|id| id.index) <= self.log.last_index())
        {
            // Receiver's step 2: reply false if the log does not hold prev.
            AppendOutcome::Rejected {
                prev,
                hint: self.conflict_hint(prev),
            }
        } else if self.store_entries(prev, entries) {
            // Receiver's step 5, bounded by the last entry that this very message verified.
            self.advance_commit(leader_commit.min(if planted!(COMMITS_UNVERIFIED) {
                self.log.last_index()
            } else {
                verified_index
            }));
            AppendOutcome::Accepted { last: verified }
        } else {
            self.ignored.contradicting += 1;
            return;
        };
        let promise = match outcome {
            _ if planted!(ACKS_BEFORE_DURABLE) => Promise::Term,
            AppendOutcome::Accepted { last } => Promise::Log(last.map(|last| last.index)),
            AppendOutcome::Rejected { .. } => Promise::Term,
        };
        self.send(
            from,
            promise,
            Message::AppendReply {
                session,
                round,
                outcome,
            },
        );
    }

    /// Where the two logs may part: §5.3's accelerated back-up, by (term, index) so that one refusal skips a
    /// whole run of conflicting terms. What is committed here cannot conflict.
    fn conflict_hint(&self, prev: Option<LogId>) -> Option<LogId> {
        let prev = prev?;
        let fitting = self.log.last_not_after(prev.index, prev.term);
        let committed = self.commit.and_then(|commit| self.log.log_id(commit));
        if fitting.map(|id| id.index) > self.commit {
            fitting
        } else {
            committed
        }
    }

    /// Receiver's steps 3 and 4: cuts the log where it conflicts and appends what is missing. An append that says
    /// nothing new, because it is old or a duplicate, cuts nothing. False, with nothing changed, if it contradicts what
    /// is committed: no honest leader's append does.
    fn store_entries(&mut self, prev: Option<LogId>, entries: Entries) -> bool {
        if prev == self.log.last() {
            // Nearly always: all of it is new.
            self.extend(entries);
            return true;
        }
        // What the snapshot covers cannot be compared any more, except for its last entry, the log's base.
        let base = self.log.base().map(|base| base.index);
        let first_behind = entries.first().map(|entry| entry.id);
        let first_different = (prev.into_iter().chain(entries.iter().map(|entry| entry.id))).find(|id| {
            if planted!(KEEPS_CONFLICTS) {
                Some(id.index) > self.log.last_index()
            } else {
                Some(id.index) >= base && !self.log.holds(Some(*id))
            }
        });
        let first_different = if planted!(TRUNCATES_ON_DUPLICATES) {
            first_behind
        } else {
            first_different
        };
        let Some(first_new) = first_different else {
            return true;
        };
        if Some(first_new.index) <= self.commit {
            return false;
        }
        if Some(first_new.index) <= self.log.last_index() {
            self.truncate(first_new.index);
        }
        let known = entries.partition_point(|entry| entry.id.index < first_new.index);
        self.extend(entries.part(known..entries.len()));
        true
    }

    /// Cuts the log. §5.3: an entry that conflicts with the leader's is not committed and never will be.
    pub(super) fn truncate(&mut self, from: Index) {
        debug_assert!(Some(from) > self.commit, "what is committed is never cut off");
        let before = self.log.membership_id();
        self.log.truncate(from);
        self.trace(Trace::Truncated { from });
        self.out.log_truncated(from);
        while !planted!(DONE_BY_INDEX)
            && let Some(proposal) = self.proposals.pop_back_if(|proposal| proposal.at.index >= from)
        {
            if planted!(SUPERSEDED_AT_TRUNCATION) {
                self.out.push(Action::Superseded { id: proposal.id });
                continue;
            }
            self.overtaken.push(proposal);
        }
        if self.log.membership_id() != before {
            self.membership_changed();
        }
    }

    pub(super) fn on_heartbeat(
        &mut self,
        from: NodeId,
        session: PeerSession,
        round: Round,
        commit: Option<LogId>,
    ) {
        // The leader believes that we hold this entry. Should it be mistaken, nothing may be committed on its word.
        if self.log.holds(commit) {
            self.advance_commit(commit.map(|id| id.index));
        }
        self.send(from, Promise::Term, Message::HeartbeatReply { session, round });
    }
}
