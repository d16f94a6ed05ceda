//! The cluster key: one file of 32 random bytes from which every other secret of a cluster is derived.
//!
//! ```text
//! # raft-lsb cluster key, version 1. Every server of the cluster needs a copy; clients do not. Keep it secret.
//! 64 hexadecimal digits
//! ```
//!
//! Each use has a key of its own (HKDF-SHA256, RFC 5869, one label per use), so that no key reveals anything about
//! another. The file is created exclusively and atomically: three servers that are started at once in an empty home
//! directory end up with the same key. It is rejected if other users of the machine can read it.
//!
//! Anyone who has this file and a data folder can open every ledger share in it; see the threat model in `SECURITY.md`.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce, Tag};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use hkdf::Hkdf;
use lsb_core::seal::{ExchangeKey, LedgerShare, SigningKey};
use lsb_core::{ClusterId, ObjectId};
use raft_core::{GroupId, NodeId};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::atomic_files::{self, Unfinished};

const HEADER: &str = "# raft-lsb cluster key, version 1. Every server of the cluster needs a copy; clients do not. Keep it secret.";
const HEADER_START: &str = "# raft-lsb cluster key, version ";
const KEY_BYTES: usize = 32;
/// The most bytes of a key file; a longer file is not a key.
const LARGEST_FILE_BYTES: u64 = 4096;
const FOLDER: &str = "raft-lsb";
const FILE: &str = "cluster.key";

/// The secret that all servers of a cluster share. It is wiped when dropped and never shown.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ClusterKey([u8; KEY_BYTES]);

/// Why there is no usable cluster key.
#[derive(Debug, thiserror::Error)]
pub enum ClusterKeyError {
    /// The file does not exist.
    #[error("there is no cluster key at {}: copy the key of your other servers there, or name the file with --cluster-key", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// Other users of the machine can read or change it.
    #[error("the cluster key {} can be read by other users (mode {mode:03o}); run chmod 600 on it", path.display())]
    Exposed {
        /// Where it is.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file is not a cluster key.
    #[error("{} is not a cluster key: {what}", path.display())]
    NotAKey {
        /// Where it is.
        path: PathBuf,
        /// What was found.
        what: &'static str,
    },
    /// A newer program wrote it.
    #[error("the cluster key {} was made by a newer version of this program", path.display())]
    Version {
        /// Where it is.
        path: PathBuf,
    },
    /// The key's line is too short or too long.
    #[error("the cluster key {} has {found} hexadecimal digits instead of {}: it was truncated or changed", path.display(), KEY_BYTES * 2)]
    Length {
        /// Where it is.
        path: PathBuf,
        /// How many characters its line has.
        found: usize,
    },
    /// The operating system refused access.
    #[error("cannot read or create the cluster key {}", path.display())]
    Io {
        /// Where it is, or should be.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No configuration folder is known.
    #[error(
        "no configuration folder is known, because neither XDG_CONFIG_HOME nor HOME is set: name the file with --cluster-key"
    )]
    NoHome,
    /// The operating system supplies no randomness.
    #[error("cannot generate a cluster key")]
    Randomness(#[source] getrandom::Error),
}

/// A ledger share as it is stored in the log and in every server's ledger: encrypted under a key of the cluster and the
/// object.
///
/// The first 12 bytes are the nonce, the last 16 the tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WrappedShare([u8; WrappedShare::LENGTH]);

/// A wrapped share was not wrapped by this cluster for this object, or it was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ledger's share of object {object} does not open: it was not wrapped under this cluster key")]
pub struct UnwrapError {
    /// The object.
    pub object: ObjectId,
}

impl ClusterKey {
    /// Makes a key of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// Returns the default path of the key: in the user's configuration folder.
    ///
    /// # Errors
    ///
    /// [`ClusterKeyError::NoHome`].
    pub fn default_path() -> Result<PathBuf, ClusterKeyError> {
        default_path_from(|name| std::env::var_os(name)).ok_or(ClusterKeyError::NoHome)
    }

