//! Two programs that run side by side, where the schedule has them: which one a server runs, and what that means for it.

use raft_core::replica::Output;
use raft_core::{EntryBody, Message, Persist, RoleName, Vitals};

use super::server::Server;
use super::step::OutputOf;
use super::{Event, Simulation};
use crate::coverage::Probe;
use crate::nanos::Nanos;
use crate::oracle::levels::{cannot_go_on, is_raised_by_all, keeps_quiet, says_level, understands};
use crate::oracle::{Judgement, Violation};
use crate::places::{node_at, place_of};
use crate::random::Domain;
use crate::schedule::{NEWER, OLDER, Survival};
use crate::workload::Workload;

/// How many of 10,000 heals leave one server with the older program.
const ONE_STAYS_OLD_PERMYRIAD: u32 = 5_000;

impl<W: Workload> Simulation<'_, W> {
    /// Whether the server runs the older of two programs.
    pub(super) fn runs_older(&self, at: usize) -> bool {
        let server = self.servers.get(at);
        server.is_some_and(|server| server.program == Some(OLDER))
    }

    /// Whether the server's program does not understand the next entry that it would have to apply.
    pub(super) fn is_stuck(&self, at: usize) -> bool {
        self.servers
            .get(at)
            .is_some_and(|server| self.cannot_go_on(at, server))
    }

    /// Whether the server's log does not fit to what its leader has not compacted, and its program does not understand
    /// the snapshot that covers the rest.
    pub(super) fn is_cut_off(&self, at: usize) -> bool {
        let Some(server) = self
            .servers
            .get(at)
            .filter(|server| server.program == Some(OLDER))
        else {
            return false;
        };
        let leads = |other: &&Server<W>| other.leads() && Some(other.node) == server.vitals.leader;
        let leader = self
            .servers
            .iter()
            .find(leads)
            .and_then(|leader| leader.replica.as_ref());
        let Some(leader) = leader.map(raft_core::replica::Replica::raft) else {
            return false;
        };
        let lacks_what_is_compacted = leader.first_index().previous().is_some_and(|base| {
            let own = server.replica.as_ref().map(raft_core::replica::Replica::raft);
            let holds =
                own.is_some_and(|own| own.log_id(base).is_some_and(|id| leader.log_id(base) == Some(id)));
            server.vitals.commit < Some(base) && !holds
        });
        let covers = leader.snapshot().map(|meta| meta.last.index);
        let is_witness = self.schedule.cluster.is_witness(at);
        let committed = covers.and_then(|covers| self.oracles.facts.committed(covers));
        let is_too_new = committed.is_some_and(|committed| match is_witness {
            true => committed.level > OLDER,
            false => committed.needs > OLDER,
        });
        lacks_what_is_compacted && is_too_new
    }

    /// Whether an operator may start every server of the core again. One whose disk is still empty would have to ask
    /// first whether it may take part, although others count on it.
    pub(super) fn can_be_upgraded(&self, core: u8) -> bool {
        super::targets::members(core).all(|place| {
            let is_empty = self
                .servers
                .get(place)
                .is_some_and(|server| server.disk.durable().is_empty());
            !self.runs_older(place) || !is_empty
        })
    }

    /// Takes note of what the step gives a leader to do: it raises the level, perhaps long after the last request.
    pub(super) fn notice_level(&mut self, outputs: &[OutputOf<W>]) {
        let raises = |output: &OutputOf<W>| match output {
            Output::Persist(persist) => {
                (persist.entries.iter()).any(|entry| matches!(entry.body, EntryBody::Level(_)))
            }
            _ => false,
        };
        if self.schedule.knobs.programs.is_some() && outputs.iter().any(raises) {
            self.quiet.becomes_busy();
        }
    }

    /// The servers that cannot lead because they have halted in their last boot, one bit each.
    pub(super) fn stuck_servers(&self) -> u8 {
        if self.schedule.knobs.programs.is_none() {
            return 0;
        }
        // One that has died since is not heard to be another one before it starts again.
        let has_halted = |place: &usize| {
            let since = self.servers.get(*place).and_then(|server| server.stuck_since);
            since.is_some() || self.is_cut_off(*place)
        };
        let halted = (0..self.servers.len()).filter(has_halted);
        halted.fold(0, |set, place| set | 1 << place)
    }

    fn cannot_go_on(&self, at: usize, server: &Server<W>) -> bool {
        let is_witness = self.schedule.cluster.is_witness(at);
        let program = server.program.filter(|_| server.is_running());
        program.is_some_and(|program| cannot_go_on(&self.oracles.facts, &server.vitals, program, is_witness))
    }

    /// S26, after a step.
    pub(super) fn judge_program(&mut self, at: usize, before: &Vitals, after: &Vitals) -> Judgement {
        let now = self.now;
        let is_stuck = self.is_stuck(at);
        let is_witness = self.schedule.cluster.is_witness(at);
        let Some(server) = self.servers.get_mut(at) else {
            return Ok(());
        };
        if after.role == RoleName::Leader && (before.role, before.term) != (after.role, after.term) {
            server.leads_since = now;
        }
        let Some(program) = server.program else {
            return Ok(());
        };
        let (node, ticks) = (server.node, server.ticks_told);
        let longest = server.knobs.election_timeout_max_ticks;
        let stuck_since = is_stuck.then(|| *server.stuck_since.get_or_insert(ticks));
        server.stuck_since = stuck_since;
        if self.budget.is_exceeded() {
            return Ok(());
        }
        understands(&self.oracles.facts, node, after.applied, program, is_witness)?;
        if let Some(replica) = &server.replica {
            let says = replica.raft().level().value();
            says_level(&self.oracles.facts, node, after.commit, says)?;
        }
        match stuck_since {
            Some(since) => keeps_quiet(node, after.role, (since, ticks), longest),
            None => Ok(()),
        }
    }

    /// S26: a leader writes an entry that raises the level.
    pub(super) fn level_is_raised_by_all(&mut self, at: usize, persist: &Persist) -> Result<(), Violation> {
        let Some(server) = self.servers.get(at) else {
            return Ok(());
        };
        let (node, term, since) = (server.node, server.vitals.term, server.leads_since);
        let raised = persist.entries.iter().find_map(|entry| match entry.body {
            EntryBody::Level(level) if entry.id.term == term => Some(level.value()),
            _ => None,
        });
        let (Some(level), Some(replica)) = (raised, &server.replica) else {
            return Ok(());
        };
        let ran = |server: &Server<W>, since: Nanos| match server.program {
            _ if server.ran_newer.is_some_and(|last| last >= since) => NEWER,
            Some(program) if server.is_running() => program,
            _ => OLDER,
        };
        let members = replica.raft().membership().members();
        let members = members.filter_map(|member| {
            let server = self.servers.get(place_of(member))?;
            Some((member, ran(server, since)))
        });
        is_raised_by_all(node, level, members)?;
        self.happened(Probe::LevelRaised, Some(at));
        Ok(())
    }

    /// The operator finishes the upgrade: every server of the core runs the newer program from now on, or all but one
    /// whose log another one has as well, and whose acknowledgements the others may do without. A server that is up to
    /// date and runs the newer program can always lead then.
    pub(super) fn finish_upgrade(&mut self, core: u8) {
        if self.schedule.knobs.programs.is_none() {
            return;
        }
        let mut draws = self.seed.careful(Domain::Heal, 1, 0, 0);
        let members = || super::targets::members(core);
        let newest = members().filter_map(|place| self.last_of(place)).max();
        let can_lead = |place: usize| self.may_lead(place) && self.last_kept_by(place) >= newest;
        // One that lacks compacted entries acknowledges nothing more, so the others must do without it.
        let is_spared = |place: usize| {
            let is_fed =
                self.last_kept_by(place) >= newest && self.schedule.knobs.snapshot_keep_entries >= 10;
            is_fed || self.is_quorum_of_all(core & !(1 << place))
        };
        // What a leader that is not of the core has sent may make its log the longest one.
        let is_sent_more = |place: usize| {
            self.queue.pending().any(|caused| match &caused.event {
                Event::Deliver { envelope, .. } if place_of(envelope.to) == place => {
                    match &envelope.message {
                        Message::Append { entries, .. } => entries.last().map(|entry| entry.id) > newest,
                        _ => false,
                    }
                }
                _ => false,
            })
        };
        let mut old = members().filter(|&place| is_spared(place) && !is_sent_more(place));
        let stays = old.find(|&place| members().any(|other| other != place && can_lead(other)));
        let stays = stays.filter(|_| draws.chance(ONE_STAYS_OLD_PERMYRIAD));
        self.upgraded = members()
            .filter(|&place| Some(place) != stays)
            .fold(0, |set, place| set | 1 << place);
        for place in super::targets::members(self.upgraded) {
            if self.runs_older(place) && self.servers.get(place).is_some_and(Server::is_running) {
                self.hash_event(16, place as u64);
                self.crash(place, Survival::All);
            }
        }
        if self.tells() {
            let places: Vec<_> = super::targets::members(self.upgraded).map(node_at).collect();
            self.tell(
                self.event,
                crate::report::Place::World,
                "upgrade",
                format!("servers {places:?} run the newer program"),
            );
        }
    }
}
