//! Converts bytes to normalised floats (torchvision's `ToTensor` and `Normalize`).

use crate::ImageError;

/// Mean of ImageNet's RGB channels, for values from 0 to 1.
pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Standard deviation of ImageNet's RGB channels, for values from 0 to 1.
pub const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];
/// Mean that, together with [`INCEPTION_STD`], maps 0..1 to -1..1 (for AdvProp and some TensorFlow weights).
pub const INCEPTION_MEAN: [f32; 3] = [0.5; 3];
/// Standard deviation that, together with [`INCEPTION_MEAN`], maps 0..1 to -1..1.
pub const INCEPTION_STD: [f32; 3] = [0.5; 3];

/// Writes `(value / 255 - mean) / std` of `[height, width, 3]` bytes as `[3, height, width]`.
pub(crate) fn normalize(pixels: &[u8], mean: [f32; 3], std: [f32; 3], output: &mut [f32]) {
    // A byte has 256 values, so one table per channel replaces two divisions per sample.
    let table = |channel: usize| -> [f32; 256] {
        std::array::from_fn(|value| (value as f32 / 255.0 - mean[channel]) / std[channel])
    };
    let tables = [0, 1, 2].map(table);
    let (red, rest) = output.split_at_mut(output.len() / 3);
    let (green, blue) = rest.split_at_mut(red.len());
    let pixels = pixels.as_chunks::<3>().0;
    let planes = red.iter_mut().zip(green).zip(blue);
    for ([r, g, b], ((red, green), blue)) in pixels.iter().zip(planes) {
        *red = tables[0][usize::from(*r)];
        *green = tables[1][usize::from(*g)];
        *blue = tables[2][usize::from(*b)];
    }
}

/// Checks the options that the training and evaluation transforms share.
pub(crate) fn check(image_size: usize, mean: [f32; 3], std: [f32; 3]) -> Result<(), ImageError> {
    if !(1..=1 << 14).contains(&image_size) {
        return Err(ImageError::InvalidTransform {
            expected: "an image size from 1 to 16384",
            found: image_size.to_string(),
        });
    }
    if mean.iter().any(|mean| !mean.is_finite()) {
        return Err(ImageError::InvalidTransform {
            expected: "a finite mean",
            found: format!("{mean:?}"),
        });
    }
    if std.iter().any(|std| !(std.is_finite() && *std > 0.0)) {
        return Err(ImageError::InvalidTransform {
            expected: "standard deviations above 0",
            found: format!("{std:?}"),
        });
    }
    Ok(())
}

/// Checks that `output` has the length of one image.
pub(crate) fn check_destination(image_size: usize, output: &[f32]) -> Result<(), ImageError> {
    let expected = 3 * image_size * image_size;
    if output.len() != expected {
        return Err(ImageError::DestinationLength {
            expected,
            found: output.len(),
        });
    }
    Ok(())
}
