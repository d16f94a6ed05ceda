//! Judges each step of a server by its own history: loyalty to a leader, reads and their rounds, and whatever waits for
//! the disk (L4, L5, L10 and C4).

use raft_core::replica::Output;
use raft_core::{
    AppendOutcome, Envelope, Incarnation, Index, Membership, Message, NodeId, PeerSession, ReadMode,
    ReadOutcome, RoleName, Round, Term, Ticket, Vitals,
};

use super::Simulation;
use super::server::Server;
use super::step::OutputOf;
use crate::nanos::Nanos;
use crate::oracle::leases::{Bond, has_lease};
use crate::oracle::reads::{Basis, Reads};
use crate::oracle::stability::{Backlog, Contacts, bit};
use crate::oracle::wakeups::{Answer, Wakeups, concluded};
use crate::oracle::{Judgement, Oracle, violated};
use crate::places::place_of;
use crate::schedule::Knobs;
use crate::workload::Workload;

/// What is remembered of one server from its start on.
#[derive(Clone, Debug, Default)]
pub(super) struct Conduct {
    pub(super) contacts: Contacts,
    bond: Bond,
    wakeups: Wakeups,
    backlog: Backlog,
    reads: Reads,
    /// Which peers have granted a vote, one bit each, and in which term.
    votes: (Term, u8),
    /// The latest start of every data folder that it has heard.
    starts: Vec<(NodeId, Incarnation, u32)>,
}

impl Conduct {
    /// Whether a message comes from an earlier start of its sender's folder than one that was heard before: then it is
    /// dropped, and asks for nothing.
    fn is_over(&mut self, heard: Heard) -> bool {
        let Heard { from, start, .. } = heard;
        let of_folder = |known: &&mut (NodeId, Incarnation, u32)| (known.0, known.1) == (from, start.0);
        match self.starts.iter_mut().find(of_folder) {
            Some(known) if start.1 < known.2 => return true,
            Some(known) => known.2 = start.1,
            None => self.starts.push((from, start.0, start.1)),
        }
        false
    }
}

/// What the server was given in a step, as far as these oracles need it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Occasion {
    message: Option<Heard>,
    persisted: Option<Ticket>,
    /// Whether a deadline was reached, and nothing else happened.
    is_deadline: bool,
    /// Whether the host has given it a command.
    is_told: bool,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    from: NodeId,
    /// The sender's data folder, and the count of its start.
    start: (Incarnation, u32),
    term: Term,
    news: News,
}

/// What a message means to these oracles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// A leader's message, and the answer that it asks for, if any.
    Leads(Option<Answer>),
    PreVote,
    Vote,
    TimeoutNow,
    PreVoteGranted {
        ask: Term,
    },
    VoteGranted,
    /// A peer's answer to its leader, with the read round, if it has one.
    Answers {
        round: Option<Round>,
    },
    Other,
}

impl Occasion {
    pub(super) fn of(envelope: &Envelope) -> Self {
        let news = match envelope.message {
            Message::Append { .. } => News::Leads(Some(Answer::Append)),
            Message::Heartbeat { .. } => News::Leads(Some(Answer::Heartbeat)),
            Message::SnapshotChunk { .. } => News::Leads(None),
            Message::PreVote { .. } => News::PreVote,
            Message::Vote { .. } => News::Vote,
            Message::TimeoutNow => News::TimeoutNow,
            Message::PreVoteReply { ask, granted: true } => News::PreVoteGranted { ask },
            Message::VoteReply { granted: true } => News::VoteGranted,
            // A server that is in a later term replies without a session; it need not hear a leader in that term.
            Message::HeartbeatReply { session, .. } if session == PeerSession::NONE => News::Other,
            // The answer to a snapshot carries no round.
            Message::AppendReply {
                outcome: AppendOutcome::Accepted { .. } | AppendOutcome::Rejected { .. },
                round,
                ..
            }
            | Message::HeartbeatReply { round, .. } => News::Answers { round: Some(round) },
            Message::SnapshotReply { .. } => News::Answers { round: None },
            // Whoever asks where it stands does not count yet, and silences no earlier start.
            Message::Hello | Message::HelloReply { .. } | Message::OtherCluster => return Self::default(),
            _ => News::Other,
        };
        Self {
            message: Some(Heard {
                from: envelope.from,
                start: (envelope.from_incarnation, envelope.from_boot.counter),
                term: envelope.term,
                news,
            }),
            ..Self::default()
        }
    }

