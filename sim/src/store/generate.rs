//! Turns a seed into a run of the store.

use super::schedule::{Change, DiskFault, DiskFaultKind, Keep, Step, StoreProfile, StoreSchedule, Write};
use crate::random::{Domain, Draws, Seed};
use crate::schedule::Class;

/// Roughly how many calls that change something a step makes, and how many the creation of a store.
const CALLS_PER_STEP: u64 = 7;
const CALLS_TO_CREATE: u64 = 20;

impl StoreSchedule {
    /// Returns the schedule of this seed. Half of all seeds stay within the disk's contract (class A).
    pub fn of(seed: u64) -> Self {
        let mut draws = Seed(seed).careful(Domain::Store, 0, 0, 1);
        let class = match draws.below(4) {
            0 | 1 => Class::A,
            2 => Class::B,
            _ => Class::C,
        };
        let journal_bytes = draws.pick(&[4, 16, 32, 128]).unwrap_or(16) << 10;
        let largest = draws.pick(&[40, 300, 3_000, 12_000]).unwrap_or(300);
        let steps = (0..draws.between(4, 40))
            .map(|_| step(&mut draws, class, largest))
            .collect();
        let mut schedule = Self {
            profile: StoreProfile::Store,
            seed,
            class,
            journal_bytes,
            steps,
            faults: Vec::new(),
        };
        schedule.faults = faults(&mut draws, &schedule);
        schedule
    }
}

fn step(draws: &mut Draws, class: Class, largest: u64) -> Step {
    match draws.below(100) {
        0..70 => {
            let writes = (0..draws.pick(&[1, 1, 1, 2, 4]).unwrap_or(1)).map(|_| write(draws, largest));
            Step::Persist {
                writes: writes.collect(),
            }
        }
        70..80 => Step::Load {
            from_permyriad: draws.below(10_000),
            max_bytes: draws.pick(&[0, 1_000, 1 << 20]).unwrap_or_default(),
        },
        80..88 => Step::Reopen,
        _ => Step::Crash {
            keep: keep(draws, class),
        },
    }
}

fn write(draws: &mut Draws, largest: u64) -> Write {
    let bytes = draws.between(0, largest);
    let change = match draws.below(100) {
        0..50 => Change::Append {
            count: draws.between(1, 12),
            bytes,
        },
        50..65 => Change::Replace {
            back: draws.between(1, 8),
            count: draws.between(0, 6),
            bytes,
        },
        65..75 => Change::Vote,
        75..85 => Change::Commit,
        85..96 => Change::Snapshot {
            back: draws.between(0, 5),
            retain: draws.between(0, 10),
            bytes: bytes * 4,
        },
        _ => Change::Install {
            ahead: draws.between(1, 20),
            bytes: bytes * 4,
        },
    };
    Write {
        change,
        sync: draws.chance(7_000),
    }
}

fn keep(draws: &mut Draws, class: Class) -> Keep {
    let kinds: &[Keep] = match class {
        Class::A => &[
            Keep::Everything,
            Keep::Nothing,
            Keep::Drawn,
            Keep::Drawn,
            Keep::Drawn,
        ],
        Class::B | Class::C => &[
            Keep::Everything,
            Keep::Nothing,
            Keep::Drawn,
            Keep::Drawn,
            Keep::Garbage,
        ],
    };
    draws.pick(kinds).unwrap_or(Keep::Nothing)
}

fn faults(draws: &mut Draws, schedule: &StoreSchedule) -> Vec<DiskFault> {
    let class = schedule.class;
    let calls = CALLS_TO_CREATE + CALLS_PER_STEP * schedule.steps.len() as u64;
    let mut faults: Vec<DiskFault> = Vec::new();
    let mut add = |at, kind| {
        let id = u32::try_from(faults.len() + 1).unwrap_or(u32::MAX);
        faults.push(DiskFault { id, at, kind });
    };
    let place = |draws: &mut Draws| match draws.chance(1_500) {
        true => draws.between(1, CALLS_TO_CREATE),
        false => draws.between(1, calls),
    };
    for _ in 0..draws.below(5) {
        let mut at = place(draws);
        // One crash in three is followed by another while the store recovers.
        for _ in 0..draws.pick(&[1, 1, 2, 3]).unwrap_or(1) {
            let keep = keep(draws, class);
            add(at, DiskFaultKind::Crash { keep });
            at += draws.between(1, 15);
        }
    }
    if draws.chance(3_500) {
        for _ in 0..draws.between(1, 3) {
            let kinds = [
                DiskFaultKind::FailWrite,
                DiskFaultKind::FailSync,
                DiskFaultKind::FailSync,
                DiskFaultKind::FailRead,
                DiskFaultKind::ShortRead,
                DiskFaultKind::Full {
                    operations: draws.between(1, 30),
                },
            ];
            let kind = draws.pick(&kinds).unwrap_or(DiskFaultKind::FailSync);
            let at = place(draws);
            add(at, kind);
            // A loss by a failed sync shows when the power fails after the process has come back.
            if kind == DiskFaultKind::FailSync && draws.chance(5_000) {
                let keep = keep(draws, class);
                add(at + draws.between(1, 30), DiskFaultKind::Crash { keep });
            }
        }
    }
    let kinds: &[DiskFaultKind] = match class {
        Class::A => &[],
        Class::B => &[DiskFaultKind::Rot { bits: 1 }, DiskFaultKind::Rot { bits: 16 }],
        Class::C => &[
            DiskFaultKind::MisdirectWrite,
            DiskFaultKind::LoseWrite,
            DiskFaultKind::LieSync,
            DiskFaultKind::LieSync,
            DiskFaultKind::OldImage { operations: 40 },
        ],
    };
    for _ in 0..draws.between(1, 3) {
        if let Some(kind) = draws.pick(kinds) {
            add(place(draws), kind);
        }
    }
    faults
}
