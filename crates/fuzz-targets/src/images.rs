//! Images: decoding, and the transform of a network's input.

use effnet_image::{DecodeOptions, EvalTransform, Image, Interpolation, Needed, PartialImage, Rectangle};

/// Pixels and bytes of memory: small, so that an input takes milliseconds.
const MAX_PIXELS: u64 = 1 << 20;
const MAX_MEMORY: u64 = 64 << 20;

pub(crate) fn image(bytes: &[u8]) {
    let options = DecodeOptions::default()
        .with_max_pixels(MAX_PIXELS)
        .with_max_memory(MAX_MEMORY);
    let Ok(image) = Image::decode_with(bytes, "image", &options) else {
        return;
    };
    let pixels = image.width() * image.height();
    assert_eq!(image.pixels().len(), 3 * pixels);
    assert!(pixels as u64 <= MAX_PIXELS);
    let transform = EvalTransform::new(8)
        .with_resize_size(9)
        .with_interpolation(Interpolation::Bilinear);
    if let Ok(values) = transform.apply(&image) {
        assert_eq!(values.len(), transform.output_len());
        assert!(values.iter().all(|value| value.is_finite()));
    }
    part(bytes, &options, &image);
}

/// What a random crop needs: a corner as it is, or the right half at a lower resolution.
fn part(bytes: &[u8], options: &DecodeOptions, whole: &Image) {
    let (width, height) = (whole.width(), whole.height());
    let corner = Rectangle {
        left: 0,
        top: 0,
        width: width.min(9),
        height: height.min(9),
    };
    let half = Rectangle {
        left: width / 2,
        width: width - width / 2,
        height,
        ..corner
    };
    for (crop, size) in [(corner, 9), (half, 1)] {
        let needed = |found_width, found_height| {
            assert_eq!((found_width, found_height), (width, height));
            Some(Needed { crop, size })
        };
        let part = PartialImage::decode_with(bytes, "image", options, needed);
        let found = part.and_then(|part| part.resized_crop(crop, 5, 5, Interpolation::Bilinear));
        let expected = whole.resized_crop(crop, 5, 5, Interpolation::Bilinear);
        assert!(found.is_ok() && expected.is_ok(), "{found:?} {expected:?}");
        if let (9, Ok(found), Ok(expected)) = (size, found, expected) {
            assert!(found == expected, "other pixels");
        }
    }
}