    pub(super) fn persisted(ticket: Ticket) -> Self {
        Self {
            persisted: Some(ticket),
            ..Self::default()
        }
    }

    pub(super) fn told() -> Self {
        Self {
            is_told: true,
            ..Self::default()
        }
    }

    pub(super) fn deadline() -> Self {
        Self {
            is_deadline: true,
            ..Self::default()
        }
    }
}

/// The number of a read that a server has forwarded; clients' attempts have smaller numbers.
const fn forwarded_read(by: NodeId, boot: u32, request: u64) -> u64 {
    1 << 63 | by.value() << 56 | (boot as u64) << 40 | request
}

impl<W: Workload> Simulation<'_, W> {
    /// Judges a step, in which the server was told of `told` ticks.
    pub(super) fn observe(
        &mut self,
        at: usize,
        (before, after): (&Vitals, &Vitals),
        mut occasion: Occasion,
        told: u64,
        outputs: &[OutputOf<W>],
    ) -> Judgement {
        let knobs = self
            .servers
            .get(at)
            .map_or(self.schedule.knobs, |server| server.knobs);
        let shortest = knobs.election_timeout_min_ticks;
        // Where settings change from start to start, what clients see judges leases alone.
        let has_leases = knobs.lease_drift_permyriad.is_some() && !knobs.mixed_settings;
        let persists_at_once = knobs.persists_at_once;
        let is_honest = !self.budget.is_damaged();
        let stuck = self.stuck_servers();
        let Some(server) = self.servers.get_mut(at) else {
            return Ok(());
        };
        let (node, ticks) = (server.node, server.ticks_told);
        let Some(replica) = &server.replica else {
            return Ok(());
        };
        let membership = replica.raft().membership();
        let conduct = &mut server.conduct;
        occasion.message.take_if(|heard| conduct.is_over(*heard));
        if after.role == RoleName::Leader && (before.role, before.term) != (after.role, after.term) {
            conduct.contacts.becomes_leader(ticks);
            conduct.reads.becomes_leader();
        }
        if before.role == RoleName::Joining && after.role != RoleName::Joining {
            conduct.bond.is_admitted(ticks);
        }
        if let Some(heard) = occasion.message {
            conduct.hear(node, heard, after, ticks, membership);
            if is_honest {
                conduct.is_loyal(node, heard, (before, after), (ticks, told, shortest), outputs)?;
            }
            if is_honest && has_leases && heard.news == News::Vote && outputs.iter().any(is_vote) {
                conduct.bond.may_vote(node, heard.from, ticks, shortest)?;
            }
        }
        let begins = (before.role, after.role) != (RoleName::PreCandidate, RoleName::PreCandidate);
        if is_honest && after.role == RoleName::PreCandidate && begins && !occasion.is_told {
            // While a server follows, it resets its shortest election timeout whenever it hears its leader.
            conduct.contacts.is_loyal(node, node, ticks, shortest)?;
        }
        if is_honest
            && after.term > before.term
            && matches!(after.role, RoleName::Candidate | RoleName::Leader)
            && occasion
                .message
                .is_none_or(|heard| heard.news != News::TimeoutNow)
        {
            (conduct.contacts).has_pre_votes(node, after.term, membership, (ticks, shortest))?;
            if has_leases {
                conduct.bond.may_vote(node, node, ticks, shortest)?;
            }
        }
        if occasion.is_deadline && after.role == RoleName::Leader && !self.budget.is_exceeded() {
            conduct
                .contacts
                .has_active_quorum(node, ticks, shortest, membership)?;
        }
        if matches!(after.role, RoleName::Leader | RoleName::Joining) {
            conduct.contacts.has_no_leader();
        }
        if server.disk_failed {
            // The server has stopped for good.
            conduct.wakeups = Wakeups::default();
            return Ok(());
        }
        conduct.wait(occasion, after, ticks, outputs, persists_at_once);
        if is_honest {
            conduct.yields_when_stalled(node, after, ticks, &knobs, (membership, stuck))?;
            conduct.wakeups.judge(node, after.term)?;
            let has_written = persists_at_once && outputs.iter().any(is_write);
            if occasion.persisted.is_some() || has_written {
                wakes_up(server, after)?;
            }
        }
        Ok(())
    }

    /// A read reaches a server.
    pub(super) fn read_arrives(&mut self, at: usize, attempt: u64, mode: ReadMode) {
        let leases = self.schedule.knobs.lease_drift_permyriad.is_some();
        let committed = self.oracles.facts.last_committed();
        let event = self.event;
        if let Some(server) = self.servers.get_mut(at) {
            let basis = match (server.vitals.role, mode) {
                (RoleName::Leader, ReadMode::Lease) if leases => Basis::Lease,
                (RoleName::Leader, _) => Basis::Quorum,
                _ => Basis::Leader,
            };
            server.conduct.reads.arrives(attempt, basis, event, committed);
        }
    }

    /// Another server asks a leader for a read index, on behalf of its clients.
    pub(super) fn read_index_arrives(&mut self, at: usize, envelope: &Envelope) {
        let is_leader = self.servers.get(at).is_some_and(|server| {
            server.vitals.role == RoleName::Leader && server.vitals.term == envelope.term
        });
        if let Message::ReadIndex { boot, request, mode } = envelope.message
            && is_leader
        {
            self.read_arrives(at, forwarded_read(envelope.from, boot.counter, request), mode);
        }
    }

    /// C4: a leader answers another server.
    pub(super) fn read_index_leaves(&mut self, at: usize, envelope: &Envelope) -> Judgement {
        let Message::ReadIndexReply {
            boot,
            request,
            outcome,
        } = envelope.message
        else {
            return Ok(());
        };
        let read = forwarded_read(envelope.to, boot.counter, request);
        match outcome {
            ReadOutcome::Confirmed { index } => self.read_is_answered(at, read, index),
            // An earlier copy of the same request may still be confirmed.
            ReadOutcome::Busy { .. } => Ok(()),
        }
    }

    /// A read ends without an answer.
    pub(super) fn read_ends(&mut self, at: usize, attempt: u64) {
        if let Some(server) = self.servers.get_mut(at) {
            server.conduct.reads.ends(attempt);
        }
    }

    /// C4: a read is answered.
    pub(super) fn read_is_answered(&mut self, at: usize, attempt: u64, index: Index) -> Judgement {
        let Some(server) = self.servers.get_mut(at) else {
            return Ok(());
        };
        let Some(replica) = &server.replica else {
            return Ok(());
        };
        let membership = replica.raft().membership();
        let terms = (server.vitals.term, self.oracles.elections.latest());
        let answer = (attempt, index, self.event);
        let rests_on_lease = server.conduct.reads.rests_on_lease(attempt, self.event);
        let mut judgement = server
            .conduct
            .reads
            .answers(server.node, answer, terms, membership);
        if rests_on_lease && judgement.is_ok() {
            judgement = self.has_lease(at, attempt);
        }
        self.ruled(judgement)
    }

    /// C4: a read is answered on a lease.
    fn has_lease(&self, leader: usize, attempt: u64) -> Judgement {
        let Some(leader) = self.servers.get(leader) else {
            return Ok(());
        };
        let Some(replica) = &leader.replica else {
            return Ok(());
        };
        if self.schedule.knobs.mixed_settings {
            return Ok(());
        }
        let shortest = self.schedule.knobs.election_timeout_min_ticks;
        let term = leader.vitals.term;
        has_lease(
            (leader.node, term),
            attempt,
            replica.raft().membership(),
            |voter| {
                self.servers.get(place_of(voter)).is_some_and(|voter| {
                    // A stopped server is bound when it starts, and a server that waits to be admitted is bound when it
                    // is.
                    let ticks = voter.ticks_by(self.now);
                    !voter.is_running()
                        || voter.vitals.role == RoleName::Joining
                        || voter.conduct.bond.binds_to(leader.node, term, ticks, shortest)
                })
            },
        )
    }

    /// A leader's message leaves, which may begin a read round.
    pub(super) fn round_leaves(&mut self, at: usize, envelope: &Envelope) {
        if let Message::Append { round, .. } | Message::Heartbeat { round, .. } = envelope.message
            && let Some(server) = self.servers.get_mut(at)
        {
            server.conduct.reads.sends(round, self.event);
        }
    }

    /// L5: at the end, every request that a server of the core has accepted since its start has an outcome, unless it
    /// came just now.
    pub(super) fn every_request_has_an_outcome(&self, core: u8) -> Judgement {
        match self.without_outcome(core).next() {
            None => Ok(()),
            Some((place, attempt)) => {
                let message = format!("server {} has given no outcome for attempt {attempt}", place + 1);
                violated(Oracle::L5, message)
            }
        }
    }

    /// Whether requests have no outcome because disks are not done: every such request is at a server whose disk still
    /// syncs. The core's convergence has waited for the disks of members, and for no disk of a server that was removed.
    /// Such a server knows its requests to be committed before it may apply them. Its disk's sync may have begun to stall
    /// before the heal, and its end is near. At that end nothing excuses the server any longer.
    pub(super) fn outcomes_wait_for_disks(&self, core: u8) -> bool {
        let mut without = self.without_outcome(core).peekable();
        without.peek().is_some()
            && without.all(|(place, _)| {
                self.servers
                    .get(place)
                    .is_some_and(|server| server.disk.is_syncing(self.now))
            })
    }

    /// The requests that should have an outcome by now: each with the place of the server that has accepted it.
    pub(super) fn without_outcome(&self, core: u8) -> impl Iterator<Item = (usize, u64)> {
        // A server that was removed while it was unreachable may never learn an outcome. A server that knows of its
        // removal has no requests waiting.
        let core = super::targets::members(core)
            .filter(|&place| self.belonging(core) & bit(place) != 0 || self.knows_of_its_removal(place))
            .fold(0, |set, place| set | bit(place));
        // A server that follows a leader of long ago forwards requests to it for four election timeouts of its own
        // clock.
        let patience = match self.schedule.knobs.forwarding {
            true => self.quiet.settled().times(3),
            false => self.quiet.settled(),
        };
        let ticks = patience.value() / self.schedule.cluster.tick.value().max(1);
        let taken = self.clients.taken.iter().zip(0..);
        let taken = taken.filter_map(|(taken, attempt)| Some((attempt, (*taken)?)));
        taken.filter_map(move |(attempt, taken): (u64, Taken)| {
            let place = taken.place;
            // A clock that was put back has counted nothing for a while, so by that clock nothing was late.
            let is_same = self.now.since(taken.at) > patience
                && core & bit(place) != 0
                && self.servers.get(place).is_some_and(|server| {
                    server.is_boot(taken.boot) && server.ticks_told.saturating_sub(taken.ticks) > ticks
                });
            let has_outcome = self
                .oracles
                .attempts
                .find(attempt)
                .is_none_or(|attempt| attempt.outcome.is_some());
            (is_same && !has_outcome).then_some((place, attempt))
        })
    }

    /// Whether a server holds, and knows to be committed, a configuration without it, and no later one that takes its
    /// removal back.
    fn knows_of_its_removal(&self, place: usize) -> bool {
        let facts = &self.oracles.facts;
        self.servers.get(place).is_some_and(|server| {
            let knows = |raft: &raft_core::Raft| {
                let committed = facts.configuration_id_at(server.vitals.commit);
                let is_named = |membership: &Membership| membership.contains(server.node);
                committed.is_some()
                    && !is_named(raft.membership())
                    && !facts.configuration(committed).is_some_and(is_named)
            };
            server
                .replica
                .as_ref()
                .is_some_and(|replica| knows(replica.raft()))
        })
    }
}

