//! Damage that Raft assumes disks never suffer, and what remains of Raft's promises then (classes B and C).

use raft_core::replica::Output;
use raft_core::{Envelope, Incarnation};

use super::step::OutputOf;
use super::{Event, Simulation};
use crate::coverage::Probe;
use crate::disk::Image;
use crate::oracle::budget::{Budget, Standing, Verdict};
use crate::oracle::membership::is_quorum;
use crate::oracle::{Judgement, Oracle, violated};
use crate::places::{node_at, place_of};
use crate::random::{Domain, Draws};
use crate::report::Place;
use crate::schedule::{Class, FaultKind, Record, Survival};
use crate::workload::Workload;

/// A copy of a server's disk.
pub(super) struct Backup {
    pub(super) fault: usize,
    pub(super) place: usize,
    incarnation: Incarnation,
    counted: u32,
    image: Image,
    /// Whether it has been the server's disk before, since the copy was taken.
    was_replaced: bool,
    /// How often it and the copy take over from each other yet.
    takeovers: u32,
}

impl<W: Workload> Simulation<'_, W> {
    /// Filters a judgement by the class: everything counts until the fault budget is exceeded.
    pub(super) fn ruled(&self, judgement: Judgement) -> Judgement {
        match judgement {
            Err(violation) if self.budget.is_exceeded() && !is_judged_always(violation.oracle) => Ok(()),
            other => other,
        }
    }

    /// Carries out a fault that damages one server's disk.
    pub(super) fn damage(&mut self, fault: usize, kind: &FaultKind, at: usize, draws: &mut Draws) {
        match *kind {
            FaultKind::WipeDisk { restart_after, .. } if self.wipe(at) => {
                self.start_after(at, restart_after);
            }
            FaultKind::LyingDisk { .. } => {
                if self.is_spared(at) {
                    return self.happened(Probe::DamageSpared, Some(at));
                }
                if let Some(server) = self.servers.get_mut(at) {
                    server.disk.begin_to_lie();
                }
                self.happened(Probe::DiskLies, Some(at));
            }
            FaultKind::RestoreBackup { takeovers, .. } => {
                if let Some(server) = self.servers.get(at) {
                    let (incarnation, counted) = (server.incarnation, server.counted);
                    let image = server.disk.durable().clone();
                    self.backups.push(Backup {
                        fault,
                        place: at,
                        incarnation,
                        counted,
                        image,
                        was_replaced: false,
                        takeovers,
                    });
                }
            }
            FaultKind::CorruptDisk {
                record,
                restart_after,
                ..
            } => self.corrupt(at, record, restart_after, draws),
            _ => {}
        }
    }

    fn start_after(&mut self, at: usize, after: Option<crate::nanos::Nanos>) {
        if let Some(after) = after {
            self.push_after(after, Event::Start { server: at });
        }
    }

    /// Loses the disk. Returns whether that was allowed.
    fn wipe(&mut self, at: usize) -> bool {
        let others_empty = self.empty_logs(at);
        if self.respects_budget() && (self.is_spared(at) || self.exceeds(at, None)) {
            self.happened(Probe::DamageSpared, Some(at));
            return false;
        }
        self.crash(at, Survival::None);
        let wipes = self.coverage.count(Probe::DiskWiped) + 1;
        let Some(server) = self.servers.get_mut(at) else {
            return false;
        };
        server.disk.replace(Image::default());
        let drawn = self.seed.quick(Domain::Timers, at as u64, wipes, 2);
        server.incarnation = Incarnation::new(drawn.bits() >> 1 | 1);
        server.counted = 0;
        server.admitted = false;
        self.budget.note(at, Standing::Outside);
        self.budget.note_folder(at, Some(server.incarnation));
        if self.is_founder(at) && Budget::looks_new(self.founders, others_empty + 1) {
            self.exceed("empty logs are a quorum, and a new disk may take that for the first start");
        }
        self.happened(Probe::DiskWiped, Some(at));
        self.count_copies(0);
        true
    }

    /// Puts a copy of the disk back, or what a copy has replaced.
    pub(super) fn restore_backup(&mut self, fault: usize, at: usize) {
        let place = self
            .backups
            .iter()
            .position(|backup| backup.fault == fault && backup.place == at);
        let Some(backup) = place.map(|place| self.backups.swap_remove(place)) else {
            return;
        };
        if self.respects_budget() && (self.is_spared(at) || self.exceeds(at, Some(&backup.image))) {
            return self.happened(Probe::DamageSpared, Some(at));
        }
        self.crash(at, Survival::Random);
        let standing = self.budget.standing(at);
        if let Some(server) = self.servers.get_mut(at) {
            if let Some(takeovers) = backup.takeovers.checked_sub(1) {
                self.backups.push(Backup {
                    fault,
                    place: at,
                    incarnation: server.incarnation,
                    counted: server.counted,
                    image: server.disk.durable().clone(),
                    was_replaced: true,
                    takeovers,
                });
            }
            let is_same_disk = server.incarnation == backup.incarnation;
            server.incarnation = backup.incarnation;
            // Others may have heard a later start, and count this one for nothing, whether it lost anything or not.
            let counts_back = is_same_disk && server.counted > backup.counted;
            server.counted = backup.counted;
            if !is_same_disk {
                let is_first = backup.incarnation == server.first_incarnation;
                let folder = (!is_first).then_some(backup.incarnation);
                self.budget.note_folder(at, folder);
            }
            let is_outside = standing == Standing::Outside && is_same_disk;
            let is_change = counts_back || !is_same_disk || *server.disk.durable() != backup.image;
            server.disk.replace(backup.image);
            if is_change && !is_outside {
                self.note_loss(at);
            }
        }
        self.happened(Probe::BackupRestored, Some(at));
        if backup.was_replaced {
            self.happened(Probe::CopyTookOver, Some(at));
        }
        let kind = self.schedule.faults.get(fault).map(|fault| &fault.kind);
        if let Some(&FaultKind::RestoreBackup {
            restart_after, lasts, ..
        }) = kind
        {
            self.start_after(at, restart_after);
            if backup.takeovers > 0 {
                let servers = 1 << at;
                self.push_after(lasts, Event::Relent { fault, servers });
            }
        }
    }

    /// After a crash: loses what the disk had lied about, unless that would exceed a budget that the nemesis respects.
    pub(super) fn expose_lie(&mut self, at: usize) {
        let Some(server) = self.servers.get(at) else {
            return;
        };
        let Some(truth) = server.disk.lied_about().cloned() else {
            return;
        };
        let is_spared = self.respects_budget() && (self.is_spared(at) || self.exceeds(at, Some(&truth)));
        let Some(server) = self.servers.get_mut(at) else {
            return;
        };
        if is_spared {
            server.disk.make_lied_syncs();
            return self.happened(Probe::DamageSpared, Some(at));
        }
        server.disk.expose_lie();
        if self.budget.standing(at) != Standing::Outside {
            self.note_loss(at);
        }
        self.happened(Probe::LieExposed, Some(at));
    }

    fn corrupt(
        &mut self,
        at: usize,
        record: Record,
        restart_after: Option<crate::nanos::Nanos>,
        draws: &mut Draws,
    ) {
        if self.is_spared(at) {
            return self.happened(Probe::DamageSpared, Some(at));
        }
        let rot = self
            .servers
            .get_mut(at)
            .and_then(|server| server.disk.corrupt(record, draws));
        let Some(rot) = rot else { return };
        if self.tells() {
            let place = Place::Server(node_at(at));
            self.tell(self.event, place, "rot", rot.to_string());
        }
        // It may be read at any time from now on, and then the server stops for good.
        self.damaged |= 1 << at;
        self.happened(Probe::RecordCorrupted, Some(at));
        if restart_after.is_some() {
            self.crash(at, Survival::Random);
            self.start_after(at, restart_after);
        }
    }

    /// Takes note that a server has forgotten what it had reported as synced.
    fn note_loss(&mut self, at: usize) {
        self.budget.note(at, Standing::Forgetful);
        if self.decides_alone(at) {
            // It can elect itself twice in one term without sending a message.
            self.exceed("the only voter forgot something");
        }
        // Whether a new disk that waits outside may believe in a first start depends on the other logs as they are now.
        let waits = (0..self.founders).any(|place| self.budget.standing(place) == Standing::Outside);
        if waits && Budget::looks_new(self.founders, self.empty_logs(usize::MAX)) {
            self.exceed("empty logs are a quorum, and a new disk may take that for the first start");
        }
        self.count_copies(0);
    }

    /// Counts the copies of committed entries, except the first `skip`.
    pub(super) fn count_copies(&mut self, skip: usize) {
        if self.budget.is_exceeded() {
            return;
        }
        let servers = &self.servers;
        let image = |place: usize| servers.get(place).map(|server| server.disk.durable());
        if !self.budget.covers_committed(&self.oracles.facts, skip, image) {
            self.exceed("a quorum of voters lacks a committed entry");
        }
    }

    /// Records that the fault budget is exceeded.
    pub(super) fn exceed(&mut self, why: &str) {
        if self.budget.is_exceeded() && self.coverage.count(Probe::BudgetExceeded) > 0 {
            return;
        }
        self.budget.exceed();
        self.hash_event(16, 0);
        if self.tells() {
            self.tell(self.event, Place::World, "class C", why.to_owned());
        }
        self.happened(Probe::BudgetExceeded, None);
    }

    /// Whether the nemesis leaves out faults that would exceed the budget.
    fn respects_budget(&self) -> bool {
        self.schedule.class == Class::B && !self.budget.is_exceeded()
    }

    /// Whether class B spares this disk: it damages the disk of one server only.
    pub(super) fn is_spared(&self, at: usize) -> bool {
        self.schedule.class == Class::B && self.damaged_servers() & !(1 << at) != 0
    }

    /// The servers whose disks have broken Raft's assumptions, or may do so at any time.
    pub(super) fn damaged_servers(&self) -> u8 {
        let is_damaged = |place: usize| {
            let standing = self.budget.standing(place);
            let lies = self
                .servers
                .get(place)
                .is_some_and(|server| server.disk.is_lying());
            lies || !matches!(standing, Standing::Sound | Standing::Admitted(_))
        };
        let found = (0..self.servers.len()).filter(|&place| is_damaged(place));
        found.fold(self.damaged, |set, place| set | 1 << place)
    }

    /// Counts the servers, other than this one, that the cluster began with and whose log on disk is empty. Servers
    /// that are added later take no part in a first start.
    fn empty_logs(&self, but: usize) -> usize {
        let founders = self.servers.iter().take(self.founders).enumerate();
        let others = founders.filter(|&(place, _)| place != but);
        others
            .filter(|(_, server)| server.disk.durable().has_no_log())
            .count()
    }

    /// Whether this server alone is a quorum of some configuration that may be in force.
    fn decides_alone(&self, at: usize) -> bool {
        let facts = &self.oracles.facts;
        let mut electorates = facts.electorates(facts.last_committed());
        electorates.any(|membership| is_quorum(membership, |node| place_of(node) == at))
    }

    /// Whether the budget would be exceeded if this server's disk held this image, or nothing, from now on. In doubt it
    /// returns true.
    fn exceeds(&self, at: usize, image: Option<&Image>) -> bool {
        let Some(server) = self.servers.get(at) else {
            return true;
        };
        let Some(image) = image else {
            return self.is_founder(at) && Budget::looks_new(self.founders, self.empty_logs(at) + 1);
        };
        // A vote that is forgotten would be contradicted sooner or later.
        let held = image.hard_state;
        let forgets = |(term, node)| held.term < term || (held.term == term && held.vote != Some(node));
        if self.decides_alone(at) || self.budget.last_vote(at).is_some_and(forgets) {
            return true;
        }
        // Entries that are not committed yet count as well: their acknowledgements may be in flight.
        let now = server.disk.durable();
        let is_lost = |id| now.log_id(id) != image.log_id(id);
        let facts = &self.oracles.facts;
        let committed = facts.last_committed();
        let uncommitted = now.entries().map(|entry| entry.id).filter(|id| {
            is_lost(id.index)
                && !self.budget.is_held(facts, committed, |place| {
                    place != at
                        && self
                            .servers
                            .get(place)
                            .is_some_and(|server| server.disk.durable().log_id(id.index) == Some(*id))
                })
        });
        let image_of = |place: usize| match place == at {
            true => Some(image),
            false => self.servers.get(place).map(|server| server.disk.durable()),
        };
        let above = |id: raft_core::LogId| Some(id.index) > committed;
        uncommitted.into_iter().any(above) || !self.budget.covers_committed(facts, 0, image_of)
    }

    /// S21: a server that is told that its data folder went back, or was copied, has that written at once, and sends
    /// nothing from then on.
    pub(super) fn keeps_silent(&mut self, at: usize, outputs: &[OutputOf<W>]) -> Judgement {
        let Some(server) = self.servers.get_mut(at).filter(|server| !server.disk_failed) else {
            return Ok(());
        };
        let Some(replica) = &server.replica else {
            return Ok(());
        };
        let node = server.node;
        if server.silenced {
            let sent = outputs.iter().find_map(|output| match output {
                Output::Send(envelope) => Some(envelope.message.name()),
                _ => None,
            });
            return match sent {
                Some(name) => violated(
                    Oracle::S21,
                    format!(
                        "server {node} sends {name}, although it was told that its folder does not count"
                    ),
                ),
                None => Ok(()),
            };
        }
        server.silenced = replica.raft().hard_state().silenced;
        if server.silenced {
            let is_noted = |output: &OutputOf<W>| {
                matches!(output, Output::Persist(persist)
                    if persist.hard_state.as_ref().is_some_and(|state| state.silenced))
            };
            if !outputs.iter().any(is_noted) {
                let message =
                    format!("server {node} is told that its folder does not count, and does not note it");
                return violated(Oracle::S21, message);
            }
            self.happened(Probe::FolderSilenced, Some(at));
        }
        Ok(())
    }

    /// S21 and the budget's votes: a server puts this message on the wire.
    pub(super) fn judge_promises(&mut self, at: usize, envelope: &Envelope) -> Judgement {
        let Some(server) = self.servers.get(at) else {
            return Ok(());
        };
        if self.budget.is_exceeded() {
            return Ok(());
        }
        let was = self.budget.standing(at);
        let facts = &self.oracles.facts;
        let verdict = self
            .budget
            .sends(facts, at, server.incarnation, server.boot, envelope)?;
        if was != self.budget.standing(at) {
            self.happened(Probe::NewDiskAdmitted, Some(at));
            // It votes from now on, and holds almost nothing.
            self.count_copies(0);
        }
        match verdict {
            Verdict::Kept => {}
            Verdict::Broken => self.happened(Probe::PromiseBroken, Some(at)),
            Verdict::Exceeded => self.exceed("a server contradicts a vote that its disk has forgotten"),
        }
        Ok(())
    }

    /// A write finds the disk full, which a server treats as a failure.
    pub(super) fn refuse_write(&mut self, at: usize) {
        let Some(server) = self.servers.get_mut(at) else {
            return;
        };
        if std::mem::replace(&mut server.write_refused, true) {
            return;
        }
        let (boot, fault) = (server.boot, server.full_by);
        self.push(self.now, Event::DiskFails { server: at, boot });
        self.die_soon(at, boot, fault);
        self.happened(Probe::DiskFull, Some(at));
    }

    /// A server cannot be started from its disk. It stays down, as it promises.
    pub(super) fn refuse_start(&mut self, cause: u64, at: usize, why: &crate::disk::Rotten) {
        self.hash_event(17, at as u64);
        if self.tells() {
            let place = Place::Server(node_at(at));
            self.tell(cause, place, "refuse", why.to_string());
        }
        self.budget.note(at, Standing::Dead);
        self.happened(Probe::StartRefused, Some(at));
    }

    /// Ends the damage: syncs that were lied about are made, and no more backups are put back.
    pub(super) fn end_damage(&mut self) {
        self.backups.clear();
        for server in &mut self.servers {
            server.disk.make_lied_syncs();
            server.full = 0;
        }
    }
}

/// Whether this oracle is judged whatever disks do: nothing corrupt is believed, nothing panics, there is no storm of
/// events, and no replica breaks its own rules.
const fn is_judged_always(oracle: Oracle) -> bool {
    matches!(
        oracle,
        Oracle::S22 | Oracle::S23 | Oracle::S24 | Oracle::S25 | Oracle::Core
    )
}
