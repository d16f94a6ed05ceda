//! Turns a seed into a schedule.
//!
//! *Swarm* testing (Groce and others, 2012): each seed first draws which families of faults exist at all, then how
//! strong they are. A run with every fault at once rarely reaches an interesting state; a run with two of them often
//! does. Then the library's settings are turned to extremes, and a few triggers place faults at the most delicate
//! moments.

mod clocks;
mod features;
mod fit;
mod further;
mod identities;
mod limits;
mod programs;
mod reconfigure;
mod snapshots;
mod themes;

use crate::coverage::Probe;
use crate::nanos::Nanos;
use crate::random::{Domain, Draws, Seed};
use crate::schedule::{
    Delivery, Fault, FaultKind, Heal, Knobs, NetworkWeather, Rest, Schedule, SessionPlan, Shape, Survival,
    Target, Trigger, When, WorkloadPlan,
};
use crate::workload::Workload;

/// What kind of schedule a seed gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "command", derive(clap::ValueEnum))]
pub enum Profile {
    /// Everything is drawn: sizes, settings, weather, faults.
    #[default]
    Swarm,
    /// Default settings and good weather; only the draws of weather and workload differ.
    Calm,
    /// Everything at once, as often and as strong as it gets.
    Hell,
    /// The benchmark: five servers, 60 simulated seconds, heartbeats every 100 ms, 20 operations a second, faults of
    /// every kind.
    Bench,
}

impl Profile {
    /// Returns the name, as the command line has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Swarm => "swarm",
            Self::Calm => "calm",
            Self::Hell => "hell",
            Self::Bench => "bench",
        }
    }

    /// Returns the schedule of this seed for a workload: that of the seed, made to fit its sizes, and under its
    /// name. Limits that are drawn small stay as small as its largest command allows; slow links and the number of
    /// operations are in proportion.
    pub fn schedule_for<W: Workload>(self, seed: u64, workload: &W) -> Schedule {
        let mut schedule = self.schedule(seed);
        schedule.fit(workload.sizes(&schedule.workload));
        schedule.slow_down(workload.apply_takes());
        workload.name().clone_into(&mut schedule.machine);
        schedule
    }

    /// Returns the schedule of this seed for the key-value store of the `sim` command, or for another workload whose
    /// commands have sixteen bytes or less.
    pub fn schedule(self, seed: u64) -> Schedule {
        match self {
            Self::Swarm => swarm(seed),
            Self::Calm => Schedule::calm(seed),
            Self::Hell => hell(seed),
            Self::Bench => bench(seed),
        }
    }
}

/// How many of 10,000 schedules have another cluster on the same network.
const STRANGERS_PERMYRIAD: u32 = 1_000;

/// A fault family: the chance that a seed has it, in 10,000, how many faults it then makes, and how one is drawn.
struct Family {
    permyriad: u32,
    strikes: u64,
    make: fn(&mut Draws) -> FaultKind,
}

const FAMILIES: &[Family] = &[
    Family {
        permyriad: 5_500,
        strikes: 6,
        make: crash,
    },
    Family {
        permyriad: 2_000,
        strikes: 2,
        make: power_cut,
    },
    Family {
        permyriad: 4_500,
        strikes: 5,
        make: partition,
    },
    Family {
        permyriad: 2_500,
        strikes: 4,
        make: pause,
    },
    Family {
        permyriad: 2_500,
        strikes: 3,
        make: storm,
    },
    Family {
        permyriad: 2_000,
        strikes: 3,
        make: slow_disk,
    },
    Family {
        permyriad: 1_500,
        strikes: 2,
        make: fail_disk,
    },
    Family {
        permyriad: 1_500,
        strikes: 3,
        make: clock,
    },
    Family {
        permyriad: 1_500,
        strikes: 3,
        make: cut_clients,
    },
    Family {
        permyriad: 2_000,
        strikes: 6,
        make: campaign,
    },
    Family {
        permyriad: 1_500,
        strikes: 4,
        make: snapshot,
    },
];

