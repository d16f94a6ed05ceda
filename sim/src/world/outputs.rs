//! The outputs of a server, carried out one by one; a trigger may strike between any two.

use raft_core::replica::Output;
use raft_core::{Envelope, LoadEntries, Message, NodeId, Notice, Persist, RoleName};

use super::heal::Phase;
use super::step::OutputOf;
use super::{Event, Load, Simulation, operator};
use crate::canary::Canary;
use crate::coverage::Probe;
use crate::network::Fate;
use crate::oracle::durability::Promises;
use crate::oracle::election::terms_grow;
use crate::oracle::{Judgement, Oracle, resources, violated};
use crate::places::{node_at, place_of};
use crate::report::Place;
use crate::schedule::Class;
use crate::workload::Workload;

impl<W: Workload> Simulation<'_, W> {
    pub(super) fn carry_out(&mut self, at: usize, outputs: &mut Vec<OutputOf<W>>) -> Judgement {
        for output in outputs.drain(..) {
            let Some(server) = self.servers.get_mut(at).filter(|server| server.is_running()) else {
                // A trigger killed the process, and the rest of its duties is lost.
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
            self.carry_out_one(at, output)?;
        }
        Ok(())
    }

    fn carry_out_one(&mut self, at: usize, output: OutputOf<W>) -> Judgement {
        match output {
            Output::Persist(persist) => self.persist(at, persist),
            Output::WriteSnapshot { last, bytes } => self.write_snapshot(at, last, bytes),
            Output::DiscardSnapshot { last } => self.discard_snapshot(at, last),
            Output::Send(envelope) => self.send(at, Box::new(envelope)),
            Output::LoadEntries(LoadEntries {
                ticket,
                first,
                last,
                max_bytes,
            }) => {
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
            // A newer program made it.
            Output::SnapshotRefused { .. } if self.runs_older(at) => Ok(()),
            Output::SnapshotRefused { from, error } => {
                let node = node_at(at);
                self.ruled(violated(
                    Oracle::S17,
                    format!("server {node} cannot restore the snapshot of server {from}: {error}"),
                ))
            }
            Output::Notice(Notice::MembershipChanged { .. }) => {
                // A server that is no longer a member has good reasons to step down.
                self.quiet.disturb_all(self.now);
                Ok(())
            }
            Output::Notice(Notice::RoleChanged { .. } | Notice::LeaderChanged { .. } | Notice::Trace(_)) => {
                Ok(())
            }
            Output::Notice(Notice::Halted(_)) => {
                // It has good reasons to step down, and others to take over.
                self.quiet.disturb_all(self.now);
                self.happened(Probe::Halted, Some(at));
                Ok(())
            }
            Output::Changed { id, at: log_id } => self.change_made(at, id, log_id),
            Output::Notice(Notice::ChangeRejected { id, reason, .. }) => {
                self.change_rejected(at, id, &reason)
            }
            Output::Notice(Notice::TransferEnded { to, outcome }) => {
                self.transfer_ended(at, to, outcome);
                Ok(())
            }
            Output::Done {
                id,
                at: log_id,
                response,
            } => self.done(at, id, log_id, response),
            Output::Notice(Notice::Rejected { id, reason, .. }) => self.rejected(at, id.value(), reason),
            Output::Notice(Notice::ReadRejected { id, reason }) => self.rejected(at, id.value(), reason),
            Output::Notice(Notice::Superseded { id }) if operator::is_operators(id) => self.change_ended(id),
            Output::Notice(Notice::Unknown { id }) if operator::is_operators(id) => self.change_ended(id),
            Output::Notice(Notice::Superseded { id }) => self.superseded(at, id),
            Output::Notice(Notice::Unknown { id }) => self.unknown(at, id),
            Output::Answered { id, index, answer } => self.answered(at, id, index, answer),
        }
    }

    fn persist(&mut self, at: usize, persist: Persist) -> Judgement {
        let Some(server) = self.servers.get_mut(at) else {
            return Ok(());
        };
        if server.disk_failed {
            return Ok(());
        }
        let (node, boot, ticket, vitals) = (server.node, server.boot, persist.ticket, server.vitals);
        if server.full > 0 {
            self.refuse_write(at);
            return Ok(());
        }
        let mut snapshot = None;
        if let Some(meta) = &persist.snapshot {
            let Some(bytes) = server.disk.named(meta) else {
                return violated(
                    Oracle::S17,
                    format!(
                        "server {node} names the snapshot up to {}, whose bytes are not durable",
                        meta.last
                    ),
                );
            };
            server.disk.name(meta.last);
            if !meta.withheld {
                let judgement = self
                    .oracles
                    .snapshots
                    .written(&self.oracles.facts, node, meta, &bytes);
                self.ruled(judgement)?;
            }
            snapshot = Some(bytes);
        }
        let (leads, is_waited_for) = (vitals.role == RoleName::Leader, persist.sync);
        if leads {
            self.level_is_raised_by_all(at, &persist)?;
        }
        if let Some(to) = persist.compact_to {
            self.keeps_what_is_fed(at, to)?;
        }
        let snapshot_ahead = persist
            .snapshot
            .as_ref()
            .map(|meta| Some(meta.last.index) > vitals.applied);
        let noted = [
            (Probe::IssueVote, persist.hard_state.is_some()),
            (Probe::IssueEntries, !persist.entries.is_empty()),
            (Probe::IssueTruncate, persist.truncate_from.is_some()),
            (Probe::LeaderAppends, leads && !persist.entries.is_empty()),
            (Probe::TakeSnapshot, snapshot_ahead == Some(false)),
            (Probe::IssueInstall, snapshot_ahead == Some(true)),
            (Probe::Compact, persist.compact_to.is_some()),
        ];
        if self.trace.is_some() {
            let detail = crate::report::describe_persist(&persist);
            self.tell(self.event, Place::Server(node), "persist", detail);
        }
        let Some(server) = self.servers.get_mut(at) else {
            return Ok(());
        };
        if self.schedule.knobs.persists_at_once {
            let term = server.disk.durable().hard_state.term;
            server.disk.write_through(&persist, snapshot.as_ref());
            terms_grow(node, "on its disk", term, server.disk.durable().hard_state.term)?;
        } else if let Some(sync) = server.disk.issue(self.now, &self.disk_weather, persist, snapshot) {
            if sync.stalled {
                self.happened(Probe::DiskStall, Some(at));
            }
            if is_waited_for {
                self.quiet.syncs(at, self.now, sync.done_at);
            }
            if self.canary == Some(Canary::ReportsEarly) {
                let event = Event::Persisted {
                    server: at,
                    boot,
                    ticket,
                };
                self.push(self.now, event);
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

    fn send(&mut self, at: usize, envelope: Box<Envelope>) -> Judgement {
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
        if self.schedule.class != Class::A {
            self.judge_promises(at, &envelope)?;
        }
        if !self.budget.is_exceeded()
            && let Some(server) = self.servers.get(at)
        {
            let is_faulty = self.budget.is_faulty(at);
            let last = server.vitals.last;
            self.oracles
                .promises
                .sent(&self.oracles.facts, &envelope, server.disk.durable(), is_faulty)?;
            // The configuration decides whether it is a witness: an operator may have added it as something else.
            let is_witness = server
                .replica
                .as_ref()
                .is_some_and(|replica| replica.raft().membership().is_witness(envelope.to));
            if is_witness && !is_faulty {
                Promises::sent_to_witness(&self.oracles.facts, &envelope, server.disk.durable())?;
            }
            let (servers, budget) = (&self.servers, &self.budget);
            self.oracles.transfers.sent(
                &self.oracles.facts,
                at,
                last,
                &envelope,
                |node| servers.get(place_of(node)).map(|server| server.disk.durable()),
                |node| budget.is_faulty(place_of(node)),
            )?;
            self.outsider_sends_only_hello(at, &envelope)?;
        }
        match envelope.message {
            Message::SnapshotChunk { .. } => {
                self.feeds(at, &envelope);
                self.happened(Probe::SendSnapshot, Some(at));
            }
            Message::Append { .. } => self.window_holds(at, envelope.to)?,
            Message::Forward { .. } => self.happened(Probe::SendForward, Some(at)),
            Message::ReadIndex { .. } => self.happened(Probe::SendReadIndex, Some(at)),
            Message::TimeoutNow => self.happened(Probe::SendTimeoutNow, Some(at)),
            _ => {}
        }
        if self.canary == Some(Canary::FallsSilent) && self.phase != Phase::Faulty {
            return Ok(());
        }
        self.round_leaves(at, &envelope);
        self.read_index_leaves(at, &envelope)?;
        self.quiet.sends(&envelope, at, self.now)?;
        if self.is_wired {
            return self.send_on_wire(at, envelope);
        }
        let fate = self.network.fate(self.now, at, place_of(envelope.to));
        self.launch(at, envelope, fate);
        Ok(())
    }

    /// S24: a leader has no more appends in flight to a peer than its window allows.
    fn window_holds(&self, at: usize, to: NodeId) -> Judgement {
        let server = self.servers.get(at);
        let Some((server, replica)) = server.and_then(|server| Some((server, server.replica.as_ref()?)))
        else {
            return Ok(());
        };
        match replica.raft().progress(to) {
            Some(peer) => resources::window_holds(server.node, &peer, self.schedule.knobs.inflight_messages),
            None => Ok(()),
        }
    }

    /// Carries out a message's fate.
    pub(super) fn launch(&mut self, at: usize, envelope: Box<Envelope>, fate: Fate) {
        match &fate {
            Fate::Arrives {
                at: arrives, again, ..
            } => {
                let last = again.map_or(*arrives, |again| again.max(*arrives));
                self.quiet.launched(&envelope, at, self.now, last);
            }
            _ => self.quiet.disturb_link(at, place_of(envelope.to), self.now),
        }
        let what = match fate {
            Fate::Arrives { .. } => None,
            Fate::Lost | Fate::Broken => Some("lost"),
            Fate::Full => Some("no room"),
            Fate::Cut => Some("cut"),
            Fate::Held => Some("held"),
        };
        if let Some(what) = what {
            self.tell_message(self.event, envelope.from, what, &envelope);
        }
        let sent = self.event;
        match fate {
            Fate::Lost => self.happened(Probe::MessageLost, Some(at)),
            Fate::Broken => self.connection_broke(at, place_of(envelope.to)),
            Fate::Full => self.happened(Probe::QueueFull, Some(at)),
            Fate::Cut => self.happened(Probe::MessageCut, Some(at)),
            Fate::Held => {
                self.happened(Probe::MessageHeld, Some(at));
                self.held.push((*envelope, sent));
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
                            sent,
                        },
                    );
                }
                self.push(arrives, Event::Deliver { envelope, sent });
            }
        }
    }
}
