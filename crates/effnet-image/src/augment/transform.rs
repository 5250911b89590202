//! The training transform: random crop, flip, augmentation policy, color jitter, normalisation, random erasing.

use rand::Rng;

use super::draw::{chance, check_probability};
use super::{
    ColorJitter, Erasure, InterpolationChoice, Operation, Policy, RandomErasing, RandomResizedCrop, Sampling,
};
use crate::normalize::{IMAGENET_MEAN, IMAGENET_STD, check, check_destination, normalize};
use crate::{EvalTransform, Image, ImageError, Interpolation, Needed, PartialImage, Rectangle};

/// Augments an [`Image`] and converts it to a network's input, in the order of torchvision's and timm's presets:
/// `RandomResizedCrop`, `RandomHorizontalFlip`, the policy, `ColorJitter`, `ToTensor`, `Normalize`,
/// `RandomErasing`.
///
/// Sampling the parameters ([`TrainTransform::sample`]) and applying them ([`TrainTransform::apply_params`]) are
/// separate steps, so that each can be inspected and tested.
///
/// ```
/// use effnet_image::Image;
/// use effnet_image::augment::{Policy, TrainTransform};
/// use rand::{SeedableRng, rngs::SmallRng};
///
/// # fn main() -> Result<(), effnet_image::ImageError> {
/// let transform = TrainTransform::new(224).with_policy("rand-m9-mstd0.5".parse::<Policy>()?);
/// let image = Image::from_rgb8(40, 30, vec![128; 40 * 30 * 3])?;
/// let input = transform.apply(&image, &mut SmallRng::seed_from_u64(7))?; // [3, 224, 224]
/// assert_eq!(input.len(), transform.output_len());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct TrainTransform {
    /// Side of the square output in pixels.
    pub image_size: usize,
    /// The random crop.
    pub crop: RandomResizedCrop,
    /// The interpolation of the resize.
    pub interpolation: InterpolationChoice,
    /// Probability of a horizontal flip, 0 to 1.
    pub flip: f64,
    /// The augmentation policy (AutoAugment or RandAugment), if any.
    pub policy: Option<Policy>,
    /// Color jitter, if any. timm does not combine it with a policy.
    pub jitter: Option<ColorJitter>,
    /// Random erasing, if any.
    pub erasing: Option<RandomErasing>,
    /// Mean of the R, G and B channels, for values from 0 to 1.
    pub mean: [f32; 3],
    /// Standard deviation of the R, G and B channels, for values from 0 to 1.
    pub std: [f32; 3],
}

/// The random parameters sampled for one image.
#[derive(Debug, Clone, PartialEq)]
pub struct AugmentParams {
    /// The crop.
    pub crop: Rectangle,
    /// The interpolation of the resize.
    pub interpolation: Interpolation,
    /// Whether to flip the image horizontally after the resize.
    pub flip: bool,
    /// The operations to apply next, in this order.
    pub operations: Vec<(Operation, Sampling)>,
    /// The rectangles to erase at the end.
    pub erasures: Vec<Erasure>,
}

impl TrainTransform {
    /// Creates a transform with a random resized crop and a horizontal flip, with torchvision's defaults: scale
    /// 0.08 to 1, ratio 3/4 to 4/3, bilinear interpolation, a flip probability of 0.5, and ImageNet's mean and
    /// standard deviation.
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

    /// Creates the transform of [`new`](Self::new) for a network that is evaluated with `transform`: with its image size,
    /// mean and standard deviation.
    ///
    /// ```
    /// use effnet_image::augment::TrainTransform;
    /// use effnet_image::{EvalTransform, INCEPTION_MEAN, INCEPTION_STD};
    ///
    /// let evaluate = EvalTransform::new(300).with_mean(INCEPTION_MEAN).with_std(INCEPTION_STD);
    /// let train = TrainTransform::matching(&evaluate);
    /// assert_eq!((train.image_size, train.mean, train.std), (300, INCEPTION_MEAN, INCEPTION_STD));
    /// ```
    pub fn matching(transform: &EvalTransform) -> Self {
        Self::new(transform.image_size)
            .with_mean(transform.mean)
            .with_std(transform.std)
    }

    /// Sets [`image_size`](Self::image_size).
    #[must_use]
    pub fn with_image_size(mut self, image_size: usize) -> Self {
        self.image_size = image_size;
        self
    }

    /// Sets [`crop`](Self::crop).
    #[must_use]
    pub fn with_crop(mut self, crop: RandomResizedCrop) -> Self {
        self.crop = crop;
        self
    }

    /// Sets [`interpolation`](Self::interpolation).
    #[must_use]
    pub fn with_interpolation(mut self, interpolation: impl Into<InterpolationChoice>) -> Self {
        self.interpolation = interpolation.into();
        self
    }

    /// Sets [`flip`](Self::flip).
    #[must_use]
    pub fn with_flip(mut self, flip: f64) -> Self {
        self.flip = flip;
        self
    }

    /// Sets [`policy`](Self::policy).
    #[must_use]
    pub fn with_policy(mut self, policy: impl Into<Option<Policy>>) -> Self {
        self.policy = policy.into();
        self
    }

    /// Sets [`jitter`](Self::jitter).
    #[must_use]
    pub fn with_jitter(mut self, jitter: impl Into<Option<ColorJitter>>) -> Self {
        self.jitter = jitter.into();
        self
    }

    /// Sets [`erasing`](Self::erasing).
    #[must_use]
    pub fn with_erasing(mut self, erasing: impl Into<Option<RandomErasing>>) -> Self {
        self.erasing = erasing.into();
        self
    }

