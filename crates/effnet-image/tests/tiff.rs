//! TIFFs built entry by entry. Files that claim, repeat or unpack to gigabytes are rejected before they cost
//! anything, and whatever a file holds beyond its first image is not ignored silently.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

use effnet_image::{DecodeOptions, Image, ImageError, ImageWarning};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::io::Write;

const SHORT: u16 = 3;
const LONG: u16 = 4;

/// Creates a little-endian TIFF of 8-bit grey: its header, the directory of `entries`, then `data`, which
/// starts at the offset that this function passes to `entries`.
fn tiff(entries: impl Fn(u32) -> Vec<(u16, u16, u32, u32)>, data: &[u8]) -> Vec<u8> {
    let count = entries(0).len();
    let start = 8 + 2 + 12 * count as u32 + 4;
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    file.extend((count as u16).to_le_bytes());
    for (tag, kind, values, value) in entries(start) {
        file.extend(tag.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend(values.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.extend([0; 4]);
    file.extend(data);
    file
}

fn gray(width: u32, height: u32, compression: u32) -> Vec<(u16, u16, u32, u32)> {
    vec![
        (256, LONG, 1, width),
        (257, LONG, 1, height),
        (258, SHORT, 1, 8),
        (259, SHORT, 1, compression),
        (262, SHORT, 1, 1),
    ]
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Returns entries for `count` strips of one row, whose offsets and sizes are lists at `start`.
fn strips(count: u32, start: u32) -> [(u16, u16, u32, u32); 3] {
    [
        (273, LONG, count, start),
        (278, SHORT, 1, 1),
        (279, LONG, count, start.saturating_add(count.saturating_mul(4))),
    ]
}

fn refused(file: &[u8], words: &str) {
    let error = Image::decode(file, "attack.tif").unwrap_err();
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn strips_and_values_that_the_file_does_not_hold_are_not_counted() {
    let claims = |count| {
        tiff(
            |start| [gray(16, 1 << 20, 1), strips(count, start).to_vec()].concat(),
            &[0; 64],
        )
    };
    refused(&claims(1 << 28), "strips or tiles");
    refused(&claims(u32::MAX), "strips or tiles");
}

#[test]
fn strips_that_share_their_data_are_bounded() {
    // Blocks of Deflate that hold nothing before the row: input without output.
    let mut data = vec![0x78, 0x9C];
    data.extend([0, 0, 0, 0xFF, 0xFF].repeat(200_000));
    data.extend(zlib(&[7; 16]).split_off(2));
    let count = 4096;
    let file = tiff(
        |start| [gray(16, count, 8), strips(count, start).to_vec()].concat(),
        &[],
    );
    let start = file.len() as u32 + 8 * count;
    let mut file = file;
    for _ in 0..count {
        file.extend(start.to_le_bytes());
    }
    for _ in 0..count {
        file.extend((data.len() as u32).to_le_bytes());
    }
    file.extend(&data);
    refused(&file, "overlap");
}

#[test]
fn tiles_far_larger_than_the_image_are_refused() {
    let data = zlib(&[0; 4096]);
    let tiles = |side: u32| {
        tiff(
            |start| {
                let place = [
                    (322, LONG, 1, side),
                    (323, LONG, 1, side),
                    (324, LONG, 1, start),
                    (325, LONG, 1, data.len() as u32),
                ];
                [gray(64, 64, 8), place.to_vec()].concat()
            },
            &data,
        )
    };
    assert_eq!(
        Image::decode(&tiles(64), "tile").unwrap().pixels(),
        [0; 64 * 64 * 3]
    );
    refused(&tiles(1 << 24), "strips or tiles of 16777216 x 16777216");
    refused(&tiles(u32::MAX), "strips or tiles of");
    refused(&tiles(0), "no pixels");
}

#[test]
fn bombs_unpack_no_further_than_the_image() {
    // 64 MiB of zeros after the first 100 bytes: what the image needs is valid.
    let data = zlib(&vec![0; 64 << 20]);
    let file = tiff(
        |start| {
            let place = [
                (273, LONG, 1, start),
                (278, SHORT, 1, 10),
                (279, LONG, 1, data.len() as u32),
            ];
            [gray(10, 10, 8), place.to_vec()].concat()
        },
        &data,
    );
    let small = DecodeOptions::default().with_max_memory(1 << 20);
    let image = Image::decode_with(&file, "bomb.tif", &small).unwrap();
    assert_eq!(image.pixels(), [0; 300]);
}

#[test]
fn sizes_and_directories_without_bound_are_refused() {
    let one = |start| [gray(u32::MAX, u32::MAX, 1), vec![(273, LONG, 1, start)]].concat();
    let error = Image::decode(&tiff(one, &[]), "large.tif").unwrap_err();
    assert!(matches!(error, ImageError::TooManyPixels { .. }), "{error}");
    // A BigTIFF whose directory announces 2^64 - 1 entries.
    let mut big = b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0".to_vec();
    big.extend([0xFF; 8]);
    refused(&big, "entries");
    // A directory at its own offset, and rows without height.
    refused(b"II*\0\0\0\0\0", "damaged");
    let flat = |start| [gray(4, 4, 1), vec![(273, LONG, 1, start), (278, SHORT, 1, 0)]].concat();
    refused(&tiff(flat, &[0; 16]), "no pixels");
}

#[test]
fn previews_of_camera_raw_files_are_warned_of() {
    let preview = |entries: &[(u16, u16, u32, u32)]| {
        let file = tiff(
            |start| [&gray(2, 2, 1), entries, &[(273, LONG, 1, start)]].concat(),
            &[9; 4],
        );
        Image::decode(&file, "raw").unwrap()
    };
    let raw = [
        // A reduced image whose full-size versions are elsewhere, and a DNG.
        vec![(254, LONG, 1, 1), (330, LONG, 1, 8)],
        vec![(50706, 1, 4, 0x0401)],
    ];
    for entries in raw {
        let image = preview(&entries);
        assert_eq!(image.pixels(), [9; 12]);
        let warnings = image.warnings();
        assert!(matches!(warnings, [ImageWarning::Partial { .. }]), "{warnings:?}");
        assert!(
            warnings[0].to_string().contains("preview of 2 x 2"),
            "{warnings:?}"
        );
    }
    assert!(preview(&[(254, LONG, 1, 0)]).warnings().is_empty());
}

#[test]
fn kinds_that_pillow_misreads_are_warned_of() {
    // 16-bit RGB in planes: Pillow reads 8 bits of each plane.
    let file = tiff(
        |start| {
            vec![
                (256, LONG, 1, 1),
                (257, LONG, 1, 1),
                (258, SHORT, 1, 16),
                (262, SHORT, 1, 2),
                (273, LONG, 3, start),
                (277, SHORT, 1, 3),
                (284, SHORT, 1, 2),
            ]
        },
        &[],
    );
    let start = file.len() as u32 + 12;
    let mut file = file;
    for plane in 0..3 {
        file.extend((start + 2 * plane).to_le_bytes());
    }
    file.extend([1, 10, 2, 20, 3, 30]);
    let image = Image::decode(&file, "planes").unwrap();
    assert_eq!(image.pixels(), [10, 20, 30]);
    assert!(matches!(image.warnings(), [ImageWarning::UnlikePillow { .. }]));
}
