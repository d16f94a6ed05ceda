//! The envelope: a versioned, checked container for what a picture hides.
//!
//! ```text
//!   ┌──────────────────────────┬─────────────────┬─────────────────────┬──────────────────────┐
//!   │ manifest                 │ the sections'   │ receipt             │ advisory status      │
//!   │ header, table, signature │ contents, in    │ u16 length (0, 112) │ u16 room + that many │
//!   │                          │ table order     │ + that many bytes   │ bytes                │
//!   └──────────────────────────┴─────────────────┴─────────────────────┴──────────────────────┘
//!   ╰────── signed by the owner, contents by hash ──────╯ ╰─ signed by the cluster ╯ ╰ not signed ╯
//! ```
//!
//! Everything is big-endian and has exactly one encoding: what parses is byte for byte what would
//! be written. The layout is drawn byte by byte in `docs/envelope.md`, and frozen as version 1.

mod error;
mod kinds;
mod manifest;
mod name;
mod policy;
mod receipt;
mod status;

use alloc::vec::Vec;
use core::ops::Range;

use sha2::{Digest, Sha256};

pub use error::EnvelopeError;
pub use kinds::{MOST_SECTIONS, Mode, RECEIPT_BYTES, SectionKind, Suite};
pub use manifest::{
    ENTRY_BYTES, ENVELOPE_MAGIC, ENVELOPE_VERSION, HEADER_BYTES, Header, Manifest, SectionEntry,
};
pub use name::{LONGEST_NAME, NameError, SHORTEST_NAME, UserName};
pub use policy::{Grant, MOST_GRANTS, POLICY_VERSION, Policy, PolicyError, Views};
pub use receipt::Receipt;
pub use status::{RemainingViews, Status};

use crate::identifiers::Signature;
use crate::wire::{Reader, Write};

/// An envelope whose structure and hashes are in order.
///
/// Parsing checks everything but signatures; those are checked by `verify_signature` (feature
/// `seal`), and always before anything is decrypted.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    bytes: Vec<u8>,
    manifest: Manifest,
    policy: Policy,
    contents: Vec<(SectionKind, Range<usize>)>,
    /// Where the signed part and the contents end, and the receipt's length stands.
    tail: usize,
    receipt: Option<Receipt>,
    status_room: Vec<u8>,
    status: Option<Status>,
}

impl Envelope {
    /// Reads an envelope, and checks every length, hash and rule of the format on the way.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError`], for everything that [`Draft::finish`] and the `with_` methods would not
    /// have written.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, EnvelopeError> {
        let mut reader = Reader::new(&bytes);
        let manifest = Manifest::read(&mut reader)?;
        let mut contents = Vec::with_capacity(manifest.sections().len());
        let mut policy = None;
        for entry in manifest.sections() {
            let start = bytes.len() - reader.remaining();
            let length = usize::try_from(entry.length).unwrap_or(usize::MAX);
            let content = reader.take(length, "section's content")?;
            if <[u8; 32]>::from(Sha256::digest(content)) != entry.hash {
                return Err(EnvelopeError::SectionHash { kind: entry.kind });
            }
            if entry.kind == SectionKind::Policy {
                if entry.hash != *manifest.header().policy_hash.as_bytes() {
                    return Err(EnvelopeError::PolicyHash);
                }
                policy = Some(Policy::parse(content)?);
            }
            contents.push((entry.kind, start..start + length));
        }
        let tail = bytes.len() - reader.remaining();
        let receipt = match usize::from(reader.u16("receipt's length")?) {
            0 => None,
            RECEIPT_BYTES => Some(Receipt::read(&mut reader)?),
            length => return Err(EnvelopeError::ReceiptLength { length }),
        };
        let room = usize::from(reader.u16("status room")?);
        let status_room = Vec::from(reader.take(room, "status")?);
        if reader.remaining() > 0 {
            return Err(EnvelopeError::TrailingBytes {
                count: reader.remaining(),
            });
        }
        let status = Status::from_room(&status_room)?;
        let mode = manifest.header().mode;
        let policy = policy.ok_or(EnvelopeError::MissingSection {
            kind: SectionKind::Policy,
            mode,
        })?;
        Ok(Self {
            bytes,
            manifest,
            policy,
            contents,
            tail,
            receipt,
            status_room,
            status,
        })
    }

    /// The bytes, as they are hidden.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Gives up the envelope for its bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Header, section table and the owner's signature.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What the header says.
    #[must_use]
    pub const fn header(&self) -> &Header {
        self.manifest.header()
    }

    /// The policy at the time of protection: a snapshot, the ledger may know a newer one.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The content of a section.
    #[must_use]
    pub fn section(&self, kind: SectionKind) -> Option<&[u8]> {
        let (_, range) = self.contents.iter().find(|(candidate, _)| *candidate == kind)?;
        self.bytes.get(range.clone())
    }

    /// The exact bytes of the picture for those who may not look.
    #[must_use]
    pub fn denied_picture(&self) -> &[u8] {
        // Every mode requires this section, so parsing has found it.
        self.section(SectionKind::DeniedPicture).unwrap_or_default()
    }

    /// The cluster's receipt, if it gave one. Its signature is checked by `verify_receipt`.
    #[must_use]
    pub const fn receipt(&self) -> Option<&Receipt> {
        self.receipt.as_ref()
    }

    /// What was last known about the remaining views. **Nothing vouches for it.**
    #[must_use]
    pub const fn status(&self) -> Option<&Status> {
        self.status.as_ref()
    }

    /// The same envelope with the cluster's receipt.
    #[must_use]
    pub fn with_receipt(mut self, receipt: Receipt) -> Self {
        let (room, status) = (core::mem::take(&mut self.status_room), self.status.take());
        self.with_tail(Some(receipt), room, status)
    }

    /// The same envelope with another advisory status, in the room it has.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError::StatusTooLong`] if it names users that no room was reserved for;
    /// [`EnvelopeError::StatusNotCanonical`] if its users are not in order.
    pub fn with_status(self, status: Option<Status>) -> Result<Self, EnvelopeError> {
        let room = Status::to_room(status.as_ref(), self.status_room.len())?;
        let receipt = self.receipt;
        Ok(self.with_tail(receipt, room, status))
    }

    fn with_tail(mut self, receipt: Option<Receipt>, status_room: Vec<u8>, status: Option<Status>) -> Self {
        self.bytes.truncate(self.tail);
        put_tail(&mut self.bytes, receipt.as_ref(), &status_room);
        self.receipt = receipt;
        self.status_room = status_room;
        self.status = status;
        self
    }
}

