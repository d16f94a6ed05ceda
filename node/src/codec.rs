//! Bytes for everything that leaves a server's memory: messages between servers, commands in the log, records
//! in the store.
//!
//! All of it goes through this one module, so that the encoding can be replaced without touching anything else; golden
//! files in `tests/golden` pin the bytes. The encoding is bincode's with big-endian integers of fixed size, which gives
//! each value exactly one encoding. Maps are the exception: their order is not checked, which does no harm.
//!
//! A frame between servers:
//!
//! ```text
//! | version: 1 byte | CRC-32 of version and body: 4 bytes, big-endian | body |
//! ```
//!
//! The frame's length precedes it and belongs to the transport. Whatever the bytes are, decoding ends in a value or a
//! [`CodecError`], and claims no more memory than a small multiple of [`FRAME_LIMIT_BYTES`]: lengths inside the body
//! are believed only as far as bytes follow.

use bincode::config::{BigEndian, Configuration, Fixint, Limit};
use raft_core::Envelope;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest frame that is sent or accepted, without its length. It is four times the default limit of an append or a
/// piece of a snapshot, so that those limits can be raised without a new version.
pub const FRAME_LIMIT_BYTES: usize = 4 << 20;

/// The version that [`encode_envelope`] writes, and the only one that is understood.
pub const FRAME_VERSION: u8 = 1;

const FRAME_HEADER_BYTES: usize = 5;

/// The largest ledger snapshot that is read.
pub(crate) const SNAPSHOT_LIMIT_BYTES: usize = 1 << 30;

type Encoding<const LIMIT: usize> = Configuration<BigEndian, Fixint, Limit<LIMIT>>;

const fn encoding<const LIMIT: usize>() -> Encoding<LIMIT> {
    bincode::config::standard()
        .with_big_endian()
        .with_fixed_int_encoding()
        .with_limit()
}

/// Why bytes do not decode. The sender's encoder is wrong, or the bytes were damaged on the way.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The frame has more bytes than a frame may have.
    #[error("the frame has {size} bytes; the limit is {limit}")]
    TooLarge {
        /// The size of the frame.
        size: usize,
        /// The largest size.
        limit: usize,
    },
    /// The frame has fewer bytes than an empty frame.
    #[error("the frame has {size} bytes, too few for its header of {FRAME_HEADER_BYTES}")]
    TooShort {
        /// The size of the frame.
        size: usize,
    },
    /// The frame was written by another version of this program.
    #[error(
        "the bytes are of version {found}, but this program understands version {known}; run the same version on every server"
    )]
    Version {
        /// The version found.
        found: u8,
        /// The version understood.
        known: u8,
    },
    /// The frame was damaged on its way.
    #[error("the checksum does not match: the frame was damaged on the way")]
    Checksum,
    /// The body is not the encoding of a value.
    #[error("the bytes do not encode a value")]
    Malformed(#[source] MalformedBytes),
    /// More bytes follow than belong to the value.
    #[error("{surplus} bytes follow after the end of the value")]
    Trailing {
        /// How many.
        surplus: usize,
    },
}

/// What is wrong with bytes that do not encode a value.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct MalformedBytes(bincode::error::DecodeError);

/// Encodes an envelope as a frame for another server.
pub fn encode_envelope(envelope: &Envelope) -> Vec<u8> {
    let mut frame = vec![FRAME_VERSION, 0, 0, 0, 0];
    if planted!(RECIPIENT_NOT_ENCODED) {
        let mut envelope = envelope.clone();
        envelope.to_incarnation = None;
        encode_into(&mut frame, &envelope);
    } else {
        encode_into(&mut frame, envelope);
    }
    let checksum = frame_checksum(FRAME_VERSION, frame.get(FRAME_HEADER_BYTES..).unwrap_or_default());
    if let Some(field) = frame.get_mut(1..FRAME_HEADER_BYTES) {
        field.copy_from_slice(&checksum.to_be_bytes());
    }
    frame
}

/// Decodes a frame of another server.
///
/// # Errors
///
/// Anything but exactly the bytes of [`encode_envelope`] for some envelope.
pub fn decode_envelope(frame: &[u8]) -> Result<Envelope, CodecError> {
    if frame.len() > FRAME_LIMIT_BYTES {
        return Err(CodecError::TooLarge {
            size: frame.len(),
            limit: FRAME_LIMIT_BYTES,
        });
    }
    let Some((&[version, c0, c1, c2, c3], body)) = frame.split_first_chunk::<FRAME_HEADER_BYTES>() else {
        return Err(CodecError::TooShort { size: frame.len() });
    };
    // The version is checked first: another one may place or compute its checksum differently.
    if version != FRAME_VERSION {
        return Err(CodecError::Version {
            found: version,
            known: FRAME_VERSION,
        });
    }
    let is_intact = frame_checksum(version, body) == u32::from_be_bytes([c0, c1, c2, c3]);
    if !is_intact && !planted!(CHECKSUM_UNCHECKED) {
        return Err(CodecError::Checksum);
    }
    decode(body)
}

fn frame_checksum(version: u8, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[version]);
    hasher.update(if planted!(CHECKSUM_OF_THE_FRONT) {
        body.get(..64).unwrap_or(body)
    } else {
        body
    });
    hasher.finalize()
}

/// Encodes a value, without version or checksum.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_into(&mut bytes, value);
    bytes
}

/// Appends the encoding of a value.
pub(crate) fn encode_into<T: Serialize>(bytes: &mut Vec<u8>, value: &T) {
    bincode::serde::encode_into_std_write(value, bytes, encoding::<FRAME_LIMIT_BYTES>())
        .expect("our own types have a known length, and a vector accepts every byte");
}

/// Decodes a value (a message, a command, a record) from exactly these bytes.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    decode_within::<T, FRAME_LIMIT_BYTES>(bytes)
}

/// Like [`decode`]; no length inside may claim more than `LIMIT` bytes before they have been read.
pub(crate) fn decode_within<T: DeserializeOwned, const LIMIT: usize>(bytes: &[u8]) -> Result<T, CodecError> {
    let (value, used) = bincode::serde::decode_from_slice(bytes, encoding::<LIMIT>())
        .map_err(|error| CodecError::Malformed(MalformedBytes(error)))?;
    match bytes.len().saturating_sub(used) {
        0 => Ok(value),
        surplus => Err(CodecError::Trailing { surplus }),
    }
}
