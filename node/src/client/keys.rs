//! Device keys, by which the cluster recognises a user on this machine.
//!
//! ```text
//! <keys>/<cluster>/<user>.key        the Ed25519 seed, readable by its owner only
//! ```

use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use lsb_core::ClusterId;
use lsb_core::envelope::UserName;
use lsb_core::seal::{SealError, SigningKey, Zeroizing};

use crate::atomic_files::{self, Unfinished};

const HEADER: &str = "raft-lsb device key v1: whoever has this file is this user";

/// No device key is as large.
const LARGEST_FILE_BYTES: usize = 4096;

/// Why there is no usable device key.
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
        "{} is not a device key. Restore it from a backup: without it the cluster does not recognise this machine",
        path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// Others may read or change the file.
    #[error(
        "the device key {} has mode {mode:03o}, and must have 600: whoever has this file is this user. If nobody else has read it, run chmod 600 on it",
        path.display()
    )]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A key could not be generated.
    #[error("cannot generate a device key: {0}")]
    Generate(#[from] SealError),
}

/// The device key of one user in one cluster.
pub(super) struct DeviceKey {
    pub(super) key: SigningKey,
}

impl DeviceKey {
    /// Reads the user's key, or generates one.
    pub(super) fn load_or_create(keys: &Path, cluster: ClusterId, user: &UserName) -> Result<Self, KeyError> {
        let folder = keys.join(cluster.to_string());
        let path = folder.join(format!("{user}.key"));
        let failed = |source| KeyError::File {
            path: path.clone(),
            source,
        };
        atomic_files::remove_leftovers(&folder);
        if let Some(key) = load(&path)? {
            return Ok(Self { key });
        }
        atomic_files::create_folder(&folder).map_err(failed)?;
        let key = SigningKey::generate()?;
        // Another process of the same user may have written its key first; then that one counts.
        if write_new(&path, &key).map_err(failed)? {
            return Ok(Self { key });
        }
        let key = load(&path)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        Ok(Self { key })
    }
}

/// Writes a key's file unless it exists. Returns whether it was written.
fn write_new(path: &Path, key: &SigningKey) -> io::Result<bool> {
    // The full capacity at once: a text that grows would leave copies of the secret in memory.
    let mut text = Zeroizing::new(Vec::with_capacity(HEADER.len() + 66));
    text.extend_from_slice(HEADER.as_bytes());
    text.push(b'\n');
    let digits = text.len();
    text.resize(digits + 64, b'0');
    HEXLOWER.encode_mut(
        key.expose_bytes().as_slice(),
        text.get_mut(digits..).unwrap_or_default(),
    );
    text.push(b'\n');
    let mut unfinished = Unfinished::beside(path, atomic_files::PRIVATE)?;
    unfinished.file().write_all(&text)?;
    unfinished.publish_new(path)
}

fn load(path: &Path) -> Result<Option<SigningKey>, KeyError> {
    let failed = |source| KeyError::File {
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(source)),
    };
    check_permissions(path, &file.metadata().map_err(failed)?)?;
    // The full capacity at once: a text that grows would leave copies of the secret in memory.
    let mut text = Zeroizing::new(String::with_capacity(LARGEST_FILE_BYTES));
    file.take(LARGEST_FILE_BYTES as u64)
        .read_to_string(&mut text)
        .map_err(failed)?;
    let malformed = || KeyError::Malformed {
        path: path.to_owned(),
    };
    let mut lines = text.lines();
    if lines.next() != Some(HEADER) {
        return Err(malformed());
    }
    let digits = lines.next().unwrap_or_default().as_bytes();
    let mut seed = Zeroizing::new([0_u8; 32]);
    if digits.len() != seed.len() * 2 {
        return Err(malformed());
    }
    let decoded = HEXLOWER_PERMISSIVE.decode_mut(digits, seed.as_mut_slice());
    decoded.map_err(|_| malformed())?;
    Ok(Some(SigningKey::from_bytes(&seed)))
}

#[cfg(unix)]
fn check_permissions(path: &Path, metadata: &Metadata) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o777;
    if mode == atomic_files::PRIVATE {
        return Ok(());
    }
    Err(KeyError::Permissions {
        path: path.to_owned(),
        mode,
    })
}

/// Elsewhere the user's own folder is not readable by others.
#[cfg(not(unix))]
fn check_permissions(_: &Path, _: &Metadata) -> Result<(), KeyError> {
    Ok(())
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

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let alice = UserName::parse("alice").unwrap();
        let cluster = ClusterId::from_bytes([1; 16]);
        let load = || DeviceKey::load_or_create(folder.path(), cluster, &alice);
        load().unwrap();
        let path = folder.path().join(cluster.to_string()).join("alice.key");
        for mode in [0o644, 0o640, 0o604, 0o700, 0o620] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = load().err().expect("it is refused").to_string();
            assert!(
                error.contains("chmod 600") && error.contains(&format!("{mode:03o}")),
                "{error}"
            );
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        load().unwrap();
    }
}
