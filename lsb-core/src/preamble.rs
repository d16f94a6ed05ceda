//! The 32 bytes that say whether a picture carries a body, and how to read it.
//!
//! They ride in the first 256 carrying samples, always one bit per sample, so that they can be
//! read before anything is known about the picture.
//!
//! ```text
//!   0        4       5       6       7       8            12                  20         28      32
//!   ┌────────┬───────┬───────┬───────┬───────┬────────────┬───────────────────┬──────────┬───────┐
//!   │ "RLSB" │version│ flags │ bits  │ mask  │ body bytes │ SHA-256 of body,  │ scatter  │ CRC-32│
//!   │        │   1   │       │ 1..=4 │       │    u32     │ its first 8 bytes │   salt   │ of 28 │
//!   └────────┴───────┴───────┴───────┴───────┴────────────┴───────────────────┴──────────┴───────┘
//! ```
//!
//! The checksum is looked at before the version: it is the one field, besides the magic, whose
//! place is the same in every version to come. So "made by a newer program" is never said of a
//! preamble that is merely damaged.

use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use crate::bits::BitsPerSample;
use crate::error_kind::ErrorKind;
use crate::layout::Layout;
pub use crate::layout::{PREAMBLE_BYTES, PREAMBLE_SAMPLES};
use crate::wire::{Reader, Truncated, Write};

/// The first four bytes.
pub const MAGIC: [u8; 4] = *b"RLSB";
/// The version that this crate reads and writes.
pub const VERSION: u8 = 1;
/// Flag: the body is scattered over the picture by permutations that the salt decides.
pub const FLAG_SCATTERED: u8 = 0b0000_0001;
/// Flag: the body was embedded by ±1 matching. A reader need not care.
pub const FLAG_MATCHED: u8 = 0b0000_0010;

/// A magic with up to this many flipped bits is ours, and damaged. Random low bits pass for that
/// in about one of 800,000 pictures.
const DAMAGED_MAGIC_BITS: u32 = 3;
/// The bytes that the checksum covers.
const CHECKED_BYTES: usize = PREAMBLE_BYTES - 4;

/// Why the first 256 samples are not a preamble that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PreambleError {
    /// There is no preamble.
    #[error(
        "this picture carries nothing of ours: it was never protected, or it was changed since, which destroys the \
         hidden part: saved as JPEG, resized, cropped, reduced from 16 to 8 bits or to a palette, or saved without \
         its transparency. Use the file exactly as it was received"
    )]
    NotOurs,
    /// There was a preamble.
    #[error(
        "the hidden preamble is damaged: the picture was edited or re-encoded since it was protected. Use the file \
         exactly as it was received"
    )]
    Damaged {
        /// How many of the magic's 32 bits differ.
        flipped_magic_bits: u32,
    },
    /// The preamble is whole and of a later version.
    #[error(
        "the picture was made by a newer program: preamble version {found}, this program reads {VERSION}"
    )]
    NewerVersion {
        /// The version it names.
        found: u8,
    },
    /// The preamble is whole and asks for a layout that this version of the program cannot read.
    #[error("unsupported layout of the hidden part: flags {flags:#010b}, channel mask {channel_mask:#05b}")]
    UnsupportedLayout {
        /// The flags it names.
        flags: u8,
        /// The channels it names.
        channel_mask: u8,
    },
    /// The preamble is whole and holds a value that no writer may write.
    #[error("the hidden preamble breaks its own format: {field} is {value}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// What it holds.
        value: u64,
    },
}

impl PreambleError {
    /// What kind of problem this is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::NotOurs => ErrorKind::NotProtected,
            Self::Damaged { .. } => ErrorKind::Damaged,
            Self::NewerVersion { .. } | Self::UnsupportedLayout { .. } => ErrorKind::Unsupported,
            Self::Invalid { .. } => ErrorKind::Tampered,
        }
    }
}

impl From<Truncated> for PreambleError {
    fn from(_: Truncated) -> Self {
        Self::NotOurs
    }
}

/// The first eight bytes of a body's SHA-256: tells damage, not malice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BodyChecksum(pub [u8; 8]);

