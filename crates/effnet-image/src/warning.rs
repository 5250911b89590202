//! What was wrong or lossy about an image that could be decoded nevertheless.
//!
//! Pillow shows damaged files without a warning. A class predicted from half an image must not look like any
//! other, so decoders record what they repaired, and the image carries the record to the code that prints
//! results.

use std::fmt;

/// Something about a decoded image that its user should know, returned by
/// [`Image::warnings`](crate::Image::warnings).
///
/// The text is a phrase that follows the name of the file: `photo.jpg: damaged JPEG, ...`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImageWarning {
    /// The file is damaged. The pixels are the ones that Pillow shows; parts of the image may be wrong.
    Damaged {
        /// What is damaged, in the decoder's words.
        reason: String,
    },
    /// 16-bit grey was clipped at 255, as in Pillow: all brighter values are white.
    Clipped,
    /// The file holds more than was decoded, for example a camera RAW file of which only a preview was read.
    Partial {
        /// What was decoded, and what was not.
        reason: String,
    },
    /// Pillow misreads files of this kind, so programs that use it see different pixels.
    UnlikePillow {
        /// The kind.
        kind: &'static str,
    },
}

impl ImageWarning {
    /// Creates a [`Damaged`](Self::Damaged) warning.
    pub(crate) fn damaged(reason: impl fmt::Display) -> Self {
        Self::Damaged {
            reason: reason.to_string(),
        }
    }
}

impl fmt::Display for ImageWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged { reason } => write!(f, "damaged ({reason}); parts of the image may be wrong"),
            Self::Clipped => f.write_str(
                "16-bit grey is clipped at 255, as in Pillow, so bright parts are white; convert the image to 8 bits",
            ),
            Self::Partial { reason } => f.write_str(reason),
            Self::UnlikePillow { kind } => write!(f, "Pillow shows different pixels, because it misreads {kind}"),
        }
    }
}
