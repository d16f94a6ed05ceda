//! Mode `label`: the photograph itself is seen, and says who may see it. **No secrecy.**
//!
//! Policy and denied picture ride in the photograph's own low bits; programs that take part heed
//! them, and everything else shows the photograph. There is no original to open: the photograph is
//! what there is. It becomes a PNG if it was none, upright; its type and depth and its colour profile are kept, and other metadata only if that is asked for.
//!
//! The owner's signature covers policy and denied picture, and not the photograph: someone can move
//! a label to another picture, just as they can remove it. So [`sign`] needs no photograph and [`embed`] no key: a
//! program that decodes in another process keeps its key out of there. [`protect`] is both, one after the other.

use alloc::vec;
use alloc::vec::Vec;

use crate::bits::BitsPerSample;
use crate::carrier;
use crate::envelope::{Draft, Envelope, Header, Mode, Policy, SectionKind, Suite};
use crate::error::Error;
use crate::identifiers::{ClusterId, ObjectId, PolicyVersion, UnixSeconds};
use crate::limits::Limits;
use crate::metadata::Item;
use crate::picture::{DecodedPicture, Keep, PictureError, decode_keeping, encode_png};
use crate::seal::{self, SealError, SigningKey};
use crate::upload;

/// How many bits of each sample a label uses unless something else is asked for: the least visible.
pub const LABEL_BITS: BitsPerSample = BitsPerSample::One;

/// What is to be labelled, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct LabelRequest<'a> {
    /// The photograph: a whole picture of any format.
    pub photograph: &'a [u8],
    /// The bytes of the picture that programs show to those who may not look: a whole PNG. If it
    /// does not fit, that is an error; it is never made smaller.
    pub denied_picture: &'a [u8],
    /// Who may view. It must name the public key of `owner`.
    pub policy: &'a Policy,
    /// Whose ledger will count.
    pub cluster: ClusterId,
    /// Now, by the owner's clock.
    pub created: UnixSeconds,
    /// The key that signs.
    pub owner: &'a SigningKey,
    /// How many bits of each sample carry: [`LABEL_BITS`] unless the label needs more room.
    pub bits: BitsPerSample,
    /// What becomes of metadata that is not needed to show the photograph right.
    pub keep: Keep,
    /// What is too large.
    pub limits: &'a Limits,
}

/// What a label says, and who signs it: [`LabelRequest`] without the photograph.
#[derive(Clone, Copy, Debug)]
pub struct LabelTerms<'a> {
    /// As [`LabelRequest::denied_picture`].
    pub denied_picture: &'a [u8],
    /// As [`LabelRequest::policy`].
    pub policy: &'a Policy,
    /// As [`LabelRequest::cluster`].
    pub cluster: ClusterId,
    /// As [`LabelRequest::created`].
    pub created: UnixSeconds,
    /// As [`LabelRequest::owner`].
    pub owner: &'a SigningKey,
    /// As [`LabelRequest::limits`].
    pub limits: &'a Limits,
}

/// A labelled photograph.
#[derive(Clone, Debug)]
pub struct LabelledPicture {
    /// The PNG file.
    pub file: Vec<u8>,
    /// The envelope that it carries.
    pub envelope: Envelope,
    /// The metadata that was kept, for all to read: none, unless [`Keep::Everything`] was asked for.
    pub kept: Vec<Item>,
}

/// Labels a photograph under a new object id.
///
/// # Errors
///
/// [`Error`]: the photograph is no whole picture, or the denied picture no whole PNG, or too large, the label does not
/// fit, the policy names another owner, or the operating system has no random bytes.
pub fn protect(request: &LabelRequest<'_>) -> Result<LabelledPicture, Error> {
    protect_with(request, new_object()?)
}

/// As [`protect`], with an object id from the caller.
///
/// # Errors
///
/// As [`protect`].
pub fn protect_with(request: &LabelRequest<'_>, object: ObjectId) -> Result<LabelledPicture, Error> {
    let LabelRequest {
        photograph,
        denied_picture,
        policy,
        cluster,
        created,
        owner,
        bits,
        keep,
        limits,
    } = *request;
    let terms = LabelTerms {
        denied_picture,
        policy,
        cluster,
        created,
        owner,
        limits,
    };
    embed(sign_with(&terms, object)?, photograph, bits, keep, limits)
}

/// Makes and signs the envelope of a label under a new object id. No picture is decoded for it.
///
/// # Errors
///
/// [`Error`]: the denied picture is no whole PNG or too large, the policy names another owner, or the operating system
/// has no random bytes.
pub fn sign(terms: &LabelTerms<'_>) -> Result<Envelope, Error> {
    sign_with(terms, new_object()?)
}

fn sign_with(terms: &LabelTerms<'_>, object: ObjectId) -> Result<Envelope, Error> {
    upload::inspect_png(terms.denied_picture, terms.limits)?;
    let header = Header {
        mode: Mode::Label,
        suite: Suite::One,
        object,
        cluster: terms.cluster,
        created: terms.created,
        policy_version: PolicyVersion::FIRST,
        policy_hash: terms.policy.hash(),
    };
    let sections = vec![(SectionKind::DeniedPicture, Vec::from(terms.denied_picture))];
    let draft = Draft::new(header, terms.policy.clone(), sections)?;
    Ok(seal::sign(draft, terms.owner)?)
}

/// Hides the signed envelope of a label in a photograph, of which it makes a PNG.
///
/// # Errors
///
/// [`Error`]: the photograph is no whole picture, or too large, the label does not fit, or the envelope is of another
/// mode.
pub fn embed(
    envelope: Envelope,
    photograph: &[u8],
    bits: BitsPerSample,
    keep: Keep,
    limits: &Limits,
) -> Result<LabelledPicture, Error> {
    let mode = envelope.header().mode;
    if mode != Mode::Label {
        return Err(PictureError::OtherCarrier { mode }.into());
    }
    let DecodedPicture {
        mut raster,
        ancillary,
        kept,
    } = decode_keeping(photograph, limits.upload_bytes, limits, keep)?;
    carrier::write(&mut raster, bits, envelope.as_bytes())?;
    let file = encode_png(raster, &ancillary)?;
    Ok(LabelledPicture { file, envelope, kept })
}

fn new_object() -> Result<ObjectId, Error> {
    let mut object = [0; ObjectId::LENGTH];
    getrandom::fill(&mut object).map_err(SealError::Randomness)?;
    Ok(ObjectId::from_bytes(object))
}
