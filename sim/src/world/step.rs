//! One step of one server: advance its clock, feed it, drain it, judge it, and carry out its outputs.

use raft_core::replica::{Input, Output, StateMachine};
use raft_core::{Entry, Envelope, Event as CoreEvent, Limited, LogId, Message, NodeId, RoleName, Vitals};

use super::observe::Occasion;
use super::{Event, Oracles, Simulation, core_holds};
use crate::coverage::Probe;
use crate::oracle::commit::{Step, Verifies};
use crate::oracle::election::terms_grow;
use crate::oracle::{Judgement, Oracle, Violation, apply, commit, log, resources, violated};
use crate::places::{node_at, place_of};
use crate::report::Place;
use crate::witness::Witness;
use crate::workload::Workload;

pub(super) type MachineOf<W> = Witness<<W as Workload>::Machine>;
pub(super) type OutputOf<W> = Output<MachineOf<W>>;
pub(super) type InputOf<W> = Input<MachineOf<W>>;

/// What an input lets the oracles check after the step.
#[derive(Clone, Copy, Default)]
pub(super) struct Given {
    /// How far a leader's message verifies the log.
    verifies: Option<Verifies>,
    /// The peer that acknowledged something.
    acknowledged_by: Option<NodeId>,
    /// The server to which an operator wants leadership to be transferred.
    pub(super) asked_to_hand_over: Option<NodeId>,
    /// An operator wants the configuration to be changed.
    pub(super) asked_to_change: Option<Ask>,
    /// The occasion by which the server's conduct is judged.
    occasion: Occasion,
}

/// An operator's request for a change of the configuration.
#[derive(Clone, Copy)]
pub(super) struct Ask {
    /// Whether it is to be made without a healthy quorum as well.
    pub(super) force: bool,
}

impl Given {
    /// An input that comes from no other server.
    pub(super) fn on(occasion: Occasion) -> Self {
        Self {
            occasion,
            ..Self::default()
        }
    }

    pub(super) fn of(envelope: &Envelope) -> Self {
        let acknowledges = matches!(
            envelope.message,
            Message::AppendReply { .. } | Message::SnapshotReply { .. }
        );
        Self {
            verifies: Verifies::of(envelope),
            acknowledged_by: acknowledges.then_some(envelope.from),
            asked_to_hand_over: None,
            asked_to_change: None,
            occasion: Occasion::of(envelope),
        }
    }
}

/// Each limit of the library, and how often it held something back.
type LimitOf = (Probe, fn(&Limited) -> u64);
const LIMITS: &[LimitOf] = &[
    (Probe::MessageLimit, |limited| limited.message_bytes),
    (Probe::WindowLimit, |limited| limited.inflight_messages),
    (Probe::WindowBytesLimit, |limited| limited.inflight_bytes),
    (Probe::ApplyLimit, |limited| limited.apply_bytes),
    (Probe::UncommittedLimit, |limited| limited.uncommitted_bytes),
    (Probe::TailLimit, |limited| limited.tail_bytes),
    (Probe::ProposalLimit, |limited| limited.proposals),
    (Probe::ReadLimit, |limited| limited.reads),
];

pub(super) fn orders_campaign<M: StateMachine>(output: &Output<M>) -> bool {
    matches!(output, Output::Send(envelope) if envelope.message == Message::TimeoutNow)
}

