//! Two detectors of replaced low bits, as published, and the usual measure of what the eye may notice.

/// Peak signal-to-noise ratio in decibels: 10 log₁₀ (255² / mean squared difference).
pub(super) fn psnr(before: &[u8], after: &[u8]) -> f64 {
    let squares = before.iter().zip(after).map(|(old, new)| {
        let difference = f64::from(old.abs_diff(*new));
        difference * difference
    });
    let mean = squares.sum::<f64>() / before.len() as f64;
    10.0 * (255.0 * 255.0 / mean).log10()
}

/// Sample-pair analysis (Dumitrescu, Wu and Wang, "Detection of LSB steganography via sample pair analysis", IEEE
/// Transactions on Signal Processing 51(7), 2003, equation 10): the estimated share of samples whose low bit was
/// replaced. Pairs are neighbours in a row, of the same channel.
pub(super) fn sample_pairs(samples: &[u8], row_samples: usize, per_pixel: usize) -> f64 {
    let (mut pairs, mut x, mut y, mut kappa) = (0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64);
    for row in samples.chunks_exact(row_samples) {
        let neighbours = row.iter().zip(row.iter().skip(per_pixel));
        for (&u, &v) in neighbours {
            pairs += 1.0;
            // X: v is even and u below it, or v odd and u above; Y: the other way round.
            if v % 2 == 0 && u < v || v % 2 == 1 && u > v {
                x += 1.0;
            }
            if v % 2 == 0 && u > v || v % 2 == 1 && u < v {
                y += 1.0;
            }
            if u / 2 == v / 2 {
                kappa += 1.0;
            }
        }
    }
    // The smaller root of κ/2 · p² + (2x − pairs) · p + (y − x) = 0.
    let (a, b, c) = (kappa / 2.0, 2.0 * x - pairs, y - x);
    if a == 0.0 {
        return -c / b;
    }
    let discriminant = (b * b - 4.0 * a * c).max(0.0).sqrt();
    let roots = [(-b + discriminant) / (2.0 * a), (-b - discriminant) / (2.0 * a)];
    if roots[0].abs() < roots[1].abs() {
        roots[0]
    } else {
        roots[1]
    }
}

/// The chi-square attack (Westfeld and Pfitzmann, "Attacks on steganographic systems", 1999, §3.3): replacement makes
/// the two values of a pair 2i, 2i + 1 equally frequent; this is the probability that they are.
pub(super) fn chi_square(samples: &[u8]) -> f64 {
    let mut counts = [0.0_f64; 256];
    for &sample in samples {
        if let Some(count) = counts.get_mut(usize::from(sample)) {
            *count += 1.0;
        }
    }
    let (mut sum, mut categories) = (0.0, 0.0_f64);
    for [even, odd] in counts.as_chunks::<2>().0 {
        let expected = (even + odd) / 2.0;
        // As usual, nearly empty categories are left out.
        if expected > 4.0 {
            sum += (even - expected) * (even - expected) / expected;
            categories += 1.0;
        }
    }
    if categories < 2.0 {
        return 0.0;
    }
    upper_gamma((categories - 1.0) / 2.0, sum / 2.0)
}

/// The regularized upper incomplete gamma function Q(s, x): its series below s + 1, its continued fraction above
/// (Abramowitz and Stegun, 6.5.29 and 6.5.31).
fn upper_gamma(s: f64, x: f64) -> f64 {
    const STEPS: u32 = 10_000;
    if x <= 0.0 {
        return 1.0;
    }
    let scale = (s * x.ln() - x - ln_gamma(s)).exp();
    if x < s + 1.0 {
        let (mut term, mut sum) = (1.0 / s, 1.0 / s);
        for step in 1..STEPS {
            term *= x / (s + f64::from(step));
            sum += term;
            if term < sum * 1e-14 {
                break;
            }
        }
        return (1.0 - scale * sum).clamp(0.0, 1.0);
    }
    let mut b = x + 1.0 - s;
    let mut c = 1.0 / f64::MIN_POSITIVE;
    let mut d = 1.0 / b;
    let mut fraction = d;
    for step in 1..STEPS {
        let step = f64::from(step);
        let a = -step * (step - s);
        b += 2.0;
        d = 1.0 / (a * d + b);
        c = b + a / c;
        let factor = d * c;
        fraction *= factor;
        if (factor - 1.0).abs() < 1e-14 {
            break;
        }
    }
    (scale * fraction).clamp(0.0, 1.0)
}

/// ln Γ(s): shifted upwards, then Stirling's series (Abramowitz and Stegun, 6.1.41).
fn ln_gamma(s: f64) -> f64 {
    let (mut shifted, mut product) = (s, 1.0_f64);
    while shifted < 12.0 {
        product *= shifted;
        shifted += 1.0;
    }
    let square = shifted * shifted;
    let series = (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / (1260.0 * square)) / square) / shifted;
    (shifted - 0.5) * shifted.ln() - shifted + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - product.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_close(value: f64, expected: f64) -> bool {
        (value - expected).abs() < 1e-9
    }

    #[test]
    fn the_gamma_functions_have_their_known_values() {
        assert!(is_close(ln_gamma(0.5), std::f64::consts::PI.sqrt().ln()));
        assert!(is_close(ln_gamma(5.0), 24.0_f64.ln()));
        // Q(1, x) is exp(-x), and Q(1/2, x) the complementary error function of √x.
        for x in [0.1, 1.0, 2.5, 20.0] {
            assert!(is_close(upper_gamma(1.0, x), (-x).exp()), "{x}");
        }
        assert!(is_close(upper_gamma(0.5, 1.0), 0.157_299_207_050_285));
    }

    #[test]
    fn the_detectors_see_replaced_bits_and_nothing_else() {
        // A soft slope with a few values of grain, and the same with every low bit replaced.
        let grain = crate::lsb::noise(600 * 400, 1);
        let slope: Vec<u8> = (0..600 * 400)
            .map(|place| (60.0 + ((place % 600) as f64 / 97.0).sin() * 40.0) as u8 + grain[place] % 5)
            .collect();
        let bits = crate::lsb::noise(600 * 400, 2);
        let replaced: Vec<u8> = slope
            .iter()
            .zip(&bits)
            .map(|(sample, bit)| sample & !1 | bit & 1)
            .collect();
        assert!(
            sample_pairs(&slope, 600, 1).abs() < 0.1,
            "{}",
            sample_pairs(&slope, 600, 1)
        );
        assert!(
            (sample_pairs(&replaced, 600, 1) - 1.0).abs() < 0.1,
            "{}",
            sample_pairs(&replaced, 600, 1)
        );
        assert!(chi_square(&slope) < 0.01);
        assert!(chi_square(&replaced) > 0.01);
        assert!((psnr(&slope, &replaced) - 51.14).abs() < 0.1);
        assert!(psnr(&slope, &slope).is_infinite());
    }
}
