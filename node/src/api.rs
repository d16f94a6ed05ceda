//! The JSON that clients and servers exchange over HTTP. Identifiers, keys, signatures and shares are hexadecimal.

use std::collections::BTreeMap;

use lsb_core::envelope::{Receipt, UserName};
use lsb_core::seal::{ExchangePublicKey, ShareForViewer};
use lsb_core::{ClusterId, PublicKey, UnixSeconds};
use serde::{Deserialize, Serialize};

use crate::ledger::request::{ProtectRequest, Signed};

/// The header of `POST /v1/objects` in which an enrolled device announces its upload: a
/// [`Signed`] [`UploadRequest`](crate::ledger::request::UploadRequest) in JSON.
pub const UPLOAD_HEADER: &str = "upload-request";

/// The answer to `GET /v1/cluster`: what a client needs to know before it protects anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterInfo {
    /// The cluster's id.
    pub cluster: ClusterId,
    /// The key that ledger shares are sealed to.
    pub exchange_key: ExchangePublicKey,
    /// The key that signs the receipts for registered pictures.
    pub receipt_key: PublicKey,
    /// The SHA-256 of the unified image, which `GET /v1/unified-image` returns.
    pub unified_image: String,
    /// The largest upload that this server accepts, in bytes.
    pub upload_limit_bytes: u64,
    /// The last position of the log that this server has applied, 0 for none. A first view names it, and the time
    /// ([`FirstViewRequest`](crate::ledger::request::FirstViewRequest)).
    pub position: u64,
    /// The time that the ledger would have if this server stamped a command now, in seconds since 1970.
    pub time: UnixSeconds,
}

/// The answer to `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// The server's name.
    pub server_id: String,
    /// The address where it serves clients, by its own account.
    pub address: String,
    /// Its id in consensus.
    pub node: String,
    /// The cluster that its key belongs to.
    pub cluster: ClusterId,
    /// `leader`, `follower` or `candidate`.
    pub role: Role,
    /// Its term.
    pub term: u64,
    /// The last log position that it knows to be committed; 0 for none.
    pub commit: u64,
    /// The last log position that it has applied; 0 for none.
    pub applied: u64,
    /// The leader that it knows.
    pub leader: Option<Leader>,
    /// Whether it can serve requests, itself or by way of the leader.
    pub ready: bool,
    /// How many other servers it has an open link to.
    pub linked: usize,
    /// What an operator has to repair, if anything.
    pub trouble: Option<String>,
    /// How much was turned away since the start, by the limit that was reached.
    #[serde(default)]
    pub turned_away: BTreeMap<String, u64>,
}

/// The role of a server, in the three words of the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Leads.
    Leader,
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks for pre-votes or votes.
    Candidate,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
        })
    }
}

/// The leader, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leader {
    /// Its name; its id in consensus where the name is not known.
    pub server_id: String,
    /// Where it serves clients, where that is known.
    pub address: Option<String>,
}

/// The body of every error response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong, for programs. `NOT_LEADER:<server id>` names the leader.
    pub error: String,
    /// What went wrong, for people.
    pub message: String,
    /// The limit that was exceeded, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The server to ask instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<Leader>,
}

/// The first line of the body of `POST /v1/objects`. What follows the line feed depends on `embed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtectHead {
    /// What the owner signed.
    pub request: Signed<ProtectRequest>,
    /// Whether the server is to hide the envelope in the unified image. Then the envelope follows, and the answer is
    /// the picture. Otherwise only the envelope's manifest follows, and the answer is [`Registered`].
    pub embed: bool,
}

/// The header of an answer to `POST /v1/objects` with `embed`: the [`Receipt`] in JSON. The body is the picture.
pub const RECEIPT_HEADER: &str = "receipt";

/// The answer to `POST /v1/objects` without `embed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// The position in the log.
    pub index: u64,
    /// The cluster's receipt. Nobody without the cluster key can make one, so a client that has verified it knows that
    /// the views of its picture are counted.
    pub receipt: Receipt,
}

/// The answer to `POST /v1/users`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// Whether the name was bound to this key before.
    pub already: bool,
}

/// The answer to `POST /v1/views`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum ViewAnswer {
    /// The view is charged.
    Granted {
        /// The position in the log, which is a part of what the share is bound to.
        index: u64,
        /// How many views remain; none for an unlimited grant.
        remaining: Option<u32>,
        /// The ledger's share of the object's key, sealed to the request's one-time key.
        share: ShareForViewer,
    },
    /// The view is refused.
    Denied {
        /// Why, for programs.
        reason: Reason,
        /// Why, for people.
        message: String,
    },
}

/// Why a view is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The name belongs to another device, or is not enrolled.
    UnknownDevice,
    /// The picture does not exist, or this user may not view it.
    NotListed,
    /// The grant's views are used up.
    Exhausted,
    /// The grant has expired.
    Expired,
    /// The grant is not valid yet.
    NotYet,
    /// The request has expired.
    RequestTooOld,
    /// The request would be valid for longer than a request may be.
    RequestTooLong,
    /// Another request was made under the same id.
    RequestReused,
    /// The request was answered, and its answer acknowledged.
    AlreadyAcknowledged,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.serialize(f)
    }
}

/// The answer to `POST /v1/objects/query`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectInfo {
    /// Its owner.
    pub owner: UserName,
    /// The version of its policy.
    pub policy_version: u64,
    /// The position in the log where it was registered.
    pub protected: u64,
    /// Who may view it, in the order of names.
    pub grants: Vec<GrantInfo>,
}

/// A grant and what is left of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantInfo {
    /// The user that it is for.
    pub user: UserName,
    /// How many views in total; none for unlimited.
    pub views: Option<u32>,
    /// How many are left; none for unlimited.
    pub remaining: Option<u32>,
    /// How many were charged.
    pub charged: u64,
    /// Whether the name is not enrolled yet.
    pub pending: bool,
}
