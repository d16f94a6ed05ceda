//! One server: the shipping replica while it runs, and what survives its process.

use std::collections::VecDeque;

use raft_core::replica::Replica;
use raft_core::{Incarnation, Limited, LogId, NodeId, RoleName, Term, Vitals};

use super::Event;
use super::observe::Conduct;
use crate::clock::Clock;
use crate::disk::Disk;
use crate::nanos::Nanos;
use crate::random::{Domain, Seed};
use crate::recording::Standing;
use crate::schedule::{Knobs, Schedule};
use crate::wall::WallClock;
use crate::witness::Witness;
use crate::workload::Workload;

/// One server.
pub(super) struct Server<W: Workload> {
    pub(super) node: NodeId,
    pub(super) incarnation: Incarnation,
    /// The data folder that it had before any disk was replaced.
    pub(super) first_incarnation: Incarnation,
    /// Numbers the starts of this server, whatever its data folder counts.
    pub(super) boot: u64,
    /// How many starts its data folder counts; one that was put back counts on from the copy.
    pub(super) counted: u32,
    pub(super) disk: Disk,
    pub(super) clock: Clock,
    /// The rate of the clock when no fault changes it.
    pub(super) drift_ppm: i64,
    /// What it shows of the time of day, if the host gives that to the core.
    pub(super) wall: Option<WallClock>,
    /// Until when its ticks were last no measure of time, if they ever were.
    pub(super) ticks_mislead_until: Option<Nanos>,
    /// The settings of the present start.
    pub(super) knobs: Knobs,
    /// None while the process is not running.
    pub(super) replica: Option<Replica<Witness<W::Machine>>>,
    /// The vitals after the last step.
    pub(super) vitals: Vitals,
    /// The entry that set the configuration in force after the last step.
    pub(super) configuration: Option<LogId>,
    /// What is remembered of this boot.
    pub(super) conduct: Conduct,
    /// The clock's reading at this start, in ticks, and how many ticks the replica has been told of since.
    pub(super) boot_ticks: u64,
    pub(super) ticks_told: u64,
    /// When the next wake-up comes, if one is scheduled.
    pub(super) wake_at: Option<Nanos>,
    /// Whether its machine is busy with what the last step applied.
    pub(super) is_applying: bool,
    /// Since when it has been busy that way without a break, and until when.
    pub(super) applies: (Nanos, Nanos),
    /// How many faults pause it, and the events that it has missed meanwhile.
    pub(super) pauses: u32,
    pub(super) missed: VecDeque<Event>,
    /// How many faults partition it from clients.
    pub(super) client_cuts: u32,
    /// The process dies after so many more outputs, of this fault.
    pub(super) dying: Option<(u32, usize)>,
    /// Whether its disk has failed in this boot.
    pub(super) disk_failed: bool,
    /// How many faults have filled its disk, the latest of them, and whether a write of this boot was refused for it.
    pub(super) full: u32,
    pub(super) full_by: usize,
    pub(super) write_refused: bool,
    /// Whether it began outside, and a configuration has admitted it with this data folder.
    pub(super) admitted: bool,
    /// Whether it was told that its data folder went back or was copied.
    pub(super) silenced: bool,
    /// Whether it stays down for good.
    pub(super) retired: bool,
    /// The program that it runs, where there are two.
    pub(super) program: Option<u32>,
    /// When it last ran the newer one, if it does not run that now.
    pub(super) ran_newer: Option<Nanos>,
    /// How often each limit held something back since its start.
    pub(super) limited: Limited,
    /// Since when it has led, if it does.
    pub(super) leads_since: Nanos,
    /// Since which tick of this boot its program has not understood what is committed.
    pub(super) stuck_since: Option<u64>,
}

/// The vitals of a server that is not running.
pub(super) const NOTHING: Vitals = Vitals {
    role: RoleName::Joining,
    term: Term::ZERO,
    leader: None,
    last: None,
    durable: None,
    commit: None,
    applied: None,
};

