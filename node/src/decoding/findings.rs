//! The metadata of a picture file, as it travels from a child.

use std::fmt;

use lsb_core::metadata::Item;
use serde::{Deserialize, Serialize};

/// The most items of a list: a file can have a million of them, and a reply is bounded.
const MOST_FINDINGS: usize = 500;

/// One piece of metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is about, such as `location` or `thumbnail`.
    pub kind: String,
    /// Where the file keeps it: a chunk, a segment, a tag.
    pub place: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// What it says, where that is a short text.
    pub text: Option<String>,
    /// Whether a viewer needs it to show the picture right.
    pub needed: bool,
}

impl From<&Item> for Finding {
    fn from(item: &Item) -> Self {
        Self {
            kind: item.kind.to_string(),
            place: item.place.clone(),
            bytes: item.bytes,
            text: item.text.clone(),
            needed: item.kind.is_needed(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({}, {} bytes)", self.kind, self.place, self.bytes)?;
        match &self.text {
            Some(text) => write!(formatter, ": {text}"),
            None => Ok(()),
        }
    }
}

/// Returns the first [`MOST_FINDINGS`] items of a list, and one item for the rest.
pub(super) fn findings(items: &[Item]) -> Vec<Finding> {
    let (listed, others) = items.split_at(items.len().min(MOST_FINDINGS));
    let mut findings: Vec<Finding> = listed.iter().map(Finding::from).collect();
    for needed in [false, true] {
        let others = others.iter().filter(|item| item.kind.is_needed() == needed);
        let (count, bytes) = others.fold((0u64, 0u64), |(count, bytes), item| {
            (count + 1, bytes.saturating_add(item.bytes))
        });
        if count > 0 {
            findings.push(Finding {
                kind: "more".to_owned(),
                place: format!("{count} parts"),
                bytes,
                text: None,
                needed,
            });
        }
    }
    findings
}
