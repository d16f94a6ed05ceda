//! Why sealing, opening or verifying failed.

use crate::error_kind::ErrorKind;

/// Why sealing, opening or verifying failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The operating system gave no random bytes.
    #[error("the operating system has no random bytes to give: {0}")]
    Randomness(getrandom::Error),
    /// The owner's signature does not match.
    #[error("the owner's signature does not match: the file was tampered with")]
    OwnerSignature,
    /// The cluster's signature on a receipt does not match.
    #[error("the cluster's signature on the receipt does not match: the file was tampered with")]
    ReceiptSignature,
    /// Some other signature does not match, or its key is none.
    #[error("the signature does not match the message and the key")]
    Signature,
    /// The ledger's share is not the one that belongs to this picture.
    #[error("this share of the key does not belong to this picture")]
    WrongShare,
    /// A chunk of the ciphertext is not what the owner encrypted.
    #[error("the encrypted original is not what its owner sealed: it was tampered with")]
    Ciphertext,
    /// The decrypted original is not what its metadata says.
    #[error("the decrypted original does not match its own description: it was tampered with")]
    Metadata,
    /// The original's metadata has an encoding of a later version.
    #[error("the original's description has version {found}, this program reads versions 1 and 2")]
    MetadataVersion {
        /// The version it names.
        found: u8,
    },
    /// The original is of a kind that this program does not know.
    #[error("the original is of kind {found}, which this program does not know")]
    MediaType {
        /// The kind's number.
        found: u8,
    },
    /// The envelope has no encrypted original.
    #[error(
        "this picture has no encrypted original: it is a label, the picture itself is what there is to see"
    )]
    NothingSealed,
    /// The policy names another owner's key than the one that is about to sign.
    #[error(
        "the policy names the owner's key {named}, the signing key is {signing}: sign with the owner's key"
    )]
    OtherOwner {
        /// The fingerprint in the policy.
        named: crate::identifiers::Fingerprint,
        /// The fingerprint of the signing key.
        signing: crate::identifiers::Fingerprint,
    },
    /// A sealed share cannot be opened with this key and for this purpose.
    #[error("the sealed share was made for another key, another object or another request")]
    SealedShare,
    /// A public key that cannot be sealed to.
    #[error("the public key to seal to is not a usable X25519 key")]
    ExchangeKey,
}

impl SealError {
    /// What kind of problem this is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Randomness(_) => ErrorKind::System,
            Self::OwnerSignature
            | Self::ReceiptSignature
            | Self::Signature
            | Self::Ciphertext
            | Self::Metadata => ErrorKind::Tampered,
            Self::WrongShare | Self::SealedShare | Self::ExchangeKey => ErrorKind::WrongKey,
            Self::MetadataVersion { .. } | Self::MediaType { .. } => ErrorKind::Unsupported,
            Self::NothingSealed | Self::OtherOwner { .. } => ErrorKind::InvalidRequest,
        }
    }
}

impl From<getrandom::Error> for SealError {
    fn from(error: getrandom::Error) -> Self {
        Self::Randomness(error)
    }
}
