//! Who may win an election (paper §5.2, §5.4.1; dissertation §9.6 for the pre-vote).
//!
//! Pre-vote and vote are one campaign in two stages. The first changes nothing anywhere: a server that could not win
//! does not disturb those that are content with their leader.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::message::Message;
use crate::outbox::Promise;
use crate::status::RoleName;
use crate::trace::Trace;
use crate::types::{Incarnation, LogId, NodeId, Term, Tick};

use super::{Raft, Role};

#[derive(Debug)]
pub(super) struct Candidate {
    stage: Stage,
    granted: BTreeSet<NodeId>,
    retry_at: Tick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    PreVote,
    Vote,
}

impl Candidate {
    pub(super) fn role_name(&self) -> RoleName {
        match self.stage {
            Stage::PreVote => RoleName::PreCandidate,
            Stage::Vote => RoleName::Candidate,
        }
    }

    pub(super) fn retry_at(&self) -> Tick {
        self.retry_at
    }
}

impl Raft {
    pub(super) fn on_campaign(&mut self) {
        if !matches!(self.role, Role::Follower(_)) || !self.may_campaign() {
            return;
        }
        if self.honours_leases() && self.hears_a_leader() {
            // It would vote for itself, and its leader may rely on it not to: only that leader can ask for a campaign.
            self.ignored.sticky += 1;
            return;
        }
        self.become_pre_candidate();
    }

    pub(super) fn candidate_tick(&mut self) {
        let Role::Candidate(candidate) = &self.role else {
            return;
        };
        if self.now >= candidate.retry_at && !planted!(CAMPAIGNS_ONCE) {
            // §5.2: a split vote times out. It begins with the pre-vote again, lest a server that was cut off
            // in the meantime counts its term up without end.
            if planted!(SKIPS_PRE_VOTE) {
                let last = self.log.last();
                self.become_candidate(&Message::Vote { last });
            } else if self.may_campaign() && !self.disk_stalls() {
                self.become_pre_candidate();
            } else {
                self.become_follower(None);
            }
        }
    }

    pub(super) fn become_pre_candidate(&mut self) {
        // Nothing is promised: a pre-vote leaves term and vote as they are.
        self.begin_stage(Stage::PreVote);
        let ask = self.out.term().next();
        self.ask_all(
            Promise::Term,
            &Message::PreVote {
                ask,
                last: self.log.last(),
            },
        );
        self.count_votes();
    }

    /// Asks for votes with this request: the same for all, and one that says so when a leader wants this campaign.
    pub(super) fn become_candidate(&mut self, request: &Message) {
        // Figure 2, Candidates: increment the term, vote for self, reset the timer, send RequestVote to all.
        let term = self.out.term().next();
        self.set_term(term);
        let me = self.me();
        self.out.set_vote(me);
        self.begin_stage(Stage::Vote);
        self.ask_all(Promise::Vote, request);
        self.count_votes();
    }

    fn begin_stage(&mut self, stage: Stage) {
        let led = self.leader();
        self.out.withdraw_requests();
        let retry_at = self.draw_election_timeout();
        let granted = BTreeSet::from([self.me()]);
        self.role = Role::Candidate(Candidate {
            stage,
            granted,
            retry_at,
        });
        self.role_changed();
        if led.is_some() {
            let term = self.out.term();
            self.out.push(crate::Action::LeaderChanged { leader: None, term });
        }
    }

    fn ask_all(&mut self, promise: Promise, request: &Message) {
        let me = self.me();
        let membership = self.log.membership();
        let voters: Vec<NodeId> = membership
            .members()
            .filter(|&n| n != me && membership.is_voter(n))
            .filter(|&n| !planted!(ASKS_ONE_HALF) || membership.voters().any(|voter| voter == n))
            .collect();
        for voter in voters {
            self.send(voter, promise, request.clone());
        }
    }

    /// Wins the stage once a quorum agrees; both halves of a joint configuration must (paper §6).
    pub(super) fn count_votes(&mut self) {
        let Role::Candidate(candidate) = &self.role else {
            return;
        };
        let me = self.me();
        // A candidate's own vote is a vote: it counts when it is durable, like everybody's.
        let own_counts = candidate.stage == Stage::PreVote
            || planted!(OWN_VOTE_BEFORE_DURABLE)
            || self.out.vote_is_durable();
        let agrees = |node: NodeId| candidate.granted.contains(&node) && (node != me || own_counts);
        if !self.log.membership().has_quorum(agrees) {
            return;
        }
        match candidate.stage {
            Stage::PreVote => {
                let last = self.log.last();
                self.become_candidate(&Message::Vote { last });
            }
            Stage::Vote => self.become_leader(),
        }
    }

