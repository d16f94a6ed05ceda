//! Hides a photograph in every mode of `lsb-core`, and gets the exact file back, without a server or a network.
//!
//! ```text
//! cargo run --release --example hide
//! cargo run --release --example hide -- YOUR_PHOTO FOLDER
//! ```
//!
//! With a folder, the four protected files are left there to look at.

use std::error::Error;
use std::path::PathBuf;

use lsb_core::bits::BitsPerSample;
use lsb_core::envelope::{Grant, Policy, UserName, Views};
use lsb_core::label::{self, LABEL_BITS, LabelRequest};
use lsb_core::picture::{self, COVER_BITS};
use lsb_core::seal::{self, LedgerShare, SealRequest, Shown, SigningKey};
use lsb_core::{ClusterId, Limits, UnixSeconds};

const PHOTOGRAPH: &[u8] = include_bytes!("photos/rocket.jpg");
const COVER: &[u8] = include_bytes!("photos/chelsea.png");
const DENIED_PICTURE: &[u8] = include_bytes!("../unified_image.png");

/// A protected file, and the half of its key that a ledger would keep, to count its views.
type Hidden = (&'static str, Vec<u8>, Option<LedgerShare>);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let photograph = match arguments.next() {
        Some(path) => std::fs::read(path)?,
        None => PHOTOGRAPH.to_vec(),
    };
    let folder = arguments.next().map(PathBuf::from);
    for (mode, file, share) in hide(&photograph)? {
        let envelope = picture::extract(&file, &Limits::DEFAULT)?;
        envelope.verify_signature()?;
        let owner = envelope.policy().owner();
        println!("{mode:8} {:>8} bytes, protected by {owner}", file.len());
        if let Some(share) = &share {
            let opened = seal::open(&envelope, share)?.bytes;
            assert!(opened == photograph, "the opened file equals the original");
            println!("{mode:8} {:>8} bytes, the original's own", opened.len());
        }
        if let Some(folder) = &folder {
            std::fs::create_dir_all(folder)?;
            std::fs::write(folder.join(mode).with_extension("png"), &file)?;
        }
    }
    Ok(())
}

fn hide(photograph: &[u8]) -> Result<Vec<Hidden>, Box<dyn Error>> {
    let limits = &Limits::DEFAULT;
    let owner = SigningKey::generate()?;
    let grants = vec![Grant::new(UserName::parse("bob")?, Views::Total(1))];
    let policy = Policy::new(UserName::parse("alice")?, owner.public(), grants)?;
    let request = SealRequest {
        original: photograph,
        name: None,
        denied_picture: DENIED_PICTURE,
        shown: Shown::DeniedPicture,
        policy: &policy,
        cluster: ClusterId::from_bytes([1; 16]),
        created: UnixSeconds(1_700_000_000),
        owner: &owner,
        limits,
    };
    // Everyone sees the denied picture.
    let sealed = seal::seal(&request)?;
    let file = picture::embed(&sealed.envelope, limits)?;
    let mut hidden = vec![("sealed", file, Some(sealed.ledger_share))];

    // Everyone sees a blurred preview.
    let preview = picture::preview_of(photograph, limits)?;
    let shown = Shown::Preview(&preview);
    let sealed = seal::seal(&SealRequest { shown, ..request })?;
    let file = picture::embed(&sealed.envelope, limits)?;
    hidden.push(("preview", file, Some(sealed.ledger_share)));

    // Everyone sees the cat. If the picture is too small, the error says what would fit.
    let shown = Shown::Cover;
    let sealed = seal::seal(&SealRequest { shown, ..request })?;
    let in_cat = |bits| picture::embed_in_cover(&sealed.envelope, COVER, bits, limits);
    let file = in_cat(COVER_BITS).or_else(|error| {
        println!("cover: {error}");
        in_cat(BitsPerSample::Four)
    })?;
    hidden.push(("cover", file, Some(sealed.ledger_share)));

    // Everyone sees the photograph: a label, and no secret.
    let labelled = label::protect(&LabelRequest {
        photograph,
        denied_picture: DENIED_PICTURE,
        policy: &policy,
        cluster: request.cluster,
        created: request.created,
        owner: &owner,
        bits: LABEL_BITS,
        keep: picture::Keep::Shown,
        limits,
    })?;
    hidden.push(("label", labelled.file, None));
    Ok(hidden)
}
