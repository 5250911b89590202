//! [`PartialImage`]: an image decoded only as far as a random crop needs it.
//!
//! Training on photos of many megapixels waits for their decoding, and then throws most of it away: a random crop is
//! resized to a few hundred pixels. A JPEG can be decoded at a half, a quarter or an eighth of its size, and only where
//! the crop lies, which takes a fraction of the time.

use std::path::Path;

use effnet_architecture::Interpolation;

use crate::decode::{self, Part};
use crate::image::read;
use crate::resize::resize_box;
use crate::{DecodeOptions, Format, Image, ImageError, ImageWarning, Rectangle, Region};

/// An image that will be cropped, and the size to which the crop will be resized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needed {
    /// The crop.
    pub crop: Rectangle,
    /// The side of the square to which the crop is resized, in pixels.
    pub size: usize,
}

/// An image of which at least a crop is decoded, possibly at a lower resolution.
#[derive(Debug, Clone)]
pub struct PartialImage {
    /// The decoded pixels.
    image: Image,
    /// The size of the whole image.
    width: usize,
    height: usize,
    /// The place of the decoded pixels in the whole image.
    place: Region,
}

impl From<Image> for PartialImage {
    /// Wraps an image that is decoded completely.
    fn from(image: Image) -> Self {
        let (width, height) = (image.width(), image.height());
        Self {
            place: Region {
                left: 0.0,
                top: 0.0,
                width: width as f64,
                height: height as f64,
            },
            image,
            width,
            height,
        }
    }
}

impl PartialImage {
    /// Reads a file and decodes it with the default options. See [`PartialImage::decode_with`].
    ///
    /// # Errors
    /// The errors of [`Image::open`].
    pub fn open(
        path: impl AsRef<Path>,
        needed: impl FnOnce(usize, usize) -> Option<Needed>,
    ) -> Result<Self, ImageError> {
        let (path, options) = (path.as_ref(), DecodeOptions::default());
        let name = path.display().to_string();
        let bytes = read(path, &name, options.max_memory)?;
        Self::decode_with(&bytes, &name, &options, needed)
    }

    /// Decodes a file's bytes as far as `needed` says, which gets the width and the height of the upright image;
    /// `None` means all of it.
    ///
    /// Only a sound JPEG is decoded in part. It is decoded at a lower resolution if the crop has at least four times as
    /// many pixels along each side as its result. Any other file is decoded like [`Image::decode_with`] does.
    ///
    /// # Errors
    /// The errors of [`Image::decode_with`].
    pub fn decode_with(
        bytes: &[u8],
        name: &str,
        options: &DecodeOptions,
        needed: impl FnOnce(usize, usize) -> Option<Needed>,
    ) -> Result<Self, ImageError> {
        if Format::of(bytes) == Some(Format::Jpeg) {
            let part = decode::jpeg_part(bytes, options, needed);
            let part = part.map_err(|fault| fault.about(name, Format::Jpeg))?;
            if let Some(Part { image, size, place }) = part {
                let (width, height) = size;
                return Ok(Self {
                    image,
                    width,
                    height,
                    place,
                });
            }
        }
        Image::decode_with(bytes, name, options).map(Self::from)
    }

    /// Width of the whole image in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height of the whole image in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The pixels that were decoded.
    pub fn decoded(&self) -> &Image {
        &self.image
    }

    /// What decoding repaired or left out.
    pub fn warnings(&self) -> &[ImageWarning] {
        self.image.warnings()
    }

    /// Crops the whole image, then resizes the crop, like [`Image::resized_crop`]; equal to it where the image was not
    /// decoded at a lower resolution.
    ///
    /// # Errors
    /// [`ImageError::Crop`] if `crop` is not inside the part that was decoded, and the errors of [`Image::resize`].
    pub fn resized_crop(
        &self,
        crop: Rectangle,
        width: usize,
        height: usize,
        interpolation: Interpolation,
    ) -> Result<Image, ImageError> {
        let (across, down) = (
            self.image.width() as f64 / self.place.width,
            self.image.height() as f64 / self.place.height,
        );
        let (left, top) = (
            crop.left as f64 - self.place.left,
            crop.top as f64 - self.place.top,
        );
        let outside = ImageError::Crop {
            crop,
            width: self.width,
            height: self.height,
        };
        let fits = |start: f64, length: usize, decoded: f64| start >= 0.0 && start + length as f64 <= decoded;
        if !fits(left, crop.width, self.place.width) || !fits(top, crop.height, self.place.height) {
            return Err(outside);
        }
        if (across, down) == (1.0, 1.0) {
            let crop = Rectangle {
                left: left as usize,
                top: top as usize,
                ..crop
            };
            return self.image.resized_crop(crop, width, height, interpolation);
        }
        let region = Region {
            left,
            top,
            width: crop.width as f64,
            height: crop.height as f64,
        };
        resize_box(
            &self.image,
            region.scaled(across, down),
            width,
            height,
            interpolation,
        )
    }
}