    /// Reads the file.
    ///
    /// # Errors
    ///
    /// See [`ClusterKeyError`].
    pub fn load(path: &Path) -> Result<Self, ClusterKeyError> {
        let failed = |source| ClusterKeyError::Io {
            path: path.to_path_buf(),
            source,
        };
        let file = match fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ClusterKeyError::Missing {
                    path: path.to_path_buf(),
                });
            }
            Err(error) => return Err(failed(error)),
        };
        check_permissions(path, &file.metadata().map_err(failed)?)?;
        let mut text = Zeroizing::new(Vec::new());
        file.take(LARGEST_FILE_BYTES)
            .read_to_end(&mut text)
            .map_err(failed)?;
        parse(path, &text)
    }

    /// Reads the file, or creates it if it does not exist. The first server creates it, and all read the same one.
    ///
    /// # Errors
    ///
    /// See [`ClusterKeyError`].
    pub fn create_or_load(path: &Path) -> Result<Self, ClusterKeyError> {
        atomic_files::remove_leftovers(atomic_files::folder_of(path));
        match Self::load(path) {
            Err(ClusterKeyError::Missing { .. }) => {}
            result => return result,
        }
        let mut key = Self([0; KEY_BYTES]);
        getrandom::fill(&mut key.0).map_err(ClusterKeyError::Randomness)?;
        key.publish(path).map_err(|source| ClusterKeyError::Io {
            path: path.to_path_buf(),
            source,
        })?;
        Self::load(path)
    }

    /// Puts the complete file in its place unless there is one already.
    fn publish(&self, path: &Path) -> io::Result<()> {
        atomic_files::create_folder(atomic_files::folder_of(path))?;
        let mut text = Zeroizing::new(format!("{HEADER}\n").into_bytes());
        // In one piece: a text that grows leaves copies in memory.
        text.reserve_exact(KEY_BYTES * 2 + 1);
        let digits = text.len();
        text.resize(digits + KEY_BYTES * 2, b'0');
        HEXLOWER.encode_mut(&self.0, text.get_mut(digits..).unwrap_or_default());
        text.push(b'\n');
        let mut unfinished = Unfinished::beside(path, atomic_files::PRIVATE)?;
        unfinished.file().write_all(&text)?;
        // Another server may have been faster; then its key is the cluster's.
        unfinished.publish_new(path).map(drop)
    }

    /// Returns the id of the cluster.
    #[must_use]
    pub fn cluster_id(&self) -> ClusterId {
        let mut bytes = [0; ClusterId::LENGTH];
        self.derive(&[b"raft-lsb cluster id v1"], &mut bytes);
        ClusterId::from_bytes(bytes)
    }

    /// Returns the consensus group of the cluster's ledger.
    #[must_use]
    pub fn group(&self) -> GroupId {
        let mut bytes = [0; 8];
        self.derive(&[b"raft-lsb consensus group v1"], &mut bytes);
        GroupId::new(u64::from_be_bytes(bytes))
    }

    /// Returns the Ed25519 seed of the cluster's certificate authority.
    #[must_use]
    pub fn authority_seed(&self) -> Zeroizing<[u8; 32]> {
        self.derive_secret(&[b"raft-lsb certificate authority v1"])
    }

    /// Returns the Ed25519 seed of one server's certificate.
    #[must_use]
    pub fn leaf_seed(&self, node: NodeId) -> Zeroizing<[u8; 32]> {
        self.derive_secret(&[b"raft-lsb server certificate v1", &node.value().to_be_bytes()])
    }

    /// Returns the key that signs the receipts for protected objects.
    #[must_use]
    pub fn receipt_key(&self) -> SigningKey {
        SigningKey::from_bytes(&self.derive_secret(&[b"raft-lsb receipts v1"]))
    }

    /// Returns the key to which clients seal ledger shares.
    #[must_use]
    pub fn exchange_key(&self) -> ExchangeKey {
        ExchangeKey::from_bytes(*self.derive_secret(&[b"raft-lsb share exchange v1"]))
    }

    /// Encrypts a share for the log.
    ///
    /// The nonce is a keyed hash of object and share (as in SIV, RFC 5297). So the same share gives the same bytes on
    /// every server and every retry, and two different shares never share a key and a nonce.
    #[must_use]
    pub fn wrap_share(&self, object: ObjectId, share: &LedgerShare) -> WrappedShare {
        let nonce_key = self.derive_secret(&[b"raft-lsb share nonce v1", object.as_bytes()]);
        let mut nonce = [0; 12];
        expand(
            &Hkdf::new(Some(nonce_key.as_slice()), share.expose_bytes()),
            &[b"nonce"],
            &mut nonce,
        );

        let mut text = Zeroizing::new(*share.expose_bytes());
        let encrypted = self.wrapping_cipher(object).encrypt_inout_detached(
            &Nonce::from(nonce),
            self.cluster_id().as_bytes(),
            text.as_mut_slice().into(),
        );
        let tag = encrypted.expect("32 bytes are within the cipher's limit");
        let mut wrapped = [0; WrappedShare::LENGTH];
        for (target, byte) in wrapped
            .iter_mut()
            .zip(nonce.iter().chain(text.iter()).chain(tag.iter()))
        {
            *target = *byte;
        }
        WrappedShare(wrapped)
    }

    /// Decrypts a share.
    ///
    /// # Errors
    ///
    /// [`UnwrapError`] if it was wrapped under another cluster key or for another object.
    pub fn unwrap_share(&self, object: ObjectId, wrapped: &WrappedShare) -> Result<LedgerShare, UnwrapError> {
        let error = UnwrapError { object };
        let (nonce, rest) = wrapped.0.split_first_chunk::<12>().ok_or(error)?;
        let (text, tag) = rest.split_first_chunk::<32>().ok_or(error)?;
        let tag: [u8; 16] = tag.try_into().map_err(|_| error)?;
        let mut text = Zeroizing::new(*text);
        self.wrapping_cipher(object)
            .decrypt_inout_detached(
                &Nonce::from(*nonce),
                self.cluster_id().as_bytes(),
                text.as_mut_slice().into(),
                &Tag::from(tag),
            )
            .map_err(|_| error)?;
        Ok(LedgerShare::from_bytes(*text))
    }

    fn wrapping_cipher(&self, object: ObjectId) -> ChaCha20Poly1305 {
        let key = self.derive_secret(&[b"raft-lsb share wrapping v1", object.as_bytes()]);
        ChaCha20Poly1305::new((&*key).into())
    }

    fn derive_secret(&self, label: &[&[u8]]) -> Zeroizing<[u8; 32]> {
        let mut output = Zeroizing::new([0; 32]);
        self.derive(label, output.as_mut_slice());
        output
    }

    /// HKDF-Expand with info = label ‖ 0x00 ‖ purpose. Labels contain no zero byte, so no two uses share an info.
    fn derive(&self, label: &[&[u8]], output: &mut [u8]) {
        expand(
            &Hkdf::new(Some(b"raft-lsb cluster key v1"), &self.0),
            label,
            output,
        );
    }
}

