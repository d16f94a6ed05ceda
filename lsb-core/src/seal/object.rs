//! Sealing an original into an envelope, and opening it again.
//!
//! The section `Original` is
//!
//! ```text
//!   ┌──────────────────────┬──────────────────────┬──────────────────────────────────────┐
//!   │ picture share        │ key commitment       │ the original in encrypted chunks     │
//!   │ 32 bytes             │ 32 bytes             │ (see `stream`)                       │
//!   └──────────────────────┴──────────────────────┴──────────────────────────────────────┘
//! ```
//!
//! and the section `OriginalMetadata` is one encrypted chunk under a key of its own. Both are bound
//! to the header, and so to object, cluster and policy.

use alloc::vec;
use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use super::error::SealError;
use super::keys::{LedgerShare, ObjectKeys, ObjectSecrets, PictureShare};
use super::metadata::OriginalMetadata;
use super::signing::{SigningKey, sign};
use super::stream;
use crate::envelope::{Draft, Envelope, Header, Mode, Policy, SectionKind, Suite};
use crate::error::Error;
use crate::file_name::FileName;
use crate::identifiers::{ClusterId, ObjectId, PolicyHash, PolicyVersion, UnixSeconds};
use crate::limits::Limits;
use crate::upload;
use crate::wire::{Reader, Write};

/// What everybody sees who may not look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown<'a> {
    /// The denied picture: mode `sealed`.
    DeniedPicture,
    /// This small picture, a whole PNG of at most [`Limits::PREVIEW_PIXELS`], under a banner: mode `preview`. Make it
    /// with `picture::preview_of`.
    Preview(&'a [u8]),
    /// A picture that is chosen when the envelope is hidden: mode `cover`.
    Cover,
}

impl Shown<'_> {
    const fn mode(self) -> Mode {
        match self {
            Self::DeniedPicture => Mode::Sealed,
            Self::Preview(_) => Mode::Preview,
            Self::Cover => Mode::Cover,
        }
    }
}

/// What is to be sealed, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct SealRequest<'a> {
    /// The original file's bytes: a picture of any format of [`upload::MediaType`]. They are stored as they are, whatever
    /// is wrong behind the header; [`upload::inspect_stored`] says what that is.
    pub original: &'a [u8],
    /// The original's name, to travel with it in its sealed metadata, or none.
    pub name: Option<&'a FileName>,
    /// The bytes of the picture that a program shows to whoever may not look: a whole PNG.
    pub denied_picture: &'a [u8],
    /// What everybody sees without a program.
    pub shown: Shown<'a>,
    /// Who may view. It must name the public key of `owner`.
    pub policy: &'a Policy,
    /// Whose ledger will count.
    pub cluster: ClusterId,
    /// Now, by the owner's clock.
    pub created: UnixSeconds,
    /// The key that signs.
    pub owner: &'a SigningKey,
    /// What is too large.
    pub limits: &'a Limits,
}

/// An envelope to hide in a picture, and the share of its key to hand to the ledger.
#[derive(Clone, Debug)]
pub struct SealedObject {
    /// The signed envelope.
    pub envelope: Envelope,
    /// The ledger's share of the key. It never goes into the picture.
    pub ledger_share: LedgerShare,
}

impl SealedObject {
    /// The object's name.
    #[must_use]
    pub const fn object(&self) -> ObjectId {
        self.envelope.header().object
    }

    /// The hash of its policy.
    #[must_use]
    pub const fn policy_hash(&self) -> PolicyHash {
        self.envelope.header().policy_hash
    }
}

/// Seals an original: validates it, encrypts it under a fresh key, signs the envelope.
///
/// # Errors
///
/// [`Error`]: the original is no picture, the denied picture no whole PNG, one of them is too large, the policy names
/// another owner, or the operating system has no random bytes.
pub fn seal(request: &SealRequest<'_>) -> Result<SealedObject, Error> {
    seal_with(request, ObjectSecrets::generate()?)
}

