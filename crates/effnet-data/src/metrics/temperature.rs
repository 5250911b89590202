//! Temperature scaling (Guo et al., arXiv:1706.04599).
//!
//! Networks that are trained until they separate the training images are too sure of themselves. One number, by which
//! all logits are divided, corrects most of that, and leaves the order of the classes as it is.

use super::{Metrics, MetricsError};

/// The smallest and largest temperature that is looked for.
pub const TEMPERATURES: [f64; 2] = [0.05, 20.0];

/// The logits of labelled images, from which the temperature is found. They take 4 bytes per image and class.
///
/// ```
/// use effnet_data::metrics::TemperatureScaling;
///
/// # fn main() -> Result<(), effnet_data::metrics::MetricsError> {
/// let mut scaling = TemperatureScaling::new(2);
/// // Very sure, and wrong every fourth time: the best is to be sure to 75 %.
/// for label in [0, 0, 0, 1] {
///     scaling.push(&[8.0, 0.0], label)?;
/// }
/// let temperature = scaling.temperature().unwrap();
/// assert!((temperature - 8.0 / 3_f64.ln()).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct TemperatureScaling {
    classes: usize,
    logits: Vec<f32>,
    labels: Vec<usize>,
}

impl TemperatureScaling {
    /// Starts without images, for `num_classes` logits per image.
    pub fn new(num_classes: usize) -> Self {
        Self {
            classes: num_classes,
            logits: Vec::new(),
            labels: Vec::new(),
        }
    }

    /// Adds one image.
    ///
    /// # Errors
    /// Same as [`Metrics::push`]; nothing is then added.
    pub fn push(&mut self, logits: &[f32], label: usize) -> Result<(), MetricsError> {
        Metrics::new(self.classes).push(logits, label)?;
        self.logits.extend_from_slice(logits);
        self.labels.push(label);
        Ok(())
    }

    /// Returns the temperature with the lowest mean cross-entropy. `None` if it is outside of [`TEMPERATURES`], as when
    /// all images are classified correctly: then the lowest temperature is always the best, and says nothing.
    pub fn temperature(&self) -> Option<f64> {
        // The cross-entropy is convex in the inverse temperature, so its slope changes sign only once.
        let [least, most] = TEMPERATURES;
        let (mut low, mut high) = (1.0 / most, 1.0 / least);
        let mut inverse = 1.0;
        if self.slope(low).0 >= 0.0 || self.slope(high).0 <= 0.0 {
            return None;
        }
        for _ in 0..100 {
            let (slope, curvature) = self.slope(inverse);
            if slope > 0.0 {
                high = inverse;
            } else {
                low = inverse;
            }
            // Newton's step, unless it leaves the interval.
            let newton = inverse - slope / curvature;
            let next = if newton > low && newton < high {
                newton
            } else {
                0.5 * (low + high)
            };
            if (next - inverse).abs() <= 1e-9 * inverse {
                return Some(1.0 / next);
            }
            inverse = next;
        }
        Some(1.0 / inverse)
    }

    /// Returns the metrics of the images at a temperature.
    ///
    /// # Errors
    /// Same as [`Metrics::push`].
    pub fn metrics(&self, temperature: f64) -> Result<Metrics, MetricsError> {
        let mut metrics = Metrics::new(self.classes);
        let mut scaled = vec![0.0; self.classes];
        for (row, &label) in self.rows() {
            for (scaled, &logit) in scaled.iter_mut().zip(row) {
                *scaled = (f64::from(logit) / temperature) as f32;
            }
            metrics.push(&scaled, label)?;
        }
        Ok(metrics)
    }

    /// Returns the first and the second derivative of the summed cross-entropy with respect to the inverse temperature:
    /// the sums of `mean logit - logit of the label` and of the variance of the logits, under the softmax.
    fn slope(&self, inverse: f64) -> (f64, f64) {
        let (mut slope, mut curvature) = (0.0, 0.0);
        for (row, &label) in self.rows() {
            let highest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let (mut total, mut first, mut second) = (0.0, 0.0, 0.0);
            for &logit in row {
                let below = f64::from(logit) - highest;
                let weight = (inverse * below).exp();
                total += weight;
                first += weight * below;
                second += weight * below * below;
            }
            let mean = first / total;
            slope += mean - (f64::from(row[label]) - highest);
            curvature += second / total - mean * mean;
        }
        (slope, curvature)
    }

    fn rows(&self) -> impl Iterator<Item = (&[f32], &usize)> {
        self.logits.chunks_exact(self.classes.max(1)).zip(&self.labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(scale: f32) -> TemperatureScaling {
        let mut scaling = TemperatureScaling::new(3);
        let logits = [
            [2.0, 0.5, -1.0],
            [0.0, 1.0, 0.5],
            [1.0, -0.5, 1.5],
            [0.3, 0.2, 0.1],
        ];
        for (logits, label) in logits.iter().zip([0, 2, 2, 1]) {
            scaling.push(&logits.map(|logit| logit * scale), label).unwrap();
        }
        scaling
    }

    #[test]
    fn no_other_temperature_has_a_lower_loss() {
        let scaling = images(4.0);
        let best = scaling.temperature().unwrap();
        let loss = |temperature| scaling.metrics(temperature).unwrap().summary().unwrap().loss;
        for factor in [0.5, 0.9, 0.999, 1.001, 1.1, 2.0] {
            assert!(loss(best) < loss(best * factor), "{factor}");
        }
    }

    #[test]
    fn logits_that_are_larger_by_a_factor_have_a_temperature_larger_by_it() {
        let (one, four) = (
            images(1.0).temperature().unwrap(),
            images(4.0).temperature().unwrap(),
        );
        assert!((four / one - 4.0).abs() < 1e-6, "{one} {four}");
    }

    #[test]
    fn images_that_are_all_right_or_all_equal_have_none() {
        let mut scaling = TemperatureScaling::new(2);
        assert_eq!(scaling.temperature(), None);
        scaling.push(&[3.0, 0.0], 0).unwrap();
        assert_eq!(scaling.temperature(), None);
        let mut scaling = TemperatureScaling::new(2);
        scaling.push(&[1.0, 1.0], 0).unwrap();
        assert_eq!(scaling.temperature(), None);
    }

    #[test]
    fn an_invalid_row_is_refused_and_not_added() {
        let mut scaling = images(1.0);
        assert!(scaling.push(&[1.0, 2.0], 0).is_err());
        assert!(scaling.push(&[1.0, f32::NAN, 0.0], 0).is_err());
        assert!(scaling.push(&[1.0, 2.0, 0.0], 3).is_err());
        assert_eq!(scaling.metrics(1.0).unwrap().summary().unwrap().images, 4);
    }
}
