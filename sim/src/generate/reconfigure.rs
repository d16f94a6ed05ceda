//! Operators: servers that are added, promoted, demoted and removed, and leaders that hand over, during all other
//! faults. The draws have domains of their own, so that the rest of a seed's schedule stays what it was.

use raft_core::NodeId;

use super::themes::{crash, cut, election_millis, on};
use super::{MESSAGES, add};
use crate::coverage::Probe;
use crate::nanos::Nanos;
use crate::random::{Domain, Draws, Seed};
use crate::schedule::{
    Delivery, FaultKind, MAX_SERVERS, Reconfiguration, Schedule, Shape, Survival, Target, When,
};

/// Adds these to some of the swarm's schedules, or to most of those that have everything.
pub(super) fn add_to(schedule: &mut Schedule, all: bool) {
    let mut draws = Seed(schedule.seed).careful(Domain::Configuration, 4, 0, 0);
    if draws.chance(if all { 5_000 } else { 1_800 }) {
        transfers(schedule, &mut draws);
    }
    if !draws.chance(if all { 5_000 } else { 2_800 }) {
        return;
    }
    let room = u64::from(MAX_SERVERS - schedule.cluster.servers);
    let spares = draws.pick(&[0, 1, 1, 2, 2, 3]).unwrap_or(1).min(room);
    schedule.cluster.spares = u8::try_from(spares).unwrap_or(0);
    match draws.below(4) {
        0 => at_random(schedule, &mut draws),
        1 => one_by_one(schedule, &mut draws),
        2 => inside_joint_configurations(schedule, &mut draws),
        _ => narrow_configurations(schedule, &mut draws),
    }
    force_some(schedule);
}

fn any_time(schedule: &Schedule, draws: &mut Draws) -> Nanos {
    Nanos::from_micros(draws.between(300_000, schedule.heal.at.value()) / 1_000)
}

fn ask(draws: &mut Draws, change: Reconfiguration, target: Target, insist: Nanos) -> FaultKind {
    FaultKind::ChangeMembership {
        target,
        compare: draws.chance(4_000),
        insist,
        change,
        force: false,
    }
}

/// Some operators insist on changes that take the quorum away. The draws are apart from those of the changes, so that
/// the rest of a seed's schedule stays what it was.
fn force_some(schedule: &mut Schedule) {
    let mut draws = Seed(schedule.seed).careful(Domain::Configuration, 9, 0, 0);
    if draws.chance(5_000) {
        return;
    }
    for fault in &mut schedule.faults {
        if let FaultKind::ChangeMembership { force, .. } = &mut fault.kind {
            *force = draws.chance(5_000);
        }
    }
}

/// Leaders hand over now and then, and some do so right after they were elected.
fn transfers(schedule: &mut Schedule, draws: &mut Draws) {
    for _ in 0..draws.between(1, 6) {
        let when = match draws.below(3) {
            0 => on(
                draws
                    .pick(&[Probe::BecomeLeader, Probe::LeaderAppends, Probe::WriteDone])
                    .unwrap_or(Probe::BecomeLeader),
                draws.between(1, 8),
                Nanos::from_micros(draws.between(1, 30_000)),
            ),
            _ => When::At(any_time(schedule, draws)),
        };
        let target = draws
            .pick(&[Target::Follower, Target::Follower, Target::Follower, Target::Any])
            .unwrap_or(Target::Follower);
        add(schedule, when, FaultKind::TransferLeadership { target });
    }
    // What was to be handed over is truncated, or comes late.
    if draws.chance(5_000) {
        let (election, messages) = (
            election_millis(schedule),
            draws.pick(MESSAGES).unwrap_or_default(),
        );
        let target = draws
            .pick(&[Target::Subject, Target::Follower])
            .unwrap_or(Target::Subject);
        let shape = draws
            .pick(&[Shape::Isolate, Shape::Deaf, Shape::Mute])
            .unwrap_or(Shape::Isolate);
        let lasts = draws.millis(election / 2, 4 * election);
        let begins = on(
            Probe::SendTimeoutNow,
            draws.between(1, 3),
            Nanos::from_micros(draws.below(2_000)),
        );
        add(schedule, begins, cut(shape, target, messages, lasts));
    }
}

/// Any change, at any time.
fn at_random(schedule: &mut Schedule, draws: &mut Draws) {
    for _ in 0..draws.between(2, 12) {
        let (change, target) = match draws.below(12) {
            0..3 => (Reconfiguration::AddLearner, Target::Spare),
            3..6 => (Reconfiguration::Promote, Target::Learner),
            6 => (Reconfiguration::Demote, Target::Follower),
            7 => (Reconfiguration::Demote, Target::Leader),
            8 => (Reconfiguration::Remove, Target::Any),
            9 => (Reconfiguration::Remove, Target::Leader),
            _ => (Reconfiguration::Reshuffle, Target::Any),
        };
        let at = When::At(any_time(schedule, draws));
        let insist = draws
            .pick(&[Nanos::ZERO, Nanos::from_millis(400), Nanos::from_millis(1_500)])
            .unwrap_or_default();
        let kind = ask(draws, change, target, insist);
        add(schedule, at, kind);
    }
}

