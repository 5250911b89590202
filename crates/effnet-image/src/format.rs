//! Telling formats apart by their first bytes.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

/// The endings of file names that are taken for images where a folder is searched, in any case. What a file
/// is, its content tells; one that is named by itself is always tried.
pub const EXTENSIONS: [&str; 10] = [
    "jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "gif", "tif", "tiff",
];

/// Whether a file found in a folder is taken for an image, by its name.
pub fn is_image_path(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    EXTENSIONS
        .iter()
        .any(|known| extension.eq_ignore_ascii_case(known))
}

/// Whether a file or folder of this name is passed over where a folder is searched: hidden ones, and the
/// `._` files that macOS leaves beside others.
pub fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// A file format that is read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// JPEG: baseline, extended and progressive DCT.
    Jpeg,
    /// PNG (of an animation, the default image).
    Png,
    /// WebP, lossy and lossless (of an animation, the first frame).
    WebP,
    /// Windows and OS/2 bitmaps.
    Bmp,
    /// GIF, first frame.
    Gif,
    /// TIFF and BigTIFF, first page.
    Tiff,
}

impl Format {
    /// The format whose signature the bytes start with; the name of the file plays no part.
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

    /// What unrecognised first bytes look like, for an error message.
    pub(crate) fn describe_unknown(bytes: &[u8]) -> String {
        let head = &bytes[..bytes.len().min(512)];
        if matches!(head.get(4..12), Some(b"ftypavif" | b"ftypheic" | b"ftypmif1")) {
            return "an AVIF or HEIC picture".to_owned();
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
        format!("the first bytes {}", first.collect::<Vec<_>>().join(" "))
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
