//! Protects a picture: the client seals and signs, the server embeds and registers.

use data_encoding::HEXLOWER;
use hyper::body::Bytes;
use lsb_core::bits::BitsPerSample;
use lsb_core::envelope::{Envelope, Grant, Policy, Receipt, UserName, Views};
use lsb_core::label;
use lsb_core::seal::{self, LedgerShare, SealRequest, SealedObject, Shown, SigningKey, Zeroizing};
use lsb_core::upload::{self, Unusual, UploadError};
use lsb_core::{FileName, Limits, ObjectId, UnixSeconds, picture};
use sha2::{Digest, Sha256};

use super::connection::Call;
use super::{Client, ClientError, now};
use crate::api::{ClusterInfo, ProtectHead, Registered, UPLOAD_HEADER};
use crate::decoding::{DecodingError, Finding, LabelInput, Made};
use crate::ledger::request::{ProtectRequest, Signed, UploadRequest};

/// The views of an owner without a grant.
pub const OWNER_VIEWS: u32 = 5;

/// How long the announcement of an upload is valid: long enough for a slow line, and for a clock that differs.
const UPLOAD_SECONDS: u64 = 1800;

/// What everyone sees in a protected picture.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// Everyone sees the denied picture; the original is encrypted inside.
    #[default]
    Sealed,
    /// Everyone sees a small blurred picture of the photograph; the original is encrypted inside.
    Preview,
    /// Everyone sees this picture; the original is encrypted inside.
    Cover(Vec<u8>),
    /// Everyone sees the photograph; only its policy is inside. **No secrecy.**
    Label,
}

/// A picture to protect, with its owner and grants.
#[derive(Clone, Debug)]
pub struct ProtectInput {
    /// The bytes of the file, in any format of [`MediaType`](lsb_core::upload::MediaType).
    pub original: Vec<u8>,
    /// The file's name, which viewers get with the original; `None` for none.
    pub name: Option<FileName>,
    /// The owner.
    pub owner: UserName,
    /// The grants. An owner without one gets [`OWNER_VIEWS`] views.
    pub grants: Vec<Grant>,
    /// What everyone sees.
    pub mode: Mode,
    /// How many bits of each sample carry; `None` for the mode's default: three for sealed and preview, one for cover
    /// and label.
    pub bits: Option<BitsPerSample>,
    /// Whether an animated file is accepted, and its first frame shown.
    pub first_frame: bool,
    /// Whether the picture that everyone sees in modes `cover` and `label` keeps its metadata, as far as a PNG can hold
    /// it.
    pub keep_metadata: bool,
    /// Whether the metadata that a viewer does not need is removed from the original before it is sealed.
    pub strip_metadata: bool,
}

/// A protected picture.
#[derive(Clone, Debug)]
pub struct Protected {
    /// Its identifier in the ledger.
    pub object: ObjectId,
    /// The PNG file to pass on.
    pub picture: Vec<u8>,
    /// The policy with the grants.
    pub policy: Policy,
    /// What became of the files' metadata.
    pub metadata: Disclosure,
}

/// What became of the metadata of an original and of a cover, without the metadata that describes the pixels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disclosure {
    /// What everyone can read in the picture.
    pub public: Vec<Finding>,
    /// What was left out of the picture that everyone sees.
    pub left_out: Vec<Finding>,
    /// What viewers get in the sealed original. None for a label, and where it cannot be listed, as the structure of
    /// the file is unusual.
    pub sealed: Option<Vec<Finding>>,
    /// What was removed from the original before it was sealed.
    pub stripped: Vec<Finding>,
    /// The name that viewers get with the original.
    pub name: Option<FileName>,
    /// What is unusual about the original, which is stored as it is all the same.
    pub unusual: Option<Unusual>,
}

/// An envelope, with the share to register.
struct Prepared {
    envelope: Envelope,
    share: LedgerShare,
    /// The picture; `None` if the server makes it.
    picture: Option<Made>,
}

