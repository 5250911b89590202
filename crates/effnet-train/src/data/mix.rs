//! Mixup (arXiv:1710.09412) and cutmix (arXiv:1905.04899) for batches, as in timm.

use effnet_data::{DataError, Purpose, SampleRng, stream};
use effnet_image::Rectangle;
use rand::{Rng, RngExt as _};
use rand_distr::{Beta, Distribution as _};
use tch::{Kind, Tensor};

use crate::{Batch, Error, Targets};

/// Mixes each image of a batch, and its label, with its counterpart in the reversed batch: the first with the
/// last, and so on.
///
/// This is timm's `Mixup` in mode `batch`. If both alphas are above 0, either mixup or cutmix is drawn for each
/// batch.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Mixup {
    /// Both parameters of the Beta distribution for mixup's lambda; 0 turns mixup off.
    pub mixup_alpha: f64,
    /// Both parameters of the Beta distribution for cutmix's lambda; 0 turns cutmix off.
    pub cutmix_alpha: f64,
    /// The probability of mixing a batch.
    pub probability: f64,
    /// The probability of cutmix rather than mixup if both are on.
    pub switch_probability: f64,
    /// Label smoothing, in `[0, 1)`.
    pub label_smoothing: f64,
    /// The number of classes.
    pub classes: usize,
}

/// How one batch is mixed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mixing {
    /// The batch is not mixed.
    Nothing,
    /// Mixes each image with its counterpart in the reversed batch: `lambda * image + (1 - lambda) * counterpart`.
    Mixup {
        /// The weight of each image, from 0 to 1.
        lambda: f64,
    },
    /// Replaces a rectangle in each image with the same rectangle of its counterpart in the reversed batch.
    Cutmix {
        /// The rectangle.
        area: Rectangle,
    },
}

impl Mixing {
    /// Returns a cutmix that replaces a share of `1 - lambda` of `height` x `width` images: a rectangle with the
    /// aspect ratio of the images around `center` (row, column), clipped at the border.
    pub fn cutmix(lambda: f64, center: (usize, usize), height: usize, width: usize) -> Self {
        let ratio = (1.0 - lambda).sqrt();
        let along = |center: usize, side: usize| {
            let cut = (side as f64 * ratio) as usize;
            let start = center.saturating_sub(cut / 2);
            let end = (center + cut.div_ceil(2)).min(side);
            (start, end - start)
        };
        let (top, tall) = along(center.0, height);
        let (left, wide) = along(center.1, width);
        Self::Cutmix {
            area: Rectangle {
                left,
                top,
                width: wide,
                height: tall,
            },
        }
    }
}

impl Mixup {
    /// Returns mixup alone, with timm's defaults for everything else.
    pub fn new(alpha: f64, classes: usize) -> Self {
        Self {
            mixup_alpha: alpha,
            cutmix_alpha: 0.0,
            probability: 1.0,
            switch_probability: 0.5,
            label_smoothing: 0.1,
            classes,
        }
    }

    /// Sets [`mixup_alpha`](Self::mixup_alpha).
    #[must_use]
    pub fn with_mixup_alpha(mut self, mixup_alpha: f64) -> Self {
        self.mixup_alpha = mixup_alpha;
        self
    }

    /// Sets [`cutmix_alpha`](Self::cutmix_alpha).
    #[must_use]
    pub fn with_cutmix_alpha(mut self, cutmix_alpha: f64) -> Self {
        self.cutmix_alpha = cutmix_alpha;
        self
    }

