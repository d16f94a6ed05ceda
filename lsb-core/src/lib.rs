//! lsb-core
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "image")]
extern crate std;

pub mod bits;
pub mod capacity;
pub mod carrier;
pub mod envelope;
mod error;
mod identifiers;
#[cfg(all(feature = "image", feature = "seal"))]
pub mod label;
mod limits;
#[cfg(feature = "image")]
pub mod picture;
pub mod preamble;
pub mod raster;
#[cfg(feature = "seal")]
pub mod seal;
pub mod upload;
mod wire;

pub use error::{Error, ErrorKind};
pub use identifiers::{
    ClusterId, Fingerprint, HexError, ObjectId, PolicyHash, PolicyVersion, PublicKey, RequestId, Signature,
    UnixSeconds,
};
pub use limits::Limits;
pub use wire::Truncated;
