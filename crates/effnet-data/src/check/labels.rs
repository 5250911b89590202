//! Finds labels that are probably wrong.

use super::noise::Noise;
use super::probe::Prediction;

/// The least probability with which a reported label is wrong. In practice half of those reported are wrong, and few
/// wrong ones are missed: looking at an image too many costs less than missing one.
const LEAST: f64 = 0.08;

/// An image whose label is probably wrong.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DoubtfulLabel {
    /// The index of the image.
    pub image: usize,
    /// The probability of its label, judged from the other images.
    pub probability: f64,
    /// The more likely class.
    pub suggested: usize,
    /// The probability of the more likely class.
    pub suggested_probability: f64,
}

/// Returns the doubtful labels, the most doubtful first.
pub(super) fn find(predictions: &[Prediction], noise: &Noise) -> Vec<DoubtfulLabel> {
    let predictions = predictions.iter().enumerate();
    let mut found: Vec<DoubtfulLabel> = predictions
        .filter_map(|(image, prediction)| {
            let Prediction {
                probability,
                suggested: (suggested, suggested_probability),
            } = *prediction;
            let is_doubtful = noise.wrong(probability) >= LEAST && suggested_probability > probability;
            is_doubtful.then_some(DoubtfulLabel {
                image,
                probability,
                suggested,
                suggested_probability,
            })
        })
        .collect();
    found.sort_by(|a, b| a.probability.total_cmp(&b.probability));
    found
}