    /// Sets [`probability`](Self::probability).
    #[must_use]
    pub fn with_probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }

    /// Sets [`switch_probability`](Self::switch_probability).
    #[must_use]
    pub fn with_switch_probability(mut self, switch_probability: f64) -> Self {
        self.switch_probability = switch_probability;
        self
    }

    /// Sets [`label_smoothing`](Self::label_smoothing).
    #[must_use]
    pub fn with_label_smoothing(mut self, label_smoothing: f64) -> Self {
        self.label_smoothing = label_smoothing;
        self
    }

    /// Sets [`classes`](Self::classes).
    #[must_use]
    pub fn with_classes(mut self, classes: usize) -> Self {
        self.classes = classes;
        self
    }

    /// Returns the random number generator for a batch, derived from the arguments alone.
    pub fn rng(seed: u64, epoch: u64, batch: usize) -> SampleRng {
        stream(Purpose::Mix, seed, epoch, batch as u64)
    }

    /// Draws how to mix a batch of `height` x `width` images.
    ///
    /// # Errors
    /// [`DataError::Loader`] for alphas that are negative or not finite.
    pub fn sample(&self, height: usize, width: usize, rng: &mut impl Rng) -> Result<Mixing, Error> {
        let usable = |alpha: f64| alpha >= 0.0 && alpha.is_finite();
        if !usable(self.mixup_alpha) || !usable(self.cutmix_alpha) {
            return Err(DataError::Loader {
                expected: "mixup and cutmix alphas of 0 or more",
                found: format!("{} and {}", self.mixup_alpha, self.cutmix_alpha),
            }
            .into());
        }
        let on = self.mixup_alpha > 0.0 || self.cutmix_alpha > 0.0;
        if !on || rng.random::<f64>() >= self.probability {
            return Ok(Mixing::Nothing);
        }
        let cutmix = if self.mixup_alpha > 0.0 && self.cutmix_alpha > 0.0 {
            rng.random::<f64>() < self.switch_probability
        } else {
            self.cutmix_alpha > 0.0
        };
        let alpha = if cutmix {
            self.cutmix_alpha
        } else {
            self.mixup_alpha
        };
        // This fails only for parameters that are not above 0.
        let lambda = Beta::new(alpha, alpha).map_or(1.0, |beta| beta.sample(rng));
        if !cutmix {
            return Ok(Mixing::Mixup { lambda });
        }
        let center = (rng.random_range(0..height), rng.random_range(0..width));
        Ok(Mixing::cutmix(lambda, center, height, width))
    }

    /// Mixes a batch of images `[N, 3, H, W]`. Classes become [probabilities](Targets::Probabilities).
    ///
    /// # Errors
    /// The errors of [`apply`](Self::apply).
    pub fn apply_to_batch(&self, mixing: Mixing, mut batch: Batch) -> Result<Batch, Error> {
        let lambda;
        (batch.images, lambda) = mix_images(mixing, batch.images)?;
        batch.targets = match &batch.targets {
            Targets::Classes(labels) => Targets::Probabilities(blend(&self.targets(labels)?, lambda)?),
            Targets::Probabilities(values) => Targets::Probabilities(blend(values, lambda)?),
            Targets::Values(values) => Targets::Values(blend(values, lambda)?),
        };
        Ok(batch)
    }

    /// Mixes `images` `[N, 3, H, W]` and their `labels` `[N]`. Returns the images and soft targets `[N, classes]`,
    /// as 32-bit floats on the same device.
    ///
    /// # Errors
    /// [`Error::Torch`], for example for a label that is not below `classes`.
    pub fn apply(&self, mixing: Mixing, images: Tensor, labels: &Tensor) -> Result<(Tensor, Tensor), Error> {
        let (images, lambda) = mix_images(mixing, images)?;
        Ok((images, blend(&self.targets(labels)?, lambda)?))
    }

    /// Returns smoothed one-hot labels, `[N, classes]`.
    fn targets(&self, labels: &Tensor) -> Result<Tensor, Error> {
        let other = self.label_smoothing / self.classes as f64;
        let own = 1.0 - self.label_smoothing + other;
        let full = |classes: usize, value: f64| {
            let shape = [labels.numel() as i64, classes as i64];
            Tensor::f_full(shape, value, (Kind::Float, labels.device()))
        };
        // Not `f_scatter_value_`, which makes tch panic on an invalid label.
        let mut targets = full(self.classes, other)?;
        Ok(targets.f_scatter_(1, &labels.f_unsqueeze(1)?, &full(1, own)?)?)
    }
}

/// Mixes images in place. Returns them with the share of each image that is its own.
fn mix_images(mixing: Mixing, mut images: Tensor) -> Result<(Tensor, f64), Error> {
    let lambda = match mixing {
        Mixing::Nothing => 1.0,
        Mixing::Mixup { lambda } => {
            let opposite = images.f_flip([0])?.f_mul_scalar_(1.0 - lambda)?;
            images = images.f_mul_scalar_(lambda)?.f_add_(&opposite)?;
            lambda
        }
        Mixing::Cutmix { area } => {
            let rows = images.f_narrow(2, area.top as i64, area.height as i64)?;
            let mut part = rows.f_narrow(3, area.left as i64, area.width as i64)?;
            part.f_copy_(&part.f_flip([0])?)?;
            let (height, width) = (images.size()[2], images.size()[3]);
            // Clipping at the border may have changed the area.
            1.0 - (area.height * area.width) as f64 / (height * width) as f64
        }
    };
    Ok((images, lambda))
}

/// Mixes targets `[N, outputs]` with those of the reversed batch.
fn blend(targets: &Tensor, lambda: f64) -> Result<Tensor, Error> {
    let opposite = targets.f_flip([0])?.f_mul_scalar_(1.0 - lambda)?;
    Ok(targets.f_mul_scalar(lambda)?.f_add_(&opposite)?)
}
