//! Small images for a report.

use effnet_image::{Image, ImageError, Interpolation};

use crate::PlotError;

/// Shrinks an image so that its longer side is at most `side` pixels, and encodes it as PNG.
///
/// # Errors
/// [`PlotError::Draw`] if it cannot be encoded.
pub fn thumbnail_png(image: &Image, side: usize) -> Result<Vec<u8>, PlotError> {
    let longer = image.width().max(image.height());
    let scaled = |length: usize| (length * side.min(longer) / longer).max(1);
    let (width, height) = (scaled(image.width()), scaled(image.height()));
    let small = image.resize(width, height, Interpolation::Bilinear);
    let small = small.map_err(|error: ImageError| PlotError::Draw(error.to_string()))?;
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    let written = encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(small.pixels()));
    written.map_err(|error| PlotError::Draw(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbnail_keeps_the_aspect_ratio_and_is_never_enlarged() {
        for (size, expected) in [([300, 100], [60, 20]), ([20, 10], [20, 10]), ([600, 1], [60, 1])] {
            let image = Image::from_rgb8(size[0], size[1], vec![9; size[0] * size[1] * 3]).unwrap();
            let found = Image::decode(&thumbnail_png(&image, 60).unwrap(), "thumbnail").unwrap();
            assert_eq!([found.width(), found.height()], expected);
        }
    }
}
