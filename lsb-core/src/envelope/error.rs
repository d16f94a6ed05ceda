//! Why bytes are not an envelope, or one that is not in order.

use super::kinds::{MOST_SECTIONS, Mode, RECEIPT_BYTES, SectionKind};
use super::policy::PolicyError;
use crate::error_kind::ErrorKind;
use crate::wire::Truncated;

/// Why bytes are not an envelope, or one that is not in order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// It does not start like an envelope.
    #[error("the hidden bytes are not an envelope of this program")]
    NotAnEnvelope,
    /// The bytes end inside it.
    #[error("the envelope is cut off: {0}")]
    Truncated(#[from] Truncated),
    /// Bytes after its end.
    #[error("{count} bytes follow the end of the envelope")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// Another version of the layout.
    #[error("the envelope has version {found}, this program reads version 1: it was made by a newer program")]
    UnknownVersion {
        /// The version it names.
        found: u16,
    },
    /// A mode that this program does not know.
    #[error(
        "unsupported mode {mode}: this program knows sealed (1), preview (2), cover (3) and label (4); a newer one made this"
    )]
    UnsupportedMode {
        /// The mode's number.
        mode: u8,
    },
    /// Algorithms that this program does not know.
    #[error("unsupported algorithms: suite {suite}, this program knows suite 1")]
    UnsupportedSuite {
        /// The suite's number.
        suite: u8,
    },
    /// A section that must be understood and is not.
    #[error("the envelope has a section of kind {number} that must be understood; a newer program is needed")]
    UnknownCriticalSection {
        /// The kind's number.
        number: u16,
    },
    /// More sections than the limit.
    #[error("the envelope has {found} sections, the limit is {limit}", limit = MOST_SECTIONS)]
    TooManySections {
        /// How many.
        found: usize,
    },
    /// The same section twice.
    #[error("the envelope has two sections of kind {kind:?}")]
    DuplicateSection {
        /// Which.
        kind: SectionKind,
    },
    /// Sections that do not stand in the order of their kinds.
    #[error("the envelope's section {kind:?} is out of order")]
    SectionDisorder {
        /// The first that is out of order.
        kind: SectionKind,
    },
    /// Flags that the section may not have.
    #[error("the envelope's section {kind:?} has flags {flags:#06x}, which it may not have")]
    SectionFlags {
        /// Which.
        kind: SectionKind,
        /// Its flags.
        flags: u16,
    },
    /// A section without content, which must be left out instead.
    #[error("the envelope's section {kind:?} is empty")]
    EmptySection {
        /// Which.
        kind: SectionKind,
    },
    /// A section too long for its length field.
    #[error("the envelope's section {kind:?} has {length} bytes, the limit is {limit}", limit = u32::MAX)]
    SectionTooLong {
        /// Which.
        kind: SectionKind,
        /// How long it is.
        length: u64,
    },
    /// A section that the mode needs is missing.
    #[error("the envelope lacks the section {kind:?} that mode {mode} needs")]
    MissingSection {
        /// Which.
        kind: SectionKind,
        /// The envelope's mode.
        mode: Mode,
    },
    /// A section that the mode does not have.
    #[error("the envelope has a section {kind:?} that mode {mode} does not have")]
    UnexpectedSection {
        /// Which.
        kind: SectionKind,
        /// The envelope's mode.
        mode: Mode,
    },
    /// A section whose content is not what the table says.
    #[error("the section {kind:?} is not what its owner signed: it was tampered with")]
    SectionHash {
        /// Which.
        kind: SectionKind,
    },
    /// The policy is not the one that the header names.
    #[error("the policy is not the one that the header names: it was tampered with")]
    PolicyHash,
    /// A reserved field is in use.
    #[error("{field} must be zero")]
    ReservedNotZero {
        /// Which.
        field: &'static str,
    },
    /// The embedded policy is not in order.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A receipt of an impossible length.
    #[error("the receipt has {length} bytes; it has none, or {expected}", expected = RECEIPT_BYTES)]
    ReceiptLength {
        /// Its length.
        length: usize,
    },
    /// A status that is not in its canonical form.
    #[error("the advisory status is not in its canonical form")]
    StatusNotCanonical,
    /// A status that does not fit into the room reserved for it.
    #[error("the advisory status takes {needed} bytes, {room} are reserved for it")]
    StatusTooLong {
        /// What it takes.
        needed: usize,
        /// What there is.
        room: usize,
    },
}

impl EnvelopeError {
    /// What kind of problem this is.
    ///
    /// An envelope arrives only after its body's checksum was found right, so a broken structure is
    /// nobody's accident.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownVersion { .. }
            | Self::UnsupportedMode { .. }
            | Self::UnsupportedSuite { .. }
            | Self::UnknownCriticalSection { .. }
            | Self::Policy(PolicyError::UnknownVersion { .. }) => ErrorKind::Unsupported,
            Self::StatusTooLong { .. } | Self::SectionTooLong { .. } => ErrorKind::Capacity,
            Self::Truncated(_) => ErrorKind::Damaged,
            _ => ErrorKind::Tampered,
        }
    }
}
