//! Identifies files that are not supported images by their first bytes, and gives advice.
//!
//! "Unknown format" sends people to a search engine. Phones write HEIC, cameras write RAW, failed downloads
//! are HTML pages, and clones without Git LFS contain pointers: each has its own remedy.

/// A file in an unsupported format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unknown {
    /// What it looks like, with an article.
    pub(crate) found: String,
    /// What to do about it.
    pub(crate) advice: &'static str,
}

const CONVERT: &str = "convert it to JPEG or PNG";
const RAW: &str = "develop it to JPEG or TIFF with the camera's software, darktable or dcraw";
const UNPACK: &str = "unpack it and pass the images in it";
const FRAMES: &str = "extract frames as JPEG or PNG, for example with ffmpeg";
const DOWNLOAD: &str = "download the image again: a server sent this instead";
const RENDER: &str = "render it to PNG at the size you need";
const PASS: &str = "pass images or a folder of images";
const OTHER: &str = "the format is detected by content, not by extension: convert the file, or remove it";

/// The first bytes of files, what the files are, and advice.
const SIGNATURES: [(&[u8], &str, &str); 55] = [
    (
        b"version https://git-lfs",
        "a Git LFS pointer",
        "fetch the image itself with `git lfs pull`",
    ),
    (b"FUJIFILMCCD-RAW", "a Fujifilm RAF camera RAW file", RAW),
    (b"\x46OVb", "a Sigma X3F camera RAW file", RAW),
    (b"IIRO", "an Olympus ORF camera RAW file", RAW),
    (b"IIRS", "an Olympus ORF camera RAW file", RAW),
    (b"MMOR", "an Olympus ORF camera RAW file", RAW),
    (b"IIU\0", "a Panasonic RW2 camera RAW file", RAW),
    (b"\0MRM", "a Minolta MRW camera RAW file", RAW),
    (b"\0\0\0\x0CJXL ", "a JPEG XL image", CONVERT),
    (b"\xFF\x0A", "a JPEG XL image", CONVERT),
    (b"\0\0\0\x0CjP  ", "a JPEG 2000 image", CONVERT),
    (b"\xFF\x4F\xFF\x51", "a JPEG 2000 image", CONVERT),
    (b"II\xBC\x01", "a JPEG XR image", CONVERT),
    (b"8BPS", "a Photoshop document", CONVERT),
    (b"gimp xcf", "a GIMP image", CONVERT),
    (b"\0\0\x01\0", "an icon", CONVERT),
    (b"\0\0\x02\0", "a cursor", CONVERT),
    (b"icns", "an Apple icon", CONVERT),
    (b"v/1\x01", "an OpenEXR image", CONVERT),
    (b"#?RADIANCE", "a Radiance HDR image", CONVERT),
    (b"#?RGBE", "a Radiance HDR image", CONVERT),
    (b"DDS ", "a DDS texture", CONVERT),
    (b"\xABKTX ", "a KTX texture", CONVERT),
    (b"qoif", "a QOI image", CONVERT),
    (b"farbfeld", "a farbfeld image", CONVERT),
    (b"BPG\xFB", "a BPG image", CONVERT),
    (b"FLIF", "a FLIF image", CONVERT),
    (b"SIMPLE  =", "a FITS image", CONVERT),
    (b"\x01\xDA", "an SGI image", CONVERT),
    (b"%!PS", "a PostScript file", RENDER),
    (
        b"%PDF",
        "a PDF",
        "extract or render its images, for example with pdftoppm",
    ),
    (b"\xD7\xCD\xC6\x9A", "a Windows metafile", RENDER),
    (b"PK\x03\x04", "a ZIP archive", UNPACK),
    (b"PK\x05\x06", "an empty ZIP archive", UNPACK),
    (b"\x1F\x8B", "gzip data", UNPACK),
    (b"BZh", "bzip2 data", UNPACK),
    (b"\xFD7zXZ\0", "xz data", UNPACK),
    (b"\x28\xB5\x2F\xFD", "Zstandard data", UNPACK),
    (b"7z\xBC\xAF\x27\x1C", "a 7-Zip archive", UNPACK),
    (b"Rar!", "a RAR archive", UNPACK),
    (
        b"\x93NUMPY",
        "a NumPy array",
        "save it as images, for example with `PIL.Image.fromarray(array).save(\"0.png\")`",
    ),
    (b"\x89HDF", "an HDF5 file", "save its arrays as images"),
    (
        b"\x80\x02",
        "a Python pickle",
        "save its arrays as images; it is not read, because pickles can run code",
    ),
    (
        b"\x80\x03",
        "a Python pickle",
        "save its arrays as images; it is not read, because pickles can run code",
    ),
    (
        b"\x80\x04",
        "a Python pickle",
        "save its arrays as images; it is not read, because pickles can run code",
    ),
    (b"SQLite format 3", "an SQLite database", PASS),
    (b"PAR1", "a Parquet table", "save its images as files"),
    (b"ARROW1", "an Arrow table", "save its images as files"),
    (b"\x1A\x45\xDF\xA3", "a Matroska or WebM video", FRAMES),
    (b"OggS", "an Ogg video or sound", FRAMES),
    (b"FLV", "a Flash video", FRAMES),
    (b"\0\0\x01\xBA", "an MPEG video", FRAMES),
    (b"\x7FELF", "a program", PASS),
    (b"MZ", "a Windows program", PASS),
    (
        b"Mac OS X  ",
        "a macOS resource fork",
        "it is not an image: remove it",
    ),
];

