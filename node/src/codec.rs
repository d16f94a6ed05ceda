//! Bytes for the ledger: commands in the log, and the state in a snapshot.
//!
//! What servers send each other, and what a store keeps, is encoded by [`raft_core::codec`]. All of the ledger goes
//! through this one module, so that the encoding can be replaced without touching anything else; golden files in
//! `tests/golden` pin the bytes. The encoding is bincode's with big-endian integers of fixed size, which gives each value
//! exactly one encoding. Maps are the exception: their order is not checked, which does no harm.
//!
//! Whatever the bytes are, decoding ends in a value or a [`CodecError`], and claims no more memory than a small multiple
//! of the limit: lengths inside are believed only as far as bytes follow.

use bincode::config::{BigEndian, Configuration, Fixint, Limit};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest command that is read. A command travels in an envelope, and none that is larger would arrive.
const COMMAND_LIMIT_BYTES: usize = 4 << 20;

/// The largest ledger snapshot that is read.
pub(crate) const SNAPSHOT_LIMIT_BYTES: usize = 1 << 30;

type Encoding<const LIMIT: usize> = Configuration<BigEndian, Fixint, Limit<LIMIT>>;

const fn encoding<const LIMIT: usize>() -> Encoding<LIMIT> {
    bincode::config::standard()
        .with_big_endian()
        .with_fixed_int_encoding()
        .with_limit()
}

/// Why bytes do not decode. Whoever wrote them is of another version, or wrote something else.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// There are no bytes, and so no version.
    #[error("there are no bytes")]
    Empty,
    /// The bytes were written by another version of this program.
    #[error(
        "the bytes are of version {found}, but this program understands version {known}; run the same version on every server"
    )]
    Version {
        /// The version found.
        found: u8,
        /// The version understood.
        known: u8,
    },
    /// The bytes are not the encoding of a value.
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

/// Encodes a value, without version or checksum.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_into(&mut bytes, value);
    bytes
}

/// Appends the encoding of a value.
pub(crate) fn encode_into<T: Serialize>(bytes: &mut Vec<u8>, value: &T) {
    bincode::serde::encode_into_std_write(value, bytes, encoding::<COMMAND_LIMIT_BYTES>())
        .expect("our own types have a known length, and a vector accepts every byte");
}

/// Decodes a command from exactly these bytes.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    decode_within::<T, COMMAND_LIMIT_BYTES>(bytes)
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
