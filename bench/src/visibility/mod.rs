//! What hidden bits change: how far samples move, and what two well-known detectors see.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use lsb_core::bits::BitsPerSample;
use lsb_core::picture;
use lsb_core::raster::{Raster, Samples};
use lsb_core::{Layout, Limits, carrier};
use serde::Serialize;

use crate::lsb::noise;
use crate::report;

mod detectors;

#[derive(Args)]
pub(crate) struct Options {
    /// The photographs to hide in; those of the repository by default.
    photographs: Vec<PathBuf>,
}

const PHOTOGRAPHS: [(&str, &[u8]); 3] = [
    (
        "chelsea.png",
        include_bytes!("../../../lsb-core/tests/photos/chelsea.png"),
    ),
    (
        "rocket.jpg",
        include_bytes!("../../../lsb-core/tests/photos/rocket.jpg"),
    ),
    (
        "grace_hopper.jpg",
        include_bytes!("../../../lsb-core/tests/photos/grace_hopper.jpg"),
    ),
];

/// The salt of every scattered row.
const SALT: u64 = 0x5eed;

/// One setting in one photograph.
#[derive(Serialize)]
pub(crate) struct Row {
    photograph: String,
    /// Bits per sample; none for the original photograph.
    bits: Option<u8>,
    way: &'static str,
    /// How much of the capacity is filled, in percent.
    filled: u64,
    /// Peak signal-to-noise ratio, in decibels; infinite for no change.
    psnr: f64,
    /// The share of samples that sample-pair analysis believes to carry bits.
    pairs: f64,
    /// The probability of replaced bits by the chi-square attack, over the first tenth of the samples (where a payload
    /// that is not scattered begins), and over all.
    chi_square_first: f64,
    chi_square_all: f64,
}

pub(crate) fn run(options: &Options) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows = Vec::new();
    if options.photographs.is_empty() {
        for (name, file) in PHOTOGRAPHS {
            measure(name, file, &mut rows)?;
        }
    }
    for path in &options.photographs {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        measure(&name, &std::fs::read(path)?, &mut rows)?;
    }
    Ok(rows)
}

fn measure(photograph: &str, file: &[u8], rows: &mut Vec<Row>) -> Result<(), Box<dyn Error>> {
    let raster = picture::decode(file, u64::MAX, &Limits::DEFAULT)?.raster;
    rows.push(row(photograph, None, "untouched", 0, &raster, &raster)?);
    for bits in BitsPerSample::ALL {
        let ways = [
            ("replaced", Layout::plain(bits)),
            (
                "matched",
                Layout {
                    matched: true,
                    ..Layout::plain(bits)
                },
            ),
            ("matched, scattered", Layout::scattered(bits, SALT)),
        ];
        for (way, layout) in ways {
            for filled in [5, 25, 100] {
                let mut touched = raster.clone();
                let room = layout.body_bytes(raster.carrier_samples());
                carrier::write(
                    &mut touched,
                    layout,
                    &noise(usize::try_from(room * filled / 100)?, 6),
                )?;
                rows.push(row(photograph, Some(bits), way, filled, &raster, &touched)?);
            }
        }
    }
    Ok(())
}

fn row(
    photograph: &str,
    bits: Option<BitsPerSample>,
    way: &'static str,
    filled: u64,
    before: &Raster,
    after: &Raster,
) -> Result<Row, Box<dyn Error>> {
    let (Samples::Eight(before), Samples::Eight(samples)) = (before.samples(), after.samples()) else {
        return Err("the detectors are made for eight bits per sample".into());
    };
    let row_samples = after.width() as usize * after.colors().samples();
    let first = samples.get(..samples.len() / 10).unwrap_or_default();
    Ok(Row {
        photograph: photograph.to_owned(),
        bits: bits.map(BitsPerSample::count),
        way,
        filled,
        psnr: detectors::psnr(before, samples),
        pairs: detectors::sample_pairs(samples, row_samples, after.colors().samples()),
        chi_square_first: detectors::chi_square(first),
        chi_square_all: detectors::chi_square(samples),
    })
}

pub(crate) fn print(rows: &[Row], json: bool) {
    if json {
        return report::print_json(rows);
    }
    report::say(format_args!(
        "{:<18} {:>4} {:<18} {:>6} {:>8} {:>6} {:>9} {:>7}",
        "photograph", "bits", "way", "filled", "PSNR dB", "pairs", "chi first", "chi all"
    ));
    for row in rows {
        let bits = row.bits.map_or_else(|| "-".to_owned(), |bits| bits.to_string());
        report::say(format_args!(
            "{:<18} {bits:>4} {:<18} {:>5}% {:>8.1} {:>6.2} {:>9.2} {:>7.2}",
            row.photograph,
            row.way,
            row.filled,
            row.psnr,
            row.pairs,
            row.chi_square_first,
            row.chi_square_all
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = include_str!("../../../docs/visibility.md");

    /// The ratio that the document states for a number of bits and a filling.
    fn stated_psnr(bits: u8, filled: u64) -> f64 {
        let line = format!("| {bits} | ");
        let line = DOCUMENT
            .lines()
            .find_map(|text| text.strip_prefix(&line))
            .unwrap();
        let place = [5, 25, 100].iter().position(|each| *each == filled).unwrap();
        let cell = line.split(" | ").nth(place).unwrap();
        cell.strip_suffix(" dB").unwrap().parse().unwrap()
    }

    /// A change of the order of carrying samples or of the coins changes these figures too.
    #[test]
    fn the_document_states_what_is_measured() {
        let rows = run(&Options {
            photographs: Vec::new(),
        });
        for row in rows.unwrap() {
            if let Some(bits) = row.bits {
                let stated = stated_psnr(bits, row.filled);
                assert!(
                    (row.psnr - stated).abs() < 0.35,
                    "{bits} bits, {} %: {stated}, and {} is measured",
                    row.filled,
                    row.psnr
                );
            }
            if row.bits.is_none_or(|bits| bits == 1) {
                let line = format!(
                    "| {} | {} | {} % | {:.2} | {:.2} |",
                    row.photograph, row.way, row.filled, row.pairs, row.chi_square_all
                )
                .replace("-0.00", "0.00");
                assert!(
                    DOCUMENT.lines().any(|text| text == line),
                    "the document lacks {line}"
                );
            }
        }
    }
}