/// Checks an original, and returns what is unusual about it. Where no pixels of it are shown, it is stored as it is,
/// whatever is wrong behind its header.
fn inspect_original(input: &ProtectInput, limits: &Limits) -> Result<Option<Unusual>, ClientError> {
    let upload = match input.mode {
        Mode::Sealed | Mode::Cover(_) => upload::inspect_stored(&input.original, limits),
        Mode::Preview | Mode::Label => upload::inspect(&input.original, limits),
    };
    Ok(upload.map_err(lsb_core::Error::from)?.unusual)
}

/// Checks an original against the servers' limit, which is known only when they are asked. It depends on nothing else
/// of the file, so the file is not inspected again.
fn check_length(original: &[u8], limit: u64) -> Result<(), ClientError> {
    let bytes = original.len() as u64;
    if bytes > limit {
        return Err(lsb_core::Error::from(UploadError::TooManyBytes { bytes, limit }).into());
    }
    Ok(())
}

impl Client {
    /// Protects a picture. The original leaves this machine only encrypted.
    ///
    /// # Errors
    ///
    /// [`ClientError`]: the file is not a picture or too large, the owner's name belongs to another device, or there is
    /// no leader.
    pub async fn protect(&self, mut input: ProtectInput) -> Result<Protected, ClientError> {
        // Before any server is asked: most mistakes are in the files.
        let limits = Limits {
            first_frame: input.first_frame,
            ..Limits::DEFAULT
        };
        let unusual = inspect_original(&input, &limits)?;
        if let Mode::Cover(cover) = &input.mode {
            let limits = Limits {
                upload_bytes: limits.carrier_bytes,
                ..limits
            };
            upload::inspect(cover, &limits)
                .map_err(|error| ClientError::Cover(lsb_core::Error::from(error).into()))?;
        }
        let mut metadata = self.disclose(&mut input, &limits).await?;
        metadata.unusual = unusual;
        let info = self.cluster_info().await?;
        let limits = Limits {
            upload_bytes: info.upload_limit_bytes,
            ..limits
        };
        check_length(&input.original, info.upload_limit_bytes)?;
        let device = self.device(info.cluster, &input.owner)?;
        self.enrol(info.cluster, &input.owner, &device).await?;
        let denied_picture = self.unified_image(&info).await?;
        let mut grants = input.grants;
        if grants.iter().all(|grant| grant.user != input.owner) {
            grants.push(Grant::new(input.owner.clone(), Views::Total(OWNER_VIEWS)));
        }
        let policy = Policy::new(input.owner, device.key.public(), grants).map_err(lsb_core::Error::from)?;
        let owner = device.key;
        let mut prepared = self
            .prepare(Preparing {
                mode: input.mode,
                bits: input.bits,
                keep: input.keep_metadata,
                original: input.original,
                name: input.name,
                denied_picture,
                policy: policy.clone(),
                cluster: info.cluster,
                owner: owner.clone(),
                limits,
            })
            .await?;
        if let Some(made) = &mut prepared.picture {
            metadata.public.append(&mut made.kept);
            metadata.left_out.append(&mut made.removed);
        }
        let picture = self.register(&info, &owner, &policy, &prepared).await?;
        Ok(Protected {
            object: prepared.envelope.header().object,
            picture,
            policy,
            metadata,
        })
    }

    /// Finds out what a sealed original says beside its pixels, or takes that out. A label seals nothing.
    async fn disclose(&self, input: &mut ProtectInput, limits: &Limits) -> Result<Disclosure, ClientError> {
        let mut disclosure = Disclosure::default();
        if input.mode == Mode::Label {
            return Ok(disclosure);
        }
        disclosure.name = input.name.clone();
        if input.strip_metadata {
            let original = std::mem::take(&mut input.original);
            let stripped = self.decoder.strip(original, limits).await?;
            input.original = stripped.file;
            disclosure.stripped = stripped.removed;
            disclosure.sealed = Some(Vec::new());
            return Ok(disclosure);
        }
        match self.decoder.metadata(input.original.clone(), limits).await {
            Ok(mut found) => {
                found.retain(|finding| !finding.needed);
                disclosure.sealed = Some(found);
            }
            // What cannot be listed can be sealed all the same.
            Err(DecodingError::Picture(_)) => (),
            Err(error) => return Err(error.into()),
        }
        Ok(disclosure)
    }

