//! The fixed-size values that name objects, clusters, keys and requests.
//!
//! They are plain bytes with a hexadecimal spelling. A human-readable serialisation writes that
//! spelling, a binary one writes exactly the bytes, without a length.

use core::fmt;
use core::str::FromStr;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use sha2::{Digest, Sha256};

/// The text is not the hexadecimal spelling of a value of the expected length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} hexadecimal digits, found {found} characters or one that is no such digit")]
pub struct HexError {
    /// How many digits the value has.
    pub expected: usize,
    /// How many bytes the text had.
    pub found: usize,
}

pub(crate) fn write_hex(formatter: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    write!(formatter, "{}", HEXLOWER.encode_display(bytes))
}

/// Decodes lower- or upper-case digits into `output`, which they must fill exactly.
pub(crate) fn read_hex(text: &str, output: &mut [u8]) -> Result<(), HexError> {
    let error = HexError {
        expected: output.len() * 2,
        found: text.len(),
    };
    // The codec panics if the output has another length.
    if error.found != error.expected {
        return Err(error);
    }
    let decoded = HEXLOWER_PERMISSIVE.decode_mut(text.as_bytes(), output);
    decoded.map(|_| ()).map_err(|_| error)
}

/// Defines a newtype over an array of bytes with its hexadecimal spelling and its serialisation.
macro_rules! byte_newtype {
    ($(#[$documentation:meta])* $name:ident, $length:expr) => {
        $(#[$documentation])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $length]);

        impl $name {
            /// How many bytes a value has.
            pub const LENGTH: usize = $length;

            /// Wraps the bytes; every value is valid.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }

            /// The bytes, as they stand in files and messages.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                $crate::identifiers::write_hex(formatter, &self.0)
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(formatter, concat!(stringify!($name), "({})"), self)
            }
        }

        impl core::str::FromStr for $name {
            type Err = $crate::identifiers::HexError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = [0; $length];
                $crate::identifiers::read_hex(text, &mut bytes)?;
                Ok(Self(bytes))
            }
        }

        #[cfg(feature = "serde")]
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::identifiers::serialisation::serialize(&self.0, serializer)
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::identifiers::serialisation::deserialize(deserializer).map(Self)
            }
        }
    };
}
#[cfg(feature = "seal")]
pub(crate) use byte_newtype;

byte_newtype!(
    /// Names one protected picture: 16 random bytes chosen when it is sealed.
    ObjectId,
    16
);
byte_newtype!(
    /// Names the cluster whose ledger counts the views of an object.
    ClusterId,
    16
);
byte_newtype!(
    /// Names one request for a view, chosen by the viewer, so that a retry is recognised as one.
    RequestId,
    16
);
byte_newtype!(
    /// The SHA-256 of a policy's canonical encoding.
    PolicyHash,
    32
);
byte_newtype!(
    /// An Ed25519 public key. Whether it is a point of the curve shows when it verifies.
    PublicKey,
    32
);
byte_newtype!(
    /// An Ed25519 signature.
    Signature,
    64
);

impl PublicKey {
    /// The short form that people compare.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let digest: [u8; 32] = Sha256::digest(self.0).into();
        let mut short = [0; Fingerprint::LENGTH];
        for (target, byte) in short.iter_mut().zip(digest) {
            *target = byte;
        }
        Fingerprint(short)
    }
}

/// The first 80 bits of a key's SHA-256, shown as five groups of four hexadecimal digits.
///
/// It is long enough to compare by eye and too short to serve as the key itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; Fingerprint::LENGTH]);

impl Fingerprint {
    /// How many bytes of the hash are kept.
    pub const LENGTH: usize = 10;
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, pair) in self.0.as_chunks::<2>().0.iter().enumerate() {
            if index > 0 {
                formatter.write_str("-")?;
            }
            write_hex(formatter, pair)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Fingerprint({self})")
    }
}

/// A moment in whole seconds since the start of 1970, UTC, leap seconds not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct UnixSeconds(pub u64);

/// How often an object's policy has been replaced; the policy made at protect time is version 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PolicyVersion(pub u64);

impl PolicyVersion {
    /// The version of the policy that an object is protected with.
    pub const FIRST: Self = Self(1);
}

impl fmt::Display for UnixSeconds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for PolicyVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for UnixSeconds {
    type Err = core::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

#[cfg(feature = "serde")]
pub(crate) mod serialisation {
    //! Arrays of any length: serde itself stops at 32 elements.

    use alloc::string::ToString;
    use core::fmt;

    use serde::de::{Error, SeqAccess, Visitor};
    use serde::ser::SerializeTuple;
    use serde::{Deserializer, Serializer};

    struct Hex<'a>(&'a [u8]);

    impl fmt::Display for Hex<'_> {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            super::write_hex(formatter, self.0)
        }
    }

    pub(crate) fn serialize<const N: usize, S: Serializer>(
        bytes: &[u8; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(&Hex(bytes));
        }
        let mut tuple = serializer.serialize_tuple(N)?;
        for byte in bytes {
            tuple.serialize_element(byte)?;
        }
        tuple.end()
    }

    struct ArrayVisitor<const N: usize>;

    impl<'de, const N: usize> Visitor<'de> for ArrayVisitor<N> {
        type Value = [u8; N];

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(formatter, "{N} bytes, or their hexadecimal spelling")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            let mut bytes = [0; N];
            super::read_hex(text, &mut bytes).map_err(|error| E::custom(error.to_string()))?;
            Ok(bytes)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
            let mut bytes = [0; N];
            for (index, target) in bytes.iter_mut().enumerate() {
                *target = sequence
                    .next_element()?
                    .ok_or_else(|| A::Error::invalid_length(index, &self))?;
            }
            Ok(bytes)
        }
    }

    pub(crate) fn deserialize<'de, const N: usize, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(ArrayVisitor)
        } else {
            deserializer.deserialize_tuple(N, ArrayVisitor)
        }
    }
}
