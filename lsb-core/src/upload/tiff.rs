//! A TIFF file: its first directory, and whether the pixels that it names are there (TIFF 6.0, §2; BigTIFF).

use super::error::UploadError;
use super::media_type::MediaType;
use crate::size::Size;
use crate::tags::{
    BITS_PER_SAMPLE, COMPRESSION, DATA, Directory, IMAGE_LENGTH, IMAGE_WIDTH, SAMPLES_PER_PIXEL,
    STRIP_OFFSETS, Tiff,
};

pub(super) fn inspect(
    file: &[u8],
    check_size: impl Fn(Size) -> Result<(), UploadError>,
) -> Result<Size, UploadError> {
    let cut_off = UploadError::CutOff {
        format: MediaType::Tiff,
        bytes: file.len(),
    };
    let tiff = Tiff::open(file).ok_or(cut_off)?;
    let directory = tiff.first().and_then(|at| tiff.directory(at)).ok_or(cut_off)?;
    if directory.is_cut {
        return Err(cut_off);
    }
    let damaged = |problem| UploadError::Damaged {
        format: MediaType::Tiff,
        offset: directory.at,
        problem,
    };
    let side = |tag: u16| match directory.entry(tag) {
        None => Ok(0),
        Some(entry) => tiff
            .number(entry, 0)
            .and_then(|side| u32::try_from(side).ok())
            .ok_or(damaged("a number of an unknown kind")),
    };
    let size = Size {
        width: side(IMAGE_WIDTH)?,
        height: side(IMAGE_LENGTH)?,
    };
    check_size(size)?;
    let data = DATA
        .into_iter()
        .find_map(|(offsets, lengths)| Some((directory.entry(offsets)?, directory.entry(lengths))));
    let Some((offsets, lengths)) = data else {
        return Err(damaged("it does not say where its pixels are"));
    };
    if offsets.count == 0 || lengths.is_some_and(|lengths| lengths.count != offsets.count) {
        return Err(damaged("its lists of pixel data do not match"));
    }
    for index in 0..offsets.count {
        let start = tiff.number(offsets, index).ok_or(cut_off)?;
        let length = match lengths {
            Some(lengths) => tiff.number(lengths, index).ok_or(cut_off)?,
            // Some old programs name the places alone; decoding tells whether the pixels are there.
            None => 0,
        };
        if start.saturating_add(length) > file.len() as u64
            && !rows_are_there(&tiff, &directory, size, start, file.len() as u64)
        {
            return Err(cut_off);
        }
    }
    Ok(size)
}

/// Whether all rows of an uncompressed picture in one strip are there, though its length says that more should be:
/// some programs give a false length.
fn rows_are_there(tiff: &Tiff<'_>, directory: &Directory, size: Size, start: u64, end: u64) -> bool {
    let number = |tag: u16, otherwise: u64| {
        let entry = directory.entry(tag);
        entry.map_or(Some(otherwise), |entry| tiff.number(entry, 0))
    };
    let one_strip = directory
        .entry(STRIP_OFFSETS)
        .is_some_and(|strips| strips.count == 1);
    let (Some(1), Some(bits), Some(samples)) = (
        number(COMPRESSION, 1),
        number(BITS_PER_SAMPLE, 1),
        number(SAMPLES_PER_PIXEL, 1),
    ) else {
        return false;
    };
    let row_bits = u64::from(size.width).saturating_mul(bits).saturating_mul(samples);
    let rows = row_bits.div_ceil(8).saturating_mul(u64::from(size.height));
    one_strip && bits > 0 && samples > 0 && start.saturating_add(rows) <= end
}
