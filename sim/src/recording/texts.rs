//! A compact list of short texts that differ in little but their numbers.

use std::collections::BTreeMap;

use serde::Serialize;

/// The placeholder of a number in a pattern.
const HOLE: char = '#';

/// Quotes the character after it.
const QUOTE: char = '\\';

/// The most digits of a number; more would not be exact in every reader of JSON.
const MAX_DIGITS: usize = 15;

/// A list of texts. `1 -> 2 t3 Heartbeat round 4` is kept as the pattern `# -> # t# Heartbeat round #`, once for all
/// heartbeats, and four numbers: a trace of a hundred thousand lines has a few hundred patterns.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Texts {
    patterns: Vec<String>,
    /// The pattern of each text.
    pattern: Vec<u32>,
    /// The numbers of all texts, one after the other.
    numbers: Vec<u64>,
    #[serde(skip)]
    known: BTreeMap<String, u32>,
}

impl Texts {
    /// Appends a text.
    pub fn push(&mut self, text: &str) {
        let mut pattern = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find(|c: char| c.is_ascii_digit() || c == HOLE || c == QUOTE) {
            let (before, after) = rest.split_at(start);
            pattern.push_str(before);
            let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
            let (run, later) = after.split_at(digits.max(1));
            match run.parse().ok().filter(|_| is_restorable(run)) {
                Some(number) => {
                    self.numbers.push(number);
                    pattern.push(HOLE);
                }
                // What cannot be a number is quoted, including placeholders in the text itself.
                None => run.chars().for_each(|c| pattern.extend([QUOTE, c])),
            }
            rest = later;
        }
        pattern.push_str(rest);
        let next = u32::try_from(self.patterns.len()).unwrap_or(u32::MAX);
        let number = *self.known.entry(pattern).or_insert_with_key(|pattern| {
            self.patterns.push(pattern.clone());
            next
        });
        self.pattern.push(number);
    }

    /// Iterates over all texts, in order.
    pub fn iter(&self) -> impl Iterator<Item = String> + '_ {
        let mut numbers = self.numbers.iter();
        self.pattern.iter().map(move |&number| {
            let pattern = self.patterns.get(number as usize).map_or("", String::as_str);
            let (mut text, mut is_quoted) = (String::new(), false);
            for c in pattern.chars() {
                match c {
                    HOLE if !is_quoted => {
                        text += &numbers.next().map(u64::to_string).unwrap_or_default();
                    }
                    QUOTE if !is_quoted => {
                        is_quoted = true;
                        continue;
                    }
                    _ => text.push(c),
                }
                is_quoted = false;
            }
            text
        })
    }
}

/// Whether a run of digits is written the way its number would be.
fn is_restorable(run: &str) -> bool {
    run.len() <= MAX_DIGITS && (run.len() == 1 || !run.starts_with('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back_as_it_was() {
        let texts = [
            "",
            "1 -> 2 t3 Heartbeat round 4, commit none",
            "2 -> 1 t3 Heartbeat round 5, commit none",
            r"007 and # and \#\ 12345678901234567890, 0",
            "a \"quoted\" Ω7",
        ];
        let mut kept = Texts::default();
        texts.iter().for_each(|text| kept.push(text));
        assert_eq!(kept.iter().collect::<Vec<_>>(), texts);
        assert_eq!(kept.patterns.len(), texts.len() - 1);
    }
}