fn swarm(seed: u64) -> Schedule {
    let mut draws = Seed(seed).careful(Domain::Configuration, 0, 0, 0);
    let mut schedule = Schedule::calm(seed);
    schedule.cluster.servers = draws.pick(&[3, 3, 3, 3, 5, 5, 5, 5, 1, 2, 4, 6, 7]).unwrap_or(3);
    schedule.heal.at = draws.millis(2_000, 9_000);
    schedule.heal.rest = if draws.chance(5_000) {
        Rest::Broken
    } else {
        Rest::Healed
    };
    schedule.knobs = knobs(&mut draws);
    if draws.chance(2_000) {
        // Ten times shorter timeouts, against the same delays of network and disk.
        schedule.cluster.tick = Nanos::from_millis(1);
    }
    weather(&mut schedule, &mut draws);
    workload(&mut schedule, &mut draws);
    heal(&mut schedule);
    faults(&mut schedule, &mut draws);
    triggers(&mut schedule, &mut draws);
    themes::add_to(&mut schedule);
    sessions(&mut schedule);
    further::add_to(&mut schedule, false);
    reconfigure::add_to(&mut schedule, false);
    features::add_to(&mut schedule, false);
    identities::add_to(&mut schedule);
    programs::add_to(&mut schedule, false);
    clocks::add_to(&mut schedule);
    let strangers = Seed(seed).quick(Domain::Strangers, 0, 0, 0);
    schedule.knobs.strangers = strangers.chance(STRANGERS_PERMYRIAD);
    snapshots::add_to(&mut schedule, false);
    limits::add_to(&mut schedule);
    schedule
}

/// Everything at once, as often and as strong as it gets.
fn hell(seed: u64) -> Schedule {
    let mut draws = Seed(seed).careful(Domain::Configuration, 3, 0, 0);
    let mut schedule = Schedule::calm(seed);
    schedule.cluster.servers = draws.pick(&[3, 5, 5, 7]).unwrap_or(5);
    schedule.heal.at = draws.millis(6_000, 12_000);
    schedule.heal.rest = Rest::Broken;
    schedule.knobs = knobs(&mut draws);
    weather(&mut schedule, &mut draws);
    workload(&mut schedule, &mut draws);
    heal(&mut schedule);
    let end = schedule.heal.at.value();
    for family in FAMILIES {
        for _ in 0..draws.between(family.strikes, 2 * family.strikes) {
            let at = Nanos::from_micros(draws.between(100_000, end) / 1_000);
            let kind = (family.make)(&mut draws);
            add(&mut schedule, When::At(at), kind);
        }
    }
    triggers(&mut schedule, &mut draws);
    themes::add_to(&mut schedule);
    sessions(&mut schedule);
    further::add_to(&mut schedule, true);
    reconfigure::add_to(&mut schedule, true);
    features::add_to(&mut schedule, true);
    programs::add_to(&mut schedule, true);
    clocks::add_to(&mut schedule);
    let strangers = Seed(seed).quick(Domain::Strangers, 0, 0, 0);
    schedule.knobs.strangers = strangers.chance(STRANGERS_PERMYRIAD);
    snapshots::add_to(&mut schedule, true);
    schedule
}

/// Makes clients of some seeds use sessions, which servers forget early. The draws have a domain of their own, so that
/// everything else about a seed is the same as without sessions.
fn sessions(schedule: &mut Schedule) {
    let mut draws = Seed(schedule.seed).careful(Domain::Configuration, 2, 0, 0);
    if draws.chance(3_500) {
        // Commands are longer in a session, so limits of one command per append are raised to keep it at one.
        schedule.knobs.message_bytes = schedule.knobs.message_bytes.max(96);
        schedule.workload.sessions = Some(SessionPlan {
            sessions: draws.pick(&[2, 3, 8, 1_000]).unwrap_or(8),
            outcomes: draws.pick(&[1, 2, 4, 64]).unwrap_or(4),
            lifetime: draws
                .pick(&[200, 1_000, 5_000, 3_600_000].map(Nanos::from_millis))
                .unwrap_or_default(),
        });
    }
}

