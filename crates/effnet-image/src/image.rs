//! The RGB image: the output of decoding and the input of transforms.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::decode;
use crate::signature;
use crate::{DecodeOptions, Format, ImageError, ImageWarning};

/// An RGB image: 8 bits per channel, `[height, width, 3]`, rows from top to bottom without padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
    warnings: Vec<ImageWarning>,
}

impl Image {
    /// Reads and decodes a file with the default options. See [`Image::decode_with`].
    ///
    /// # Errors
    /// [`ImageError`]: the file cannot be read, is not an image, is damaged, or is too large.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ImageError> {
        Self::open_with(path, &DecodeOptions::default())
    }

    /// Reads and decodes a file. See [`Image::decode_with`].
    ///
    /// # Errors
    /// Same as [`Image::open`].
    pub fn open_with(path: impl AsRef<Path>, options: &DecodeOptions) -> Result<Self, ImageError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let bytes = read(path, &name, options.max_memory)?;
        Self::decode_with(&bytes, &name, options)
    }

    /// Decodes a file's bytes with the default options. See [`Image::decode_with`].
    ///
    /// # Errors
    /// Same as [`Image::decode_with`].
    pub fn decode(bytes: &[u8], name: &str) -> Result<Self, ImageError> {
        Self::decode_with(bytes, name, &DecodeOptions::default())
    }

    /// Decodes a file's bytes. The format is detected from the content.
    ///
    /// The result equals `PIL.ImageOps.exif_transpose(PIL.Image.open(file)).convert("RGB")` in Pillow 13:
    /// grey is replicated, palettes are applied, alpha is dropped (see [`DecodeOptions::alpha`]), CMYK is
    /// read as Adobe writes it, 16-bit RGB keeps the high byte, and 16-bit grey is clipped at 255. `name` is
    /// used in error messages.
    ///
    /// # Errors
    /// [`ImageError`]: the file is not an image, is damaged, truncated or unsupported, or exceeds a limit.
    pub fn decode_with(bytes: &[u8], name: &str, options: &DecodeOptions) -> Result<Self, ImageError> {
        if bytes.is_empty() {
            return Err(ImageError::Empty {
                file: name.to_owned(),
            });
        }
        let format = Format::of(bytes).ok_or_else(|| {
            let unknown = signature::describe(bytes);
            ImageError::UnknownFormat {
                file: name.to_owned(),
                found: unknown.found,
                advice: unknown.advice,
            }
        })?;
        decode::decode(bytes, format, options).map_err(|fault| fault.about(name, format))
    }

    /// Creates an image from RGB pixels, `[height, width, 3]`.
    ///
    /// # Errors
    /// [`ImageError::PixelCount`] if `pixels` is empty or does not have `width * height * 3` bytes.
    pub fn from_rgb8(width: usize, height: usize, pixels: Vec<u8>) -> Result<Self, ImageError> {
        let expected = width.saturating_mul(height).saturating_mul(3);
        if pixels.len() != expected || expected == 0 {
            return Err(ImageError::PixelCount {
                width,
                height,
                expected,
                found: pixels.len(),
            });
        }
        Ok(Self::from_parts(width, height, pixels))
    }

    /// Like [`Image::from_rgb8`], but for a buffer that is known to have the right length.
    pub(crate) fn from_parts(width: usize, height: usize, pixels: Vec<u8>) -> Self {
        debug_assert_eq!(pixels.len(), width * height * 3);
        Self {
            width,
            height,
            pixels,
            warnings: Vec::new(),
        }
    }

    /// Adds warnings from decoding.
    pub(crate) fn with_warnings(mut self, warnings: Vec<ImageWarning>) -> Self {
        self.warnings = warnings;
        self
    }

    /// What decoding repaired or left out; empty for a sound file. Images created by transforms have no
    /// warnings.
    pub fn warnings(&self) -> &[ImageWarning] {
        &self.warnings
    }

    /// Width in pixels, at least 1.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels, at least 1.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The pixels, `[height, width, 3]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The mutable pixels, `[height, width, 3]`.
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// Converts the image into its pixels, `[height, width, 3]`.
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }

    /// Flips the image horizontally, in place.
    pub fn flip_horizontal(&mut self) {
        for row in self.pixels.chunks_exact_mut(self.width * 3) {
            row.as_chunks_mut::<3>().0.reverse();
        }
    }

    /// The rows from top to bottom, each `[width, 3]`.
    pub fn rows(&self) -> std::slice::ChunksExact<'_, u8> {
        self.pixels.chunks_exact(self.width * 3)
    }
}

/// Reads a file up to the memory limit, since a device or a pipe may never end.
pub(crate) fn read(path: &Path, name: &str, limit: u64) -> Result<Vec<u8>, ImageError> {
    let failed = |source| ImageError::Read {
        file: name.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let too_large = || ImageError::FileTooLarge {
        file: name.to_owned(),
        limit,
    };
    if length > limit {
        return Err(too_large());
    }
    // Reserves one extra byte, so that the final read of 0 bytes does not reallocate.
    let mut bytes = Vec::with_capacity(length as usize + 1);
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(too_large());
    }
    Ok(bytes)
}
