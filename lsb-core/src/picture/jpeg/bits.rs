//! The bits of an interval of entropy-coded data, and the codes in them (ITU-T T.81, annexes C and F.2.2).

use alloc::boxed::Box;
use alloc::vec::Vec;

/// Codes of so many bits are found by one look.
const QUICK_BITS: u32 = 9;

/// A table of codes (annex C).
pub(super) struct Codes {
    /// For every pattern of [`QUICK_BITS`]: the length of the code that it begins with, and its symbol; length 0 for
    /// longer codes.
    quick: Box<[(u8, u8); 1 << QUICK_BITS]>,
    /// For every length: one more than the last code of it, and what leads from a code to its symbol.
    longer: [(i32, i32); 17],
    symbols: Vec<u8>,
}

impl Codes {
    /// Builds the codes from their numbers by length, and their symbols; none if they do not fit.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut quick = Box::new([(0, 0); 1 << QUICK_BITS]);
        let mut longer = [(0, 0); 17];
        let (mut code, mut place) = (0usize, 0usize);
        for (length, count) in (1u8..).zip(counts) {
            let first = code;
            for _ in 0..*count {
                let symbol = *symbols.get(place)?;
                if code >= 1 << length {
                    return None;
                }
                if u32::from(length) <= QUICK_BITS {
                    let free = QUICK_BITS - u32::from(length);
                    quick
                        .get_mut(code << free..(code + 1) << free)?
                        .fill((length, symbol));
                }
                code += 1;
                place += 1;
            }
            let offset = i32::try_from(place).ok()? - i32::try_from(code).ok()?;
            let limit = if code > first {
                i32::try_from(code).ok()?
            } else {
                0
            };
            *longer.get_mut(usize::from(length))? = (limit, offset);
            code <<= 1;
        }
        Some(Self {
            quick,
            longer,
            symbols: symbols.get(..place)?.to_vec(),
        })
    }
}

/// The bits of one interval: up to a restart marker, or to the end of the scan.
pub(super) struct Bits<'a> {
    data: &'a [u8],
    /// The next bits, from the highest on.
    word: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub(super) const fn new(data: &'a [u8]) -> Self {
        Self {
            data,
            word: 0,
            count: 0,
        }
    }

    fn fill(&mut self) {
        while self.count <= 56 {
            let (byte, rest) = match self.data {
                // A zero byte follows every FF that is data.
                [0xff, 0x00, rest @ ..] => (0xff, rest),
                [byte, rest @ ..] => (*byte, rest),
                [] => return,
            };
            self.data = rest;
            self.word |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    fn drop(&mut self, bits: u32) -> Option<()> {
        self.count = self.count.checked_sub(bits)?;
        self.word <<= bits;
        Some(())
    }

    /// So many bits, at most 16, as a number; none if they are not there.
    pub(super) fn take(&mut self, bits: u32) -> Option<u32> {
        if bits == 0 {
            return Some(0);
        }
        if self.count < bits {
            self.fill();
        }
        let value = u32::try_from(self.word >> (64 - bits)).ok()?;
        self.drop(bits)?;
        Some(value)
    }

    /// The next symbol; none if there is none, or the bits are none of the codes.
    pub(super) fn symbol(&mut self, codes: &Codes) -> Option<u8> {
        if self.count < 16 {
            self.fill();
        }
        let place = usize::try_from(self.word >> (64 - QUICK_BITS)).ok()?;
        let (length, symbol) = *codes.quick.get(place)?;
        if length > 0 {
            self.drop(u32::from(length))?;
            return Some(symbol);
        }
        for length in QUICK_BITS + 1..=16 {
            let code = i32::try_from(self.word >> (64 - length)).ok()?;
            let (limit, offset) = *codes.longer.get(length as usize)?;
            if code < limit {
                self.drop(length)?;
                return codes.symbols.get(usize::try_from(code + offset).ok()?).copied();
            }
        }
        None
    }

    /// A signed number of so many bits (§F.2.2.1, EXTEND).
    pub(super) fn signed(&mut self, bits: u32) -> Option<i32> {
        let value = i32::try_from(self.take(bits)?).ok()?;
        Some(if bits > 0 && value < 1 << (bits - 1) {
            value - (1 << bits) + 1
        } else {
            value
        })
    }

    /// Whether nothing but padding is left: up to seven bits of any value, and behind the last interval whole bytes that
    /// are all zero or all ones, as some cameras write them.
    pub(super) fn is_spent(&self, is_last: bool) -> bool {
        if !is_last {
            return self.count < 8 && self.data.is_empty();
        }
        let word = if self.count == 0 {
            0
        } else {
            self.word >> (64 - self.count)
        };
        let whole = self.count / 8;
        let left = word & (1u64.checked_shl(whole * 8).unwrap_or(0)).wrapping_sub(1);
        let ones = (1u64.checked_shl(whole * 8).unwrap_or(0)).wrapping_sub(1);
        let zeros = left == 0 && self.data.iter().all(|byte| *byte == 0);
        // The zero behind each FF is no data.
        let filled = left == ones
            && self
                .data
                .iter()
                .enumerate()
                .all(|(place, byte)| *byte == 0xff || (*byte == 0 && place > 0));
        zeros || filled
    }
}
