//! Runs of entries that are shared and never copied: the log, the messages that carry them, the write and the state
//! machine all hold the same memory.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::{Deref, Range};

use crate::types::Entry;

/// A run of entries, in order and without a gap, that is read like a slice. Clones and parts share the memory of the
/// whole run, which is freed with the last of them. A run has at most 4 billion entries, which would take 160
/// gigabytes.
#[derive(Clone, Default)]
pub struct Entries {
    shared: Arc<[Entry]>,
    /// The range of `shared` that this run covers. Numbers of 32 bits keep messages and actions within 128 bytes, which
    /// are moved without a call.
    begin: u32,
    end: u32,
}

impl Entries {
    fn of_all(shared: Arc<[Entry]>) -> Self {
        Self {
            begin: 0,
            end: u32::try_from(shared.len()).expect("entries are counted in 32 bits"),
            shared,
        }
    }

    fn places(&self) -> Range<usize> {
        self.begin as usize..self.end as usize
    }

    /// Returns the part at these places, as far as it exists.
    pub(crate) fn part(&self, places: Range<usize>) -> Self {
        let place = |place| {
            u32::try_from(place)
                .unwrap_or(u32::MAX)
                .saturating_add(self.begin)
        };
        let end = place(places.end).min(self.end);
        Self {
            shared: Arc::clone(&self.shared),
            begin: place(places.start).min(end),
            end,
        }
    }

    /// Returns what the entries count against every limit that is stated in bytes.
    pub(crate) fn cost_bytes(&self) -> usize {
        self.iter().map(Entry::cost_bytes).fold(0, usize::saturating_add)
    }
}

impl Deref for Entries {
    type Target = [Entry];

    fn deref(&self) -> &[Entry] {
        self.shared.get(self.places()).unwrap_or_default()
    }
}

impl From<Vec<Entry>> for Entries {
    fn from(entries: Vec<Entry>) -> Self {
        Self::of_all(entries.into())
    }
}

impl FromIterator<Entry> for Entries {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        Self::of_all(entries.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a Entries {
    type Item = &'a Entry;
    type IntoIter = core::slice::Iter<'a, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialEq for Entries {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Entries {}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Serializes a run like any list of entries.
#[cfg(feature = "serde")]
mod as_a_list {
    use alloc::vec::Vec;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Entries;

    impl Serialize for Entries {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            (**self).serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for Entries {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Vec::deserialize(deserializer).map(Self::from)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{EntryBody, Index, LogId, Payload, Term};

    fn entries(positions: Range<u64>) -> Entries {
        let entry = |at| Entry {
            id: LogId::new(Term::new(1), Index::new(at).expect("positions begin at 1")),
            body: EntryBody::Command(Payload::from(&b"four"[..])),
        };
        positions.map(entry).collect()
    }

    #[test]
    fn a_part_is_what_it_holds_and_shares_the_memory_of_the_whole() {
        let whole = entries(1..6);
        let part = whole.part(1..3);
        assert_eq!(part, entries(2..4));
        assert_ne!(part, entries(3..5));
        assert_ne!(part, entries(2..5));
        assert!(core::ptr::eq(&raw const part[0], &raw const whole[1]));
        assert_eq!(part.part(1..2), entries(3..4));
        assert_eq!(part.part(1..9), entries(3..4), "no more than there is");
        assert_eq!(part.part(5..9), Entries::default());
        assert_eq!(whole.cost_bytes(), 5 * (32 + 4));
    }
}