fn knobs(draws: &mut Draws) -> Knobs {
    let mut knobs = Knobs::default();
    if draws.chance(2_500) {
        knobs.message_bytes = 48;
    }
    if draws.chance(2_500) {
        knobs.inflight_messages = draws.between(1, 3);
    }
    if draws.chance(2_000) {
        knobs.apply_bytes = draws.between(1, 200);
    }
    if draws.chance(2_500) {
        knobs.tail_bytes = draws.between(1, 500);
    }
    if draws.chance(4_000) {
        knobs.snapshot_every_entries = draws.between(2, 30);
        knobs.snapshot_keep_entries = if draws.chance(5_000) {
            0
        } else {
            draws.between(0, 10)
        };
    }
    if draws.chance(3_000) {
        knobs.snapshot_chunk_bytes = draws.between(16, 128);
    }
    if draws.chance(2_000) {
        // A narrow range of election timeouts causes split votes.
        knobs.election_timeout_max_ticks = knobs.election_timeout_min_ticks + draws.between(3, 6);
    }
    if draws.chance(2_000) {
        knobs.snapshot_timeout_ticks = draws.between(5, 30);
    }
    knobs.shuffle_ties = draws.chance(5_000);
    knobs
}

fn weather(schedule: &mut Schedule, draws: &mut Draws) {
    let network = &mut schedule.weather.network;
    if draws.chance(4_000) {
        network.delay_max = draws.millis(3, 40);
    }
    if draws.chance(4_000) {
        network.loss_permyriad = draws.pick(&[20, 100, 500, 2_000]).unwrap_or(100);
    }
    if draws.chance(4_000) {
        network.duplicate_permyriad = draws.pick(&[100, 500, 2_000]).unwrap_or(100);
    }
    if draws.chance(4_000) {
        network.reorder_permyriad = draws.pick(&[100, 1_000, 5_000]).unwrap_or(100);
        network.reorder_by = draws.millis(1, 300);
    }
    let disk = &mut schedule.weather.disk;
    if draws.chance(4_000) {
        disk.sync_max = draws.millis(2, 60);
    }
    if draws.chance(2_500) {
        disk.stall_permyriad = draws.pick(&[20, 200, 1_000]).unwrap_or(20);
        disk.stall = draws.millis(50, 1_500);
    }
    disk.group_commit = draws.chance(5_000);
    disk.write_back = draws.millis(5, 2_000);
    if draws.chance(3_000) {
        schedule.weather.clock_drift_ppm = draws.pick(&[100, 10_000, 100_000]).unwrap_or(100) as u32;
    }
}

fn workload(schedule: &mut Schedule, draws: &mut Draws) {
    let end = schedule.heal.at.value();
    let operations = draws.between(20, 250);
    schedule.workload = WorkloadPlan {
        clients: u8::try_from(draws.between(1, 5)).unwrap_or(3),
        operations: u32::try_from(operations).unwrap_or(100),
        begin: Nanos::from_millis(200),
        interval: Nanos::new(end / operations),
        read_permyriad: draws.pick(&[0, 2_000, 5_000, 8_000]).unwrap_or(2_000),
        choices: draws.between(1, 8),
        attempt_timeout: draws.millis(100, 1_000),
        ..WorkloadPlan::default()
    };
}

/// Sets bounds that a correct cluster meets with room to spare: some dozens of elections, each delayed by the slowest
/// disk and network.
fn heal(schedule: &mut Schedule) {
    let Schedule {
        knobs,
        weather,
        cluster,
        ..
    } = &*schedule;
    let election = cluster.tick.times(knobs.election_timeout_max_ticks);
    let slow = weather.network.delay_max.times(2) + weather.disk.sync_max.times(2) + weather.disk.stall;
    let within = Nanos::from_secs(20) + election.times(40) + slow.times(100);
    schedule.heal = Heal {
        converge_within: within,
        serve_within: within,
        quiet_for: election.times(2),
        ..schedule.heal
    };
}

fn add(schedule: &mut Schedule, when: When, kind: FaultKind) {
    let id = u32::try_from(schedule.faults.len()).unwrap_or(u32::MAX) + 1;
    schedule.faults.push(Fault { id, when, kind });
}

