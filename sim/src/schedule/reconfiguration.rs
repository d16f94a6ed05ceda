//! What an operator asks of the configuration, as data.

use std::collections::BTreeSet;

use raft_core::{Change, Membership, NodeId};
use serde::{Deserialize, Serialize};

use crate::random::Draws;

/// What is to become of the configuration: see [`raft_core::Change`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reconfiguration {
    /// The target comes in, as a learner.
    AddLearner,
    /// The target, a learner, votes from now on.
    Promote,
    /// The target, a voter, only learns from now on.
    Demote,
    /// The target leaves.
    Remove,
    /// These are the members from now on, through a joint configuration.
    Replace {
        /// Who votes.
        voters: BTreeSet<u64>,
        /// Who learns.
        #[serde(default)]
        learners: BTreeSet<u64>,
    },
    /// The same, with parts that are drawn anew for every member of now.
    Reshuffle,
}

impl Reconfiguration {
    /// Whether it is about a server, and not about the whole configuration.
    pub const fn is_about_a_server(&self) -> bool {
        !matches!(self, Self::Replace { .. } | Self::Reshuffle)
    }

    /// The servers that it names.
    pub fn named(&self) -> impl Iterator<Item = u64> {
        let (voters, learners) = match self {
            Self::Replace { voters, learners } => (Some(voters), Some(learners)),
            _ => (None, None),
        };
        voters.into_iter().chain(learners).flatten().copied()
    }

    /// What is asked of the library, about this server, when the configuration is this one.
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

/// Most members vote, some learn, and a few leave.
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
        // Somebody has to.
        let stays = now.voters().next();
        learners.retain(|node| Some(*node) != stays);
        voters.extend(stays);
    }
    Change::Replace { voters, learners }
}
