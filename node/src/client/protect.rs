//! Protecting a picture: the client seals and signs, the server embeds and registers.

use data_encoding::HEXLOWER;
use hyper::body::Bytes;
use lsb_core::bits::BitsPerSample;
use lsb_core::envelope::{Envelope, Grant, Policy, UserName, Views};
use lsb_core::label;
use lsb_core::seal::{self, LedgerShare, SealRequest, SealedObject, Shown, SigningKey, Zeroizing};
use lsb_core::{Limits, ObjectId, picture};
use sha2::{Digest, Sha256};

use super::connection::Call;
use super::{Client, ClientError, now};
use crate::api::{ClusterInfo, ProtectHead, Registered};
use crate::decoding::{DecodingError, LabelInput};
use crate::ledger::request::{ProtectRequest, Signed};

/// The views of an owner whom no grant names.
pub const OWNER_VIEWS: u32 = 5;

/// How a protected picture shows itself.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// Everybody sees the denied picture; the original is encrypted inside.
    #[default]
    Sealed,
    /// Everybody sees a small blurred picture of the photograph; the original is encrypted inside.
    Preview,
    /// Everybody sees this picture; the original is encrypted inside.
    Cover(Vec<u8>),
    /// Everybody sees the photograph; only its policy rides inside. **No secrecy.**
    Label,
}

/// What is to be protected, and for whom.
#[derive(Clone, Debug)]
pub struct ProtectInput {
    /// The file: a whole PNG, JPEG, WebP, BMP, TIFF or GIF.
    pub original: Vec<u8>,
    /// Who owns it.
    pub owner: UserName,
    /// Who may view it how often. An owner who is not among them gets [`OWNER_VIEWS`] views.
    pub grants: Vec<Grant>,
    /// How it shows itself.
    pub mode: Mode,
    /// How many bits of each sample carry; none for the mode's own: three for sealed and preview, one for cover and
    /// label.
    pub bits: Option<BitsPerSample>,
    /// Whether an animated file is taken for its first frame, and not refused.
    pub first_frame: bool,
}

/// A picture that is protected.
#[derive(Clone, Debug)]
pub struct Protected {
    /// Its name in the ledger.
    pub object: ObjectId,
    /// The PNG file to pass on.
    pub picture: Vec<u8>,
    /// Who may view it how often.
    pub policy: Policy,
}

/// An envelope, and what is registered with it.
struct Prepared {
    envelope: Envelope,
    share: LedgerShare,
    /// The picture, unless the server makes it.
    picture: Option<Vec<u8>>,
}

impl Client {
    /// Protects a picture. The original never leaves this machine but encrypted.
    ///
    /// # Errors
    ///
    /// [`ClientError`]: the file is no picture or too large, the owner's name belongs to another device, no leader.
    pub async fn protect(&self, input: ProtectInput) -> Result<Protected, ClientError> {
        // Before anything is asked of anybody: most mistakes are in the files.
        let limits = Limits {
            first_frame: input.first_frame,
            ..Limits::DEFAULT
        };
        lsb_core::upload::inspect(&input.original, &limits).map_err(lsb_core::Error::from)?;
        if let Mode::Cover(cover) = &input.mode {
            let limits = Limits {
                upload_bytes: limits.carrier_bytes,
                ..limits
            };
            lsb_core::upload::inspect(cover, &limits)
                .map_err(|error| ClientError::Cover(lsb_core::Error::from(error).into()))?;
        }
        let info = self.cluster_info().await?;
        let limits = Limits {
            upload_bytes: info.upload_limit_bytes,
            ..limits
        };
        lsb_core::upload::inspect(&input.original, &limits).map_err(lsb_core::Error::from)?;
        let device = self.device(info.cluster, &input.owner)?;
        self.enrol(info.cluster, &input.owner, &device).await?;
        let denied_picture = self.unified_image(&info).await?;
        let mut grants = input.grants;
        if grants.iter().all(|grant| grant.user != input.owner) {
            grants.push(Grant::new(input.owner.clone(), Views::Total(OWNER_VIEWS)));
        }
        let policy = Policy::new(input.owner, device.key.public(), grants).map_err(lsb_core::Error::from)?;
        let owner = device.key;
        let prepared = self
            .prepare(Preparing {
                mode: input.mode,
                bits: input.bits,
                original: input.original,
                denied_picture,
                policy: policy.clone(),
                cluster: info.cluster,
                owner: owner.clone(),
                limits,
            })
            .await?;
        let picture = self.register(&info, &owner, &policy, &prepared).await?;
        Ok(Protected {
            object: prepared.envelope.header().object,
            picture,
            policy,
        })
    }

    /// The picture for everybody else, checked against its announced hash.
    async fn unified_image(&self, info: &ClusterInfo) -> Result<Bytes, ClientError> {
        let bytes = self.cluster.ask_raw(&Call::get("/v1/unified-image")).await?.body;
        if HEXLOWER.encode(&Sha256::digest(&bytes)) != info.unified_image {
            // Two servers were asked, and they differ.
            return Err(ClientError::UnifiedImagesDiffer);
        }
        Ok(bytes)
    }

