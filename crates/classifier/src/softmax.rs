//! Softmax on an exponential of its own: the platform's is not the same everywhere.

use std::f64::consts::LOG2_E;

/// ln 2 in two parts: the first ends in 21 zero bits, so that its product with a small integer is exact.
const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// 1/10!, 1/9!, ... 1/0!: Taylor's series, with an error under 1e-12 for |r| <= ln 2 / 2.
const TAYLOR: [f64; 11] = [
    1.0 / 3_628_800.0,
    1.0 / 362_880.0,
    1.0 / 40_320.0,
    1.0 / 5_040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    1.0 / 2.0,
    1.0,
    1.0,
];

/// e^x for `x <= 0`, to the precision of an `f32`.
fn exp_of_negative(x: f32) -> f32 {
    // e^-104 is less than half of the smallest positive f32.
    if x < -104.0 {
        return 0.0;
    }
    let x = f64::from(x);
    let power = (x * LOG2_E).round();
    let rest = (x - power * LN_2_HIGH) - power * LN_2_LOW;
    let series = TAYLOR.iter().fold(0.0, |sum, term| sum * rest + term);
    // `power` lies in -150..=0: a normal f64.
    let scale = f64::from_bits(((1023 + power as i64) as u64) << 52);
    (series * scale) as f32
}

/// Turns finite logits into probabilities, in place.
pub(crate) fn softmax(logits: &mut [f32]) {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for logit in logits.iter_mut() {
        *logit = exp_of_negative(*logit - highest);
        sum += *logit;
    }
    // The highest logit adds exactly 1, so the sum is never zero.
    for probability in logits.iter_mut() {
        *probability /= sum;
    }
}

#[cfg(test)]
mod tests {
    use super::{exp_of_negative, softmax};

    #[test]
    fn the_exponential_is_within_one_unit_in_the_last_place() {
        for thousandth in 0..=87_000 {
            let x = -(thousandth as f32) / 1000.0;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp_of_negative(x)) - expected).abs() / expected;
            assert!(error < f64::from(f32::EPSILON), "e^{x}: relative error {error}");
        }
        assert_eq!(exp_of_negative(0.0), 1.0);
        assert_eq!(exp_of_negative(-1e30), 0.0);
        assert_eq!(exp_of_negative(f32::NEG_INFINITY), 0.0);
    }

    #[test]
    fn probabilities_sum_to_one_and_ignore_a_common_shift() {
        let mut plain = [1.0, 2.0, 3.0];
        let mut shifted = [1e4 + 1.0, 1e4 + 2.0, 1e4 + 3.0];
        softmax(&mut plain);
        softmax(&mut shifted);
        assert_eq!(plain, shifted);
        assert!((plain.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        let mut extreme = [f32::MAX, -f32::MAX];
        softmax(&mut extreme);
        assert_eq!(extreme, [1.0, 0.0]);
    }
}
