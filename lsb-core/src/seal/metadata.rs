//! What is known about an original besides its bytes.
//!
//! ```text
//!   ┌──────────┬───────────────────┬───────────┬────────────┬──────────────┬──────────────────┐
//!   │ u8 = 1   │ media type u8     │ width u32 │ height u32 │ length u64   │ SHA-256, 32 bytes│   50 bytes
//!   │ version  │ 1 PNG, 2 JPEG, …  │ pixels    │ pixels     │ of the file  │ of the file      │
//!   └──────────┴───────────────────┴───────────┴────────────┴──────────────┴──────────────────┘
//!   version 2 goes on with
//!   ┌──────────────┬─────────────────────────┬────────────────────────────────┐
//!   │ length of    │ the file's name, UTF-8  │ zeros, up to 255 bytes of name │               256 bytes
//!   │ the name, u8 │                         │ and zeros together             │
//!   └──────────────┴─────────────────────────┴────────────────────────────────┘
//! ```
//!
//! It is encrypted like the original: a stranger learns nothing from it. A name always takes the same room, for the
//! length of a ciphertext is there for all to see.
//!
//! Version 2 is written only for what version 1 cannot say: a name, or a format that came later. So everything else
//! still opens in programs that know version 1, and each description has one encoding.

use alloc::string::String;
use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use super::error::SealError;
use crate::file_name::FileName;
use crate::size::Size;
use crate::upload::{MediaType, Upload};
use crate::wire::{Reader, Truncated, Write};

/// The formats of version 1 have numbers up to this one.
const LAST_OF_VERSION_1: u8 = MediaType::Gif.number();

/// What is known about an original besides its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginalMetadata {
    /// The file's format.
    pub media_type: MediaType,
    /// The picture's size, as its header gives it.
    pub size: Size,
    /// The file's length in bytes.
    pub bytes: u64,
    /// The file's SHA-256.
    pub hash: [u8; 32],
    /// The name that came with the file, if one did. Whoever sealed it chose the name: it is a stranger's, and may
    /// hold anything. [`OriginalMetadata::file_name`] is the one to create a file with.
    pub stored_name: Option<String>,
}

impl OriginalMetadata {
    pub(super) fn of(upload: &Upload, original: &[u8], name: Option<&FileName>) -> Self {
        Self {
            media_type: upload.media_type,
            size: upload.size,
            bytes: original.len() as u64,
            hash: Sha256::digest(original).into(),
            stored_name: name.map(|name| name.as_str().into()),
        }
    }

    /// The original's name, if it came with one that is safe to create a file with, ending as files of its format do.
    #[must_use]
    pub fn file_name(&self) -> Option<FileName> {
        FileName::from_untrusted(self.stored_name.as_deref()?)?.for_format(self.media_type)
    }

