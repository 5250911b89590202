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
    /// The learning rate and the loss of each step, smoothed over its neighbours, in order.
    pub curve: Vec<(f64, f64)>,
    /// The suggested learning rate.
    pub suggestion: f64,
}

/// The decay of the moving average of the loss that tells an explosion, as in fastai.
const DECAY: f64 = 0.9;
/// A loss counts as exploded when it is this many times the lowest loss.
const EXPLOSION: f64 = 4.0;
/// It is safe to train with the highest learning rate that does no harm, divided by this.
const MARGIN: f64 = 3.0;
/// The share of the steps whose rates are too low to matter: their losses tell the noise.
const QUIET: f64 = 0.2;
/// A difference counts when it is this many times its standard error,
const SIGNIFICANT: f64 = 3.0;
/// and this share of the loss.
const SIZABLE: f64 = 0.1;

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
    /// Suggests the rate at which half of the fall of the loss is done, but at most a third of the highest rate that does
    /// not raise the loss. Where the loss falls by less than a tenth or no more than its noise, as in the first steps of a
    /// network from scratch, it suggests that third.
    ///
    /// `next_batch` is called with the number of each step.
    ///
    /// # Errors
    /// [`Error::InvalidOption`], including when no rate changes the loss, and the errors of `next_batch` and of the
    /// steps.
    pub fn run<N: Network, E: From<Error>>(
        &self,
        trainer: &mut Trainer<N>,
        mut next_batch: impl FnMut(usize) -> Result<Batch, E>,
    ) -> Result<RangeTestResult, E> {
        self.validate()?;
        let before = trainer.state()?;
        let seen = self.sweep(trainer, &mut next_batch);
        trainer.restore(&before)?;
        let seen = Curve::new(&seen?, self.steps);
        let suggestion = seen.suggest().ok_or_else(|| {
            let range = format!("{:.1e} to {:.1e}", self.from, self.to);
            Error::option(
                "the range of learning rates",
                "a range in which the loss falls or explodes",
                &range,
            )
        })?;
        let curve = seen.points;
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

    /// Returns the rate and the loss of each step.
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
            let step = match trainer.step_with(&[next_batch(index)?], rate, None) {
                Ok(step) => step,
                Err(Error::Diverged(_)) => break,
                Err(error) => return Err(error.into()),
            };
            average = DECAY * average + (1.0 - DECAY) * step.loss;
            // Bias correction, because the average started at zero.
            let smoothed = average / (1.0 - DECAY.powi(index as i32 + 1));
            curve.push((rate, step.loss));
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

/// What a test saw.
struct Curve {
    /// Rates and losses, each averaged with its neighbours.
    points: Vec<(f64, f64)>,
    /// The mean loss at rates that are too low to matter.
    level: f64,
    /// The least difference of a point from `level` that counts.
    significant: f64,
}

impl Curve {
    /// Smooths the losses of a test that has, or would have had, `steps` steps.
    fn new(seen: &[(f64, f64)], steps: usize) -> Self {
        let reach = (steps / 20).max(1);
        let losses: Vec<f64> = seen.iter().map(|point| point.1).collect();
        let smoothed = |index: usize| {
            // Symmetric, so that the curve is not moved to higher rates.
            let reach = reach.min(index).min(losses.len() - 1 - index);
            (seen[index].0, mean(&losses[index - reach..=index + reach]))
        };
        let quiet = &losses[..((steps as f64 * QUIET) as usize).min(losses.len())];
        // Of neighbours, so that a slow fall does not count as noise.
        let differences: Vec<f64> = quiet.windows(2).map(|pair| (pair[1] - pair[0]).powi(2)).collect();
        let variance = mean(&differences) / 2.0;
        let of_difference = variance * (1.0 / (2 * reach + 1) as f64 + 1.0 / quiet.len() as f64);
        let level = mean(quiet);
        Self {
            points: (0..losses.len()).map(smoothed).collect(),
            level,
            significant: (SIGNIFICANT * of_difference.sqrt()).max(SIZABLE * level.abs()),
        }
    }

    /// Returns the suggested rate, or `None` if no rate changes the loss.
    fn suggest(&self) -> Option<f64> {
        let harmless = |point: &(f64, f64)| point.1 <= self.level + self.significant;
        let edge = self.points.iter().rposition(harmless)?;
        let lowest = (0..=edge).min_by(|&a, &b| self.points[a].1.total_cmp(&self.points[b].1))?;
        let least = self.points[lowest].1;
        let safe = self.points[edge].0 / MARGIN;
        if least < self.level - self.significant {
            let half = f64::midpoint(self.level, least);
            let before = self.points[..lowest].iter().rposition(|point| point.1 > half);
            return before.map(|index| self.points[index].0.min(safe));
        }
        (edge + 1 < self.points.len()).then_some(safe)
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The suggestion for losses of 60 steps with rates from 1e-6 to 1, of which each alternates by `noise`.
    fn suggestion(loss: impl Fn(f64) -> f64, noise: f64) -> Option<f64> {
        let rate = |step: i32| 1e-6 * 10f64.powf(f64::from(step) / 10.0);
        let noise = |step: i32| noise * f64::from([1, -1, 0, 1, 0, -1][step as usize % 6]);
        let seen: Vec<(f64, f64)> = (0..60)
            .map(|step| (rate(step), loss(rate(step)) + noise(step)))
            .take_while(|point| point.1 < 12.0)
            .collect();
        Curve::new(&seen, 60).suggest()
    }

    /// A loss that falls by `depth` around the rate 1e-3 and explodes from 1e-2 on.
    fn falls(depth: f64) -> impl Fn(f64) -> f64 {
        move |rate| 3.0 - depth * rate / (rate + 1e-3) + (rate / 1e-2).powi(2)
    }

    fn near(found: Option<f64>, expected: f64) {
        assert!(
            found.is_some_and(|found| (found / expected).log10().abs() < 0.25),
            "{found:?}, not about {expected:e}"
        );
    }

    #[test]
    fn the_middle_of_the_fall_is_suggested() {
        near(suggestion(falls(2.0), 0.0), 6e-4);
        near(suggestion(falls(2.0), 0.1), 6e-4);
    }

    #[test]
    fn without_a_fall_that_is_more_than_noise_the_edge_is_kept_at_a_distance() {
        near(suggestion(falls(0.0), 0.0), 2e-3);
        near(suggestion(falls(0.05), 0.1), 2e-3);
    }

    #[test]
    fn a_fall_just_before_the_explosion_is_kept_at_a_distance() {
        let late = |rate: f64| {
            if rate < 5e-3 {
                3.0
            } else if rate < 1e-2 {
                1.0
            } else {
                12.0
            }
        };
        near(suggestion(late, 0.0), 3e-3);
    }

    #[test]
    fn a_loss_that_no_rate_changes_suggests_nothing() {
        assert_eq!(suggestion(|_| 3.0, 0.0), None);
        assert_eq!(suggestion(|_| 3.0, 0.1), None);
    }

    #[test]
    fn a_test_that_explodes_at_once_suggests_nothing_below_its_range() {
        let seen = [(1e-1, 3.0), (2e-1, 9.0)];
        let found = Curve::new(&seen, 60).suggest();
        assert!(found.is_none_or(|rate| rate > 1e-2), "{found:?}");
        assert_eq!(Curve::new(&[], 60).suggest(), None);
    }
}
