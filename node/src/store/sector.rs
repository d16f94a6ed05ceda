//! Sectors of the log: 512 bytes that are each either as they were written or not.
//!
//! ```text
//! | content: 488 | salt: 4 | sequence: 8 | ordinal: 4 | count: 4 | CRC-32: 4 |     big-endian
//! ```
//!
//! A batch takes whole sectors, so that no later write touches a sector that holds acknowledged records. Each sector
//! names the life of the segment (`salt`), its batch (`sequence`) and which one of how many it is. The checksum also
//! covers the sector's position in the file.
//!
//! That is what tells an interrupted write from damage. A disk writes sectors whole ([`Disk`](super::Disk)), so each
//! sector of an interrupted batch is either as it was written or as it was before: blank, beyond the end of the file, or
//! whole and older. A sector that is none of these has been damaged.

pub(super) const SECTOR_BYTES: usize = 512;
pub(super) const CONTENT_BYTES: usize = 488;
const CHECKED_BYTES: usize = 508;

/// Which batch a sector belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// The life of the segment. A file that is used again has another.
    pub(super) salt: u32,
    /// Numbers the batches of a folder, and never repeats.
    pub(super) sequence: u64,
    /// Which sector of the batch it is.
    pub(super) ordinal: u32,
    /// How many sectors the batch has.
    pub(super) count: u32,
}

/// The state of a sector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sector<'a> {
    /// Zeros, or beyond the end of the file.
    Blank,
    /// As it was written, now or in an earlier life of the file.
    Whole { stamp: Stamp, content: &'a [u8] },
    /// Anything else.
    Damaged,
}

/// Returns how many sectors so much content takes.
pub(super) fn sectors_for(content_bytes: usize) -> usize {
    content_bytes.div_ceil(CONTENT_BYTES)
}

/// Appends the sectors of a batch to `out`. `position` is the number of its first sector in the file.
pub(super) fn seal(content: &[u8], salt: u32, sequence: u64, position: u64, out: &mut Vec<u8>) {
    let count = u32::try_from(sectors_for(content.len())).unwrap_or(u32::MAX);
    for (piece, ordinal) in content.chunks(CONTENT_BYTES).zip(0_u32..) {
        let start = out.len();
        out.extend_from_slice(piece);
        out.resize(start + CONTENT_BYTES, 0);
        out.extend_from_slice(&salt.to_be_bytes());
        out.extend_from_slice(&sequence.to_be_bytes());
        out.extend_from_slice(&ordinal.to_be_bytes());
        out.extend_from_slice(&count.to_be_bytes());
        let checksum = checksum(
            position + u64::from(ordinal),
            out.get(start..).unwrap_or_default(),
        );
        out.extend_from_slice(&checksum.to_be_bytes());
    }
}

/// Returns the state of the sector at this position of a file. Bytes that are missing count as zeros.
pub(super) fn parse(position: u64, bytes: &[u8]) -> Sector<'_> {
    let Some((checked, rest)) = bytes.split_at_checked(CHECKED_BYTES) else {
        return blank_or_damaged(bytes);
    };
    let Some(found) = rest.first_chunk() else {
        return blank_or_damaged(bytes);
    };
    let is_whole = u32::from_be_bytes(*found) == checksum(position, checked);
    if !is_whole && (!planted!(SECTORS_UNCHECKED) || is_blank(bytes)) {
        return blank_or_damaged(bytes);
    }
    let (content, stamp) = checked.split_at(CONTENT_BYTES);
    match stamp_of(stamp) {
        Some(stamp) => Sector::Whole { stamp, content },
        None => Sector::Damaged,
    }
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}

fn blank_or_damaged(bytes: &[u8]) -> Sector<'_> {
    match is_blank(bytes) {
        true => Sector::Blank,
        false => Sector::Damaged,
    }
}

fn stamp_of(bytes: &[u8]) -> Option<Stamp> {
    let (salt, rest) = bytes.split_first_chunk()?;
    let (sequence, rest) = rest.split_first_chunk()?;
    let (ordinal, count) = rest.split_first_chunk()?;
    Some(Stamp {
        salt: u32::from_be_bytes(*salt),
        sequence: u64::from_be_bytes(*sequence),
        ordinal: u32::from_be_bytes(*ordinal),
        count: u32::from_be_bytes(*count.first_chunk()?),
    })
}

fn checksum(position: u64, checked: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&position.to_be_bytes());
    hasher.update(checked);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sector_is_whole_only_unchanged_and_at_its_own_position() {
        let content = vec![7; CONTENT_BYTES + 10];
        let mut bytes = Vec::new();
        seal(&content, 3, 9, 40, &mut bytes);
        assert_eq!(bytes.len(), 2 * SECTOR_BYTES);
        let (first, second) = bytes.split_at(SECTOR_BYTES);
        let stamp = |ordinal| Stamp {
            salt: 3,
            sequence: 9,
            ordinal,
            count: 2,
        };
        assert!(matches!(parse(40, first), Sector::Whole { stamp: found, .. } if found == stamp(0)));
        assert!(matches!(parse(41, second), Sector::Whole { stamp: found, .. } if found == stamp(1)));
        assert_eq!(parse(42, second), Sector::Damaged);
        for at in 0..SECTOR_BYTES {
            let mut flipped = first.to_vec();
            flipped[at] ^= 1 << (at % 8);
            assert_eq!(parse(40, &flipped), Sector::Damaged, "byte {at}");
        }
    }

    #[test]
    fn zeros_and_what_the_file_lacks_are_blank() {
        assert_eq!(parse(0, &[0; SECTOR_BYTES]), Sector::Blank);
        assert_eq!(parse(0, &[0; 17]), Sector::Blank);
        assert_eq!(parse(0, &[]), Sector::Blank);
        assert_eq!(parse(0, &[1; 17]), Sector::Damaged);
    }
}
