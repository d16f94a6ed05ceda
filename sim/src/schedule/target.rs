//! The targets of faults: a server by its number, or by its role when the fault strikes.

use std::fmt;
use std::str::FromStr;

use raft_core::NodeId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::MAX_SERVERS;

/// The target of a fault, resolved when it strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Target {
    /// This server.
    Server(NodeId),
    /// The running leader of the latest term.
    Leader,
    /// A running server, by draw, that votes by its own log and does not lead.
    Follower,
    /// A server, by draw, that learns and does not vote.
    Learner,
    /// A server, by draw, that is not a member of the cluster.
    Spare,
    /// The server to which the triggering event happened.
    Subject,
    /// Any server, by draw.
    #[default]
    Any,
    /// Every server.
    All,
    /// A random majority of the servers.
    Majority,
}

/// Why a text is not a target. The author of the schedule is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a target; write a server's number (1 to {MAX_SERVERS}) or one of {symbols}", symbols = symbols())]
pub struct TargetError(String);

const SYMBOLS: [(&str, Target); 8] = [
    ("$leader", Target::Leader),
    ("$follower", Target::Follower),
    ("$learner", Target::Learner),
    ("$spare", Target::Spare),
    ("$subject", Target::Subject),
    ("$any", Target::Any),
    ("$all", Target::All),
    ("$majority", Target::Majority),
];

fn symbols() -> String {
    SYMBOLS.map(|(name, _)| name).join(", ")
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if let Some(&(_, target)) = SYMBOLS.iter().find(|(name, _)| *name == text) {
            return Ok(target);
        }
        match text.parse() {
            Ok(number) if (1..=u64::from(MAX_SERVERS)).contains(&number) => {
                Ok(Self::Server(NodeId::new(number)))
            }
            _ => Err(TargetError(text.to_owned())),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, SYMBOLS.iter().find(|(_, target)| target == self)) {
            (Self::Server(node), _) => node.fmt(f),
            (_, Some((name, _))) => f.write_str(name),
            (_, None) => f.write_str("$any"),
        }
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
