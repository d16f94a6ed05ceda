//! How the samples of a TIFF lie in the file, and the directory that says so to the decoder.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::raw::Raw;
use crate::tags::{self, Directory, Entry, Tiff};

/// No compression, LZW, deflate by both its numbers, `PackBits`, JPEG and fax of group 4: what the decoder knows.
const KNOWN_COMPRESSIONS: [u64; 7] = [1, 4, 5, 7, 8, 32_773, 32_946];
pub(super) const JPEG: u64 = 7;
const LZW: u64 = 5;

/// What the first directory says, with the values that hold where it says nothing (TIFF 6.0, §8).
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Bits per sample.
    pub(super) bits: u32,
    /// Samples per pixel.
    pub(super) samples: usize,
    pub(super) meaning: u64,
    /// What the first sample behind the colours is: 1 is alpha that the colours are multiplied by, 2 is alpha, and 0 is
    /// unknown.
    pub(super) extra: Option<u64>,
    /// 256 reds or fewer, then as many greens, then blues.
    pub(super) palette: Vec<u16>,
    pub(super) compression: u64,
    /// How many columns and rows of luma share a sample of chroma.
    pub(super) chroma: (u64, u64),
    predictor: u64,
    /// Whether each band has strips or tiles of its own.
    planar: bool,
    lowest_bit_first: bool,
    /// Columns and rows of tiles.
    tile: Option<(u32, u32)>,
    rows_per_strip: u32,
    /// Where the strips or tiles are, and how many bytes they have.
    pieces: Vec<(u64, u64)>,
}

impl Layout {
    /// Reads a directory; what is said of a kind that cannot be decoded is the error.
    pub(super) fn of(tiff: &Tiff<'_>, directory: &Directory, file_bytes: usize) -> Result<Self, String> {
        let number = |tag: u16| directory.entry(tag).and_then(|entry| tiff.number(entry, 0));
        let numbers = |tag: u16, most: usize| -> Vec<u64> {
            let entry = directory.entry(tag);
            let count = entry.map_or(0, |entry| entry.count.min(most));
            let number = |index| entry.and_then(|entry| tiff.number(entry, index));
            (0..count).map_while(number).collect()
        };
        let side = |tag: u16| number(tag).and_then(|side| u32::try_from(side).ok()).unwrap_or(0);
        let meaning = number(tags::PHOTOMETRIC).ok_or("it does not say what its samples mean")?;
        let colors = match meaning {
            2 | 6 => 3,
            5 => 4,
            _ => 1,
        };
        let samples = number(tags::SAMPLES_PER_PIXEL).unwrap_or(colors);
        let samples = usize::try_from(samples).unwrap_or(0);
        if !(1..=16).contains(&samples) {
            return Err(format!("{samples} samples per pixel"));
        }
        // One number may stand for all samples, and more numbers than samples say nothing.
        let bits = numbers(tags::BITS_PER_SAMPLE, samples);
        let bits_per_sample = bits.first().copied().unwrap_or(1);
        if bits.iter().any(|bits| *bits != bits_per_sample) {
            return Err(format!("samples of different depths: {bits:?}"));
        }
        if !matches!(bits_per_sample, 1..=8 | 10 | 12 | 14 | 16) {
            return Err(format!("{bits_per_sample} bits per sample"));
        }
        let formats = numbers(tags::SAMPLE_FORMAT, samples);
        // 4 is "undefined", which is read as whole numbers.
        if formats.iter().any(|format| !matches!(format, 1 | 4)) {
            return Err("samples that are negative or fractions".into());
        }
        let compression = number(tags::COMPRESSION).unwrap_or(1);
        if !KNOWN_COMPRESSIONS.contains(&compression) {
            return Err(format!("compression {compression}"));
        }
        let (tile_width, tile_height) = (side(tags::TILE_WIDTH), side(tags::TILE_LENGTH));
        let height = side(tags::IMAGE_LENGTH);
        let rows_per_strip = match side(tags::ROWS_PER_STRIP) {
            0 => height,
            rows => rows.min(height),
        };
        let mut layout = Self {
            width: side(tags::IMAGE_WIDTH),
            height,
            bits: u32::try_from(bits_per_sample).unwrap_or(1),
            samples,
            meaning,
            extra: number(tags::EXTRA_SAMPLES),
            palette: Vec::new(),
            compression,
            chroma: match numbers(tags::CHROMA_SUBSAMPLING, 2).as_slice() {
                [across, down] => (*across, *down),
                _ => (2, 2),
            },
            predictor: number(tags::PREDICTOR).unwrap_or(1),
            planar: number(tags::PLANAR_CONFIGURATION) == Some(2) && samples > 1,
            lowest_bit_first: number(tags::FILL_ORDER) == Some(2) && compression != JPEG,
            tile: directory
                .entry(tags::TILE_OFFSETS)
                .filter(|_| tile_width > 0 && tile_height > 0)
                .map(|_| (tile_width, tile_height)),
            rows_per_strip,
            pieces: Vec::new(),
        };
        if compression == JPEG && !matches!(layout.samples_in_band(), 1 | 3 | 4) {
            return Err(format!("JPEG of {samples} samples per pixel"));
        }
        layout.pieces = layout.find_pieces(tiff, directory, file_bytes)?;
        if meaning == tags::PALETTE {
            let entries = 3 << layout.bits.min(8);
            let values = numbers(tags::COLOR_MAP, entries);
            layout.palette = values
                .iter()
                .filter_map(|value| u16::try_from(*value).ok())
                .collect();
            if layout.palette.len() != entries || layout.bits > 8 {
                return Err("a palette of another size than its samples need".into());
            }
            // Some programs wrote eight bits where sixteen are asked for.
            if layout.palette.iter().all(|value| *value < 256) {
                for value in &mut layout.palette {
                    *value *= 257;
                }
            }
        }
        // The numbers of ten bits and more are packed, which the decoder does not know: it is told of rows of bytes.
        if layout.is_packed_wide() && (layout.tile.is_some() || layout.predictor != 1) {
            return Err(format!(
                "{bits_per_sample} bits per sample in tiles or with a predictor"
            ));
        }
        Ok(layout)
    }

