//! Random numbers from ranges, and the checks that the ranges need.

use rand::{Rng, RngExt as _};

use crate::ImageError;

/// Evenly from `low` to `high`.
pub(super) fn uniform((low, high): (f64, f64), rng: &mut impl Rng) -> f64 {
    low + (high - low) * rng.random::<f64>()
}

/// True in this share of the cases.
pub(super) fn chance(probability: f64, rng: &mut impl Rng) -> bool {
    rng.random::<f64>() < probability
}

/// `value` or `-value`.
pub(super) fn either_sign(value: f64, rng: &mut impl Rng) -> f64 {
    if rng.random() { value } else { -value }
}

/// Whether a range is one, and inside of another.
pub(super) fn within(
    (low, high): (f64, f64),
    (least, most): (f64, f64),
    expected: &'static str,
) -> Result<(), ImageError> {
    if least <= low && low <= high && high <= most {
        return Ok(());
    }
    Err(ImageError::InvalidTransform {
        expected,
        found: format!("{low} to {high}"),
    })
}

/// Whether a probability is one.
pub(super) fn check_probability(probability: f64, expected: &'static str) -> Result<(), ImageError> {
    if (0.0..=1.0).contains(&probability) {
        return Ok(());
    }
    Err(ImageError::InvalidTransform {
        expected,
        found: probability.to_string(),
    })
}
