//! Image formats, by their signatures: the content of a file counts, not its name.

use std::fmt;

/// A supported file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// JPEG: baseline, extended and progressive DCT.
    Jpeg,
    /// PNG (the default image of an animation).
    Png,
    /// WebP, lossy and lossless (the first frame of an animation).
    WebP,
    /// Windows and OS/2 bitmaps.
    Bmp,
    /// GIF, first frame.
    Gif,
    /// TIFF and BigTIFF, first page.
    Tiff,
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
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Some(Self::Tiff),
            _ => None,
        }
    }

    /// Describes a file of an unknown format by its first bytes, for an error message.
    pub(crate) fn describe_unknown(bytes: &[u8]) -> String {
        let head = &bytes[..bytes.len().min(512)];
        if matches!(head.get(4..12), Some(b"ftypavif" | b"ftypheic" | b"ftypmif1")) {
            return "an AVIF or HEIC image".to_owned();
        }
        if head.starts_with(b"<svg") || head.starts_with(b"<?xml") {
            return "XML or SVG text".to_owned();
        }
        if head.starts_with(b"<!") || head.starts_with(b"<html") {
            return "an HTML page".to_owned();
        }
        if head.starts_with(b"version https://git-lfs") {
            return "a Git LFS pointer".to_owned();
        }
        if head.starts_with(b"%PDF") {
            return "a PDF".to_owned();
        }
        let printable = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
        if head.iter().all(printable) {
            return "plain text".to_owned();
        }
        let first = head.iter().take(8).map(|byte| format!("{byte:02x}"));
        format!(
            "an unknown format starting with the bytes {}",
            first.collect::<Vec<_>>().join(" ")
        )
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
        })
    }
}
