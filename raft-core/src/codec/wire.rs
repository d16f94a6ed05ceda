//! How single values are laid out, and the way from and to a version's types. Only this file knows the library that
//! encodes: bincode, with big-endian integers of fixed size.
//!
//! | value | bytes |
//! |---|---|
//! | number | 4 or 8, big-endian |
//! | truth value | 1: 0 or 1 |
//! | optional value | 1: 0 or 1; the value after a 1 |
//! | list | the count in 8; each element |
//! | payload | the length in 8; the bytes |
//! | struct | its fields in their order |
//! | enum | the number of the variant in 4; its fields in their order |
//!
//! Positions say what bytes mean, so no version's type can grow a field, lose one or move one once it is released.

use alloc::vec::Vec;
use core::borrow::Borrow;

use bincode::config::{BigEndian, Configuration, Fixint, NoLimit};
use bincode::de::read::Reader;
use bincode::de::{Decode, Decoder, DecoderImpl};
use bincode::enc::write::Writer;
use bincode::enc::{Encode, Encoder, EncoderImpl};
use bincode::error::EncodeError;

use super::{DecodeError, DecodeLimits};
use crate::clock::WallTime;
use crate::identity::{Boot, ClusterId, Incarnation};
use crate::level::Level;
use crate::types::{GroupId, Index, LogId, NodeId, Payload, PeerSession, Round, Term};

type Encoding = Configuration<BigEndian, Fixint, NoLimit>;

const ENCODING: Encoding = bincode::config::standard()
    .with_big_endian()
    .with_fixed_int_encoding();

/// Where bytes come from. The context is the largest number of elements of a list.
pub(super) type Source<'a> = DecoderImpl<Bytes<'a>, Encoding, usize>;

/// The bytes that are not decoded yet.
pub(super) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn split(&mut self, length: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(front)
    }
}

impl Reader for Bytes<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<(), bincode::error::DecodeError> {
        let missing = bytes.len().saturating_sub(self.0.len());
        let front = self.split(bytes.len());
        bytes.copy_from_slice(
            front.ok_or(bincode::error::DecodeError::UnexpectedEnd { additional: missing })?,
        );
        Ok(())
    }
}

/// Where bytes go to.
pub(super) type Sink<'a> = EncoderImpl<Appended<'a>, Encoding>;

pub(super) struct Appended<'a>(&'a mut Vec<u8>);

impl Writer for Appended<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// A value that has a layout.
pub(super) trait Wire: Sized {
    /// The fewest bytes that a value takes: so many must follow for each element that a list announces.
    const LEAST_BYTES: usize;

