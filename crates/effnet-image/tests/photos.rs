//! Photographs are decoded, resized and transformed as in Pillow, torchvision and timm.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "test code outside of test functions"
)]

mod reference;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use effnet_image::{EvalTransform, INCEPTION_MEAN, INCEPTION_STD, Image, Interpolation, ResizeMode};
use reference::{Difference, photos, pillow_in};

struct Reference {
    photos: Vec<PathBuf>,
    folder: PathBuf,
}

/// Returns the output of the reference script, created once for all tests in this file.
fn reference(test: &str) -> Option<&'static Reference> {
    static REFERENCE: OnceLock<Option<Reference>> = OnceLock::new();
    let made = REFERENCE.get_or_init(|| {
        let photos = photos(test)?;
        let paths: Vec<&str> = photos.iter().map(|path| path.to_str().unwrap()).collect();
        // A temporary folder would stay, 0.5 GB each time: statics are not dropped.
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("photos");
        std::fs::create_dir_all(&folder).unwrap();
        pillow_in(&folder, test, "image_photos.py", &paths).then_some(Reference { photos, folder })
    });
    if made.is_none() {
        eprintln!("skipped: {test}: the reference is missing");
    }
    made.as_ref()
}

impl Reference {
    fn path(&self) -> &Path {
        &self.folder
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path().join(name)).unwrap()
    }

    fn table(&self, name: &str) -> Vec<Vec<String>> {
        let text = String::from_utf8(self.read(name)).unwrap();
        text.lines()
            .map(|line| line.split('\t').map(str::to_owned).collect())
            .collect()
    }

    /// Returns Pillow's decoded pixels, so that later steps start from identical input.
    fn decoded(&self) -> Vec<Image> {
        let decode = |row: &Vec<String>| {
            let (width, height) = (row[1].parse().unwrap(), row[2].parse().unwrap());
            Image::from_rgb8(width, height, self.read(&format!("{}.rgb", row[0]))).unwrap()
        };
        self.table("photos.tsv").iter().map(decode).collect()
    }
}

/// Returns the transforms of `image_photos.py`.
fn transforms() -> [(&'static str, EvalTransform); 7] {
    let timm = |size, crop_pct| EvalTransform::new(size).with_crop_pct(crop_pct);
    let torchvision = |size, short| {
        let transform = EvalTransform::new(size).with_resize_size(short);
        transform.with_interpolation(Interpolation::Bilinear)
    };
    [
        ("b0", timm(224, 0.875)),
        ("b3", timm(300, 0.904)),
        ("b7", timm(600, 0.949)),
        (
            "advprop",
            timm(224, 0.875).with_mean(INCEPTION_MEAN).with_std(INCEPTION_STD),
        ),
        ("torchvision", torchvision(240, 255)),
        (
            "squash",
            EvalTransform::new(288).with_resize(ResizeMode::Squash(0.9)),
        ),
        ("padded", torchvision(224, 151)),
    ]
}

#[test]
fn photos_decode_to_pillows_pixels() {
    let Some(reference) = reference("photos_decode_to_pillows_pixels") else {
        return;
    };
    let mut worst = Difference::NONE;
    for (path, expected) in reference.photos.iter().zip(reference.decoded()) {
        let image = Image::open(path).unwrap();
        worst = worst.worst(Difference::between(image.pixels(), expected.pixels()));
    }
    eprintln!("decoding {} photos: {worst}", reference.photos.len());
    assert_eq!(worst, Difference::NONE);
}

#[test]
fn resizes_equal_pillows_on_identical_pixels() {
    let Some(reference) = reference("resizes_equal_pillows_on_identical_pixels") else {
        return;
    };
    let images = reference.decoded();
    for row in reference.table("resizes.tsv") {
        let [number, width, height, filter] = row.try_into().unwrap();
        let interpolation = match filter.as_str() {
            "bilinear" => Interpolation::Bilinear,
            _ => Interpolation::Bicubic,
        };
        let image = &images[number.parse::<usize>().unwrap()];
        let (wide, high) = (width.parse().unwrap(), height.parse().unwrap());
        let resized = image.resize(wide, high, interpolation).unwrap();
        let name = format!("{number}-{width}x{height}-{filter}.rgb");
        let difference = Difference::between(resized.pixels(), &reference.read(&name));
        assert_eq!(difference, Difference::NONE, "{name}");
    }
}

#[test]
fn files_become_the_inputs_that_torchvision_and_timm_make() {
    let Some(reference) = reference("files_become_the_inputs_that_torchvision_and_timm_make") else {
        return;
    };
    let mut compared = 0;
    for (number, path) in reference.photos.iter().enumerate() {
        let image = Image::open(path).unwrap();
        for (name, transform) in transforms() {
            let stem = format!("{number}-{name}");
            if !reference.path().join(format!("{stem}.rgb")).exists() {
                continue;
            }
            let cropped = transform.crop(&image).unwrap();
            let expected = reference.read(&format!("{stem}.rgb"));
            let difference = Difference::between(cropped.pixels(), &expected);
            assert_eq!(difference, Difference::NONE, "{} {name}", path.display());

            let values = transform.apply(&image).unwrap();
            let expected = reference.read(&format!("{stem}.f32"));
            let expected = expected.as_chunks::<4>().0.iter().copied();
            let expected: Vec<f32> = expected.map(f32::from_le_bytes).collect();
            assert!(values == expected, "{} {name}", path.display());
            compared += 1;
        }
    }
    assert!(compared >= reference.photos.len());
}
