//! Themes: faults that belong together. Independent draws rarely come in the order that a subtle bug needs. So some
//! seeds follow one of a few sequences that are known to be hard on replicated logs, besides their other faults.
//!
//! Themes have draws of their own, so that a seed without one is what it was before.

use super::{MESSAGES, add};
use crate::coverage::Probe;
use crate::nanos::Nanos;
use crate::random::{Domain, Draws, Seed};
use crate::schedule::{Delivery, FaultKind, Schedule, Shape, Survival, Target, Trigger, When};

/// Adds the seed's theme, if it has one.
pub(super) fn add_to(schedule: &mut Schedule) {
    let mut draws = Seed(schedule.seed).careful(Domain::Configuration, 0, 1, 0);
    match draws.below(100) {
        0..15 => ancient_messages(schedule, &mut draws),
        15..22 => slow_votes(schedule, &mut draws),
        _ => {}
    }
    if schedule.cluster.servers == 1 {
        return deaths_of_a_single_server(schedule, &mut draws);
    }
    match draws.below(100) {
        0..15 => stale_leader(schedule, &mut draws),
        15..25 => churn(schedule, &mut draws),
        25..40 => narrow_replication(schedule, &mut draws),
        40..52 => snapshot_traffic(schedule, &mut draws),
        52..64 => torn_writes(schedule, &mut draws),
        64..74 => passing_minorities(schedule, &mut draws),
        _ => {}
    }
}

/// The longest election timeout of this schedule, in milliseconds; it differs tenfold between schedules.
pub(super) fn election_millis(schedule: &Schedule) -> u64 {
    let timeout = schedule
        .cluster
        .tick
        .times(schedule.knobs.election_timeout_max_ticks);
    (timeout.value() / 1_000_000).max(1)
}

pub(super) fn on(event: Probe, nth: u64, after: Nanos) -> When {
    When::On(Trigger { event, nth, after })
}

pub(super) fn cut(shape: Shape, target: Target, messages: Delivery, lasts: Nanos) -> FaultKind {
    FaultKind::Partition {
        shape,
        target,
        messages,
        flap_every: None,
        lasts,
    }
}

pub(super) fn crash(target: Target, keep: Survival, restart_after: Nanos) -> FaultKind {
    FaultKind::Crash {
        target,
        keep,
        after_outputs: None,
        restart_after: Some(restart_after),
    }
}

/// A few messages arrive several elections late: votes, acknowledgements and confirmations of terms long past.
fn ancient_messages(schedule: &mut Schedule, draws: &mut Draws) {
    let election = election_millis(schedule);
    let network = &mut schedule.weather.network;
    network.reorder_permyriad = draws.pick(&[50, 200, 1_000]).unwrap_or(200);
    network.duplicate_permyriad = draws.pick(&[0, 200, 1_000]).unwrap_or(200);
    network.reorder_by = draws.millis(election, 10 * election);
}

/// Answers take about as long as campaigns, so that they often arrive during the next campaign.
fn slow_votes(schedule: &mut Schedule, draws: &mut Draws) {
    let election = election_millis(schedule);
    let knobs = &mut schedule.knobs;
    knobs.election_timeout_max_ticks = knobs.election_timeout_min_ticks + draws.between(1, 6);
    let network = &mut schedule.weather.network;
    network.delay_max = draws.millis(election / 3, election);
    network.delay_min = network.delay_min.min(network.delay_max);
    network.reorder_permyriad = draws.pick(&[0, 3_000]).unwrap_or(0);
    network.reorder_by = draws.millis(election / 2, 2 * election);
}

