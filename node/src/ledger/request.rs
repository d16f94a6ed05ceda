//! The requests that clients sign.
//!
//! A request is signed over its canonical bytes, for one purpose (`lsb_core` frames them as purpose ‖ 0x00 ‖ bytes),
//! with the key that it names. A server verifies the signature once, before it proposes the request. The ledger decides
//! whether the key may do what the request asks; the log contains the request together with its signature.
//!
//! All integers are big-endian; a name is one byte of length and its characters.

use lsb_core::envelope::{Policy, UserName};
use lsb_core::seal::{ExchangePublicKey, SealError, ShareForCluster, SigningKey};
use lsb_core::{ClusterId, ObjectId, PublicKey, RequestId, Signature, UnixSeconds};
use raft_core::Index;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// How far ahead of the ledger's time a view request may expire.
pub const LONGEST_REQUEST_SECONDS: u64 = 600;

/// Something that a client signs.
pub trait Request {
    /// The purpose of the signature; a signature for one purpose is invalid for another.
    const PURPOSE: &'static str;

    /// Returns the canonical bytes.
    fn message(&self) -> Vec<u8>;

    /// Returns the key that signs it.
    fn signer(&self) -> &PublicKey;
}

/// A request and its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed<R> {
    /// The request.
    pub request: R,
    /// The signature of the key that the request names.
    pub signature: Signature,
}

/// Why a request is rejected before it reaches the log. The client is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It was meant for another cluster.
    #[error("the request is for cluster {found}, but this is cluster {expected}")]
    OtherCluster {
        /// The cluster it names.
        found: ClusterId,
        /// The cluster it was sent to.
        expected: ClusterId,
    },
    /// The request names another key than the one that is to sign it.
    #[error("the request names the key {named}, which is not the key that is to sign it")]
    OtherKey {
        /// The key it names.
        named: PublicKey,
    },
    /// The signature was not made by the key that the request names.
    #[error("the signature was not made by the key that the request names")]
    Signature,
}

impl<R: Request> Signed<R> {
    /// Signs the request.
    ///
    /// # Errors
    ///
    /// [`RequestError::OtherKey`] if it names another key.
    pub fn sign(request: R, key: &SigningKey) -> Result<Self, RequestError> {
        if key.public() != *request.signer() {
            return Err(RequestError::OtherKey {
                named: *request.signer(),
            });
        }
        let signature = key.sign(R::PURPOSE, &request.message());
        Ok(Self { request, signature })
    }

    fn verify_signature(&self) -> Result<(), RequestError> {
        let verified = self
            .request
            .signer()
            .verify(R::PURPOSE, &self.request.message(), &self.signature);
        verified.map_err(|_: SealError| RequestError::Signature)
    }
}

macro_rules! verify_for_cluster {
    ($($name:ident),*) => {$(
        impl Signed<$name> {
            /// Verifies that the key that the request names signed it, for this cluster.
            ///
            /// # Errors
            ///
            /// [`RequestError::OtherCluster`] and [`RequestError::Signature`].
            pub fn verify(&self, cluster: ClusterId) -> Result<(), RequestError> {
                if self.request.cluster != cluster {
                    return Err(RequestError::OtherCluster { found: self.request.cluster, expected: cluster });
                }
                self.verify_signature()
            }
        }
    )*};
}
verify_for_cluster!(
    EnrolRequest,
    ProtectRequest,
    ViewRequest,
    AcknowledgeRequest,
    ObjectRequest,
    UploadRequest
);

impl Signed<FirstViewRequest> {
    /// Verifies that the device that the request names signed it, for this cluster.
    ///
    /// # Errors
    ///
    /// [`RequestError::OtherCluster`] and [`RequestError::Signature`].
    pub fn verify(&self, cluster: ClusterId) -> Result<(), RequestError> {
        let found = self.request.view.cluster;
        if found != cluster {
            return Err(RequestError::OtherCluster {
                found,
                expected: cluster,
            });
        }
        self.verify_signature()
    }
}

/// "This name is mine": signed by the key that the name is to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// The cluster.
    pub cluster: ClusterId,
    /// The name.
    pub user: UserName,
    /// The key that signs for it from now on.
    pub key: PublicKey,
}

/// "Count the views of this object": signed by its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtectRequest {
    /// The cluster.
    pub cluster: ClusterId,
    /// The object.
    pub object: ObjectId,
    /// Who may view it. It names the owner and the owner's key.
    pub policy: Policy,
    /// The SHA-256 of the envelope's manifest, which ties the registration to one picture.
    pub manifest_hash: [u8; 32],
    /// The ledger's share of the object's key, sealed to the cluster.
    pub sealed_share: ShareForCluster,
}

/// "Let me view this": signed by the viewer's device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewRequest {
    /// The cluster.
    pub cluster: ClusterId,
    /// The object.
    pub object: ObjectId,
    /// The viewer.
    pub user: UserName,
    /// The device that asks, and that signs.
    pub device: PublicKey,
    /// Drawn by the client and kept until the answer arrives: a retry is the same request, and is charged once.
    pub request: RequestId,
    /// The one-time key to which the answer is sealed.
    pub reply_to: ExchangePublicKey,
    /// The first moment at which the request is invalid; at most [`LONGEST_REQUEST_SECONDS`] ahead.
    pub expires: UnixSeconds,
}

/// "Let me view this, and let the name be mine if I may": signed by a device whose user may not be enrolled yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstViewRequest {
    /// The view.
    pub view: ViewRequest,
    /// The last position of the log of which the client had been told: a later grant does not count for the request.
    pub after: Option<Index>,
    /// The ledger's time that it had been told.
    pub told: UnixSeconds,
}

