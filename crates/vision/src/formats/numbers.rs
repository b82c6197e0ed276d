//! Numbers as text: read strictly, and written so briefly that they read back the same.

use crate::Rule;

/// How far beyond an estimate, in steps of the last bit, a number is looked for.
const STEPS: usize = 8;

/// A finite number; otherwise the rule that it breaks, and what was found.
pub(crate) fn number(text: &str) -> Result<f64, (Rule, String)> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        Ok(_) => Err((Rule::NotFinite, format!("expected a finite number, found {text}"))),
        Err(_) => Err((Rule::BadType, format!("expected a number, found {text:?}"))),
    }
}

/// The briefest text near `estimate` whose number is `right`, or that of the estimate where none is: `Err`.
///
/// A reader computes with what it reads (`cx * width`), and a writer divides; the division's rounding may miss the number
/// that was read, but only by some steps of the last bit.
pub(crate) fn briefest(estimate: f64, right: impl Fn(f64) -> bool) -> Result<String, String> {
    for decimals in [6, 9, 12, 15] {
        let text = trimmed(format!("{estimate:.decimals$}"));
        if text.parse().is_ok_and(&right) {
            return Ok(text);
        }
    }
    let (mut above, mut below) = (estimate, estimate);
    for _ in 0..STEPS {
        for one in [above, below] {
            if right(one) {
                return Ok(one.to_string());
            }
        }
        (above, below) = (above.next_up(), below.next_down());
    }
    Err(estimate.to_string())
}

fn trimmed(mut text: String) -> String {
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    if text == "-0" { "0".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_finite_number_says_why() {
        assert_eq!(number("-0.5e1"), Ok(-5.0));
        for (text, rule) in [("nan", Rule::NotFinite), ("1e999", Rule::NotFinite), ("", Rule::BadType)] {
            assert_eq!(number(text).unwrap_err().0, rule);
        }
    }

    proptest! {
        /// Whatever is read from text is written so that it reads the same, and not longer.
        #[test]
        fn a_number_comes_back(text in "0\\.[0-9]{1,16}", side in 1u32..20_000) {
            let side = f64::from(side);
            let pixels = text.parse::<f64>().unwrap() * side;
            let written = briefest(pixels / side, |one| one * side == pixels).unwrap();
            prop_assert_eq!(written.parse::<f64>().unwrap() * side, pixels);
            let digits = text.trim_end_matches('0').trim_end_matches('.').len();
            prop_assert!(digits > 17 || written.len() <= digits.max(8), "{} became {}", text, written);
        }
    }
}
