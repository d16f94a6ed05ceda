//! The advisory section: what someone last knew about the remaining views.
//!
//! It is outside every signature, anyone can rewrite it, and nothing may depend on it: the ledger
//! alone counts. Its room is reserved when the envelope is made, so that a rewrite does not change
//! the envelope's length.
//!
//! ```text
//!   ┌──────────┬────────────┬───────────┬─────────────┬──────────────┬─────────────────────┐
//!   │ used u16 │ as of u64  │ index u64 │ count u16   │ that many    │ zeros to the end of │
//!   │          │            │           │             │ entries      │ the room            │
//!   └──────────┴────────────┴───────────┴─────────────┴──────────────┴─────────────────────┘
//!              ╰──────────────── used bytes ─────────────────────────╯
//!   an entry: user's name (u8 + bytes), flags u8 (1: unlimited), remaining u32 (0 if unlimited)
//! ```
//!
//! `used` is zero while nothing is known.

use alloc::vec::Vec;

use super::error::EnvelopeError;
use super::name::UserName;
use super::policy::{Policy, Views, put_name, read_name};
use crate::identifiers::UnixSeconds;
use crate::wire::{Reader, Write};

const UNLIMITED: u8 = 1;
const FIXED_BYTES: usize = 2 + 8 + 8 + 2;
const ENTRY_BYTES_BESIDE_NAME: usize = 1 + 1 + 4;

/// The views that one user had left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemainingViews {
    /// Whose.
    pub user: UserName,
    /// How many: here a total is what is left of it.
    pub views: Views,
}

/// What was last known, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The ledger's time of this knowledge.
    pub as_of: UnixSeconds,
    /// The index of the cluster's log that it was read at.
    pub log_index: u64,
    /// The views left, in strictly rising order of names.
    pub remaining: Vec<RemainingViews>,
}

impl Status {
    /// The room that a status for every grant of `policy` takes.
    pub(super) fn room_for(policy: &Policy) -> u16 {
        let names = policy.grants().iter().map(|grant| grant.user.as_str().len());
        let bytes = names.map(|name| name + ENTRY_BYTES_BESIDE_NAME).sum::<usize>() + FIXED_BYTES;
        // A thousand grants of the longest names take 38 KB.
        u16::try_from(bytes).unwrap_or(u16::MAX)
    }

    /// The room's content.
    pub(super) fn to_room(status: Option<&Self>, room: usize) -> Result<Vec<u8>, EnvelopeError> {
        let mut content = Vec::new();
        if let Some(status) = status {
            status.check_order()?;
            let count = u16::try_from(status.remaining.len()).unwrap_or(u16::MAX);
            content
                .put_u64(status.as_of.0)
                .put_u64(status.log_index)
                .put_u16(count);
            for entry in &status.remaining {
                put_name(&mut content, &entry.user);
                match entry.views {
                    Views::Total(views) => content.put_u8(0).put_u32(views),
                    Views::Unlimited => content.put_u8(UNLIMITED).put_u32(0),
                };
            }
        }
        let needed = content.len() + 2;
        let too_long = EnvelopeError::StatusTooLong { needed, room };
        let used = u16::try_from(content.len()).map_err(|_| too_long.clone())?;
        if needed > room {
            return Err(too_long);
        }
        let mut bytes = Vec::with_capacity(room);
        bytes.put_u16(used).put(&content);
        bytes.resize(room, 0);
        Ok(bytes)
    }

    /// Reads a room.
    pub(super) fn from_room(room: &[u8]) -> Result<Option<Self>, EnvelopeError> {
        let mut reader = Reader::new(room);
        let used = usize::from(reader.u16("status length")?);
        let mut content = Reader::new(reader.take(used, "status")?);
        let padding = reader.take(reader.remaining(), "status padding")?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(EnvelopeError::ReservedNotZero {
                field: "the room behind the status",
            });
        }
        if used == 0 {
            return Ok(None);
        }
        let as_of = UnixSeconds(content.u64("status time")?);
        let log_index = content.u64("status log index")?;
        let count = content.u16("number of status entries")?;
        let mut remaining = Vec::new();
        for _ in 0..count {
            let user = read_name(&mut content, "status user's name").map_err(EnvelopeError::Policy)?;
            let views = match (content.u8("status flags")?, content.u32("remaining views")?) {
                (0, views) => Views::Total(views),
                (UNLIMITED, 0) => Views::Unlimited,
                _ => return Err(EnvelopeError::StatusNotCanonical),
            };
            remaining.push(RemainingViews { user, views });
        }
        if content.remaining() > 0 {
            return Err(EnvelopeError::TrailingBytes {
                count: content.remaining(),
            });
        }
        let status = Self {
            as_of,
            log_index,
            remaining,
        };
        status.check_order()?;
        Ok(Some(status))
    }

    fn check_order(&self) -> Result<(), EnvelopeError> {
        let rising = |pair: &[RemainingViews]| match pair {
            [left, right] => left.user < right.user,
            _ => true,
        };
        if self.remaining.windows(2).all(rising) {
            Ok(())
        } else {
            Err(EnvelopeError::StatusNotCanonical)
        }
    }
}
