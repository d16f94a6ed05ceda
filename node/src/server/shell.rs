//! The loop around the replica, on one screen: receive → step → persist → send → apply → answer.
//!
//! [`Replica`] makes all decisions; the shell only gives it a clock, messages and a disk. It runs on a thread of its
//! own, so that uploads cannot delay heartbeats.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use raft_core::replica::{Input, Output, Replica, StateMachine};
use raft_core::{
    Envelope, Event, LoadEntries, NodeId, Notice, ProposalId, ReadId, ReadMode, RoleName, Term, Tick, Ticket,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::founding::{Founding, agreed_picture};
use super::handle::{ClientRequest, Contact, RequestFailure, SILENCED, Standing};
use super::progress::{LONGEST_SLEEP, Progress};
use super::storage::{Completion, Disk, Job, SnapshotJob};
use crate::ledger::{Answer, Ledger, Outcome};
use crate::settings::TICK;
use crate::transport::{Greeting, LinkEvent, Links};

/// How many inputs of one kind are taken before the outputs are carried out: commands that are proposed together are
/// replicated together.
const BATCH: usize = 256;

/// The sources of the shell's inputs.
pub(super) struct Mailboxes {
    pub(super) disk: mpsc::UnboundedReceiver<Completion>,
    pub(super) peers: mpsc::Receiver<Envelope>,
    pub(super) links: mpsc::Receiver<LinkEvent>,
    pub(super) clients: mpsc::Receiver<ClientRequest>,
    pub(super) stop: oneshot::Receiver<()>,
}

/// What wakes the shell.
enum Wake {
    Disk(Completion),
    Peer(Envelope),
    Link(LinkEvent),
    Client(ClientRequest),
    Deadline,
    Stop,
}

/// The replica's host.
pub(super) struct Shell {
    replica: Replica<Ledger>,
    disk: Disk,
    links: Links,
    mail: Mailboxes,
    began: Instant,
    last_id: u64,
    proposals: HashMap<ProposalId, oneshot::Sender<Result<Outcome, RequestFailure>>>,
    reads: HashMap<ReadId, oneshot::Sender<Result<Answer, RequestFailure>>>,
    founding: Founding,
    directory: Arc<BTreeMap<NodeId, Contact>>,
    disk_failure: Option<Arc<str>>,
    progress: Arc<Progress>,
    /// The ticket of the last write that the disk was given.
    writing: Option<Ticket>,
    standing: watch::Sender<Standing>,
}

impl Shell {
    /// Makes a shell that has not been started.
    pub(super) fn new(
        replica: Replica<Ledger>,
        disk: Disk,
        mail: Mailboxes,
        founding: Founding,
        own: (NodeId, Contact),
        progress: Arc<Progress>,
    ) -> (Self, watch::Receiver<Standing>) {
        let directory = Arc::new(BTreeMap::from([own]));
        let standing = Standing {
            vitals: replica.raft().vitals(),
            directory: Arc::clone(&directory),
            linked: 0,
            ledger_time: replica.machine().now(),
            denied_picture: agreed_picture(replica.machine()),
            fenced: false,
            silenced: false,
            halted: replica.raft().halted(),
            disk_failure: None,
        };
        let (sender, receiver) = watch::channel(standing);
        let shell = Self {
            replica,
            disk,
            links: Links::default(),
            mail,
            began: Instant::now(),
            last_id: 0,
            proposals: HashMap::new(),
            reads: HashMap::new(),
            founding,
            directory,
            disk_failure: None,
            progress,
            writing: None,
            standing: sender,
        };
        (shell, receiver)
    }

    /// Runs until it is told to stop.
    pub(super) async fn run(mut self) {
        let mut outputs = Vec::new();
        loop {
            let event = self.receive().await;
            self.progress.turn();
            self.advance_clock();
            if matches!(event, Wake::Stop) {
                return;
            }
            self.step(event);
            self.step_everything_waiting();
            self.found();
            self.replica.drain(&mut outputs);
            for output in outputs.drain(..) {
                self.carry_out(output);
            }
            self.publish();
        }
    }

    /// Waits for an event, or for the core's next deadline.
    async fn receive(&mut self) -> Wake {
        let longest = Instant::now() + LONGEST_SLEEP;
        let deadline = self
            .replica
            .raft()
            .next_deadline()
            .map(|tick| self.instant_of(tick));
        let wake = tokio::time::sleep_until(deadline.map_or(longest, |deadline| deadline.min(longest)));
        // The disk's completions come first, because everything else waits for them.
        tokio::select! {
            biased;
            _ = &mut self.mail.stop => Wake::Stop,
            Some(completion) = self.mail.disk.recv() => Wake::Disk(completion),
            Some(event) = self.mail.links.recv() => Wake::Link(event),
            Some(envelope) = self.mail.peers.recv() => Wake::Peer(envelope),
            Some(request) = self.mail.clients.recv() => Wake::Client(request),
            () = wake => Wake::Deadline,
        }
    }

    /// Takes everything else that has arrived, without waiting, so that one sync and one packet serve as many requests
    /// as possible.
    fn step_everything_waiting(&mut self) {
        for _ in 0..BATCH {
            let Ok(completion) = self.mail.disk.try_recv() else {
                break;
            };
            self.step(Wake::Disk(completion));
        }
        for _ in 0..BATCH {
            let Ok(envelope) = self.mail.peers.try_recv() else {
                break;
            };
            self.step(Wake::Peer(envelope));
        }
        for _ in 0..BATCH {
            let Ok(request) = self.mail.clients.try_recv() else {
                break;
            };
            self.step(Wake::Client(request));
        }
    }

    fn step(&mut self, event: Wake) {
        match event {
            Wake::Disk(Completion::Persisted(ticket)) => {
                self.progress.disk(true, self.writing > Some(ticket));
                self.replica.step(Event::Persisted(ticket));
            }
            Wake::Disk(Completion::Loaded { ticket, entries }) => {
                self.replica.step(Event::EntriesLoaded {
                    ticket,
                    entries: entries.into(),
                });
            }
            Wake::Disk(Completion::SnapshotWritten(last)) => {
                self.replica.step(Input::SnapshotWritten { last });
            }
            Wake::Disk(Completion::SnapshotNotWritten(last, error)) => {
                let error = crate::with_causes(&error);
                tracing::error!(
                    "the snapshot up to {last} cannot be written: {error}. This server goes on, and its log grows; look \
                     for a full or failing disk"
                );
                self.replica.step(Input::SnapshotNotWritten { last });
            }
            Wake::Disk(Completion::Failed(error)) => {
                let error = crate::with_causes(&error);
                tracing::error!(
                    "the disk failed, and its contents are unknown: {error}. This server takes no further \
                     part until it is restarted; look for a full or failing disk first"
                );
                self.disk_failure = Some(error.into());
                self.replica.step(Event::PersistFailed);
            }
            Wake::Peer(envelope) => self.replica.step(Event::Receive(envelope)),
            Wake::Link(event) => self.note_link(event),
            Wake::Client(ClientRequest::Propose {
                command,
                condition,
                answer,
            }) => {
                if condition.is_some_and(|holds| !holds(self.replica.machine())) {
                    // A client that has given up no longer listens.
                    let _ = answer.send(Err(RequestFailure::NotAdmitted));
                    return;
                }
                let id = ProposalId::new(self.next_id());
                self.proposals.insert(id, answer);
                self.replica.step(Event::Propose { id, payload: command });
            }
            Wake::Client(ClientRequest::Read { query, answer }) => {
                let id = ReadId::new(self.next_id());
                self.reads.insert(id, answer);
                let mode = ReadMode::Quorum;
                self.replica.step(Input::Read { id, mode, query });
            }
            Wake::Client(ClientRequest::Peek { query, answer }) => {
                let _ = answer.send(Ok(self.replica.machine().query(query)));
            }
            Wake::Deadline | Wake::Stop => {}
        }
    }

    fn carry_out(&mut self, output: Output<Ledger>) {
        match output {
            Output::Persist(persist) => {
                self.writing = Some(persist.ticket);
                self.progress.disk(false, true);
                self.disk.queue(Job::Persist(persist));
            }
            Output::WriteSnapshot { last, bytes } => {
                self.disk.queue_snapshot(SnapshotJob::Write(last, bytes));
            }
            Output::DiscardSnapshot { last } => self.disk.queue_snapshot(SnapshotJob::Discard(last)),
            Output::Send(envelope) => self.links.send(envelope),
            Output::LoadEntries(LoadEntries {
                ticket,
                first,
                last,
                max_bytes,
            }) => {
                self.disk.queue(Job::Load {
                    ticket,
                    first,
                    last,
                    max_bytes,
                });
            }
            Output::Done { id, response, .. } => self.answer(id, Ok(response)),
            Output::Notice(Notice::Rejected { id, reason, .. }) => self.answer(id, Err(reason.into())),
            Output::Notice(Notice::Superseded { id } | Notice::Unknown { id }) => {
                self.answer(id, Err(RequestFailure::Interrupted))
            }
            Output::Answered { id, answer, .. } => self.answer_read(id, Ok(answer)),
            Output::Notice(Notice::ReadRejected { id, reason }) => self.answer_read(id, Err(reason.into())),
            Output::SnapshotInstalled { meta } => tracing::info!("installed a snapshot up to {}", meta.last),
            Output::SnapshotRefused { from, error } => {
                tracing::error!("the snapshot from {} is invalid: {error}", self.name_of(from));
            }
            // This server does not request any of these yet.
            Output::Changed { .. }
            | Output::Notice(
                Notice::ChangeRejected { .. } | Notice::TransferEnded { .. } | Notice::Trace(_),
            ) => {}
            Output::Notice(Notice::RoleChanged { role, term }) => announce(role, term),
            Output::Notice(Notice::LeaderChanged {
                leader: Some(leader),
                term,
            }) => {
                tracing::info!("term {term}: the leader is {}", self.name_of(leader));
            }
            Output::Notice(Notice::LeaderChanged { leader: None, term }) => {
                tracing::info!("term {term}: no leader is known")
            }
            Output::Notice(Notice::Halted(halted)) => tracing::error!("{halted}"),
            Output::Notice(Notice::MembershipChanged { .. }) => {
                tracing::info!(
                    "the cluster now has {} members",
                    self.replica.raft().membership().len()
                );
            }
        }
    }

    /// Proposes the cluster's first command, if it is still needed.
    fn found(&mut self) {
        let id = ProposalId::new(self.last_id + 1);
        if let Some(command) = self
            .founding
            .command(&self.replica.raft().vitals(), self.replica.machine())
        {
            self.last_id += 1;
            self.replica.step(Event::Propose { id, payload: command });
        }
    }

    fn answer(&mut self, id: ProposalId, result: Result<Outcome, RequestFailure>) {
        // A client that has given up no longer listens, and no one waits for the founding command.
        if let Some(answer) = self.proposals.remove(&id) {
            let _ = answer.send(result);
        }
    }

    fn answer_read(&mut self, id: ReadId, result: Result<Answer, RequestFailure>) {
        if let Some(answer) = self.reads.remove(&id) {
            let _ = answer.send(result);
        }
    }

    fn note_link(&mut self, event: LinkEvent) {
        if let LinkEvent::Up { peer, .. } | LinkEvent::Met { peer } = &event {
            self.on_greeting(peer);
        }
        if let Some(node) = self.links.note(event) {
            self.replica.step(Event::Unreachable(node));
        }
    }

    fn on_greeting(&mut self, peer: &Greeting) {
        if !self.replica.raft().membership().contains(peer.node()) {
            tracing::warn!(
                "{} ({}) holds the cluster key, but is not a member of this cluster: its data folder was created for another address or another list of peers. Start it \
                 with a new data folder, and with the address and the peers that the other servers were first started with",
                peer.server_id.escape_debug(),
                peer.address.escape_debug()
            );
        }
        let contact = Contact {
            server_id: peer.server_id.clone(),
            address: peer.address.clone(),
        };
        if self.directory.get(&peer.node()) != Some(&contact) {
            Arc::make_mut(&mut self.directory).insert(peer.node(), contact);
        }
    }

    fn publish(&mut self) {
        let raft = self.replica.raft();
        let mut vitals = raft.vitals();
        if self.disk_failure.is_some() {
            // It has stopped: whatever its role was, it now has no leader and does not lead.
            (vitals.role, vitals.leader) = (RoleName::Follower, None);
        }
        // Only a follower can be fenced, and asking it costs nothing.
        let fenced = !matches!(vitals.role, RoleName::Leader) && raft.status().fenced;
        let standing = Standing {
            vitals,
            directory: Arc::clone(&self.directory),
            linked: self.links.count(),
            ledger_time: self.replica.machine().now(),
            denied_picture: agreed_picture(self.replica.machine()),
            fenced,
            silenced: raft.hard_state().silenced,
            halted: raft.halted(),
            disk_failure: self.disk_failure.clone(),
        };
        let (was_fenced, was_silenced) = (self.standing.borrow().fenced, self.standing.borrow().silenced);
        if standing.silenced && !was_silenced {
            tracing::error!("{SILENCED}");
        }
        if fenced && !was_fenced {
            tracing::error!(
                "this server is fenced: the cluster has bound it to another data folder, and the present one is new or was replaced. It takes no part, so that it cannot break a \
                 promise made with the old folder; the other servers continue. Restore the old folder and restart"
            );
        }
        self.founding.check_picture(standing.denied_picture);
        self.standing.send_if_modified(|known| {
            let changed = *known != standing;
            *known = standing;
            changed
        });
    }

    fn name_of(&self, node: NodeId) -> String {
        match self.directory.get(&node) {
            Some(contact) => format!(
                "{} ({})",
                contact.server_id.escape_debug(),
                contact.address.escape_debug()
            ),
            None => format!("node {:016x}", node.value()),
        }
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn advance_clock(&mut self) {
        let passed = (self.began.elapsed().as_nanos() / TICK.as_nanos()) as u64;
        let known = self.replica.raft().now().value();
        if passed > known {
            self.replica.step(Event::Tick(passed - known));
        }
    }

    fn instant_of(&self, tick: Tick) -> Instant {
        // Far beyond any deadline that the core asks for, and well within the clock's range.
        const LONGEST: Duration = Duration::from_secs(24 * 3600);
        let since_began = Duration::from_millis(tick.value().saturating_mul(TICK.as_millis() as u64));
        self.began
            .checked_add(since_began)
            .unwrap_or_else(|| Instant::now() + LONGEST)
    }
}

/// Logs the role, in the words that people watch for.
fn announce(role: RoleName, term: Term) {
    match role {
        RoleName::Joining => {
            tracing::info!("term {term}: Joining, until a majority of the servers has answered")
        }
        RoleName::Follower => tracing::info!("term {term}: Follower"),
        RoleName::PreCandidate => {
            tracing::info!("term {term}: no heartbeats; asking for pre-votes before becoming Candidate")
        }
        RoleName::Candidate => tracing::info!("term {term}: Candidate, asking for votes"),
        RoleName::Leader => tracing::info!("term {term}: Leader 🎉"),
    }
}
