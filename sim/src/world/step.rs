//! One step of one server: advance its clock, feed it, drain it, judge it, and carry out what it asks for.

use raft_core::replica::{Input, Output, Replica};
use raft_core::{Entry, Envelope, Identity, Message, NodeId, Persist, RoleName, Setup, Ticket, Vitals};
use raft_core::{GroupId, Membership};

use super::{Event, HostCommand, Load, Oracles, Simulation, core_violation, place_of};
use crate::coverage::Probe;
use crate::network::Fate;
use crate::oracle::commit::{Step, Verifies};
use crate::oracle::election::terms_grow;
use crate::oracle::{Judgement, Oracle, Violation, apply, commit, log, violated};
use crate::report::Place;
use crate::witness::Witness;
use crate::workload::Workload;

pub(super) type MachineOf<W> = Witness<<W as Workload>::Machine>;
pub(super) type OutputOf<W> = Output<MachineOf<W>>;
pub(super) type InputOf<W> = Input<MachineOf<W>>;

/// What an input lets the oracles check after the step.
#[derive(Clone, Copy, Default)]
struct Given {
    /// How far a leader's message verifies the log.
    verifies: Option<Verifies>,
    /// Who acknowledged something.
    acknowledged_by: Option<NodeId>,
}

impl Given {
    fn of(envelope: &Envelope) -> Self {
        let acknowledges = matches!(
            envelope.message,
            Message::AppendReply { .. } | Message::SnapshotReply { .. }
        );
        Self {
            verifies: Verifies::of(envelope),
            acknowledged_by: acknowledges.then_some(envelope.from),
        }
    }
}

