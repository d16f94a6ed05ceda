//! Which servers a fault strikes, and which links a partition cuts: decided at the moment it strikes.

use super::Simulation;
use crate::network::Links;
use crate::places::node_at;
use crate::random::Draws;
use crate::schedule::{Delivery, Shape, Target};
use crate::workload::Workload;

/// The servers in a set of bits.
pub(super) fn members(servers: u8) -> impl Iterator<Item = usize> {
    (0..8).filter(move |place| servers >> place & 1 == 1)
}

impl<W: Workload> Simulation<'_, W> {
    /// Resolves a target to the servers that it means now.
    pub(super) fn resolve(&self, target: Target, subject: Option<usize>, draws: &mut Draws) -> u8 {
        let count = self.servers.len();
        let one = |place: usize| 1_u8 << place;
        let all: Vec<usize> = (0..count).collect();
        match target {
            Target::Server(node) => usize::try_from(node.value() - 1).map_or(0, one),
            Target::Subject => subject.map_or(0, one),
            Target::Any => draws.pick(&all).map_or(0, one),
            Target::All => all.into_iter().map(one).fold(0, |set, bit| set | bit),
            Target::Leader => self.latest_leader().map_or(0, one),
            Target::Learner | Target::Spare => {
                let membership = self.configuration_in_force();
                let is_meant = |&place: &usize| {
                    let node = node_at(place);
                    let is_member = membership.contains(node);
                    match target {
                        Target::Learner => is_member && !membership.is_voter(node),
                        _ => !is_member,
                    }
                };
                let meant: Vec<usize> = (0..count).filter(is_meant).collect();
                draws.pick(&meant).map_or(0, one)
            }
            Target::Follower => {
                let follows = |&place: &usize| {
                    self.servers.get(place).is_some_and(|server| {
                        let raft = server.replica.as_ref().map(raft_core::Replica::raft);
                        !server.leads() && raft.is_some_and(|raft| raft.membership().is_voter(server.node))
                    })
                };
                let followers: Vec<usize> = (0..count).filter(follows).collect();
                draws.pick(&followers).map_or(0, one)
            }
            Target::Majority => shuffled(count, draws)
                .into_iter()
                .take(count / 2 + 1)
                .fold(0, |set, place| set | one(place)),
        }
    }

    pub(super) fn links_of(&self, shape: Shape, target: usize, draws: &mut Draws) -> Links {
        let count = self.servers.len();
        let mut links = Links::default();
        let others = (0..count).filter(|&place| place != target);
        match shape {
            Shape::Isolate => others.for_each(|other| links.add_both(target, other)),
            Shape::Pair => {
                let others: Vec<usize> = others.collect();
                let friend = draws.pick(&others);
                for &other in others.iter().filter(|&&other| Some(other) != friend) {
                    links.add_both(target, other);
                    friend
                        .into_iter()
                        .for_each(|friend| links.add_both(friend, other));
                }
            }
            Shape::Deaf => others.for_each(|other| links.add(other, target)),
            Shape::Mute => others.for_each(|other| links.add(target, other)),
            Shape::Halves | Shape::Bridge => {
                let bridge = (shape == Shape::Bridge).then_some(target);
                let order: Vec<usize> = shuffled(count, draws)
                    .into_iter()
                    .filter(|&place| Some(place) != bridge)
                    .collect();
                let (one, other) = order.split_at(order.len() / 2);
                for &left in one {
                    other.iter().for_each(|&right| links.add_both(left, right));
                }
            }
            Shape::Ring => {
                let order = shuffled(count, draws);
                for (left, &from) in order.iter().enumerate() {
                    for (right, &to) in order.iter().enumerate() {
                        let apart = left.abs_diff(right);
                        if apart > 1 && apart < count - 1 {
                            links.add(from, to);
                        }
                    }
                }
            }
            Shape::Random => {
                for from in 0..count {
                    for to in (0..count).filter(|&to| to != from) {
                        if draws.chance(5_000) {
                            links.add(from, to);
                        }
                    }
                }
            }
        }
        links
    }

    /// Cuts all links of a server for good, except those to its friends.
    pub(super) fn cut_for_good_but(&mut self, friends: &[usize], place: usize) {
        let mut links = Links::default();
        for other in (0..self.servers.len()).filter(|other| *other != place && !friends.contains(other)) {
            links.add_both(place, other);
        }
        let id = u32::MAX - u32::try_from(place).unwrap_or(0);
        self.network.cut(id, links, Delivery::DroppedAtSend);
    }

    /// Cuts the links of a server that stays broken for good.
    pub(super) fn cut_for_good(&mut self, shape: Shape, place: usize, draws: &mut Draws) {
        let links = self.links_of(shape, place, draws);
        let id = u32::MAX - u32::try_from(place).unwrap_or(0);
        self.network.cut(id, links, Delivery::DroppedAtSend);
    }
}

/// All servers in a random order (Fisher and Yates).
pub(super) fn shuffled(count: usize, draws: &mut Draws) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for place in (1..count).rev() {
        let other = usize::try_from(draws.below(place as u64 + 1)).unwrap_or(0);
        order.swap(place, other);
    }
    order
}
