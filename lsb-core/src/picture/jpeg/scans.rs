//! Walks every code of a JPEG's scans, so that a file of which a part is missing is not shown as if it were whole.
//!
//! Decoders fill what they cannot read with grey, and go on at the next restart marker. Here each interval must hold
//! the codes of exactly its blocks (ITU-T T.81, annexes F and G), the restart markers must follow one another, and in
//! the end every coefficient must have been sent to its last bit. Nothing is transformed, and of a coefficient no more
//! is kept than whether it is zero.
//!
//! Damage that leaves as many codes as before cannot be told from another picture.

use alloc::vec;
use alloc::vec::Vec;

use super::bits::{Bits, Codes};
use super::blocks::{Band, details, finer_details, first_details, most_energy};
use crate::upload::jpeg::{Component, Frame, START_OF_SCAN};
use crate::upload::{MediaType, UploadError};

/// The second byte of the marker of a progressive frame.
const PROGRESSIVE: u8 = 0xc2;
/// A few bytes of a scan can say that a hundred million pixels stay as they are: so many are work without end.
const MOST_SCANS: u32 = 1000;
const QUANTIZERS: u8 = 0xdb;
const CODES: u8 = 0xc4;
const RESTART_INTERVAL: u8 = 0xdd;

const MISSING: UploadError = damaged("a part of its compressed data is missing or damaged");
const OUT_OF_ORDER: UploadError =
    damaged("its restart markers do not follow one another, so a part is missing");
const UNFINISHED: UploadError = damaged("a scan is missing that would finish it");

/// What was learned so far.
pub(super) struct Scans {
    frame: Option<Frame>,
    parts: Vec<Part>,
    means: [Option<Codes>; 4],
    details: [Option<Codes>; 4],
    /// What coefficients are multiplied by, in the order in which they are sent.
    quantizers: [[u16; 64]; 4],
    restart_interval: u32,
    count: u32,
}

/// What is known of a component's blocks.
struct Part {
    component: Component,
    /// Blocks from one row to the next: those of whole units of an interleaved scan.
    stride: usize,
    /// One bit for each coefficient of a block that is not zero: progressive files alone need it.
    nonzero: Vec<u64>,
    /// For every coefficient: how many of its lowest bits were not sent yet; none if nothing of it was.
    unsent_bits: [Option<u8>; 64],
}

/// A part in a scan, with the tables that its codes are from.
struct Scanned<'a> {
    part: &'a mut Part,
    means: Option<&'a Codes>,
    details: Option<&'a Codes>,
    quantizers: &'a [u16; 64],
    /// The square of the largest sum that a block's coefficients can have.
    most_energy: u64,
    last_mean: i32,
    /// Whether the last block had 63 equal coefficients.
    equal: bool,
    /// Columns and rows of its blocks in a unit of the scan.
    unit: (u32, u32),
}

impl Default for Scans {
    fn default() -> Self {
        Self {
            frame: None,
            parts: Vec::new(),
            means: [const { None }; 4],
            details: [const { None }; 4],
            quantizers: [[1; 64]; 4],
            restart_interval: 0,
            count: 0,
        }
    }
}

impl Scans {
    pub(super) fn begin(&mut self, frame: Frame) {
        let (most_across, most_down) = frame.most_sampling();
        let side = |pixels: u32, most: u32, own: u8| (pixels.div_ceil(8 * most) * u32::from(own)) as usize;
        self.parts = Vec::new();
        for component in &frame.components {
            let stride = side(frame.size.width, most_across, component.across);
            let rows = side(frame.size.height, most_down, component.down);
            let blocks = if frame.process == PROGRESSIVE && is_walked(&frame) {
                stride * rows
            } else {
                0
            };
            self.parts.push(Part {
                component: *component,
                stride,
                nonzero: vec![0; blocks],
                unsent_bits: [None; 64],
            });
        }
        self.frame = Some(frame);
    }

    /// Reads a segment that says how scans are coded.
    pub(super) fn table(&mut self, marker: u8, content: &[u8]) -> Result<(), UploadError> {
        match marker {
            QUANTIZERS => self.read_quantizers(content),
            CODES => self.read_codes(content)?,
            RESTART_INTERVAL => {
                let interval = content
                    .first_chunk()
                    .map_or(0, |number| u16::from_be_bytes(*number));
                self.restart_interval = u32::from(interval);
            }
            _ => (),
        }
        Ok(())
    }

    fn read_quantizers(&mut self, mut content: &[u8]) {
        while let [kind, rest @ ..] = content {
            let wide = kind >> 4 != 0;
            let table = self.quantizers.get_mut(usize::from(kind & 15));
            let (values, rest) = rest
                .split_at_checked(if wide { 128 } else { 64 })
                .unwrap_or_default();
            for (place, quantizer) in table.into_iter().flatten().enumerate() {
                *quantizer = match values.get(2 * place..2 * place + 2) {
                    Some([high, low]) if wide => u16::from_be_bytes([*high, *low]),
                    _ => values.get(place).copied().unwrap_or(1).into(),
                };
            }
            content = rest;
        }
    }

