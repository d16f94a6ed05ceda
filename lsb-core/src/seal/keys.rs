//! The two shares of an object's key, and what is derived from both.

use alloc::vec::Vec;
use core::fmt;

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::error::SealError;
use crate::envelope::Header;
use crate::identifiers::ObjectId;

const EXTRACT_SALT: &[u8] = b"raft-lsb object key v1";

/// Defines 32 secret bytes that are wiped when dropped and never shown.
macro_rules! secret_share {
    ($(#[$documentation:meta])* $name:ident) => {
        $(#[$documentation])*
        #[derive(Clone, Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Wraps 32 secret bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The secret itself.
            #[must_use]
            pub const fn expose_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            fn generate() -> Result<Self, SealError> {
                let mut share = Self([0; 32]);
                getrandom::fill(&mut share.0)?;
                Ok(share)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(concat!(stringify!($name), "(secret)"))
            }
        }
    };
}

secret_share!(
    /// The ledger's share of an object's key. Deleting it revokes for good.
    LedgerShare
);
secret_share!(
    /// The picture's share of an object's key. Worth nothing alone.
    PictureShare
);

/// Everything that is random about a sealed object.
#[derive(Clone, Debug)]
pub struct ObjectSecrets {
    /// The object's name, which is no secret.
    pub object: ObjectId,
    /// The share that goes into the picture.
    pub picture_share: PictureShare,
    /// The share that goes to the ledger.
    pub ledger_share: LedgerShare,
}

impl ObjectSecrets {
    /// Draws a new object's secrets from the operating system.
    ///
    /// # Errors
    ///
    /// [`SealError::Randomness`] if it has none.
    pub fn generate() -> Result<Self, SealError> {
        let mut object = [0; ObjectId::LENGTH];
        getrandom::fill(&mut object)?;
        Ok(Self {
            object: ObjectId::from_bytes(object),
            picture_share: PictureShare::generate()?,
            ledger_share: LedgerShare::generate()?,
        })
    }
}

/// What the two shares give together, bound to one header.
pub(super) struct ObjectKeys {
    extracted: Hkdf<Sha256>,
    bound_header: Vec<u8>,
}

impl ObjectKeys {
    pub(super) fn derive(picture: &PictureShare, ledger: &LedgerShare, header: &Header) -> Self {
        let mut both = Zeroizing::new([0; 64]);
        for (target, byte) in both.iter_mut().zip(picture.0.iter().chain(&ledger.0)) {
            *target = *byte;
        }
        Self {
            extracted: Hkdf::new(Some(EXTRACT_SALT), both.as_slice()),
            bound_header: header.bound_bytes(),
        }
    }

    /// 32 bytes for one purpose: HKDF-Expand with info = purpose ‖ 0x00 ‖ bound header.
    fn expand(&self, purpose: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut output = Zeroizing::new([0; 32]);
        let info = [purpose, &[0], &self.bound_header];
        let expanded = self.extracted.expand_multi_info(&info, output.as_mut_slice());
        assert!(
            expanded.is_ok(),
            "HKDF-SHA256 gives up to 8160 bytes, and 32 are asked for"
        );
        output
    }

    /// A public value that only these two shares give for this header. It makes a wrong share a
    /// clean error, and keeps one ciphertext from having two meanings under two keys (ChaCha20-
    /// Poly1305 does not commit to its key by itself).
    pub(super) fn commitment(&self) -> [u8; 32] {
        *self.expand(b"commitment")
    }

    pub(super) fn original_key(&self) -> Zeroizing<[u8; 32]> {
        self.expand(b"original")
    }

    pub(super) fn metadata_key(&self) -> Zeroizing<[u8; 32]> {
        self.expand(b"metadata")
    }

    /// What every ciphertext is bound to.
    pub(super) fn associated_data(&self) -> &[u8] {
        &self.bound_header
    }
}
