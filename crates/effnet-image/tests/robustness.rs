//! Whatever the bytes are, the result is an image or a typed, helpful error.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod reference;

use std::time::{Duration, Instant};

use effnet_image::{DecodeOptions, Image, ImageError};
use proptest::prelude::*;
use reference::fixtures;

/// One edit of a file.
#[derive(Debug, Clone)]
enum Damage {
    Set(usize, u8),
    Flip(usize, u8),
    Cut(usize),
    Remove(usize, usize),
    Repeat(usize, usize, usize),
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len();
        if length == 0 {
            return;
        }
        match *self {
            Self::Set(at, value) => bytes[at % length] = value,
            Self::Flip(at, bit) => bytes[at % length] ^= 1 << (bit % 8),
            Self::Cut(at) => bytes.truncate(at % length),
            Self::Remove(at, count) => {
                let at = at % length;
                bytes.drain(at..(at + count).min(length));
            }
            Self::Repeat(from, count, to) => {
                let from = from % length;
                let piece = bytes[from..(from + count).min(length)].to_vec();
                let to = to % length;
                bytes.splice(to..to, piece);
            }
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    // Headers are short and matter most.
    let at = || prop_oneof![0..64_usize, 0..4096_usize];
    let odd = || prop_oneof![Just(0), Just(1), Just(0x7F), Just(0x80), Just(0xFF), any::<u8>()];
    prop_oneof![
        (at(), odd()).prop_map(|(at, value)| Damage::Set(at, value)),
        (at(), any::<u8>()).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        at().prop_map(Damage::Cut),
        (at(), 1..16_usize).prop_map(|(at, count)| Damage::Remove(at, count)),
        (at(), 1..32_usize, at()).prop_map(|(from, count, to)| Damage::Repeat(from, count, to)),
    ]
}

/// Returns limits that are small enough that decoding a file with an accepted header takes no time.
fn small() -> DecodeOptions {
    DecodeOptions::default()
        .with_max_pixels(1 << 18)
        .with_max_memory(1 << 24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6000, ..ProptestConfig::default() })]

    #[test]
    fn damaged_images_decode_or_fail_in_time(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec(damage(), 1..5),
    ) {
        thread_local!(static SEEDS: Vec<Vec<u8>> =
            fixtures().into_iter().map(|case| case.bytes).collect());
        let mut bytes = SEEDS.with(|seeds| which.get(seeds).clone());
        for edit in &edits {
            edit.apply(&mut bytes);
        }
        let start = Instant::now();
        if let Ok(image) = Image::decode_with(&bytes, "damaged", &small()) {
            prop_assert_eq!(image.pixels().len(), image.width() * image.height() * 3);
        }
        prop_assert!(start.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn every_beginning_of_every_format_decodes_or_fails() {
    for case in fixtures() {
        for length in 0..case.bytes.len() {
            let _ = Image::decode_with(&case.bytes[..length], &case.name, &small());
        }
    }
}

#[test]
fn images_truncated_within_their_pixels_are_refused() {
    let kinds = [
        "420.jpg",
        "444-progressive.jpg",
        "gray.jpg",
        "cmyk.jpg",
        "rgb.png",
        "palette.png",
        "interlaced.png",
        "lossy-90.webp",
        "lossless.webp",
        "rgb.bmp",
        "rle8.bmp",
        "palette.gif",
    ];
    for case in fixtures()
        .iter()
        .filter(|case| kinds.contains(&case.name.as_str()))
    {
        // PNG ends with checksums and an empty chunk, JPEG with a marker.
        let end = case.bytes.len() - if case.name.ends_with("png") { 28 } else { 12 };
        let error = Image::decode(&case.bytes[..end], &case.name).unwrap_err();
        assert!(
            matches!(error, ImageError::Truncated { .. } | ImageError::Malformed { .. }),
            "{error}"
        );
        assert!(error.to_string().starts_with(&case.name), "{error}");
    }
}

/// Returns files of a few bytes whose headers claim enormous images.
fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let find = |name: &str| {
        let cases = fixtures();
        cases.into_iter().find(|case| case.name == name).unwrap().bytes
    };
    let side = 60_000_u16;
    let mut png = find("rgb.png");
    png[16..20].copy_from_slice(&u32::from(side).to_be_bytes());
    png[20..24].copy_from_slice(&u32::from(side).to_be_bytes());
    let mut crc = flate2::Crc::new();
    crc.update(&png[12..29]);
    png[29..33].copy_from_slice(&crc.sum().to_be_bytes());

    let mut jpeg = find("420.jpg");
    let frame = jpeg.windows(2).position(|marker| marker == [0xFF, 0xC0]).unwrap();
    jpeg[frame + 5..frame + 7].copy_from_slice(&side.to_be_bytes());
    jpeg[frame + 7..frame + 9].copy_from_slice(&side.to_be_bytes());

    let mut gif = find("palette.gif");
    gif[6..8].copy_from_slice(&side.to_le_bytes());
    gif[8..10].copy_from_slice(&side.to_le_bytes());

    let mut bmp = find("rle8.bmp");
    bmp[18..22].copy_from_slice(&u32::from(side).to_le_bytes());
    bmp[22..26].copy_from_slice(&u32::from(side).to_le_bytes());

    // Width, height and rows in the only strip are entries 0, 1 and 7 of the directory, of type LONG.
    let mut tiff = find("gray-4.tif");
    let directory = u32::from_le_bytes(tiff[4..8].try_into().unwrap()) as usize;
    for entry in [0, 1, 7].map(|index| directory + 2 + 12 * index) {
        tiff[entry + 8..entry + 12].copy_from_slice(&u32::from(side).to_le_bytes());
    }
    // The sides minus one, in 14 bits each; 16383 is the largest value that the decoder accepts.
    let mut webp = find("lossless.webp");
    webp[21..25].copy_from_slice(&0x0FFF_BFFE_u32.to_le_bytes());
    vec![
        ("bomb.png", png),
        ("bomb.jpg", jpeg),
        ("bomb.gif", gif),
        ("bomb.bmp", bmp),
        ("bomb.tif", tiff),
        ("bomb.webp", webp),
    ]
}

#[test]
fn enormous_headers_are_refused_with_file_limit_and_size() {
    for (name, bytes) in bombs() {
        let error = Image::decode(&bytes, name).unwrap_err();
        assert!(matches!(error, ImageError::TooManyPixels { .. }), "{error}");
        let message = error.to_string();
        assert!(message.starts_with(name), "{message}");
        assert!(message.contains("178956970"), "{message}");
        assert!(message.ends_with("make it smaller"), "{message}");
    }
}

#[test]
fn the_memory_limit_holds_when_the_pixel_limit_is_lifted() {
    let options = DecodeOptions::default()
        .with_max_pixels(u64::MAX)
        .with_max_memory(1 << 26);
    for (name, bytes) in bombs() {
        let error = Image::decode_with(&bytes, name, &options).unwrap_err();
        assert!(matches!(error, ImageError::TooMuchMemory { .. }), "{error}");
    }
}

#[test]
fn files_that_are_not_images_are_described() {
    let folder = tempfile::tempdir().unwrap();
    let message = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        Image::open(&path).unwrap_err().to_string()
    };
    assert!(message("note.jpg", b"not an image\n").contains("found plain text"));
    assert!(message("empty.jpg", b"").contains("found an empty file"));
    assert!(message("page.jpg", b"<!DOCTYPE html>").contains("found an HTML page"));
    assert!(message("noise.png", &[0x80; 32]).contains("an unknown format starting with the bytes 80 80"));
    assert!(message("head.jpg", &[0xFF, 0xD8, 0xFF]).contains("found a truncated one"));
    let missing = Image::open(folder.path().join("missing.jpg")).unwrap_err();
    assert!(matches!(missing, ImageError::Read { .. }));
    let directory = Image::open(folder.path()).unwrap_err();
    assert!(matches!(directory, ImageError::Read { .. }));
}

#[test]
fn the_content_counts_and_not_the_extension() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("really-a-png.jpg");
    let png = fixtures()
        .into_iter()
        .find(|case| case.name == "rgb.png")
        .unwrap();
    std::fs::write(&path, &png.bytes).unwrap();
    assert_eq!(Image::open(&path).unwrap().pixels(), png.rgb);
}