    fn put(&self, sink: &mut Sink<'_>) -> Result<(), EncodeError>;

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError>;
}

/// Appends the value's bytes.
pub(super) fn append(value: &impl Wire, bytes: &mut Vec<u8>) {
    value
        .put(&mut EncoderImpl::new(Appended(bytes), ENCODING))
        .expect("a vector accepts every byte");
}

/// Decodes a value that takes exactly these bytes.
pub(super) fn whole<T: Wire>(bytes: &[u8], limits: DecodeLimits) -> Result<T, DecodeError> {
    let mut source = DecoderImpl::new(Bytes(bytes), ENCODING, limits.items);
    let value = T::take(&mut source)?;
    match source.reader().0.len() {
        0 => Ok(value),
        surplus => Err(DecodeError::Trailing { surplus }),
    }
}

/// Reads the count of a list. It is believed only as far as elements can follow, so that it may reserve memory.
fn take_count<T: Wire>(source: &mut Source<'_>) -> Result<usize, DecodeError> {
    let announced = u64::take(source)?;
    let limit = *source.context();
    let too_many = DecodeError::TooMany {
        count: announced,
        limit,
    };
    let count = usize::try_from(announced).ok().filter(|&count| count <= limit);
    let count = count.ok_or(too_many)?;
    let fits = count
        .checked_mul(T::LEAST_BYTES)
        .is_some_and(|least| least <= source.reader().0.len());
    fits.then_some(count).ok_or(DecodeError::Incomplete)
}

/// Writes a list element by element, without a copy of the whole.
pub(super) fn put_each<T: Wire>(
    elements: impl ExactSizeIterator<Item = impl Borrow<T>>,
    sink: &mut Sink<'_>,
) -> Result<(), EncodeError> {
    (elements.len() as u64).put(sink)?;
    elements
        .into_iter()
        .try_for_each(|element| element.borrow().put(sink))
}

/// Reads a list that [`put_each`] wrote, and makes of each element what it stands for.
pub(super) fn take_each<T: Wire, V: From<T>>(source: &mut Source<'_>) -> Result<Vec<V>, DecodeError> {
    let count = take_count::<T>(source)?;
    let mut list = Vec::with_capacity(count);
    for _ in 0..count {
        list.push(T::take(source)?.into());
    }
    Ok(list)
}

/// Integers, as bincode lays them out. The end of the bytes is all that can be wrong with one.
macro_rules! integer {
    ($($integer:ident)*) => {$(
        impl Wire for $integer {
            const LEAST_BYTES: usize = size_of::<Self>();

            fn put(&self, sink: &mut Sink<'_>) -> Result<(), EncodeError> {
                self.encode(sink)
            }

            fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
                Self::decode(source).map_err(|_| DecodeError::Incomplete)
            }
        }
    )*};
}
integer!(u8 u32 u64);

macro_rules! number {
    ($($number:ident)*) => {$(
        impl Wire for $number {
            const LEAST_BYTES: usize = u64::LEAST_BYTES;

            fn put(&self, sink: &mut Sink<'_>) -> Result<(), EncodeError> {
                self.value().put(sink)
            }

            fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
                u64::take(source).map(Self::new)
            }
        }
    )*};
}
number!(GroupId NodeId Round Term WallTime);

impl Wire for PeerSession {
    const LEAST_BYTES: usize = u32::LEAST_BYTES;

    fn put(&self, sink: &mut Sink<'_>) -> Result<(), EncodeError> {
        self.value().put(sink)
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        u32::take(source).map(Self::new)
    }
}

impl Wire for Incarnation {
    const LEAST_BYTES: usize = u64::LEAST_BYTES;

    fn put(&self, sink: &mut Sink<'_>) -> Result<(), EncodeError> {
        self.value().put(sink)
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        match u64::take(source)? {
            0 => Err(DecodeError::Invalid {
                what: "a data folder numbered 0",
            }),
            drawn => Ok(Self::new(drawn)),
        }
    }
}

impl Wire for Index {
    const LEAST_BYTES: usize = u64::LEAST_BYTES;

    fn put(&self, sink: &mut Sink<'_>) -> Result<(), EncodeError> {
        self.value().put(sink)
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        Self::new(u64::take(source)?).ok_or(DecodeError::Invalid {
            what: "an index of 0",
        })
    }
}

impl Wire for LogId {
    const LEAST_BYTES: usize = Term::LEAST_BYTES + Index::LEAST_BYTES;

    fn put(&self, sink: &mut Sink<'_>) -> Result<(), EncodeError> {
        self.term.put(sink)?;
        self.index.put(sink)
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        Ok(Self::new(Term::take(source)?, Index::take(source)?))
    }
}

impl Wire for Boot {
    const LEAST_BYTES: usize = 2 * u32::LEAST_BYTES;

    fn put(&self, sink: &mut Sink<'_>) -> Result<(), EncodeError> {
        self.counter.put(sink)?;
        self.nonce.put(sink)
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        Ok(Self::new(u32::take(source)?, u32::take(source)?))
    }
}

impl Wire for ClusterId {
    const LEAST_BYTES: usize = 2 * u32::LEAST_BYTES;

