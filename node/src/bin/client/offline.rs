//! `client capacity` and `client inspect`, which need no server: how much a picture can hold, and what it holds.

use std::process::ExitCode;

use data_encoding::HEXLOWER;
use lsb_core::bits::BitsPerSample;
use lsb_core::envelope::{Grant, SectionKind, Views};
use lsb_core::raster::Colors;
use lsb_core::{Error, Layout, Limits, UnixSeconds};
use node::client::{ClientError, ErrorClass, files};
use node::decoding::{Carried, Decoder, Inspected};
use serde_json::{Value, json};

use super::Failure;
use super::arguments::{Capacity, Inspect};
use super::disclosure;
use super::report::{self, Speaker};

/// The size of an envelope with a few grants, without its two pictures.
const ABOUT_RULES_BYTES: u64 = 1024;
/// The default access-denied picture of servers.
const USUAL_DENIED_PICTURE: &[u8] = include_bytes!("../../../assets/unified_image.png");
/// The bytes that are hidden in addition to the file.
const ABOUT_OVERHEAD_BYTES: u64 = ABOUT_RULES_BYTES + USUAL_DENIED_PICTURE.len() as u64;

/// Reports how much a picture can hold.
pub(super) async fn capacity(
    speaker: Speaker,
    decoder: &Decoder,
    wanted: &Capacity,
) -> Result<ExitCode, Failure> {
    let limits = Limits {
        first_frame: wanted.first_frame,
        ..Limits::DEFAULT
    };
    let file = files::read(&wanted.input, limits.carrier_bytes)?;
    let picture = decoder.measure(file, &limits).await?;
    let payload = match &wanted.payload {
        None => None,
        Some(path) => Some(files::read(path, limits.upload_bytes)?.len() as u64),
    };
    let carriers = picture.carrier_samples;
    let size = picture.size;
    let settings = BitsPerSample::ALL.map(|bits| (bits, Layout::scattered(bits, 0).body_bytes(carriers)));
    let fits = |room: u64| payload.map(|bytes| bytes.saturating_add(ABOUT_OVERHEAD_BYTES) <= room);

    let rows =
        settings.map(|(bits, room)| json!({ "bits": bits.count(), "bytes": room, "fits": fits(room) }));
    let mut value = json!({
        "width": size.width,
        "height": size.height,
        "carrier_samples": carriers,
        "payload_bytes": payload,
        "overhead_bytes": ABOUT_OVERHEAD_BYTES,
        "settings": rows,
    });
    report::insert_path(&mut value, "file", &wanted.input);
    speaker.print(&value);
    speaker.say(&format!(
        "{}: {size} pixels, {}; {carriers} samples can carry hidden bits.",
        files::shown(&wanted.input),
        colors(picture.colors),
    ));
    for (bits, room) in settings {
        let verdict = match fits(room) {
            None => "",
            Some(true) => "   fits",
            Some(false) => "   too small",
        };
        speaker.say(&format!(
            "  --bits {bits}   {room:>12} bytes ({}){verdict}",
            report::size_of(room)
        ));
    }
    if let Some(bytes) = payload {
        speaker.say(&format!(
            "Needed: {bytes} bytes for the file, about {ABOUT_RULES_BYTES} for policy and signatures, and {} for the default \
             access-denied picture of servers.",
            USUAL_DENIED_PICTURE.len()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Reports what a file tells everyone who has it.
pub(super) async fn inspect(
    speaker: Speaker,
    decoder: &Decoder,
    wanted: &Inspect,
) -> Result<ExitCode, Failure> {
    let limits = Limits::DEFAULT;
    let file = files::read(&wanted.input, limits.carrier_bytes)?;
    let Inspected { metadata, carried } = decoder.inspect(file, &limits).await?;
    let carried = carried.map_err(|error| {
        let mut failure = Failure::from(error);
        // A picture that is not protected gives its metadata away, and people look for that with this command.
        if metadata.is_some() || failure.class != ErrorClass::NotAPicture {
            for line in disclosure::of_file(metadata.as_deref()) {
                speaker.say(&line);
            }
        }
        failure.known.push(("metadata", json!(metadata)));
        failure
    })?;
    // Structure and hashes are valid by now. What remains is the owner's signature.
    carried
        .envelope
        .verify_signature()
        .map_err(|error| ClientError::from(Error::from(error)))?;
    let receipt = receipt_is_signed(&carried)?;
    let mut value = as_json(&carried, receipt);
    value["metadata"] = json!(metadata);
    speaker.print(&value);
    for line in as_lines(&carried, receipt) {
        speaker.say(&line);
    }
    for line in disclosure::of_file(metadata.as_deref()) {
        speaker.say(&line);
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether there is a receipt that is signed by the key it names. Only a cluster knows whose key that is.
fn receipt_is_signed(carried: &Carried) -> Result<bool, ClientError> {
    let Some(receipt) = carried.envelope.receipt() else {
        return Ok(false);
    };
    let verified = carried.envelope.verify_receipt(&receipt.cluster_key);
    Ok(verified.map_err(Error::from)?.is_some())
}

fn as_json(carried: &Carried, receipt: bool) -> Value {
    let (envelope, layout) = (&carried.envelope, carried.preamble.layout);
    let (header, policy) = (envelope.header(), envelope.policy());
    let grants = policy.grants().iter().map(|grant| {
        json!({
            "user": grant.user.as_str(),
            "views": report::number(grant.views),
            "not_before": grant.not_before.map(|time| time.0),
            "expires": grant.expires.map(|time| time.0),
        })
    });
    let sections = envelope.manifest().sections().iter().map(|section| {
        json!({ "kind": section.kind.number(), "name": name(section.kind), "bytes": section.length, "sha256": HEXLOWER.encode(&section.hash) })
    });
    let status = envelope.status().map(|status| {
        let remaining = status.remaining.iter();
        let remaining = remaining.map(|user| json!({ "user": user.user.as_str(), "views": report::number(user.views) }));
        json!({ "as_of": status.as_of.0, "log_index": status.log_index, "remaining": remaining.collect::<Vec<_>>() })
    });
    let receipt = envelope.receipt().filter(|_| receipt).map(|receipt| {
        json!({ "cluster_key": receipt.cluster_key.to_string(), "log_index": receipt.log_index, "registered": receipt.registered.0 })
    });
    json!({
        "outcome": "protected",
        "mode": header.mode.to_string(),
        "object": header.object.to_string(),
        "cluster": header.cluster.to_string(),
        "created": header.created.0,
        "policy_version": header.policy_version.0,
        "owner": policy.owner().as_str(),
        "owner_key": policy.owner_key().fingerprint().to_string(),
        "grants": grants.collect::<Vec<_>>(),
        "sections": sections.collect::<Vec<_>>(),
        "receipt": receipt,
        "status": status,
        "width": carried.picture.size.width,
        "height": carried.picture.size.height,
        "depth": carried.picture.depth,
        "bits": layout.bits.count(),
        "scattered": layout.scatter_salt.is_some(),
        "matched": layout.matched,
        "body_bytes": carried.preamble.body_bytes,
        "room_bytes": layout.body_bytes(carried.picture.carrier_samples),
    })
}

fn as_lines(carried: &Carried, receipt: bool) -> Vec<String> {
    let (envelope, layout) = (&carried.envelope, carried.preamble.layout);
    let (header, policy) = (envelope.header(), envelope.policy());
    let mut lines = vec![
        format!(
            "A protected picture of mode {}, intact, and signed by the key that it names.",
            header.mode
        ),
        format!(
            "  owner     {}, key {}",
            policy.owner(),
            policy.owner_key().fingerprint()
        ),
        format!("  object    {}", header.object),
        format!("  cluster   {}", header.cluster),
        format!("  created   {} (by the owner's clock)", date(header.created)),
        format!(
            "  policy    version {} at creation; the cluster may have a newer one",
            header.policy_version
        ),
    ];
    lines.extend(
        policy
            .grants()
            .iter()
            .map(|grant| format!("    {}", describe(grant))),
    );
    lines.push(format!(
        "  picture   {}, {} of {} bits; {} bytes hidden in the lowest {} of each sample{}, room for {}",
        carried.picture.size,
        colors(carried.picture.colors),
        carried.picture.depth,
        carried.preamble.body_bytes,
        if layout.bits == BitsPerSample::One {
            "bit".to_owned()
        } else {
            format!("{} bits", layout.bits)
        },
        if layout.scatter_salt.is_some() {
            ", scattered"
        } else {
            ""
        },
        layout.body_bytes(carried.picture.carrier_samples),
    ));
    for section in envelope.manifest().sections() {
        let hash = HEXLOWER.encode(&section.hash);
        lines.push(format!(
            "    {:<16} {:>10} bytes  SHA-256 {hash}",
            name(section.kind),
            section.length
        ));
    }
    lines.push(match envelope.receipt().filter(|_| receipt) {
        None => "  receipt   none".to_owned(),
        Some(receipt) => format!(
            "  receipt   registered at log index {} on {}, by the key {}",
            receipt.log_index,
            date(receipt.registered),
            receipt.cluster_key.fingerprint(),
        ),
    });
    if let Some(status) = envelope.status() {
        lines.push(format!(
            "  status    as of {}; advisory, not signed",
            date(status.as_of)
        ));
        lines.extend(
            status
                .remaining
                .iter()
                .map(|user| format!("    {}: {}", user.user, left(user.views))),
        );
    }
    lines.push(if envelope.section(SectionKind::Original).is_some() {
        "The original is encrypted. One share of its key is in this file, the other is kept by the cluster's servers."
            .to_owned()
    } else {
        "It is a label: everyone sees the photograph, and nothing in the file is secret.".to_owned()
    });
    lines
}

fn describe(grant: &Grant) -> String {
    let mut text = format!("{} may view {}", grant.user, views(grant.views));
    if let Some(time) = grant.not_before {
        text.push_str(&format!(", not before {}", date(time)));
    }
    if let Some(time) = grant.expires {
        text.push_str(&format!(", until {}", date(time)));
    }
    text
}

fn views(views: Views) -> String {
    match views {
        Views::Unlimited => "without limit".to_owned(),
        Views::Total(1) => "once".to_owned(),
        Views::Total(views) => format!("{views} times"),
    }
}

fn left(views: Views) -> String {
    match views {
        Views::Unlimited => "no limit".to_owned(),
        Views::Total(1) => "1 view left".to_owned(),
        Views::Total(views) => format!("{views} views left"),
    }
}

fn name(kind: SectionKind) -> String {
    match kind {
        SectionKind::Policy => "policy".to_owned(),
        SectionKind::DeniedPicture => "denied picture".to_owned(),
        SectionKind::Preview => "preview".to_owned(),
        SectionKind::Original => "original, sealed".to_owned(),
        SectionKind::OriginalMetadata => "metadata, sealed".to_owned(),
        SectionKind::Other(number) => format!("unknown {number}"),
    }
}

const fn colors(colors: Colors) -> &'static str {
    match colors {
        Colors::Grey => "grey",
        Colors::GreyAlpha => "grey with alpha",
        Colors::Rgb => "RGB",
        Colors::Rgba => "RGB with alpha",
    }
}

/// Returns a time as people write it, in UTC. Days count from 1 March of year 0, so that leap days come last
/// (Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`).
fn date(UnixSeconds(seconds): UnixSeconds) -> String {
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        time / 3600,
        time / 60 % 60,
        time % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_827_696, "2000-02-29 12:34:56 UTC"),
            (1_700_000_000, "2023-11-14 22:13:20 UTC"),
            (4_107_542_399, "2100-02-28 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(date(UnixSeconds(seconds)), expected);
        }
    }
}
