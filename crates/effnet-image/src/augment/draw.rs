//! Draws random numbers from ranges, and checks the ranges.

use rand::{Rng, RngExt as _};

use crate::ImageError;

/// Draws a uniform random number from `low` to `high`.
pub(super) fn uniform((low, high): (f64, f64), rng: &mut impl Rng) -> f64 {
    low + (high - low) * rng.random::<f64>()
}

/// Returns `true` with this probability.
pub(super) fn chance(probability: f64, rng: &mut impl Rng) -> bool {
    rng.random::<f64>() < probability
}

/// Returns `value` or `-value` with equal probability.
pub(super) fn either_sign(value: f64, rng: &mut impl Rng) -> f64 {
    if rng.random() { value } else { -value }
}

/// Checks that `low <= high`, and that the range lies within `least` to `most`.
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

/// Checks that a probability is between 0 and 1.
pub(super) fn check_probability(probability: f64, expected: &'static str) -> Result<(), ImageError> {
    if (0.0..=1.0).contains(&probability) {
        return Ok(());
    }
    Err(ImageError::InvalidTransform {
        expected,
        found: probability.to_string(),
    })
}
