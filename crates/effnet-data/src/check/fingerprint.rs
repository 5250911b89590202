//! What is remembered of an image's pixels: enough to recognise a copy of it.

use effnet_image::{Image, ImageError, Interpolation};
use sha2::{Digest, Sha256};

/// Side of the thumbnail.
const SIDE: usize = 16;
/// Added to the variance of thumbnails, so that the noise of images without any content counts for nothing.
const NOISE: f64 = 4.0;

/// The size, the digest and a grey thumbnail of an image: 320 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fingerprint {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// SHA-256 of the size and the pixels. Files with the same bytes have the same digest, and so do files that
    /// store the same pixels differently, such as a PNG and a BMP.
    pub digest: [u8; 32],
    thumbnail: [u8; SIDE * SIDE],
}

impl Fingerprint {
    /// Computes the fingerprint of an image.
    ///
    /// # Errors
    /// Same as [`Image::resize`].
    pub fn of(image: &Image) -> Result<Self, ImageError> {
        let (width, height) = (image.width(), image.height());
        let mut digest = Sha256::new();
        for side in [width, height] {
            digest.update((side as u64).to_le_bytes());
        }
        digest.update(image.pixels());
        let small = image.resize(SIDE, SIDE, Interpolation::Bilinear)?;
        let mut thumbnail = [0; SIDE * SIDE];
        for (grey, pixel) in thumbnail.iter_mut().zip(small.pixels().as_chunks::<3>().0) {
            let [red, green, blue] = pixel.map(u32::from);
            *grey = ((299 * red + 587 * green + 114 * blue + 500) / 1000) as u8;
        }
        Ok(Self {
            width,
            height,
            digest: digest.finalize().into(),
            thumbnail,
        })
    }

    /// The correlation of the thumbnails, of the other image as it is or mirrored, whichever is larger. Copies that
    /// were saved again, resized or mirrored have more than 0.97.
    pub fn similarity(&self, other: &Self) -> f64 {
        let rows = other.thumbnail.chunks_exact(SIDE);
        let mirrored: Vec<u8> = rows.flat_map(|row| row.iter().rev().copied()).collect();
        correlation(&self.thumbnail, &other.thumbnail).max(correlation(&self.thumbnail, &mirrored))
    }
}

fn correlation(a: &[u8], b: &[u8]) -> f64 {
    let count = a.len() as f64;
    let mean = |values: &[u8]| values.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (NOISE, NOISE, NOISE);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (f64::from(*a) - mean_a, f64::from(*b) - mean_b);
        ab += a * b / count;
        aa += a * a / count;
        bb += b * b / count;
    }
    ab / (aa * bb).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn photo() -> Image {
        let pixel = |x: usize, y: usize| {
            let wave = |a: f64| (127.0 + 120.0 * a.sin()) as u8;
            let (x, y) = (x as f64, y as f64);
            [
                wave(x / 9.0 + y / 17.0),
                wave(x * y / 400.0),
                wave(y / 11.0 - x / 31.0),
            ]
        };
        let pixels = (0..90).flat_map(|y| (0..120).flat_map(move |x| pixel(x, y)));
        Image::from_rgb8(120, 90, pixels.collect()).unwrap()
    }

    #[test]
    fn a_resized_and_a_mirrored_copy_are_similar_but_not_equal() {
        let (image, mut mirrored) = (photo(), photo());
        let original = Fingerprint::of(&image).unwrap();
        mirrored.flip_horizontal();
        let resized = image.resize(75, 60, Interpolation::Bicubic).unwrap();
        for copy in [mirrored, resized] {
            let copy = Fingerprint::of(&copy).unwrap();
            assert!(original.similarity(&copy) > 0.97);
            assert_ne!(original.digest, copy.digest);
        }
    }

    #[test]
    fn the_digest_covers_the_size() {
        let of = |width, height| Fingerprint::of(&Image::from_rgb8(width, height, vec![7; 18]).unwrap());
        assert_ne!(of(2, 3).unwrap().digest, of(3, 2).unwrap().digest);
        assert_eq!(of(2, 3).unwrap(), of(2, 3).unwrap());
    }

    #[test]
    fn different_images_are_not_similar() {
        let image = photo();
        let turned = Image::from_rgb8(120, 90, image.rows().rev().flatten().copied().collect()).unwrap();
        let [a, b] = [image, turned].map(|image| Fingerprint::of(&image).unwrap());
        assert!(a.similarity(&b) < 0.9, "{}", a.similarity(&b));
    }
}