impl std::fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClusterKey(secret of cluster {})", self.cluster_id())
    }
}

fn expand(key: &Hkdf<Sha256>, label: &[&[u8]], output: &mut [u8]) {
    key.expand(&label.join(&0), output)
        .expect("HKDF-SHA256 gives up to 8160 bytes, and no more than 32 are asked for");
}

fn default_path_from(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    // A relative XDG_CONFIG_HOME must be ignored (XDG Base Directory Specification).
    let named = |name| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let folder = named("XDG_CONFIG_HOME")
        .or_else(|| named("HOME").map(|home| home.join(".config")))
        .or_else(|| named("APPDATA"))?;
    Some(folder.join(FOLDER).join(FILE))
}

fn parse(path: &Path, text: &[u8]) -> Result<ClusterKey, ClusterKeyError> {
    let not_a_key = |what| ClusterKeyError::NotAKey {
        path: path.to_path_buf(),
        what,
    };
    let text = std::str::from_utf8(text).map_err(|_| not_a_key("it is not text"))?;
    let mut lines = text.lines();
    match lines.next() {
        Some(line) if line.trim_end() == HEADER => {}
        Some(line)
            if line.starts_with(HEADER_START)
                && !line.starts_with(HEADER.split('.').next().unwrap_or(HEADER)) =>
        {
            return Err(ClusterKeyError::Version {
                path: path.to_path_buf(),
            });
        }
        _ => return Err(not_a_key("its first line is not that of a cluster key")),
    }
    let digits = lines.next().unwrap_or_default().trim_end();
    if digits.len() != KEY_BYTES * 2 {
        return Err(ClusterKeyError::Length {
            path: path.to_path_buf(),
            found: digits.chars().count(),
        });
    }
    if lines.any(|line| !line.trim().is_empty()) {
        return Err(not_a_key("more text follows the key"));
    }
    let mut key = ClusterKey([0; KEY_BYTES]);
    let decoded = HEXLOWER_PERMISSIVE.decode_mut(digits.as_bytes(), &mut key.0);
    decoded.map_err(|_| not_a_key("its second line has a character that is not a hexadecimal digit"))?;
    Ok(key)
}

