//! The training transform: random crop, flip, policy, jitter, normalise, erase.

use rand::Rng;

use super::draw::{chance, check_probability};
use super::{
    ColorJitter, Erasure, InterpolationChoice, Operation, Policy, RandomErasing, RandomResizedCrop, Sampling,
};
use crate::normalize::{IMAGENET_MEAN, IMAGENET_STD, check, check_destination, normalize};
use crate::{Image, ImageError, Interpolation, Rectangle};

/// From an [`Image`] to a network's input for training, in the order of torchvision's and timm's
/// presets: `RandomResizedCrop`, `RandomHorizontalFlip`, the policy, `ColorJitter`, `ToTensor`,
/// `Normalize`, `RandomErasing`.
///
/// What is drawn ([`TrainTransform::sample`]) and what is done with it ([`TrainTransform::apply_drawn`])
/// are apart, so that each can be looked at.
///
/// ```
/// use effnet_image::Image;
/// use effnet_image::augment::TrainTransform;
/// use rand::{SeedableRng, rngs::SmallRng};
///
/// # fn main() -> Result<(), effnet_image::ImageError> {
/// let transform = TrainTransform {
///     policy: Some("rand-m9-mstd0.5".parse()?),
///     ..TrainTransform::new(224)
/// };
/// let image = Image::from_rgb8(40, 30, vec![128; 40 * 30 * 3])?;
/// let input = transform.apply(&image, &mut SmallRng::seed_from_u64(7))?; // [3, 224, 224]
/// assert_eq!(input.len(), transform.output_len());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainTransform {
    /// Side of the square output in pixels.
    pub image_size: usize,
    /// Which part of the picture is taken.
    pub crop: RandomResizedCrop,
    /// The kernel of the resize.
    pub interpolation: InterpolationChoice,
    /// The share of the images that are mirrored.
    pub flip: f64,
    /// What draws operations for the image, if anything.
    pub policy: Option<Policy>,
    /// Random colours, if any. timm leaves them out beside a policy.
    pub jitter: Option<ColorJitter>,
    /// Random erasing, if any.
    pub erasing: Option<RandomErasing>,
    /// Subtracted from values in 0 to 1, for R, G, B.
    pub mean: [f32; 3],
    /// Divides after that, for R, G, B.
    pub std: [f32; 3],
}

/// What was drawn for one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// The part of the picture that is taken.
    pub crop: Rectangle,
    /// The kernel of its resize.
    pub interpolation: Interpolation,
    /// Whether it is mirrored after that.
    pub flip: bool,
    /// What is then done to it, in this order.
    pub operations: Vec<(Operation, Sampling)>,
    /// What is erased at the end.
    pub erasures: Vec<Erasure>,
}

impl TrainTransform {
    /// Crop and flip with torchvision's defaults: a share of 0.08 to 1 of the area, ratio 3/4 to 4/3,
    /// bilinear, every other image mirrored, ImageNet's mean and standard deviation.
    pub fn new(image_size: usize) -> Self {
        Self {
            image_size,
            crop: RandomResizedCrop::default(),
            interpolation: InterpolationChoice::Bilinear,
            flip: 0.5,
            policy: None,
            jitter: None,
            erasing: None,
            mean: IMAGENET_MEAN,
            std: IMAGENET_STD,
        }
    }

    /// Number of values in one output, `3 * image_size * image_size`.
    pub fn output_len(&self) -> usize {
        3 * self.image_size * self.image_size
    }

    /// Draws and applies: `[3, image_size, image_size]`.
    ///
    /// # Errors
    /// As [`TrainTransform::check`].
    pub fn apply(&self, image: &Image, rng: &mut impl Rng) -> Result<Vec<f32>, ImageError> {
        self.check()?;
        let mut output = vec![0.0; self.output_len()];
        self.apply_into(image, rng, &mut output)?;
        Ok(output)
    }

    /// As [`TrainTransform::apply`], into one image's slice of a batch `[N, 3, H, W]`.
    ///
    /// # Errors
    /// As [`TrainTransform::check`], and [`ImageError::DestinationLength`] when `output` does not have
    /// [`TrainTransform::output_len`] values.
    pub fn apply_into(
        &self,
        image: &Image,
        rng: &mut impl Rng,
        output: &mut [f32],
    ) -> Result<(), ImageError> {
        self.check()?;
        let drawn = self.sample(image.width(), image.height(), rng);
        self.apply_drawn(image, &drawn, output)
    }

    /// Draws for a picture of `width` x `height`, which must be at least 1 x 1, with options that
    /// [`TrainTransform::check`] accepts.
    ///
    /// # Panics
    /// With other options it may.
    pub fn sample(&self, width: usize, height: usize, rng: &mut impl Rng) -> Drawn {
        let side = self.image_size;
        let crop = self.crop.sample(width, height, rng);
        let interpolation = self.interpolation.sample(rng);
        let flip = chance(self.flip, rng);
        let mut operations = self
            .policy
            .map_or_else(Vec::new, |policy| policy.sample(side, side, rng));
        if let Some(jitter) = &self.jitter {
            let drawn = jitter.sample(rng).into_iter();
            operations.extend(drawn.map(|operation| (operation, Sampling::default())));
        }
        let erasures = self
            .erasing
            .map_or_else(Vec::new, |erasing| erasing.sample(side, side, rng));
        Drawn {
            crop,
            interpolation,
            flip,
            operations,
            erasures,
        }
    }

    /// Does what was drawn, into `[3, image_size, image_size]`.
    ///
    /// # Errors
    /// [`ImageError::DestinationLength`]; [`ImageError::Crop`] when `drawn` is for another picture.
    pub fn apply_drawn(&self, image: &Image, drawn: &Drawn, output: &mut [f32]) -> Result<(), ImageError> {
        check_destination(self.image_size, output)?;
        let mut view =
            image.resized_crop(drawn.crop, self.image_size, self.image_size, drawn.interpolation)?;
        if drawn.flip {
            view.flip_horizontal();
        }
        for (operation, sampling) in &drawn.operations {
            operation.apply(&mut view, *sampling);
        }
        normalize(view.pixels(), self.mean, self.std, output);
        for erasure in &drawn.erasures {
            erasure.apply(output, self.image_size);
        }
        Ok(())
    }

    /// Whether the options can be used. [`TrainTransform::apply`] looks itself; to look earlier saves
    /// finding out in the middle of an epoch.
    ///
    /// # Errors
    /// [`ImageError::InvalidTransform`] that names the first option that cannot.
    pub fn check(&self) -> Result<(), ImageError> {
        check(self.image_size, self.mean, self.std)?;
        self.crop.check()?;
        check_probability(self.flip, "a flip probability from 0 to 1")?;
        self.policy.as_ref().map_or(Ok(()), Policy::check)?;
        self.jitter.as_ref().map_or(Ok(()), ColorJitter::check)?;
        self.erasing.as_ref().map_or(Ok(()), RandomErasing::check)
    }
}
