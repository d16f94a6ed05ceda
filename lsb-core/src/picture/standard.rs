//! Colours of any profile as those of sRGB, which viewers expect of a picture that says nothing of its colours.

use alloc::vec::Vec;

use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;
use moxcms::{
    CicpColorPrimaries, CicpProfile, ColorProfile, DataColorSpace, Layout, MatrixCoefficients,
    RenderingIntent, TransferCharacteristics, TransformOptions,
};

use super::ancillary::Ancillary;
use super::guard::guarded;
use crate::raster::Colors;
use crate::upload::MediaType;

/// Profiles of pictures have up to a megabyte; what unpacks to more is none.
const MOST_PROFILE_BYTES: usize = 4 << 20;

/// Opaque red, green and blue of the file that `ancillary` belongs to, as those of sRGB.
///
/// A picture whose profile cannot be read is taken as it is, as viewers take it. Of gamma alone, which older files
/// have in place of a profile, the curve is undone and the primaries are taken to be those of sRGB.
pub(super) fn standard(samples: Vec<u8>, colors: Colors, ancillary: &Ancillary) -> Vec<u8> {
    if let Some(profile) = profile_of(ancillary) {
        let converted = guarded(MediaType::Png, || Ok(converted(&samples, colors, &profile)));
        return converted.ok().flatten().unwrap_or(samples);
    }
    let Some(gamma) = ancillary.gamma() else {
        return samples;
    };
    let shown = shown_by(gamma);
    let shown = |sample: u8| shown.get(usize::from(sample)).copied().unwrap_or(sample);
    samples.into_iter().map(shown).collect()
}

/// What says best how the samples are meant: code points, then a profile (PNG specification, third edition, §4.3).
fn profile_of(ancillary: &Ancillary) -> Option<ColorProfile> {
    if let Some(&[primaries, transfer, 0, 1]) = ancillary.chunk(*b"cICP") {
        // The curves of high dynamic range say how bright a screen is to be, and not what is seen on a usual one.
        if matches!(transfer, 16 | 18) {
            return None;
        }
        return Some(ColorProfile::new_from_cicp(CicpProfile {
            color_primaries: CicpColorPrimaries::try_from(primaries).ok()?,
            transfer_characteristics: TransferCharacteristics::try_from(transfer).ok()?,
            matrix_coefficients: MatrixCoefficients::Identity,
            full_range: true,
        }));
    }
    // A name that ends with zero, the method of compression, and the profile.
    let content = ancillary.chunk(*b"iCCP")?;
    let name_bytes = content.iter().position(|byte| *byte == 0)?;
    let packed = content.get(name_bytes + 2..)?;
    let profile = decompress_to_vec_zlib_with_limit(packed, MOST_PROFILE_BYTES).ok()?;
    ColorProfile::new_from_slice(&profile).ok()
}

fn converted(samples: &[u8], colors: Colors, profile: &ColorProfile) -> Option<Vec<u8>> {
    let options = TransformOptions {
        rendering_intent: RenderingIntent::RelativeColorimetric,
        ..TransformOptions::default()
    };
    let target = ColorProfile::new_srgb();
    let is_grey = colors.colors() == 1;
    // A profile of other colours than the picture's describes something else.
    if profile.color_space
        != if is_grey {
            DataColorSpace::Gray
        } else {
            DataColorSpace::Rgb
        }
    {
        return None;
    }
    let mut converted = alloc::vec![0; samples.len()];
    if is_grey {
        let grey: Vec<u8> = samples.iter().step_by(3).copied().collect();
        let transform = profile.create_transform_8bit(Layout::Gray, &target, Layout::Rgb, options);
        transform.ok()?.transform(&grey, &mut converted).ok()?;
    } else {
        let transform = profile.create_transform_8bit(Layout::Rgb, &target, Layout::Rgb, options);
        transform.ok()?.transform(samples, &mut converted).ok()?;
    }
    Some(converted)
}

/// For every sample of a picture with a gamma of its own, the one of sRGB that shows as much light
/// (IEC 61966-2-1).
fn shown_by(gamma: f64) -> Vec<u8> {
    let standard = |sample: u8| {
        let light = (f64::from(sample) / 255.0).powf(gamma);
        let encoded = if light <= 0.003_130_8 {
            light * 12.92
        } else {
            1.055 * light.powf(1.0 / 2.4) - 0.055
        };
        // Between 0 and 255: the closest whole number is looked for, because a cast would have to be excused.
        let scaled = encoded.clamp(0.0, 1.0) * 255.0 + 0.5;
        (0..=u8::MAX)
            .rev()
            .find(|whole| f64::from(*whole) <= scaled)
            .unwrap_or(0)
    };
    (0..=u8::MAX).map(standard).collect()
}
