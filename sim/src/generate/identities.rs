//! Servers that come back as somebody else: ids that are used again with new data folders. The draws have a domain of
//! their own; a seed that has this theme is remade for it, since it needs a certain life of the cluster.

use raft_core::NodeId;

use super::add;
use super::themes::{crash, cut, election_millis};
use crate::nanos::Nanos;
use crate::random::{Domain, Draws, Seed};
use crate::schedule::{Class, Delivery, FaultKind, Reconfiguration, Schedule, Shape, Survival, Target, When};

/// Gives some of the swarm's schedules this theme.
pub(super) fn add_to(schedule: &mut Schedule) {
    let mut draws = Seed(schedule.seed).careful(Domain::Configuration, 6, 0, 0);
    if draws.chance(500) {
        id_used_again(schedule, &mut draws);
    }
}

/// A cluster grows from one server to three, removes its first ones, and adds one of them again with an empty disk.
/// That server replays a past in which its id was the only voter, and is partitioned meanwhile, or its leader falls.
fn id_used_again(schedule: &mut Schedule, draws: &mut Draws) {
    schedule.faults.clear();
    schedule.class = Class::B;
    schedule.cluster.servers = 1;
    schedule.cluster.spares = 2;
    schedule.cluster.witnesses = 0;
    // The replay takes long enough for something to happen in the middle of it.
    let knobs = &mut schedule.knobs;
    knobs.message_bytes = if schedule.workload.sessions.is_some() {
        96
    } else {
        48
    };
    knobs.inflight_messages = draws.between(1, 3);
    knobs.snapshot_every_entries = draws.pick(&[5_000, 5_000, 40]).unwrap_or(5_000);
    // Members take part all along, or the changes are refused.
    let network = &mut schedule.weather.network;
    network.loss_permyriad = network.loss_permyriad.min(100);
    let step = 2 * election_millis(schedule) + draws.between(100, 400);
    let server = |number: u64| Target::Server(NodeId::new(number));
    let founder = draws.pick(&[1, 2]).unwrap_or(2);
    let mut at = 300 + step;
    let change = |schedule: &mut Schedule, at: &mut u64, change, number| {
        let kind = FaultKind::ChangeMembership {
            target: server(number),
            compare: false,
            insist: Nanos::from_millis(step),
            change,
            force: false,
        };
        add(schedule, When::At(Nanos::from_millis(*at)), kind);
        *at += step;
    };
    change(schedule, &mut at, Reconfiguration::AddLearner, 2);
    change(schedule, &mut at, Reconfiguration::Promote, 2);
    if founder == 2 {
        // Server 2 is the only voter now.
        change(schedule, &mut at, Reconfiguration::Remove, 1);
    }
    change(schedule, &mut at, Reconfiguration::AddLearner, 3);
    change(schedule, &mut at, Reconfiguration::Promote, 3);
    change(schedule, &mut at, Reconfiguration::Remove, founder);
    add(
        schedule,
        When::At(Nanos::from_millis(at)),
        FaultKind::WipeDisk {
            target: server(founder),
            restart_after: Some(Nanos::from_millis(draws.between(10, 200))),
        },
    );
    at += 200;
    let added_at = at;
    change(schedule, &mut at, Reconfiguration::AddLearner, founder);
    let strikes_at = Nanos::from_millis(added_at + draws.between(20, step));
    let lasts = Nanos::from_millis(draws.between(step, 4 * step));
    let kind = match draws.below(3) {
        0 => crash(Target::Leader, Survival::All, lasts),
        1 => cut(Shape::Mute, server(founder), Delivery::DroppedAtSend, lasts),
        _ => cut(Shape::Isolate, server(founder), Delivery::DroppedAtSend, lasts),
    };
    add(schedule, When::At(strikes_at), kind);
    schedule.heal.at = strikes_at + lasts + Nanos::from_millis(step);
    let plan = &mut schedule.workload;
    plan.operations = plan.operations.max(150);
    plan.interval = Nanos::new(schedule.heal.at.value() / u64::from(plan.operations));
}
