//! Damage: bytes of a file that differ from those that were written.

use std::io;

/// Bytes of a file differ from those that were written: the disk, or a person, has changed them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file} is damaged at byte {offset}: {what}")]
pub struct Damage {
    /// The file's name within the data folder.
    pub file: String,
    /// Where the damaged part begins.
    pub offset: u64,
    /// What was found.
    pub what: &'static str,
}

impl Damage {
    pub(super) fn new(file: &str, offset: u64, what: &'static str) -> Self {
        Self {
            file: file.to_owned(),
            offset,
            what,
        }
    }
}

/// Carries damage through interfaces that only know I/O errors.
impl From<Damage> for io::Error {
    fn from(damage: Damage) -> Self {
        Self::new(io::ErrorKind::InvalidData, damage)
    }
}