    fn put(&self, sink: &mut Sink<'_>) -> Result<(), EncodeError> {
        self.founding.put(sink)?;
        self.nonce.put(sink)
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            founding: u32::take(source)?,
            nonce: u32::take(source)?,
        })
    }
}

impl Wire for Level {
    const LEAST_BYTES: usize = u32::LEAST_BYTES;

    fn put(&self, sink: &mut Sink<'_>) -> Result<(), EncodeError> {
        self.value().put(sink)
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        u32::take(source).map(Self::new)
    }
}

impl Wire for bool {
    const LEAST_BYTES: usize = u8::LEAST_BYTES;

    fn put(&self, sink: &mut Sink<'_>) -> Result<(), EncodeError> {
        u8::from(*self).put(sink)
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        match u8::take(source)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Invalid {
                what: "a truth value that is neither 0 nor 1",
            }),
        }
    }
}

impl<T: Wire> Wire for Option<T> {
    const LEAST_BYTES: usize = bool::LEAST_BYTES;

    fn put(&self, sink: &mut Sink<'_>) -> Result<(), EncodeError> {
        self.is_some().put(sink)?;
        self.iter().try_for_each(|value| value.put(sink))
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        Ok(if bool::take(source)? {
            Some(T::take(source)?)
        } else {
            None
        })
    }
}

impl<T: Wire> Wire for Vec<T> {
    const LEAST_BYTES: usize = u64::LEAST_BYTES;

    fn put(&self, sink: &mut Sink<'_>) -> Result<(), EncodeError> {
        put_each::<T>(self.iter(), sink)
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        take_each::<T, T>(source)
    }
}

impl Wire for Payload {
    const LEAST_BYTES: usize = u64::LEAST_BYTES;

    fn put(&self, sink: &mut Sink<'_>) -> Result<(), EncodeError> {
        (self.len() as u64).put(sink)?;
        sink.writer().write(self)
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        let length = usize::try_from(u64::take(source)?).map_err(|_| DecodeError::Incomplete)?;
        let bytes = source.reader().split(length);
        bytes.map(Self::from).ok_or(DecodeError::Incomplete)
    }
}

/// Declares a struct of a version: its fields stand in the order of their bytes.
macro_rules! wire_struct {
    ($name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        pub(in crate::codec) struct $name {
            $(pub(in crate::codec) $field: $type),*
        }

        impl Wire for $name {
            const LEAST_BYTES: usize = 0 $(+ <$type as Wire>::LEAST_BYTES)*;

            fn put(&self, sink: &mut Sink<'_>) -> Result<(), EncodeError> {
                $(self.$field.put(sink)?;)*
                Ok(())
            }

            fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
                Ok(Self { $($field: Wire::take(source)?),* })
            }
        }
    };
}
pub(super) use wire_struct;

/// Declares an enum of a version: each variant with the number that names it, and its fields in the order of their
/// bytes.
macro_rules! wire_enum {
    ($name:ident {
        $($number:literal = $variant:ident $({ $($field:ident: $type:ty),* $(,)? })?),* $(,)?
    }) => {
        pub(in crate::codec) enum $name {
            $($variant $({ $($field: $type),* })?),*
        }

        impl Wire for $name {
            const LEAST_BYTES: usize = u32::LEAST_BYTES;

            fn put(&self, sink: &mut Sink<'_>) -> Result<(), EncodeError> {
                match self {
                    $(Self::$variant { $($($field),*)? } => {
                        u32::put(&$number, sink)?;
                        $($($field.put(sink)?;)*)?
                    })*
                }
                Ok(())
            }

            fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
                Ok(match u32::take(source)? {
                    $($number => Self::$variant { $($($field: Wire::take(source)?),*)? },)*
                    found => {
                        let kind = stringify!($name);
                        return Err(DecodeError::UnknownVariant { kind, found });
                    }
                })
            }
        }
    };
}
pub(super) use wire_enum;