    fn find_pieces(
        &self,
        tiff: &Tiff<'_>,
        directory: &Directory,
        file_bytes: usize,
    ) -> Result<Vec<(u64, u64)>, String> {
        let (offsets, lengths) = if self.tile.is_some() {
            (tags::TILE_OFFSETS, tags::TILE_BYTE_COUNTS)
        } else {
            (tags::STRIP_OFFSETS, tags::STRIP_BYTE_COUNTS)
        };
        let (offsets, lengths) = (directory.entry(offsets), directory.entry(lengths));
        let bands = if self.planar { self.samples as u64 } else { 1 };
        let count = match self.tile {
            Some((width, height)) => {
                u64::from(self.width.div_ceil(width)) * u64::from(self.height.div_ceil(height))
            }
            None => u64::from(self.height.div_ceil(self.rows_per_strip.max(1))),
        };
        let count = usize::try_from(count * bands).unwrap_or(usize::MAX);
        let number = |entry: Option<&Entry>, index| entry.and_then(|entry| tiff.number(entry, index));
        let offsets_count = offsets.map_or(0, |entry| entry.count);
        if offsets_count < count {
            return Err(format!("{offsets_count} pieces in place of {count}"));
        }
        // The list is in the file, so its length is bounded by that of the file.
        let piece = |index| {
            let start = number(offsets, index)?;
            let rest = (file_bytes as u64).checked_sub(start)?;
            // Some programs leave the lengths out, or give false ones: what is there is read as far as it is needed.
            let length = number(lengths, index)
                .filter(|length| *length > 0)
                .unwrap_or(rest);
            Some((start, length.min(rest)))
        };
        let pieces: Vec<_> = (0..count).map_while(piece).collect();
        if pieces.len() < count {
            return Err("pieces that lie outside of the file".into());
        }
        Ok(pieces)
    }

