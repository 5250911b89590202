//! Decoding no more of a JPEG than its random crop needs.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod reference;

use effnet_image::augment::{RandomResizedCrop, TrainTransform};
use effnet_image::{DecodeOptions, Image, Interpolation, Needed, PartialImage, Rectangle};
use libjpeg_turbo_rs::{PixelFormat, Subsampling, compress, compress_progressive};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use reference::photos;

const SIZE: usize = 64;

/// Smooth shading, a texture and edges, as a photo has them.
fn pixels(width: usize, height: usize) -> Vec<u8> {
    let pixel = |at: usize| {
        let (x, y) = ((at % width) as f64, (at / width) as f64);
        let shade = 90.0 + 60.0 * (x / 170.0).sin() + 40.0 * (y / 90.0).cos();
        let texture = 8.0 * (x * 0.9 + y * 0.4).sin() * (y * 0.7).cos();
        let edge = if (x - 300.0).hypot(y - 250.0) < 120.0 {
            50.0
        } else {
            0.0
        };
        [shade + texture + edge, shade - texture, shade * 0.5 + edge].map(|value| value as u8)
    };
    (0..width * height).flat_map(pixel).collect()
}

fn jpegs() -> Vec<(String, Vec<u8>)> {
    let (width, height) = (901, 707);
    let pixels = pixels(width, height);
    let mut files = Vec::new();
    for subsampling in [Subsampling::S420, Subsampling::S422, Subsampling::S444] {
        for (kind, encode) in [
            ("baseline", compress as fn(_, _, _, _, _, _) -> _),
            ("progressive", compress_progressive),
        ] {
            let file = encode(&pixels, width, height, PixelFormat::Rgb, 90, subsampling).unwrap();
            files.push((format!("{subsampling:?} {kind}"), file));
        }
    }
    let grey: Vec<u8> = pixels.iter().step_by(3).copied().collect();
    let file = compress(
        &grey,
        width,
        height,
        PixelFormat::Grayscale,
        90,
        Subsampling::S444,
    )
    .unwrap();
    files.push(("grey".to_owned(), file));
    files
}

/// The same file with an EXIF orientation.
fn oriented(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"\xff\xe1\x00\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    [&jpeg[..2], &exif, &jpeg[2..]].concat()
}

fn mean_difference(a: &Image, b: &Image) -> f64 {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    let differences = a
        .pixels()
        .iter()
        .zip(b.pixels())
        .map(|(a, b)| f64::from(a.abs_diff(*b)));
    differences.sum::<f64>() / a.pixels().len() as f64
}

/// The results of a crop from the whole image and from its part, and the share of pixels that were decoded.
fn both(file: &[u8], needed: Needed, interpolation: Interpolation) -> (Image, Image, f64) {
    let options = DecodeOptions::default();
    let whole = Image::decode_with(file, "photo", &options).unwrap();
    let part = PartialImage::decode_with(file, "photo", &options, |width, height| {
        assert_eq!((width, height), (whole.width(), whole.height()));
        Some(needed)
    });
    let part = part.unwrap();
    assert_eq!((part.width(), part.height()), (whole.width(), whole.height()));
    let pixels = |image: &Image| (image.width() * image.height()) as f64;
    let share = pixels(part.decoded()) / pixels(&whole);
    let Needed { crop, .. } = needed;
    (
        whole.resized_crop(crop, SIZE, SIZE, interpolation).unwrap(),
        part.resized_crop(crop, SIZE, SIZE, interpolation).unwrap(),
        share,
    )
}

fn random_crops(file: &[u8], scale: (f64, f64), count: u64) -> Vec<Rectangle> {
    let image = Image::decode(file, "photo").unwrap();
    let crop = RandomResizedCrop::default().with_scale(scale);
    let sample = |seed| crop.sample(image.width(), image.height(), &mut SmallRng::seed_from_u64(seed));
    (0..count).map(sample).collect()
}

#[test]
fn a_crop_that_is_not_reduced_has_the_pixels_of_the_whole_image() {
    for (name, file) in jpegs() {
        for crop in random_crops(&file, (0.001, 0.012), 12) {
            let needed = Needed { crop, size: SIZE };
            let (whole, part, share) = both(&file, needed, Interpolation::Bicubic);
            assert!(
                whole == part,
                "{name}: {crop:?}, {}",
                mean_difference(&whole, &part)
            );
            assert!(share < 0.3, "{name}: {share}");
        }
    }
}

