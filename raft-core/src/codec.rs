//! Bytes with a version for everything that leaves a server's memory: envelopes on the wire, records on the disk.
//!
//! A host that uses them can be upgraded one server at a time, since each version's bytes are read for as long as
//! anything may have been written in it. `docs/versions.md` in the repository says what may change when.
//!
//! | what | functions | layout |
//! |---|---|---|
//! | an [`Envelope`] | [`encode_envelope`], [`decode_envelope`] | version: 1 byte; CRC-32 of version and body: 4 bytes, big-endian; body |
//! | a [`Record`] | [`encode_record`], [`decode_record`] | version: 1 byte; body |
//!
//! Neither carries its own length, which belongs to the transport or the file. A record carries no checksum: a store
//! computes one over the record *and its place*, so that a record that the disk has put elsewhere is noticed as well.
//!
//! # What decoding promises
//!
//! * Any bytes end in a value or a [`DecodeError`], never in a panic.
//! * Each value has exactly one encoding in each version: what decodes in the newest version encodes to the same bytes
//!   again.
//! * A length or a count is believed only as far as bytes follow, so that decoding claims no more memory than a small
//!   multiple of its input.
//!
//! A value that decodes may still be one that no correct server sends. The core checks that, and counts it.
//!
//! # Example
//!
//! ```
//! use raft_core::codec::{DecodeError, DecodeLimits, decode_envelope, encode_envelope};
//! use raft_core::{Envelope, GroupId, Incarnation, Message, NodeId, Term};
//!
//! let envelope = Envelope {
//!     group: GroupId::new(1),
//!     from: NodeId::new(1),
//!     from_incarnation: Incarnation::new(7),
//!     to: NodeId::new(2),
//!     to_incarnation: None,
//!     term: Term::new(3),
//!     message: Message::TimeoutNow,
//! };
//! let mut bytes = encode_envelope(&envelope);
//! assert_eq!(decode_envelope(&bytes, DecodeLimits::default()), Ok(envelope));
//!
//! bytes[0] = 200;
//! let error = decode_envelope(&bytes, DecodeLimits::default());
//! assert_eq!(error, Err(DecodeError::UnknownVersion { found: 200, newest: 1 }));
//! ```

mod v1;
mod wire;

use alloc::vec::Vec;

use crate::action::Persist;
use crate::config::Durable;
use crate::membership::Membership;
use crate::message::Envelope;
use crate::types::{Entry, Identity, SnapshotMeta};

/// The version of envelopes that [`encode_envelope`] writes, the newest one that is understood.
pub const ENVELOPE_VERSION: u8 = 1;

/// The version of records that [`encode_record`] writes, the newest one that is understood.
pub const RECORD_VERSION: u8 = 1;

const ENVELOPE_HEADER_BYTES: usize = 5;

/// How much is decoded at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// The size of the whole, header included.
    pub bytes: usize,
    /// The number of elements of any one list: entries, members, forwarded commands.
    pub items: usize,
}

impl DecodeLimits {
    /// No limit of its own: for what a store has read, whose size the store has limited already.
    pub const NONE: Self = Self {
        bytes: usize::MAX,
        items: usize::MAX,
    };
}

impl Default for DecodeLimits {
    /// Returns limits for what peers send. They are four times and twice what the default [`Limits`](crate::Limits) and
    /// [`Snapshots`](crate::Snapshots) allow a message to be. A host that raises those raises these with them, on the
    /// receiving servers first.
    fn default() -> Self {
        Self {
            bytes: 4 << 20,
            items: 1 << 16,
        }
    }
}

/// Why bytes do not decode. The sender's encoder is wrong, the bytes were damaged on the way, or they are from a newer
/// program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// There are more bytes than the limit.
    #[error("there are {size} bytes and the limit is {limit}")]
    TooLarge {
        /// How many there are.
        size: usize,
        /// [`DecodeLimits::bytes`].
        limit: usize,
    },
    /// There are fewer bytes than the header has.
    #[error("there are {size} bytes, too few for a header of {header}")]
    TooShort {
        /// How many there are.
        size: usize,
        /// The size of the header.
        header: usize,
    },
    /// The bytes are of a version that this program does not know. If `found` is beyond `newest`, a newer program has
    /// written them.
    #[error(
        "the bytes are of version {found}, and the newest version that this program understands is {newest}; run a program that understands version {found}"
    )]
    UnknownVersion {
        /// The version of the bytes.
        found: u8,
        /// The newest version that is understood.
        newest: u8,
    },
    /// The bytes are not those that were sent.
    #[error("the checksum does not match: the bytes were damaged on the way")]
    Checksum,
    /// The bytes end within a value, or before the elements that a list announces.
    #[error("the bytes end before the value does")]
    Incomplete,
    /// A list has more elements than the limit.
    #[error("a list of {count} elements was announced, and the limit is {limit}")]
    TooMany {
        /// How many were announced.
        count: u64,
        /// [`DecodeLimits::items`].
        limit: usize,
    },
    /// A number names no variant.
    #[error("there is no {kind} with the number {found}")]
    UnknownVariant {
        /// The type that has no such variant.
        kind: &'static str,
        /// The number.
        found: u32,
    },
    /// A value is not one of its type.
    #[error("the bytes hold {what}")]
    Invalid {
        /// What was found.
        what: &'static str,
    },
    /// More bytes follow than belong to the value.
    #[error("{surplus} bytes follow after the end of the value")]
    Trailing {
        /// How many.
        surplus: usize,
    },
}