/// A leader is partitioned from the others and not from clients, and its clock runs so slowly that it does not notice
/// for a long time. Meanwhile the others move on, whatever it answers by itself.
fn stale_leader(schedule: &mut Schedule, draws: &mut Draws) {
    let election = election_millis(schedule);
    let plan = &mut schedule.workload;
    plan.clients = plan.clients.max(3);
    plan.read_permyriad = draws.pick(&[3_000, 5_000, 8_000]).unwrap_or(5_000);
    let slow = draws.chance(5_000);
    if slow {
        plan.attempt_timeout = Nanos::from_millis(8 * election);
        // With slow messages, requests for confirmation are in flight when the link is cut.
        schedule.weather.network.delay_min = draws.millis(1, election / 8 + 1);
        schedule.weather.network.delay_max =
            schedule.weather.network.delay_min + draws.millis(0, election / 8);
    }
    for _ in 0..draws.between(1, 3) {
        let begins = on(
            Probe::LeaderCommits,
            draws.between(1, 40),
            Nanos::from_micros(draws.between(1, 20_000)),
        );
        let (target, lasts) = (Target::Subject, draws.millis(2 * election, 10 * election));
        let ppm = draws.pick(&[-900_000, -970_000]).unwrap_or(-900_000);
        add(
            schedule,
            begins,
            FaultKind::ClockRate {
                target,
                ppm,
                lasts: lasts.times(2),
            },
        );
        let shape = draws
            .pick(&[Shape::Isolate, Shape::Isolate, Shape::Mute])
            .unwrap_or(Shape::Isolate);
        let messages = match slow {
            true => Delivery::Held,
            false => draws.pick(MESSAGES).unwrap_or_default(),
        };
        add(schedule, begins, cut(shape, target, messages, lasts));
    }
}

/// One election after the other: links are cut and restored about as fast as leaders are elected, so that logs diverge
/// again and again.
fn churn(schedule: &mut Schedule, draws: &mut Draws) {
    let election = election_millis(schedule);
    let end = schedule.heal.at.value() / 1_000_000;
    let mut at = draws.between(100, end);
    for _ in 0..draws.between(6, 24) {
        at += draws.between(election / 2, 2 * election);
        if at >= end {
            return;
        }
        let lasts = draws.millis(election / 2, 3 * election);
        let messages = draws.pick(MESSAGES).unwrap_or_default();
        let kind = match draws.below(8) {
            0 => FaultKind::Campaign {
                target: Target::Follower,
            },
            1 => crash(Target::Leader, Survival::All, draws.millis(0, election)),
            2 | 3 => cut(Shape::Random, Target::Any, messages, lasts),
            4 => cut(Shape::Halves, Target::Any, messages, lasts),
            5 => cut(Shape::Mute, Target::Leader, messages, lasts),
            _ => cut(Shape::Isolate, Target::Leader, messages, lasts),
        };
        add(schedule, When::At(Nanos::from_millis(at)), kind);
    }
}

/// Leaders fail right after an entry of theirs has reached one server, and before it has reached many, as in Figure 8.
fn narrow_replication(schedule: &mut Schedule, draws: &mut Draws) {
    let election = election_millis(schedule);
    if draws.chance(6_000) {
        schedule.cluster.servers = 5;
    }
    // Links of different delay bring an entry to some servers long before others.
    schedule.weather.network.delay_max = draws.millis(3, election / 8 + 4);
    for _ in 0..draws.between(3, 9) {
        let (event, nth) = match draws.below(8) {
            6 | 7 => (Probe::BecomeCandidate, draws.between(1, 6)),
            0 | 1 => (Probe::LeaderAppends, draws.between(1, 40)),
            2 | 3 => (Probe::BecomeLeader, draws.between(1, 6)),
            _ => (Probe::IssueTruncate, draws.between(1, 4)),
        };
        let after =
            Nanos::from_micros(draws.below(2_000 + schedule.weather.network.delay_max.value() / 1_000));
        // A server that truncates has just heard from a new leader, which is the one that fails here.
        let target = match event {
            Probe::IssueTruncate => Target::Leader,
            _ => Target::Subject,
        };
        let lasts = draws.millis(election, 8 * election);
        let kind = match draws.below(4) {
            0 => crash(target, Survival::All, lasts),
            1 => cut(Shape::Isolate, target, Delivery::DroppedAtSend, lasts),
            2 => cut(Shape::Isolate, target, Delivery::Held, lasts),
            _ => cut(Shape::Isolate, target, Delivery::DroppedAtDelivery, lasts),
        };
        add(schedule, on(event, nth, after), kind);
    }
}

