//! Kinds of BMP that the decoder does not know, or takes for others: made into what it knows.

use alloc::borrow::Cow;

use crate::upload::bmp::{FILE_HEADER_BYTES, Header, INFO_HEADER_BYTES};

/// With a mask for alpha as well: BITMAPV3INFOHEADER, which is the shorter header and its four masks.
const ALPHA_HEADER_BYTES: u32 = 56;
/// OS/2's second header, at its full length.
const LONG_HEADER_BYTES: u32 = 64;

/// The file as the decoder understands it, and whether its rows must be turned upside down then.
pub(super) fn prepared(file: &[u8]) -> (Cow<'_, [u8]>, bool) {
    let Ok(header) = Header::parse(file) else {
        return (Cow::Borrowed(file), false);
    };
    let mut prepared = Cow::Borrowed(file);
    let mut pixels_at = header.pixels_at();
    let rows_end = header
        .rows_end()
        .and_then(|end| usize::try_from(end).ok())
        .unwrap_or(0);
    if file.len() < rows_end && rows_end - file.len() < 4 {
        prepared.to_mut().resize(rows_end, 0);
    }
    // OS/2's second header is that of Windows as far as it goes; what follows is about printing.
    if matches!(header.bytes, 16..=39) || header.bytes == LONG_HEADER_BYTES && header.compression <= 2 {
        let old_end = (FILE_HEADER_BYTES + header.bytes) as usize;
        let mut fields = file
            .get(FILE_HEADER_BYTES as usize..old_end)
            .unwrap_or_default()
            .to_vec();
        fields.resize(INFO_HEADER_BYTES as usize, 0);
        let mut rebuilt = file
            .get(..FILE_HEADER_BYTES as usize)
            .unwrap_or_default()
            .to_vec();
        rebuilt.extend(fields);
        rebuilt.extend_from_slice(prepared.get(old_end..).unwrap_or_default());
        pixels_at = (pixels_at + INFO_HEADER_BYTES).saturating_sub(header.bytes);
        put(&mut rebuilt, 14, &INFO_HEADER_BYTES.to_le_bytes());
        prepared = Cow::Owned(rebuilt);
    }
    // Masks with one for alpha behind a short header: the bytes are those of a longer header.
    if header.compression == 6 && header.bytes == INFO_HEADER_BYTES {
        put(prepared.to_mut(), 14, &ALPHA_HEADER_BYTES.to_le_bytes());
    }
    if header.compression == 6 {
        put(prepared.to_mut(), 30, &3u32.to_le_bytes());
    }
    if prepared.get(10..14) != Some(&pixels_at.to_le_bytes()) {
        put(prepared.to_mut(), 10, &pixels_at.to_le_bytes());
    }
    // The number of planes says nothing: it is always one.
    let planes_at = if header.bytes < 16 { 22 } else { 26 };
    if prepared.get(planes_at..planes_at + 2) != Some(&[1, 0]) {
        put(prepared.to_mut(), planes_at, &[1, 0]);
    }
    // Runs from the top are against the rules, and shown by everyone.
    let turned = header.top_down && matches!(header.compression, 1 | 2);
    if turned {
        put(prepared.to_mut(), 22, &header.size.height.to_le_bytes());
    }
    (prepared, turned)
}

fn put(file: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = file.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}