/// Describes a file of an unknown format by its first bytes.
pub(crate) fn describe(bytes: &[u8]) -> Unknown {
    let unknown = |found: &str, advice| Unknown {
        found: found.to_owned(),
        advice,
    };
    if let Some((_, found, advice)) = SIGNATURES.iter().find(|(start, ..)| bytes.starts_with(start)) {
        return unknown(found, advice);
    }
    if let Some((found, advice)) = in_container(bytes) {
        return unknown(found, advice);
    }
    let head = &bytes[..bytes.len().min(512)];
    if let Some((found, advice)) = text(head) {
        return unknown(found, advice);
    }
    if head.iter().all(|byte| *byte == 0) {
        return unknown(
            "nothing but zeros",
            "copy or download it again: it was not written completely",
        );
    }
    let first = head.iter().take(8).map(|byte| format!("{byte:02x}"));
    let first = first.collect::<Vec<_>>().join(" ");
    Unknown {
        found: format!("an unknown format starting with the bytes {first}"),
        advice: OTHER,
    }
}

/// Identifies formats that state their kind after the start of the file.
fn in_container(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let at = |from: usize, length: usize| bytes.get(from..from + length).unwrap_or_default();
    match (at(0, 4), at(4, 4), at(8, 4)) {
        (_, b"ftyp", b"crx ") => Some(("a Canon CR3 camera RAW file", RAW)),
        (_, b"ftyp", b"avif" | b"avis") => Some(("an AVIF image", CONVERT)),
        (_, b"ftyp", b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"msf1") => {
            Some(("a HEIC image", CONVERT))
        }
        // This brand is shared by several codecs; a later brand says which codec it is.
        (_, b"ftyp", b"mif1" | b"miaf") => {
            let brands = &bytes[12.min(bytes.len())..bytes.len().min(64)];
            let is_avif = brands.windows(4).any(|brand| brand == b"avif");
            Some((if is_avif { "an AVIF image" } else { "a HEIC image" }, CONVERT))
        }
        (_, b"ftyp", _) => Some(("an MP4 or QuickTime video", FRAMES)),
        (_, b"moov" | b"mdat" | b"wide", _) => Some(("a QuickTime video", FRAMES)),
        (b"RIFF", _, b"AVI ") => Some(("an AVI video", FRAMES)),
        (b"RIFF", _, b"WAVE") => Some(("a sound", PASS)),
        (b"II\x1A\0", _, _) => Some(("a Canon CRW camera RAW file", RAW)),
        _ if at(128, 4) == b"DICM" => Some(("a DICOM image", CONVERT)),
        _ if at(257, 5) == b"ustar" => Some(("a tar archive", UNPACK)),
        _ if at(344, 4) == b"n+1\0" => Some(("a NIfTI volume", "save its slices as images")),
        _ => None,
    }
}