/// An entry reaches one follower only. The next leader, which lacks it, reaches one of those two servers and no more.
/// Then the other one may win with what it has. Code that believes an entry is lost for good, or held for good, fails
/// here.
fn passing_minorities(schedule: &mut Schedule, draws: &mut Draws) {
    let election = election_millis(schedule);
    schedule.cluster.servers = 5;
    let plan = &mut schedule.workload;
    plan.clients = plan.clients.max(3);
    plan.attempt_timeout = plan.attempt_timeout.max(Nanos::from_millis(4 * election));
    if draws.chance(5_000) {
        // A leader keeps few applied entries in memory, and has to read older ones back.
        schedule.knobs.tail_bytes = draws.between(1, 200);
    }
    if draws.chance(3_000) {
        ancient_messages(schedule, draws);
        schedule.weather.network.reorder_permyriad = draws.pick(&[1_000, 3_000]).unwrap_or(1_000);
    }
    let leaders = draws.between(1, 3);
    let begins = on(
        Probe::LeaderAppends,
        draws.between(1, 30),
        Nanos::from_micros(draws.below(3_000)),
    );
    let lasts = draws.millis(election, 4 * election);
    let messages = draws.pick(MESSAGES).unwrap_or_default();
    add(
        schedule,
        begins,
        cut(Shape::Pair, Target::Subject, messages, lasts),
    );
    for nth in leaders + 1..leaders + 1 + draws.pick(&[0, 1, 2, 2]).unwrap_or(2) {
        let begins = on(
            Probe::BecomeLeader,
            nth,
            Nanos::from_micros(draws.pick(&[0, 0, 1_000]).unwrap_or(0)),
        );
        let lasts = draws.millis(3 * election, 12 * election);
        let messages = draws.pick(MESSAGES).unwrap_or_default();
        let shape = draws
            .pick(&[Shape::Pair, Shape::Pair, Shape::Isolate])
            .unwrap_or(Shape::Pair);
        add(schedule, begins, cut(shape, Target::Subject, messages, lasts));
    }
}

/// Snapshots all the time, in small pieces, to followers that are unreachable again and again.
fn snapshot_traffic(schedule: &mut Schedule, draws: &mut Draws) {
    let election = election_millis(schedule);
    let knobs = &mut schedule.knobs;
    knobs.snapshot_every_entries = draws.between(2, 8);
    knobs.snapshot_keep_entries = draws.pick(&[0, 0, 1, 4]).unwrap_or(0);
    knobs.snapshot_chunk_bytes = draws.between(16, 64);
    knobs.snapshot_timeout_ticks = draws.pick(&[10, 30, 100, 1_000]).unwrap_or(100);
    let end = schedule.heal.at.value() / 1_000_000;
    for _ in 0..draws.between(3, 8) {
        let at = When::At(Nanos::from_millis(draws.between(200, end)));
        let lasts = draws.millis(election / 2, 5 * election);
        let target = draws
            .pick(&[Target::Follower, Target::Follower, Target::Leader])
            .unwrap_or(Target::Follower);
        let messages = draws.pick(MESSAGES).unwrap_or_default();
        let kind = match draws.below(3) {
            0 => crash(target, Survival::Random, lasts),
            1 => FaultKind::Pause { target, lasts },
            _ => cut(Shape::Isolate, target, messages, lasts),
        };
        add(schedule, at, kind);
    }
    for _ in 0..draws.between(1, 4) {
        let event = draws
            .pick(&[
                Probe::SendSnapshot,
                Probe::SendSnapshot,
                Probe::IssueInstall,
                Probe::InstallSnapshot,
            ])
            .unwrap_or(Probe::SendSnapshot);
        let nth = draws.between(1, if event == Probe::SendSnapshot { 40 } else { 4 });
        let after = Nanos::from_micros(draws.below(10_000));
        let target = draws
            .pick(&[Target::Subject, Target::Follower, Target::Leader])
            .unwrap_or(Target::Subject);
        let lasts = draws.millis(0, 4 * election);
        let kind = match draws.below(3) {
            0 => cut(Shape::Isolate, target, Delivery::DroppedAtSend, lasts),
            _ => crash(target, Survival::Random, lasts),
        };
        add(schedule, on(event, nth, after), kind);
    }
}

