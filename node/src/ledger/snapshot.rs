//! The whole ledger as bytes.
//!
//! ```text
//! | version: 1 byte | SHA-256 of the body: 32 bytes | body: the state in the encoding of `codec` |
//! ```
//!
//! The encoding is canonical: equal states have equal bytes, and the hash identifies the state.

use raft_core::replica::SnapshotError;
use sha2::{Digest, Sha256};

use super::state::State;
use crate::codec;

/// The version in which snapshots are written, and the only one that is understood.
pub const SNAPSHOT_VERSION: u8 = 1;

pub(super) fn hash(state: &State) -> [u8; 32] {
    Sha256::digest(codec::encode(state)).into()
}

pub(super) fn write(state: &State) -> Vec<u8> {
    let mut bytes = vec![SNAPSHOT_VERSION];
    bytes.extend_from_slice(&[0; 32]);
    codec::encode_into(&mut bytes, state);
    let body = bytes.get(33..).unwrap_or_default();
    let digest = Sha256::digest(body);
    if let Some(field) = bytes.get_mut(1..33) {
        field.copy_from_slice(&digest);
    }
    bytes
}

pub(super) fn read(bytes: &[u8]) -> Result<State, SnapshotError> {
    let wrong = |what: &str| SnapshotError(what.to_owned());
    let (&version, rest) = bytes.split_first().ok_or_else(|| wrong("it is empty"))?;
    if version != SNAPSHOT_VERSION {
        return Err(SnapshotError(format!(
            "it is of version {version}, but this program understands version {SNAPSHOT_VERSION}"
        )));
    }
    let (digest, body) = rest
        .split_first_chunk::<32>()
        .ok_or_else(|| wrong("it is truncated"))?;
    if Sha256::digest(body).as_slice() != digest {
        return Err(wrong("its checksum does not match"));
    }
    let state = codec::decode_within::<State, { codec::SNAPSHOT_LIMIT_BYTES }>(body)
        .map_err(|error| SnapshotError(error.to_string()))?;
    if codec::encode(&state) != body {
        return Err(wrong("it is not in its canonical form"));
    }
    state
        .audit
        .verify()
        .map_err(|error| SnapshotError(error.to_string()))?;
    Ok(state)
}
