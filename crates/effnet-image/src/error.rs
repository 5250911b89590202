//! Errors from decoding and transforming images.

use std::fmt;
use std::io;

use thiserror::Error;

use crate::{Format, Rectangle};

/// The reason why an image could not be decoded or transformed.
///
/// Every message about a file starts with the name passed by the caller (the path for
/// [`Image::open`](crate::Image::open)).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file could not be opened or read.
    #[error("{file}: cannot be read")]
    Read {
        /// The path.
        file: String,
        /// The error of the operating system.
        #[source]
        source: io::Error,
    },

    /// The file is larger than [`DecodeOptions::max_memory`](crate::DecodeOptions::max_memory).
    #[error(
        "{file}: expected a file of at most {}, found a larger one; make it smaller",
        size(*limit)
    )]
    FileTooLarge {
        /// The path.
        file: String,
        /// The limit in bytes.
        limit: u64,
    },

    /// The file is empty.
    #[error("{file}: expected an image, found an empty file; was its download or copy interrupted?")]
    Empty {
        /// The name of the input.
        file: String,
    },

    /// The file is not in a supported format.
    #[error("{file}: expected a JPEG, PNG, WebP, BMP, GIF, TIFF or PNM image, found {found}; {advice}")]
    UnknownFormat {
        /// The name of the input.
        file: String,
        /// What the first bytes of the file look like.
        found: String,
        /// Advice on what to do with a file of this kind.
        advice: &'static str,
    },

    /// The header declares more pixels than [`DecodeOptions::max_pixels`](crate::DecodeOptions::max_pixels)
    /// allows. No memory was allocated for them.
    #[error(
        "{file}: expected at most {limit} pixels, found a {width} x {height} {format} image; make it smaller"
    )]
    TooManyPixels {
        /// The name of the input.
        file: String,
        /// The format of the input.
        format: Format,
        /// Width in the header.
        width: u64,
        /// Height in the header.
        height: u64,
        /// The limit.
        limit: u64,
    },

    /// Decoding would take more memory than [`DecodeOptions::max_memory`](crate::DecodeOptions::max_memory) allows.
    #[error(
        "{file}: decoding this {width} x {height} {format} image needs {}, over the memory limit of {}; make it smaller",
        size(*needed), size(*limit)
    )]
    TooMuchMemory {
        /// The name of the input.
        file: String,
        /// The format of the input.
        format: Format,
        /// Width in the header.
        width: u64,
        /// Height in the header.
        height: u64,
        /// Estimated memory in bytes.
        needed: u64,
        /// The limit.
        limit: u64,
    },

    /// The file ends before the image does. Pillow rejects such files by default, and so does this crate.
    #[error(
        "{file}: expected a complete {format} image, found a truncated one ({reason}); download or copy the file again"
    )]
    Truncated {
        /// The name of the input.
        file: String,
        /// The format of the input.
        format: Format,
        /// The decoder's error.
        reason: String,
    },

    /// The file violates its format.
    #[error(
        "{file}: expected a valid {format} image, found a damaged one ({reason}); download the file again, or re-save it in an image editor"
    )]
    Malformed {
        /// The name of the input.
        file: String,
        /// The format of the input.
        format: Format,
        /// The decoder's error.
        reason: String,
    },

    /// A valid image that uses an unsupported feature of its format.
    #[error("{file}: unsupported {format} image: {feature}; re-save it as 8-bit RGB PNG or JPEG")]
    Unsupported {
        /// The name of the input.
        file: String,
        /// The format of the input.
        format: Format,
        /// The unsupported feature.
        feature: String,
    },

    /// A pixel buffer whose length does not match the image size.
    #[error(
        "expected {expected} bytes for {width} x {height} RGB pixels, found {found}; pass width * height * 3 bytes"
    )]
    PixelCount {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// `width * height * 3`, saturating.
        expected: usize,
        /// The length that was passed.
        found: usize,
    },

    /// A resize to a size of 0 or to more than 2 GiB of pixels.
    #[error(
        "expected an output size from 1 x 1 to {limit} pixels in total, found {width} x {height}; check the image size and the crop fraction"
    )]
    OutputSize {
        /// Requested width.
        width: usize,
        /// Requested height.
        height: usize,
        /// Maximum number of pixels.
        limit: usize,
    },

    /// A crop that is empty or extends beyond the image.
    #[error(
        "expected a crop inside the {width} x {height} image, found {} x {} pixels at column {} and row {}; pass a smaller crop",
        crop.width, crop.height, crop.left, crop.top
    )]
    Crop {
        /// The crop.
        crop: Rectangle,
        /// Width of the image.
        width: usize,
        /// Height of the image.
        height: usize,
    },

    /// A transform with an invalid option.
    #[error("expected {expected}, found {found}; correct the preprocessing options")]
    InvalidTransform {
        /// The allowed values.
        expected: &'static str,
        /// The value found.
        found: String,
    },

    /// An output slice of the wrong length.
    #[error(
        "expected an output slice of {expected} values (3 * image_size^2), found {found}; pass one image's slice of the batch"
    )]
    DestinationLength {
        /// `3 * image_size * image_size`.
        expected: usize,
        /// The length that was passed.
        found: usize,
    },
}

/// Formats a size as `64 MiB`, or in bytes below 1 MiB.
fn size(bytes: u64) -> String {
    match bytes >> 20 {
        0 => format!("{bytes} bytes"),
        mebibytes => format!("{mebibytes} MiB"),
    }
}

/// An error from a decoder; [`Image::decode`](crate::Image::decode) adds the file and the format.
#[derive(Debug)]
pub(crate) enum Fault {
    Truncated(String),
    Malformed(String),
    Unsupported(String),
    TooManyPixels {
        width: u64,
        height: u64,
        limit: u64,
    },
    TooMuchMemory {
        width: u64,
        height: u64,
        needed: u64,
        limit: u64,
    },
}

impl fmt::Display for Fault {
    /// Writes the reason without its consequences.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated(reason) | Self::Malformed(reason) | Self::Unsupported(reason) => {
                f.write_str(reason)
            }
            Self::TooManyPixels { width, height, .. } | Self::TooMuchMemory { width, height, .. } => {
                write!(f, "{width} x {height} pixels")
            }
        }
    }
}

impl Fault {
    pub(crate) fn truncated(reason: impl fmt::Display) -> Self {
        Self::Truncated(format!("{reason}"))
    }

    pub(crate) fn malformed(reason: impl fmt::Display) -> Self {
        Self::Malformed(format!("{reason}"))
    }

    pub(crate) fn unsupported(feature: impl fmt::Display) -> Self {
        Self::Unsupported(format!("{feature}"))
    }

    /// Decoders read from memory, so an I/O error means that the file ends early or is invalid.
    pub(crate) fn from_io(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Self::truncated(error)
        } else {
            Self::malformed(error)
        }
    }

    pub(crate) fn about(self, file: &str, format: Format) -> ImageError {
        let file = file.to_owned();
        match self {
            Self::Truncated(reason) => ImageError::Truncated { file, format, reason },
            Self::Malformed(reason) => ImageError::Malformed { file, format, reason },
            Self::Unsupported(feature) => ImageError::Unsupported {
                file,
                format,
                feature,
            },
            Self::TooManyPixels { width, height, limit } => ImageError::TooManyPixels {
                file,
                format,
                width,
                height,
                limit,
            },
            Self::TooMuchMemory {
                width,
                height,
                needed,
                limit,
            } => ImageError::TooMuchMemory {
                file,
                format,
                width,
                height,
                needed,
                limit,
            },
        }
    }
}