/// Machines lose their power in the middle of writes that have several parts.
fn torn_writes(schedule: &mut Schedule, draws: &mut Draws) {
    let election = election_millis(schedule);
    schedule.weather.disk.sync_max = draws.millis(5, election / 4 + 5);
    if draws.chance(5_000) {
        // Entries that overtake the heartbeat before them bring their term along.
        let network = &mut schedule.weather.network;
        network.loss_permyriad = draws.pick(&[200, 1_000]).unwrap_or(200);
        network.reorder_permyriad = 5_000;
        network.reorder_by = draws.millis(5, 30);
    }
    if draws.chance(7_000) {
        schedule.knobs.snapshot_every_entries = draws.between(2, 20);
        schedule.knobs.snapshot_keep_entries = draws.pick(&[0, 0, 2]).unwrap_or(0);
    }
    // Servers that were unreachable for a while make the writes with several parts.
    for _ in 0..draws.between(2, 5) {
        let begins = on(
            Probe::LeaderAppends,
            draws.between(1, 60),
            Nanos::from_micros(draws.below(10_000)),
        );
        let target = draws
            .pick(&[Target::Subject, Target::Follower])
            .unwrap_or(Target::Subject);
        let lasts = draws.millis(election, 6 * election);
        add(
            schedule,
            begins,
            cut(Shape::Isolate, target, Delivery::DroppedAtDelivery, lasts),
        );
    }
    if draws.chance(4_000) {
        for nth in 1..4 {
            add(
                schedule,
                on(Probe::IssueTruncate, nth, Nanos::ZERO),
                crash(Target::Subject, Survival::Torn, draws.millis(0, election)),
            );
        }
    }
    for _ in 0..draws.between(3, 8) {
        let (event, most) = draws
            .pick(&[
                (Probe::IssueTruncate, 4),
                (Probe::IssueTruncate, 4),
                (Probe::IssueInstall, 4),
                (Probe::IssueInstall, 4),
                (Probe::Compact, 12),
                (Probe::TakeSnapshot, 12),
                (Probe::IssueVote, 24),
                (Probe::IssueEntries, 80),
            ])
            .unwrap_or((Probe::IssueEntries, 80));
        let keep = draws
            .pick(&[Survival::Torn, Survival::Torn, Survival::Subset, Survival::Prefix])
            .unwrap_or(Survival::Torn);
        let nth = draws.between(1, most);
        add(
            schedule,
            on(event, nth, Nanos::ZERO),
            crash(Target::Subject, keep, draws.millis(0, election)),
        );
    }
}

/// A cluster of one has no copy of what it forgets, so it crashes around its elections.
fn deaths_of_a_single_server(schedule: &mut Schedule, draws: &mut Draws) {
    for _ in 0..draws.between(2, 6) {
        let event = draws
            .pick(&[Probe::BecomeLeader, Probe::BecomeCandidate, Probe::LeaderAppends])
            .unwrap_or(Probe::BecomeLeader);
        let keep = draws
            .pick(&[Survival::None, Survival::Random])
            .unwrap_or(Survival::Random);
        let after = draws
            .pick(&[Nanos::ZERO, Nanos::from_millis(1), Nanos::from_millis(20)])
            .unwrap_or(Nanos::ZERO);
        let nth = draws.between(1, 4);
        add(
            schedule,
            on(event, nth, after),
            crash(Target::Subject, keep, draws.millis(0, 100)),
        );
    }
}