#[test]
fn a_crop_at_a_lower_resolution_differs_by_less_than_one_level() {
    for (name, file) in jpegs() {
        for crop in random_crops(&file, (0.25, 1.0), 12) {
            let needed = Needed { crop, size: SIZE };
            for interpolation in [Interpolation::Bicubic, Interpolation::Bilinear] {
                let (whole, part, share) = both(&file, needed, interpolation);
                let difference = mean_difference(&whole, &part);
                assert!(
                    difference < 1.0,
                    "{name}: {crop:?} {interpolation:?}: {difference}"
                );
                assert!(share < 0.35, "{name}: {share}");
            }
        }
    }
}

#[test]
fn photos_differ_by_less_than_one_level_on_average() {
    let Some(photos) = photos("photos_differ_by_less_than_one_level_on_average") else {
        return;
    };
    let (mut sum, mut count) = (0.0, 0);
    for path in photos {
        let file = std::fs::read(&path).unwrap();
        for crop in random_crops(&file, (0.08, 1.0), 4) {
            let needed = Needed { crop, size: SIZE };
            let (whole, part, _) = both(&file, needed, Interpolation::Bicubic);
            if crop.width.min(crop.height) < 4 * SIZE {
                assert!(whole == part, "{}: {crop:?}", path.display());
                continue;
            }
            // Fur and leaves differ most.
            let difference = mean_difference(&whole, &part);
            assert!(difference < 2.5, "{}: {crop:?}: {difference}", path.display());
            (sum, count) = (sum + difference, count + 1);
        }
    }
    let mean = sum / f64::from(count);
    assert!(count > 50 && mean < 0.75, "mean {mean}, {count} crops");
}

#[test]
fn parts_of_rotated_photos_lie_where_they_should() {
    let (_, file) = &jpegs()[0];
    for orientation in 1..=8 {
        let file = oriented(file, orientation);
        for (scale, most) in [((0.001, 0.012), 0.0), ((0.08, 1.0), 1.0)] {
            for crop in random_crops(&file, scale, 6) {
                let needed = Needed { crop, size: SIZE };
                let (whole, part, share) = both(&file, needed, Interpolation::Bilinear);
                let difference = mean_difference(&whole, &part);
                assert!(difference <= most, "{orientation}: {crop:?}: {difference}");
                assert!(share < 0.35, "{orientation}: {share}");
            }
        }
    }
}

#[test]
fn what_is_no_sound_jpeg_is_decoded_as_ever() {
    let (_, jpeg) = &jpegs()[0];
    let damaged = [&jpeg[..jpeg.len() / 2], &[0xff, 0xd9]].concat();
    let bmp = std::fs::read("tests/fixtures/1.bmp").unwrap();
    for file in [damaged, bmp] {
        let whole = Image::decode(&file, "file").unwrap();
        let crop = Rectangle {
            left: 0,
            top: 0,
            width: whole.width(),
            height: whole.height(),
        };
        let part = PartialImage::decode_with(&file, "file", &DecodeOptions::default(), |_, _| {
            Some(Needed { crop, size: 1 })
        });
        let part = part.unwrap();
        assert_eq!(part.decoded(), &whole);
        assert_eq!(part.warnings(), whole.warnings());
    }
    let nothing = PartialImage::decode_with(b"", "file", &DecodeOptions::default(), |_, _| None);
    assert!(nothing.is_err());
}

#[test]
fn augmentation_draws_the_same_numbers_for_a_part() {
    let (_, file) = &jpegs()[0];
    let whole = Image::decode(file, "photo").unwrap();
    let transform = TrainTransform::new(SIZE);
    for seed in 0..8 {
        let rng = SmallRng::seed_from_u64(seed);
        let part = PartialImage::decode_with(file, "photo", &DecodeOptions::default(), |width, height| {
            Some(transform.needed(width, height, &mut rng.clone()))
        });
        let mut output = vec![0.0; transform.output_len()];
        transform
            .apply_part_into(&part.unwrap(), &mut rng.clone(), &mut output)
            .unwrap();
        let expected = transform.apply(&whole, &mut rng.clone()).unwrap();
        let differences = output.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        // One level is about 0.017 after normalisation.
        let mean = differences.sum::<f32>() / output.len() as f32;
        assert!(mean < 0.018, "{seed}: {mean}");
    }
    // A crop that was not decoded is an error, not other pixels.
    let corner = Needed {
        crop: Rectangle {
            left: 0,
            top: 0,
            width: 64,
            height: 64,
        },
        size: SIZE,
    };
    let part = PartialImage::decode_with(file, "photo", &DecodeOptions::default(), |_, _| Some(corner));
    let far = Rectangle {
        left: 700,
        ..corner.crop
    };
    assert!(
        part.unwrap()
            .resized_crop(far, SIZE, SIZE, Interpolation::Bilinear)
            .is_err()
    );
}
