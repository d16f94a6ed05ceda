//! Simulated time: whole nanoseconds, written as `"2ms"` or `"1.5s"` in schedules.

use std::fmt;
use std::ops::{Add, AddAssign};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in simulated time since the start of a run, or a duration, in whole nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Nanos(u64);

/// The units, largest first, so that formatting picks the largest that divides exactly.
const UNITS: [(&str, u64); 4] = [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1)];

/// The longest time that a schedule may contain: longer than any run, and so far from the end of the range that sums of
/// a few never overflow.
const LONGEST: u64 = u64::MAX / 1024;

impl Nanos {
    /// No time at all; the start of a run.
    pub const ZERO: Self = Self(0);
    /// Later than everything.
    pub const NEVER: Self = Self(u64::MAX);

    /// Makes a time of so many nanoseconds.
    pub const fn new(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Makes a time of so many microseconds.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros.saturating_mul(1_000))
    }

    /// Makes a time of so many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Makes a time of so many seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// Returns the number of nanoseconds.
    pub const fn value(self) -> u64 {
        self.0
    }

    /// Returns the time from `earlier` to `self`, or zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }

    /// Returns this time multiplied by `factor`.
    #[must_use]
    pub const fn times(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }
}

impl Add for Nanos {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Nanos {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, size) = UNITS
            .into_iter()
            .find(|&(_, size)| self.0.is_multiple_of(size))
            .unwrap_or(("ns", 1));
        if size > 1 || self.0 < 1_000 {
            return write!(f, "{}{unit}", self.0 / size);
        }
        // Nine digits of nanoseconds are hard to read; a decimal point makes them readable, and is as exact.
        let fraction = format!("{:06}", self.0 % 1_000_000);
        write!(f, "{}.{}ms", self.0 / 1_000_000, fraction.trim_end_matches('0'))
    }
}

impl fmt::Debug for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a valid [`Nanos`]. The author of the schedule is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NanosError {
    /// The unit is missing or unknown.
    #[error("\"{0}\" needs a unit: write s, ms, us or ns, as in \"1.5s\" or \"20ms\"")]
    Unit(String),
    /// The part before the unit is not a decimal number.
    #[error("\"{0}\" does not begin with a decimal number, as \"1.5s\" does")]
    Number(String),
    /// It is finer than a nanosecond.
    #[error("\"{0}\" is finer than a nanosecond")]
    Precision(String),
    /// It is longer than any run.
    #[error("\"{0}\" is longer than the longest time that can be simulated ({longest} s)", longest = LONGEST / 1_000_000_000)]
    TooLong(String),
}

impl FromStr for Nanos {
    type Err = NanosError;

    /// Reads a decimal number and a unit, with integers throughout: no rounding, no floats.
    fn from_str(text: &str) -> Result<Self, NanosError> {
        let digits_end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits_end);
        let Some((_, size)) = UNITS.into_iter().find(|&(name, _)| name == unit) else {
            return Err(NanosError::Unit(text.to_owned()));
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let bad_number = || NanosError::Number(text.to_owned());
        let whole: u64 = whole.parse().map_err(|_| bad_number())?;
        let digits: u64 = fraction.parse().map_err(|_| bad_number())?;
        let scale = u32::try_from(fraction.len())
            .ok()
            .and_then(|len| 10_u64.checked_pow(len));
        let scale = scale.ok_or_else(|| NanosError::Precision(text.to_owned()))?;
        let fine = u128::from(digits) * u128::from(size);
        if !fine.is_multiple_of(u128::from(scale)) {
            return Err(NanosError::Precision(text.to_owned()));
        }
        let total = u128::from(whole) * u128::from(size) + fine / u128::from(scale);
        match u64::try_from(total) {
            Ok(total) if total <= LONGEST => Ok(Self(total)),
            _ => Err(NanosError::TooLong(text.to_owned())),
        }
    }
}

impl Serialize for Nanos {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Nanos {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for (text, nanos) in [
            ("0s", 0),
            ("2ms", 2_000_000),
            ("1.5s", 1_500_000_000),
            ("0.25us", 250),
            ("17ns", 17),
            ("1.000000001s", 1_000_000_001),
        ] {
            let parsed: Nanos = text.parse().unwrap();
            assert_eq!(parsed, Nanos::new(nanos), "{text}");
            assert_eq!(parsed.to_string().parse::<Nanos>().unwrap(), parsed, "{text}");
        }
    }

    #[test]
    fn writes_what_a_person_can_read() {
        for (nanos, text) in [
            (0, "0s"),
            (17, "17ns"),
            (1_500_000, "1500us"),
            (38_565_022, "38.565022ms"),
            (1_001, "0.001001ms"),
        ] {
            assert_eq!(Nanos::new(nanos).to_string(), text);
            assert_eq!(text.parse::<Nanos>().unwrap(), Nanos::new(nanos));
        }
    }

    #[test]
    fn refuses_what_is_not_a_time() {
        for text in [
            "",
            "5",
            "ms",
            "5 ms",
            "-1s",
            "1.2.3s",
            "1e3s",
            "0.5ns",
            "99999999999999999999s",
            "1m",
            "1.s",
        ] {
            assert!(text.parse::<Nanos>().is_err(), "{text}");
        }
    }
}