#[cfg(unix)]
fn check_permissions(path: &Path, metadata: &fs::Metadata) -> Result<(), ClusterKeyError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        Err(ClusterKeyError::Exposed {
            path: path.to_path_buf(),
            mode,
        })
    }
}

#[cfg(not(unix))]
fn check_permissions(_: &Path, _: &fs::Metadata) -> Result<(), ClusterKeyError> {
    Ok(())
}

impl WrappedShare {
    /// The length in bytes.
    pub const LENGTH: usize = 12 + 32 + 16;

    /// Wraps the bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

/// serde's own arrays end at 32, so the parts are serialized one by one; the bytes are the same.
#[derive(Serialize, Deserialize)]
struct Parts {
    nonce: [u8; 12],
    text: [u8; 32],
    tag: [u8; 16],
}

impl Serialize for WrappedShare {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut parts = Parts {
            nonce: [0; 12],
            text: [0; 32],
            tag: [0; 16],
        };
        let targets = parts
            .nonce
            .iter_mut()
            .chain(&mut parts.text)
            .chain(&mut parts.tag);
        targets.zip(self.0).for_each(|(target, byte)| *target = byte);
        parts.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for WrappedShare {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = Parts::deserialize(deserializer)?;
        let mut bytes = [0; Self::LENGTH];
        let sources = parts.nonce.iter().chain(&parts.text).chain(&parts.tag);
        bytes
            .iter_mut()
            .zip(sources)
            .for_each(|(target, byte)| *target = *byte);
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_folder_is_xdg_s_then_the_home_s() {
        let with = |pairs: &'static [(&str, &str)]| {
            default_path_from(move |name| {
                pairs
                    .iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| OsString::from(value))
            })
        };
        assert_eq!(
            with(&[("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")]),
            Some("/x/raft-lsb/cluster.key".into())
        );
        assert_eq!(
            with(&[("XDG_CONFIG_HOME", "x"), ("HOME", "/h")]),
            Some("/h/.config/raft-lsb/cluster.key".into())
        );
        assert_eq!(
            with(&[("HOME", "/h")]),
            Some("/h/.config/raft-lsb/cluster.key".into())
        );
        assert_eq!(with(&[]), None);
    }
}