/// As [`seal`], with secrets from the caller: for test vectors, and for a caller that has written
/// the secrets to a journal first.
///
/// The same secrets must never seal two different originals: that would encrypt two messages under
/// one key and nonce, and give both away.
///
/// # Errors
///
/// As [`seal`].
pub fn seal_with(request: &SealRequest<'_>, secrets: ObjectSecrets) -> Result<SealedObject, Error> {
    let SealRequest {
        original,
        name,
        denied_picture,
        shown,
        policy,
        cluster,
        created,
        owner,
        limits,
    } = *request;
    // Its bytes are stored: pixels that are damaged or missing are its owner's affair.
    let uploaded = upload::inspect_stored(original, limits)?;
    upload::inspect_png(denied_picture, limits)?;
    if let Shown::Preview(preview) = shown {
        upload::inspect_png(preview, &limits.of_preview())?;
    }
    let ObjectSecrets {
        object,
        picture_share,
        ledger_share,
    } = secrets;
    let header = Header {
        mode: shown.mode(),
        suite: Suite::One,
        object,
        cluster,
        created,
        policy_version: PolicyVersion::FIRST,
        policy_hash: policy.hash(),
    };
    let keys = ObjectKeys::derive(&picture_share, &ledger_share, &header);
    let mut sealed = Vec::with_capacity(64 + stream::sealed_length(original.len()));
    sealed.put(picture_share.expose_bytes()).put(&keys.commitment());
    stream::encrypt(
        &keys.original_key(),
        keys.associated_data(),
        original,
        &mut sealed,
    )?;
    let metadata = OriginalMetadata::of(&uploaded, original, name).to_bytes();
    let mut sealed_metadata = Vec::new();
    stream::encrypt(
        &keys.metadata_key(),
        keys.associated_data(),
        &metadata,
        &mut sealed_metadata,
    )?;
    let mut sections = vec![
        (SectionKind::DeniedPicture, Vec::from(denied_picture)),
        (SectionKind::Original, sealed),
        (SectionKind::OriginalMetadata, sealed_metadata),
    ];
    if let Shown::Preview(preview) = shown {
        sections.push((SectionKind::Preview, Vec::from(preview)));
    }
    let envelope = sign(Draft::new(header, policy.clone(), sections)?, owner)?;
    Ok(SealedObject {
        envelope,
        ledger_share,
    })
}

/// An original as its owner uploaded it.
#[derive(Clone, PartialEq, Eq)]
pub struct OpenedOriginal {
    /// The file's bytes, equal to the upload.
    pub bytes: Vec<u8>,
    /// What is known about it.
    pub metadata: OriginalMetadata,
}

impl core::fmt::Debug for OpenedOriginal {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter
            .debug_struct("OpenedOriginal")
            .field("metadata", &self.metadata)
            .finish_non_exhaustive()
    }
}

/// Opens a sealed original with the ledger's share. The owner's signature is checked first.
///
/// # Errors
///
/// [`SealError::OwnerSignature`], [`SealError::Ciphertext`] and [`SealError::Metadata`] if the file
/// was tampered with; [`SealError::WrongShare`] if the share belongs to another object;
/// [`SealError::NothingSealed`] for a label.
pub fn open(envelope: &Envelope, ledger_share: &LedgerShare) -> Result<OpenedOriginal, SealError> {
    envelope.verify_signature()?;
    let sealed = envelope
        .section(SectionKind::Original)
        .ok_or(SealError::NothingSealed)?;
    let sealed_metadata = envelope
        .section(SectionKind::OriginalMetadata)
        .ok_or(SealError::NothingSealed)?;
    let mut reader = Reader::new(sealed);
    let truncated = |_| SealError::Ciphertext;
    let picture_share = PictureShare::from_bytes(reader.array("picture share").map_err(truncated)?);
    let commitment: [u8; 32] = reader.array("key commitment").map_err(truncated)?;
    let chunks = reader
        .take(reader.remaining(), "encrypted original")
        .map_err(truncated)?;
    let keys = ObjectKeys::derive(&picture_share, ledger_share, envelope.header());
    // The commitment stands in the picture for everyone to read: nothing is gained by timing this.
    if keys.commitment() != commitment {
        return Err(SealError::WrongShare);
    }
    let metadata = stream::decrypt(&keys.metadata_key(), keys.associated_data(), sealed_metadata)?;
    let metadata = OriginalMetadata::parse(&metadata)?;
    let bytes = stream::decrypt(&keys.original_key(), keys.associated_data(), chunks)?;
    if metadata.bytes != bytes.len() as u64 || <[u8; 32]>::from(Sha256::digest(&bytes)) != metadata.hash {
        return Err(SealError::Metadata);
    }
    Ok(OpenedOriginal { bytes, metadata })
}
