//! Registers pictures, and hides their envelopes.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lsb_core::envelope::{Envelope, Manifest, Mode, SectionKind, Views};
use lsb_core::seal::LedgerShare;
use lsb_core::{Error, Limits, picture};

use super::body::{STRANGERS_BODY_BYTES, Small};
use super::callers::Caller;
use super::error::ApiError;
use super::{App, HEAD_LIMIT_BYTES, MEMORY_FACTOR, body, mismatched};
use crate::api::{GrantInfo, ObjectInfo, ProtectHead, RECEIPT_HEADER, Registered, UPLOAD_HEADER};
use crate::decoding::DecodingError;
use crate::ledger::query::ObjectFacts;
use crate::ledger::request::{ObjectRequest, ProtectRequest, Signed};
use crate::ledger::{Action, Answer, Outcome, Query, Refusal, Registration};

/// The memory for a picture whose upload is small: the unified image, which it is hidden in, has its own size.
const SMALLEST_PICTURE_BYTES: usize = MEMORY_FACTOR * STRANGERS_BODY_BYTES;

/// Registers a picture. Everything is checked, and the picture is made, before anything is registered.
///
/// A large body is read only after an enrolled device has signed for it, in a header. A small one needs no header: the
/// request in it is signed.
pub(super) async fn protect(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    headers: HeaderMap,
    request_body: Body,
) -> Result<Response, ApiError> {
    app.require_leadership()?;
    app.require_same_picture()?;
    // An envelope consists of the upload, the denied picture, and little more.
    let limit = app.0.upload_limit_bytes + app.0.image.bytes().len() + HEAD_LIMIT_BYTES;
    let announced = body::announced_bytes(&headers, limit)?;
    let is_small = announced.is_some_and(|bytes| bytes <= STRANGERS_BODY_BYTES);
    let upload = match is_small && !headers.contains_key(UPLOAD_HEADER) {
        true => None,
        false => Some(app.signed_upload(&headers, announced).await?),
    };
    let mut under_way = None;
    if let Some(upload) = &upload {
        under_way = Some(app.proved(&caller, &upload.device)?);
    }
    let mut memory = None;
    if let Some(bytes) = announced.filter(|_| upload.is_some()) {
        memory = Some(app.0.memory.take(bytes.saturating_mul(MEMORY_FACTOR)).await?);
    }
    let mut bytes = body::read(request_body, announced.unwrap_or(0)).await?;

    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(|| {
        ApiError::bad_request(
            "the body must begin with one line of JSON, and the envelope follows after a line feed",
        )
    })?;
    let head: ProtectHead = serde_json::from_slice(bytes.get(..end).unwrap_or_default())
        .map_err(|error| ApiError::bad_request(format!("the first line is not a registration: {error}")))?;
    let rest = bytes.split_off(end + 1);
    drop(bytes);
    let ProtectHead {
        request: signed,
        embed,
    } = head;
    signed
        .verify(app.0.key.cluster_id())
        .map_err(ApiError::from_request)?;
    let policy = &signed.request.policy;
    match &upload {
        Some(upload) => {
            let announced = (&upload.owner, &upload.device, upload.object);
            if announced != (policy.owner(), policy.owner_key(), signed.request.object) {
                let message =
                    "the header `upload-request` announces another owner's picture, or another picture";
                return Err(ApiError::new(StatusCode::FORBIDDEN, "OTHER_UPLOAD", message));
            }
        }
        None => {
            if !app.is_enrolled(policy.owner(), policy.owner_key()).await? {
                return Err(ApiError::from_refusal(Refusal::UnknownOwner));
            }
            under_way = Some(app.proved(&caller, policy.owner_key())?);
        }
    }
    let memory = match memory {
        Some(memory) => memory,
        // Only now is its author known; the picture that is made of it is larger than it.
        None => app.0.memory.take(SMALLEST_PICTURE_BYTES).await?,
    };
    let share = LedgerShare::open_for_cluster(
        &signed.request.sealed_share,
        &app.0.key.exchange_key(),
        signed.request.cluster,
        signed.request.object,
    );
    let share = share.map_err(|error| unprocessable(&error.into()))?;
    let wrapped = app.0.key.wrap_share(signed.request.object, &share);

    let picture_hash = app.0.image.hash();
    let limits = limits(&app);
    let request = signed.request.clone();
    let registered = request.clone();
    let (manifest, made) = match embed {
        true => {
            let (manifest, made) = hide(&app, rest, &request, picture_hash, &limits).await?;
            (manifest, Some(made))
        }
        false => {
            let checked = app.compute(move || {
                let manifest = Manifest::parse(&rest).map_err(|error| unprocessable(&error.into()))?;
                check(&manifest, &request, picture_hash).map(|()| manifest)
            });
            (checked.await??, None)
        }
    };
    let registration = Registration::new(signed, wrapped);
    let outcome = app.commit(Action::Protect(Box::new(registration))).await?;
    drop(under_way);
    match outcome {
        Outcome::Protected { index, already } => {
            let (object, owner) = (registered.object, registered.policy.owner());
            tracing::info!(%object, %owner, %index, already, "picture protected");
            let receipt_key = app.0.key.receipt_key();
            let receipt = receipt_key.sign_receipt(&manifest, index.value(), super::now());
            Ok(match made {
                Some(png) => {
                    let receipt = serde_json::to_string(&receipt).map_err(|error| {
                        ApiError::internal(format!("the receipt cannot be written: {error}"))
                    })?;
                    let headers = [
                        (header::CONTENT_TYPE, "image/png".to_owned()),
                        (HeaderName::from_static(RECEIPT_HEADER), receipt),
                    ];
                    (headers, memory.answer(png)).into_response()
                }
                None => {
                    let index = index.value();
                    Json(Registered { index, receipt }).into_response()
                }
            })
        }
        other => Err(mismatched(&other)),
    }
}