/// One server after the other is replaced: a new one is added and promoted, and the old one removed. Leaders fail
/// meanwhile.
fn one_by_one(schedule: &mut Schedule, draws: &mut Draws) {
    let servers = u64::from(schedule.cluster.all_servers());
    let founders = u64::from(schedule.cluster.servers);
    let (end, election) = (schedule.heal.at.value() / 1_000_000, election_millis(schedule));
    let mut at = draws.between(300, 1_000);
    for round in 0..draws.between(1, 4) {
        let comes = match round < servers - founders {
            true => Target::Server(NodeId::new(founders + 1 + round)),
            false => Target::Spare,
        };
        let leaves = match draws.below(3) {
            0 => Target::Leader,
            1 => Target::Follower,
            _ => Target::Server(NodeId::new(1 + draws.below(founders))),
        };
        for (change, target) in [
            (Reconfiguration::AddLearner, comes),
            (
                Reconfiguration::Promote,
                if comes == Target::Spare {
                    Target::Learner
                } else {
                    comes
                },
            ),
            (Reconfiguration::Remove, leaves),
        ] {
            let insist = Nanos::from_millis(draws.between(200, 3_000));
            let kind = ask(draws, change, target, insist);
            add(schedule, When::At(Nanos::from_millis(at)), kind);
            at += draws.between(20, 3 * election + 100);
            if at >= end {
                return;
            }
        }
    }
    for _ in 0..draws.below(4) {
        strike_at_a_configuration(schedule, draws, Probe::AppendConfiguration);
    }
}

/// Everything changes at once, and leaders fail while the configuration is joint.
fn inside_joint_configurations(schedule: &mut Schedule, draws: &mut Draws) {
    let servers = u64::from(schedule.cluster.all_servers());
    for spare in u64::from(schedule.cluster.servers) + 1..=servers {
        let at = When::At(draws.millis(200, 800));
        let target = Target::Server(NodeId::new(spare));
        let kind = ask(
            draws,
            Reconfiguration::AddLearner,
            target,
            Nanos::from_millis(2_000),
        );
        add(schedule, at, kind);
    }
    for _ in 0..draws.between(2, 6) {
        let at = When::At(any_time(schedule, draws));
        let insist = draws.millis(0, 1_500);
        let kind = ask(draws, Reconfiguration::Reshuffle, Target::Any, insist);
        add(schedule, at, kind);
    }
    for _ in 0..draws.between(1, 5) {
        let probe = draws
            .pick(&[Probe::EnterJoint, Probe::EnterJoint, Probe::LeaveJoint])
            .unwrap_or(Probe::EnterJoint);
        strike_at_a_configuration(schedule, draws, probe);
    }
}

/// Configurations that reach few servers before their leader fails, while other changes are made of the same base. Two
/// of them must not decide two different things, each by itself.
fn narrow_configurations(schedule: &mut Schedule, draws: &mut Draws) {
    let election = election_millis(schedule);
    // Links of different delay bring an entry to some servers long before others.
    let network = &mut schedule.weather.network;
    network.delay_max = draws.millis(3, election / 8 + 4).max(network.delay_min);
    for _ in 0..draws.between(3, 8) {
        let (change, target) = match draws.below(6) {
            0 => (Reconfiguration::AddLearner, Target::Spare),
            1 => (Reconfiguration::Promote, Target::Learner),
            2 => (Reconfiguration::Remove, Target::Follower),
            3 => (Reconfiguration::Demote, Target::Any),
            _ => (Reconfiguration::Reshuffle, Target::Any),
        };
        // A leader knows least right after its election.
        let when = match draws.below(2) {
            0 => on(
                Probe::BecomeLeader,
                draws.between(1, 6),
                Nanos::from_micros(draws.between(1, 2_000)),
            ),
            _ => When::At(any_time(schedule, draws)),
        };
        let insist = draws.millis(0, 4 * election);
        let kind = ask(draws, change, target, insist);
        add(schedule, when, kind);
    }
    for _ in 0..draws.between(2, 6) {
        strike_at_a_configuration(schedule, draws, Probe::AppendConfiguration);
    }
}

/// The leader that appends a configuration fails, or is partitioned with or without the servers that have received it.
fn strike_at_a_configuration(schedule: &mut Schedule, draws: &mut Draws, probe: Probe) {
    let election = election_millis(schedule);
    let most = if probe == Probe::AppendConfiguration { 8 } else { 3 };
    let after = match draws.chance(3_000) {
        true => Nanos::ZERO,
        false => Nanos::from_micros(draws.below(15_000)),
    };
    let begins = on(probe, draws.between(1, most), after);
    let lasts = draws.millis(election, 6 * election);
    let messages = draws.pick(MESSAGES).unwrap_or(Delivery::DroppedAtSend);
    let kind = match draws.below(5) {
        0 => crash(Target::Subject, Survival::All, lasts),
        1 => crash(Target::Subject, Survival::Random, lasts),
        2 => cut(Shape::Pair, Target::Subject, messages, lasts),
        3 => cut(Shape::Halves, Target::Subject, messages, lasts),
        _ => cut(Shape::Isolate, Target::Subject, messages, lasts),
    };
    add(schedule, begins, kind);
}
