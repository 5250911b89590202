//! Tells from the name of a file whether it is an image, an image of an unsupported kind, or a file that a
//! system left behind.
//!
//! Folders, data sets and archives are all filtered by these rules, so that every image of a folder that is
//! trained on is also classified. Decoding ignores names: a file that is named explicitly is always tried.

use std::ffi::OsStr;
use std::path::Path;

/// File extensions of images, matched case-insensitively when a folder is scanned. Decoding ignores the
/// extension: a file that is named explicitly is always tried.
pub const EXTENSIONS: [&str; 15] = [
    "jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "dib", "gif", "tif", "tiff", "pbm", "pgm", "ppm",
    "pnm",
];

/// Extensions of images that are known but cannot be decoded, by the name of their kind.
const UNSUPPORTED: [(&str, &[&str]); 17] = [
    ("HEIC", &["heic", "heics", "heif", "heifs", "hif"]),
    ("AVIF", &["avif", "avifs"]),
    ("JPEG XL", &["jxl"]),
    ("JPEG 2000", &["jp2", "j2k", "j2c", "jpc", "jpf", "jpx", "jpm"]),
    (
        "camera RAW",
        &[
            "3fr", "arq", "arw", "cr2", "cr3", "crw", "dcr", "dng", "erf", "fff", "iiq", "kdc", "mef", "mos",
            "mrw", "nef", "nrw", "orf", "pef", "raf", "raw", "rw2", "rwl", "sr2", "srf", "srw", "x3f",
        ],
    ),
    ("Photoshop", &["psd", "psb"]),
    ("GIMP", &["xcf"]),
    ("SVG", &["svg", "svgz"]),
    ("icon", &["ico", "cur", "icns"]),
    ("PDF", &["pdf"]),
    ("PostScript", &["eps", "ai"]),
    ("TGA", &["tga"]),
    ("OpenEXR", &["exr"]),
    ("Radiance HDR", &["hdr"]),
    ("DDS", &["dds"]),
    ("QOI", &["qoi"]),
    ("DICOM", &["dcm", "dicom"]),
];

/// Names of files and folders that operating systems leave among a user's files, in lower case: thumbnails,
/// settings, resource forks and trash.
const JUNK: [&str; 12] = [
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "icon\r",
    "@eadir",
    "@__thumb",
    "__macosx",
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "system volume information",
    "lost+found",
];

/// Returns whether a file found while scanning a folder has an image extension.
pub fn is_image_path(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    EXTENSIONS
        .iter()
        .any(|known| extension.eq_ignore_ascii_case(known))
}

/// Returns the kind of an unsupported image by the extension of its file, such as `HEIC` for `photo.heic`, or
/// `None` if the extension is supported or is not that of an image. In messages, the kind precedes "file" or
/// "files".
///
/// A scan of a folder skips such files; this function lets it report them.
pub fn unsupported_kind(path: &Path) -> Option<&'static str> {
    let extension = path.extension()?;
    let matches = |known: &&str| extension.eq_ignore_ascii_case(known);
    UNSUPPORTED
        .iter()
        .find(|(_, extensions)| extensions.iter().any(matches))
        .map(|(kind, _)| *kind)
}

/// Returns whether to skip a file or folder of this name when a folder is scanned. This applies to hidden
/// files, including the `._` files that macOS creates next to others, and to files that systems leave behind
/// (`Thumbs.db`, `desktop.ini`, `@eaDir`, `__MACOSX`).
pub fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".") || JUNK.iter().any(|junk| name.eq_ignore_ascii_case(junk))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_is_supported_or_not_but_never_both() {
        let mut all: Vec<&str> = EXTENSIONS.to_vec();
        all.extend(UNSUPPORTED.iter().flat_map(|(_, extensions)| *extensions));
        let mut unique = all.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), all.len());
    }

    #[test]
    fn kinds_are_found_whatever_the_case() {
        let kind = |name: &str| unsupported_kind(Path::new(name));
        assert_eq!(kind("a/IMG_0001.HEIC"), Some("HEIC"));
        assert_eq!(kind("a/DSC_0001.nef"), Some("camera RAW"));
        assert_eq!(kind("scan.ppm"), None);
        assert_eq!(kind("notes.txt"), None);
        assert_eq!(kind("heic"), None);
        assert!(is_image_path(Path::new("scan.PPM")));
    }

    #[test]
    fn hidden_and_system_files_are_skipped() {
        for name in [
            "._0.jpg",
            ".DS_Store",
            "Thumbs.db",
            "THUMBS.DB",
            "desktop.ini",
            "@eaDir",
            "__MACOSX",
        ] {
            assert!(is_hidden(OsStr::new(name)), "{name}");
        }
        for name in ["0.jpg", "thumbs", "macosx", "cat"] {
            assert!(!is_hidden(OsStr::new(name)), "{name}");
        }
    }
}
