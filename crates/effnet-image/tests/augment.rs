//! Augmentation with fixed parameters gives the bytes of Pillow, torchvision and timm.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod reference;

use std::path::{Path, PathBuf};

use effnet_image::Image;
use effnet_image::augment::{Kernel, Sampling};
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
    Sampling {
        kernel: match kernel {
            "nearest" => Kernel::Nearest,
            "bilinear" => Kernel::Bilinear,
            "bicubic" => Kernel::Bicubic,
            other => panic!("{other}"),
        },
        fill: numbers(fill).try_into().unwrap(),
    }
}

/// The source picture and the pictures of the lines of `operations.tsv`.
fn source(folder: &Path) -> (Image, Vec<Vec<u8>>) {
    let size = &lines(folder, "operations.tsv")[0];
    let (width, height): (usize, usize) = (size[0].parse().unwrap(), size[1].parse().unwrap());
    let bytes = std::fs::read(folder.join("operations.rgb")).unwrap();
    let mut pictures = bytes.chunks_exact(width * height * 3).map(<[u8]>::to_vec);
    let source = Image::from_rgb8(width, height, pictures.next().unwrap()).unwrap();
    (source, pictures.collect())
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
fn operations_equal_the_committed_pictures() {
    check_operations(&fixtures());
}

#[test]
fn operations_equal_pillows_on_fresh_pictures() {
    for size in [["161", "123"], ["2", "5"]] {
        let test = "operations_equal_pillows_on_fresh_pictures";
        let Some(folder) = pillow(test, "image_augment.py", &size) else {
            return;
        };
        check_operations(folder.path());
    }
}
