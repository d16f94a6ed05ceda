//! A cluster in which the script decides over every message and every write, and which reports what happens.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use raft_core::replica::{Input, Output, Replica};
use raft_core::{
    Boot, Config, Envelope, Event, GroupId, Identity, Incarnation, LoadEntries, Membership, Message, NodeId,
    Notice, Persist, ProposalId, Setup, TransferOutcome,
};

use crate::support::{Disk, Journal};
use crate::words;

pub(crate) struct Server {
    pub(crate) replica: Replica<Journal>,
    disk: Disk,
    identity: Identity,
    bootstrap: Membership,
    /// Writes that were requested and not yet made.
    writes: VecDeque<Persist>,
    pub(crate) slow_disk: bool,
    failed_disk: bool,
}

/// The part of a server that survives a crash.
struct Down {
    disk: Disk,
    identity: Identity,
    bootstrap: Membership,
}

#[derive(Default)]
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) servers: BTreeMap<u64, Server>,
    down: BTreeMap<u64, Down>,
    pub(crate) wire: VecDeque<Envelope>,
    /// Copies that the script keeps back.
    pub(crate) later: VecDeque<Envelope>,
    /// Directed links that lose everything.
    pub(crate) cut: BTreeSet<(u64, u64)>,
    /// The script's names of proposals and reads, by number.
    pub(crate) names: Vec<String>,
    pub(crate) news: Vec<String>,
}

impl World {
    pub(crate) fn server(&mut self, id: u64) -> Result<&mut Server, String> {
        self.servers
            .get_mut(&id)
            .ok_or_else(|| format!("server {id} does not run"))
    }

    pub(crate) fn start(&mut self, id: u64, incarnation: u64, disk: Disk, bootstrap: Membership) {
        let identity = Identity {
            group: GroupId::new(1),
            node: NodeId::new(id),
            incarnation: Incarnation::new(incarnation),
            boot: Boot::new(1, 1),
        };
        self.boot(
            id,
            Down {
                disk,
                identity,
                bootstrap,
            },
        );
    }

    fn boot(&mut self, id: u64, down: Down) {
        let Down {
            disk,
            identity,
            bootstrap,
        } = down;
        let setup = Setup {
            identity,
            config: self.config.clone(),
            bootstrap: bootstrap.clone(),
            durable: disk.durable.clone(),
        };
        let replica =
            Replica::new(setup, Journal::default(), disk.snapshot.clone()).expect("the disk is valid");
        let server = Server {
            replica,
            disk,
            identity,
            bootstrap,
            writes: VecDeque::new(),
            slow_disk: false,
            failed_disk: false,
        };
        self.servers.insert(id, server);
        self.drain(id);
    }

    /// Crashes the server; writes that were not made are lost.
    pub(crate) fn crash(&mut self, id: u64) -> Result<(), String> {
        self.server(id)?;
        if let Some(Server {
            disk,
            identity,
            bootstrap,
            ..
        }) = self.servers.remove(&id)
        {
            self.down.insert(
                id,
                Down {
                    disk,
                    identity,
                    bootstrap,
                },
            );
        }
        Ok(())
    }

    pub(crate) fn restart(&mut self, id: u64) -> Result<(), String> {
        let mut down = self
            .down
            .remove(&id)
            .ok_or_else(|| format!("server {id} is not down"))?;
        let Boot { counter, nonce } = down.identity.boot;
        down.identity.boot = Boot::new(counter + 1, nonce + 1);
        self.boot(id, down);
        Ok(())
    }

    /// Starts a server that is down on a new, empty data folder.
    pub(crate) fn start_wiped(&mut self, id: u64) -> Result<(), String> {
        let down = self
            .down
            .remove(&id)
            .ok_or_else(|| format!("server {id} is not down"))?;
        let incarnation = down.identity.incarnation.value() + 100;
        self.start(id, incarnation, Disk::default(), down.bootstrap);
        Ok(())
    }

    pub(crate) fn name(&mut self, name: &str) -> u64 {
        self.names.push(name.into());
        self.names.len() as u64 - 1
    }

    fn name_of(&self, number: u64) -> &str {
        &self.names[number as usize]
    }

    pub(crate) fn step(&mut self, id: u64, input: impl Into<Input<Journal>>) -> Result<(), String> {
        self.with(id, |server| server.replica.step(input))
    }

    /// Runs this on the server, carries out the actions that follow, and reports whether it committed anything.
    fn with(&mut self, id: u64, change: impl FnOnce(&mut Server)) -> Result<(), String> {
        let server = self.server(id)?;
        let before = server.replica.raft().vitals().commit;
        change(server);
        self.drain(id);
        let after = self.server(id)?.replica.raft().vitals().commit;
        if after != before {
            self.news
                .push(format!("{id} commits up to {}", words::index(after)));
        }
        Ok(())
    }

