//! Decoding options and resource limits.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Fault;

/// How to handle transparency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Alpha {
    /// Drop the alpha channel and keep the colours, like Pillow's `Image.convert("RGB")`. Invisible pixels
    /// become visible.
    #[default]
    Drop,
    /// Composite the image over white, like Pillow's `Image.paste(image, mask=alpha)` on a white canvas.
    FlattenOnWhite,
}

/// Options for [`Image::open_with`](crate::Image::open_with) and
/// [`Image::decode_with`](crate::Image::decode_with).
///
/// The limits are checked against the image header before memory is allocated, so that a few bytes cannot claim
/// gigabytes (decompression bombs).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecodeOptions {
    /// How to handle transparency.
    pub alpha: Alpha,
    /// Maximum `width * height`. The default, 178,956,970, is twice `Image.MAX_IMAGE_PIXELS`, the size above
    /// which Pillow raises `DecompressionBombError`.
    pub max_pixels: u64,
    /// Maximum estimated memory in bytes per image: the file, the decoder's buffers and the RGB pixels. The
    /// default is 2 GiB. Images that need more than a quarter of the default are decoded one at a time within a
    /// process, however many threads decode.
    pub max_memory: u64,
    /// Whether to apply the EXIF (or else XMP) orientation, like `PIL.ImageOps.exif_transpose`. On by default.
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
    /// Sets [`alpha`](Self::alpha).
    #[must_use]
    pub fn with_alpha(mut self, alpha: Alpha) -> Self {
        self.alpha = alpha;
        self
    }

    /// Sets [`max_pixels`](Self::max_pixels).
    #[must_use]
    pub fn with_max_pixels(mut self, max_pixels: u64) -> Self {
        self.max_pixels = max_pixels;
        self
    }

    /// Sets [`max_memory`](Self::max_memory).
    #[must_use]
    pub fn with_max_memory(mut self, max_memory: u64) -> Self {
        self.max_memory = max_memory;
        self
    }

    /// Sets [`apply_orientation`](Self::apply_orientation).
    #[must_use]
    pub fn with_apply_orientation(mut self, apply_orientation: bool) -> Self {
        self.apply_orientation = apply_orientation;
        self
    }

    /// Checks a header against the limits. `bytes_per_pixel` is the decoder's peak memory per pixel,
    /// including the RGB output. Keep the permit until the image is decoded, and do not request another one
    /// in the meantime.
    pub(crate) fn admit(&self, width: u64, height: u64, bytes_per_pixel: u64) -> Result<Permit, Fault> {
        if width == 0 || height == 0 {
            return Err(Fault::malformed(format_args!(
                "its size is {width} x {height} pixels"
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
        Ok(Permit::wait(needed))
    }

    /// Returns the memory limit as a `usize`, saturating.
    pub(crate) fn memory_limit(&self) -> usize {
        usize::try_from(self.max_memory).unwrap_or(usize::MAX)
    }
}

/// Permission to use the memory that an image needs.
#[derive(Debug)]
pub(crate) struct Permit {
    /// Held for a large image, so that several large images on different threads do not exhaust memory
    /// together.
    _turn: Option<MutexGuard<'static, ()>>,
}

impl Permit {
    fn wait(needed: u64) -> Self {
        const LARGE: u64 = 512 << 20;
        static TURN: Mutex<()> = Mutex::new(());
        let take = || TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            _turn: (needed > LARGE).then(take),
        }
    }
}
