//! Metrics of regression.

use serde::{Deserialize, Serialize};

use super::MetricsError;

/// Running metrics over images with one or more numbers to predict.
///
/// ```
/// use effnet_data::metrics::RegressionMetrics;
///
/// # fn main() -> Result<(), effnet_data::metrics::MetricsError> {
/// let mut metrics = RegressionMetrics::new(1);
/// metrics.push(&[2.5], &[3.0])?;
/// metrics.push(&[1.0], &[1.0])?;
/// let report = &metrics.reports()[0];
/// assert_eq!((report.mae, report.mse, report.r2), (0.25, 0.125, Some(0.875)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegressionMetrics {
    images: u64,
    outputs: Vec<Output>,
}

/// The errors of one output.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RegressionReport {
    /// Mean absolute error.
    pub mae: f64,
    /// Mean squared error.
    pub mse: f64,
    /// Coefficient of determination (R²): 1 for perfect predictions, 0 for those that are no better than the mean. `None`
    /// if all values are equal.
    pub r2: Option<f64>,
}

/// The means over all outputs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RegressionSummary {
    /// Number of images.
    pub images: u64,
    /// Mean absolute error.
    pub mae: f64,
    /// Mean squared error.
    pub mse: f64,
    /// Mean coefficient of determination (R²); `None` if it is undefined for an output.
    pub r2: Option<f64>,
}

/// Running sums of one output. The variance is a sum of squared distances from the mean, because a difference of two large
/// sums would lose its digits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Output {
    absolute: f64,
    squared: f64,
    /// The mean of the values.
    mean: f64,
    /// The sum of the squared distances of the values from their mean.
    spread: f64,
}

impl RegressionMetrics {
    /// Creates empty metrics for this many outputs per image.
    pub fn new(outputs: usize) -> Self {
        Self {
            images: 0,
            outputs: vec![Output::default(); outputs],
        }
    }

    /// Adds an image, with the predicted and the true value of each output.
    ///
    /// # Errors
    /// [`MetricsError`] for wrong numbers of values and for values that are not finite; nothing is then added.
    pub fn push(&mut self, predicted: &[f32], values: &[f32]) -> Result<(), MetricsError> {
        let columns = self.outputs.len();
        if predicted.len() != columns || values.len() != columns {
            return Err(MetricsError::Columns {
                columns,
                outputs: vec![1, predicted.len() as i64],
                targets: vec![1, values.len() as i64],
            });
        }
        let is_bad = |value: &f32| !value.is_finite();
        if let Some(class) = predicted.iter().position(is_bad) {
            let found = predicted[class];
            return Err(MetricsError::NotFinite { class, found });
        }
        if let Some(&found) = values.iter().find(|value| is_bad(value)) {
            return Err(MetricsError::Target {
                found,
                expected: "a finite number",
            });
        }
        self.images += 1;
        for (output, (&predicted, &value)) in self.outputs.iter_mut().zip(predicted.iter().zip(values)) {
            let (value, error) = (f64::from(value), f64::from(predicted) - f64::from(value));
            output.absolute += error.abs();
            output.squared += error * error;
            let distance = value - output.mean;
            output.mean += distance / self.images as f64;
            output.spread += distance * (value - output.mean);
        }
        Ok(())
    }

    /// Merges the metrics of other images into these.
    ///
    /// # Errors
    /// [`MetricsError::Merge`] if the number of outputs differs.
    pub fn merge(&mut self, other: &Self) -> Result<(), MetricsError> {
        if self.outputs.len() != other.outputs.len() {
            return Err(MetricsError::Merge {
                classes: self.outputs.len(),
                found: other.outputs.len(),
            });
        }
        let images = self.images + other.images;
        if images == 0 {
            return Ok(());
        }
        let share = other.images as f64 / images as f64;
        for (own, other) in self.outputs.iter_mut().zip(&other.outputs) {
            let distance = other.mean - own.mean;
            own.absolute += other.absolute;
            own.squared += other.squared;
            own.spread += other.spread + distance * distance * self.images as f64 * share;
            own.mean += distance * share;
        }
        self.images = images;
        Ok(())
    }

    /// Returns the metrics for outputs and values in other units, in which each output is multiplied by its scale.
    #[must_use]
    pub fn scaled(&self, scales: &[f64]) -> Self {
        let scaled = |(output, scale): (&Output, &f64)| Output {
            absolute: output.absolute * scale.abs(),
            squared: output.squared * scale * scale,
            mean: output.mean * scale,
            spread: output.spread * scale * scale,
        };
        Self {
            images: self.images,
            outputs: self.outputs.iter().zip(scales).map(scaled).collect(),
        }
    }

