//! From arguments and variant to the transform of images.

use effnet_core::Variant;
use effnet_image::{EvalTransform, IMAGENET_MEAN, IMAGENET_STD, Interpolation, ResizeMode};

use crate::arguments::PreprocessingArguments;

/// Pixels that the original evaluation adds to the crop before it resizes (`CROP_PADDING` in
/// tensorflow/tpu `preprocessing.py`).
const CROP_PADDING: usize = 32;

/// The transform of the original evaluation, with what the arguments override.
pub(crate) fn transform(arguments: &PreprocessingArguments, variant: Variant) -> EvalTransform {
    let native = variant.image_size() as usize;
    let image_size = arguments.image_size.map_or(native, |size| size as usize);
    let resize = match arguments.crop_pct {
        Some(fraction) => ResizeMode::CropPct(fraction),
        // At another size the crop keeps the same fraction of the image.
        None => ResizeMode::ShortSide(image_size * (native + CROP_PADDING) / native),
    };
    EvalTransform {
        image_size,
        resize,
        interpolation: arguments.interpolation.unwrap_or(Interpolation::Bicubic),
        mean: arguments.mean.unwrap_or(IMAGENET_MEAN),
        std: arguments.std.unwrap_or(IMAGENET_STD),
    }
}
