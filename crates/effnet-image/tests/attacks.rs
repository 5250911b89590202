//! Small files that claim a lot: endless text, thousands of scans, images at the limits.
//!
//! What they may take is measured by a counting allocator, and by the work that is rejected, never by a
//! clock.

#![allow(unsafe_code, reason = "an allocator is unsafe by nature")]
#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod reference;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use effnet_image::{DecodeOptions, Image, ImageError, ImageWarning};
use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};
use reference::fixtures;

static USED: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let used = USED.fetch_add(layout.size(), Ordering::SeqCst) + layout.size();
        PEAK.fetch_max(used, Ordering::SeqCst);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Ordering::SeqCst);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Decodes a file on its own, and returns the peak of the memory that Rust allocated.
fn measured(bytes: &[u8], name: &str) -> (Result<Image, ImageError>, usize) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap();
    let before = USED.load(Ordering::SeqCst);
    PEAK.store(before, Ordering::SeqCst);
    let image = Image::decode(bytes, name);
    (image, PEAK.load(Ordering::SeqCst) - before)
}

fn fixture(name: &str) -> Vec<u8> {
    let cases = fixtures();
    cases.into_iter().find(|case| case.name == name).unwrap().bytes
}

fn chunk(kind: [u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(&kind);
    crc.update(data);
    let length = (data.len() as u32).to_be_bytes();
    [&length, &kind, data, &crc.sum().to_be_bytes()].concat()
}

fn zlib(parts: usize, part: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    for _ in 0..parts {
        encoder.write_all(part).unwrap();
    }
    encoder.finish().unwrap()
}

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Creates a PNG with a chunk between its header and its pixels.
fn png_with(kind: [u8; 4], data: &[u8]) -> Vec<u8> {
    let png = fixture("rgb.png");
    let header = SIGNATURE.len() + 12 + 13;
    [&png[..header], &chunk(kind, data), &png[header..]].concat()
}

#[test]
fn compressed_text_is_not_unpacked_beyond_its_limit() {
    let bomb = zlib(256, &vec![b'0'; 1 << 20]);
    let legacy = [b"Raw profile type exif\0\0".as_slice(), &bomb].concat();
    let xmp = [b"XML:com.adobe.xmp\0\x01\0\0\0".as_slice(), &bomb].concat();
    for (kind, data) in [(*b"zTXt", legacy), (*b"iTXt", xmp)] {
        let bytes = png_with(kind, &data);
        let (image, peak) = measured(&bytes, "text.png");
        assert!(image.is_ok());
        assert!(peak < 2 * bytes.len() + (16 << 20), "{peak} bytes");
    }
}

#[test]
fn an_orientation_in_compressed_text_is_still_read() {
    let upright = fixture("rgb.png");
    // Three lines of header, followed by EXIF with one entry: orientation 6.
    let tiff = "4d4d002a00000008000101120003000000010006000000000000";
    let text = format!("\nexif\n      32\n457869660000{tiff}\n");
    let data = [b"Raw profile type exif\0\0".as_slice(), &zlib(1, text.as_bytes())].concat();
    let turned = Image::decode(&png_with(*b"zTXt", &data), "turned.png").unwrap();
    let upright = Image::decode(&upright, "upright.png").unwrap();
    assert_eq!(
        (turned.width(), turned.height()),
        (upright.height(), upright.width())
    );
}

#[test]
fn the_number_of_scans_is_bounded_by_the_pixels() {
    let jpeg = fixture("gray-progressive.jpg");
    let marker = |kind: u8| jpeg.windows(2).rposition(|two| two == [0xFF, kind]).unwrap();
    let (frame, last, end) = (marker(0xC2), marker(0xDA), marker(0xD9));
    let scan = &jpeg[last..end];
    let with_scans = |count: usize, side: u16| {
        let mut bytes = jpeg[..end].to_vec();
        bytes[frame + 5..frame + 7].copy_from_slice(&side.to_be_bytes());
        bytes[frame + 7..frame + 9].copy_from_slice(&side.to_be_bytes());
        for _ in 0..count {
            bytes.extend_from_slice(scan);
        }
        bytes.extend_from_slice(&jpeg[end..]);
        Image::decode(&bytes, "scans.jpg")
    };
    let error = with_scans(400, 11_900).unwrap_err();
    assert!(error.to_string().contains("more than 32 scans"), "{error}");
    // A small image may have as many scans, and its damage is reported as a warning.
    let image = with_scans(400, 16).unwrap();
    assert!(matches!(image.warnings(), [ImageWarning::Damaged { .. }]));
}

#[test]
fn a_large_grey_png_opens_within_the_default_limits() {
    let side = 12_000_u32;
    let size = side.to_be_bytes();
    let header = [&size[..], &size, &[8, 0, 0, 0, 0]].concat();
    let row = vec![0; side as usize + 1];
    let pixels = zlib(side as usize, &row);
    let bytes = [
        SIGNATURE,
        &chunk(*b"IHDR", &header),
        &chunk(*b"IDAT", &pixels),
        &chunk(*b"IEND", &[]),
    ]
    .concat();
    let (image, peak) = measured(&bytes, "large.png");
    assert_eq!(image.unwrap().width(), side as usize);
    assert!((peak as u64) < DecodeOptions::default().max_memory);
}

#[test]
fn a_palette_of_all_greys_decodes() {
    let mut gif = b"GIF89a\x02\0\x01\0\xF7\0\0".to_vec();
    gif.extend((0..=255).flat_map(|grey| [grey; 3]));
    // Two pixels, 0 and 255, in codes of nine bits: clear, 0, 255, end.
    gif.extend(b",\0\0\0\0\x02\0\x01\0\0\x08\x05\0\x01\xFC\x0B\x08\0;");
    let image = Image::decode(&gif, "greys.gif").unwrap();
    assert_eq!(image.pixels(), [0, 0, 0, 255, 255, 255]);
}

#[test]
fn a_frame_without_any_palette_is_grey() {
    let mut gif = b"GIF89a\x02\0\x01\0\0\0\0".to_vec();
    gif.extend(b",\0\0\0\0\x02\0\x01\0\0\x08\x05\0\x01\xFC\x0B\x08\0;");
    let image = Image::decode(&gif, "no-palette.gif").unwrap();
    assert_eq!(image.pixels(), [0, 0, 0, 255, 255, 255]);
}

#[test]
fn bytes_between_the_blocks_of_a_gif_are_skipped_with_a_warning() {
    let mut sound = b"GIF89a\x02\0\x01\0\0\0\0".to_vec();
    let frame = b",\0\0\0\0\x02\0\x01\0\0\x08\x05\0\x01\xFC\x0B\x08\0;";
    for (junk, count) in [
        (&b"\0\0"[..], Some("none: 2")),
        (b"\xFFjunk!\xFE\0\x01", Some("none: 6")),
        // An animation's extension without data makes Pillow read on.
        (b"!\xFF\x0BNETSCAPE2.0\0\x02ab\0", None),
    ] {
        sound.truncate(13);
        sound.extend(junk);
        sound.extend(frame);
        let image = Image::decode(&sound, "junk.gif").unwrap();
        assert_eq!(image.pixels(), [0, 0, 0, 255, 255, 255]);
        let warnings: Vec<String> = image.warnings().iter().map(ToString::to_string).collect();
        assert_eq!(warnings.len(), usize::from(count.is_some()), "{warnings:?}");
        assert!(
            count.is_none_or(|count| warnings[0].contains(count)),
            "{warnings:?}"
        );
    }
    for broken in [&b"!\xF9\x02\x01\0\0"[..], b"!\xF9\x03\x01\0\0\0", b";", b"!", b""] {
        sound.truncate(13);
        sound.extend(broken);
        if broken.len() > 1 {
            sound.extend(frame);
        }
        assert!(Image::decode(&sound, "broken.gif").is_err(), "{broken:?}");
    }
}
