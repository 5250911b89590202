//! The pixel layouts of decoders and their conversion to RGB (Pillow's `Convert.c`, `Paste.c`).

use crate::Alpha;

/// Interleaved pixels, 8 bits per sample.
#[derive(Debug)]
pub(super) enum Samples {
    Gray(Vec<u8>),
    GrayAlpha(Vec<u8>),
    Rgb(Vec<u8>),
    Rgba(Vec<u8>),
}

impl Samples {
    pub(super) fn pixel_count(&self) -> usize {
        match self {
            Self::Gray(samples) => samples.len(),
            Self::GrayAlpha(samples) => samples.len() / 2,
            Self::Rgb(samples) => samples.len() / 3,
            Self::Rgba(samples) => samples.len() / 4,
        }
    }

    /// Converts to RGB, `[height, width, 3]`.
    pub(super) fn into_rgb(self, alpha: Alpha) -> Vec<u8> {
        match (self, alpha) {
            (Self::Rgb(samples), _) => samples,
            (Self::Gray(samples), _) => map_pixels::<1>(&samples, |[gray]| [gray; 3]),
            (Self::GrayAlpha(samples), Alpha::Drop) => map_pixels::<2>(&samples, |[gray, _]| [gray; 3]),
            (Self::Rgba(samples), Alpha::Drop) => map_pixels::<4>(&samples, |[r, g, b, _]| [r, g, b]),
            (Self::GrayAlpha(samples), Alpha::FlattenOnWhite) => {
                map_pixels::<2>(&samples, |[gray, alpha]| [over_white(gray, alpha); 3])
            }
            (Self::Rgba(samples), Alpha::FlattenOnWhite) => map_pixels::<4>(&samples, |[r, g, b, a]| {
                [over_white(r, a), over_white(g, a), over_white(b, a)]
            }),
        }
    }
}

/// Maps pixels of `N` samples to RGB.
pub(super) fn map_pixels<const N: usize>(samples: &[u8], to_rgb: impl Fn([u8; N]) -> [u8; 3]) -> Vec<u8> {
    let pixels = samples.as_chunks::<N>().0;
    let mut rgb = vec![0; pixels.len() * 3];
    for (target, pixel) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
        *target = to_rgb(*pixel);
    }
    rgb
}

/// Computes `(value * alpha + 255 * (255 - alpha)) / 255`, rounded like Pillow's `BLEND` macro.
fn over_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    let sum = value * alpha + 255 * (255 - alpha) + 128;
    (((sum >> 8) + sum) >> 8) as u8
}

/// Computes `a * b / 255`, rounded like Pillow's `MULDIV255` macro.
fn multiply_255(a: u8, b: u8) -> u8 {
    let product = u32::from(a) * u32::from(b) + 128;
    (((product >> 8) + product) >> 8) as u8
}

/// Converts CMYK to RGB without colour management (Pillow's `cmyk2rgb`).
pub(super) fn cmyk_to_rgb([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    let light = 255 - black;
    [cyan, magenta, yellow].map(|ink| light - multiply_255(ink, light))
}

/// Converts 16-bit grey to 8 bits by clipping, not scaling, like Pillow's `I16_RGB` for mode `I;16`.
pub(super) fn clip_to_8_bits(value: u16) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}

/// Unpacks samples of `bits` bits into one byte per sample. The most significant bits come first, and rows
/// are padded to whole bytes.
pub(super) fn unpack_bits(packed: &[u8], width: usize, stride: usize, bits: u8) -> Vec<u8> {
    let per_byte = usize::from(8 / bits);
    let mask = ((1_u16 << bits) - 1) as u8;
    let mut samples = Vec::with_capacity(packed.len() / stride.max(1) * width);
    for row in packed.chunks_exact(stride.max(1)) {
        samples.extend((0..width).map(|x| {
            let shift = 8 - bits * (x % per_byte + 1) as u8;
            row[x / per_byte] >> shift & mask
        }));
    }
    samples
}