impl core::fmt::Debug for Envelope {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // The contents would fill the screen, and one of them holds a share of the key.
        let mut shown = formatter.debug_struct("Envelope");
        shown
            .field("header", self.header())
            .field("bytes", &self.bytes.len());
        shown.finish_non_exhaustive()
    }
}

fn put_tail(bytes: &mut Vec<u8>, receipt: Option<&Receipt>, status_room: &[u8]) {
    match receipt {
        None => {
            bytes.put_u16(0);
        }
        Some(receipt) => {
            bytes.put_u16(u16::try_from(RECEIPT_BYTES).unwrap_or(u16::MAX));
            receipt.put(bytes);
        }
    }
    bytes
        .put_u16(u16::try_from(status_room.len()).unwrap_or(u16::MAX))
        .put(status_room);
}

/// An envelope that its owner has not signed yet.
#[derive(Clone)]
pub struct Draft {
    header: Header,
    entries: Vec<SectionEntry>,
    sections: Vec<(SectionKind, Vec<u8>)>,
    policy: Policy,
}

impl Draft {
    /// Puts an envelope together; the policy's section is added here, the others may come in any
    /// order.
    ///
    /// `header.policy_hash` must be the hash of `policy`.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError`] if the sections are not those that the mode needs, one appears twice or is
    /// empty, or the header names another policy.
    pub fn new(
        header: Header,
        policy: Policy,
        mut sections: Vec<(SectionKind, Vec<u8>)>,
    ) -> Result<Self, EnvelopeError> {
        sections.push((SectionKind::Policy, policy.to_bytes()));
        for (kind, _) in &mut sections {
            *kind = SectionKind::from_number(kind.number());
        }
        sections.sort_by_key(|(kind, _)| kind.number());
        let mut entries: Vec<SectionEntry> = Vec::with_capacity(sections.len());
        for (kind, content) in &sections {
            let entry = SectionEntry::of(*kind, content)?;
            if entry.length == 0 {
                return Err(EnvelopeError::EmptySection { kind: *kind });
            }
            if entries
                .last()
                .is_some_and(|last| last.kind.number() == kind.number())
            {
                return Err(EnvelopeError::DuplicateSection { kind: *kind });
            }
            if *kind == SectionKind::Policy && entry.hash != *header.policy_hash.as_bytes() {
                return Err(EnvelopeError::PolicyHash);
            }
            entries.push(entry);
        }
        if entries.len() > MOST_SECTIONS {
            return Err(EnvelopeError::TooManySections { found: entries.len() });
        }
        manifest::check_kinds(header.mode, &entries)?;
        Ok(Self {
            header,
            entries,
            sections,
            policy,
        })
    }

    /// Who may view. Its owner's key is the one that has to sign.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The message that the owner has to sign.
    #[must_use]
    pub fn signed_message(&self) -> Vec<u8> {
        manifest::signed_message(&self.header, &self.entries)
    }

    /// Closes the envelope with the owner's signature over [`Draft::signed_message`], and reserves
    /// room for the advisory status of every grant.
    #[must_use]
    pub fn finish(self, signature: Signature) -> Envelope {
        let room = usize::from(Status::room_for(&self.policy));
        let status_room = Vec::from_iter(core::iter::repeat_n(0, room));
        let manifest = Manifest::new(self.header, self.entries, signature);
        let mut bytes = manifest.to_bytes();
        bytes.reserve_exact(
            self.sections
                .iter()
                .map(|(_, content)| content.len())
                .sum::<usize>()
                + room
                + RECEIPT_BYTES
                + 4,
        );
        let mut contents = Vec::with_capacity(self.sections.len());
        for (kind, content) in self.sections {
            let start = bytes.len();
            bytes.put(&content);
            contents.push((kind, start..bytes.len()));
        }
        let tail = bytes.len();
        put_tail(&mut bytes, None, &status_room);
        let policy = self.policy;
        Envelope {
            bytes,
            manifest,
            policy,
            contents,
            tail,
            receipt: None,
            status_room,
            status: None,
        }
    }
}
