//! The commands in the log, and their outcomes.
//!
//! ```text
//! | version: 1 byte | the command, in the encoding of `codec` |
//! ```
//!
//! New kinds of commands are added at the end of [`Action`], and old ones keep their meaning for ever: a log is
//! replayed by programs that are newer than its entries.

use lsb_core::envelope::{Policy, Views};
use lsb_core::seal::ExchangePublicKey;
use lsb_core::{ClusterId, ObjectId, RequestId, Signature, UnixSeconds};
use raft_core::{Index, Payload};
use serde::{Deserialize, Serialize};

use super::request::{
    AcknowledgeRequest, EnrolRequest, FirstViewRequest, ProtectRequest, Signed, ViewRequest,
};
use crate::cluster_key::WrappedShare;
use crate::codec::{self, CodecError};

/// The version that [`encode_command`] writes, and the only one that is understood.
pub const COMMAND_VERSION: u8 = 1;

/// An entry of the ledger's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The reading of the leader's clock. The ledger's time never runs backwards, whatever this is.
    pub time: UnixSeconds,
    /// The action.
    pub action: Action,
}

/// What a command does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Fixes the constants that all servers must agree on. The first leader proposes it, before anything else.
    Genesis(Genesis),
    /// Binds a name to a key.
    Enrol(Signed<EnrolRequest>),
    /// Registers an object.
    Protect(Box<Registration>),
    /// Charges a view.
    View(Signed<ViewRequest>),
    /// Forgets the outcome of a view.
    Acknowledge(Signed<AcknowledgeRequest>),
    /// Charges a view, and enrols its user if it is granted.
    FirstView(Signed<FirstViewRequest>),
}

/// The constants that all servers of a cluster must agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// The cluster.
    pub cluster: ClusterId,
    /// The SHA-256 of the picture that people without permission see.
    pub denied_picture_hash: [u8; 32],
}

/// A [`ProtectRequest`] as it is stored in the log. It contains the same share as the client's request, wrapped by a
/// server instead of sealed by the client. The sealed share is represented by its hash, so that the signature can still
/// be verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The cluster.
    pub cluster: ClusterId,
    /// The object.
    pub object: ObjectId,
    /// Who may view it.
    pub policy: Policy,
    /// The SHA-256 of the envelope's manifest.
    pub manifest_hash: [u8; 32],
    /// The SHA-256 of the share as the client sealed it.
    pub sealed_share_hash: [u8; 32],
    /// The owner's signature of the request.
    pub signature: Signature,
    /// The share, under the cluster's key.
    pub share: WrappedShare,
}

impl Registration {
    /// Makes the registration for a verified request, with its share wrapped by
    /// [`ClusterKey::wrap_share`](crate::cluster_key::ClusterKey::wrap_share).
    pub fn new(signed: Signed<ProtectRequest>, share: WrappedShare) -> Self {
        let sealed_share_hash = signed.request.sealed_share_hash();
        let ProtectRequest {
            cluster,
            object,
            policy,
            manifest_hash,
            sealed_share: _,
        } = signed.request;
        Self {
            cluster,
            object,
            policy,
            manifest_hash,
            sealed_share_hash,
            signature: signed.signature,
            share,
        }
    }
}

/// Encodes a command for a proposal.
pub fn encode_command(command: &Command) -> Payload {
    let mut bytes = vec![COMMAND_VERSION];
    codec::encode_into(&mut bytes, command);
    Payload::from(bytes)
}

/// Decodes a command.
///
/// # Errors
///
/// The bytes are not exactly those of [`encode_command`] for some command.
pub fn decode_command(bytes: &[u8]) -> Result<Command, CodecError> {
    match bytes.split_first() {
        Some((&COMMAND_VERSION, body)) => codec::decode(body),
        Some((&found, _)) => Err(CodecError::Version {
            found,
            known: COMMAND_VERSION,
        }),
        None => Err(CodecError::Empty),
    }
}

/// The outcome of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The cluster's constants are fixed, and are those of the command.
    Begun,
    /// The name belongs to the key.
    Enrolled {
        /// Whether it belonged to the key before.
        already: bool,
    },
    /// The object is registered.
    Protected {
        /// Where in the log that happened; a repetition gives the first place.
        index: Index,
        /// Whether it was registered before.
        already: bool,
    },
    /// The view is charged: seal the share to the request's key.
    Granted(GrantedView),
    /// The view is denied.
    Denied(Denial),
    /// The outcome of the view is forgotten, or was never known.
    Acknowledged,
    /// The command changed nothing.
    Refused(Refusal),
}

