//! The codes of one block: its coefficients, in one scan or in several (ITU-T T.81, §F.2.2.2 and §G.1.2).

use super::bits::{Bits, Codes};

/// What a scan's header says of its coefficients (§B.2.3).
#[derive(Clone, Copy)]
pub(super) struct Band {
    pub(super) progressive: bool,
    pub(super) first: u8,
    pub(super) last: u8,
    /// The lowest bit that an earlier scan sent; 0 if there was none.
    pub(super) high: u8,
    pub(super) low: u8,
}

/// The square of the largest length that the coefficients of a block can have together.
///
/// The transform keeps lengths (§A.3.3), so 64 samples of at most 128 have coefficients of at most 1024 together, and
/// rounding adds half a quantizer to each. A quarter more is let pass, because some encoders overshoot on purpose to
/// keep edges sharp. Codes that went astray soon pass it: their large numbers fall on coefficients with large
/// quantizers.
pub(super) fn most_energy(quantizers: &[u16; 64]) -> u64 {
    let rounding: u64 = quantizers
        .iter()
        .map(|quantizer| u64::from(*quantizer).pow(2) / 4)
        .sum();
    (1024 * 5 / 4 + rounding.isqrt()).pow(2)
}

/// The other coefficients of a block (§F.2.2.2): the sum of their squares, and whether all 63 are the same number and
/// not zero, which zeros in place of codes give and no picture.
pub(super) fn details(bits: &mut Bits<'_>, codes: &Codes, quantizers: &[u16; 64]) -> Option<(u64, bool)> {
    let mut place = 1;
    let (mut energy, mut equal, mut last) = (0u64, 0, 0);
    while place < 64 {
        let symbol = bits.symbol(codes)?;
        let (zeros, length) = (usize::from(symbol >> 4), u32::from(symbol & 15));
        place += zeros;
        match (zeros, length) {
            (15, 0) => (),
            (0, 0) => return Some((energy, false)),
            (_, 0) => return None,
            _ => {
                let value = bits.signed(length)?;
                equal = if value == last { equal + 1 } else { 1 };
                last = value;
                let value = u64::from(value.unsigned_abs()) * u64::from(*quantizers.get(place)?);
                energy = energy.saturating_add(value.saturating_mul(value));
            }
        }
        place += 1;
    }
    (place == 64).then_some((energy, equal == 63))
}

/// The upper bits of a band (§G.1.2.2): the largest of its coefficients.
pub(super) fn first_details(
    bits: &mut Bits<'_>,
    codes: &Codes,
    band: Band,
    quantizers: &[u16; 64],
    nonzero: &mut u64,
    rest_of_band: &mut u32,
) -> Option<u64> {
    if *rest_of_band > 0 {
        *rest_of_band -= 1;
        return Some(0);
    }
    let mut largest = 0;
    let mut place = u32::from(band.first);
    let last = u32::from(band.last);
    while place <= last {
        let symbol = bits.symbol(codes)?;
        let (zeros, length) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        match (zeros, length) {
            (15, 0) => place += 16,
            (_, 0) => {
                *rest_of_band = (1 << zeros) - 1 + bits.take(zeros)?;
                return Some(largest);
            }
            _ => {
                place += zeros;
                if place > last {
                    return None;
                }
                let value = u64::from(bits.signed(length)?.unsigned_abs()) << band.low;
                largest = largest.max(value * u64::from(*quantizers.get(place as usize)?));
                *nonzero |= 1 << place;
                place += 1;
            }
        }
    }
    Some(largest)
}

/// One more bit of a band (§G.1.2.3): of each coefficient that is not zero, and of those that become so.
pub(super) fn finer_details(
    bits: &mut Bits<'_>,
    codes: &Codes,
    band: Band,
    nonzero: &mut u64,
    rest_of_band: &mut u32,
) -> Option<()> {
    let (mut place, last) = (u32::from(band.first), u32::from(band.last));
    while *rest_of_band == 0 && place <= last {
        let symbol = bits.symbol(codes)?;
        let (mut zeros, length) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        match length {
            0 if zeros < 15 => {
                *rest_of_band = (1 << zeros) + bits.take(zeros)?;
                break;
            }
            0 => (),
            1 => bits.take(1).map(|_| ())?,
            _ => return None,
        }
        // Over so many coefficients that stay zero, each other one's bit on the way.
        loop {
            if place > last {
                // Sixteen zeros may reach to the end of the band; a new coefficient has its place in it.
                return (length == 0).then_some(());
            }
            if *nonzero >> place & 1 == 1 {
                bits.take(1)?;
            } else if zeros == 0 {
                break;
            } else {
                zeros -= 1;
            }
            place += 1;
        }
        *nonzero |= u64::from(length == 1) << place;
        place += 1;
    }
    if *rest_of_band > 0 {
        for place in place..=last {
            if *nonzero >> place & 1 == 1 {
                bits.take(1)?;
            }
        }
        *rest_of_band -= 1;
    }
    Some(())
}
