//! Who may look, how often, and when.
//!
//! ```text
//!   ┌─────────┬──────────────┬────────────────────┬───────────┬───────────────┐
//!   │ version │ owner's name │ owner's public key │ count     │ that many     │
//!   │ u8 = 1  │ u8 + bytes   │ 32 bytes           │ u16       │ grants        │
//!   └─────────┴──────────────┴────────────────────┴───────────┴───────────────┘
//!   a grant:
//!   ┌──────────────┬─────────────────┬──────────────┬───────────────────┬────────────────┐
//!   │ user's name  │ flags u8        │ views u32    │ not before u64    │ expires u64    │
//!   │ u8 + bytes   │ 1 unlimited     │ 0 if         │ 0 if there is     │ 0 if there is  │
//!   │              │ 2 not before    │ unlimited    │ none              │ none           │
//!   │              │ 4 expires       │              │                   │                │
//!   └──────────────┴─────────────────┴──────────────┴───────────────────┴────────────────┘
//! ```
//!
//! Grants stand in the order of their names, which makes the encoding canonical and duplicates
//! visible.

use alloc::vec::Vec;
use core::fmt;
use core::str;

use sha2::{Digest, Sha256};

use super::name::{NameError, UserName};
use crate::identifiers::{PolicyHash, PublicKey, UnixSeconds};
use crate::wire::{Reader, Truncated, Write};

/// The version of the encoding.
pub const POLICY_VERSION: u8 = 1;
/// The most grants a policy may hold.
pub const MOST_GRANTS: usize = 1000;

const UNLIMITED: u8 = 1;
const HAS_NOT_BEFORE: u8 = 2;
const HAS_EXPIRES: u8 = 4;

/// Why a policy is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The bytes end inside it.
    #[error("the policy is cut off: {0}")]
    Truncated(#[from] Truncated),
    /// Another version of the encoding.
    #[error(
        "the policy has encoding {found}, this program reads {POLICY_VERSION}: it was made by a newer program"
    )]
    UnknownVersion {
        /// The version it names.
        found: u8,
    },
    /// A name that is none.
    #[error("the policy names a user that cannot exist: {0}")]
    Name(#[from] NameError),
    /// A name that is not even text.
    #[error("the policy holds a user name that is not text")]
    NameNotText,
    /// Too many grants.
    #[error("the policy has {found} grants, the limit is {MOST_GRANTS}")]
    TooManyGrants {
        /// How many.
        found: usize,
    },
    /// The same user twice.
    #[error("the policy grants views to the same user twice (grant {place}); add the views up in one grant")]
    DuplicateGrant {
        /// Which grant repeats, counted from 1 in the order of names.
        place: usize,
    },
    /// Grants that do not stand in the order of their names.
    #[error("the policy's grants are not in order at grant {place}")]
    Disorder {
        /// Which grant, counted from 1.
        place: usize,
    },
    /// A grant that ends before it starts.
    #[error("grant {place} expires at {expires}, before it starts at {not_before} (seconds since 1970)")]
    NeverValid {
        /// Which grant, counted from 1 in the order of names.
        place: usize,
        /// When it would start.
        not_before: UnixSeconds,
        /// When it would end.
        expires: UnixSeconds,
    },
    /// A value with a second spelling.
    #[error("grant {place} is not in its canonical form")]
    NotCanonical {
        /// Which grant, counted from 1.
        place: usize,
    },
    /// Bytes after the last grant.
    #[error("{count} bytes follow the policy's last grant")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
}

/// How many views a grant allows in total.
///
/// "Unlimited" is not a number, so that no arithmetic can reach it or fall from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Views {
    /// So many, counted over the object's whole life: an update neither refunds nor resets.
    Total(u32),
    /// As often as they like, each view still recorded.
    Unlimited,
}

impl fmt::Display for Views {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Total(views) => views.fmt(formatter),
            Self::Unlimited => formatter.write_str("unlimited"),
        }
    }
}

/// What one user may do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Grant {
    /// Whom it is for.
    pub user: UserName,
    /// How many views in total.
    pub views: Views,
    /// The first moment it is valid, if it has one.
    pub not_before: Option<UnixSeconds>,
    /// The first moment it is valid no more, if it has one.
    pub expires: Option<UnixSeconds>,
}

impl Grant {
    /// A grant without limits in time.
    #[must_use]
    pub const fn new(user: UserName, views: Views) -> Self {
        Self {
            user,
            views,
            not_before: None,
            expires: None,
        }
    }

    fn put(&self, bytes: &mut Vec<u8>) {
        let (unlimited, views) = match self.views {
            Views::Total(views) => (0, views),
            Views::Unlimited => (UNLIMITED, 0),
        };
        let not_before = self.not_before.map_or(0, |_| HAS_NOT_BEFORE);
        let expires = self.expires.map_or(0, |_| HAS_EXPIRES);
        put_name(bytes, &self.user);
        bytes
            .put_u8(unlimited | not_before | expires)
            .put_u32(views)
            .put_u64(self.not_before.map_or(0, |moment| moment.0))
            .put_u64(self.expires.map_or(0, |moment| moment.0));
    }