/// Everything that a server needs to release a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantedView {
    /// The object.
    pub object: ObjectId,
    /// The request.
    pub request: RequestId,
    /// Where in the log the view was charged; a retry gives the first place.
    pub index: Index,
    /// Views left after this one.
    pub remaining: Views,
    /// The share, under the cluster's key.
    pub share: WrappedShare,
    /// The viewer's key to seal it to.
    pub reply_to: ExchangePublicKey,
    /// Whether this is the answer to a repetition.
    pub repeated: bool,
}

/// Why a view is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Denial {
    /// The name is not enrolled with this key.
    #[error("this device is not one of that user's")]
    UnknownDevice,
    /// The object does not exist, or this user is not among its viewers. The answer does not say which.
    #[error("this user may not view this picture")]
    NotListed,
    /// All views are used up.
    #[error("all views are used: {total} of {total}")]
    Exhausted {
        /// How many there were.
        total: u32,
    },
    /// The grant is no longer valid.
    #[error("the permission ended at {since} (seconds since 1970)")]
    Expired {
        /// Since when.
        since: UnixSeconds,
    },
    /// The grant is not valid yet.
    #[error("the permission begins at {from} (seconds since 1970)")]
    NotYet {
        /// From when.
        from: UnixSeconds,
    },
    /// The request has expired.
    #[error(
        "the request expired at {expired}, and it is {now} (seconds since 1970): send a new request, and check this machine's clock"
    )]
    RequestTooOld {
        /// When it expired.
        expired: UnixSeconds,
        /// The ledger's time.
        now: UnixSeconds,
    },
    /// The request is valid for longer than a request may be.
    #[error(
        "the request expires at {expires}, more than the limit ahead of {now} (seconds since 1970): check this machine's clock"
    )]
    RequestTooLong {
        /// When it expires.
        expires: UnixSeconds,
        /// The ledger's time.
        now: UnixSeconds,
    },
    /// Another request was made under the same id.
    #[error("another request was made under the same id")]
    RequestReused,
    /// The request was answered, and its answer acknowledged.
    #[error("this request was answered, and the answer acknowledged")]
    AlreadyAcknowledged,
    /// The user has too many outcomes that are not acknowledged. Nothing was recorded: the same request may be sent
    /// again.
    #[error("{limit} answers wait to be acknowledged: acknowledge some, then send the request again")]
    TooManyOutcomes {
        /// The most that may wait.
        limit: usize,
    },
    /// The request was made before the user was listed, and the grant does not count for it.
    #[error("the request was made before the permission was given: send a new request")]
    MadeBefore,
    /// The request names a position of the log or a time that is not reached. Nothing was decided.
    #[error(
        "the request names a position of the log, or a time, that is not reached at {now} (seconds since 1970): send it again"
    )]
    MadeAhead {
        /// The ledger's time.
        now: UnixSeconds,
    },
}

/// Why a command changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The bytes are not a command that this version knows.
    #[error(
        "the log contains a command that this program does not understand; run the same version on every server"
    )]
    NotACommand,
    /// The cluster's constants are not fixed yet, which the first command has to do.
    #[error("the ledger's constants are not fixed yet; a leader has to fix them first")]
    NotBegun,
    /// The command is for another cluster.
    #[error("the command is for cluster {found}, but this is the ledger of cluster {expected}")]
    OtherCluster {
        /// The cluster it names.
        found: ClusterId,
        /// The ledger's cluster.
        expected: ClusterId,
    },
    /// The command's denied picture is not this cluster's.
    #[error(
        "this server's unified image is not the one that the cluster was founded with; give every server the same file"
    )]
    OtherDeniedPicture,
    /// The name belongs to another key.
    #[error("this name belongs to another key; a device of its owner has to admit yours")]
    NameTaken,
    /// The owner is not enrolled with the key that the policy names.
    #[error("the owner is not enrolled with the key that the policy names")]
    UnknownOwner,
    /// The object's id is in use for other contents.
    #[error("the object is registered already, with other contents")]
    ObjectTaken,
    /// A limit of the ledger is reached.
    #[error("the ledger has no room for more {what}: its limit is {limit}")]
    Full {
        /// What there are too many of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}