    /// Sets [`mean`](Self::mean).
    #[must_use]
    pub fn with_mean(mut self, mean: [f32; 3]) -> Self {
        self.mean = mean;
        self
    }

    /// Sets [`std`](Self::std).
    #[must_use]
    pub fn with_std(mut self, std: [f32; 3]) -> Self {
        self.std = std;
        self
    }

    /// Returns the number of values in one output, `3 * image_size * image_size`.
    pub fn output_len(&self) -> usize {
        3 * self.image_size * self.image_size
    }

    /// Augments and normalises the image, and returns `[3, image_size, image_size]`.
    ///
    /// # Errors
    /// The errors of [`TrainTransform::check`].
    pub fn apply(&self, image: &Image, rng: &mut impl Rng) -> Result<Vec<f32>, ImageError> {
        self.check()?;
        let mut output = vec![0.0; self.output_len()];
        self.apply_into(image, rng, &mut output)?;
        Ok(output)
    }

    /// Like [`TrainTransform::apply`], but writes to one image's slice of a batch `[N, 3, H, W]`.
    ///
    /// # Errors
    /// The errors of [`TrainTransform::check`], and [`ImageError::DestinationLength`] if `output` does not have
    /// [`TrainTransform::output_len`] values.
    pub fn apply_into(
        &self,
        image: &Image,
        rng: &mut impl Rng,
        output: &mut [f32],
    ) -> Result<(), ImageError> {
        self.check()?;
        let params = self.sample(image.width(), image.height(), rng);
        self.apply_params(image, &params, output)
    }

    /// Returns what [`TrainTransform::apply_part_into`] needs of a `width` x `height` image with these random numbers.
    pub fn needed(&self, width: usize, height: usize, rng: &mut impl Rng) -> Needed {
        let params = self.sample(width, height, rng);
        let size = match params.interpolation {
            // Chooses among the pixels of the file.
            Interpolation::Nearest => params.crop.width.max(params.crop.height),
            Interpolation::Bilinear | Interpolation::Bicubic => self.image_size,
        };
        Needed {
            crop: params.crop,
            size,
        }
    }

    /// Like [`TrainTransform::apply_into`], with an image that was decoded as far as [`needed`](Self::needed) with the
    /// same random numbers.
    ///
    /// # Errors
    /// The errors of [`TrainTransform::apply_into`]; [`ImageError::Crop`] if other parts of the image were decoded.
    pub fn apply_part_into(
        &self,
        image: &PartialImage,
        rng: &mut impl Rng,
        output: &mut [f32],
    ) -> Result<(), ImageError> {
        self.check()?;
        check_destination(self.image_size, output)?;
        let params = self.sample(image.width(), image.height(), rng);
        let size = self.image_size;
        let view = image.resized_crop(params.crop, size, size, params.interpolation)?;
        self.finish(view, &params, output);
        Ok(())
    }

    /// Samples the parameters for a `width` x `height` image, which must be at least 1 x 1.
    ///
    /// # Panics
    /// May panic with options that [`TrainTransform::check`] rejects.
    pub fn sample(&self, width: usize, height: usize, rng: &mut impl Rng) -> AugmentParams {
        let side = self.image_size;
        let crop = self.crop.sample(width, height, rng);
        let interpolation = self.interpolation.sample(rng);
        let flip = chance(self.flip, rng);
        let mut operations = self
            .policy
            .map_or_else(Vec::new, |policy| policy.sample(side, side, rng));
        if let Some(jitter) = &self.jitter {
            let sampled = jitter.sample(rng).into_iter();
            operations.extend(sampled.map(|operation| (operation, Sampling::default())));
        }
        let erasures = self
            .erasing
            .map_or_else(Vec::new, |erasing| erasing.sample(side, side, rng));
        AugmentParams {
            crop,
            interpolation,
            flip,
            operations,
            erasures,
        }
    }

    /// Applies `params` and writes `[3, image_size, image_size]` to `output`.
    ///
    /// # Errors
    /// [`ImageError::DestinationLength`]; [`ImageError::Crop`] if `params` were sampled for an image of a
    /// different size.
    pub fn apply_params(
        &self,
        image: &Image,
        params: &AugmentParams,
        output: &mut [f32],
    ) -> Result<(), ImageError> {
        check_destination(self.image_size, output)?;
        let size = self.image_size;
        let view = image.resized_crop(params.crop, size, size, params.interpolation)?;
        self.finish(view, params, output);
        Ok(())
    }

    /// Applies what follows the crop.
    fn finish(&self, mut view: Image, params: &AugmentParams, output: &mut [f32]) {
        if params.flip {
            view.flip_horizontal();
        }
        for (operation, sampling) in &params.operations {
            operation.apply(&mut view, *sampling);
        }
        normalize(view.pixels(), self.mean, self.std, output);
        for erasure in &params.erasures {
            erasure.apply(output, self.image_size);
        }
    }

    /// Checks the options. [`TrainTransform::apply`] checks them too; call this to fail before training starts.
    ///
    /// # Errors
    /// [`ImageError::InvalidTransform`] for the first invalid option.
    pub fn check(&self) -> Result<(), ImageError> {
        check(self.image_size, self.mean, self.std)?;
        self.crop.check()?;
        check_probability(self.flip, "a flip probability from 0 to 1")?;
        self.policy.as_ref().map_or(Ok(()), Policy::check)?;
        self.jitter.as_ref().map_or(Ok(()), ColorJitter::check)?;
        self.erasing.as_ref().map_or(Ok(()), RandomErasing::check)
    }
}