/// What a store can keep as a record: implemented here, and nowhere else.
///
/// | value | what for |
/// |---|---|
/// | [`Persist`] | a log of writes. Its `ticket` and `sync` are about the act of writing and are not kept: what is decoded has ticket 0, which no write of a running server has, and asks for a sync |
/// | [`Durable`] | the whole content of a disk, or all of it but the entries |
/// | [`Entry`] | one record for each entry |
/// | [`SnapshotMeta`] | beside a snapshot's bytes |
/// | [`Identity`], [`Membership`] | whose folder it is, and the configuration that its cluster began with |
pub trait Record: sealed::Sealed {}

/// Closed: whoever could implement it could change what a released version's bytes mean.
mod sealed {
    use alloc::vec::Vec;

    use super::{DecodeError, DecodeLimits};

    pub trait Sealed: Sized {
        fn append_to(&self, bytes: &mut Vec<u8>);
        fn decode_v1(body: &[u8], limits: DecodeLimits) -> Result<Self, DecodeError>;
    }
}

macro_rules! record {
    ($($value:ident)*) => {$(
        impl sealed::Sealed for $value {
            fn append_to(&self, bytes: &mut Vec<u8>) {
                wire::append(&v1::$value::from(self), bytes);
            }
            fn decode_v1(body: &[u8], limits: DecodeLimits) -> Result<Self, DecodeError> {
                wire::whole::<v1::$value>(body, limits).map(Self::from)
            }
        }
        impl Record for $value {}
    )*};
}
record!(Persist Durable Entry SnapshotMeta Identity Membership);

/// Encodes an envelope for another server, in the newest version.
pub fn encode_envelope(envelope: &Envelope) -> Vec<u8> {
    let mut bytes = alloc::vec![ENVELOPE_VERSION, 0, 0, 0, 0];
    let mut body = v1::Envelope::from(envelope);
    if planted!(RECIPIENT_NOT_ENCODED) {
        body.to_incarnation = None;
    }
    wire::append(&body, &mut bytes);
    let checksum = checksum(
        ENVELOPE_VERSION,
        bytes.get(ENVELOPE_HEADER_BYTES..).unwrap_or_default(),
    );
    if let Some(field) = bytes.get_mut(1..ENVELOPE_HEADER_BYTES) {
        field.copy_from_slice(&checksum.to_be_bytes());
    }
    bytes
}

/// Decodes an envelope of another server.
///
/// # Errors
///
/// The bytes are not exactly those of an envelope in a version that is known, or they exceed a limit.
pub fn decode_envelope(bytes: &[u8], limits: DecodeLimits) -> Result<Envelope, DecodeError> {
    check_size(bytes, limits)?;
    let Some((&[version, c0, c1, c2, c3], body)) = bytes.split_first_chunk::<ENVELOPE_HEADER_BYTES>() else {
        // A version that has no body yet tells more than a length does.
        return Err(match bytes.first() {
            Some(&found) if found != ENVELOPE_VERSION => unknown(found, ENVELOPE_VERSION),
            _ => DecodeError::TooShort {
                size: bytes.len(),
                header: ENVELOPE_HEADER_BYTES,
            },
        });
    };
    // The version is checked first: another one may place or compute its checksum differently.
    if version != ENVELOPE_VERSION {
        return Err(unknown(version, ENVELOPE_VERSION));
    }
    let is_intact = checksum(version, body) == u32::from_be_bytes([c0, c1, c2, c3]);
    if !is_intact && !planted!(CHECKSUM_UNCHECKED) {
        return Err(DecodeError::Checksum);
    }
    wire::whole::<v1::Envelope>(body, limits).map(Envelope::from)
}

/// Appends a record to the bytes, in the newest version.
pub fn encode_record(record: &impl Record, bytes: &mut Vec<u8>) {
    bytes.push(RECORD_VERSION);
    record.append_to(bytes);
}

/// Decodes a record.
///
/// # Errors
///
/// The bytes are not exactly those of such a record in a version that is known, or they exceed a limit.
pub fn decode_record<R: Record>(bytes: &[u8], limits: DecodeLimits) -> Result<R, DecodeError> {
    check_size(bytes, limits)?;
    match bytes.split_first() {
        None => Err(DecodeError::TooShort { size: 0, header: 1 }),
        Some((&RECORD_VERSION, body)) => R::decode_v1(body, limits),
        Some((&found, _)) => Err(unknown(found, RECORD_VERSION)),
    }
}

fn check_size(bytes: &[u8], limits: DecodeLimits) -> Result<(), DecodeError> {
    if bytes.len() > limits.bytes {
        return Err(DecodeError::TooLarge {
            size: bytes.len(),
            limit: limits.bytes,
        });
    }
    Ok(())
}

fn unknown(found: u8, newest: u8) -> DecodeError {
    DecodeError::UnknownVersion { found, newest }
}

fn checksum(version: u8, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[version]);
    hasher.update(plant!(body, CHECKSUM_OF_THE_FRONT => body.get(..64).unwrap_or(body)));
    hasher.finalize()
}
