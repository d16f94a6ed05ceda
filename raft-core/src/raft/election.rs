//! Who may win an election (paper §5.2, §5.4.1; dissertation §9.6 for the pre-vote).
//!
//! Pre-vote and vote are one campaign in two stages. The first changes nothing anywhere: a server that could not win
//! does not disturb those that hear their leader.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::message::Message;
use crate::outbox::Promise;
use crate::status::RoleName;
use crate::trace::Trace;
use crate::types::{LogId, NodeId, Term, Tick};

use super::server::Server;
use super::{Next, Raft, Role, STAY, Sender, Transition};

#[derive(Debug)]
pub(super) struct Candidate {
    stage: Stage,
    /// When this server last heard a leader, unless that leader asked it to campaign.
    heard_at: Option<Tick>,
    granted: BTreeSet<NodeId>,
    retry_at: Tick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    PreVote,
    Vote { in_transfer: bool },
}

impl Candidate {
    /// Asks first whether an election could be won. This promises nothing: a pre-vote leaves term and vote as they are.
    pub(super) fn ask_first(server: &mut Server, heard_at: Option<Tick>) -> Self {
        Self::new(server, Stage::PreVote, heard_at)
    }

    /// Figure 2, Candidates: increment the term, vote for self, reset the timer. [`begin`](Self::begin) sends
    /// RequestVote to all.
    pub(super) fn campaign(server: &mut Server, in_transfer: bool, heard_at: Option<Tick>) -> Self {
        server.set_term(server.out.term().next());
        server.out.set_vote(server.me(), server.sender().boot);
        // The leader that asks for a campaign wants to be replaced.
        let heard_at = heard_at.filter(|_| !in_transfer);
        Self::new(server, Stage::Vote { in_transfer }, heard_at)
    }

    fn new(server: &mut Server, stage: Stage, heard_at: Option<Tick>) -> Self {
        server.out.withdraw_requests();
        Self {
            stage,
            heard_at,
            granted: BTreeSet::from([server.me()]),
            retry_at: server.draw_election_timeout(),
        }
    }

    pub(super) fn role_name(&self) -> RoleName {
        match self.stage {
            Stage::PreVote => RoleName::PreCandidate,
            Stage::Vote { .. } => RoleName::Candidate,
        }
    }

    pub(super) fn deadline(&self) -> Tick {
        self.retry_at
    }

    pub(super) fn heard_at(&self) -> Option<Tick> {
        self.heard_at
    }

    /// Whether this server still hears a leader: to campaign is no reason to disown it.
    fn hears_leader(&self, server: &Server) -> bool {
        plant!(server.is_recent(self.heard_at), CANDIDATES_HEAR_NOBODY => false)
    }

    /// Asks all other voters, and counts this server's own vote, which is all that a single voter needs.
    pub(super) fn begin(&mut self, server: &mut Server) -> Next {
        let last = server.log.last();
        let (promise, request) = match self.stage {
            Stage::PreVote => {
                let ask = server.out.term().next();
                (Promise::Term, Message::PreVote { ask, last })
            }
            Stage::Vote { in_transfer: false } => (Promise::Vote, Message::Vote { last }),
            Stage::Vote { in_transfer: true } => (Promise::Vote, Message::TransferVote { last }),
        };
        for voter in others_to_ask(server) {
            server.send(voter, None, promise, request.clone());
        }
        self.count_votes(server)
    }

    /// §5.2: a split vote times out. The next campaign begins with the pre-vote again; otherwise a server that was
    /// partitioned meanwhile would increment its term without end.
    pub(super) fn tick(&mut self, server: &mut Server) -> Next {
        let is_over = server.now >= self.retry_at;
        let is_over = plant!(is_over, CAMPAIGNS_ONCE => false);
        if !is_over {
            return STAY;
        }
        let again = if server.may_campaign() && !server.disk_stalls() {
            Transition::PreCampaign
        } else {
            Transition::Follow(None)
        };
        plant!(again, SKIPS_PRE_VOTE => Transition::Campaign { in_transfer: false }).into()
    }

    /// Wins the stage once a quorum agrees; both halves of a joint configuration must (paper §6).
    pub(super) fn count_votes(&mut self, server: &mut Server) -> Next {
        let me = server.me();
        // A candidate's own vote is a vote: like every other one it counts once it is durable. So is its own pre-vote: it
        // counts unless this server hears a leader.
        let own_counts = match self.stage {
            Stage::PreVote => !self.hears_leader(server),
            Stage::Vote { .. } => plant!(server.out.vote_is_durable(), OWN_VOTE_BEFORE_DURABLE => true),
        };
        let own_counts = own_counts && server.counts_itself();
        let agrees = |node: NodeId| self.granted.contains(&node) && (node != me || own_counts);
        if !server.log.membership().has_quorum(agrees) {
            return STAY;
        }
        match self.stage {
            Stage::PreVote => Transition::Campaign { in_transfer: false }.into(),
            Stage::Vote { .. } => Transition::Lead.into(),
        }
    }

    /// Counts a granted pre-vote. It mirrors the term that was asked about; the voter itself may still be in an earlier
    /// one.
    pub(super) fn on_pre_vote_granted(
        &mut self,
        server: &mut Server,
        from: Sender,
        term: Term,
        ask: Term,
    ) -> Next {
        let current = server.out.term();
        let answers_this_campaign = self.stage == Stage::PreVote && ask == current.next() && term <= current;
        if !answers_this_campaign || !server.log.membership().is_voter(from.node) {
            server.ignored.stale += 1;
            return STAY;
        }
        self.granted.insert(from.node);
        self.count_votes(server)
    }

