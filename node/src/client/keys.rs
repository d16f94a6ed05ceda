//! Device keys: what makes this machine alice's.
//!
//! ```text
//! <keys>/<cluster>/<user>.key        the Ed25519 seed, readable by its owner only
//! ```

use std::io;
use std::path::{Path, PathBuf};

use lsb_core::ClusterId;
use lsb_core::envelope::UserName;
use lsb_core::seal::{SealError, SigningKey, Zeroizing};

use super::files;

const HEADER: &str = "raft-lsb device key v1: whoever has this file is this user";

/// Why a device key is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("cannot use the device key {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file is not a device key.
    #[error(
        "{} is not a device key. Restore it from a backup; without it, this machine is a stranger to the cluster",
        path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// A key could not be made.
    #[error("cannot make a device key: {0}")]
    Generate(#[from] SealError),
}

/// The device key of one user in one cluster.
pub(super) struct DeviceKey {
    pub(super) key: SigningKey,
}

impl DeviceKey {
    /// Reads the user's key, or makes one.
    pub(super) fn load_or_create(keys: &Path, cluster: ClusterId, user: &UserName) -> Result<Self, KeyError> {
        let folder = keys.join(cluster.to_string());
        let path = folder.join(format!("{user}.key"));
        let failed = |source| KeyError::File {
            path: path.clone(),
            source,
        };
        if let Some(key) = load(&path)? {
            return Ok(Self { key });
        }
        files::create_private_folder(&folder).map_err(failed)?;
        let key = SigningKey::generate()?;
        // Of the right size from the start, so that no half of the secret stays behind when the text grows.
        let mut text = Zeroizing::new(String::with_capacity(HEADER.len() + 66));
        text.push_str(HEADER);
        text.push('\n');
        for byte in key.expose_bytes().iter() {
            text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
            text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
        }
        text.push('\n');
        // Another process of the same user may have been faster; then its key is the one.
        if files::create_private(&path, text.as_bytes()).map_err(failed)? {
            return Ok(Self { key });
        }
        let key = load(&path)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        Ok(Self { key })
    }
}

fn load(path: &Path) -> Result<Option<SigningKey>, KeyError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(KeyError::File {
                path: path.to_owned(),
                source,
            });
        }
    };
    let malformed = || KeyError::Malformed {
        path: path.to_owned(),
    };
    let mut lines = text.lines();
    if lines.next() != Some(HEADER) {
        return Err(malformed());
    }
    let digits = lines.next().unwrap_or_default().as_bytes();
    let digit = |byte: &u8| {
        char::from(*byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let mut seed = Zeroizing::new([0_u8; 32]);
    let (pairs, rest) = digits.as_chunks::<2>();
    if pairs.len() != seed.len() || !rest.is_empty() {
        return Err(malformed());
    }
    for (target, [high, low]) in seed.iter_mut().zip(pairs) {
        *target = digit(high)
            .zip(digit(low))
            .map(|(high, low)| high << 4 | low)
            .ok_or_else(malformed)?;
    }
    Ok(Some(SigningKey::from_bytes(&seed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_per_cluster_and_user() {
        let folder = tempfile::tempdir().unwrap();
        let (alice, bob) = (UserName::parse("alice").unwrap(), UserName::parse("bob").unwrap());
        let (one, two) = (ClusterId::from_bytes([1; 16]), ClusterId::from_bytes([2; 16]));
        let public = |cluster, user| {
            DeviceKey::load_or_create(folder.path(), cluster, user)
                .unwrap()
                .key
                .public()
        };
        assert_eq!(public(one, &alice), public(one, &alice));
        assert_ne!(public(one, &alice), public(one, &bob));
        assert_ne!(public(one, &alice), public(two, &alice));
    }

    #[test]
    fn a_damaged_key_is_an_error_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let alice = UserName::parse("alice").unwrap();
        let cluster = ClusterId::from_bytes([1; 16]);
        DeviceKey::load_or_create(folder.path(), cluster, &alice).unwrap();
        let path = folder.path().join(cluster.to_string()).join("alice.key");
        std::fs::write(&path, "garbage").unwrap();
        let error = DeviceKey::load_or_create(folder.path(), cluster, &alice);
        assert!(matches!(error, Err(KeyError::Malformed { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), b"garbage");
    }
}