fn faults(schedule: &mut Schedule, draws: &mut Draws) {
    let end = schedule.heal.at.value();
    for family in FAMILIES {
        if !draws.chance(family.permyriad) {
            continue;
        }
        for _ in 0..draws.between(1, family.strikes) {
            let at = Nanos::from_micros(draws.between(100_000, end) / 1_000);
            let kind = (family.make)(draws);
            add(schedule, When::At(at), kind);
        }
    }
}

/// Strikes where protocols break: right after elections, between append and sync, inside snapshots, at truncations.
fn triggers(schedule: &mut Schedule, draws: &mut Draws) {
    const EVENTS: &[Probe] = &[
        Probe::BecomeLeader,
        Probe::BecomeLeader,
        Probe::BecomeCandidate,
        Probe::IssueVote,
        Probe::IssueEntries,
        Probe::IssueEntries,
        Probe::IssueTruncate,
        Probe::TakeSnapshot,
        Probe::Compact,
        Probe::SendSnapshot,
        Probe::InstallSnapshot,
        Probe::LeaderCommits,
        Probe::WriteDone,
        Probe::LeaveJoining,
        Probe::Restart,
    ];
    for _ in 0..draws.below(4) {
        let event = draws.pick(EVENTS).unwrap_or(Probe::BecomeLeader);
        let is_frequent = matches!(
            event,
            Probe::IssueEntries | Probe::LeaderCommits | Probe::WriteDone
        );
        let nth = draws.between(1, if is_frequent { 60 } else { 4 });
        let after = if draws.chance(5_000) {
            Nanos::ZERO
        } else {
            Nanos::from_micros(draws.below(25_000))
        };
        let kind = match draws.below(4) {
            0 => partition_of(draws, Target::Subject),
            1 => FaultKind::Pause {
                target: Target::Subject,
                lasts: draws.millis(50, 1_500),
            },
            _ => crash_of(draws, Target::Subject),
        };
        add(schedule, When::On(Trigger { event, nth, after }), kind);
    }
}

fn victim(draws: &mut Draws) -> Target {
    draws
        .pick(&[Target::Leader, Target::Leader, Target::Follower, Target::Any])
        .unwrap_or(Target::Any)
}

fn crash(draws: &mut Draws) -> FaultKind {
    let target = victim(draws);
    crash_of(draws, target)
}

fn crash_of(draws: &mut Draws, target: Target) -> FaultKind {
    let after_outputs = draws
        .chance(4_000)
        .then(|| u32::try_from(draws.below(6)).unwrap_or(0));
    let restart_after = match draws.below(10) {
        0 => None,
        1..=4 => Some(Nanos::from_micros(draws.below(5_000))),
        _ => Some(draws.millis(5, 3_000)),
    };
    FaultKind::Crash {
        target,
        keep: Survival::Random,
        after_outputs,
        restart_after,
    }
}

fn power_cut(draws: &mut Draws) -> FaultKind {
    let target = draws
        .pick(&[Target::All, Target::Majority])
        .unwrap_or(Target::All);
    let restart_after = Some(draws.millis(0, 800));
    FaultKind::Crash {
        target,
        keep: Survival::Random,
        after_outputs: None,
        restart_after,
    }
}

fn partition(draws: &mut Draws) -> FaultKind {
    let target = victim(draws);
    partition_of(draws, target)
}

const MESSAGES: &[Delivery] = &[
    Delivery::DroppedAtSend,
    Delivery::DroppedAtDelivery,
    Delivery::Held,
];

fn partition_of(draws: &mut Draws, target: Target) -> FaultKind {
    const SHAPES: &[Shape] = &[
        Shape::Isolate,
        Shape::Isolate,
        Shape::Deaf,
        Shape::Mute,
        Shape::Halves,
        Shape::Pair,
        Shape::Bridge,
        Shape::Ring,
        Shape::Random,
    ];
    FaultKind::Partition {
        shape: draws.pick(SHAPES).unwrap_or(Shape::Isolate),
        target,
        messages: draws.pick(MESSAGES).unwrap_or_default(),
        flap_every: None,
        lasts: draws.millis(20, 3_000),
    }
}

fn pause(draws: &mut Draws) -> FaultKind {
    FaultKind::Pause {
        target: victim(draws),
        lasts: draws.millis(10, 2_000),
    }
}

