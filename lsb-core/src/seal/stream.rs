//! Encryption in chunks: the STREAM construction over ChaCha20-Poly1305.
//!
//! Hoang, Reyhanitabar, Rogaway and Vizár, "Online Authenticated-Encryption and its Nonce-Reuse
//! Misuse-Resistance" (CRYPTO 2015), §7: the nonce of a chunk is a prefix, the chunk's number, and
//! one byte that says whether it is the last. So chunks cannot be reordered, repeated, dropped, or
//! cut off at the end.
//!
//! ```text
//!   nonce:   7 zero bytes │ chunk number u32, from 0 │ 1 for the last chunk, else 0
//!   chunk:   up to 65,536 bytes of ciphertext │ 16 bytes of tag
//! ```
//!
//! The prefix is zero because every key encrypts one message only: keys are derived per object and
//! per purpose.

use alloc::vec::Vec;

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce, Tag};

use super::error::SealError;

/// How many bytes of the original one chunk holds.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// The length of a chunk's authentication tag.
pub(super) const TAG_BYTES: usize = 16;

fn nonce(chunk: usize, last: bool) -> Nonce {
    // 2^32 chunks are 256 TiB; a section's length ends at 4 GiB.
    let [a, b, c, d] = u32::try_from(chunk).unwrap_or(u32::MAX).to_be_bytes();
    Nonce::from([0, 0, 0, 0, 0, 0, 0, a, b, c, d, u8::from(last)])
}

/// How long the ciphertext of a plaintext is.
pub(super) fn sealed_length(plain: usize) -> usize {
    plain + plain.div_ceil(CHUNK_BYTES).max(1) * TAG_BYTES
}

/// Appends the ciphertext of `plain` to `output`.
pub(super) fn encrypt(
    key: &[u8; 32],
    associated_data: &[u8],
    plain: &[u8],
    output: &mut Vec<u8>,
) -> Result<(), SealError> {
    let cipher = ChaCha20Poly1305::new(key.into());
    let chunks = plain.len().div_ceil(CHUNK_BYTES).max(1);
    for chunk in 0..chunks {
        let start = chunk * CHUNK_BYTES;
        let end = plain.len().min(start + CHUNK_BYTES);
        let content = plain.get(start..end).unwrap_or_default();
        let at = output.len();
        output.extend_from_slice(content);
        let target = output.get_mut(at..).unwrap_or_default();
        let tag = cipher
            .encrypt_inout_detached(&nonce(chunk, chunk + 1 == chunks), associated_data, target.into())
            .map_err(|_| SealError::Ciphertext)?;
        output.extend_from_slice(&tag);
    }
    Ok(())
}

/// Decrypts what [`encrypt`] wrote; nothing is returned unless every chunk is authentic.
pub(super) fn decrypt(key: &[u8; 32], associated_data: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
    let cipher = ChaCha20Poly1305::new(key.into());
    let chunks = sealed.chunks(CHUNK_BYTES + TAG_BYTES);
    let count = chunks.len();
    if count == 0 {
        return Err(SealError::Ciphertext);
    }
    let mut plain = Vec::with_capacity(sealed.len().saturating_sub(count * TAG_BYTES));
    for (number, chunk) in chunks.enumerate() {
        let (content, tag) = chunk
            .split_last_chunk::<TAG_BYTES>()
            .ok_or(SealError::Ciphertext)?;
        let at = plain.len();
        plain.extend_from_slice(content);
        let target = plain.get_mut(at..).unwrap_or_default();
        let nonce = nonce(number, number + 1 == count);
        cipher
            .decrypt_inout_detached(&nonce, associated_data, target.into(), &Tag::from(*tag))
            .map_err(|_| SealError::Ciphertext)?;
    }
    Ok(plain)
}
