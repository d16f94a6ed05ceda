//! What makes an envelope secret, and what vouches for it.
//!
//! * [`seal`] encrypts an original under a key that is split in two: one share lies in the picture,
//!   the other goes to the cluster's ledger. [`open`] needs both.
//! * [`SigningKey`] signs: an owner's envelope ([`sign()`]), a viewer's request, a cluster's receipt.
//! * [`ExchangeKey`] receives a ledger share, sealed to it on its way to the cluster
//!   ([`LedgerShare::seal_for_cluster`]) and from there to a viewer
//!   ([`LedgerShare::seal_for_viewer`]).

pub(crate) mod error;
mod exchange;
mod keys;
mod metadata;
mod object;
mod signing;
mod stream;

pub use error::SealError;
pub use exchange::{ExchangeKey, ExchangePublicKey, ReleaseContext, ShareForCluster, ShareForViewer};
pub use keys::{LedgerShare, ObjectSecrets, PictureShare};
pub use metadata::OriginalMetadata;
pub use object::{OpenedOriginal, SealRequest, SealedObject, Shown, open, seal, seal_with};
pub use signing::{SigningKey, sign};
pub use stream::CHUNK_BYTES;
pub use zeroize::Zeroizing;
