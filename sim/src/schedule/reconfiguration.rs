//! An operator's changes of the configuration, as data.

use std::collections::BTreeSet;

use raft_core::{Change, Membership, NodeId};
use serde::{Deserialize, Serialize};

use crate::random::Draws;

/// A change of the configuration: see [`raft_core::Change`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reconfiguration {
    /// Adds the target as a learner.
    AddLearner,
    /// Makes the target, a learner, a voter.
    Promote,
    /// Makes the target, a voter, a learner.
    Demote,
    /// Removes the target.
    Remove,
    /// Replaces all members by these, through a joint configuration.
    Replace {
        /// The voters.
        voters: BTreeSet<u64>,
        /// The learners.
        #[serde(default)]
        learners: BTreeSet<u64>,
    },
    /// Replaces the roles of all present members by drawn ones, through a joint configuration.
    Reshuffle,
}

impl Reconfiguration {
    /// Whether it is about a server, and not about the whole configuration.
    pub const fn is_about_a_server(&self) -> bool {
        !matches!(self, Self::Replace { .. } | Self::Reshuffle)
    }

    /// Returns the servers that it names.
    pub fn named(&self) -> impl Iterator<Item = u64> {
        let (voters, learners) = match self {
            Self::Replace { voters, learners } => (Some(voters), Some(learners)),
            _ => (None, None),
        };
        voters.into_iter().chain(learners).flatten().copied()
    }

    /// Returns the library's change for this server, when the configuration is this one.
    pub(crate) fn change(
        &self,
        about: Option<NodeId>,
        now: &Membership,
        draws: &mut Draws,
    ) -> Option<Change> {
        let nodes = |numbers: &BTreeSet<u64>| numbers.iter().copied().map(NodeId::new).collect();
        Some(match self {
            Self::AddLearner => Change::AddLearner(about?),
            Self::Promote => Change::Promote(about?),
            Self::Demote => Change::Demote(about?),
            Self::Remove => Change::Remove(about?),
            Self::Replace { voters, learners } => Change::Replace {
                voters: nodes(voters),
                learners: nodes(learners),
            },
            Self::Reshuffle => reshuffled(now, draws),
        })
    }
}

/// Draws new roles: most members vote, some learn, and a few leave.
fn reshuffled(now: &Membership, draws: &mut Draws) -> Change {
    let (mut voters, mut learners) = (BTreeSet::new(), BTreeSet::new());
    for node in now.members() {
        match draws.below(10) {
            0..7 => voters.insert(node),
            7..9 => learners.insert(node),
            _ => false,
        };
    }
    if voters.is_empty() {
        // At least one server has to vote.
        let stays = now.voters().next();
        learners.retain(|node| Some(*node) != stays);
        voters.extend(stays);
    }
    Change::Replace { voters, learners }
}
