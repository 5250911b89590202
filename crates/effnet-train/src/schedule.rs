//! Learning-rate schedules.
//!
//! The learning rate and the momentum are pure functions of the step, so a schedule does not have any state to save: a
//! resumed run needs only the step number.

use std::f64::consts::PI;

use crate::Error;

/// The shape of a schedule after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ScheduleShape {
    /// The base rate in every step.
    Constant,
    /// Cosine annealing to `end` times the base rate (Loshchilov and Hutter 2017; torch's
    /// `CosineAnnealingLR`).
    Cosine {
        /// The final rate relative to the base rate, in `[0, 1]`.
        end: f64,
    },
    /// One cycle: the rate rises from `base / div` to the base rate and then falls to `base / (div * final_div)`,
    /// both along half a cosine (Smith and Topin 2018; torch's `OneCycleLR`).
    OneCycle {
        /// Share of the steps in which the rate rises, in `(0, 1)`.
        rise: f64,
        /// The base rate divided by the first rate, above 0.
        div: f64,
        /// The first rate divided by the last rate, above 0.
        final_div: f64,
        /// The momentum at the first and the last rate, and the momentum at the base rate, each in `[0, 1)`. In between, it
        /// follows half a cosine. `None`: the optimizer's own.
        momentum: Option<[f64; 2]>,
    },
    /// Decay by `factor` every `every` steps: the paper's exponential decay, like TensorFlow's
    /// `exponential_decay(staircase=True)`. Warm-up steps count towards `every`.
    Staircase {
        /// Decay rate, in `(0, 1]`; 0.97 in the paper.
        factor: f64,
        /// Number of steps between decays, which need not be a whole number; 2.4 epochs in the paper.
        every: f64,
    },
}

impl ScheduleShape {
    /// One cycle with a rise over 30 % of the steps and divisors of 25 and 10,000, as PyTorch's, but with the optimizer's
    /// own momentum (`cycle_momentum=False`).
    pub const ONE_CYCLE: Self = Self::OneCycle {
        rise: 0.3,
        div: 25.0,
        final_div: 1e4,
        momentum: None,
    };
    /// PyTorch's defaults for one cycle: [`ONE_CYCLE`](Self::ONE_CYCLE), and a momentum that falls from 0.95 to 0.85 and
    /// rises again.
    pub const ONE_CYCLE_WITH_MOMENTUM: Self = Self::OneCycle {
        rise: 0.3,
        div: 25.0,
        final_div: 1e4,
        momentum: Some([0.95, 0.85]),
    };

    /// Returns the paper's staircase: a factor of 0.97 every 2.4 epochs.
    pub fn paper(steps_per_epoch: u64) -> Self {
        Self::Staircase {
            factor: 0.97,
            every: 2.4 * steps_per_epoch as f64,
        }
    }
}

/// Linear warm-up: the learning rate rises from `from` to the first rate of the shape.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Warmup {
    /// Number of warm-up steps.
    pub steps: u64,
    /// The learning rate of the first step (not a factor); 0 in the reference implementation.
    pub from: f64,
}

/// A learning rate for each step, counting from zero, and a momentum, if the shape has one.
///
/// ```
/// use effnet_train::{Schedule, ScheduleShape, Warmup};
///
/// # fn main() -> Result<(), effnet_train::Error> {
/// let warmup = Warmup { steps: 10, from: 0.0 };
/// let schedule = Schedule::new(0.1, 110, ScheduleShape::Cosine { end: 0.0 }, warmup)?;
/// assert_eq!(schedule.rate(5), 0.05);
/// assert_eq!(schedule.rate(10), 0.1);
/// assert_eq!(schedule.rate(60), 0.05);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    base: f64,
    steps: u64,
    shape: ScheduleShape,
    warmup: Warmup,
}

