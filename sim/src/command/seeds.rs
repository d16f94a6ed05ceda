//! Ranges of seeds on the command line, and their parts.

use std::ops::Range;

/// One of `parts` equal parts of a range, counted from 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shard {
    part: u64,
    parts: u64,
}

impl Shard {
    pub(super) fn of(self, seeds: &Range<u64>) -> Range<u64> {
        let length = u128::from(seeds.end - seeds.start);
        let boundary = |part: u64| {
            let offset = length * u128::from(part) / u128::from(self.parts);
            seeds.start + u64::try_from(offset).unwrap_or(u64::MAX)
        };
        boundary(self.part - 1)..boundary(self.part)
    }
}

pub(super) fn shard(text: &str) -> Result<Shard, String> {
    let parsed = text
        .split_once('/')
        .and_then(|(part, parts)| Some((part.parse().ok()?, parts.parse().ok()?)));
    match parsed {
        Some((part, parts)) if (1..=parts).contains(&part) => Ok(Shard { part, parts }),
        _ => Err(format!(
            "\"{text}\" is not a shard; write K/N with K from 1 to N, as in 3/16"
        )),
    }
}

pub(super) fn seeds(text: &str) -> Result<Range<u64>, String> {
    let usage = || format!("\"{text}\" is not a range; write A..B, as in 0..1000");
    let (first, end) = text.split_once("..").ok_or_else(usage)?;
    let number = |text: &str| text.parse::<u128>().map_err(|_| usage());
    let (first, end) = (number(first)?, number(end)?);
    if first >= end {
        return Err(format!(
            "{text} holds no seeds; the first must be less than the end"
        ));
    }
    // TOML has no unsigned numbers, and every seed must be writable as a schedule.
    let as_seed = |number| {
        u64::try_from(number)
            .ok()
            .filter(|seed| i64::try_from(*seed).is_ok())
    };
    match (as_seed(first), as_seed(end)) {
        (Some(first), Some(end)) => Ok(first..end),
        _ => Err(format!(
            "{text} exceeds the largest seed; the largest end is {}",
            i64::MAX
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_is_rejected_is_told_why() {
        assert_eq!(seeds("3..9223372036854775807"), Ok(3..9_223_372_036_854_775_807));
        for text in ["0..9223372036854775808", "0..99999999999999999999999"] {
            let refused = seeds(text).expect_err("the end is too large");
            assert!(
                refused.contains("the largest end is 9223372036854775807"),
                "{refused}"
            );
        }
        assert!(seeds("5..4").is_err_and(|refused| refused.contains("no seeds")));
    }

    #[test]
    fn shards_cover_all_seeds_once() {
        for (seeds, parts) in [(0..1_000, 16), (5..8, 4), (0..i64::MAX as u64, 3)] {
            let shards = (1..=parts).map(|part| Shard { part, parts }.of(&seeds));
            let end = shards.fold(seeds.start, |next, shard| {
                assert_eq!(shard.start, next);
                shard.end
            });
            assert_eq!(end, seeds.end);
        }
        for text in ["0/4", "5/4", "1/0", "3", "a/b"] {
            assert!(shard(text).is_err(), "{text}");
        }
    }
}
