//! What reaches a server: its start, its deadlines, messages, completions of its disk, and commands of its host.

use raft_core::replica::{Input, Replica};
use raft_core::{
    Boot, Entry, Envelope, Event as CoreEvent, GroupId, Identity, Level, Membership, Message, Setup, Ticket,
};

use super::observe::Occasion;
use super::step::{Ask, Given, InputOf};
use super::{Event, HostCommand, Load, Simulation};
use crate::coverage::Probe;
use crate::oracle::election::terms_grow;
use crate::oracle::{Judgement, Oracle, Violation, apply, log, recovery};
use crate::places::{node_at, place_of};
use crate::random::Domain;
use crate::report::Place;
use crate::schedule::{NEWER, OLDER, Programs};
use crate::witness::Witness;
use crate::workload::Workload;

impl<W: Workload> Simulation<'_, W> {
    /// A server starts from what its disk holds.
    pub(super) fn start(&mut self, cause: u64, at: usize) -> Judgement {
        // A server that is added later knows no other server until then.
        let bootstrap = match self.is_founder(at) {
            true => super::first_configuration(&self.schedule.cluster),
            false => Membership::default(),
        };
        let Some(server) = self
            .servers
            .get_mut(at)
            .filter(|server| !server.is_running() && !server.retired)
        else {
            return Ok(());
        };
        server.knobs = self.schedule.knobs_of(self.seed, at, server.boot + 1);
        let is_upgraded = self.upgraded.checked_shr(at as u32).unwrap_or(0) & 1 == 1;
        server.program = match self.schedule.program_of(self.seed, at, server.boot + 1, self.now) {
            Some(_) if is_upgraded => Some(NEWER),
            program => program,
        };
        let tick = self.schedule.tick_of(self.seed, at);
        let mut config = server.knobs.config(self.schedule.seed, tick);
        config.options.witness = self.schedule.cluster.is_witness(at);
        if at % 2 == 1 {
            config.options.yields = self.schedule.knobs.yields;
        }
        server.boot += 1;
        server.counted += 1;
        let nonce = self.seed.quick(Domain::Timers, at as u64, server.boot, 3).half();
        let orphans = server.disk.remove_orphans();
        let image = server.disk.durable();
        let durable = match image.recover() {
            Ok(durable) => durable,
            Err(why) => {
                self.refuse_start(cause, at, &why);
                return Ok(());
            }
        };
        let judges = !self.budget.is_exceeded();
        if judges {
            log::restored(&mut self.oracles.facts, image)?;
        }
        let setup = Setup {
            identity: Identity {
                group: GroupId::new(1),
                node: server.node,
                incarnation: server.incarnation,
                boot: Boot::new(server.counted, nonce),
            },
            config,
            bootstrap,
            durable,
        };
        let (is_blank, snapshot) = (
            image.is_empty(),
            (image.snapshot.as_ref().filter(|(meta, _)| !meta.withheld)).map(|(_, bytes)| bytes.clone()),
        );
        let from_snapshot = snapshot.is_some();
        let started = |program: Option<u32>, mut setup: Setup, snapshot| {
            let is_levelled = self.schedule.knobs.programs == Some(Programs::Levelled);
            setup.config.level = Level::new(program.filter(|_| is_levelled).unwrap_or(0));
            let machine = Witness::new(
                self.workload.machine(&self.schedule.workload),
                self.oracles.responses.clone(),
                program,
            )
            .trusting_levels(is_levelled);
            Replica::new(setup, machine, snapshot)
        };
        let mut replica = started(server.program, setup.clone(), snapshot.clone());
        // An operator who is told that the program is too old starts the newer one.
        let is_refused = replica.is_err() && server.program == Some(OLDER);
        if is_refused {
            server.program = Some(NEWER);
            replica = started(server.program, setup, snapshot);
        }
        let replica = replica.map_err(|error| Violation {
            oracle: Oracle::S22,
            message: format!("server {} cannot start from its disk: {error}", server.node),
        })?;
        server.stuck_since = None;
        server.vitals = replica.raft().vitals();
        server.configuration = replica.raft().membership_id();
        recovery::started(
            server.node,
            image,
            server.vitals.last,
            replica.raft().hard_state(),
        )?;
        server.silenced = replica.raft().hard_state().silenced;
        server.boot_ticks = server.clock.ticks(self.now);
        server.ticks_told = 0;
        server.wake_at = None;
        server.disk_failed = false;
        server.write_refused = false;
        server.conduct = super::observe::Conduct::begins(is_blank);
        let (node, boot, vitals) = (server.node, server.boot, server.vitals);
        self.oracles.transfers.restarted(at);
        // The check of restored machines does not apply to a witness, which has no machine.
        let is_witness = self.schedule.cluster.is_witness(at);
        if judges {
            self.oracles
                .commits
                .restarted(&mut self.oracles.facts, node, at, &vitals, replica.raft())?;
        }
        if judges && !is_witness {
            let history = replica.machine().history();
            apply::applied(&self.oracles.facts, node, vitals.applied, history)?;
        }
        server.limited = replica.raft().limited();
        server.replica = Some(replica);
        if orphans > 0 {
            self.happened(Probe::OrphanRemoved, Some(at));
        }
        if judges {
            self.starts_with_the_last_in_its_log(at)?;
        }
        self.hash_event(1, at as u64);
        if self.tells() {
            self.tell(
                cause,
                Place::Server(node),
                "start",
                crate::report::describe_start(boot, &vitals),
            );
        }
        if is_refused {
            self.happened(Probe::OlderRefused, Some(at));
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

    /// Wakes a server, whose deadline may have been reached.
    pub(super) fn wake(&mut self, cause: u64, at: usize, boot: u64) -> Judgement {
        let Some(server) = self.servers.get_mut(at) else {
            return Ok(());
        };
        if !server.is_boot(boot) || server.wake_at != Some(self.now) {
            return Ok(());
        }
        server.wake_at = None;
        if server.is_busy() {
            server.missed.push_back(Event::Wake { server: at, boot });
            return Ok(());
        }
        let due = server
            .replica
            .as_ref()
            .and_then(|replica| replica.raft().next_deadline());
        let ticks = server.ticks_by(self.now);
        if due.is_none_or(|due| due.value() > ticks) {
            self.reschedule(at);
            return Ok(());
        }
        self.hash_event(2, at as u64);
        if self.tells() {
            self.tell(cause, Place::Server(node_at(at)), "wake", format!("tick {ticks}"));
        }
        self.step(at, None, Given::on(Occasion::deadline()))
    }

    /// A message arrives.
    pub(super) fn deliver(&mut self, cause: u64, envelope: Box<Envelope>) -> Judgement {
        let (from, to) = (place_of(envelope.from), place_of(envelope.to));
        if self.is_wired && self.network.is_lost_with_connection(self.now, from, to) {
            self.quiet.disturb_link(from, to, self.now);
            self.tell_message(cause, envelope.to, "lost", &envelope);
            self.happened(Probe::MessageLost, Some(to));
            return Ok(());
        }
        if self.network.is_lost_at_delivery(from, to) {
            self.quiet.disturb_link(from, to, self.now);
            self.tell_message(cause, envelope.to, "cut", &envelope);
            self.happened(Probe::MessageCut, Some(to));
            return Ok(());
        }
        if self.network.is_held(from, to) {
            self.tell_message(cause, envelope.to, "held", &envelope);
            self.happened(Probe::MessageHeld, Some(to));
            self.held.push((*envelope, cause));
            return Ok(());
        }
        self.hear_stranger(cause, &envelope)?;
        let Some(server) = self.servers.get_mut(to) else {
            return Ok(());
        };
        if !server.is_running() {
            self.tell_message(cause, envelope.to, "unheard", &envelope);
            self.happened(Probe::MessageToTheDead, Some(to));
            return Ok(());
        }
        if server.is_busy() {
            server.missed.push_back(Event::Deliver {
                envelope,
                sent: cause,
            });
            return Ok(());
        }
        self.hash_event(3, (from * 8 + to) as u64);
        self.hash
            .word(envelope.term.value() << 8 | envelope.message.name().len() as u64);
        self.tell_message(cause, envelope.to, "receive", &envelope);
        if let Message::SnapshotChunk { offset, data, .. } = &envelope.message {
            self.quiet
                .piece_arrived(to, offset.saturating_add(data.len() as u64), self.now);
        }
        self.read_index_arrives(to, &envelope);
        if super::quiet::is_for_a_client(&envelope.message) {
            self.quiet.becomes_busy();
        }
        let given = Given::of(&envelope);
        self.step(to, Some(Input::Event(CoreEvent::Receive(*envelope))), given)
    }

    /// A sync ends, whether or not the process still runs to be told.
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
        let later = server.disk.last_issued().filter(|_| planted!(SYNC_COVERS_LATER));
        let (node, busy) = (server.node, server.is_busy());
        if let Some(sync) = next {
            if sync.stalled {
                self.happened(Probe::DiskStall, Some(at));
            }
            self.quiet.syncs(at, self.now, sync.done_at);
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
        if busy {
            if let Some(server) = self.servers.get_mut(at) {
                server.missed.push_back(Event::Persisted {
                    server: at,
                    boot,
                    ticket,
                });
            }
            return Ok(());
        }
        self.persisted(at, boot, later.unwrap_or(ticket))
    }

    pub(super) fn persisted(&mut self, at: usize, boot: u64, ticket: Ticket) -> Judgement {
        match self.servers.get_mut(at) {
            Some(server) if server.is_boot(boot) && server.is_busy() => {
                server.missed.push_back(Event::Persisted {
                    server: at,
                    boot,
                    ticket,
                });
                Ok(())
            }
            Some(server) if server.is_boot(boot) && !server.disk_failed => {
                let given = Given::on(Occasion::persisted(ticket));
                self.step(at, Some(Input::Event(CoreEvent::Persisted(ticket))), given)
            }
            _ => Ok(()),
        }
    }

    /// Entries have been read back.
    pub(super) fn loaded(&mut self, cause: u64, at: usize, boot: u64, load: Load) -> Judgement {
        let Some(server) = self.servers.get_mut(at).filter(|server| server.is_boot(boot)) else {
            return Ok(());
        };
        if server.is_busy() {
            server.missed.push_back(Event::Loaded {
                server: at,
                boot,
                load,
            });
            return Ok(());
        }
        if server.disk.has_rotten_entry(load.first, load.last) {
            // The store does not return what it cannot verify: it treats the read as a failure of the disk.
            self.happened(Probe::CorruptionRead, Some(at));
            self.die_soon(at, boot, usize::MAX);
            return self.disk_fails(cause, at, boot);
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
        // Entries that were compacted or truncated in the meantime are simply missing.
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
            Some(Input::Event(CoreEvent::EntriesLoaded {
                ticket: load.ticket,
                entries: entries.into(),
            })),
            Given::default(),
        )
    }

    /// A server receives a command of its host.
    pub(super) fn command(&mut self, cause: u64, at: usize, command: HostCommand) -> Judgement {
        let Some(server) = self.servers.get_mut(at).filter(|server| server.is_running()) else {
            return Ok(());
        };
        if server.is_busy() {
            server.missed.push_back(Event::Command { server: at, command });
            return Ok(());
        }
        let is_operators = matches!(
            command,
            HostCommand::ChangeMembership(_) | HostCommand::Transfer(_)
        );
        if is_operators && self.phase != super::Phase::Faulty {
            // The core that was healed is that of the configurations of that time.
            return Ok(());
        }
        let node = server.node;
        self.hash_event(6, at as u64);
        if self.tells() {
            self.tell(cause, Place::Server(node), "command", format!("{command:?}"));
        }
        let mut given = Given::on(Occasion::told());
        let input = match command {
            HostCommand::ChangeMembership(ask) => match self.change_asked(ask) {
                Some((input, force)) => {
                    given.asked_to_change = Some(Ask { force });
                    input
                }
                None => return Ok(()),
            },
            HostCommand::Transfer(to) => {
                given.asked_to_hand_over = Some(to);
                Input::Event(CoreEvent::Transfer { to })
            }
            HostCommand::Campaign => Input::Event(CoreEvent::Campaign),
            HostCommand::TakeSnapshot => Input::TakeSnapshot,
            HostCommand::Unreachable(peer) => Input::Event(CoreEvent::Unreachable(peer)),
        };
        self.step(at, Some(input), given)
    }

    /// A server's disk reports a failure, upon which the server must stop.
    pub(super) fn disk_fails(&mut self, cause: u64, at: usize, boot: u64) -> Judgement {
        let Some(server) = self.servers.get_mut(at).filter(|server| server.is_boot(boot)) else {
            return Ok(());
        };
        server.disk_failed = true;
        self.hash_event(7, at as u64);
        if self.tells() {
            let node = node_at(at);
            let text = "the server stops".to_owned();
            self.tell(cause, Place::Server(node), "failed", text);
        }
        self.step(at, Some(Input::Event(CoreEvent::PersistFailed)), Given::default())
    }

    /// A request reaches a replica.
    pub(super) fn step_request(&mut self, at: usize, input: InputOf<W>) -> Judgement {
        self.step(at, Some(input), Given::default())
    }
}
