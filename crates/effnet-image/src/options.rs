//! How a picture is decoded, and how much of the machine it may take.

use crate::error::Fault;

/// What becomes of transparency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Alpha {
    /// The alpha channel is dropped and the colours under it are kept, as Pillow's
    /// `Image.convert("RGB")` does. Pixels that were invisible become visible.
    #[default]
    Drop,
    /// The picture is laid over white, as `Image.paste(picture, mask=alpha)` does on a white
    /// canvas.
    FlattenOnWhite,
}

/// Options of [`Image::open_with`](crate::Image::open_with) and
/// [`Image::decode_with`](crate::Image::decode_with).
///
/// The limits are compared with the picture's header before any pixel memory is taken, so that a
/// few bytes cannot claim gigabytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeOptions {
    /// What becomes of transparency.
    pub alpha: Alpha,
    /// The largest `width * height`. The default, 178 956 970, is where Pillow raises
    /// `DecompressionBombError` (twice `Image.MAX_IMAGE_PIXELS`).
    pub max_pixels: u64,
    /// The largest estimated memory in bytes for one picture: the file, the decoder's own buffers,
    /// and the RGB pixels. The default is 2 GiB.
    pub max_memory: u64,
    /// Whether EXIF (or, failing that, XMP) orientation is applied, as
    /// `PIL.ImageOps.exif_transpose` does. On by default.
    pub apply_orientation: bool,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            alpha: Alpha::Drop,
            max_pixels: 178_956_970,
            max_memory: 2 << 30,
            apply_orientation: true,
        }
    }
}

impl DecodeOptions {
    /// Checks a header against the limits. `bytes_per_pixel` is the decoder's peak need including
    /// the RGB output.
    pub(crate) fn admit(&self, width: u64, height: u64, bytes_per_pixel: u64) -> Result<(), Fault> {
        if width == 0 || height == 0 {
            return Err(Fault::malformed(format_args!(
                "the header says {width} x {height} pixels"
            )));
        }
        let pixels = width.saturating_mul(height);
        if pixels > self.max_pixels {
            return Err(Fault::TooManyPixels {
                width,
                height,
                limit: self.max_pixels,
            });
        }
        let needed = pixels.saturating_mul(bytes_per_pixel);
        if needed > self.max_memory {
            return Err(Fault::TooMuchMemory {
                width,
                height,
                needed,
                limit: self.max_memory,
            });
        }
        Ok(())
    }

    /// The memory limit as an address-space size.
    pub(crate) fn memory_limit(&self) -> usize {
        usize::try_from(self.max_memory).unwrap_or(usize::MAX)
    }
}