/// The server that has accepted an attempt, its boot, and when: in real time, and by its own clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) place: usize,
    pub(super) boot: u64,
    pub(super) at: Nanos,
    pub(super) ticks: u64,
}

impl Conduct {
    /// Starts the memory of a server, whose disk is blank or not.
    pub(super) fn begins(is_blank: bool) -> Self {
        let mut conduct = Self::default();
        if is_blank {
            // It has never heard a leader, or only with a disk that was lost.
            conduct.bond.is_admitted(0);
        }
        conduct
    }

    /// Takes note of a message.
    fn hear(&mut self, node: NodeId, heard: Heard, after: &Vitals, ticks: u64, membership: &Membership) {
        let from = place_of(heard.from);
        match heard.news {
            News::PreVoteGranted { ask } => self.contacts.is_granted(ask, from),
            News::VoteGranted => {
                if self.votes.0 != heard.term {
                    self.votes = (heard.term, 0);
                }
                self.votes.1 |= bit(from);
            }
            News::Answers { round } if after.role == RoleName::Leader && heard.term == after.term => {
                self.contacts.is_answered(from, ticks);
                if let Some(round) = round {
                    self.reads.is_answered(node, from, round, membership);
                }
            }
            News::TimeoutNow if after.role == RoleName::Candidate || after.role == RoleName::Leader => {
                self.bond.is_released();
                self.contacts.has_no_leader();
            }
            News::Leads(_) if is_followed(heard, after) => {
                self.bond.hears(heard.from, heard.term, ticks);
            }
            _ => {}
        }
    }

