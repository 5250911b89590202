//! Image formats, detected by their signatures: the content of a file counts, not its name.

use std::fmt;

/// A supported file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// JPEG: baseline, extended and progressive DCT.
    Jpeg,
    /// PNG (for an animation, its default image).
    Png,
    /// WebP, lossy and lossless (for an animation, its first frame).
    WebP,
    /// Windows and OS/2 bitmaps.
    Bmp,
    /// GIF (first frame).
    Gif,
    /// TIFF and BigTIFF (first page).
    Tiff,
    /// Portable bitmaps, greymaps and pixmaps (P1 to P6, Pf).
    Pnm,
}

impl Format {
    /// Detects the format by the signature at the start of the file.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xFF, 0xD8, 0xFF, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Some(Self::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::WebP),
            [b'B', b'M', ..] => Some(Self::Bmp),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            // Some writers store the version in the opposite byte order, which Pillow accepts too.
            [b'I', b'I', 42 | 43, 0, ..]
            | [b'M', b'M', 0, 42 | 43, ..]
            | [b'I', b'I', 0, 42, ..]
            | [b'M', b'M', 42, 0, ..] => Some(Self::Tiff),
            [b'P', b'1'..=b'7' | b'f' | b'F', b' ' | b'\t'..=b'\r' | b'#', ..] => Some(Self::Pnm),
            bytes if is_bare_bitmap(bytes) => Some(Self::Bmp),
            _ => None,
        }
    }
}

/// Returns whether the bytes are a bitmap without its file header, as the clipboard holds it: the size of the
/// header, and one plane.
fn is_bare_bitmap(bytes: &[u8]) -> bool {
    match bytes.first_chunk::<4>().map(|size| u32::from_le_bytes(*size)) {
        Some(12) => bytes.get(8..10) == Some(&[1, 0]),
        Some(40 | 52 | 56 | 64 | 108 | 124) => bytes.get(12..14) == Some(&[1, 0]),
        _ => false,
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
            Self::Bmp => "BMP",
            Self::Gif => "GIF",
            Self::Tiff => "TIFF",
            Self::Pnm => "PNM",
        })
    }
}