    /// Carries out what the server asks for, until it asks for nothing.
    fn drain(&mut self, id: u64) {
        loop {
            let mut outputs = Vec::new();
            let Some(server) = self.servers.get_mut(&id) else {
                return;
            };
            server.replica.drain(&mut outputs);
            if outputs.is_empty() {
                return;
            }
            for output in outputs {
                let Some(output) = self.duty(id, output) else {
                    continue;
                };
                if let Some(news) = self.tell(id, output) {
                    self.news.push(format!("{id} {news}"));
                }
            }
        }
    }

    /// Carries out a duty, and hands back any other action.
    fn duty(&mut self, id: u64, output: Output<Journal>) -> Option<Output<Journal>> {
        let server = self.servers.get_mut(&id)?;
        match output {
            Output::Persist(persist) => {
                if let Some(from) = persist.truncate_from {
                    self.news.push(format!("{id} cuts off its log from {from} on"));
                }
                if let Some(meta) = &persist.snapshot {
                    self.news
                        .push(format!("{id} stores the snapshot of {}", meta.last));
                }
                server.writes.push_back(persist);
                if !server.slow_disk && !server.failed_disk {
                    write_one(server);
                }
            }
            Output::WriteSnapshot { last, bytes } => {
                server.disk.unnamed.insert(last, bytes);
                server.replica.step(Input::SnapshotWritten { last });
            }
            Output::DiscardSnapshot { last } => {
                server.disk.unnamed.remove(&last);
            }
            // Greetings change nothing in these scripts: every server is started once at a time, on its own folder.
            Output::Send(envelope) if matches!(envelope.message, Message::Greeting { .. }) => {}
            Output::Send(envelope) => {
                if !self.cut.contains(&(envelope.from.value(), envelope.to.value())) {
                    self.wire.push_back(envelope);
                }
            }
            Output::LoadEntries(LoadEntries {
                ticket,
                first,
                last,
                max_bytes,
            }) => {
                let entries = server.disk.durable.load(first, last, max_bytes);
                server.replica.step(Event::EntriesLoaded { ticket, entries });
            }
            other => return Some(other),
        }
        None
    }

    /// The line that a script shows for it.
    fn tell(&self, server: u64, output: Output<Journal>) -> Option<String> {
        let proposal = |id: ProposalId| self.name_of(id.value());
        Some(match output {
            Output::Done { id, at, .. } => format!("answers: {} is done at {at}", proposal(id)),
            Output::Notice(Notice::Rejected { id, reason, .. }) => {
                format!("answers: {} is refused: {reason}", proposal(id))
            }
            Output::Changed { id, at } => format!("answers: {} is done at {at}", proposal(id)),
            Output::Notice(Notice::ChangeRejected { id, reason, .. }) => {
                format!("answers: {} is refused: {reason}", proposal(id))
            }
            Output::Notice(Notice::Superseded { id }) => format!("answers: {} is superseded", proposal(id)),
            Output::Notice(Notice::Unknown { id }) => format!("answers: {} is unknown", proposal(id)),
            Output::Answered { id, index, answer } => {
                let name = self.name_of(id.value());
                format!("answers: {name} sees {answer} commands, read at {index}")
            }
            Output::Notice(Notice::ReadRejected { id, reason }) => {
                format!("answers: {} is refused: {reason}", self.name_of(id.value()))
            }
            Output::SnapshotInstalled { meta } => format!("becomes what the snapshot of {} says", meta.last),
            Output::Notice(Notice::RoleChanged { role, term }) => {
                format!("is {} in term {term}", words::role(role))
            }
            Output::Notice(Notice::MembershipChanged { at }) => {
                let raft = self.servers.get(&server)?.replica.raft();
                let name = at.map_or("of the beginning".into(), |at| at.to_string());
                match raft.membership_id() == at {
                    true => format!(
                        "is in configuration {name}: {}",
                        words::membership(raft.membership())
                    ),
                    // Another one follows within the same drain.
                    false => format!("is in configuration {name}, and"),
                }
            }
            Output::Notice(Notice::TransferEnded {
                to,
                outcome: TransferOutcome::Rejected(reason),
            }) => {
                format!("refuses the transfer to {to}: {reason}")
            }
            Output::Notice(Notice::TransferEnded { to, outcome }) => {
                format!("ends the transfer to {to}: {outcome:?}")
            }
            _ => return None,
        })
    }

    /// Makes the oldest waiting write durable.
    pub(crate) fn write(&mut self, id: u64) -> Result<(), String> {
        if self.server(id)?.writes.is_empty() {
            return Err(format!("no write of server {id} waits"));
        }
        self.with(id, write_one)
    }

    /// Makes all waiting writes durable, and all later ones at once.
    pub(crate) fn write_all(&mut self, id: u64) -> Result<(), String> {
        self.server(id)?.slow_disk = false;
        while !self.server(id)?.writes.is_empty() {
            self.write(id)?;
        }
        Ok(())
    }

    pub(crate) fn fail_disk(&mut self, id: u64) -> Result<(), String> {
        self.server(id)?.failed_disk = true;
        self.step(id, Event::PersistFailed)
    }
}

fn write_one(server: &mut Server) {
    if let Some(persist) = server.writes.pop_front() {
        server.disk.write(&persist);
        server.replica.step(Event::Persisted(persist.ticket));
    }
}
