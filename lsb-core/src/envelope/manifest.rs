//! The part of an envelope that its owner signs: the header and the table of sections.
//!
//! ```text
//!    0         4         6      7       8            24           40         48              56
//!    ┌─────────┬─────────┬──────┬───────┬────────────┬────────────┬──────────┬───────────────┐
//!    │ "LSBE"  │ version │ mode │ suite │ object id  │ cluster id │ created  │ policy version│
//!    │         │  u16    │  u8  │  u8   │  16 bytes  │  16 bytes  │   u64    │      u64      │
//!    ├─────────┴─────────┴──────┴───────┴────┬───────┴──────┬─────┴──────────┴───────────────┘
//!    │ policy hash, 32 bytes                 │ sections u16 │ zero u16 │   header: 92 bytes
//!    └───────────────────────────────────────┴──────────────┴──────────┘
//!    one entry for each section, in strictly rising order of kind:
//!    ┌─────────┬─────────────────┬──────────────┬─────────────────────────┐
//!    │ kind u16│ flags u16       │ length u32   │ SHA-256 of its content  │   entry: 40 bytes
//!    │         │ bit 0: critical │              │                         │
//!    └─────────┴─────────────────┴──────────────┴─────────────────────────┘
//!    the owner's Ed25519 signature, 64 bytes, over
//!    "raft-lsb envelope v1 owner" ‖ 0x00 ‖ header ‖ table
//! ```
//!
//! Policy and content are covered through their hashes. So a server can check an owner's consent
//! from a few hundred bytes, without seeing the picture.

use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use super::error::EnvelopeError;
use super::kinds::{MOST_SECTIONS, Mode, SectionKind, Suite};
use crate::identifiers::{ClusterId, ObjectId, PolicyHash, PolicyVersion, Signature, UnixSeconds};
use crate::wire::{Reader, Write};

/// The first four bytes of an envelope.
pub const ENVELOPE_MAGIC: [u8; 4] = *b"LSBE";
/// The version of the envelope that this crate reads and writes.
pub const ENVELOPE_VERSION: u16 = 1;
/// The length of the header.
pub const HEADER_BYTES: usize = 92;
/// The first bytes of the header: everything but the number of sections. Encryption binds them.
pub(crate) const BOUND_HEADER_BYTES: usize = 88;
/// The length of an entry of the section table.
pub const ENTRY_BYTES: usize = 40;

const CRITICAL: u16 = 1;
/// What the owner's signature is for; no other signature of this project starts like this.
const OWNER_DOMAIN: &[u8] = b"raft-lsb envelope v1 owner\0";

/// What the header says beside the sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Header {
    /// How the picture shows itself.
    pub mode: Mode,
    /// The algorithms.
    pub suite: Suite,
    /// Which object this is.
    pub object: ObjectId,
    /// Whose ledger counts its views.
    pub cluster: ClusterId,
    /// When it was protected, by the owner's clock.
    pub created: UnixSeconds,
    /// The version of the embedded policy. The ledger may know a newer one: that is no tampering.
    pub policy_version: PolicyVersion,
    /// The hash of the embedded policy.
    pub policy_hash: PolicyHash,
}

impl Header {
    /// The bytes that encryption binds: the header without the number of sections.
    pub(crate) fn bound_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes
            .put(&ENVELOPE_MAGIC)
            .put_u16(ENVELOPE_VERSION)
            .put_u8(self.mode as u8)
            .put_u8(self.suite as u8)
            .put(self.object.as_bytes())
            .put(self.cluster.as_bytes())
            .put_u64(self.created.0)
            .put_u64(self.policy_version.0)
            .put(self.policy_hash.as_bytes());
        assert_eq!(bytes.len(), BOUND_HEADER_BYTES, "the fields above are 88 bytes");
        bytes
    }
}

/// One line of the section table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionEntry {
    /// What the section holds.
    pub kind: SectionKind,
    /// How long it is.
    pub length: u32,
    /// The SHA-256 of its content.
    pub hash: [u8; 32],
}

impl SectionEntry {
    pub(super) fn of(kind: SectionKind, content: &[u8]) -> Result<Self, EnvelopeError> {
        let too_long = EnvelopeError::SectionTooLong {
            kind,
            length: content.len() as u64,
        };
        let length = u32::try_from(content.len()).map_err(|_| too_long)?;
        Ok(Self {
            kind,
            length,
            hash: Sha256::digest(content).into(),
        })
    }

    fn put(&self, bytes: &mut Vec<u8>) {
        // Every section that version 1 knows is critical; others are so only in later programs.
        let flags = if matches!(self.kind, SectionKind::Other(_)) {
            0
        } else {
            CRITICAL
        };
        bytes
            .put_u16(self.kind.number())
            .put_u16(flags)
            .put_u32(self.length)
            .put(&self.hash);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, EnvelopeError> {
        let kind = SectionKind::from_number(reader.u16("section's kind")?);
        let flags = reader.u16("section's flags")?;
        let (length, hash) = (reader.u32("section's length")?, reader.array("section's hash")?);
        match (kind, flags) {
            (SectionKind::Other(number), CRITICAL) => {
                return Err(EnvelopeError::UnknownCriticalSection { number });
            }
            (SectionKind::Other(_), 0) => (),
            (SectionKind::Other(_), _) => return Err(EnvelopeError::SectionFlags { kind, flags }),
            (_, CRITICAL) => (),
            _ => return Err(EnvelopeError::SectionFlags { kind, flags }),
        }
        if length == 0 {
            return Err(EnvelopeError::EmptySection { kind });
        }
        Ok(Self { kind, length, hash })
    }
}

/// Header, section table and the owner's signature over both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    header: Header,
    entries: Vec<SectionEntry>,
    signature: Signature,
}

