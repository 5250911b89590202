//! Augmentation with fixed parameters yields the same bytes as Pillow, torchvision and timm.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod reference;

use std::path::{Path, PathBuf};

use effnet_image::augment::{
    AugmentParams, ErasedContent, Erasure, Kernel, Operation, Sampling, TrainTransform,
};
use effnet_image::{Image, Interpolation, Rectangle};
use reference::{operation, pillow};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/augment")
}

fn lines(folder: &Path, name: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    let split = |line: &str| line.split('\t').map(str::to_owned).collect();
    text.lines().map(split).collect()
}

fn numbers<T: std::str::FromStr>(text: &str) -> Vec<T> {
    let numbers = text.split(',').filter(|number| !number.is_empty());
    numbers.map(|number| number.parse().ok().unwrap()).collect()
}

fn sampling(kernel: &str, fill: &str) -> Sampling {
    Sampling::default()
        .with_kernel(match kernel {
            "nearest" => Kernel::Nearest,
            "bilinear" => Kernel::Bilinear,
            "bicubic" => Kernel::Bicubic,
            other => panic!("{other}"),
        })
        .with_fill(numbers(fill).try_into().unwrap())
}

/// Returns the source image, and the expected image of each line of `operations.tsv`.
fn source(folder: &Path) -> (Image, Vec<Vec<u8>>) {
    let size = &lines(folder, "operations.tsv")[0];
    let (width, height): (usize, usize) = (size[0].parse().unwrap(), size[1].parse().unwrap());
    let bytes = std::fs::read(folder.join("operations.rgb")).unwrap();
    let mut images = bytes.chunks_exact(width * height * 3).map(<[u8]>::to_vec);
    let source = Image::from_rgb8(width, height, images.next().unwrap()).unwrap();
    (source, images.collect())
}

fn check_operations(folder: &Path) {
    let (source, results) = source(folder);
    let lines = &lines(folder, "operations.tsv")[1..];
    assert_eq!(lines.len(), results.len());
    assert!(lines.len() > 100);
    let mut failures = Vec::new();
    for (line, expected) in lines.iter().zip(&results) {
        let [name, parameter, kernel, fill] = &line[..] else {
            panic!("{line:?}");
        };
        let mut image = source.clone();
        operation(name, parameter.parse().unwrap()).apply(&mut image, sampling(kernel, fill));
        let different = image
            .pixels()
            .iter()
            .zip(expected)
            .filter(|(a, b)| a != b)
            .count();
        if different > 0 {
            failures.push(format!("{}: {different} bytes differ", line.join(" ")));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn operations_equal_the_committed_images() {
    check_operations(&fixtures());
}

#[test]
fn operations_equal_pillows_on_fresh_images() {
    for size in [["161", "123"], ["2", "5"]] {
        let test = "operations_equal_pillows_on_fresh_images";
        let Some(folder) = pillow(test, "image_augment.py", &size) else {
            return;
        };
        check_operations(folder.path());
    }
}

/// Parses `name:parameter;name:parameter`.
fn operations(text: &str) -> Vec<(Operation, Sampling)> {
    let parts = text.split(';').filter(|part| !part.is_empty());
    let parse = |part: &str| {
        let (name, parameter) = part.split_once(':').unwrap();
        (operation(name, parameter.parse().unwrap()), Sampling::default())
    };
    parts.map(parse).collect()
}

fn rectangle(numbers: &[usize]) -> Rectangle {
    Rectangle {
        left: numbers[0],
        top: numbers[1],
        width: numbers[2],
        height: numbers[3],
    }
}

#[test]
fn whole_transforms_equal_torchvisions_bit_for_bit() {
    let (source, _) = source(&fixtures());
    let bytes = std::fs::read(fixtures().join("transforms.f32")).unwrap();
    let floats = bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes));
    let floats: Vec<f32> = floats.collect();
    let transform = TrainTransform::new(24);
    let lines = lines(&fixtures(), "transforms.tsv");
    assert_eq!(lines.len() * transform.output_len(), floats.len());
    for (line, expected) in lines.iter().zip(floats.chunks_exact(transform.output_len())) {
        let erased: Vec<usize> = numbers(&line[4]);
        let erasures = erased.chunks_exact(4).map(|area| Erasure {
            area: rectangle(area),
            content: ErasedContent::Color([0.5, -1.5, 2.25]),
        });
        let params = AugmentParams {
            crop: rectangle(&numbers(&line[0])),
            interpolation: match &*line[1] {
                "bilinear" => Interpolation::Bilinear,
                _ => Interpolation::Bicubic,
            },
            flip: line[2] == "1",
            operations: operations(&line[3]),
            erasures: erasures.collect(),
        };
        let mut output = vec![0.0; transform.output_len()];
        transform.apply_params(&source, &params, &mut output).unwrap();
        assert_eq!(output, expected, "{line:?}");
    }
}

#[test]
fn erasing_writes_nothing_outside_of_its_rectangle() {
    let erasure = Erasure {
        area: rectangle(&[2, 1, 2, 3]),
        content: ErasedContent::Pixels((1..=18).map(|n| n as f32).collect()),
    };
    let mut image = vec![0.0; 3 * 4 * 5];
    erasure.apply(&mut image, 5);
    for (index, value) in image.iter().enumerate() {
        let (channel, y, x) = (index / 20, index / 5 % 4, index % 5);
        let inside = (2..4).contains(&x) && (1..4).contains(&y);
        let expected = if inside {
            (channel * 6 + (y - 1) * 2 + x - 2) as f32 + 1.0
        } else {
            0.0
        };
        assert_eq!(*value, expected, "channel {channel}, row {y}, column {x}");
    }
}
