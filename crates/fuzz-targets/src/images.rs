//! Images: decoding, and the transform of a network's input.

use effnet_image::{DecodeOptions, EvalTransform, Image, Interpolation};

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
    let transform = EvalTransform::with_resize_size(8, 9, Interpolation::Bilinear);
    if let Ok(values) = transform.apply(&image) {
        assert_eq!(values.len(), transform.output_len());
        assert!(values.iter().all(|value| value.is_finite()));
    }
}