    pub(super) fn on_vote_reply(&mut self, server: &mut Server, from: Sender, granted: bool) -> Next {
        let asked = matches!(self.stage, Stage::Vote { .. });
        if !asked || !server.log.membership().is_voter(from.node) {
            server.ignored.stale += 1;
            return STAY;
        }
        let counts = plant!(granted, COUNTS_REFUSALS => true);
        if !counts {
            return STAY;
        }
        self.granted.insert(from.node);
        self.count_votes(server)
    }
}

/// The other voters, of both halves of a joint configuration.
fn others_to_ask(server: &Server) -> Vec<NodeId> {
    let me = server.me();
    let membership = server.log.membership();
    let is_asked = |node: NodeId| {
        let votes = node != me && membership.is_voter(node);
        plant!(votes, ASKS_ONE_HALF => votes && membership.is_incoming_voter(node))
    };
    membership.members().filter(|&node| is_asked(node)).collect()
}

impl Server {
    /// §5.4.1: whether a candidate's log is at least as up-to-date as this server's. A voter denies its vote otherwise.
    fn is_up_to_date(&self, last: Option<LogId>) -> bool {
        let mine = self.log.last();
        let is_up_to_date = last >= mine;
        let is_up_to_date = plant!(
            is_up_to_date,
            COMPARES_LENGTH_ONLY => last.map(|last| last.index) >= mine.map(|mine| mine.index)
        );
        let is_up_to_date = plant!(
            is_up_to_date,
            COMPARES_TERM_ONLY => last.map(|last| last.term) >= mine.map(|mine| mine.term)
        );
        plant!(is_up_to_date, VOTES_FOR_ANY_LOG => true)
    }
}

impl Role {
    /// Whether this server hears a leader: heartbeats within the shortest election timeout (paper §6, dissertation
    /// §4.2.3). A leader hears itself for as long as it has an active quorum, and steps down otherwise.
    pub(super) fn hears_leader(&self, server: &Server) -> bool {
        match self {
            Self::Leader(_) => true,
            Self::Follower(follower) => follower.hears_leader(server),
            Self::Candidate(candidate) => candidate.hears_leader(server),
            Self::Joining(_) => false,
        }
    }

    /// Whether this server asked for votes itself in the current term, or leads it.
    fn has_campaigned(&self) -> bool {
        match self {
            Self::Leader(_) => true,
            Self::Candidate(candidate) => matches!(candidate.stage, Stage::Vote { .. }),
            Self::Joining(_) | Self::Follower(_) => false,
        }
    }
}

/// The voter's side, which is the same in every role but a joining server's.
impl Raft {
    /// Dissertation §9.6: a pre-vote is granted if the candidate's log is up-to-date and the voter hears no leader. A
    /// refusal tells a candidate of an earlier term which term it is.
    pub(super) fn on_pre_vote(
        &mut self,
        from: Sender,
        knows_me: bool,
        term: Term,
        ask: Term,
        last: Option<LogId>,
    ) {
        let is_free = !self.role.hears_leader(&self.server) && !self.server.withholds_vote();
        let is_free = plant!(is_free, HELPS_REBELS => true);
        let server = &mut self.server;
        let granted = term >= server.out.term() && server.is_up_to_date(last) && is_free && knows_me;
        server.trace(Trace::PreVoteAnswered {
            to: from.node,
            ask,
            granted,
        });
        server.answer(from, Promise::Term, Message::PreVoteReply { ask, granted });
    }

    /// RequestVote, receiver's side (paper, Figure 2), for the current term.
    ///
    /// In a transfer, the leader that is heard wants this campaign (dissertation §3.10).
    ///
    /// `knows_me` says whether the candidate's log can hold what admitted this data folder.
    pub(super) fn on_vote(&mut self, from: Sender, knows_me: bool, last: Option<LogId>, in_transfer: bool) {
        let is_free = self.server.out.may_vote_for(from.node, from.boot);
        let is_free = plant!(is_free, VOTES_TWICE => true);
        // Without leases stickiness only keeps the peace, and a term that is known anyway is as good as another one.
        let keeps_promise = (self.server.honours_leases() && self.role.hears_leader(&self.server))
            || self.server.withholds_vote();
        let is_bound = keeps_promise && !in_transfer;
        let is_bound = plant!(is_bound, VOTES_WITHIN_A_LEASE => false);
        let may_vote = is_free && !is_bound && knows_me;
        let granted = may_vote && self.server.is_up_to_date(last) && !self.role.has_campaigned();
        if granted {
            if let Role::Candidate(_) = self.role {
                // It only asked whether it could win. That promised nothing, and the other candidate may win.
                self.carry_out(Transition::Follow(None).into());
            }
            self.server.out.set_vote(from.node, from.boot);
            if let Role::Follower(follower) = &mut self.role {
                follower.reset_election_timer(&mut self.server);
            }
        }
        let promise = if granted { Promise::Vote } else { Promise::Term };
        let promise = plant!(promise, GRANTS_BEFORE_DURABLE => Promise::Term);
        let server = &mut self.server;
        server.trace(Trace::VoteAnswered {
            to: from.node,
            term: server.out.term(),
            granted,
        });
        server.answer(from, promise, Message::VoteReply { granted });
    }
}
