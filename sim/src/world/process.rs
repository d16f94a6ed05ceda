//! Faults of processes and their clocks.

use super::{Event, Phase, Simulation};
use crate::coverage::Probe;
use crate::nanos::Nanos;
use crate::places::node_at;
use crate::report::Place;
use crate::schedule::{Class, FaultKind, NEWER, Survival};
use crate::workload::Workload;

/// How long a server whose disk has failed keeps running before it exits by itself.
const FAILED_SERVER_LINGERS: Nanos = Nanos::from_millis(50);

impl<W: Workload> Simulation<'_, W> {
    /// A process dies of a fault, which decides what the disk keeps.
    pub(super) fn crash_by(&mut self, place: usize, fault: usize) {
        let (keep, restart_after) = match self.schedule.faults.get(fault).map(|fault| &fault.kind) {
            Some(
                &(FaultKind::Crash {
                    keep, restart_after, ..
                }
                | FaultKind::FailDisk {
                    keep, restart_after, ..
                }),
            ) => (keep, restart_after),
            Some(&FaultKind::FullDisk { restart_after, .. }) => (Survival::Random, Some(restart_after)),
            _ => (Survival::Random, None),
        };
        let has_phantoms = matches!(
            self.schedule.faults.get(fault).map(|fault| &fault.kind),
            Some(FaultKind::FailDisk { phantom: true, .. })
        );
        if self.crash_leaving(place, keep, has_phantoms)
            && let Some(after) = restart_after
        {
            self.push_after(after, Event::Start { server: place });
        }
    }

    /// A process dies. Returns whether it was alive.
    pub(super) fn crash(&mut self, place: usize, keep: Survival) -> bool {
        self.crash_leaving(place, keep, false)
    }

    /// A process dies, and may leave unsynced pages in memory that count as clean.
    fn crash_leaving(&mut self, place: usize, keep: Survival, has_phantoms: bool) -> bool {
        let Some(server) = self.servers.get_mut(place).filter(|server| server.is_running()) else {
            return false;
        };
        server.replica = None;
        if server.program == Some(NEWER) {
            server.ran_newer = Some(self.now);
        }
        if self.is_wired {
            self.break_connections(place);
        }
        let Some(server) = self.servers.get_mut(place) else {
            return false;
        };
        self.quiet.disturb(place, self.now);
        server.missed.clear();
        server.is_applying = false;
        server.wake_at = None;
        server.dying = None;
        let had_unsynced = server.disk.has_unsynced();
        let has_phantoms = has_phantoms && server.disk.has_unsynced() && !server.disk.is_lying();
        let aftermath = match has_phantoms {
            true => server.disk.crash_with_phantoms(),
            false => server.disk.crash(keep),
        };
        self.hash_event(13, place as u64);
        self.hash.word(aftermath.kept as u64);
        if self.tells() {
            self.tell(
                self.event,
                Place::Server(node_at(place)),
                "crash",
                aftermath.to_string(),
            );
        }
        for (probe, happened) in [
            (Probe::Crash, true),
            (Probe::CrashUnsynced, had_unsynced),
            (
                Probe::CrashKeptSome,
                aftermath.kept > 0 && aftermath.kept < aftermath.unsynced,
            ),
            (Probe::CrashTorn, aftermath.torn),
            (Probe::CrashGap, aftermath.gap),
        ] {
            if happened {
                self.happened(probe, Some(place));
            }
        }
        if has_phantoms {
            self.happened(Probe::DiskLies, Some(place));
        } else if self.schedule.class != Class::A {
            self.expose_lie(place);
        }
        true
    }

    /// Lets a server whose disk is unusable die of it before long.
    pub(super) fn die_soon(&mut self, place: usize, boot: u64, fault: usize) {
        self.push_after(
            FAILED_SERVER_LINGERS,
            Event::Die {
                server: place,
                boot,
                fault,
            },
        );
    }

    /// A process dies of an earlier fault, unless it was started again since.
    pub(super) fn die(&mut self, place: usize, boot: u64, fault: usize) {
        let is_same = self.servers.get(place).is_some_and(|server| server.is_boot(boot));
        if is_same && self.phase == Phase::Faulty {
            self.crash_by(place, fault);
        }
    }

    pub(super) fn pause(&mut self, place: usize, lasts: Nanos) {
        let timing = &self.schedule.knobs;
        let election = self
            .schedule
            .longest_tick()
            .times(timing.election_timeout_max_ticks);
        let Some(server) = self.servers.get_mut(place) else {
            return;
        };
        server.pauses += 1;
        let leads = server.leads();
        self.happened(Probe::Pause, Some(place));
        if leads && lasts > election {
            self.happened(Probe::PauseLeader, Some(place));
        }
    }

    /// A process resumes, and receives everything that it missed.
    pub(super) fn resume(&mut self, place: usize) {
        let Some(server) = self.servers.get_mut(place) else {
            return;
        };
        server.pauses = server.pauses.saturating_sub(1);
        if server.pauses > 0 {
            return;
        }
        // It may receive answers to requests that are long over.
        self.quiet.disturb_all(self.now);
        self.catch_up(place);
    }

    /// A server's machine has taken some entries, which keeps the server busy if it is slow.
    pub(super) fn applies(&mut self, place: usize, entries: u64) {
        let takes = self.workload.apply_takes().times(entries);
        let now = self.now;
        let Some(server) = self
            .servers
            .get_mut(place)
            .filter(|server| takes > Nanos::ZERO && server.is_running())
        else {
            return;
        };
        server.is_applying = true;
        // What waits may have waited since the machine was last idle.
        let from = match server.applies {
            (from, until) if until == now => from,
            _ => now,
        };
        server.applies = (from, now + takes);
        let boot = server.boot;
        self.quiet.is_busy(from, now + takes);
        self.push_after(takes, Event::Applied { server: place, boot });
    }

    /// A slow machine has done what its server gave it.
    pub(super) fn applied(&mut self, place: usize, boot: u64) {
        let Some(server) = self.servers.get_mut(place).filter(|server| server.is_boot(boot)) else {
            return;
        };
        server.is_applying = false;
        self.hash_event(23, place as u64);
        self.catch_up(place);
    }

    /// A server receives everything that it missed, unless it is busy still.
    fn catch_up(&mut self, place: usize) {
        let Some(server) = self.servers.get_mut(place).filter(|server| !server.is_busy()) else {
            return;
        };
        for event in std::mem::take(&mut server.missed) {
            // A wake-up counts only at the time for which it was ordered.
            if let Event::Wake { .. } = event
                && let Some(server) = self.servers.get_mut(place)
            {
                server.wake_at = Some(self.now);
            }
            self.push(self.now, event);
        }
    }

    pub(super) fn change_clock(
        &mut self,
        place: usize,
        change: impl FnOnce(&mut crate::clock::Clock, Nanos),
    ) {
        let now = self.now;
        if let Some(server) = self.servers.get_mut(place) {
            change(&mut server.clock, now);
            server.ticks_mislead(now);
            server.wake_at = None;
        }
        self.reschedule(place);
    }

    /// Lets the clock run at its rate from before all faults.
    pub(super) fn restore_clock_rate(&mut self, place: usize) {
        let drift_ppm = self.servers.get(place).map_or(0, |server| server.drift_ppm);
        self.change_clock(place, |clock, now| clock.run_at(now, drift_ppm));
    }
}
