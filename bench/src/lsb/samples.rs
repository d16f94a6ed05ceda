//! Embedding and extraction alone: samples in memory, against a copy of the same samples.

use std::hint::black_box;
use std::time::Instant;

use lsb_core::bits::scatter::{embed_scattered, extract_scattered};
use lsb_core::bits::{self, BitsPerSample, Coins};

use super::pictures::noise;
use crate::report::Row;

/// Red, green and blue of 12 megapixels.
const SAMPLES: usize = 36_000_000;
/// The ratio that we promise for one bit per sample, plain; other settings are measured and not promised.
const DUE: f64 = 0.5;
const SALT: u64 = 0x5eed;

/// The samples, a copy of them, and a payload that fills them.
struct Bench {
    samples: Vec<u8>,
    copy: Vec<u8>,
    payload: Vec<u8>,
    rounds: u32,
}

pub(super) fn run(rounds: u32) -> Vec<Row> {
    let mut bench = Bench {
        samples: noise(SAMPLES, 1),
        copy: vec![0; SAMPLES],
        payload: noise(SAMPLES / 2, 2),
        rounds: rounds.max(3),
    };
    // Both sides' memory is touched first. Otherwise the first copies would pay for unused pages.
    bench.copy.fill(1);
    let one = BitsPerSample::One;
    bench.row(String::new(), 0.0, |samples, payload| {
        bits::embed(samples, one, room(payload, one))
    });
    let mut rows = Vec::new();
    for bits in BitsPerSample::ALL {
        let (due, unit) = if bits == one { (DUE, "bit") } else { (0.0, "bits") };
        let name = |what: &str| format!("{what}, {bits} {unit}, plain");
        rows.push(bench.row(name("embed"), due, |samples, payload| {
            bits::embed(samples, bits, room(payload, bits));
        }));
        rows.push(bench.row(name("extract"), due, |samples, payload| {
            bits::extract(samples, bits, room(payload, bits));
        }));
    }
    rows.push(
        bench.row("embed, 1 bit, matched".into(), 0.0, |samples, payload| {
            bits::embed_matched(samples, one, room(payload, one), &mut Coins::seeded(SALT));
        }),
    );
    rows.push(bench.row(
        "embed, 1 bit, scattered, matched".into(),
        0.0,
        |samples, payload| {
            embed_scattered(
                samples,
                one,
                room(payload, one),
                SALT,
                Some(&mut Coins::seeded(SALT)),
            );
        },
    ));
    rows.push(
        bench.row("extract, 1 bit, scattered".into(), 0.0, |samples, payload| {
            extract_scattered(samples, one, room(payload, one), SALT);
        }),
    );
    rows
}

/// Returns as much payload as the samples hold.
fn room(payload: &mut [u8], bits: BitsPerSample) -> &mut [u8] {
    let length = SAMPLES / 8 * usize::from(bits.count());
    payload.get_mut(..length).unwrap_or_default()
}

impl Bench {
    /// Measures gigabytes of samples per second, of the work and of a copy, in turns.
    fn row(&mut self, work: String, due: f64, mut run: impl FnMut(&mut [u8], &mut [u8])) -> Row {
        let rate = |seconds: f64| SAMPLES as f64 / seconds / 1e9;
        let (mut ours, mut peer) = (0.0_f64, 0.0_f64);
        for _ in 0..self.rounds {
            let begin = Instant::now();
            black_box(&mut self.copy).copy_from_slice(black_box(&self.samples));
            peer = peer.max(rate(begin.elapsed().as_secs_f64()));
            let begin = Instant::now();
            run(black_box(&mut self.samples), black_box(&mut self.payload));
            ours = ours.max(rate(begin.elapsed().as_secs_f64()));
        }
        Row {
            work,
            ours,
            peer,
            unit: "GB/s, memcpy",
            ratio: ours / peer,
            due,
        }
    }
}