/// Identifies kinds of text.
fn text(head: &[u8]) -> Option<(&'static str, &'static str)> {
    let trimmed = head
        .strip_prefix(b"\xEF\xBB\xBF")
        .unwrap_or(head)
        .trim_ascii_start();
    let lower = trimmed[..trimmed.len().min(64)].to_ascii_lowercase();
    let contains = |needle: &[u8]| head.windows(needle.len()).any(|window| window == needle);
    if lower.starts_with(b"<svg") || (lower.starts_with(b"<?xml") && contains(b"<svg")) {
        return Some(("an SVG drawing", RENDER));
    }
    if lower.starts_with(b"<!doctype html") || lower.starts_with(b"<html") || lower.starts_with(b"<head") {
        return Some(("an HTML page", DOWNLOAD));
    }
    if lower.starts_with(b"<?xml") || lower.starts_with(b"<!") || lower.starts_with(b"<error") {
        return Some(("XML text", DOWNLOAD));
    }
    let is_text = !head.is_empty()
        && std::str::from_utf8(head).map_or_else(|error| error.error_len().is_none(), |_| true);
    let is_control = |byte: &u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    if !is_text || head.iter().any(is_control) {
        return None;
    }
    if lower.starts_with(b"data:image/") {
        return Some(("a data URL", "decode its Base64 text to a file"));
    }
    if lower.starts_with(b"/9j/") || lower.starts_with(b"ivborw0kggo") {
        return Some((
            "an image as Base64 text",
            "decode it to a file, for example with `base64 -d`",
        ));
    }
    if matches!(lower.first(), Some(b'{' | b'[')) {
        return Some(("JSON text", PASS));
    }
    Some(("plain text", PASS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_named_with_advice_that_fits() {
        let avif = b"\0\0\0\x1Cftypmif1\0\0\0\0mif1avifmiaf";
        let heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";
        for (bytes, found, advice) in [
            (&heic[..], "HEIC", "JPEG"),
            (&avif[..], "AVIF", "JPEG"),
            (b"\0\0\0\x18ftypcrx \0\0\0\x01", "CR3", "darktable"),
            (b"\0\0\0\x18ftypisom\0\0\0\x01", "video", "frames"),
            (b"FUJIFILMCCD-RAW 0201", "RAF", "darktable"),
            (b"PK\x03\x04rest", "ZIP", "unpack"),
            (b"\x1F\x8B\x08", "gzip", "unpack"),
            (b"\x93NUMPY\x01\0", "NumPy", "fromarray"),
            (
                b"version https://git-lfs.github.com/spec/v1\n",
                "Git LFS",
                "git lfs pull",
            ),
            (b"\xEF\xBB\xBF <!DOCTYPE HTML>", "HTML", "download"),
            (b"<?xml version='1.0'?><svg xmlns=", "SVG", "render"),
            (b"{\"error\": 404}", "JSON", "folder"),
            (b"not an image\n", "plain text", "folder"),
            (&[0; 64], "zeros", "again"),
            (&[0x81; 9], "the bytes 81 81", "content"),
        ] {
            let unknown = describe(bytes);
            assert!(unknown.found.contains(found), "{unknown:?}");
            assert!(unknown.advice.contains(advice), "{unknown:?}");
        }
    }
}
