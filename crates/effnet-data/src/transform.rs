//! Turns decoded images into network inputs.

use effnet_image::augment::TrainTransform;
use effnet_image::{EvalTransform, Image};

use super::{BoxError, SampleRng};

/// A transform that a loader applies to each image, on several threads at the same time.
pub trait Transform: Send + Sync {
    /// Returns the side of the square output in pixels.
    fn image_size(&self) -> usize;

    /// Checks the options; called once, before the first image.
    ///
    /// # Errors
    /// Fails if the options are invalid.
    fn check(&self) -> Result<(), BoxError>;

    /// Fills `output`, which has shape `[3, image_size, image_size]` and is all zeros on entry.
    ///
    /// Draw all randomness from `rng`: its numbers depend only on the seed, the epoch and the image.
    ///
    /// # Errors
    /// Fails if the image cannot be transformed.
    fn apply_into(&self, image: &Image, rng: &mut SampleRng, output: &mut [f32]) -> Result<(), BoxError>;
}

impl Transform for TrainTransform {
    fn image_size(&self) -> usize {
        self.image_size
    }

    fn check(&self) -> Result<(), BoxError> {
        Ok(TrainTransform::check(self)?)
    }

    fn apply_into(&self, image: &Image, rng: &mut SampleRng, output: &mut [f32]) -> Result<(), BoxError> {
        Ok(TrainTransform::apply_into(self, image, rng, output)?)
    }
}

impl Transform for EvalTransform {
    fn image_size(&self) -> usize {
        self.image_size
    }

    fn check(&self) -> Result<(), BoxError> {
        Ok(EvalTransform::check(self)?)
    }

    fn apply_into(&self, image: &Image, _: &mut SampleRng, output: &mut [f32]) -> Result<(), BoxError> {
        Ok(EvalTransform::apply_into(self, image, output)?)
    }
}
