//! Segments: the files of the log, and the spare that becomes the next one.

use std::io;

use super::disk::{Disk, DiskFile};

const PREFIX: &str = "log-";

/// The file that becomes the next segment.
pub(super) const SPARE: &str = "spare";

/// How much is filled with zeros in one write.
const PIECE_BYTES: u64 = 1 << 18;

pub(super) fn file_name(number: u64) -> String {
    format!("{PREFIX}{number:016x}")
}

/// Returns the number of the segment that has this name.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let number = u64::from_str_radix(name.strip_prefix(PREFIX)?, 16).ok()?;
    // Only the name that we would give it: no sign, no upper case, no other length.
    (file_name(number) == name).then_some(number)
}

/// A file that is being filled with zeros, or a segment that is not needed any more.
#[derive(Debug)]
pub(super) struct Spare<F> {
    file: F,
    filled: u64,
}

impl<F: DiskFile> Spare<F> {
    pub(super) fn create<D: Disk<File = F>>(disk: &D) -> io::Result<Self> {
        Ok(Self {
            file: disk.create(SPARE)?,
            filled: 0,
        })
    }

    /// Takes a file of this length as it is. Its bytes are those of an earlier segment, and never validate in a later
    /// one.
    pub(super) fn used(file: F, bytes: u64) -> Self {
        Self { file, filled: bytes }
    }

    pub(super) fn filled_bytes(&self) -> u64 {
        self.filled
    }

    /// Writes the next zeros, at most so many bytes in all. Blocks are written and not only allocated: otherwise each
    /// sync would have to record that a block is in use now, which takes it twice the time.
    pub(super) fn fill_piece(&mut self, to_bytes: u64) -> io::Result<()> {
        let piece = PIECE_BYTES.min(to_bytes.saturating_sub(self.filled));
        let zeros = vec![0; usize::try_from(piece).map_err(io::Error::other)?];
        self.file.write_at(self.filled, &zeros)?;
        self.filled += piece;
        Ok(())
    }

    pub(super) fn into_file(self) -> F {
        self.file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_has_exactly_one_name() {
        assert_eq!(number_of(&file_name(0x1f)), Some(0x1f));
        for other in [
            "log-1f",
            "log-000000000000001F",
            "log-+00000000000001f",
            "spare",
            "log-",
            "log-000000000000001f0",
        ] {
            assert_eq!(number_of(other), None, "{other}");
        }
    }
}
