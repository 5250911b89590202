//! Tests resizing and cropping without the reference interpreter.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod reference;

use effnet_image::{EvalTransform, Image, ImageError, Interpolation, Rectangle, ResizeMode};
use proptest::prelude::*;
use reference::fixtures;

fn noise(width: usize, height: usize) -> Image {
    let mut state = 7_u32;
    let pixels = (0..width * height * 3).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    Image::from_rgb8(width, height, pixels.collect()).unwrap()
}

fn cut(image: &Image, left: usize, top: usize, side: usize) -> Vec<u8> {
    let rows = image.rows().skip(top).take(side);
    rows.flat_map(|row| &row[left * 3..(left + side) * 3])
        .copied()
        .collect()
}

#[test]
fn committed_resizes_equal_pillows() {
    let source = fixtures()
        .into_iter()
        .find(|case| case.name == "rgb.png")
        .unwrap();
    let image = Image::decode(&source.bytes, &source.name).unwrap();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for (filter, name) in [
        (Interpolation::Bilinear, "bilinear"),
        (Interpolation::Bicubic, "bicubic"),
        (Interpolation::Nearest, "nearest"),
    ] {
        for (width, height) in [(5, 4), (24, 16), (11, 3), (4, 7), (10, 2), (1, 1)] {
            let file = format!("resize-{width}x{height}-{name}.rgb");
            let expected = std::fs::read(folder.join(&file)).unwrap();
            assert_eq!(
                image.resize(width, height, filter).unwrap().pixels(),
                expected,
                "{file}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_crop_equals_the_middle_of_the_whole_resize(
        width in 1..90_usize, height in 1..90_usize, size in 1..60_usize, extra in 0..20_usize,
        filter in 0..Interpolation::ALL.len(),
    ) {
        let interpolation = Interpolation::ALL[filter];
        let image = noise(width, height);
        let short = size + extra;
        let transform = EvalTransform::new(size).with_resize_size(short).with_interpolation(interpolation);
        let long = short * width.max(height) / width.min(height);
        let (wide, high) = if width <= height { (short, long) } else { (long, short) };
        let whole = image.resize(wide, high, interpolation).unwrap();
        // A half is rounded to even, as in Python.
        let start = |side: usize| {
            let twice = side - size;
            twice / 2 + usize::from(twice % 4 == 3)
        };
        let cropped = transform.crop(&image).unwrap();
        prop_assert_eq!(cropped.pixels(), cut(&whole, start(wide), start(high), size));
    }
}

fn rectangle(left: usize, top: usize, width: usize, height: usize) -> Rectangle {
    Rectangle {
        left,
        top,
        width,
        height,
    }
}

#[test]
fn a_resized_crop_equals_a_crop_that_is_resized() {
    let source = noise(13, 9);
    let rows = source.rows().skip(1).take(5);
    let part: Vec<u8> = rows.flat_map(|row| &row[2 * 3..9 * 3]).copied().collect();
    let part = Image::from_rgb8(7, 5, part).unwrap();
    for interpolation in [Interpolation::Bilinear, Interpolation::Bicubic] {
        for (width, height) in [(7, 5), (14, 5), (7, 3), (3, 11), (2, 2)] {
            let crop = rectangle(2, 1, 7, 5);
            assert_eq!(
                source.resized_crop(crop, width, height, interpolation).unwrap(),
                part.resize(width, height, interpolation).unwrap(),
                "{width} x {height}"
            );
        }
    }
}

#[test]
fn a_crop_that_leaves_the_image_is_an_error() {
    let image = noise(4, 3);
    for crop in [
        rectangle(0, 0, 5, 3),
        rectangle(1, 0, 4, 3),
        rectangle(0, 1, 4, 3),
        rectangle(0, 0, 0, 3),
        rectangle(usize::MAX, 0, 1, 1),
    ] {
        let cropped = image.resized_crop(crop, 2, 2, Interpolation::Bilinear);
        assert!(matches!(cropped, Err(ImageError::Crop { .. })), "{crop:?}");
    }
}

#[test]
fn a_flipped_image_has_its_first_column_last() {
    let mut image = Image::from_rgb8(2, 2, (0..12).collect()).unwrap();
    image.flip_horizontal();
    assert_eq!(image.pixels(), [3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8]);
}

#[test]
fn an_image_smaller_than_the_crop_is_centred_on_black() {
    let image = noise(4, 4);
    let transform = EvalTransform::new(7)
        .with_resize_size(4)
        .with_interpolation(Interpolation::Bilinear);
    let padded = transform.crop(&image).unwrap();
    assert_eq!(cut(&padded, 1, 1, 4), image.pixels());
    let lit = padded.pixels().iter().filter(|sample| **sample > 0).count();
    assert!(lit <= image.pixels().len());
}

#[test]
fn the_input_is_planar_and_normalised_in_single_precision() {
    let image = Image::from_rgb8(2, 2, (0..12).map(|n| n * 20).collect()).unwrap();
    let transform = EvalTransform::new(2).with_crop_pct(1.0);
    let values = transform.apply(&image).unwrap();
    for (index, value) in values.iter().enumerate() {
        let (channel, pixel) = (index / 4, index % 4);
        let sample = f32::from(image.pixels()[pixel * 3 + channel]);
        let expected = (sample / 255.0 - transform.mean[channel]) / transform.std[channel];
        assert_eq!(*value, expected);
    }
    let mut batch = [0.0; 24];
    transform.apply_into(&image, &mut batch[12..]).unwrap();
    assert_eq!(batch[12..], values);
}

#[test]
fn unusable_options_are_errors() {
    let image = noise(8, 8);
    let good = EvalTransform::new(4).with_crop_pct(0.875);
    let bad = [
        good.with_image_size(0),
        good.with_resize(ResizeMode::CropPct(0.0)),
        good.with_resize(ResizeMode::CropPct(f64::NAN)),
        good.with_resize(ResizeMode::CropPct(1e-9)),
        good.with_resize(ResizeMode::ShortSide(0)),
        good.with_resize(ResizeMode::ShortSide(usize::MAX)),
        good.with_std([0.0; 3]),
    ];
    for transform in bad {
        assert!(transform.apply(&image).is_err(), "{transform:?}");
    }
    assert!(matches!(
        good.apply_into(&image, &mut [0.0; 5]),
        Err(ImageError::DestinationLength {
            expected: 48,
            found: 5
        })
    ));
    assert!(image.resize(0, 4, Interpolation::Bicubic).is_err());
    assert!(image.resize(1 << 20, 1 << 20, Interpolation::Bicubic).is_err());
    assert!(Image::from_rgb8(2, 2, vec![0; 11]).is_err());
}