impl<W: Workload> Simulation<'_, W> {
    /// A server starts from what its disk holds.
    pub(super) fn start(&mut self, cause: u64, at: usize) -> Judgement {
        let bootstrap = Membership::of_voters((1..=self.servers.len() as u64).map(NodeId::new));
        let Some(server) = self
            .servers
            .get_mut(at)
            .filter(|server| !server.is_running() && !server.retired)
        else {
            return Ok(());
        };
        server.boot += 1;
        let image = server.disk.durable();
        log::restored(&mut self.oracles.facts, image)?;
        let setup = Setup {
            identity: Identity {
                group: GroupId::new(1),
                node: server.node,
                incarnation: server.incarnation,
                boot: server.boot,
            },
            config: self.schedule.knobs.config(self.schedule.seed),
            bootstrap,
            durable: image.to_durable(),
        };
        let (is_blank, snapshot) = (
            image.is_empty(),
            image.snapshot.as_ref().map(|(_, bytes)| bytes.clone()),
        );
        let from_snapshot = snapshot.is_some();
        let machine = Witness::new(self.workload.machine());
        let replica = Replica::new(setup, machine, snapshot).map_err(|error| Violation {
            oracle: Oracle::S22,
            message: format!("server {} cannot start from its disk: {error}", server.node),
        })?;
        server.vitals = replica.raft().vitals();
        server.boot_ticks = server.clock.ticks(self.now);
        server.ticks_told = 0;
        server.wake_at = None;
        server.disk_failed = false;
        let (node, boot, vitals) = (server.node, server.boot, server.vitals);
        self.oracles
            .commits
            .restarted(&mut self.oracles.facts, node, at, &vitals, replica.raft())?;
        apply::applied(
            &self.oracles.facts,
            node,
            vitals.applied,
            replica.machine().history(),
        )?;
        server.replica = Some(replica);
        self.hash_event(1, at as u64);
        if self.tells() {
            self.tell(
                cause,
                Place::Server(node),
                "start",
                format!("boot {boot}, {vitals:?}"),
            );
        }
        if boot > 1 {
            self.happened(Probe::Restart, Some(at));
            for (probe, happened) in [
                (Probe::RestartBlank, is_blank),
                (Probe::RestartFromSnapshot, from_snapshot),
            ] {
                if happened {
                    self.happened(probe, Some(at));
                }
            }
        }
        self.step(at, None, Given::default())
    }

    /// A server's deadline may have been reached.
    pub(super) fn wake(&mut self, cause: u64, at: usize, boot: u64) -> Judgement {
        let Some(server) = self.servers.get_mut(at) else {
            return Ok(());
        };
        if !server.is_boot(boot) || server.wake_at != Some(self.now) {
            return Ok(());
        }
        server.wake_at = None;
        if server.pauses > 0 {
            server.missed.push_back(Event::Wake { server: at, boot });
            return Ok(());
        }
        let due = server
            .replica
            .as_ref()
            .and_then(|replica| replica.raft().next_deadline());
        let ticks = server.clock.ticks(self.now).saturating_sub(server.boot_ticks);
        if due.is_none_or(|due| due.value() > ticks) {
            self.reschedule(at);
            return Ok(());
        }
        self.hash_event(2, at as u64);
        if self.tells() {
            self.tell(
                cause,
                Place::Server(NodeId::new(at as u64 + 1)),
                "wake",
                format!("tick {ticks}"),
            );
        }
        self.step(at, None, Given::default())
    }

    /// A message arrives.
    pub(super) fn deliver(&mut self, cause: u64, envelope: Envelope) -> Judgement {
        let (from, to) = (place_of(envelope.from), place_of(envelope.to));
        if self.network.is_lost_at_delivery(from, to) {
            self.happened(Probe::MessageCut, Some(to));
            return Ok(());
        }
        if self.network.is_held(from, to) {
            self.happened(Probe::MessageHeld, Some(to));
            self.held.push(envelope);
            return Ok(());
        }
        let Some(server) = self.servers.get_mut(to) else {
            return Ok(());
        };
        if !server.is_running() {
            self.happened(Probe::MessageToTheDead, Some(to));
            return Ok(());
        }
        if server.pauses > 0 {
            server.missed.push_back(Event::Deliver { envelope });
            return Ok(());
        }
        self.hash_event(3, (from * 8 + to) as u64);
        self.hash
            .word(envelope.term.value() << 8 | envelope.message.name().len() as u64);
        if self.tells() {
            self.tell(
                cause,
                Place::Server(envelope.to),
                "receive",
                crate::report::describe(&envelope),
            );
        }
        let given = Given::of(&envelope);
        self.step(to, Some(Input::Receive(envelope)), given)
    }

    /// A sync ends, whether or not the process is there to hear of it.
    pub(super) fn synced(&mut self, cause: u64, at: usize, boot: u64, ticket: Ticket) -> Judgement {
        let Some(server) = self.servers.get_mut(at) else {
            return Ok(());
        };
        if !server.is_boot(boot) || server.disk_failed {
            return Ok(());
        }
        let term = server.disk.durable().hard_state.term;
        let (news, next) = server.disk.synced(self.now, &self.disk_weather, ticket);
        terms_grow(
            server.node,
            "on its disk",
            term,
            server.disk.durable().hard_state.term,
        )?;
        let (node, paused) = (server.node, server.pauses > 0);
        if let Some(sync) = next {
            if sync.stalled {
                self.happened(Probe::DiskStall, Some(at));
            }
            self.push(
                sync.done_at,
                Event::Synced {
                    server: at,
                    boot,
                    ticket: sync.ticket,
                },
            );
        }
        if !news {
            return Ok(());
        }
        self.hash_event(4, at as u64);
        if self.tells() {
            self.tell(
                cause,
                Place::Server(node),
                "synced",
                format!("up to ticket {ticket}"),
            );
        }
        if paused {
            if let Some(server) = self.servers.get_mut(at) {
                server.missed.push_back(Event::Persisted {
                    server: at,
                    boot,
                    ticket,
                });
            }
            return Ok(());
        }
        self.persisted(at, boot, ticket)
    }

    pub(super) fn persisted(&mut self, at: usize, boot: u64, ticket: Ticket) -> Judgement {
        match self.servers.get_mut(at) {
            Some(server) if server.is_boot(boot) && server.pauses > 0 => {
                server.missed.push_back(Event::Persisted {
                    server: at,
                    boot,
                    ticket,
                });
                Ok(())
            }
            Some(server) if server.is_boot(boot) && !server.disk_failed => {
                self.step(at, Some(Input::Persisted(ticket)), Given::default())
            }
            _ => Ok(()),
        }
    }

    /// Entries have been read back.
    pub(super) fn loaded(&mut self, cause: u64, at: usize, boot: u64, load: Load) -> Judgement {
        let Some(server) = self.servers.get_mut(at).filter(|server| server.is_boot(boot)) else {
            return Ok(());
        };
        if server.pauses > 0 {
            server.missed.push_back(Event::Loaded {
                server: at,
                boot,
                load,
            });
            return Ok(());
        }
        let mut bytes = 0_usize;
        let wanted = server.disk.written().entries();
        let entries: Vec<Entry> = wanted
            .skip_while(|entry| entry.id.index < load.first)
            .take_while(|entry| {
                let is_first = bytes == 0;
                bytes = bytes.saturating_add(entry.cost_bytes());
                entry.id.index <= load.last && (is_first || bytes <= load.max_bytes)
            })
            .cloned()
            .collect();
        // Entries that were compacted or truncated in the meantime are simply not there.
        let entries = if entries.first().is_some_and(|entry| entry.id.index == load.first) {
            entries
        } else {
            Vec::new()
        };
        let node = server.node;
        self.hash_event(5, at as u64);
        if self.tells() {
            self.tell(
                cause,
                Place::Server(node),
                "loaded",
                format!("{} entries from {}", entries.len(), load.first),
            );
        }
        self.happened(Probe::LoadEntries, Some(at));
        self.step(
            at,
            Some(Input::EntriesLoaded {
                ticket: load.ticket,
                entries,
            }),
            Given::default(),
        )
    }

    /// A server is told something by its host.
    pub(super) fn command(&mut self, cause: u64, at: usize, command: HostCommand) -> Judgement {
        let Some(server) = self.servers.get_mut(at).filter(|server| server.is_running()) else {
            return Ok(());
        };
        if server.pauses > 0 {
            server.missed.push_back(Event::Command { server: at, command });
            return Ok(());
        }
        let node = server.node;
        self.hash_event(6, at as u64);
        if self.tells() {
            self.tell(cause, Place::Server(node), "command", format!("{command:?}"));
        }
        let input = match command {
            HostCommand::Campaign => Input::Campaign,
            HostCommand::TakeSnapshot => Input::TakeSnapshot,
        };
        self.step(at, Some(input), Given::default())
    }

    /// A server's disk reports a failure: it must fall silent.
    pub(super) fn disk_fails(&mut self, at: usize, boot: u64) -> Judgement {
        let Some(server) = self.servers.get_mut(at).filter(|server| server.is_boot(boot)) else {
            return Ok(());
        };
        server.disk_failed = true;
        self.hash_event(7, at as u64);
        self.step(at, Some(Input::PersistFailed), Given::default())
    }

    /// A request reaches a replica.
    pub(super) fn step_request(&mut self, at: usize, input: InputOf<W>) -> Judgement {
        self.step(at, Some(input), Given::default())
    }

    fn step(&mut self, at: usize, input: Option<InputOf<W>>, given: Given) -> Judgement {
        let now = self.now;
        let Some(server) = self.servers.get_mut(at) else {
            return Ok(());
        };
        let Some(replica) = server.replica.as_mut() else {
            return Ok(());
        };
        let ticks = server.clock.ticks(now).saturating_sub(server.boot_ticks);
        if ticks > server.ticks_told {
            replica.step(Input::Tick(ticks - server.ticks_told));
            server.ticks_told = ticks;
        }
        if let Some(input) = input {
            replica.step(input);
        }
        let mut outputs = std::mem::take(&mut self.outputs);
        replica.drain(&mut outputs);
        let (before, after) = (server.vitals, replica.raft().vitals());
        server.vitals = after;
        self.judge(at, &before, &after, given, &outputs)?;
        self.notice(at, &before, &after);
        let carried_out = self.carry_out(at, &before, &mut outputs);
        outputs.clear();
        self.outputs = outputs;
        carried_out?;
        self.reschedule(at);
        Ok(())
    }

    /// Lets every oracle look at the step.
    fn judge(
        &mut self,
        at: usize,
        before: &Vitals,
        after: &Vitals,
        given: Given,
        outputs: &[OutputOf<W>],
    ) -> Judgement {
        let Some(server) = self.servers.get(at) else {
            return Ok(());
        };
        let Some(replica) = &server.replica else {
            return Ok(());
        };
        let (node, raft) = (server.node, replica.raft());
        raft.check_invariants()
            .map_err(|error| core_violation(node, &error))?;
        let Oracles {
            facts,
            elections,
            commits,
            snapshots,
            ..
        } = &mut self.oracles;
        for output in outputs {
            if let Output::Persist { persist, .. } = output {
                log::issued(facts, node, before, after, persist, raft)?;
                if let Some(meta) = persist
                    .snapshot
                    .as_ref()
                    .filter(|meta| Some(meta.last.index) > before.applied)
                {
                    commits.installs(node, meta.last.index);
                }
            }
        }
        let servers = &self.servers;
        let image = |node: NodeId| servers.get(place_of(node)).map(|server| server.disk.durable());
        let step = Step {
            node,
            before,
            after,
            log: raft,
            membership: raft.membership(),
            disk: server.disk.written(),
        };
        commits.stepped(facts, &step, given.verifies, image)?;
        for output in outputs {
            if let Output::Persist { persist, .. } = output {
                log::snapshot_issued(facts, node, persist)?;
            }
        }
        if let Some(peer) = given.acknowledged_by.filter(|_| after.role == RoleName::Leader)
            && let (Some(progress), Some(image)) = (raft.progress(peer), image(peer))
        {
            let id = progress.matched.and_then(|matched| raft.log_id(matched));
            commit::matched(facts, node, after.term, peer, id, image)?;
        }
        if before == after {
            return Ok(());
        }
        terms_grow(node, "in memory", before.term, after.term)?;
        log::leader_grows(node, before, after)?;
        if after.role == RoleName::Leader && (before.role != RoleName::Leader || before.term != after.term) {
            elections.elected(facts, node, after.term, raft)?;
        }
        if before.applied != after.applied {
            apply::applied(facts, node, after.applied, replica.machine().history())?;
        }
        for output in outputs {
            if let Output::SnapshotInstalled { meta } = output {
                snapshots.installed(facts, node, meta, replica.machine().history())?;
            }
        }
        let of = |id: Option<raft_core::LogId>| id.map_or(0, |id| id.term.value() << 40 | id.index.value());
        for word in [
            (after.role as u64) << 56 | (at as u64) << 48 | after.term.value(),
            of(after.last),
            crate::oracle::count(after.commit) << 32 | crate::oracle::count(after.applied),
        ] {
            self.hash.word(word);
        }
        Ok(())
    }

    /// Counts what the step was, and lets triggers strike.
    fn notice(&mut self, at: usize, before: &Vitals, after: &Vitals) {
        if before == after {
            return;
        }
        if self.tells() && (before.role, before.term) != (after.role, after.term) {
            let detail = format!("{:?} of term {}", after.role, after.term);
            self.tell(
                self.event,
                Place::Server(NodeId::new(at as u64 + 1)),
                "role",
                detail,
            );
        }
        if self.tells() && before.commit != after.commit {
            let detail = format!("{} (last {:?})", crate::oracle::count(after.commit), after.last);
            self.tell(
                self.event,
                Place::Server(NodeId::new(at as u64 + 1)),
                "commit",
                detail,
            );
        }
        if before.role == RoleName::Joining && after.role != RoleName::Joining {
            self.happened(Probe::LeaveJoining, Some(at));
        }
        if before.role == RoleName::Leader && (after.role != RoleName::Leader || before.term != after.term) {
            self.happened(Probe::StepDown, Some(at));
        }
        if (before.role, before.term) != (after.role, after.term) {
            match after.role {
                RoleName::PreCandidate => self.happened(Probe::BecomePreCandidate, Some(at)),
                RoleName::Candidate => self.happened(Probe::BecomeCandidate, Some(at)),
                RoleName::Leader => {
                    let leaders = self.servers.iter().filter(|server| server.leads()).count();
                    if leaders > 1 {
                        self.happened(Probe::TwoLeaders, Some(at));
                    }
                    self.happened(Probe::BecomeLeader, Some(at));
                }
                RoleName::Joining | RoleName::Follower => {}
            }
        }
        if after.role == RoleName::Leader && before.commit != after.commit {
            let first = before
                .commit
                .map_or(raft_core::Index::FIRST, raft_core::Index::next);
            let earlier = self
                .oracles
                .facts
                .committed(first)
                .is_some_and(|committed| committed.id.term < after.term);
            if earlier {
                self.happened(Probe::CommitOfEarlierTerm, Some(at));
            }
            self.happened(Probe::LeaderCommits, Some(at));
        }
    }

    fn carry_out(&mut self, at: usize, before: &Vitals, outputs: &mut Vec<OutputOf<W>>) -> Judgement {
        for output in outputs.drain(..) {
            let Some(server) = self.servers.get_mut(at).filter(|server| server.is_running()) else {
                // A trigger killed it: the rest of its duties die with it.
                self.happened(Probe::CrashMidStep, Some(at));
                return Ok(());
            };
            match &mut server.dying {
                Some((0, fault)) => {
                    let fault = *fault;
                    self.crash_by(at, fault);
                    self.happened(Probe::CrashMidStep, Some(at));
                    return Ok(());
                }
                Some((left, _)) => *left -= 1,
                None => {}
            }
            self.carry_out_one(at, before, output)?;
        }
        Ok(())
    }

    fn carry_out_one(&mut self, at: usize, before: &Vitals, output: OutputOf<W>) -> Judgement {
        match output {
            Output::Persist { persist, snapshot } => self.persist(at, before, persist, snapshot),
            Output::Send(envelope) => self.send(at, envelope),
            Output::LoadEntries {
                ticket,
                first,
                last,
                max_bytes,
            } => {
                let Some(server) = self.servers.get(at) else {
                    return Ok(());
                };
                let (boot, load) = (
                    server.boot,
                    Load {
                        ticket,
                        first,
                        last,
                        max_bytes,
                    },
                );
                self.push_after(
                    self.disk_weather.load,
                    Event::Loaded {
                        server: at,
                        boot,
                        load,
                    },
                );
                Ok(())
            }
            Output::SnapshotInstalled { meta } => {
                let Some(server) = self.servers.get(at) else {
                    return Ok(());
                };
                if server.vitals.last > Some(meta.last) {
                    self.happened(Probe::KeepSuffix, Some(at));
                }
                self.happened(Probe::InstallSnapshot, Some(at));
                Ok(())
            }
            Output::SnapshotRefused { from, error } => {
                let node = NodeId::new(at as u64 + 1);
                violated(
                    Oracle::S17,
                    format!("server {node} cannot restore the snapshot of server {from}: {error}"),
                )
            }
            Output::RoleChanged { .. } | Output::LeaderChanged { .. } | Output::MembershipChanged { .. } => {
                Ok(())
            }
            Output::Done {
                id,
                at: log_id,
                response,
            } => self.done(at, id, log_id, response),
            Output::Rejected { id, reason, .. } => self.turned_down(at, id.value(), reason),
            Output::ReadRejected { id, reason } => self.turned_down(at, id.value(), reason),
            Output::Superseded { id } => self.superseded(at, id),
            Output::Unknown { id } => self.unknown(at, id),
            Output::Answered { id, index, answer } => self.answered(at, id, index, answer),
        }
    }

    fn persist(
        &mut self,
        at: usize,
        before: &Vitals,
        persist: Persist,
        snapshot: Option<raft_core::Payload>,
    ) -> Judgement {
        let Some(server) = self.servers.get_mut(at) else {
            return Ok(());
        };
        if server.disk_failed {
            return Ok(());
        }
        let (node, boot, ticket) = (server.node, server.boot, persist.ticket);
        if let Some(meta) = &persist.snapshot {
            let Some(bytes) = &snapshot else {
                return violated(
                    Oracle::S17,
                    format!(
                        "server {node} writes the snapshot up to {} without its bytes",
                        meta.last
                    ),
                );
            };
            self.oracles
                .snapshots
                .written(&self.oracles.facts, node, meta, bytes)?;
        }
        let is_own_snapshot = persist
            .snapshot
            .as_ref()
            .is_some_and(|meta| Some(meta.last.index) <= before.applied);
        let noted = [
            (Probe::IssueVote, persist.hard_state.is_some()),
            (Probe::IssueEntries, !persist.entries.is_empty()),
            (Probe::IssueTruncate, persist.truncate_from.is_some()),
            (Probe::TakeSnapshot, is_own_snapshot),
            (Probe::Compact, persist.compact_to.is_some()),
        ];
        if self.trace.is_some() {
            let detail = crate::report::describe_persist(&persist);
            self.tell(self.event, Place::Server(node), "persist", detail);
        }
        let Some(server) = self.servers.get_mut(at) else {
            return Ok(());
        };
        if let Some(sync) = server.disk.issue(self.now, &self.disk_weather, persist, snapshot) {
            if sync.stalled {
                self.happened(Probe::DiskStall, Some(at));
            }
            self.push(
                sync.done_at,
                Event::Synced {
                    server: at,
                    boot,
                    ticket,
                },
            );
        }
        for (probe, happened) in noted {
            if happened {
                self.happened(probe, Some(at));
            }
        }
        Ok(())
    }

    fn send(&mut self, at: usize, envelope: Envelope) -> Judgement {
        let Some(server) = self.servers.get(at) else {
            return Ok(());
        };
        if server.disk_failed {
            let message = format!(
                "server {} sends {} after its disk failed",
                server.node,
                envelope.message.name()
            );
            return violated(Oracle::S13, message);
        }
        self.oracles
            .promises
            .sent(&self.oracles.facts, &envelope, server.disk.durable())?;
        if matches!(envelope.message, Message::SnapshotChunk { .. }) {
            self.happened(Probe::SendSnapshot, Some(at));
        }
        match self.network.fate(self.now, at, place_of(envelope.to)) {
            Fate::Lost => self.happened(Probe::MessageLost, Some(at)),
            Fate::Cut => self.happened(Probe::MessageCut, Some(at)),
            Fate::Held => {
                self.happened(Probe::MessageHeld, Some(at));
                self.held.push(envelope);
            }
            Fate::Arrives {
                at: arrives,
                again,
                reordered,
            } => {
                if reordered {
                    self.happened(Probe::MessageReordered, Some(at));
                }
                if let Some(again) = again {
                    self.happened(Probe::MessageDuplicated, Some(at));
                    self.push(
                        again,
                        Event::Deliver {
                            envelope: envelope.clone(),
                        },
                    );
                }
                self.push(arrives, Event::Deliver { envelope });
            }
        }
        Ok(())
    }

    /// Sees to it that the server is woken at its next deadline.
    pub(super) fn reschedule(&mut self, at: usize) {
        let Some(server) = self.servers.get_mut(at) else {
            return;
        };
        let Some(deadline) = server
            .replica
            .as_ref()
            .and_then(|replica| replica.raft().next_deadline())
        else {
            return;
        };
        let due = server.clock.when(server.boot_ticks + deadline.value());
        let due = due.max(self.now + crate::nanos::Nanos::new(1));
        if server.wake_at.is_none_or(|wake_at| due < wake_at) {
            server.wake_at = Some(due);
            let boot = server.boot;
            self.push(due, Event::Wake { server: at, boot });
        }
    }
}