    /// L4 (a), as far as a single message shows it.
    fn is_loyal<M: raft_core::replica::StateMachine>(
        &mut self,
        node: NodeId,
        heard: Heard,
        (before, after): (&Vitals, &Vitals),
        (ticks, told, shortest): (u64, u64, u64),
        outputs: &[Output<M>],
    ) -> Judgement {
        let from = heard.from;
        match heard.news {
            News::Leads(_) if is_followed(heard, after) => self.contacts.hears_leader(ticks),
            News::PreVote => {
                let grants = |output: &Output<M>| matches!(output, Output::Send(Envelope { to, message: Message::PreVoteReply { granted: true, .. }, .. }) if *to == from);
                if outputs.iter().any(grants) {
                    self.contacts.is_loyal(node, from, ticks, shortest)?;
                }
            }
            News::Vote if after.term > before.term && after.term == heard.term => {
                self.contacts.is_loyal(node, from, ticks, shortest)?;
                // A leader for which no time has passed has had no reason to step down.
                if before.role == RoleName::Leader && told == 0 {
                    let message =
                        format!("server {node} leads, but steps down for {from}, which asks for votes");
                    return violated(Oracle::L4, message);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// L5, for a leader whose disk stalls.
    fn yields_when_stalled(
        &mut self,
        node: NodeId,
        after: &Vitals,
        ticks: u64,
        knobs: &Knobs,
        (membership, stuck): (&Membership, u8),
    ) -> Judgement {
        let could_lead = |voter: NodeId| {
            voter != node
                && stuck & bit(place_of(voter)) == 0
                && !membership.is_witness(voter)
                && self
                    .contacts
                    .has_just_heard(voter, ticks, knobs.election_timeout_min_ticks)
        };
        let outstays = after.role == RoleName::Leader
            && self.backlog.stalls(ticks, knobs.election_timeout_max_ticks)
            && membership.voters().chain(membership.outgoing()).any(could_lead);
        self.backlog
            .yields_when_stalled(node, ticks, knobs.heartbeat_ticks, outstays)
    }

    /// Takes note of what waits for the disk, and of what no longer waits.
    fn wait<M: raft_core::replica::StateMachine>(
        &mut self,
        occasion: Occasion,
        after: &Vitals,
        ticks: u64,
        outputs: &[Output<M>],
        persists_at_once: bool,
    ) {
        let mut due = occasion.message.and_then(|heard| owed(heard, after));
        let owes_an_answer = self.wakeups.owes_an_answer() && occasion.persisted.is_some();
        if let Some(ticket) = occasion.persisted {
            self.wakeups.told(ticket.value());
            self.backlog.told(ticket.value());
        }
        for output in outputs {
            match output {
                Output::Persist(persist) if persist.sync => {
                    self.wakeups.issued(persist.ticket.value());
                    self.backlog.issued(persist.ticket.value(), ticks);
                    if persists_at_once {
                        self.wakeups.told(persist.ticket.value());
                        self.backlog.told(persist.ticket.value());
                    }
                }
                Output::Send(envelope) if due.is_some() || owes_an_answer => {
                    let Some(answer) = answer_of(&envelope.message) else {
                        continue;
                    };
                    due.take_if(|(to, awaited, _)| (*to, *awaited) == (envelope.to, answer));
                    if owes_an_answer {
                        self.wakeups.answers(envelope.to, answer);
                    }
                }
                _ => {}
            }
        }
        if let Some((to, answer, term)) = due {
            self.wakeups.owes(to, answer, term);
        }
    }
}

fn is_write<M: raft_core::replica::StateMachine>(output: &Output<M>) -> bool {
    matches!(output, Output::Persist(_))
}

fn is_vote<M: raft_core::replica::StateMachine>(output: &Output<M>) -> bool {
    matches!(output, Output::Send(envelope) if envelope.message == Message::VoteReply { granted: true })
}

/// Whether the leader that sent the message is the one that the server follows now.
fn is_followed(heard: Heard, after: &Vitals) -> bool {
    after.role == RoleName::Follower && after.leader == Some(heard.from) && after.term == heard.term
}

/// Returns the answer that a message must get, sooner or later.
fn owed(heard: Heard, after: &Vitals) -> Option<(NodeId, Answer, Term)> {
    let answer = match heard.news {
        News::Leads(answer) if is_followed(heard, after) => answer?,
        News::PreVote if after.role != RoleName::Joining => Answer::PreVote,
        News::Vote if after.role != RoleName::Joining && after.term == heard.term => Answer::Vote,
        _ => return None,
    };
    Some((heard.from, answer, after.term))
}

fn answer_of(message: &Message) -> Option<Answer> {
    match message {
        Message::HeartbeatReply { .. } => Some(Answer::Heartbeat),
        Message::AppendReply { .. } => Some(Answer::Append),
        Message::PreVoteReply { .. } => Some(Answer::PreVote),
        Message::VoteReply { .. } => Some(Answer::Vote),
        _ => None,
    }
}

/// L10: what a durable write must lead to, besides the messages that waited for it.
fn wakes_up<W: Workload>(server: &Server<W>, after: &Vitals) -> Judgement {
    let Some(replica) = &server.replica else {
        return Ok(());
    };
    let (node, raft) = (server.node, replica.raft());
    if server.disk_failed || !server.conduct.wakeups.is_up_to_date() {
        return Ok(());
    }
    // A server that has halted has a reason, which oracle S26 judges.
    let is_applied = after.applied >= after.commit || server.stuck_since.is_some();
    concluded(node, "has not applied what is committed", is_applied)?;
    match after.role {
        RoleName::Leader => {
            let held = |voter: NodeId| match voter == node {
                true => after.durable,
                false => raft.progress(voter).and_then(|peer| peer.matched),
            };
            let reached = raft.membership().quorum_index(held);
            let is_own =
                reached.and_then(|reached| raft.log_id(reached)).map(|id| id.term) == Some(after.term);
            let is_committed = !is_own || after.commit >= reached;
            concluded(node, "has not committed what a quorum holds", is_committed)
        }
        RoleName::Candidate => {
            let (term, votes) = server.conduct.votes;
            let agrees =
                |voter: NodeId| voter == node || (term == after.term && votes & bit(place_of(voter)) != 0);
            let has_won = raft.membership().has_quorum(agrees);
            concluded(node, "does not lead although a quorum has voted for it", !has_won)
        }
        _ => Ok(()),
    }
}
