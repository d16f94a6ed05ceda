//! Ed25519: owners sign envelopes, viewers sign requests, clusters sign receipts.

use alloc::vec::Vec;
use core::fmt;

use ed25519_dalek::{Signer, VerifyingKey};
use zeroize::Zeroizing;

use super::error::SealError;
use crate::envelope::{Draft, Envelope, Manifest, Receipt};
use crate::identifiers::{PublicKey, Signature, UnixSeconds};

/// The secret key of an owner, a device or a cluster.
///
/// It is wiped when dropped and never shown.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// Makes a new key from the operating system's random bytes.
    ///
    /// # Errors
    ///
    /// [`SealError::Randomness`] if it has none.
    pub fn generate() -> Result<Self, SealError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice())?;
        Ok(Self::from_bytes(&seed))
    }

    /// The key of a seed, as it is kept in a file. Every 32 bytes are a seed.
    #[must_use]
    pub fn from_bytes(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The seed itself, to keep it in a file.
    #[must_use]
    pub fn expose_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The key that others verify with.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey::from_bytes(self.0.verifying_key().to_bytes())
    }

    /// Signs `message` for one purpose.
    ///
    /// The purpose keeps a signature that was given for one thing from passing for another: what is
    /// signed is purpose ‖ 0x00 ‖ message. It is a fixed text without zero bytes, with a version in
    /// it, such as `"raft-lsb view request v1"`.
    #[must_use]
    pub fn sign(&self, purpose: &str, message: &[u8]) -> Signature {
        self.sign_raw(&framed(purpose, message))
    }

    fn sign_raw(&self, message: &[u8]) -> Signature {
        Signature::from_bytes(self.0.sign(message).to_bytes())
    }

    /// Gives a cluster's receipt for a registered object.
    #[must_use]
    pub fn sign_receipt(&self, manifest: &Manifest, log_index: u64, registered: UnixSeconds) -> Receipt {
        let signature = self.sign_raw(&Receipt::signed_message(manifest, log_index, registered));
        Receipt {
            cluster_key: self.public(),
            log_index,
            registered,
            signature,
        }
    }
}

/// Signs an envelope as its owner.
///
/// A draft is made of a policy and of files as they are, and no picture is decoded for it. So a program that decodes in
/// another process signs in this one, and the key never goes where a decoder runs.
///
/// # Errors
///
/// [`SealError::OtherOwner`] if the draft's policy names another key.
pub fn sign(draft: Draft, owner: &SigningKey) -> Result<Envelope, SealError> {
    let named = draft.policy().owner_key();
    if *named != owner.public() {
        let (named, signing) = (named.fingerprint(), owner.public().fingerprint());
        return Err(SealError::OtherOwner { named, signing });
    }
    let signature = owner.sign_raw(&draft.signed_message());
    Ok(draft.finish(signature))
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SigningKey(secret of {})", self.public().fingerprint())
    }
}

fn framed(purpose: &str, message: &[u8]) -> Vec<u8> {
    assert!(
        !purpose.contains('\0'),
        "a purpose is a fixed text of ours, without zero bytes"
    );
    [purpose.as_bytes(), &[0], message].concat()
}

fn verify_raw(key: &PublicKey, message: &[u8], signature: &Signature) -> Result<(), SealError> {
    let key = VerifyingKey::from_bytes(key.as_bytes()).map_err(|_| SealError::Signature)?;
    let signature = ed25519_dalek::Signature::from_bytes(signature.as_bytes());
    // Strict: refuses keys of small order, for which one signature fits many messages.
    key.verify_strict(message, &signature)
        .map_err(|_| SealError::Signature)
}

impl PublicKey {
    /// Checks a signature that [`SigningKey::sign`] made for the same purpose.
    ///
    /// # Errors
    ///
    /// [`SealError::Signature`] if it does not match, or the key is not a key.
    pub fn verify(&self, purpose: &str, message: &[u8], signature: &Signature) -> Result<(), SealError> {
        verify_raw(self, &framed(purpose, message), signature)
    }
}

impl Manifest {
    /// Checks the owner's signature with a key that the caller knows to be the owner's.
    ///
    /// # Errors
    ///
    /// [`SealError::OwnerSignature`] if it does not match.
    pub fn verify_owner(&self, owner: &PublicKey) -> Result<(), SealError> {
        verify_raw(owner, &self.signed_message(), self.signature()).map_err(|_| SealError::OwnerSignature)
    }
}

impl Envelope {
    /// Checks the owner's signature with the key that the embedded policy names.
    ///
    /// It shows that the file is as one key made it. Whether that key is the owner's known one is
    /// for the caller to compare (`policy().owner_key()`), who has a ledger to ask.
    ///
    /// # Errors
    ///
    /// [`SealError::OwnerSignature`] if it does not match.
    pub fn verify_signature(&self) -> Result<(), SealError> {
        self.manifest().verify_owner(self.policy().owner_key())
    }

    /// Checks the cluster's receipt, if there is one, with a key that the caller knows to be the
    /// cluster's. `Ok(None)` means that there is no receipt.
    ///
    /// # Errors
    ///
    /// [`SealError::ReceiptSignature`] if it was given by another key or for something else.
    pub fn verify_receipt(&self, cluster_key: &PublicKey) -> Result<Option<&Receipt>, SealError> {
        let Some(receipt) = self.receipt() else {
            return Ok(None);
        };
        if receipt.cluster_key != *cluster_key {
            return Err(SealError::ReceiptSignature);
        }
        let message = Receipt::signed_message(self.manifest(), receipt.log_index, receipt.registered);
        verify_raw(cluster_key, &message, &receipt.signature).map_err(|_| SealError::ReceiptSignature)?;
        Ok(Some(receipt))
    }
}
