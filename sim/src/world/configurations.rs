//! The configurations that servers use: runs the oracles of membership over each step, and counts events.

use raft_core::replica::Output;
use raft_core::{Envelope, LogId, Message, NodeId, Notice, RoleName, TransferOutcome, Vitals};

use super::server::NOTHING;
use super::step::{Given, OutputOf};
use super::{Oracles, Simulation};
use crate::coverage::Probe;
use crate::oracle::membership::{self, Turn};
use crate::oracle::transfer::Told;
use crate::oracle::{Judgement, Oracle, violated};
use crate::places::place_of;
use crate::report::Place;
use crate::workload::Workload;

impl<W: Workload> Simulation<'_, W> {
    /// S18, S19, S20, and the votes of S1: a step of a server that used the configuration of the entry `was` before.
    pub(super) fn judge_configuration(
        &mut self,
        at: usize,
        before: &Vitals,
        after: &Vitals,
        was: Option<LogId>,
        given: Given,
        outputs: &[OutputOf<W>],
    ) -> Judgement {
        let is_founder = self.is_founder(at);
        let (servers, budget) = (&self.servers, &self.budget);
        let Some((server, replica)) = servers
            .get(at)
            .and_then(|server| Some((server, server.replica.as_ref()?)))
        else {
            return Ok(());
        };
        let (node, raft) = (server.node, replica.raft());
        let Oracles {
            facts,
            promises,
            transfers,
            ..
        } = &mut self.oracles;
        let ended: Vec<(NodeId, TransferOutcome)> = outputs
            .iter()
            .filter_map(|output| match *output {
                Output::Notice(Notice::TransferEnded { to, outcome }) => Some((to, outcome)),
                _ => None,
            })
            .collect();
        transfers.stepped(
            at,
            &Told {
                node,
                asked: given.asked_to_hand_over,
                ended: &ended,
                before,
                after,
                ticks: raft.now().value(),
                patience_ticks: server.knobs.election_timeout_min_ticks,
            },
        )?;
        if before == after {
            return Ok(());
        }
        let turn = Turn {
            node,
            is_founder,
            before,
            after,
            was,
            now: server.configuration,
            log: raft,
        };
        turn.uses_the_last_in_its_log(facts)?;
        turn.leads_only_as_a_voter(facts)?;
        if after.role != RoleName::Leader {
            return Ok(());
        }
        let appended = || {
            let written = outputs.iter().filter_map(|output| match output {
                Output::Persist(persist) => Some(&persist.entries),
                _ => None,
            });
            written.flatten()
        };
        for output in outputs {
            if let Output::Persist(persist) = output {
                turn.appends(facts, &persist.entries)?;
            }
        }
        let mut is_forced = false;
        if let Some(ask) = given.asked_to_change
            && let Some(changed) = turn.changes_members(facts, appended())
        {
            let shortest = server.knobs.election_timeout_min_ticks;
            let contacts = &server.conduct.contacts;
            let judged = contacts.leaves_a_healthy_quorum(node, server.ticks_told, shortest, changed);
            is_forced = ask.force && judged.is_err();
            if !ask.force {
                judged?;
            }
        }
        if before.role != RoleName::Leader || before.term != after.term {
            let agrees = |voter: NodeId| {
                let place = place_of(voter);
                let own = || {
                    let held = server.disk.judged().hard_state;
                    voter == node && held.term == after.term && held.vote == Some(node)
                };
                promises.vote(after.term, voter) == Some(node) || budget.is_faulty(place) || own()
            };
            membership::elected(facts, node, after.term, server.configuration, agrees)?;
        }
        if is_forced {
            self.happened(Probe::ChangeForced, Some(at));
        }
        Ok(())
    }

    /// S18 at a start: a server uses the last configuration that its disk holds.
    pub(super) fn starts_with_the_last_in_its_log(&self, at: usize) -> Judgement {
        let Some((server, replica)) = self
            .servers
            .get(at)
            .and_then(|server| Some((server, server.replica.as_ref()?)))
        else {
            return Ok(());
        };
        let turn = Turn {
            node: server.node,
            is_founder: self.is_founder(at),
            before: &NOTHING,
            after: &server.vitals,
            was: None,
            now: server.configuration,
            log: replica.raft(),
        };
        turn.uses_the_last_in_its_log(&self.oracles.facts)
    }

    /// S21 for servers that begin outside the cluster: they say hello, and tell another cluster's
    /// servers that they do not belong to it. They send nothing else before a committed
    /// configuration binds them.
    pub(super) fn outsider_sends_only_hello(&mut self, at: usize, envelope: &Envelope) -> Judgement {
        if self.is_founder(at) {
            return Ok(());
        }
        let Some(server) = self.servers.get_mut(at).filter(|server| !server.admitted) else {
            return Ok(());
        };
        if matches!(
            envelope.message,
            Message::Hello | Message::HelloReply { .. } | Message::OtherCluster
        ) {
            return Ok(());
        }
        server.admitted = self
            .oracles
            .facts
            .all_committed()
            .iter()
            .rev()
            .filter_map(|committed| committed.membership)
            .any(|id| {
                let membership = self.oracles.facts.configuration(Some(id));
                membership.and_then(|membership| membership.incarnation(server.node))
                    == Some(server.incarnation)
            });
        if !server.admitted {
            let message = format!(
                "server {}, which no committed configuration has admitted, sends {}",
                server.node,
                envelope.message.name()
            );
            return violated(Oracle::S21, message);
        }
        self.happened(Probe::SpareAdmitted, Some(at));
        Ok(())
    }

    /// Counts what a step did to the server's configuration, and lets triggers strike.
    pub(super) fn notice_configuration(
        &mut self,
        at: usize,
        before: &Vitals,
        after: &Vitals,
        was: Option<LogId>,
    ) {
        let Some((server, replica)) = self
            .servers
            .get(at)
            .and_then(|server| Some((server, server.replica.as_ref()?)))
        else {
            return;
        };
        let (node, now, raft) = (server.node, server.configuration, replica.raft());
        let is_joint = raft.membership().is_joint();
        let leads = after.role == RoleName::Leader;
        let becomes_leader = leads && (before.role != RoleName::Leader || before.term != after.term);
        let appends = leads && now != was && now.map(|id| id.term) == Some(after.term);
        let was_joint = self
            .oracles
            .facts
            .configuration(was)
            .is_some_and(raft_core::Membership::is_joint);
        let is_cut_off = now != was
            && was.is_some_and(|was| {
                let committed = self.oracles.facts.committed(was.index);
                raft.log_id(was.index) != Some(was) && committed.is_none_or(|committed| committed.id != was)
            });
        let loses_vote = before.role == RoleName::Leader && !leads && before.commit != after.commit && {
            let facts = &self.oracles.facts;
            let id = facts.configuration_id_at(after.commit);
            facts
                .configuration(id)
                .is_some_and(|membership| !membership.is_voter(node))
        };
        if now != was && self.tells() {
            let at_entry = now.map_or("the first start".to_owned(), |now| now.to_string());
            let detail = format!("that of {at_entry}: {}", membership::describe(raft.membership()));
            self.tell(self.event, Place::Server(node), "members", detail);
        }
        for (probe, happened) in [
            (Probe::AppendConfiguration, appends),
            (Probe::EnterJoint, appends && is_joint && !was_joint),
            (Probe::LeaveJoint, appends && !is_joint && was_joint),
            (Probe::ConfigurationCutOff, is_cut_off),
            (Probe::ElectedInJoint, becomes_leader && is_joint),
            (Probe::LeaderRemoved, loses_vote),
        ] {
            if happened {
                self.happened(probe, Some(at));
            }
        }
    }
}