impl<W: Workload> Simulation<'_, W> {
    pub(super) fn step(&mut self, at: usize, input: Option<InputOf<W>>, given: Given) -> Judgement {
        let now = self.now;
        let Some(server) = self.servers.get_mut(at) else {
            return Ok(());
        };
        let told = server.ticks_by(now) - server.ticks_told;
        let Some(replica) = server.replica.as_mut() else {
            return Ok(());
        };
        if told > 0 {
            replica.step(CoreEvent::Tick(told));
            server.ticks_told += told;
        }
        if let Some(wall) = &server.wall {
            replica.step(CoreEvent::WallTime(wall.shows(now)));
        }
        if let Some(input) = input {
            replica.step(input);
        }
        let mut outputs = std::mem::take(&mut self.outputs);
        replica.drain(&mut outputs);
        let (before, after) = (server.vitals, replica.raft().vitals());
        server.vitals = after;
        let was = std::mem::replace(&mut server.configuration, replica.raft().membership_id());
        if outputs.iter().any(orders_campaign) {
            // A server that takes over at a leader's request disturbs every server, as it should. So does a leader with
            // a stalled disk, which steps down that way.
            self.quiet.disturb_all(now);
        }
        self.notice_limits(at);
        self.notice_level(&outputs);
        if !self.judge_writes(at, &before, &after, &outputs)? {
            outputs.clear();
            self.outputs = outputs;
            return Ok(());
        }
        self.judge(at, &before, &after, was, given, &outputs)?;
        self.judge_program(at, &before, &after)?;
        self.observe(at, (&before, &after), given.occasion, told, &outputs)?;
        self.judge_stamp(at, &outputs)?;
        self.keeps_silent(at, &outputs)?;
        self.changes(at, &before, &after)?;
        self.hash_step(at, &before, &after);
        self.notice_configuration(at, &before, &after, was);
        self.notice(at, &before, &after);
        let carried_out = self.carry_out(at, &mut outputs);
        outputs.clear();
        self.outputs = outputs;
        carried_out?;
        if let Some(server) = self.servers.get_mut(at) {
            server.disk.step_ends();
        }
        let index = |vitals: &Vitals| crate::oracle::count(vitals.applied);
        self.applies(at, index(&after).saturating_sub(index(&before)));
        self.note_fed(at);
        self.reschedule(at);
        Ok(())
    }

    /// Counts which limits of the library held something back in this step.
    fn notice_limits(&mut self, at: usize) {
        let Some(server) = self.servers.get_mut(at) else {
            return;
        };
        let Some(replica) = &server.replica else { return };
        let now = replica.raft().limited();
        let before = std::mem::replace(&mut server.limited, now);
        if now == before {
            return;
        }
        for (probe, count) in LIMITS {
            if count(&now) > count(&before) {
                self.happened(*probe, Some(at));
            }
        }
    }

    /// Runs the oracles of the log over the writes of the step, one after another. A server that waits for its writes
    /// has done all of them by the end of the step, and the rest is judged by that. Returns whether the server survives
    /// them.
    fn judge_writes(
        &mut self,
        at: usize,
        before: &Vitals,
        after: &Vitals,
        outputs: &[OutputOf<W>],
    ) -> Result<bool, Violation> {
        let persists_at_once = self.schedule.knobs.persists_at_once;
        let is_judged = !self.budget.is_exceeded();
        let Some(server) = self.servers.get_mut(at) else {
            return Ok(true);
        };
        let Some(replica) = &server.replica else {
            return Ok(true);
        };
        let (node, raft) = (server.node, replica.raft());
        core_holds(node, replica.check_invariants())?;
        // A disk that has lost or refused entries does not show what the leader counts.
        let has_all = !server.has_to_restart() && !self.budget.is_faulty(at);
        if after.role == RoleName::Leader && has_all {
            let is_own = |entry: &&Entry| {
                entry.id.term == after.term
                    && Some(entry.id.index) > after.commit
                    && entry.command().is_some()
            };
            let appended = outputs.iter().filter_map(|output| match output {
                Output::Persist(persist) => Some(&persist.entries),
                _ => None,
            });
            let appended = appended.flat_map(|entries| entries.iter());
            let uncommitted = server.disk.written().entries().chain(appended).filter(is_own);
            let limit = self.schedule.knobs.uncommitted_bytes;
            resources::log_is_bounded(
                node,
                raft.uncommitted_bytes(),
                limit,
                uncommitted.map(Entry::cost_bytes),
            )?;
        }
        let Oracles { facts, commits, .. } = &mut self.oracles;
        for (place, output) in (0..).zip(outputs) {
            let Output::Persist(persist) = output else {
                continue;
            };
            if is_judged {
                let disk = match persists_at_once {
                    true => server.disk.judged(),
                    false => server.disk.written(),
                };
                log::issued(facts, node, before, after, persist, raft, disk)?;
                if let Some(meta) = persist
                    .snapshot
                    .as_ref()
                    .filter(|meta| Some(meta.last.index) > after.applied)
                {
                    commits.installs(node, meta.last.index);
                }
            }
            if !persists_at_once {
                continue;
            }
            if server.full > 0 {
                let fault = server.full_by;
                self.crash_by(at, fault);
                self.happened(Probe::DiskFull, Some(at));
                return Ok(false);
            }
            if let Some((left, fault)) = server.dying
                && left <= place
            {
                if left == place {
                    let snapshot = persist.snapshot.as_ref().and_then(|meta| server.disk.named(meta));
                    server.disk.begin_last_write(persist.clone(), snapshot);
                }
                self.crash_by(at, fault);
                self.happened(Probe::CrashMidStep, Some(at));
                return Ok(false);
            }
            let snapshot = persist.snapshot.as_ref().and_then(|meta| server.disk.named(meta));
            server.disk.look_ahead(persist, snapshot.as_ref());
        }
        Ok(true)
    }

    /// Runs every other oracle over the step.
    fn judge(
        &mut self,
        at: usize,
        before: &Vitals,
        after: &Vitals,
        was: Option<LogId>,
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
        if self.budget.is_exceeded() {
            return Ok(());
        }
        let Oracles { facts, commits, .. } = &mut self.oracles;
        let servers = &self.servers;
        let image = |node: NodeId| servers.get(place_of(node)).map(|server| server.disk.judged());
        let persists_at_once = self.schedule.knobs.persists_at_once;
        let step = Step {
            node,
            before,
            after,
            log: raft,
            configuration: was,
            appended: server.configuration.filter(|_| persists_at_once),
            disk: match persists_at_once {
                true => server.disk.judged(),
                false => server.disk.written(),
            },
        };
        let budget = &self.budget;
        let is_excused = |node: NodeId| budget.is_faulty(place_of(node));
        let known = facts.all_committed().len();
        let new = commits.stepped(facts, &step, given.verifies, image, is_excused)?;
        if new > 0 && budget.is_damaged() {
            let image = |place: usize| servers.get(place).map(|server| server.disk.judged());
            if !budget.covers_committed(facts, known, image) {
                self.exceed("an entry is committed that a quorum of voters lacks");
                return Ok(());
            }
        }
        for output in outputs {
            if let Output::Persist(persist) = output {
                log::snapshot_issued(facts, node, persist)?;
            }
        }
        if let Some(peer) = given.acknowledged_by.filter(|_| after.role == RoleName::Leader)
            && !is_excused(peer)
            && let (Some(progress), Some(image)) = (raft.progress(peer), image(peer))
        {
            let id = progress.matched.and_then(|matched| raft.log_id(matched));
            commit::matched(facts, node, after.term, peer, id, image)?;
        }
        self.judge_configuration(at, before, after, was, given, outputs)?;
        if before == after {
            return Ok(());
        }
        let Some((replica, raft)) = (self.servers.get(at).and_then(|server| server.replica.as_ref()))
            .map(|replica| (replica, replica.raft()))
        else {
            return Ok(());
        };
        let Oracles {
            facts,
            elections,
            snapshots,
            responses,
            ..
        } = &mut self.oracles;
        terms_grow(node, "in memory", before.term, after.term)?;
        log::leader_grows(node, before, after)?;
        if after.role == RoleName::Leader && (before.role != RoleName::Leader || before.term != after.term) {
            elections.elected(facts, node, after.term, raft)?;
        }
        let is_witness = self.schedule.cluster.is_witness(place_of(node));
        if before.applied != after.applied && !is_witness {
            if let Some(difference) = responses.borrow().difference() {
                return violated(Oracle::S16, difference.to_owned());
            }
            apply::applied(facts, node, after.applied, replica.machine().history())?;
        }
        for output in outputs {
            if let Output::SnapshotInstalled { meta } = output {
                snapshots.installed(facts, node, meta, replica.machine().history())?;
            }
        }
        Ok(())
    }

    /// Takes what a step changed into the rolling hash.
    fn hash_step(&mut self, at: usize, before: &Vitals, after: &Vitals) {
        if before == after {
            return;
        }
        let of = |id: Option<LogId>| id.map_or(0, |id| id.term.value() << 40 | id.index.value());
        for word in [
            (after.role as u64) << 56 | (at as u64) << 48 | after.term.value(),
            of(after.last),
            crate::oracle::count(after.commit) << 32 | crate::oracle::count(after.applied),
        ] {
            self.hash.word(word);
        }
    }

    /// Counts what happened in the step, and lets triggers strike.
    fn notice(&mut self, at: usize, before: &Vitals, after: &Vitals) {
        if before == after {
            return;
        }
        if self.tells() && (before.role, before.term) != (after.role, after.term) {
            let detail = format!("{:?} of term {}", after.role, after.term);
            self.tell(self.event, Place::Server(node_at(at)), "role", detail);
        }
        if self.tells() && before.commit != after.commit {
            let last = crate::report::or_none(after.last);
            let detail = format!("up to {}, last {last}", crate::oracle::count(after.commit));
            self.tell(self.event, Place::Server(node_at(at)), "commit", detail);
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

    /// Schedules the server's wake-up for its next deadline.
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