    /// Registers the envelope, and returns the picture that carries it.
    async fn register(
        &self,
        info: &ClusterInfo,
        owner: &SigningKey,
        policy: &Policy,
        prepared: &Prepared,
    ) -> Result<Vec<u8>, ClientError> {
        let (cluster, object) = (info.cluster, prepared.envelope.header().object);
        let sealed_share = prepared
            .share
            .seal_for_cluster(&info.exchange_key, cluster, object);
        let request = ProtectRequest {
            cluster,
            object,
            policy: policy.clone(),
            manifest_hash: prepared.envelope.manifest().hash(),
            sealed_share: sealed_share.map_err(lsb_core::Error::from)?,
        };
        let embed = prepared.picture.is_none();
        let head = ProtectHead {
            request: Signed::sign(request, owner)?,
            embed,
        };
        let mut body = serde_json::to_vec(&head).map_err(ClientError::Request)?;
        body.push(b'\n');
        if embed {
            body.extend_from_slice(prepared.envelope.as_bytes());
        } else {
            body.extend_from_slice(&prepared.envelope.manifest().to_bytes());
        }
        let call = Call::post("/v1/objects", "application/octet-stream", body);
        if let Some(picture) = &prepared.picture {
            self.cluster.ask::<Registered>(&call).await?;
            return Ok(picture.clone());
        }
        let picture = Vec::from(self.cluster.ask_raw(&call).await?.body);
        // A picture that does not carry what was sealed would be noticed by the first viewer only.
        match self.decoder.extract(picture.clone(), &Limits::DEFAULT).await {
            Ok(envelope) if envelope.as_bytes() == prepared.envelope.as_bytes() => Ok(picture),
            Ok(_) | Err(DecodingError::Picture(_)) => Err(ClientError::PictureDiffers),
            Err(error) => Err(error.into()),
        }
    }

    /// Seals the original, and makes the picture where the client does that.
    async fn prepare(&self, preparing: Preparing) -> Result<Prepared, ClientError> {
        let Preparing {
            limits, bits, mode, ..
        } = &preparing;
        let (limits, bits, mode) = (*limits, *bits, mode.clone());
        let (sealed, picture) = match mode {
            Mode::Sealed => (preparing.seal(OwnedShown::DeniedPicture).await?, None),
            Mode::Preview => {
                let preview = self.decoder.preview(preparing.original.clone(), &limits).await?;
                (preparing.seal(OwnedShown::Preview(preview)).await?, None)
            }
            Mode::Cover(cover) => {
                // Neither waits for the other: a cover takes longer to decode than the original to be sealed.
                let mut sealed = None;
                let sealing = async {
                    let done = preparing.seal(OwnedShown::Cover).await?;
                    let bytes = done.envelope.as_bytes().to_vec();
                    sealed = Some(done);
                    Ok::<_, ClientError>(bytes)
                };
                let bits = bits.unwrap_or(picture::COVER_BITS);
                let made = self.decoder.cover(cover, sealing, bits, &limits).await?;
                let picture = made.map_err(ClientError::Cover)?;
                let sealed = sealed.ok_or(ClientError::PictureDiffers)?;
                (sealed, Some(picture))
            }
            Mode::Label => return self.label(preparing).await,
        };
        // Servers hide with the usual number of bits; any other is done here.
        let picture = match (picture, bits) {
            (None, Some(bits)) => {
                let envelope = sealed.envelope.as_bytes().to_vec();
                Some(self.decoder.embed(envelope, bits, &limits).await?)
            }
            (picture, _) => picture,
        };
        Ok(Prepared {
            envelope: sealed.envelope,
            share: sealed.ledger_share,
            picture,
        })
    }

    async fn label(&self, preparing: Preparing) -> Result<Prepared, ClientError> {
        let input = LabelInput {
            denied_picture: preparing.denied_picture.to_vec(),
            policy: preparing.policy,
            cluster: preparing.cluster,
            created: now(),
            owner: preparing.owner,
            bits: preparing.bits.unwrap_or(label::LABEL_BITS),
        };
        let labelled = self
            .decoder
            .label(preparing.original, input, &preparing.limits)
            .await;
        let (file, envelope) = labelled?;
        // Nothing is encrypted, but the ledger counts a label's views like any other's, and a share is part of that.
        let mut unused = Zeroizing::new([0; 32]);
        getrandom::fill(unused.as_mut_slice()).map_err(std::io::Error::from)?;
        Ok(Prepared {
            envelope,
            share: LedgerShare::from_bytes(*unused),
            picture: Some(file),
        })
    }
}

/// What is sealed, for whom, and how it shows itself.
struct Preparing {
    mode: Mode,
    bits: Option<BitsPerSample>,
    original: Vec<u8>,
    denied_picture: Bytes,
    policy: Policy,
    cluster: lsb_core::ClusterId,
    owner: SigningKey,
    limits: Limits,
}

/// [`Shown`], for another thread.
enum OwnedShown {
    DeniedPicture,
    Preview(Vec<u8>),
    Cover,
}

impl Preparing {
    async fn seal(&self, shown: OwnedShown) -> Result<SealedObject, ClientError> {
        let original = self.original.clone();
        let denied_picture = self.denied_picture.clone();
        let (policy, owner) = (self.policy.clone(), self.owner.clone());
        let (cluster, limits) = (self.cluster, self.limits);
        let sealed = blocking(move || {
            seal::seal(&SealRequest {
                original: &original,
                name: None,
                denied_picture: &denied_picture,
                shown: match &shown {
                    OwnedShown::DeniedPicture => Shown::DeniedPicture,
                    OwnedShown::Preview(preview) => Shown::Preview(preview),
                    OwnedShown::Cover => Shown::Cover,
                },
                policy: &policy,
                cluster,
                created: now(),
                owner: &owner,
                limits: &limits,
            })
        });
        Ok(sealed.await??)
    }
}

/// Does work that keeps a processor busy, beside the runtime.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ClientError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| ClientError::System(std::io::Error::other(error)))
}
