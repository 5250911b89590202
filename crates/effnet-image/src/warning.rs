//! What was wrong or lossy about an image that decoded nevertheless.
//!
//! Pillow shows damaged files without a word. A class that was computed from half an image must not look like any
//! other, so decoders record what they mended, and the image carries it to whoever prints results.

use std::fmt;

/// Something about a decoded image that its user should know. [`Image::warnings`](crate::Image::warnings) returns
/// them.
///
/// Displays as a phrase that follows the name of the file: `photo.jpg: damaged JPEG, ...`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImageWarning {
    /// The file is damaged. The pixels are those that Pillow shows; parts of the image may be wrong.
    Damaged {
        /// What is damaged, in the decoder's words.
        reason: String,
    },
    /// 16-bit grey was clipped at 255, as in Pillow: everything brighter than that is white.
    Clipped,
    /// The file holds more than what was decoded, for example a preview of a raw photo.
    Partial {
        /// What was decoded, and what was not.
        reason: String,
    },
    /// Pillow misreads files of this kind, so programs that use it see other pixels.
    UnlikePillow {
        /// The kind.
        kind: &'static str,
    },
}

impl ImageWarning {
    /// A [`Damaged`](Self::Damaged) warning.
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
            Self::UnlikePillow { kind } => write!(f, "Pillow shows other pixels, because it misreads {kind}"),
        }
    }
}