    fn read_codes(&mut self, mut content: &[u8]) -> Result<(), UploadError> {
        let wrong = damaged("its tables of codes are damaged");
        while let [kind, rest @ ..] = content {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or(wrong)?;
            let count: usize = counts.iter().map(|count| usize::from(*count)).sum();
            let (symbols, rest) = rest.split_at_checked(count).ok_or(wrong)?;
            let codes = Codes::new(counts, symbols).ok_or(wrong)?;
            let tables = if kind >> 4 == 0 {
                &mut self.means
            } else {
                &mut self.details
            };
            *tables.get_mut(usize::from(kind & 15)).ok_or(wrong)? = Some(codes);
            content = rest;
        }
        Ok(())
    }

    /// Walks a scan: its marker, its header, and its data.
    pub(super) fn scan(&mut self, whole: &[u8]) -> Result<(), UploadError> {
        let Some(frame) = &self.frame else {
            return Err(MISSING);
        };
        if !is_walked(frame) {
            return Ok(());
        }
        self.count += 1;
        if self.count > MOST_SCANS {
            return Err(damaged("it has more scans than any program writes"));
        }
        let header_at = whole.iter().position(|byte| *byte == START_OF_SCAN);
        let behind = header_at.and_then(|at| whole.get(at + 1..)).ok_or(MISSING)?;
        let length = behind
            .first_chunk()
            .map_or(0, |bytes| usize::from(u16::from_be_bytes(*bytes)));
        let (header, data) = behind.split_at_checked(length).ok_or(MISSING)?;
        let header = header.get(2..).ok_or(MISSING)?;
        let (count, header) = header.split_first().ok_or(MISSING)?;
        let (chosen, band) = header.split_at_checked(usize::from(*count) * 2).ok_or(MISSING)?;
        let [first, last, bits, ..] = *band else {
            return Err(MISSING);
        };
        let progressive = frame.process == PROGRESSIVE;
        let band = if progressive {
            Band {
                progressive,
                first,
                last,
                high: bits >> 4,
                low: bits & 15,
            }
        } else {
            Band {
                progressive,
                first: 0,
                last: 63,
                high: 0,
                low: 0,
            }
        };
        if band.last > 63 || band.first > band.last || (band.first == 0 && band.last != 0 && progressive) {
            return Err(MISSING);
        }
        let interleaved = *count > 1;
        let mut scanned: Vec<Scanned<'_>> = Vec::new();
        for part in &mut self.parts {
            let number = part.component.number;
            let pairs = chosen.as_chunks::<2>().0;
            let Some([_, tables]) = pairs.iter().find(|pair| pair[0] == number) else {
                continue;
            };
            let component = part.component;
            let quantizers = self
                .quantizers
                .get(usize::from(component.quantizers))
                .ok_or(MISSING)?;
            scanned.push(Scanned {
                means: self.means.get(usize::from(tables >> 4)).and_then(Option::as_ref),
                details: self
                    .details
                    .get(usize::from(tables & 15))
                    .and_then(Option::as_ref),
                quantizers,
                most_energy: most_energy(quantizers),
                last_mean: 0,
                equal: false,
                unit: if interleaved {
                    (u32::from(component.across), u32::from(component.down))
                } else {
                    (1, 1)
                },
                part,
            });
        }
        if scanned.len() != usize::from(*count) || scanned.is_empty() {
            return Err(MISSING);
        }
        let units = match scanned.as_slice() {
            [only] if !interleaved => frame.blocks(only.part.component),
            _ => {
                let (most_across, most_down) = frame.most_sampling();
                (
                    frame.size.width.div_ceil(8 * most_across),
                    frame.size.height.div_ceil(8 * most_down),
                )
            }
        };
        walk_intervals(data, units, self.restart_interval, &mut scanned, band)?;
        for scanned in scanned {
            let band = usize::from(band.first)..=usize::from(band.last);
            for unsent in scanned.part.unsent_bits.get_mut(band).unwrap_or_default() {
                *unsent = Some(if progressive { bits & 15 } else { 0 });
            }
        }
        Ok(())
    }

    /// Every component must have its means, and every coefficient that was begun must be finished.
    pub(super) fn end(&self) -> Result<(), UploadError> {
        if !self.frame.as_ref().is_some_and(is_walked) {
            return Ok(());
        }
        if self.parts.iter().any(|part| part.unsent_bits[0].is_none()) {
            return Err(UNFINISHED);
        }
        let mut coefficients = self.parts.iter().flat_map(|part| &part.unsent_bits);
        if coefficients.any(|unsent| unsent.is_some_and(|bits| bits > 0)) {
            return Err(UNFINISHED);
        }
        Ok(())
    }
}

/// Baseline, extended and progressive by Huffman's codes, of eight bits. The decoder refuses what else there is.
fn is_walked(frame: &Frame) -> bool {
    matches!(frame.process, 0xc0..=PROGRESSIVE) && frame.precision == 8 && frame.components.len() <= 4
}