    /// §5.4.1: a voter denies its vote to a log that is less up-to-date than its own.
    fn is_up_to_date(&self, last: Option<LogId>) -> bool {
        if planted!(COMPARES_LENGTH_ONLY) {
            return last.map(|last| last.index) >= self.log.last_index();
        }
        if planted!(COMPARES_TERM_ONLY) {
            return last.map(|last| last.term) >= self.log.last().map(|last| last.term);
        }
        planted!(VOTES_FOR_ANY_LOG) || last >= self.log.last()
    }

    pub(super) fn on_pre_vote(
        &mut self,
        from: NodeId,
        incarnation: Incarnation,
        term: Term,
        ask: Term,
        last: Option<LogId>,
    ) {
        // Dissertation §9.6: granted if the candidate's log is up-to-date, and the voter has not heard from a leader
        // for an election timeout. A refusal tells a candidate of an earlier term which term it is.
        let is_free = !self.hears_a_leader() || planted!(HELPS_REBELS);
        let granted = term >= self.out.term() && self.is_up_to_date(last) && is_free;
        let to = from;
        self.trace(Trace::PreVoteAnswered { to, ask, granted });
        // The folder that asked is answered, which may be a later one than the log knows.
        let reply = Message::PreVoteReply { ask, granted };
        self.out.send(to, Some(incarnation), Promise::Term, reply);
    }

    /// A granted pre-vote mirrors the term that was asked about; the voter itself may still be in an earlier one.
    pub(super) fn on_pre_vote_granted(&mut self, from: NodeId, term: Term, ask: Term) {
        let current = self.out.term();
        let is_voter = self.log.membership().is_voter(from);
        match &mut self.role {
            Role::Candidate(candidate)
                if candidate.stage == Stage::PreVote
                    && ask == current.next()
                    && term <= current
                    && is_voter =>
            {
                candidate.granted.insert(from);
                self.count_votes();
            }
            _ => self.ignored.stale += 1,
        }
    }

    /// Whether this server asked for votes itself in the current term, or leads it.
    fn campaigned(&self) -> bool {
        match &self.role {
            Role::Leader(_) => true,
            Role::Candidate(candidate) => candidate.stage == Stage::Vote,
            Role::Joining(_) | Role::Follower(_) => false,
        }
    }

    /// RequestVote, receiver's side (paper, Figure 2), for the current term.
    ///
    /// In a transfer, the leader that is heard wants this campaign (dissertation §3.10).
    pub(super) fn on_vote(
        &mut self,
        from: NodeId,
        incarnation: Incarnation,
        last: Option<LogId>,
        in_transfer: bool,
    ) {
        let vote = self.out.hard_state().vote;
        let free = planted!(VOTES_TWICE) || vote.is_none_or(|vote| vote == from);
        // Without leases stickiness only keeps the peace, and a term that is known anyway is as good as another one.
        let bound =
            self.honours_leases() && !in_transfer && self.hears_a_leader() && !planted!(VOTES_WITHIN_A_LEASE);
        let granted = free && !bound && self.is_up_to_date(last) && !self.campaigned();
        if granted {
            // Whoever only asked whether it could win has promised nobody anything, and lets the other one win.
            if matches!(self.role, Role::Candidate(_)) {
                self.become_follower(None);
            }
            self.out.set_vote(from);
            self.put_off_campaign(false);
        }
        let promise = if granted && !planted!(GRANTS_BEFORE_DURABLE) {
            Promise::Vote
        } else {
            Promise::Term
        };
        let (to, term) = (from, self.out.term());
        self.trace(Trace::VoteAnswered { to, term, granted });
        let reply = Message::VoteReply { granted };
        self.out.send(to, Some(incarnation), promise, reply);
    }

    pub(super) fn on_vote_reply(&mut self, from: NodeId, granted: bool) {
        let is_voter = self.log.membership().is_voter(from);
        match &mut self.role {
            Role::Candidate(candidate) if candidate.stage == Stage::Vote && is_voter => {
                if granted || planted!(COUNTS_REFUSALS) {
                    candidate.granted.insert(from);
                    self.count_votes();
                }
            }
            _ => self.ignored.stale += 1,
        }
    }
}