    /// Fetches the denied picture, and checks it against its announced hash.
    async fn unified_image(&self, info: &ClusterInfo) -> Result<Bytes, ClientError> {
        let bytes = self.cluster.ask_raw(&Call::get("/v1/unified-image")).await?.body;
        if HEXLOWER.encode(&Sha256::digest(&bytes)) != info.unified_image {
            // The hash came from one server and the picture from another.
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
        let announcement = UploadRequest {
            cluster,
            object,
            owner: policy.owner().clone(),
            device: owner.public(),
            bytes: body.len() as u64,
            expires: UnixSeconds(now().0.saturating_add(UPLOAD_SECONDS)),
        };
        let announcement =
            serde_json::to_string(&Signed::sign(announcement, owner)?).map_err(ClientError::Request)?;
        let mut call = Call::post("/v1/objects", "application/octet-stream", body);
        call.header = Some((UPLOAD_HEADER, announcement));
        if let Some(made) = &prepared.picture {
            let registered = self.cluster.ask::<Registered>(&call).await?;
            verify_receipt(info, &prepared.envelope, registered.receipt)?;
            return Ok(made.file.clone());
        }
        let reply = self.cluster.ask_raw(&call).await?;
        let receipt = reply.receipt.ok_or(ClientError::Receipt)?;
        let receipt = serde_json::from_slice(&receipt).map_err(ClientError::Answer)?;
        verify_receipt(info, &prepared.envelope, receipt)?;
        let picture = Vec::from(reply.body);
        // Otherwise the first viewer would be the one to notice a picture that does not carry what was sealed.
        match self.decoder.extract(picture.clone(), &Limits::DEFAULT).await {
            Ok(envelope) if envelope.as_bytes() == prepared.envelope.as_bytes() => Ok(picture),
            Ok(_) | Err(DecodingError::Picture(_)) => Err(ClientError::PictureDiffers),
            Err(error) => Err(error.into()),
        }
    }

    /// Seals the original, and makes the picture where the client does that.
    async fn prepare(&self, preparing: Preparing) -> Result<Prepared, ClientError> {
        let Preparing {
            limits,
            bits,
            mode,
            keep,
            ..
        } = &preparing;
        let (limits, bits, mode, keep) = (*limits, *bits, mode.clone(), *keep);
        let (sealed, picture) = match mode {
            Mode::Sealed => (preparing.seal(OwnedShown::DeniedPicture).await?, None),
            Mode::Preview => {
                let preview = self.decoder.preview(preparing.original.clone(), &limits).await?;
                (preparing.seal(OwnedShown::Preview(preview)).await?, None)
            }
            Mode::Cover(cover) => {
                // Both at once: a cover takes longer to decode than the original takes to seal.
                let mut sealed = None;
                let sealing = async {
                    let done = preparing.seal(OwnedShown::Cover).await?;
                    let bytes = done.envelope.as_bytes().to_vec();
                    sealed = Some(done);
                    Ok::<_, ClientError>(bytes)
                };
                let bits = bits.unwrap_or(picture::COVER_BITS);
                let made = self.decoder.cover(cover, sealing, bits, keep, &limits).await?;
                let picture = made.map_err(ClientError::Cover)?;
                let sealed = sealed.ok_or(ClientError::PictureDiffers)?;
                (sealed, Some(picture))
            }
            Mode::Label => return self.label(preparing).await,
        };
        // Servers embed with the default number of bits; any other number is embedded here.
        let picture = match (picture, bits) {
            (None, Some(bits)) => {
                let envelope = sealed.envelope.as_bytes().to_vec();
                Some(Made {
                    file: self.decoder.embed(envelope, bits, &limits).await?,
                    kept: Vec::new(),
                    removed: Vec::new(),
                })
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
            keep: preparing.keep,
        };
        let labelled = self
            .decoder
            .label(preparing.original, input, &preparing.limits)
            .await;
        let (made, envelope) = labelled?;
        // A label encrypts nothing, but the ledger counts its views like any others, and a registration has a share.
        let mut unused = Zeroizing::new([0; 32]);
        getrandom::fill(unused.as_mut_slice()).map_err(std::io::Error::from)?;
        Ok(Prepared {
            envelope,
            share: LedgerShare::from_bytes(*unused),
            picture: Some(made),
        })
    }
}

/// Verifies that the cluster has registered this very envelope.
fn verify_receipt(info: &ClusterInfo, envelope: &Envelope, receipt: Receipt) -> Result<(), ClientError> {
    let envelope = envelope.clone().with_receipt(receipt);
    match envelope.verify_receipt(&info.receipt_key) {
        Ok(Some(_)) => Ok(()),
        Ok(None) | Err(_) => Err(ClientError::Receipt),
    }
}

/// The input of [`Client::prepare`].
struct Preparing {
    mode: Mode,
    bits: Option<BitsPerSample>,
    keep: bool,
    original: Vec<u8>,
    name: Option<FileName>,
    denied_picture: Bytes,
    policy: Policy,
    cluster: lsb_core::ClusterId,
    owner: SigningKey,
    limits: Limits,
}

/// [`Shown`] with owned data, for another thread.
enum OwnedShown {
    DeniedPicture,
    Preview(Vec<u8>),
    Cover,
}

impl Preparing {
    async fn seal(&self, shown: OwnedShown) -> Result<SealedObject, ClientError> {
        let (original, name) = (self.original.clone(), self.name.clone());
        let denied_picture = self.denied_picture.clone();
        let (policy, owner) = (self.policy.clone(), self.owner.clone());
        let (cluster, limits) = (self.cluster, self.limits);
        let sealed = blocking(move || {
            seal::seal(&SealRequest {
                original: &original,
                name: name.as_ref(),
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

/// Runs CPU-bound work on a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ClientError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| ClientError::System(std::io::Error::other(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lsb_core::ClusterId;
    use lsb_core::seal::ExchangeKey;

    #[test]
    fn only_the_clusters_receipt_for_this_very_picture_is_accepted() {
        let (owner, cluster_key) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let cluster = ClusterId::from_bytes([1; 16]);
        let alice = UserName::parse("alice").unwrap();
        let grants = vec![Grant::new(alice.clone(), Views::Total(1))];
        let policy = Policy::new(alice, owner.public(), grants).unwrap();
        let picture = include_bytes!("../../assets/unified_image.png");
        let seal = || {
            let sealed = seal::seal(&SealRequest {
                original: picture,
                name: None,
                denied_picture: picture,
                shown: Shown::DeniedPicture,
                policy: &policy,
                cluster,
                created: now(),
                owner: &owner,
                limits: &Limits::DEFAULT,
            });
            sealed.unwrap().envelope
        };
        let (envelope, other) = (seal(), seal());
        let info = ClusterInfo {
            cluster,
            exchange_key: ExchangeKey::generate().unwrap().public(),
            receipt_key: cluster_key.public(),
            unified_image: String::new(),
            upload_limit_bytes: 0,
            position: 7,
            time: now(),
        };
        let receipt = cluster_key.sign_receipt(envelope.manifest(), 7, now());
        assert!(verify_receipt(&info, &envelope, receipt).is_ok());
        let refused = |receipt| {
            matches!(
                verify_receipt(&info, &envelope, receipt),
                Err(ClientError::Receipt)
            )
        };
        assert!(refused(owner.sign_receipt(envelope.manifest(), 7, now())));
        assert!(refused(cluster_key.sign_receipt(other.manifest(), 7, now())));
        assert!(refused(Receipt {
            log_index: 8,
            ..receipt
        }));
        // A stranger who claims the cluster's key cannot sign with it.
        let mut forged = owner.sign_receipt(envelope.manifest(), 7, now());
        forged.cluster_key = cluster_key.public();
        assert!(refused(forged));
    }
}