/// Each interval begins anew and holds so many units; without restart markers the scan is one interval.
fn walk_intervals(
    data: &[u8],
    (across, down): (u32, u32),
    restart_interval: u32,
    scanned: &mut [Scanned<'_>],
    band: Band,
) -> Result<(), UploadError> {
    let total = across.saturating_mul(down);
    let in_interval = if restart_interval == 0 {
        total
    } else {
        restart_interval
    };
    let mut intervals = Intervals { data, number: 0 };
    let mut unit = 0;
    while unit < total {
        let mut bits = Bits::new(intervals.next_interval()?);
        let mut rest_of_band = 0;
        for scanned in scanned.iter_mut() {
            scanned.last_mean = 0;
        }
        let end = total.min(unit.saturating_add(in_interval));
        while unit < end {
            let (x, y) = (unit % across, unit / across);
            for scanned in scanned.iter_mut() {
                let (wide, high) = scanned.unit;
                for row in 0..high {
                    for column in 0..wide {
                        let place =
                            (x * wide + column) as usize + (y * high + row) as usize * scanned.part.stride;
                        scanned
                            .block(&mut bits, place, band, &mut rest_of_band)
                            .ok_or(MISSING)?;
                    }
                }
            }
            unit += 1;
        }
        if !bits.is_spent(unit == total) || rest_of_band > 0 {
            return Err(MISSING);
        }
    }
    intervals.is_over()
}

/// The intervals of a scan's data, without their markers.
struct Intervals<'a> {
    data: &'a [u8],
    number: u8,
}

impl<'a> Intervals<'a> {
    fn next_interval(&mut self) -> Result<&'a [u8], UploadError> {
        if self.number > 0 {
            // The markers count from 0 to 7, again and again (§E.1.4).
            match self.data.first_chunk::<2>() {
                Some([0xff, marker]) if *marker == 0xd0 + (self.number - 1) % 8 => {
                    self.data = self.data.get(2..).unwrap_or_default();
                }
                Some(_) => return Err(OUT_OF_ORDER),
                None => return Err(MISSING),
            }
        }
        // Stays in step with the markers, and never is 0 again.
        self.number = self.number % 8 + 1;
        let marker = self
            .data
            .windows(2)
            .position(|pair| matches!(pair, [0xff, 0xd0..=0xd7]));
        let (interval, rest) = self.data.split_at(marker.unwrap_or(self.data.len()));
        self.data = rest;
        // Any number of FF may stand before a marker (§B.1.1.2).
        let filling = interval.iter().rev().take_while(|byte| **byte == 0xff).count();
        Ok(interval.get(..interval.len() - filling).unwrap_or_default())
    }

    /// Some encoders write a marker behind the last interval; data behind it would be pixels too many.
    fn is_over(&self) -> Result<(), UploadError> {
        let behind = self.data.get(2..).unwrap_or_default();
        if behind.iter().any(|byte| *byte != 0xff) {
            return Err(OUT_OF_ORDER);
        }
        Ok(())
    }
}

impl Scanned<'_> {
    /// Walks one block; none if its codes are not there.
    fn block(&mut self, bits: &mut Bits<'_>, place: usize, band: Band, rest_of_band: &mut u32) -> Option<()> {
        if !band.progressive {
            let mean = self.mean(bits, 0)?;
            let (energy, equal) = details(bits, self.details?, self.quantizers)?;
            let twice = core::mem::replace(&mut self.equal, equal) && equal;
            if twice {
                return None;
            }
            return (energy.saturating_add(mean.unsigned_abs().pow(2)) <= self.most_energy).then_some(());
        }
        match (band.first, band.high) {
            (0, 0) => {
                let mean = self.mean(bits, band.low)?;
                (mean.unsigned_abs().pow(2) <= self.most_energy).then_some(())
            }
            (0, _) => bits.take(1).map(|_| ()),
            (_, 0) => {
                let nonzero = self.part.nonzero.get_mut(place)?;
                let largest =
                    first_details(bits, self.details?, band, self.quantizers, nonzero, rest_of_band)?;
                (largest.checked_pow(2)? <= self.most_energy).then_some(())
            }
            _ => {
                let nonzero = self.part.nonzero.get_mut(place)?;
                finer_details(bits, self.details?, band, nonzero, rest_of_band)
            }
        }
    }

    /// The mean of a block, which is sent as the difference to that of the last one (§F.2.2.1).
    fn mean(&mut self, bits: &mut Bits<'_>, low: u8) -> Option<i64> {
        let length = bits.symbol(self.means?)?;
        if length > 15 {
            return None;
        }
        self.last_mean = self.last_mean.checked_add(bits.signed(u32::from(length))?)?;
        Some((i64::from(self.last_mean) << low) * i64::from(self.quantizers[0]))
    }
}

pub(super) const fn damaged(problem: &'static str) -> UploadError {
    UploadError::PixelsMissing {
        format: MediaType::Jpeg,
        problem,
    }
}