/// Returns the limits on uploads that an operator chose, with the library's for the rest.
fn limits(app: &App) -> Limits {
    Limits {
        upload_bytes: app.0.upload_limit_bytes as u64,
        ..Limits::DEFAULT
    }
}

/// Checks an envelope and hides it in the unified image that it holds itself, in a process of its own. Returns the
/// envelope's manifest and the picture.
async fn hide(
    app: &App,
    envelope: Vec<u8>,
    request: &ProtectRequest,
    picture_hash: [u8; 32],
    limits: &Limits,
) -> Result<(Manifest, Vec<u8>), ApiError> {
    let request = request.clone();
    let checked = app.compute(move || {
        let envelope = Envelope::parse(envelope).map_err(|error| unprocessable(&error.into()))?;
        check(envelope.manifest(), &request, picture_hash)?;
        if !matches!(envelope.header().mode, Mode::Sealed | Mode::Preview) {
            let message = "a label is hidden in the photograph itself, and a cover is its owner's: this server has neither. Register it without `embed`";
            return Err(ApiError::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "NOT_SEALED",
                message,
            ));
        }
        Ok((envelope.manifest().clone(), envelope.into_bytes()))
    });
    let (manifest, envelope) = checked.await??;
    let made = app.0.decoder.embed(envelope, picture::SEALED_BITS, limits).await;
    let made = made.map_err(|error| match error {
        DecodingError::System(_) | DecodingError::Crashed { .. } => {
            tracing::error!("a protected picture could not be made: {error}");
            ApiError::internal("a picture could not be made: this server is at fault")
        }
        error => ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "BAD_ENVELOPE",
            error.to_string(),
        ),
    })?;
    Ok((manifest, made))
}

/// Checks that the envelope is the registered one, is of this cluster, and contains this cluster's denied picture.
fn check(manifest: &Manifest, request: &ProtectRequest, picture_hash: [u8; 32]) -> Result<(), ApiError> {
    manifest
        .verify_owner(request.policy.owner_key())
        .map_err(|error| unprocessable(&error.into()))?;
    let header = manifest.header();
    let matches = header.cluster == request.cluster
        && header.object == request.object
        && header.policy_hash == request.policy.hash()
        && manifest.hash() == request.manifest_hash;
    if !matches {
        let message = "the envelope is not the one that the registration describes";
        return Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "OTHER_ENVELOPE",
            message,
        ));
    }
    let denied = manifest
        .sections()
        .iter()
        .find(|section| section.kind == SectionKind::DeniedPicture);
    if denied.is_none_or(|section| section.hash != picture_hash) {
        let message = "the envelope's denied picture is not this cluster's unified image";
        return Err(
            ApiError::new(StatusCode::CONFLICT, "OTHER_UNIFIED_IMAGE", message)
                .hint("fetch /v1/unified-image again, and seal again"),
        );
    }
    Ok(())
}

fn unprocessable(error: &Error) -> ApiError {
    ApiError::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "BAD_ENVELOPE",
        error.to_string(),
    )
}

/// Returns to an owner what is left of a picture's grants, linearizably.
pub(super) async fn query(
    State(app): State<App>,
    Extension(caller): Extension<Arc<Caller>>,
    Small(signed): Small<Signed<ObjectRequest>>,
) -> Result<Json<ObjectInfo>, ApiError> {
    signed
        .verify(app.0.key.cluster_id())
        .map_err(ApiError::from_request)?;
    let ObjectRequest {
        object,
        owner,
        device,
        expires,
        ..
    } = signed.request;
    if expires <= super::now() {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "REQUEST_TOO_OLD",
            "the request has expired",
        )
        .hint("check this machine's clock, and ask again"));
    }
    // One answer for everything that is not this user's, so that strangers cannot find out which pictures exist.
    let unknown = || {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "UNKNOWN_OBJECT",
            "this user owns no such picture here",
        )
    };
    if !app.is_enrolled(&owner, &device).await? {
        return Err(unknown());
    }
    let _under_way = app.proved(&caller, &device)?;
    match app.read(Query::Object(object)).await? {
        Answer::Object(Some(facts)) if facts.owner == owner => Ok(Json(info(facts))),
        _ => Err(unknown()),
    }
}

fn info(facts: ObjectFacts) -> ObjectInfo {
    let number = |views| match views {
        Views::Total(views) => Some(views),
        Views::Unlimited => None,
    };
    let grants = facts.grants.into_iter().map(|grant| GrantInfo {
        user: grant.user,
        views: number(grant.views),
        remaining: number(grant.remaining),
        charged: grant.charged,
        pending: grant.pending,
    });
    ObjectInfo {
        owner: facts.owner,
        policy_version: facts.policy_version.0,
        protected: facts.protected.value(),
        grants: grants.collect(),
    }
}