fn storm(draws: &mut Draws) -> FaultKind {
    FaultKind::Storm {
        loss_permyriad: draws.pick(&[0, 500, 3_000]).unwrap_or(0),
        duplicate_permyriad: draws.pick(&[0, 1_000, 5_000]).unwrap_or(0),
        reorder_permyriad: draws.pick(&[0, 2_000, 8_000]).unwrap_or(0),
        delay: draws
            .pick(&[Nanos::ZERO, Nanos::from_millis(10), Nanos::from_millis(120)])
            .unwrap_or_default(),
        corrupt_permyriad: 0,
        lasts: draws.millis(50, 2_000),
    }
}

fn slow_disk(draws: &mut Draws) -> FaultKind {
    FaultKind::SlowDisk {
        target: victim(draws),
        extra: draws.millis(5, 400),
        lasts: draws.millis(100, 3_000),
    }
}

fn fail_disk(draws: &mut Draws) -> FaultKind {
    FaultKind::FailDisk {
        target: victim(draws),
        keep: Survival::Random,
        phantom: false,
        restart_after: Some(draws.millis(10, 1_000)),
    }
}

fn clock(draws: &mut Draws) -> FaultKind {
    match draws.below(2) {
        0 => FaultKind::ClockJump {
            target: victim(draws),
            by: draws.millis(10, 5_000),
            back: false,
        },
        _ => FaultKind::ClockRate {
            target: victim(draws),
            ppm: draws
                .pick(&[-500_000, -50_000, 50_000, 1_000_000])
                .unwrap_or(50_000),
            lasts: draws.millis(100, 3_000),
        },
    }
}

fn cut_clients(draws: &mut Draws) -> FaultKind {
    FaultKind::CutClients {
        target: victim(draws),
        lasts: draws.millis(50, 2_000),
    }
}

fn campaign(draws: &mut Draws) -> FaultKind {
    FaultKind::Campaign {
        target: draws
            .pick(&[Target::Follower, Target::Any])
            .unwrap_or(Target::Any),
    }
}

fn snapshot(draws: &mut Draws) -> FaultKind {
    FaultKind::Snapshot {
        target: victim(draws),
    }
}

/// The benchmark's schedule.
fn bench(seed: u64) -> Schedule {
    let mut draws = Seed(seed).careful(Domain::Configuration, 1, 0, 0);
    let mut schedule = Schedule::calm(seed);
    schedule.cluster.servers = 5;
    schedule.knobs = Knobs {
        election_timeout_min_ticks: 30,
        election_timeout_max_ticks: 60,
        heartbeat_ticks: 10,
        snapshot_every_entries: 200,
        snapshot_keep_entries: 50,
        ..Knobs::default()
    };
    schedule.weather.network = NetworkWeather {
        loss_permyriad: 50,
        duplicate_permyriad: 50,
        reorder_permyriad: 100,
        ..NetworkWeather::default()
    };
    schedule.weather.disk.stall_permyriad = 10;
    schedule.weather.clock_drift_ppm = 1_000;
    schedule.heal.at = Nanos::from_secs(60);
    schedule.workload = WorkloadPlan {
        operations: 20 * 60,
        interval: Nanos::from_millis(50),
        read_permyriad: 3_000,
        ..WorkloadPlan::default()
    };
    heal(&mut schedule);
    let end = schedule.heal.at.value();
    for family in FAMILIES {
        for _ in 0..family.strikes.div_ceil(2) {
            let at = Nanos::from_micros(draws.between(500_000_000, end) / 1_000);
            let kind = (family.make)(&mut draws);
            add(&mut schedule, When::At(at), kind);
        }
    }
    triggers(&mut schedule, &mut draws);
    schedule
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_generated_schedule_is_valid_and_survives_its_file() {
        for profile in [Profile::Swarm, Profile::Calm, Profile::Hell, Profile::Bench] {
            for seed in 0..200 {
                let schedule = profile.schedule(seed);
                assert_eq!(schedule.validate(), Ok(()), "seed {seed}");
                let text = schedule.to_toml().unwrap();
                assert_eq!(
                    Schedule::from_toml(&text).unwrap(),
                    schedule,
                    "seed {seed}:\n{text}"
                );
            }
        }
    }
}
