//! Enlarging a picture smoothly, in whole numbers, so that it comes out the same everywhere.

use alloc::vec::Vec;

use crate::size::Size;

/// Fractions of a pixel are counted in 256ths.
const UNIT: u32 = 256;

/// Where a target column or row lies between two source columns or rows.
#[derive(Clone, Copy)]
struct Between {
    first: usize,
    second: usize,
    /// How much the second counts, in 256ths.
    weight: u32,
}

/// Enlarges eight-bit red, green and blue samples by bilinear interpolation between pixel centres.
pub(super) fn enlarge(samples: Vec<u8>, from: Size, to: Size) -> Vec<u8> {
    if from == to {
        return samples;
    }
    let columns = positions(from.width, to.width);
    let rows = positions(from.height, to.height);
    let source_row = from.width as usize * 3;
    let target_row = to.width as usize * 3;
    let mut enlarged = Vec::with_capacity(target_row * to.height as usize);
    // Enlarged rows of the source, kept while neighbouring target rows lie between the same two.
    let mut first = (usize::MAX, Vec::new());
    let mut second = (usize::MAX, Vec::new());
    let widened = |row: usize, target: &mut (usize, Vec<u8>)| {
        if target.0 != row {
            let source = samples
                .get(row * source_row..(row + 1) * source_row)
                .unwrap_or_default();
            target.0 = row;
            widen(source, &columns, &mut target.1);
        }
    };
    for position in rows {
        if second.0 == position.first {
            core::mem::swap(&mut first, &mut second);
        }
        widened(position.first, &mut first);
        widened(position.second, &mut second);
        let pairs = first.1.iter().zip(&second.1);
        enlarged.extend(pairs.map(|(upper, lower)| mix(*upper, *lower, position.weight)));
    }
    enlarged
}

fn widen(source: &[u8], columns: &[Between], target: &mut Vec<u8>) {
    let pixels = source.as_chunks::<3>().0;
    target.clear();
    for column in columns {
        let (Some(left), Some(right)) = (pixels.get(column.first), pixels.get(column.second)) else {
            continue;
        };
        for (left, right) in left.iter().zip(right) {
            target.push(mix(*left, *right, column.weight));
        }
    }
}

fn mix(first: u8, second: u8, weight: u32) -> u8 {
    let mixed = u32::from(first) * (UNIT - weight) + u32::from(second) * weight + UNIT / 2;
    u8::try_from(mixed / UNIT).unwrap_or(u8::MAX)
}

/// The centre of target pixel `t` lies at `(t + 1/2) * from / to - 1/2` in the source.
fn positions(from: u32, to: u32) -> Vec<Between> {
    let (from, to) = (u64::from(from), u64::from(to));
    let last = (from - 1) * u64::from(UNIT);
    let position = |target: u64| {
        let centre = (2 * target + 1) * from * u64::from(UNIT) / (2 * to);
        let at = centre.saturating_sub(u64::from(UNIT) / 2).min(last);
        let first = at / u64::from(UNIT);
        Between {
            first: usize::try_from(first).unwrap_or(usize::MAX),
            second: usize::try_from((first + 1).min(from - 1)).unwrap_or(usize::MAX),
            weight: u32::try_from(at % u64::from(UNIT)).unwrap_or(0),
        }
    };
    (0..to).map(position).collect()
}