    /// The bytes of each strip or tile.
    pub(super) fn pieces_of<'a>(&self, file: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.pieces.iter().filter_map(|(start, length)| {
            let start = usize::try_from(*start).ok()?;
            file.get(start..start.checked_add(usize::try_from(*length).ok()?)?)
        })
    }

    pub(super) fn decoded_bytes(&self) -> u64 {
        let bytes = if self.bits > 8 { 2 } else { 1 };
        // A palette makes three colours of a sample.
        let samples = if self.meaning == tags::PALETTE {
            4
        } else {
            self.samples as u64
        };
        let (width, height) = self.decoded_size();
        (u64::from(width) * u64::from(height)).saturating_mul(samples * bytes)
    }

    const fn is_packed_wide(&self) -> bool {
        self.bits > 8 && self.bits < 16
    }

    /// Columns and rows that are decoded: all of the tiles, because the decoder fails with some whose ends it must skip
    /// (tiff 0.11.3).
    fn decoded_size(&self) -> (u32, u32) {
        match self.tile {
            Some((width, height)) => (
                self.width.div_ceil(width).saturating_mul(width),
                self.height.div_ceil(height).saturating_mul(height),
            ),
            None => (self.width, self.height),
        }
    }

    /// Samples from one pixel of a band to the next one.
    const fn samples_in_band(&self) -> usize {
        if self.planar { 1 } else { self.samples }
    }

    /// A copy of the file with the bits of each byte in their usual order, and with a directory that the decoder
    /// understands, which has no successor.
    pub(super) fn prepared(&self, file: &[u8], tiff: &Tiff<'_>, directory: &Directory) -> Vec<u8> {
        let mut prepared = file.to_vec();
        if self.lowest_bit_first {
            self.turn_bits(&mut prepared);
        }
        let (mut width, height) = self.decoded_size();
        let (mut bits, mut samples) = (self.bits, self.samples);
        if self.is_packed_wide() {
            let row_bits = u64::from(width) * self.samples_in_band() as u64 * u64::from(bits);
            width = u32::try_from(row_bits.div_ceil(8)).unwrap_or(u32::MAX);
            bits = 8;
            samples = if self.planar { self.samples } else { 1 };
        }
        let all = |value: u32| vec![u64::from(value); samples];
        let mut lines: Vec<(u16, Vec<u64>)> = vec![
            (tags::IMAGE_WIDTH, vec![width.into()]),
            (tags::IMAGE_LENGTH, vec![height.into()]),
            (tags::BITS_PER_SAMPLE, all(bits)),
            (tags::COMPRESSION, vec![self.compression]),
            // Bands are numbers and nothing else if black is zero.
            (tags::PHOTOMETRIC, vec![1]),
            (tags::SAMPLES_PER_PIXEL, vec![samples as u64]),
            (tags::PLANAR_CONFIGURATION, vec![if self.planar { 2 } else { 1 }]),
            (tags::PREDICTOR, vec![self.predictor]),
        ];
        let places = self.pieces.iter().map(|piece| piece.0).collect();
        // The decoder fails at the last row of a piece that ends without an end code (tiff 0.11.3): what follows it, at
        // least the new directory, keeps it going, and nothing of that is ever shown.
        let more = if self.compression == LZW { 4 } else { 0 };
        let lengths = self.pieces.iter().map(|piece| piece.1 + more).collect();
        if let Some((tile_width, tile_height)) = self.tile {
            lines.push((tags::TILE_WIDTH, vec![tile_width.into()]));
            lines.push((tags::TILE_LENGTH, vec![tile_height.into()]));
            lines.push((tags::TILE_OFFSETS, places));
            lines.push((tags::TILE_BYTE_COUNTS, lengths));
        } else {
            lines.push((tags::ROWS_PER_STRIP, vec![self.rows_per_strip.into()]));
            lines.push((tags::STRIP_OFFSETS, places));
            lines.push((tags::STRIP_BYTE_COUNTS, lengths));
        }
        let tables = directory
            .entry(tags::JPEG_TABLES)
            .and_then(|entry| tiff.value(entry));
        tiff.append_directory(
            &mut prepared,
            lines,
            tables.map(|tables| (tags::JPEG_TABLES, tables)),
        );
        prepared
    }

    /// Pieces that are named twice are turned once.
    fn turn_bits(&self, file: &mut [u8]) {
        let mut pieces = self.pieces.clone();
        pieces.sort_unstable();
        let mut turned = 0;
        for (start, length) in pieces {
            let end = usize::try_from(start.saturating_add(length))
                .unwrap_or(usize::MAX)
                .min(file.len());
            let start = usize::try_from(start).unwrap_or(usize::MAX).max(turned);
            for byte in file.get_mut(start..end).unwrap_or_default() {
                *byte = byte.reverse_bits();
            }
            turned = turned.max(end);
        }
    }

    /// Rows of packed bits as numbers; numbers of eight bits as they are.
    pub(super) fn numbers(&self, bytes: Vec<u8>) -> Raw {
        if self.bits == 8 {
            return Raw::Eight(self.interleaved(bytes));
        }
        let (width, _) = self.decoded_size();
        let in_row = width as usize * self.samples_in_band();
        let row_bytes = (in_row * self.bits as usize).div_ceil(8);
        let most = (1u32 << self.bits) - 1;
        let row = |row: &[u8]| {
            let (mut word, mut count) = (0u32, 0);
            let mut bytes = row.iter();
            let mut numbers = Vec::with_capacity(in_row);
            for _ in 0..in_row {
                while count < self.bits {
                    word = word << 8 | u32::from(*bytes.next().unwrap_or(&0));
                    count += 8;
                }
                count -= self.bits;
                numbers.push(u16::try_from(word >> count & most).unwrap_or(u16::MAX));
            }
            numbers
        };
        let rows = bytes.chunks_exact(row_bytes.max(1));
        if self.bits < 8 {
            let narrow = |number: u16| number.to_be_bytes()[1];
            let numbers = rows.flat_map(row).map(narrow).collect();
            return Raw::Eight(self.interleaved(numbers));
        }
        Raw::Sixteen(self.interleaved(rows.flat_map(row).collect()))
    }

    /// Bands that lie one behind the other as pixels, without what was decoded beyond the picture.
    pub(super) fn interleaved<N: Copy>(&self, numbers: Vec<N>) -> Vec<N> {
        let (width, height) = self.decoded_size();
        if !self.planar && (width, height) == (self.width, self.height) {
            return numbers;
        }
        let (width, height) = (width as usize, height as usize);
        let band = width * height;
        let mut pixels = Vec::with_capacity(self.width as usize * self.height as usize * self.samples);
        for y in 0..self.height as usize {
            if !self.planar {
                let start = y * width * self.samples;
                let row = numbers.get(start..start + self.width as usize * self.samples);
                pixels.extend_from_slice(row.unwrap_or_default());
                continue;
            }
            for place in y * width..y * width + self.width as usize {
                pixels.extend((0..self.samples).filter_map(|sample| numbers.get(sample * band + place)));
            }
        }
        pixels
    }
}
