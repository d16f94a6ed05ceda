//! Hides a signed, sealed envelope in the low bits of a picture, and gets the exact original back.
//!
//! A protected picture is an ordinary PNG file. Every image viewer shows the *access-denied picture*, or what its
//! owner chose instead. Its low bits carry an envelope: who may look and how often, the denied picture's exact bytes,
//! and the original file, encrypted under a key that is split in two. One share lies in the picture,
//! the other in a ledger. Neither opens anything alone, and deleting the ledger's share revokes for
//! good.
//!
//! ```
//! # #[cfg(all(feature = "image", feature = "seal"))] {
//! use lsb_core::envelope::{Grant, Policy, UserName, Views};
//! use lsb_core::seal::{self, ExchangeKey, LedgerShare, ReleaseContext, SealRequest, Shown, SigningKey};
//! use lsb_core::{ClusterId, Limits, RequestId, UnixSeconds, picture};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let photograph = include_bytes!("../tests/photos/rocket.jpg");
//! # let denied_picture = include_bytes!("../tests/vectors/denied.png");
//! # let (cluster, limits) = (ClusterId::from_bytes([1; 16]), Limits::DEFAULT);
//! // Alice protects a photograph: one view for bob.
//! let alice = SigningKey::generate()?;
//! let grants = vec![Grant::new(UserName::parse("bob")?, Views::Total(1))];
//! let policy = Policy::new(UserName::parse("alice")?, alice.public(), grants)?;
//! let sealed = seal::seal(&SealRequest {
//!     original: photograph,
//!     name: None, // or what to restore its file under
//!     denied_picture,
//!     shown: Shown::DeniedPicture,
//!     policy: &policy,
//!     cluster,
//!     created: UnixSeconds(1_700_000_000),
//!     owner: &alice,
//!     limits: &limits,
//! })?;
//! let file = picture::embed(&sealed.envelope, &limits)?; // the PNG that everyone may have
//!
//! // The ledger's share travels to the cluster sealed, and is kept that way.
//! let cluster_key = ExchangeKey::generate()?;
//! let kept = sealed.ledger_share.seal_for_cluster(&cluster_key.public(), cluster, sealed.object())?;
//!
//! // Bob asks to look. When the ledger has charged the view, it releases its share to bob's
//! // one-time key, bound to this request.
//! let one_time = ExchangeKey::generate()?;
//! let context = ReleaseContext {
//!     cluster,
//!     object: sealed.object(),
//!     request: RequestId::from_bytes([2; 16]),
//!     log_index: 42,
//! };
//! let share = LedgerShare::open_for_cluster(&kept, &cluster_key, cluster, sealed.object())?;
//! let released = share.seal_for_viewer(&one_time.public(), &context)?;
//!
//! // Bob opens the file with it: the same bytes that alice protected.
//! let envelope = picture::extract(&file, &limits)?;
//! let share = LedgerShare::open_for_viewer(&released, &one_time, &context)?;
//! let opened = seal::open(&envelope, &share)?;
//! assert_eq!(opened.bytes, photograph);
//! # Ok(()) }
//! # main().unwrap(); }
//! ```
//!
//! # Layers
//!
//! Each is usable alone. A layer depends on those below it, never on those above.
//!
//! | layer | modules | needs | what it does |
//! |---|---|---|---|
//! | files | [`picture`], [`label`], [`upload`] | `image`; [`upload`] nothing | pictures in, PNG out, limits, the carrier |
//! | seal | [`seal`] | `seal` | keys, signatures, encryption, release of a share |
//! | envelope | [`envelope`] | nothing | policy, sections, receipt, status; structure and hashes |
//! | bits | [`carrier`], [`preamble`], [`capacity`], [`raster`], [`mod@bits`] | nothing | a body in samples, and out again |
//!
//! "Nothing" means `no_std` with `alloc`: `default-features = false` leaves out files, keys and the
//! operating system. The feature `serde` serialises what a ledger stores. The layout of all of it is
//! drawn byte by byte in `docs/envelope.md`, frozen as version 1; the original's metadata has a version 2.
//!
//! # What it promises
//!
//! * **The exact original.** What [`seal::open`] returns is byte for byte what was protected. The file is
//!   stored, and never its decoded pixels.
//! * **Never a wrong picture.** Whichever bit of a protected file is changed, the answer is an error, or the
//!   exact original because that bit carried nothing. [`ErrorKind`] tells a file that was never protected
//!   from one that is damaged and one that was tampered with.
//! * **No panic, no unbounded memory** from any file. Headers are judged against [`Limits`] before
//!   anything is decoded or allocated. A panic is a bug of this crate.
//! * **Secrets stay secret.** They are wiped when dropped, and `Debug` does not show them.
//!
//! # What it does not promise
//!
//! * **It is not undetectable**, and does not try to be: the preamble begins with a magic, and three
//!   replaced bits show in any statistic. The content is hidden, not the fact that there is one.
//! * **It does not survive** JPEG, resizing, cropping, palettes, gamma or premultiplied alpha. Lossless
//!   copies survive, with or without metadata.
//! * **Mode `label` keeps nothing secret**: the photograph is there for all to see, and nothing ties the
//!   label to it. Only cooperating programs respect it.
//! * **Verification shows one key, not a person.** [`envelope::Envelope`] names its owner's key itself;
//!   whether that is the owner's known key is for a ledger to say.
//! * **A view cannot be taken back.** A viewer can keep what was opened. Views are counted where the
//!   share is released, by the ledger, and not here.
//! * **The advisory status is advice**: nothing vouches for it.
//! * **Scattering is not encryption**: its salt is in the preamble, so everyone can find what is hidden.
//! * **A decoder that loops, and memory that the system refuses, end the program.** A decoder's panic becomes an
//!   error, unless the program is built with `panic = "abort"`; no library can do more in its own process. A program
//!   that takes strangers' files decodes them in a child process with limits of memory and time, as the programs of
//!   the crate `node` do.
//! * **Not all damage can be seen.** A part of a picture that is missing or does not decode is an error; bits that
//!   changed into others of the same meaning, in formats without checksums, are another picture.
//! * **Formats other than PNG, JPEG, WebP, BMP, TIFF and GIF**, several pages of a TIFF, and floating-point samples
//!   are refused, or only stored. HEIC and AVIF are stored, where no pixels of them are needed.
//! * **A file's name is whatever its owner chose.** [`FileName`] says whether it can be used; that it does not
//!   overwrite anything is for the program that writes.

#![no_std]
#![forbid(unsafe_code)]
// The table of layers names modules that need features.
#![cfg_attr(
    not(all(feature = "image", feature = "seal")),
    expect(
        rustdoc::broken_intra_doc_links,
        reason = "modules of features that are off are named all the same"
    )
)]

extern crate alloc;
#[cfg(feature = "image")]
extern crate std;

pub mod bits;
pub mod capacity;
pub mod carrier;
pub mod envelope;
mod error;
mod error_kind;
mod file_name;
mod identifiers;
#[cfg(all(feature = "image", feature = "seal"))]
pub mod label;
mod layout;
mod limits;
pub mod metadata;
#[cfg(feature = "image")]
pub mod picture;
pub mod preamble;
pub mod raster;
#[cfg(feature = "seal")]
pub mod seal;
mod size;
mod tags;
pub mod upload;
mod wire;

pub use error::Error;
pub use error_kind::ErrorKind;
pub use file_name::FileName;
pub use identifiers::{
    ClusterId, Fingerprint, HexError, ObjectId, PolicyHash, PolicyVersion, PublicKey, RequestId, Signature,
    UnixSeconds,
};
pub use layout::Layout;
pub use limits::Limits;
pub use wire::Truncated;