impl Manifest {
    pub(super) fn new(header: Header, entries: Vec<SectionEntry>, signature: Signature) -> Self {
        Self {
            header,
            entries,
            signature,
        }
    }

    /// What the header says.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The sections, in the order of their contents.
    #[must_use]
    pub fn sections(&self) -> &[SectionEntry] {
        &self.entries
    }

    /// The owner's signature.
    #[must_use]
    pub const fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The canonical encoding: the first bytes of the envelope.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = signed_part(&self.header, &self.entries);
        bytes.put(self.signature.as_bytes());
        bytes
    }

    /// The message that the owner's signature is over.
    #[must_use]
    pub fn signed_message(&self) -> Vec<u8> {
        signed_message(&self.header, &self.entries)
    }

    /// The SHA-256 of header, table and signature: what a receipt vouches for.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.to_bytes()).into()
    }

    /// Reads a manifest that stands alone.
    ///
    /// The signature is not checked here: `verify_owner` does that, with the feature `seal`.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError`] for whatever [`Manifest::to_bytes`] would not have written.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let mut reader = Reader::new(bytes);
        let manifest = Self::read(&mut reader)?;
        match reader.remaining() {
            0 => Ok(manifest),
            count => Err(EnvelopeError::TrailingBytes { count }),
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, EnvelopeError> {
        if reader.array::<4>("magic")? != ENVELOPE_MAGIC {
            return Err(EnvelopeError::NotAnEnvelope);
        }
        let version = reader.u16("version")?;
        if version != ENVELOPE_VERSION {
            return Err(EnvelopeError::UnknownVersion { found: version });
        }
        let mode = reader.u8("mode")?;
        let mode = Mode::from_byte(mode).ok_or(EnvelopeError::UnsupportedMode { mode })?;
        let suite = match reader.u8("suite")? {
            1 => Suite::One,
            suite => return Err(EnvelopeError::UnsupportedSuite { suite }),
        };
        let header = Header {
            mode,
            suite,
            object: ObjectId::from_bytes(reader.array("object id")?),
            cluster: ClusterId::from_bytes(reader.array("cluster id")?),
            created: UnixSeconds(reader.u64("time of creation")?),
            policy_version: PolicyVersion(reader.u64("policy version")?),
            policy_hash: PolicyHash::from_bytes(reader.array("policy hash")?),
        };
        let count = usize::from(reader.u16("number of sections")?);
        if reader.u16("reserved field")? != 0 {
            return Err(EnvelopeError::ReservedNotZero {
                field: "the header's last field",
            });
        }
        let entries = read_entries(reader, count)?;
        check_kinds(header.mode, &entries)?;
        Ok(Self {
            header,
            entries,
            signature: Signature::from_bytes(reader.array("owner's signature")?),
        })
    }
}

fn read_entries(reader: &mut Reader<'_>, count: usize) -> Result<Vec<SectionEntry>, EnvelopeError> {
    if count > MOST_SECTIONS {
        return Err(EnvelopeError::TooManySections { found: count });
    }
    let mut entries: Vec<SectionEntry> = Vec::with_capacity(count);
    for _ in 0..count {
        let entry = SectionEntry::read(reader)?;
        if let Some(last) = entries.last() {
            if last.kind == entry.kind {
                return Err(EnvelopeError::DuplicateSection { kind: entry.kind });
            }
            if last.kind.number() > entry.kind.number() {
                return Err(EnvelopeError::SectionDisorder { kind: entry.kind });
            }
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Each mode has exactly the sections it needs, apart from those of later programs.
pub(super) fn check_kinds(mode: Mode, entries: &[SectionEntry]) -> Result<(), EnvelopeError> {
    let required: &[SectionKind] = match mode {
        Mode::Sealed | Mode::Cover => &[
            SectionKind::Policy,
            SectionKind::DeniedPicture,
            SectionKind::Original,
            SectionKind::OriginalMetadata,
        ],
        Mode::Preview => &[
            SectionKind::Policy,
            SectionKind::DeniedPicture,
            SectionKind::Preview,
            SectionKind::Original,
            SectionKind::OriginalMetadata,
        ],
        Mode::Label => &[SectionKind::Policy, SectionKind::DeniedPicture],
    };
    for kind in required {
        if !entries.iter().any(|entry| entry.kind == *kind) {
            return Err(EnvelopeError::MissingSection { kind: *kind, mode });
        }
    }
    let known = entries
        .iter()
        .filter(|entry| !matches!(entry.kind, SectionKind::Other(_)));
    for entry in known {
        if !required.contains(&entry.kind) {
            return Err(EnvelopeError::UnexpectedSection {
                kind: entry.kind,
                mode,
            });
        }
    }
    Ok(())
}

fn signed_part(header: &Header, entries: &[SectionEntry]) -> Vec<u8> {
    let mut bytes = header.bound_bytes();
    bytes
        .put_u16(u16::try_from(entries.len()).unwrap_or(u16::MAX))
        .put_u16(0);
    for entry in entries {
        entry.put(&mut bytes);
    }
    bytes
}

pub(super) fn signed_message(header: &Header, entries: &[SectionEntry]) -> Vec<u8> {
    let mut message = Vec::from(OWNER_DOMAIN);
    message.put(&signed_part(header, entries));
    message
}