impl Schedule {
    /// Creates a schedule of `steps` steps, including the warm-up, with the peak learning rate `base`.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for a value that is out of range, and for a warm-up as long as the schedule.
    pub fn new(base: f64, steps: u64, shape: ScheduleShape, warmup: Warmup) -> Result<Self, Error> {
        let fraction = |value: f64| (0.0..=1.0).contains(&value);
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let mut checks = vec![
            ("the learning rate", positive(base), "above 0", base.to_string()),
            ("the number of steps", steps > 0, "1 or more", steps.to_string()),
            (
                "the warm-up",
                warmup.steps < steps && warmup.from >= 0.0 && warmup.from.is_finite(),
                "fewer steps than in the schedule, from a learning rate of 0 or more",
                format!("{} of {steps} steps from {}", warmup.steps, warmup.from),
            ),
        ];
        match shape {
            ScheduleShape::Constant => {}
            ScheduleShape::Cosine { end } => checks.push((
                "the end of the cosine schedule",
                fraction(end),
                "0 to 1",
                end.to_string(),
            )),
            ScheduleShape::OneCycle {
                rise,
                div,
                final_div,
                momentum,
            } => checks.extend([
                (
                    "the rise of the one-cycle schedule",
                    rise > 0.0 && rise < 1.0,
                    "above 0, below 1",
                    rise.to_string(),
                ),
                (
                    "the first divisor of the one-cycle schedule",
                    positive(div),
                    "above 0",
                    div.to_string(),
                ),
                (
                    "the final divisor of the one-cycle schedule",
                    positive(final_div),
                    "above 0",
                    final_div.to_string(),
                ),
                (
                    "the momentum of the one-cycle schedule",
                    momentum.is_none_or(|ends| ends.iter().all(|end| (0.0..1.0).contains(end))),
                    "0 or more, less than 1",
                    format!("{:?}", momentum.unwrap_or_default()),
                ),
            ]),
            ScheduleShape::Staircase { factor, every } => checks.extend([
                (
                    "the decay rate of the staircase schedule",
                    positive(factor) && factor <= 1.0,
                    "above 0, at most 1",
                    factor.to_string(),
                ),
                (
                    "the number of steps between decays",
                    positive(every),
                    "above 0",
                    every.to_string(),
                ),
            ]),
        }
        for (option, holds, expected, found) in checks {
            if !holds {
                return Err(Error::option(option, expected, &found));
            }
        }
        Ok(Self {
            base,
            steps,
            shape,
            warmup,
        })
    }

    /// The number of steps, including the warm-up.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The peak learning rate.
    pub fn base_rate(&self) -> f64 {
        self.base
    }

    /// Returns the learning rate of a step. Steps after the end keep the last rate, except on a staircase, which
    /// continues to decay.
    pub fn rate(&self, step: u64) -> f64 {
        if step < self.warmup.steps {
            let target = self.base * self.factor(self.warmup.steps);
            let done = step as f64 / self.warmup.steps as f64;
            return self.warmup.from + (target - self.warmup.from) * done;
        }
        self.base * self.factor(step)
    }

    /// Returns the momentum of a step (AdamW's first beta), or `None` for the optimizer's own. In a warm-up, it is that
    /// of the first rate.
    pub fn momentum(&self, step: u64) -> Option<f64> {
        let ScheduleShape::OneCycle { rise, momentum, .. } = self.shape else {
            return None;
        };
        let [at_first, at_base] = momentum?;
        let after = step.saturating_sub(self.warmup.steps);
        Some(self.cycle(after, rise, [at_first, at_base, at_first]))
    }

    /// Returns the factor by which the base rate is multiplied at a step after the warm-up.
    fn factor(&self, step: u64) -> f64 {
        let length = (self.steps - self.warmup.steps) as f64;
        let position = (step - self.warmup.steps) as f64;
        match self.shape {
            ScheduleShape::Constant => 1.0,
            ScheduleShape::Cosine { end } => half_cosine(1.0, end, (position / length).min(1.0)),
            ScheduleShape::OneCycle {
                rise, div, final_div, ..
            } => {
                let values = [1.0 / div, 1.0, 1.0 / (div * final_div)];
                self.cycle(step - self.warmup.steps, rise, values)
            }
            ScheduleShape::Staircase { factor, every } => factor.powf((step as f64 / every).floor()),
        }
    }

    /// Returns a value of one cycle, so many steps after the warm-up: from the first value to the second over a share
    /// `rise` of the steps, then to the third.
    fn cycle(&self, step: u64, rise: f64, [first, middle, last]: [f64; 3]) -> f64 {
        let length = (self.steps - self.warmup.steps) as f64;
        // As in torch, the last step has the last value.
        let (end, top) = (length - 1.0, rise * length - 1.0);
        let position = step as f64;
        if position <= top {
            half_cosine(first, middle, position / top.max(f64::MIN_POSITIVE))
        } else {
            half_cosine(middle, last, ((position - top) / (end - top)).min(1.0))
        }
    }
}

/// Interpolates from `start` to `end` along half a cosine as `part` goes from 0 to 1.
fn half_cosine(start: f64, end: f64, part: f64) -> f64 {
    end + (start - end) * (1.0 + (PI * part).cos()) / 2.0
}
