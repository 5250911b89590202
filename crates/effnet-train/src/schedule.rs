//! The learning rate as a pure function of the step.

use std::f64::consts::PI;

use crate::Error;

/// The shape of the rate after warm-up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ScheduleShape {
    /// Always the base rate.
    Constant,
    /// Down to `end` times the base rate along half a cosine (Loshchilov and Hutter 2017; torch's
    /// `CosineAnnealingLR`).
    Cosine {
        /// The last rate over the base rate, in `[0, 1]`.
        end: f64,
    },
    /// Up from `base / div` to the base rate, then down to `base / (div * final_div)`, both along half a
    /// cosine (Smith and Topin 2018; torch's `OneCycleLR`).
    OneCycle {
        /// The part of the steps on the way up, in `(0, 1)`.
        rise: f64,
        /// The base rate over the first rate.
        div: f64,
        /// The first rate over the last.
        final_div: f64,
    },
    /// Times `factor` at once every `every` steps: the paper's exponential decay as TensorFlow's
    /// `exponential_decay(staircase=True)`. Warm-up steps count.
    Staircase {
        /// The paper's 0.97.
        factor: f64,
        /// Steps on a stair, which need not be whole; the paper's are 2.4 epochs.
        every: f64,
    },
}

impl ScheduleShape {
    /// PyTorch's one-cycle: three tenths up, 25 and 10,000 as divisors.
    pub const ONE_CYCLE: Self = Self::OneCycle {
        rise: 0.3,
        div: 25.0,
        final_div: 1e4,
    };

    /// The paper's staircase: 0.97 every 2.4 epochs.
    pub fn paper(steps_per_epoch: u64) -> Self {
        Self::Staircase {
            factor: 0.97,
            every: 2.4 * steps_per_epoch as f64,
        }
    }
}

/// Steps in which the rate rises in a straight line to where the shape begins.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Warmup {
    /// How many.
    pub steps: u64,
    /// The rate of the first of them, not a factor. The reference implementation's is 0.
    pub from: f64,
}

/// A learning rate for each of `steps` steps, counted from zero.
///
/// ```
/// use effnet_train::{ScheduleShape, Schedule, Warmup};
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
    /// A schedule of `steps` steps, warm-up included, with the highest rate `base`.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for a number out of its range, and for a warm-up that leaves no step.
    pub fn new(base: f64, steps: u64, shape: ScheduleShape, warmup: Warmup) -> Result<Self, Error> {
        let fraction = |value: f64| (0.0..=1.0).contains(&value);
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let fits = match shape {
            ScheduleShape::Constant => true,
            ScheduleShape::Cosine { end } => fraction(end),
            ScheduleShape::OneCycle { rise, div, final_div } => {
                rise > 0.0 && rise < 1.0 && positive(div) && positive(final_div)
            }
            ScheduleShape::Staircase { factor, every } => {
                positive(factor) && factor <= 1.0 && positive(every)
            }
        };
        let checks = [
            ("the learning rate", positive(base), "above 0", base.to_string()),
            ("the number of steps", steps > 0, "1 or more", steps.to_string()),
            (
                "the schedule",
                fits,
                "numbers within their ranges",
                format!("{shape:?}"),
            ),
            (
                "the warm-up",
                warmup.steps < steps && warmup.from >= 0.0 && warmup.from.is_finite(),
                "fewer steps than the training has, from a rate of 0 or more",
                format!("{} of {steps} steps from {}", warmup.steps, warmup.from),
            ),
        ];
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

    /// The number of steps that it was made for.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The highest rate.
    pub fn base_rate(&self) -> f64 {
        self.base
    }

    /// The learning rate of a step. Steps after the last have the rate of the last, but on a staircase,
    /// which goes on.
    pub fn rate(&self, step: u64) -> f64 {
        if step < self.warmup.steps {
            let target = self.base * self.factor(self.warmup.steps);
            let done = step as f64 / self.warmup.steps as f64;
            return self.warmup.from + (target - self.warmup.from) * done;
        }
        self.base * self.factor(step)
    }

    /// What the shape makes of the base rate at a step after warm-up.
    fn factor(&self, step: u64) -> f64 {
        let length = (self.steps - self.warmup.steps) as f64;
        let position = (step - self.warmup.steps) as f64;
        match self.shape {
            ScheduleShape::Constant => 1.0,
            ScheduleShape::Cosine { end } => half_cosine(1.0, end, (position / length).min(1.0)),
            ScheduleShape::OneCycle { rise, div, final_div } => {
                // As in torch, the last step is where the way down ends, not one before.
                let last = length - 1.0;
                let top = rise * length - 1.0;
                let (low, end) = (1.0 / div, 1.0 / (div * final_div));
                if position <= top {
                    half_cosine(low, 1.0, position / top.max(f64::MIN_POSITIVE))
                } else {
                    half_cosine(1.0, end, ((position - top) / (last - top)).min(1.0))
                }
            }
            ScheduleShape::Staircase { factor, every } => factor.powf((step as f64 / every).floor()),
        }
    }
}

/// From `start` to `end` as `part` goes from 0 to 1.
fn half_cosine(start: f64, end: f64, part: f64) -> f64 {
    end + (start - end) * (1.0 + (PI * part).cos()) / 2.0
}
