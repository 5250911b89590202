//! The learning-rate range test (Smith 2017), which finds a learning rate in one short run with rising rates.

use crate::data::FitData;
use crate::{Batch, Error, Network, Trainer};

/// The range of learning rates to try.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RangeTest {
    /// The learning rate of the first step, above 0.
    pub from: f64,
    /// The learning rate of the last step, unless the loss explodes earlier.
    pub to: f64,
    /// The number of steps, at least 10.
    pub steps: usize,
}

impl Default for RangeTest {
    /// Returns a range of seven decades in 100 steps, as in fastai's `lr_find`.
    fn default() -> Self {
        Self {
            from: 1e-7,
            to: 1.0,
            steps: 100,
        }
    }
}

/// The result of a range test.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeTestResult {
    /// The learning rate and the smoothed loss of each step, in order.
    pub curve: Vec<(f64, f64)>,
    /// The suggested learning rate.
    pub suggestion: f64,
}

/// The decay of the moving average of the loss, as in fastai.
const SMOOTHING: f64 = 0.9;
/// A loss counts as exploded when it is this many times the lowest loss.
const EXPLOSION: f64 = 4.0;
/// It is safe to train with the learning rate of the lowest loss divided by this.
const MARGIN: f64 = 10.0;

impl RangeTest {
    /// Sets [`from`](Self::from).
    #[must_use]
    pub fn with_from(mut self, from: f64) -> Self {
        self.from = from;
        self
    }

    /// Sets [`to`](Self::to).
    #[must_use]
    pub fn with_to(mut self, to: f64) -> Self {
        self.to = to;
        self
    }

    /// Sets [`steps`](Self::steps).
    #[must_use]
    pub fn with_steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Trains with exponentially growing learning rates until the loss explodes, and restores the trainer.
    /// Suggests the rate at which the loss fell fastest, but at most a tenth of the rate with the lowest loss.
    ///
    /// `next_batch` is called with the number of each step.
    ///
    /// # Errors
    /// [`Error::InvalidOption`], including when the loss never falls, and the errors of `next_batch` and of the
    /// steps.
    pub fn run<N: Network, E: From<Error>>(
        &self,
        trainer: &mut Trainer<N>,
        mut next_batch: impl FnMut(usize) -> Result<Batch, E>,
    ) -> Result<RangeTestResult, E> {
        self.validate()?;
        let before = trainer.state()?;
        let curve = self.sweep(trainer, &mut next_batch);
        trainer.restore(&before)?;
        let curve = curve?;
        let suggestion = suggest(&curve).ok_or_else(|| {
            let range = format!("{:.1e} to {:.1e}", self.from, self.to);
            Error::option(
                "the range of learning rates",
                "a range in which the loss falls",
                &range,
            )
        })?;
        Ok(RangeTestResult { curve, suggestion })
    }

    /// Like [`run`](Self::run), on the training data: a batch per step, and further epochs if one is too short.
    /// `progress` is called with the number of each step.
    ///
    /// # Errors
    /// The errors of [`run`](Self::run) and of the data; [`Error::InvalidOption`] for an epoch without batches.
    pub fn run_on<N: Network, D: FitData>(
        &self,
        trainer: &mut Trainer<N>,
        data: &D,
        mut progress: impl FnMut(usize),
    ) -> Result<RangeTestResult, Error> {
        let mut steps = data.steps_of_all_epochs();
        self.run(trainer, |step| {
            progress(step);
            last_of(steps.next().unwrap_or_else(|| Ok(Vec::new()))?)
        })
    }

    fn validate(&self) -> Result<(), Error> {
        if self.from > 0.0 && self.to > self.from && self.to.is_finite() && self.steps >= 10 {
            return Ok(());
        }
        let expected = "at least 10 steps from a learning rate above 0 to a higher one";
        let found = format!("{} steps from {} to {}", self.steps, self.from, self.to);
        Err(Error::option("the range test", expected, &found))
    }

    fn sweep<N: Network, E: From<Error>>(
        &self,
        trainer: &mut Trainer<N>,
        next_batch: &mut impl FnMut(usize) -> Result<Batch, E>,
    ) -> Result<Vec<(f64, f64)>, E> {
        let ratio = (self.to / self.from).powf(1.0 / (self.steps - 1) as f64);
        let mut curve = Vec::with_capacity(self.steps);
        let (mut average, mut least) = (0.0, f64::INFINITY);
        for index in 0..self.steps {
            let rate = self.from * ratio.powi(index as i32);
            let step = match trainer.step_with_rate(&[next_batch(index)?], rate) {
                Ok(step) => step,
                Err(Error::Diverged(_)) => break,
                Err(error) => return Err(error.into()),
            };
            average = SMOOTHING * average + (1.0 - SMOOTHING) * step.loss;
            // Bias correction, because the average started at zero.
            let smoothed = average / (1.0 - SMOOTHING.powi(index as i32 + 1));
            curve.push((rate, smoothed));
            least = f64::min(least, smoothed);
            if smoothed > EXPLOSION * least {
                break;
            }
        }
        Ok(curve)
    }
}

/// Returns one batch of a step.
fn last_of(mut parts: Vec<Batch>) -> Result<Batch, Error> {
    parts
        .pop()
        .ok_or_else(|| Error::option("the number of batches of a step", "1 or more", &0))
}

/// Returns the rate of the steepest descent before the lowest loss, capped at `1 / MARGIN` of the rate of the
/// lowest loss.
fn suggest(curve: &[(f64, f64)]) -> Option<f64> {
    let least = (0..curve.len()).min_by(|&a, &b| curve[a].1.total_cmp(&curve[b].1))?;
    let slope = |index: usize| curve[index + 1].1 - curve[index - 1].1;
    let steepest = (1..least).min_by(|&a, &b| slope(a).total_cmp(&slope(b)))?;
    (slope(steepest) < 0.0).then(|| curve[steepest].0.min(curve[least].0 / MARGIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(losses: &[f64]) -> Vec<(f64, f64)> {
        let rate = |index| 1e-4 * 10f64.powi(index);
        losses
            .iter()
            .enumerate()
            .map(|(index, &loss)| (rate(index as i32), loss))
            .collect()
    }

    #[test]
    fn the_steepest_descent_is_suggested() {
        let found = suggest(&curve(&[3.0, 2.9, 2.0, 1.9, 1.85, 9.0])).unwrap();
        assert!((found - 1e-3).abs() < 1e-12, "{found}");
    }

    #[test]
    fn a_descent_just_before_the_explosion_is_kept_at_a_distance() {
        let found = suggest(&curve(&[3.0, 2.99, 2.98, 2.0, 1.0, 9.0])).unwrap();
        assert!((found - 1e-1).abs() < 1e-12, "{found}");
    }

    #[test]
    fn a_loss_that_only_rises_suggests_nothing() {
        assert_eq!(suggest(&curve(&[1.0, 1.1, 1.2, 5.0])), None);
    }
}
