//! Moving a ledger share to where it is needed, sealed to one key: HPKE (RFC 9180).
//!
//! Base mode with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and ChaCha20-Poly1305. Two purposes, each
//! with an `info` of its own, so that what was sealed for one cannot be opened as the other:
//!
//! * [`ShareForCluster`]: from the owner's client to the cluster, bound to cluster and object.
//!   A ledger can keep it as it is: nobody without the cluster's key opens it.
//! * [`ShareForViewer`]: from a server to a viewer's one-time key, bound to cluster, object,
//!   request and the index of the log at which the view was charged.

use alloc::vec::Vec;
use core::convert::Infallible;
use core::fmt;

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::error::SealError;
use super::keys::LedgerShare;
use crate::identifiers::{ClusterId, ObjectId, RequestId, byte_newtype};
use crate::wire::Write;

type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;
type EncappedKey = <X25519HkdfSha256 as Kem>::EncappedKey;

const CLUSTER_INFO: &[u8] = b"raft-lsb share for cluster v1";
const VIEWER_INFO: &[u8] = b"raft-lsb share for viewer v1";

const ENCAPSULATED_BYTES: usize = 32;
const CIPHERTEXT_BYTES: usize = 32 + 16;
/// An encapsulated key, the encrypted share, and its tag.
const SEALED_SHARE_BYTES: usize = ENCAPSULATED_BYTES + CIPHERTEXT_BYTES;

byte_newtype!(
    /// An X25519 public key that something can be sealed to.
    ExchangePublicKey,
    32
);
byte_newtype!(
    /// A ledger share, sealed to a cluster's key.
    ShareForCluster,
    SEALED_SHARE_BYTES
);
byte_newtype!(
    /// A ledger share, sealed to a viewer's one-time key.
    ShareForViewer,
    SEALED_SHARE_BYTES
);

/// An X25519 secret key that opens what was sealed to its public key.
///
/// A viewer makes one for each request ([`ExchangeKey::generate`]) and keeps it until the answer is
/// there; a cluster derives its own from the cluster key ([`ExchangeKey::from_bytes`]). It is wiped
/// when dropped and never shown.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ExchangeKey([u8; 32]);

impl ExchangeKey {
    /// Makes a new key from the operating system's random bytes.
    ///
    /// # Errors
    ///
    /// [`SealError::Randomness`] if it has none.
    pub fn generate() -> Result<Self, SealError> {
        let mut key = Self([0; 32]);
        getrandom::fill(&mut key.0)?;
        Ok(key)
    }

    /// The key of 32 secret bytes; any 32 bytes are a key (RFC 7748, §5).
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The secret itself, to keep it in a journal.
    #[must_use]
    pub const fn expose_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key that others seal to.
    #[must_use]
    pub fn public(&self) -> ExchangePublicKey {
        let public = X25519HkdfSha256::sk_to_pk(&self.private());
        ExchangePublicKey::from_bytes(public.to_bytes().into())
    }

    fn private(&self) -> PrivateKey {
        match PrivateKey::from_bytes(&self.0) {
            Ok(key) => key,
            Err(error) => unreachable!("any 32 bytes are an X25519 secret: {error}"),
        }
    }
}

impl fmt::Debug for ExchangeKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ExchangeKey(secret of {})", self.public())
    }
}

/// What a released share is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReleaseContext {
    /// The cluster that releases.
    pub cluster: ClusterId,
    /// The object that is viewed.
    pub object: ObjectId,
    /// The request that is answered.
    pub request: RequestId,
    /// Where in the log the view was charged.
    pub log_index: u64,
}

impl ReleaseContext {
    fn associated_data(&self) -> Vec<u8> {
        let mut bytes = cluster_data(self.cluster, self.object);
        bytes.put(self.request.as_bytes()).put_u64(self.log_index);
        bytes
    }
}

fn cluster_data(cluster: ClusterId, object: ObjectId) -> Vec<u8> {
    [cluster.as_bytes().as_slice(), object.as_bytes()].concat()
}

impl LedgerShare {
    /// Seals this share to a cluster, when an object is protected.
    ///
    /// # Errors
    ///
    /// [`SealError::ExchangeKey`] if the key is unusable; [`SealError::Randomness`].
    pub fn seal_for_cluster(
        &self,
        key: &ExchangePublicKey,
        cluster: ClusterId,
        object: ObjectId,
    ) -> Result<ShareForCluster, SealError> {
        let sealed = seal_share(self, key, CLUSTER_INFO, &cluster_data(cluster, object))?;
        Ok(ShareForCluster::from_bytes(sealed))
    }

