//! How many labels are wrong, judged from the probabilities of a probe.
//!
//! A probe is unsure of many images whose labels are right. To report every image that it takes for another class would
//! bury the wrong labels: of images of 32 x 32 pixels, a third. But a calibrated probe says how unsure it is. If all
//! labels were right, those that it finds nearly impossible would be as rare as it says; those beyond that are wrong.
//!
//! So labels are taken for a mixture: with a small probability a label is a random other class, and otherwise it has the
//! probability of the probe. The share of random labels under which the labels are most likely is found by expectation
//! maximisation, and with it, for each image, how likely its label is one of them.

/// The share at which the search starts.
const START: f64 = 0.05;
/// The least share: 0 could not grow.
const LEAST: f64 = 1e-6;
/// The number of steps of the search; it changes by less than a hundredth of itself after twenty.
const STEPS: usize = 50;

/// The labels of a data set as a mixture of labels that agree with a probe and random ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Noise {
    /// The share of random labels.
    pub(super) share: f64,
    /// The mean of the negative logarithm of the labels' probabilities.
    pub(super) loss: f64,
    classes: usize,
}

impl Noise {
    /// Finds the share of random labels from the probability of each label.
    pub(super) fn estimate(probabilities: &[f64], classes: usize) -> Self {
        let count = probabilities.len().max(1) as f64;
        let mut noise = Self {
            share: START,
            loss: f64::INFINITY,
            classes,
        };
        for _ in 0..STEPS {
            let wrong: f64 = probabilities.iter().map(|label| noise.wrong(*label)).sum();
            noise.share = (wrong / count).clamp(LEAST, 1.0 - LEAST);
        }
        let losses = probabilities.iter().map(|label| {
            let [right, wrong] = noise.both(*label);
            -(right + wrong).max(f64::MIN_POSITIVE).ln()
        });
        noise.loss = losses.sum::<f64>() / count;
        noise
    }

    /// Returns how likely a label is wrong to which the probe gives this probability.
    pub(super) fn wrong(&self, probability: f64) -> f64 {
        let [right, wrong] = self.both(probability);
        wrong / (right + wrong).max(f64::MIN_POSITIVE)
    }

    /// Returns how likely it is that the image has its label because it is right, and because it is random.
    fn both(&self, probability: f64) -> [f64; 2] {
        let others = self.classes.saturating_sub(1).max(1) as f64;
        let right = (1.0 - self.share) * probability;
        [right, self.share * (1.0 - probability) / others]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Purpose, stream};

    use rand::RngExt as _;

    const CLASSES: usize = 5;

    /// Probabilities of the labels of 5000 images by a calibrated probe that is often unsure, with some labels replaced.
    fn labels(share: f64) -> (Vec<f64>, Vec<bool>) {
        let mut random = stream(Purpose::Sample, 3, 0, 0);
        let mut probabilities = Vec::new();
        let mut replaced = Vec::new();
        for _ in 0..5000 {
            let powers: [f64; CLASSES] = std::array::from_fn(|_| (9.0 * random.random::<f64>()).exp());
            let sum: f64 = powers.iter().sum();
            let of = powers.map(|power| power / sum);
            let mut place: f64 = random.random();
            let right = of.iter().position(|probability| {
                place -= probability;
                place < 0.0
            });
            let right = right.unwrap_or(0);
            let is_replaced = random.random::<f64>() < share;
            let shift = if is_replaced {
                random.random_range(1..CLASSES)
            } else {
                0
            };
            probabilities.push(of[(right + shift) % CLASSES]);
            replaced.push(is_replaced);
        }
        (probabilities, replaced)
    }

    #[test]
    fn the_share_of_wrong_labels_is_found_however_unsure_the_probe_is() {
        for share in [0.0, 0.03, 0.1, 0.3] {
            let (probabilities, _) = labels(share);
            let found = Noise::estimate(&probabilities, CLASSES).share;
            assert!((found - share).abs() < 0.015, "{found} instead of {share}");
        }
    }

    #[test]
    fn a_label_is_as_likely_wrong_as_it_is_said() {
        let (probabilities, replaced) = labels(0.1);
        let noise = Noise::estimate(&probabilities, CLASSES);
        for (least, most) in [(0.1, 0.5), (0.5, 0.9)] {
            let wrong = probabilities.iter().map(|label| noise.wrong(*label));
            let inside: Vec<(f64, bool)> = wrong
                .zip(replaced.iter().copied())
                .filter(|(wrong, _)| (least..most).contains(wrong))
                .collect();
            let count = inside.len() as f64;
            let said = inside.iter().map(|(wrong, _)| wrong).sum::<f64>() / count;
            let are = inside.iter().filter(|(_, is_replaced)| *is_replaced).count() as f64 / count;
            assert!(
                count > 100.0 && (said - are).abs() < 0.1,
                "{said}, {are} of {count}"
            );
        }
        // Impossible and certain labels.
        assert!((noise.wrong(0.0) - 1.0).abs() < 1e-12 && noise.wrong(1.0).abs() < 1e-12);
    }
}
