//! Encryption in chunks: the STREAM construction over ChaCha20-Poly1305, as the crate `aead-stream` has it.
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

use aead_stream::{DecryptorBE32, EncryptorBE32, NewStream, Nonce, StreamBE32};
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{self, Buffer};

use super::error::SealError;

/// How many bytes of the original one chunk holds.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// The length of a chunk's authentication tag.
pub(super) const TAG_BYTES: usize = 16;

/// The streams of one message: a key of its own, so no prefix.
fn stream(key: &[u8; 32]) -> StreamBE32<ChaCha20Poly1305> {
    let no_prefix: Nonce<ChaCha20Poly1305, StreamBE32<ChaCha20Poly1305>> = [0; 7].into();
    StreamBE32::new(key.into(), &no_prefix)
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
    let mut encryptor = EncryptorBE32::from_stream_primitive(stream(key));
    let (whole, last) = all_and_last(plain, CHUNK_BYTES);
    for chunk in whole.chunks(CHUNK_BYTES) {
        encryptor.encrypt_next_in_place(associated_data, &mut Tail::with(output, chunk))?;
    }
    encryptor.encrypt_last_in_place(associated_data, &mut Tail::with(output, last))?;
    Ok(())
}

/// Decrypts what [`encrypt`] wrote; nothing is returned unless every chunk is authentic.
pub(super) fn decrypt(key: &[u8; 32], associated_data: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut decryptor = DecryptorBE32::from_stream_primitive(stream(key));
    let (whole, last) = all_and_last(sealed, CHUNK_BYTES + TAG_BYTES);
    // A chunk stands there with its tag until it is decrypted.
    let mut plain = Vec::with_capacity(sealed.len());
    for chunk in whole.chunks(CHUNK_BYTES + TAG_BYTES) {
        decryptor.decrypt_next_in_place(associated_data, &mut Tail::with(&mut plain, chunk))?;
    }
    decryptor.decrypt_last_in_place(associated_data, &mut Tail::with(&mut plain, last))?;
    Ok(plain)
}

impl From<aead::Error> for SealError {
    fn from(_: aead::Error) -> Self {
        Self::Ciphertext
    }
}

/// Everything before the last chunk, and the last chunk, which is full where that is possible.
fn all_and_last(bytes: &[u8], chunk_bytes: usize) -> (&[u8], &[u8]) {
    let chunks = bytes.len().div_ceil(chunk_bytes).max(1);
    bytes.split_at((chunks - 1) * chunk_bytes)
}

/// The end of a vector, where a chunk is encrypted or decrypted in place: a message is copied once.
struct Tail<'a> {
    bytes: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> Tail<'a> {
    fn with(bytes: &'a mut Vec<u8>, chunk: &[u8]) -> Self {
        let start = bytes.len();
        bytes.extend_from_slice(chunk);
        Self { bytes, start }
    }
}

impl AsRef<[u8]> for Tail<'_> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

impl AsMut<[u8]> for Tail<'_> {
    fn as_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..).unwrap_or_default()
    }
}

impl Buffer for Tail<'_> {
    fn extend_from_slice(&mut self, other: &[u8]) -> aead::Result<()> {
        self.bytes.extend_from_slice(other);
        Ok(())
    }

    fn truncate(&mut self, length: usize) {
        self.bytes.truncate(self.start.saturating_add(length));
    }
}

#[cfg(test)]
mod tests {
    use chacha20poly1305::aead::AeadInOut;
    use chacha20poly1305::{KeyInit, Nonce};

    use super::*;

    /// The construction written out, from `docs/envelope.md` §5.2.
    fn written_out(key: &[u8; 32], associated_data: &[u8], plain: &[u8]) -> Vec<u8> {
        let cipher = ChaCha20Poly1305::new(key.into());
        let mut sealed = Vec::new();
        let mut chunks = plain.chunks(CHUNK_BYTES).peekable();
        let mut number = 0u32;
        loop {
            let mut chunk = chunks.next().unwrap_or_default().to_vec();
            let last = chunks.peek().is_none();
            let [a, b, c, d] = number.to_be_bytes();
            let nonce = Nonce::from([0, 0, 0, 0, 0, 0, 0, a, b, c, d, u8::from(last)]);
            cipher
                .encrypt_in_place(&nonce, associated_data, &mut chunk)
                .unwrap();
            sealed.extend_from_slice(&chunk);
            if last {
                return sealed;
            }
            number += 1;
        }
    }

    #[test]
    fn every_length_is_sealed_as_the_document_says() {
        let (key, bound) = ([3; 32], b"bound");
        for length in [
            0,
            1,
            50,
            CHUNK_BYTES - 1,
            CHUNK_BYTES,
            CHUNK_BYTES + 1,
            2 * CHUNK_BYTES,
            3 * CHUNK_BYTES + 17,
        ] {
            let plain: Vec<u8> = (0..length).map(|place| ((place * 31) >> 3) as u8).collect();
            let mut sealed = b"ahead".to_vec();
            encrypt(&key, bound, &plain, &mut sealed).unwrap();
            let sealed = sealed.strip_prefix(b"ahead").unwrap();
            assert!(sealed == written_out(&key, bound, &plain), "{length} bytes");
            assert_eq!(sealed.len(), sealed_length(length));
            assert!(decrypt(&key, bound, sealed).unwrap() == plain, "{length} bytes");
        }
    }

    #[test]
    fn chunks_that_are_missing_moved_or_added_are_noticed() {
        let (key, bound) = ([3; 32], b"bound");
        let mut sealed = Vec::new();
        encrypt(&key, bound, &[7; 3 * CHUNK_BYTES], &mut sealed).unwrap();
        let chunks: Vec<&[u8]> = sealed.chunks(CHUNK_BYTES + TAG_BYTES).collect();
        let [a, b, c] = *chunks.as_slice() else {
            panic!("three chunks")
        };
        let wrong: [&[&[u8]]; 7] = [&[a, b], &[a, c], &[b, c], &[b, a, c], &[a, b, c, c], &[c], &[]];
        for order in wrong {
            let error = decrypt(&key, bound, &order.concat()).unwrap_err();
            assert_eq!(error, SealError::Ciphertext);
        }
        for length in [0, 1, TAG_BYTES - 1, TAG_BYTES, sealed.len() - 1] {
            assert!(decrypt(&key, bound, &sealed[..length]).is_err());
        }
        assert_eq!(decrypt(&key, b"other", &sealed), Err(SealError::Ciphertext));
    }
}
