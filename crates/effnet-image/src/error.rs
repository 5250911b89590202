//! What can go wrong with a picture, said so that its owner can act on it.

use std::fmt;
use std::io;

use thiserror::Error;

use crate::{Format, Rectangle};

/// Why a file could not become an [`Image`](crate::Image), or an image could not be transformed.
///
/// Every variant about a file starts with the name that the caller gave it (the path for
/// [`Image::open`](crate::Image::open)).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file could not be opened or read.
    #[error("{file}: cannot be read")]
    Read {
        /// The path.
        file: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },

    /// The file is larger than [`DecodeOptions::max_memory`](crate::DecodeOptions::max_memory).
    #[error(
        "{file}: expected a file of at most {limit} bytes, found more; raise the memory limit if this really is one picture"
    )]
    FileTooLarge {
        /// The path.
        file: String,
        /// The limit in bytes.
        limit: u64,
    },

    /// No bytes at all.
    #[error("{file}: expected a picture, found an empty file; was its download or copy cut off?")]
    Empty {
        /// The name of the input.
        file: String,
    },

    /// The first bytes belong to none of the formats that are read here.
    #[error(
        "{file}: expected a JPEG, PNG, WebP, BMP, GIF or TIFF picture, found {found}; the content counts, not the extension: convert the file, or leave it out"
    )]
    UnknownFormat {
        /// The name of the input.
        file: String,
        /// What the first bytes look like.
        found: String,
    },

    /// The header promises more pixels than the limit allows. No pixel memory was taken.
    #[error(
        "{file}: expected at most {limit} pixels, found a {format} header of {width} x {height}; raise the pixel limit if the picture is to be trusted, or make it smaller"
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
        /// The limit that was in force.
        limit: u64,
    },

    /// Decoding would take more memory than the limit allows.
    #[error(
        "{file}: expected to decode within {limit} bytes of memory, found a {format} picture of {width} x {height} that needs {needed}; raise the memory limit, or make the picture smaller"
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
        /// Estimated need in bytes.
        needed: u64,
        /// The limit that was in force.
        limit: u64,
    },

    /// The file ends before the picture does. Pillow refuses such files by default, and so do we.
    #[error(
        "{file}: expected a whole {format} picture, found one that is cut off ({reason}); fetch or copy the file again"
    )]
    Truncated {
        /// The name of the input.
        file: String,
        /// The format of the input.
        format: Format,
        /// What the decoder said.
        reason: String,
    },

    /// The bytes contradict the format.
    #[error(
        "{file}: expected a well-formed {format} picture, found damage ({reason}); fetch the file again, or re-save it in an image editor"
    )]
    Malformed {
        /// The name of the input.
        file: String,
        /// The format of the input.
        format: Format,
        /// What the decoder said.
        reason: String,
    },

    /// A legal picture of a kind that is not read here.
    #[error(
        "{file}: expected a kind of {format} that this program reads, found {feature}; re-save the picture as 8-bit RGB PNG or JPEG"
    )]
    Unsupported {
        /// The name of the input.
        file: String,
        /// The format of the input.
        format: Format,
        /// What was found.
        feature: String,
    },

    /// A pixel buffer whose length does not fit its size.
    #[error(
        "expected {expected} bytes for {width} x {height} RGB pixels, found {found}; pass width * height * 3 bytes"
    )]
    PixelCount {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// `width * height * 3`, saturated.
        expected: usize,
        /// The length that was passed.
        found: usize,
    },

    /// A resize to nothing, or to something absurdly large.
    #[error(
        "expected an output size between 1 x 1 and {limit} pixels in all, found {width} x {height}; check the image size and the crop fraction"
    )]
    OutputSize {
        /// Requested width.
        width: usize,
        /// Requested height.
        height: usize,
        /// The largest number of pixels that is allowed.
        limit: usize,
    },

    /// A crop of nothing, or of what is not in the picture.
    #[error(
        "expected a crop inside of a picture of {width} x {height}, found {} x {} pixels from column {} and row {}; pass a smaller crop",
        crop.width, crop.height, crop.left, crop.top
    )]
    Crop {
        /// The crop.
        crop: Rectangle,
        /// Width of the picture.
        width: usize,
        /// Height of the picture.
        height: usize,
    },

    /// A transform whose numbers cannot be used.
    #[error("expected {expected}, found {found}; correct the preprocessing options")]
    InvalidTransform {
        /// What the field must be.
        expected: &'static str,
        /// What it was.
        found: String,
    },

    /// A destination slice of the wrong length.
    #[error(
        "expected a destination of {expected} values (3 * image_size^2), found {found}; pass one image's slice of the batch"
    )]
    DestinationLength {
        /// `3 * image_size * image_size`.
        expected: usize,
        /// The length that was passed.
        found: usize,
    },
}

/// What a decoder reports; [`Image::decode`](crate::Image::decode) adds file and format.
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

    /// An I/O error inside a decoder that reads from memory can only be the end of the bytes.
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