impl<W: Workload> Server<W> {
    pub(super) fn new(seed: Seed, schedule: &Schedule, place: usize) -> Self {
        let number = place as u64 + 1;
        let draw = seed.quick(Domain::Timers, place as u64, 0, 0);
        let drift = i64::from(schedule.weather.clock_drift_ppm);
        let drift_ppm =
            i64::try_from(draw.part(1).below(2 * drift.unsigned_abs() + 1)).unwrap_or(drift) - drift;
        let tick = schedule.tick_of(seed, place);
        let phase = Nanos::new(draw.below(tick.value()));
        let incarnation = Incarnation::new(draw.part(2).bits() >> 1 | 1);
        Self {
            node: NodeId::new(number),
            incarnation,
            first_incarnation: incarnation,
            boot: 0,
            counted: 0,
            disk: Disk::new(seed, place as u64),
            clock: Clock::new(tick, phase, drift_ppm),
            drift_ppm,
            wall: (schedule.knobs.wall_clocks).then(|| WallClock::new(seed, place as u64, drift_ppm)),
            ticks_mislead_until: None,
            knobs: schedule.knobs,
            replica: None,
            vitals: NOTHING,
            configuration: None,
            conduct: Conduct::default(),
            boot_ticks: 0,
            ticks_told: 0,
            wake_at: None,
            is_applying: false,
            applies: (Nanos::ZERO, Nanos::ZERO),
            pauses: 0,
            missed: VecDeque::new(),
            client_cuts: 0,
            dying: None,
            disk_failed: false,
            full: 0,
            full_by: 0,
            write_refused: false,
            admitted: false,
            silenced: false,
            retired: false,
            program: None,
            ran_newer: None,
            limited: Limited::default(),
            leads_since: Nanos::ZERO,
            stuck_since: None,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.replica.is_some()
    }

    /// Whether what reaches it has to wait.
    pub(super) const fn is_busy(&self) -> bool {
        self.pauses > 0 || self.is_applying
    }

    /// Whether its disk has refused a write, so that it knows more than it can keep.
    pub(super) const fn has_to_restart(&self) -> bool {
        self.disk_failed || self.write_refused
    }

    /// Returns how many ticks of this boot have passed by its own clock. A clock that was put back shows no new ticks
    /// until it has caught up.
    pub(super) fn ticks_by(&self, now: Nanos) -> u64 {
        let ticks = self.clock.ticks(now).saturating_sub(self.boot_ticks);
        ticks.max(self.ticks_told)
    }

    /// Notes that its ticks are no measure of time until then.
    pub(super) fn ticks_mislead(&mut self, until: Nanos) {
        self.ticks_mislead_until = self.ticks_mislead_until.max(Some(until));
    }

    /// Whether its clock runs at its own rate, and has not been put back.
    pub(super) fn counts_time(&self, now: Nanos) -> bool {
        self.clock.runs_at(self.drift_ppm) && self.clock.ticks(now) >= self.boot_ticks + self.ticks_told
    }

    pub(super) fn leads(&self) -> bool {
        self.is_running() && self.vitals.role == RoleName::Leader
    }

    /// Returns its state, for the observer.
    pub(super) fn standing(&self) -> Standing<'_> {
        let flags = [
            self.pauses > 0,
            self.disk_failed && self.is_running(),
            self.full > 0,
            self.disk.extra > Nanos::ZERO,
            self.client_cuts > 0,
            self.retired,
        ];
        let bits = flags.into_iter().zip(0..);
        Standing {
            raft: self.replica.as_ref().map(Replica::raft),
            vitals: &self.vitals,
            disk: &self.disk,
            flags: bits.map(|(is_so, bit)| u64::from(is_so) << bit).sum(),
        }
    }

    /// Whether an event of this boot can reach the process.
    pub(super) fn is_boot(&self, boot: u64) -> bool {
        self.is_running() && self.boot == boot
    }
}