    /// Number of outputs per image.
    pub fn num_outputs(&self) -> usize {
        self.outputs.len()
    }

    /// Number of images.
    pub fn images(&self) -> u64 {
        self.images
    }

    /// Returns the errors of each output; empty before the first image.
    pub fn reports(&self) -> Vec<RegressionReport> {
        if self.images == 0 {
            return Vec::new();
        }
        let images = self.images as f64;
        let report = |output: &Output| RegressionReport {
            mae: output.absolute / images,
            mse: output.squared / images,
            r2: (output.spread > 0.0).then(|| 1.0 - output.squared / output.spread),
        };
        self.outputs.iter().map(report).collect()
    }

    /// Returns the means over all outputs; `None` before the first image.
    pub fn summary(&self) -> Option<RegressionSummary> {
        let reports = self.reports();
        let count = reports.len() as f64;
        let mean = |value: fn(&RegressionReport) -> f64| reports.iter().map(value).sum::<f64>() / count;
        let r2 = reports.iter().map(|report| report.r2).sum::<Option<f64>>();
        (!reports.is_empty()).then(|| RegressionSummary {
            images: self.images,
            mae: mean(|report| report.mae),
            mse: mean(|report| report.mse),
            r2: r2.map(|sum| sum / count),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(rows: &[([f32; 2], [f32; 2])]) -> RegressionMetrics {
        let mut metrics = RegressionMetrics::new(2);
        for (predicted, values) in rows {
            metrics.push(predicted, values).unwrap();
        }
        metrics
    }

    #[test]
    fn parts_of_the_images_merge_into_all() {
        let rows = [
            ([1.0, 5.0], [2.0, 5.0]),
            ([3.0, 4.0], [2.5, 5.0]),
            ([0.0, 5.5], [-1.0, 5.0]),
            ([7.0, 5.0], [7.0, 5.0]),
        ];
        let whole = metrics(&rows).summary().unwrap();
        for cut in 0..=rows.len() {
            let mut parts = metrics(&rows[..cut]);
            parts.merge(&metrics(&rows[cut..])).unwrap();
            let found = parts.summary().unwrap();
            assert!((found.mae - whole.mae).abs() < 1e-12 && (found.mse - whole.mse).abs() < 1e-12);
            let r2 = |metrics: &RegressionMetrics| metrics.reports()[0].r2.unwrap();
            assert!((r2(&parts) - r2(&metrics(&rows))).abs() < 1e-12, "{cut}");
            // All values of the second output are equal.
            assert_eq!((parts.reports()[1].r2, found.r2), (None, None));
        }
    }

    #[test]
    fn scaled_metrics_are_those_of_scaled_numbers() {
        let scaled = metrics(&[([1.0, 5.0], [2.0, 4.5]), ([3.0, 4.0], [2.5, 5.0])]).scaled(&[10.0, 0.5]);
        let expected = metrics(&[([10.0, 2.5], [20.0, 2.25]), ([30.0, 2.0], [25.0, 2.5])]);
        for (found, expected) in scaled.reports().iter().zip(expected.reports()) {
            assert!((found.mae - expected.mae).abs() < 1e-12 && (found.mse - expected.mse).abs() < 1e-12);
            assert!((found.r2.unwrap() - expected.r2.unwrap()).abs() < 1e-12);
        }
    }

    #[test]
    fn large_values_keep_the_digits_of_their_variance() {
        let mut metrics = RegressionMetrics::new(1);
        for (predicted, value) in [(8_388_608.0, 8_388_609.0), (8_388_612.0, 8_388_611.0)] {
            metrics.push(&[predicted], &[value]).unwrap();
        }
        assert_eq!(metrics.reports()[0].r2, Some(0.0));
    }

    #[test]
    fn what_cannot_be_measured_is_refused_and_not_added() {
        let mut metrics = RegressionMetrics::new(2);
        assert_eq!(metrics.summary(), None);
        assert!(matches!(
            metrics.push(&[1.0], &[1.0, 2.0]),
            Err(MetricsError::Columns { columns: 2, .. })
        ));
        assert!(matches!(
            metrics.push(&[1.0, f32::INFINITY], &[1.0, 2.0]),
            Err(MetricsError::NotFinite { class: 1, .. })
        ));
        let error = metrics
            .push(&[1.0, 2.0], &[1.0, f32::NAN])
            .unwrap_err()
            .to_string();
        assert!(error.contains("NaN") && error.contains("finite"), "{error}");
        assert_eq!(metrics.images(), 0);
    }
}
