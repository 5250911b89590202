//! From images to a network's input.

use effnet_image::augment::TrainTransform;
use effnet_image::{EvalTransform, Image};

use super::{BoxError, SampleRng};

/// What a loader does to each picture; on several threads at a time.
pub trait Transform: Send + Sync {
    /// Side of the square output in pixels.
    fn image_size(&self) -> usize;

    /// Whether the options can be used; asked once, before any picture.
    ///
    /// # Errors
    /// What is wrong with them.
    fn check(&self) -> Result<(), BoxError>;

    /// Fills `output`, `[3, image_size, image_size]`, which is zeros at first.
    ///
    /// Whatever is random comes from `rng`, whose numbers depend on the seed, the epoch and the picture
    /// only.
    ///
    /// # Errors
    /// Why this picture cannot be transformed.
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
