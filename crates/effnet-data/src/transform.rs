//! Turns decoded images into network inputs.

use effnet_image::augment::TrainTransform;
use effnet_image::{EvalTransform, Image, Needed, PartialImage};

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

    /// Returns what [`apply_part_into`](Self::apply_part_into) needs of an image of this width and height, with the
    /// same random numbers; `None`, the default, if it needs a whole image.
    fn needed(&self, width: usize, height: usize, rng: &SampleRng) -> Option<Needed> {
        let _ = (width, height, rng);
        None
    }

    /// Like [`apply_into`](Self::apply_into), with an image that is decoded as far as it is [needed](Self::needed).
    ///
    /// # Errors
    /// Same as [`apply_into`](Self::apply_into).
    fn apply_part_into(
        &self,
        image: &PartialImage,
        rng: &mut SampleRng,
        output: &mut [f32],
    ) -> Result<(), BoxError> {
        self.apply_into(image.decoded(), rng, output)
    }
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

    fn needed(&self, width: usize, height: usize, rng: &SampleRng) -> Option<Needed> {
        Some(TrainTransform::needed(self, width, height, &mut rng.clone()))
    }

    fn apply_part_into(
        &self,
        image: &PartialImage,
        rng: &mut SampleRng,
        output: &mut [f32],
    ) -> Result<(), BoxError> {
        Ok(TrainTransform::apply_part_into(self, image, rng, output)?)
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
