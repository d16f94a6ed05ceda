//! Families of faults, which can be left out together: a finding without a family did not need it.

use super::{FaultKind, Schedule};

/// A family of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Processes die, and start again.
    Crashes,
    /// Processes are paused.
    Pauses,
    /// Links are cut, flap, or keep what is on them; connections break.
    Partitions,
    /// Messages are lost, duplicated, overtaken or damaged, in all weathers and storms.
    BadLinks,
    /// Disks are slow, full, fail, lie, rot, are lost, or return to earlier contents.
    Disks,
    /// Clocks run wrong, or jump.
    Clocks,
    /// Requests of an operator or host: a campaign, a snapshot, another leader, another configuration.
    Wishes,
}

impl Family {
    /// All families.
    pub const ALL: [Self; 7] = [
        Self::Crashes,
        Self::Pauses,
        Self::Partitions,
        Self::BadLinks,
        Self::Disks,
        Self::Clocks,
        Self::Wishes,
    ];

    /// Returns the name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crashes => "crashes",
            Self::Pauses => "pauses",
            Self::Partitions => "partitions",
            Self::BadLinks => "bad links",
            Self::Disks => "disks",
            Self::Clocks => "clocks",
            Self::Wishes => "wishes",
        }
    }

    /// Returns the family of a fault.
    pub const fn of(kind: &FaultKind) -> Self {
        match kind {
            FaultKind::Crash { .. } => Self::Crashes,
            FaultKind::Pause { .. } => Self::Pauses,
            FaultKind::Partition { .. }
            | FaultKind::BreakConnections { .. }
            | FaultKind::CutClients { .. } => Self::Partitions,
            FaultKind::Storm { .. } => Self::BadLinks,
            FaultKind::SlowDisk { .. }
            | FaultKind::FailDisk { .. }
            | FaultKind::FullDisk { .. }
            | FaultKind::WipeDisk { .. }
            | FaultKind::LyingDisk { .. }
            | FaultKind::RestoreBackup { .. }
            | FaultKind::CorruptDisk { .. } => Self::Disks,
            FaultKind::ClockRate { .. } | FaultKind::ClockJump { .. } => Self::Clocks,
            FaultKind::Campaign { .. }
            | FaultKind::Snapshot { .. }
            | FaultKind::ChangeMembership { .. }
            | FaultKind::TransferLeadership { .. } => Self::Wishes,
        }
    }
}

impl Schedule {
    /// Returns the schedule without this family. What its probes require may no longer happen.
    #[must_use]
    pub fn without(mut self, family: Family) -> Self {
        self.faults.retain(|fault| Family::of(&fault.kind) != family);
        let (network, disk) = (&mut self.weather.network, &mut self.weather.disk);
        match family {
            Family::BadLinks => {
                network.loss_permyriad = 0;
                network.duplicate_permyriad = 0;
                network.reorder_permyriad = 0;
                network.corrupt_permyriad = 0;
            }
            Family::Disks => disk.stall_permyriad = 0,
            Family::Clocks => self.weather.clock_drift_ppm = 0,
            Family::Crashes | Family::Pauses | Family::Partitions | Family::Wishes => {}
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::Profile;
    use crate::kv::KeyValue;

    #[test]
    fn a_schedule_without_a_family_has_nothing_of_it_and_runs() {
        let mut seen = [0; Family::ALL.len()];
        for seed in 0..40 {
            let whole = Profile::Swarm.schedule(seed);
            for (family, seen) in Family::ALL.into_iter().zip(&mut seen) {
                let left = whole.clone().without(family);
                *seen += whole.faults.len() - left.faults.len();
                assert!(left.faults.iter().all(|fault| Family::of(&fault.kind) != family));
                let report = crate::run(&left, &KeyValue).expect("the schedule can be run");
                assert_eq!(report.violation, None, "seed {seed} without {}", family.name());
            }
        }
        assert!(seen.iter().all(|&seen| seen > 0), "{seen:?}");
    }
}