    /// Opens what [`LedgerShare::seal_for_cluster`] sealed.
    ///
    /// # Errors
    ///
    /// [`SealError::SealedShare`] if it was sealed to another key, or for another object.
    pub fn open_for_cluster(
        sealed: &ShareForCluster,
        key: &ExchangeKey,
        cluster: ClusterId,
        object: ObjectId,
    ) -> Result<Self, SealError> {
        open_share(
            sealed.as_bytes(),
            key,
            CLUSTER_INFO,
            &cluster_data(cluster, object),
        )
    }

    /// Seals this share to a viewer's one-time key, after the view was charged.
    ///
    /// # Errors
    ///
    /// [`SealError::ExchangeKey`] if the key is unusable; [`SealError::Randomness`].
    pub fn seal_for_viewer(
        &self,
        key: &ExchangePublicKey,
        context: &ReleaseContext,
    ) -> Result<ShareForViewer, SealError> {
        let sealed = seal_share(self, key, VIEWER_INFO, &context.associated_data())?;
        Ok(ShareForViewer::from_bytes(sealed))
    }

    /// Opens what [`LedgerShare::seal_for_viewer`] sealed.
    ///
    /// # Errors
    ///
    /// [`SealError::SealedShare`] if it was sealed to another key, or in another context.
    pub fn open_for_viewer(
        sealed: &ShareForViewer,
        key: &ExchangeKey,
        context: &ReleaseContext,
    ) -> Result<Self, SealError> {
        open_share(sealed.as_bytes(), key, VIEWER_INFO, &context.associated_data())
    }
}

fn seal_share(
    share: &LedgerShare,
    key: &ExchangePublicKey,
    info: &[u8],
    associated_data: &[u8],
) -> Result<[u8; SEALED_SHARE_BYTES], SealError> {
    let public = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(key.as_bytes())
        .map_err(|_| SealError::ExchangeKey)?;
    let mut random = DrawnBytes::draw()?;
    let (encapsulated, ciphertext) =
        hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &public,
            info,
            share.expose_bytes(),
            associated_data,
            &mut random,
        )
        .map_err(|_| SealError::ExchangeKey)?;
    let sealed = [encapsulated.to_bytes().as_slice(), &ciphertext].concat();
    sealed.try_into().map_err(|_| SealError::ExchangeKey)
}

fn open_share(
    sealed: &[u8; SEALED_SHARE_BYTES],
    key: &ExchangeKey,
    info: &[u8],
    associated_data: &[u8],
) -> Result<LedgerShare, SealError> {
    let (encapsulated, ciphertext) = sealed
        .split_first_chunk::<ENCAPSULATED_BYTES>()
        .ok_or(SealError::SealedShare)?;
    let encapsulated = EncappedKey::from_bytes(encapsulated).map_err(|_| SealError::SealedShare)?;
    let opened = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &key.private(),
        &encapsulated,
        info,
        ciphertext,
        associated_data,
    );
    let share = Zeroizing::new(opened.map_err(|_| SealError::SealedShare)?);
    let share: [u8; 32] = share.as_slice().try_into().map_err(|_| SealError::SealedShare)?;
    Ok(LedgerShare::from_bytes(share))
}

/// Random bytes that were drawn beforehand, so that a failure of the operating system is an error
/// and not a panic inside `hpke`. One encapsulation takes 32 bytes (RFC 9180, §7.1.3).
struct DrawnBytes {
    bytes: Zeroizing<[u8; 64]>,
    used: usize,
}

impl DrawnBytes {
    fn draw() -> Result<Self, SealError> {
        let mut bytes = Zeroizing::new([0; 64]);
        getrandom::fill(bytes.as_mut_slice())?;
        Ok(Self { bytes, used: 0 })
    }
}

impl TryRng for DrawnBytes {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut word = [0; 4];
        self.try_fill_bytes(&mut word)?;
        Ok(u32::from_le_bytes(word))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut word = [0; 8];
        self.try_fill_bytes(&mut word)?;
        Ok(u64::from_le_bytes(word))
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), Infallible> {
        let fresh = self.bytes.get(self.used..self.used + target.len());
        let Some(fresh) = fresh else {
            unreachable!("one encapsulation takes 32 bytes, and 64 were drawn");
        };
        target.copy_from_slice(fresh);
        self.used += target.len();
        Ok(())
    }
}

impl TryCryptoRng for DrawnBytes {}
