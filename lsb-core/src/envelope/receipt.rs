//! The cluster's word that it has registered an object.
//!
//! It is added after the owner has signed, so it stands outside the owner's signature and carries
//! its own:
//!
//! ```text
//!   ┌───────────────────────┬───────────────┬────────────────┬─────────────────────────┐
//!   │ the cluster's Ed25519 │ log index u64 │ registered u64 │ Ed25519 signature       │   112 bytes
//!   │ public key, 32 bytes  │               │                │ 64 bytes                │
//!   └───────────────────────┴───────────────┴────────────────┴─────────────────────────┘
//!   signed: "raft-lsb envelope v1 receipt" ‖ 0x00 ‖ cluster id ‖ object id ‖ SHA-256 of the manifest
//!           ‖ log index ‖ registered
//! ```
//!
//! Whether that key belongs to the cluster is for the reader to decide, who knows the cluster.

use alloc::vec::Vec;

use super::error::EnvelopeError;
use super::manifest::Manifest;
use crate::identifiers::{PublicKey, Signature, UnixSeconds};
use crate::wire::{Reader, Write};

const RECEIPT_DOMAIN: &[u8] = b"raft-lsb envelope v1 receipt\0";

/// The cluster's statement that an object is in its ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Receipt {
    /// The key that signed it.
    pub cluster_key: PublicKey,
    /// Where in the cluster's log the registration stands.
    pub log_index: u64,
    /// When it was registered, by the ledger's clock.
    pub registered: UnixSeconds,
    /// The signature over [`Receipt::signed_message`].
    pub signature: Signature,
}

impl Receipt {
    /// The message that a receipt's signature is over.
    #[must_use]
    pub fn signed_message(manifest: &Manifest, log_index: u64, registered: UnixSeconds) -> Vec<u8> {
        let mut message = Vec::from(RECEIPT_DOMAIN);
        message
            .put(manifest.header().cluster.as_bytes())
            .put(manifest.header().object.as_bytes())
            .put(&manifest.hash())
            .put_u64(log_index)
            .put_u64(registered.0);
        message
    }

    pub(super) fn put(&self, bytes: &mut Vec<u8>) {
        bytes
            .put(self.cluster_key.as_bytes())
            .put_u64(self.log_index)
            .put_u64(self.registered.0)
            .put(self.signature.as_bytes());
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, EnvelopeError> {
        Ok(Self {
            cluster_key: PublicKey::from_bytes(reader.array("receipt's key")?),
            log_index: reader.u64("receipt's log index")?,
            registered: UnixSeconds(reader.u64("receipt's time")?),
            signature: Signature::from_bytes(reader.array("receipt's signature")?),
        })
    }
}