    /// The version that says all of it, and no later one.
    const fn version(&self) -> u8 {
        match self.stored_name {
            None if self.media_type.number() <= LAST_OF_VERSION_1 => 1,
            _ => 2,
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes
            .put_u8(self.version())
            .put_u8(self.media_type.number())
            .put_u32(self.size.width)
            .put_u32(self.size.height)
            .put_u64(self.bytes)
            .put(&self.hash);
        if self.version() == 2 {
            let name = self.stored_name.as_deref().unwrap_or_default().as_bytes();
            let mut room = [0; FileName::MOST_BYTES];
            for (target, byte) in room.iter_mut().zip(name) {
                *target = *byte;
            }
            bytes
                .put_u8(u8::try_from(name.len()).unwrap_or(u8::MAX))
                .put(&room);
        }
        bytes
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, SealError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8("metadata version")?;
        if !matches!(version, 1 | 2) {
            return Err(SealError::MetadataVersion { found: version });
        }
        let number = reader.u8("media type")?;
        let media_type = MediaType::from_number(number).ok_or(SealError::MediaType { found: number })?;
        let (width, height) = (reader.u32("width")?, reader.u32("height")?);
        let (length, hash) = (reader.u64("length")?, reader.array("hash")?);
        let stored_name = match version {
            1 => None,
            _ => read_name(&mut reader)?,
        };
        let metadata = Self {
            media_type,
            size: Size { width, height },
            bytes: length,
            hash,
            stored_name,
        };
        if reader.remaining() > 0 || metadata.version() != version {
            return Err(SealError::Metadata);
        }
        Ok(metadata)
    }
}

/// A name in its room. An empty one is none.
fn read_name(reader: &mut Reader<'_>) -> Result<Option<String>, SealError> {
    let length = usize::from(reader.u8("length of the name")?);
    let room = reader.take(FileName::MOST_BYTES, "name")?;
    let (name, zeros) = room.split_at_checked(length).ok_or(SealError::Metadata)?;
    if zeros.iter().any(|byte| *byte != 0) {
        return Err(SealError::Metadata);
    }
    let name = str::from_utf8(name).map_err(|_| SealError::Metadata)?;
    Ok((!name.is_empty()).then(|| name.into()))
}

impl From<Truncated> for SealError {
    fn from(_: Truncated) -> Self {
        Self::Metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(media_type: MediaType, name: Option<&str>) -> OriginalMetadata {
        OriginalMetadata {
            media_type,
            size: Size {
                width: 3,
                height: 70_000,
            },
            bytes: 1 << 33,
            hash: [5; 32],
            stored_name: name.map(String::from),
        }
    }

    #[test]
    fn every_description_has_one_encoding_of_the_lowest_version() {
        for format in MediaType::ALL {
            for (name, named) in [(None, false), (Some("a"), true), (Some("Größe 1.png"), true)] {
                let metadata = metadata(format, name);
                let bytes = metadata.to_bytes();
                let second = named || format == MediaType::Heic || format == MediaType::Avif;
                let expected = if second { (2, 306) } else { (1, 50) };
                assert_eq!((bytes[0], bytes.len()), expected, "{format} {name:?}");
                assert_eq!(OriginalMetadata::parse(&bytes), Ok(metadata));
            }
        }
        let longest = "n".repeat(255);
        let metadata = metadata(MediaType::Png, Some(&longest));
        assert_eq!(OriginalMetadata::parse(&metadata.to_bytes()), Ok(metadata));
    }

    #[test]
    fn whatever_would_not_have_been_written_is_refused() {
        let named = metadata(MediaType::Png, Some("ab")).to_bytes();
        let unnamed = metadata(MediaType::Png, None).to_bytes();
        let changed = |place: usize, value: u8| {
            let mut bytes = named.clone();
            bytes[place] = value;
            bytes
        };
        // A version 2 that says no more than version 1.
        let mut needless = [unnamed.as_slice(), &[0; 256]].concat();
        needless[0] = 2;
        let mut unknown_to_version_1 = unnamed.clone();
        unknown_to_version_1[1] = MediaType::Avif.number();
        for bytes in [
            needless,
            unknown_to_version_1,
            [unnamed.as_slice(), &[0]].concat(),
            [named.as_slice(), &[0]].concat(),
            named[..305].to_vec(),
            unnamed[..49].to_vec(),
            // No padding in the name, none that is not zero behind it, and nothing but UTF-8.
            changed(50, 1),
            changed(305, 7),
            changed(51, 0xff),
        ] {
            assert_eq!(OriginalMetadata::parse(&bytes), Err(SealError::Metadata));
        }
        let (found, later) = (3, changed(0, 3));
        assert_eq!(
            OriginalMetadata::parse(&later),
            Err(SealError::MetadataVersion { found })
        );
        let (found, later) = (99, changed(1, 99));
        assert_eq!(
            OriginalMetadata::parse(&later),
            Err(SealError::MediaType { found })
        );
    }

    #[test]
    fn a_strangers_name_is_shown_and_not_used() {
        for (name, safe) in [
            ("../../.ssh/authorized_keys", Some("authorized_keys.png")),
            ("holiday.png", Some("holiday.png")),
            ("holiday.exe", Some("holiday.exe.png")),
            (".bashrc", None),
            ("a\u{1b}]0;b", None),
            ("nul", None),
        ] {
            let bytes = metadata(MediaType::Png, Some(name)).to_bytes();
            let read = OriginalMetadata::parse(&bytes).unwrap();
            assert_eq!(read.stored_name.as_deref(), Some(name));
            let found = read.file_name();
            assert_eq!(found.as_ref().map(FileName::as_str), safe);
        }
        assert_eq!(metadata(MediaType::Png, None).file_name(), None);
    }
}