    fn read(reader: &mut Reader<'_>, place: usize) -> Result<Self, PolicyError> {
        let user = read_name(reader, "granted user's name")?;
        let flags = reader.u8("grant's flags")?;
        let views = reader.u32("grant's views")?;
        let (not_before, expires) = (reader.u64("grant's start")?, reader.u64("grant's expiry")?);
        let moment = |flag, seconds| (flags & flag != 0).then_some(UnixSeconds(seconds));
        let grant = Self {
            user,
            views: if flags & UNLIMITED == 0 {
                Views::Total(views)
            } else {
                Views::Unlimited
            },
            not_before: moment(HAS_NOT_BEFORE, not_before),
            expires: moment(HAS_EXPIRES, expires),
        };
        let absent_is_zero = (flags & UNLIMITED == 0 || views == 0)
            && (grant.not_before.is_some() || not_before == 0)
            && (grant.expires.is_some() || expires == 0);
        if flags > (UNLIMITED | HAS_NOT_BEFORE | HAS_EXPIRES) || !absent_is_zero {
            return Err(PolicyError::NotCanonical { place });
        }
        Ok(grant)
    }
}

/// Who owns an object and who may view it.
///
/// The grants stand in the order of their users' names, each user once: [`Policy::new`] sees to
/// that, and nothing else makes a policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Unchecked"))]
pub struct Policy {
    owner: UserName,
    owner_key: PublicKey,
    grants: Vec<Grant>,
}

/// A policy as it is read by `serde`, before [`Policy::new`] has looked at it.
#[cfg(feature = "serde")]
#[derive(serde::Deserialize)]
struct Unchecked {
    owner: UserName,
    owner_key: PublicKey,
    grants: Vec<Grant>,
}

#[cfg(feature = "serde")]
impl TryFrom<Unchecked> for Policy {
    type Error = PolicyError;

    fn try_from(unchecked: Unchecked) -> Result<Self, Self::Error> {
        Self::new(unchecked.owner, unchecked.owner_key, unchecked.grants)
    }
}

impl Policy {
    /// Makes a policy; the grants may come in any order.
    ///
    /// The owner is a user like any other: without a grant of their own they may change the policy
    /// and not view.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] if a user appears twice, a grant can never be valid, or there are too many.
    pub fn new(owner: UserName, owner_key: PublicKey, mut grants: Vec<Grant>) -> Result<Self, PolicyError> {
        grants.sort_by(|left, right| left.user.cmp(&right.user));
        let policy = Self {
            owner,
            owner_key,
            grants,
        };
        policy.check()?;
        Ok(policy)
    }

    fn check(&self) -> Result<(), PolicyError> {
        if self.grants.len() > MOST_GRANTS {
            return Err(PolicyError::TooManyGrants {
                found: self.grants.len(),
            });
        }
        let pairs = self.grants.iter().zip(self.grants.iter().skip(1));
        for (index, (left, right)) in pairs.enumerate() {
            if left.user == right.user {
                return Err(PolicyError::DuplicateGrant { place: index + 2 });
            }
            if left.user > right.user {
                return Err(PolicyError::Disorder { place: index + 2 });
            }
        }
        for (index, grant) in self.grants.iter().enumerate() {
            if let (Some(not_before), Some(expires)) = (grant.not_before, grant.expires)
                && expires <= not_before
            {
                return Err(PolicyError::NeverValid {
                    place: index + 1,
                    not_before,
                    expires,
                });
            }
        }
        Ok(())
    }

    /// Who may change the policy.
    #[must_use]
    pub const fn owner(&self) -> &UserName {
        &self.owner
    }

    /// The key that the owner signs with.
    #[must_use]
    pub const fn owner_key(&self) -> &PublicKey {
        &self.owner_key
    }

    /// Who may view, in the order of names.
    #[must_use]
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// The grant of one user.
    #[must_use]
    pub fn grant(&self, user: &UserName) -> Option<&Grant> {
        let place = self.grants.binary_search_by(|grant| grant.user.cmp(user)).ok()?;
        self.grants.get(place)
    }

    /// The canonical encoding.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.put_u8(POLICY_VERSION);
        put_name(&mut bytes, &self.owner);
        let count = u16::try_from(self.grants.len()).unwrap_or(u16::MAX);
        bytes.put(self.owner_key.as_bytes()).put_u16(count);
        for grant in &self.grants {
            grant.put(&mut bytes);
        }
        bytes
    }

    /// The SHA-256 of the canonical encoding.
    #[must_use]
    pub fn hash(&self) -> PolicyHash {
        PolicyHash::from_bytes(Sha256::digest(self.to_bytes()).into())
    }

    /// Reads the canonical encoding, and no other.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] for whatever [`Policy::to_bytes`] would not have written.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8("policy version")?;
        if version != POLICY_VERSION {
            return Err(PolicyError::UnknownVersion { found: version });
        }
        let owner = read_name(&mut reader, "owner's name")?;
        let owner_key = PublicKey::from_bytes(reader.array("owner's public key")?);
        let count = usize::from(reader.u16("number of grants")?);
        if count > MOST_GRANTS {
            return Err(PolicyError::TooManyGrants { found: count });
        }
        let mut grants = Vec::with_capacity(count);
        for place in 1..=count {
            grants.push(Grant::read(&mut reader, place)?);
        }
        if reader.remaining() > 0 {
            return Err(PolicyError::TrailingBytes {
                count: reader.remaining(),
            });
        }
        let policy = Self {
            owner,
            owner_key,
            grants,
        };
        policy.check()?;
        Ok(policy)
    }
}

pub(super) fn put_name(bytes: &mut Vec<u8>, name: &UserName) {
    bytes.put_u8(name.length_byte()).put(name.as_str().as_bytes());
}

pub(super) fn read_name(reader: &mut Reader<'_>, part: &'static str) -> Result<UserName, PolicyError> {
    let length = usize::from(reader.u8(part)?);
    let text = str::from_utf8(reader.take(length, part)?).map_err(|_| PolicyError::NameNotText)?;
    Ok(UserName::parse_stored(text)?)
}