impl BodyChecksum {
    /// The checksum of a body.
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::digest(body).into();
        let mut first = [0; 8];
        for (target, byte) in first.iter_mut().zip(digest) {
            *target = byte;
        }
        Self(first)
    }
}

/// How to read a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Preamble {
    /// Which samples carry the body, and how.
    pub layout: Layout,
    /// The colour channels that carry, one bit each, the first the lowest: `0b111` or `0b001`.
    pub channel_mask: u8,
    /// The length of the body in bytes.
    pub body_bytes: u32,
    /// The checksum of the body.
    pub body_checksum: BodyChecksum,
}

impl Preamble {
    /// The one encoding of these values.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; PREAMBLE_BYTES] {
        let mut checked = Vec::with_capacity(PREAMBLE_BYTES);
        let Layout {
            bits,
            matched,
            scatter_salt,
        } = self.layout;
        let scattered = if scatter_salt.is_some() { FLAG_SCATTERED } else { 0 };
        let matched = if matched { FLAG_MATCHED } else { 0 };
        checked
            .put(&MAGIC)
            .put_u8(VERSION)
            .put_u8(scattered | matched)
            .put_u8(bits.count())
            .put_u8(self.channel_mask)
            .put_u32(self.body_bytes)
            .put(&self.body_checksum.0)
            .put_u64(scatter_salt.unwrap_or(0));
        let checksum = crc32fast::hash(&checked);
        checked.put_u32(checksum);
        let mut bytes = [0; PREAMBLE_BYTES];
        assert_eq!(checked.len(), PREAMBLE_BYTES, "the fields above are 32 bytes");
        bytes.copy_from_slice(&checked);
        bytes
    }

    /// Reads a preamble.
    ///
    /// # Errors
    ///
    /// [`PreambleError`], which tells a foreign picture from a damaged one, and both from one that
    /// a newer program made.
    pub fn parse(bytes: &[u8; PREAMBLE_BYTES]) -> Result<Self, PreambleError> {
        let mut reader = Reader::new(bytes);
        let magic = reader.array::<4>("magic")?;
        let flipped_magic_bits = (u32::from_be_bytes(magic) ^ u32::from_be_bytes(MAGIC)).count_ones();
        if flipped_magic_bits > DAMAGED_MAGIC_BITS {
            return Err(PreambleError::NotOurs);
        }
        let (version, flags) = (reader.u8("version")?, reader.u8("flags")?);
        let (bits, channel_mask) = (reader.u8("bits per sample")?, reader.u8("channel mask")?);
        let body_bytes = reader.u32("body length")?;
        let body_checksum = BodyChecksum(reader.array("body checksum")?);
        let salt = reader.u64("scatter salt")?;
        let checksum = reader.u32("preamble checksum")?;
        let checked = bytes.get(..CHECKED_BYTES).unwrap_or_default();
        if flipped_magic_bits != 0 || checksum != crc32fast::hash(checked) {
            return Err(PreambleError::Damaged { flipped_magic_bits });
        }
        if version > VERSION {
            return Err(PreambleError::NewerVersion { found: version });
        }
        if version == 0 {
            return Err(PreambleError::Invalid {
                field: "the version",
                value: 0,
            });
        }
        if flags & !(FLAG_SCATTERED | FLAG_MATCHED) != 0 || !matches!(channel_mask, 0b001 | 0b111) {
            return Err(PreambleError::UnsupportedLayout { flags, channel_mask });
        }
        let invalid = |field, value| PreambleError::Invalid { field, value };
        let scatter_salt = (flags & FLAG_SCATTERED != 0).then_some(salt);
        if scatter_salt.is_none() && salt != 0 {
            return Err(invalid(
                "the scatter salt of a layout that is not scattered",
                salt,
            ));
        }
        let bits = BitsPerSample::from_count(bits)
            .ok_or(invalid("the number of bits per sample", u64::from(bits)))?;
        if body_bytes == 0 {
            return Err(invalid("the body length", 0));
        }
        Ok(Self {
            layout: Layout {
                bits,
                matched: flags & FLAG_MATCHED != 0,
                scatter_salt,
            },
            channel_mask,
            body_bytes,
            body_checksum,
        })
    }
}