/// "I have the answer": signed by the device that asked for the view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcknowledgeRequest {
    /// The cluster.
    pub cluster: ClusterId,
    /// The viewer.
    pub user: UserName,
    /// The device that asked, and that signs.
    pub device: PublicKey,
    /// The request that is answered.
    pub request: RequestId,
}

/// "What is left of my picture's grants?": signed by a device of its owner. It is a query and is never in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRequest {
    /// The cluster.
    pub cluster: ClusterId,
    /// The object.
    pub object: ObjectId,
    /// The owner, who asks.
    pub owner: UserName,
    /// The device that asks, and that signs.
    pub device: PublicKey,
    /// The first moment at which the request is invalid.
    pub expires: UnixSeconds,
}

/// "An upload of mine follows": signed by a device of its owner. It comes in a header, before the upload, so that a
/// server grants no memory to strangers. It is never in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadRequest {
    /// The cluster.
    pub cluster: ClusterId,
    /// The object to be registered.
    pub object: ObjectId,
    /// Its owner.
    pub owner: UserName,
    /// The device that uploads, and that signs.
    pub device: PublicKey,
    /// The length of the request's body, in bytes.
    pub bytes: u64,
    /// The first moment at which the request is invalid.
    pub expires: UnixSeconds,
}

/// Appends a name in its canonical form.
fn put_name(bytes: &mut Vec<u8>, name: &UserName) {
    // A name has at most 32 characters, as its type guarantees.
    bytes.push(u8::try_from(name.as_str().len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(name.as_str().as_bytes());
}

impl Request for EnrolRequest {
    const PURPOSE: &'static str = "raft-lsb enrol v1";

    fn message(&self) -> Vec<u8> {
        let mut bytes = self.cluster.as_bytes().to_vec();
        put_name(&mut bytes, &self.user);
        bytes.extend_from_slice(self.key.as_bytes());
        bytes
    }

    fn signer(&self) -> &PublicKey {
        &self.key
    }
}

impl ProtectRequest {
    /// Returns the hash that represents the sealed share in signatures and in the log, where a server wraps the share
    /// itself.
    pub fn sealed_share_hash(&self) -> [u8; 32] {
        Sha256::digest(self.sealed_share.as_bytes()).into()
    }
}

impl Request for ProtectRequest {
    const PURPOSE: &'static str = "raft-lsb protect v1";

    fn message(&self) -> Vec<u8> {
        [
            self.cluster.as_bytes().as_slice(),
            self.object.as_bytes(),
            // The version of the policy that this one replaces: there is none.
            &0_u64.to_be_bytes(),
            self.policy.hash().as_bytes(),
            &self.manifest_hash,
            &self.sealed_share_hash(),
        ]
        .concat()
    }

    fn signer(&self) -> &PublicKey {
        self.policy.owner_key()
    }
}

impl Request for ViewRequest {
    const PURPOSE: &'static str = "raft-lsb view v1";

    fn message(&self) -> Vec<u8> {
        let mut bytes = [self.cluster.as_bytes().as_slice(), self.object.as_bytes()].concat();
        put_name(&mut bytes, &self.user);
        bytes.extend_from_slice(self.device.as_bytes());
        bytes.extend_from_slice(self.request.as_bytes());
        bytes.extend_from_slice(self.reply_to.as_bytes());
        bytes.extend_from_slice(&self.expires.0.to_be_bytes());
        bytes
    }

    fn signer(&self) -> &PublicKey {
        &self.device
    }
}

impl Request for FirstViewRequest {
    const PURPOSE: &'static str = "raft-lsb first view v1";

    fn message(&self) -> Vec<u8> {
        let mut bytes = self.view.message();
        bytes.extend_from_slice(&self.after.map_or(0, Index::value).to_be_bytes());
        bytes.extend_from_slice(&self.told.0.to_be_bytes());
        bytes
    }

    fn signer(&self) -> &PublicKey {
        &self.view.device
    }
}

impl Request for AcknowledgeRequest {
    const PURPOSE: &'static str = "raft-lsb acknowledge v1";

    fn message(&self) -> Vec<u8> {
        let mut bytes = self.cluster.as_bytes().to_vec();
        put_name(&mut bytes, &self.user);
        bytes.extend_from_slice(self.device.as_bytes());
        bytes.extend_from_slice(self.request.as_bytes());
        bytes
    }

    fn signer(&self) -> &PublicKey {
        &self.device
    }
}

impl Request for ObjectRequest {
    const PURPOSE: &'static str = "raft-lsb object query v1";

    fn message(&self) -> Vec<u8> {
        let mut bytes = [self.cluster.as_bytes().as_slice(), self.object.as_bytes()].concat();
        put_name(&mut bytes, &self.owner);
        bytes.extend_from_slice(self.device.as_bytes());
        bytes.extend_from_slice(&self.expires.0.to_be_bytes());
        bytes
    }

    fn signer(&self) -> &PublicKey {
        &self.device
    }
}

impl Request for UploadRequest {
    const PURPOSE: &'static str = "raft-lsb upload v1";

    fn message(&self) -> Vec<u8> {
        let mut bytes = [self.cluster.as_bytes().as_slice(), self.object.as_bytes()].concat();
        put_name(&mut bytes, &self.owner);
        bytes.extend_from_slice(self.device.as_bytes());
        bytes.extend_from_slice(&self.bytes.to_be_bytes());
        bytes.extend_from_slice(&self.expires.0.to_be_bytes());
        bytes
    }

    fn signer(&self) -> &PublicKey {
        &self.device
    }
}
