//! What modes, algorithms and sections there are, and the limits that errors name.

use core::fmt;

/// The most sections an envelope may have.
pub const MOST_SECTIONS: usize = 64;
/// The length of a receipt.
pub const RECEIPT_BYTES: usize = 112;

/// How a picture shows itself to those who may not look.
///
/// Modes of later programs are answered with [`EnvelopeError::UnsupportedMode`](super::EnvelopeError::UnsupportedMode).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Mode {
    /// The denied picture is seen; the original is encrypted in its low bits.
    Sealed = 1,
    /// A small blurred picture of the photograph is seen; the original is encrypted in its low bits.
    Preview = 2,
    /// A picture that the owner chose is seen; the original is encrypted in its low bits.
    Cover = 3,
    /// The photograph itself is seen; policy and denied picture ride in its low bits. **No
    /// secrecy**: only programs that take part heed it.
    Label = 4,
}

impl Mode {
    pub(super) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Sealed),
            2 => Some(Self::Preview),
            3 => Some(Self::Cover),
            4 => Some(Self::Label),
            _ => None,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Sealed => "sealed",
            Self::Preview => "preview",
            Self::Cover => "cover",
            Self::Label => "label",
        })
    }
}

/// The algorithms of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Suite {
    /// Ed25519 and SHA-256; HKDF-SHA256 and ChaCha20-Poly1305 in chunks of 64 KiB.
    One = 1,
}

/// What a section holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SectionKind {
    /// The policy's canonical encoding.
    Policy,
    /// The denied picture's exact bytes.
    DeniedPicture,
    /// The low-resolution picture that anyone may see, in mode `preview`: a PNG.
    Preview,
    /// The original file, sealed.
    Original,
    /// The original's type, size and hash, sealed.
    OriginalMetadata,
    /// A section of a later program, which older ones may pass over.
    Other(u16),
}

impl SectionKind {
    /// The number in the section table.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Policy => 1,
            Self::DeniedPicture => 2,
            Self::Preview => 3,
            Self::Original => 4,
            Self::OriginalMetadata => 5,
            Self::Other(number) => number,
        }
    }

    pub(super) const fn from_number(number: u16) -> Self {
        match number {
            1 => Self::Policy,
            2 => Self::DeniedPicture,
            3 => Self::Preview,
            4 => Self::Original,
            5 => Self::OriginalMetadata,
            number => Self::Other(number),
        }
    }
}
