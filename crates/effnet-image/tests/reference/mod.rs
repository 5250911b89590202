//! Pillow's results, from committed fixtures or from the reference interpreter.

#![allow(dead_code, reason = "each test file uses a part")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "test code outside of test functions"
)]

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use effnet_image::augment::Operation;
use effnet_image::{Alpha, DecodeOptions, Image};
use tempfile::TempDir;

/// An image created by `scripts/reference/image_formats.py`.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// Pillow's pixels, `[height, width, 3]`.
    pub(crate) rgb: Vec<u8>,
    /// The same pixels composited over white; `None` if Pillow's result is not a reference.
    pub(crate) over_white: Option<Vec<u8>>,
}

impl Case {
    pub(crate) fn decode(&self, alpha: Alpha) -> Image {
        let options = DecodeOptions::default().with_alpha(alpha);
        Image::decode_with(&self.bytes, &self.name, &options).unwrap()
    }
}

/// Reads the output folder of the script.
pub(crate) fn cases(folder: &Path) -> Vec<Case> {
    let list = std::fs::read_to_string(folder.join("cases.tsv")).unwrap();
    list.lines()
        .map(|line| {
            let [name, width, height, white] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
            let read = |suffix: &str| std::fs::read(folder.join(format!("{name}{suffix}"))).unwrap();
            Case {
                name: name.to_owned(),
                bytes: read(""),
                width: width.parse().unwrap(),
                height: height.parse().unwrap(),
                rgb: read(".rgb"),
                over_white: match white {
                    "white" => Some(read(".white.rgb")),
                    "opaque" => Some(read(".rgb")),
                    _ => None,
                },
            }
        })
        .collect()
}

pub(crate) fn fixtures() -> Vec<Case> {
    cases(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures"))
}

/// The maximum and mean difference between two sequences of samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Difference {
    pub(crate) max: u8,
    pub(crate) mean: f64,
}

impl Difference {
    pub(crate) const NONE: Self = Self { max: 0, mean: 0.0 };

    pub(crate) fn between(ours: &[u8], theirs: &[u8]) -> Self {
        assert_eq!(ours.len(), theirs.len());
        let differences = ours.iter().zip(theirs).map(|(a, b)| a.abs_diff(*b));
        let sum: u64 = differences.clone().map(u64::from).sum();
        Self {
            max: differences.max().unwrap_or(0),
            mean: sum as f64 / ours.len() as f64,
        }
    }

    pub(crate) fn worst(self, other: Self) -> Self {
        Self {
            max: self.max.max(other.max),
            mean: self.mean.max(other.mean),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "max {}, mean {:.4}", self.max, self.mean)
    }
}

/// Parses an operation from the tables of `scripts/reference/image_augment.py`.
pub(crate) fn operation(name: &str, parameter: f64) -> Operation {
    match name {
        "ShearX" => Operation::ShearX(parameter),
        "ShearY" => Operation::ShearY(parameter),
        "TranslateX" => Operation::TranslateX(parameter),
        "TranslateY" => Operation::TranslateY(parameter),
        "Rotate" => Operation::Rotate(parameter),
        "Brightness" => Operation::Brightness(parameter),
        "Contrast" => Operation::Contrast(parameter),
        "Saturation" => Operation::Saturation(parameter),
        "Hue" => Operation::Hue(parameter),
        "Sharpness" => Operation::Sharpness(parameter),
        "Posterize" => Operation::Posterize(parameter as u8),
        "Solarize" => Operation::Solarize(parameter),
        "SolarizeAdd" => Operation::SolarizeAdd(parameter as u8),
        "AutoContrast" => Operation::AutoContrast,
        "Equalize" => Operation::Equalize,
        "Invert" => Operation::Invert,
        "Identity" => Operation::Identity,
        other => panic!("{other}"),
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs a script in `scripts/reference` with an empty folder as its first argument. Prints why if it cannot
/// be run.
pub(crate) fn pillow(test: &str, script: &str, arguments: &[&str]) -> Option<TempDir> {
    let folder = tempfile::tempdir().unwrap();
    pillow_in(folder.path(), test, script, arguments).then_some(folder)
}

/// Like [`pillow`], with a folder of the caller's; returns whether the script was run.
pub(crate) fn pillow_in(folder: &Path, test: &str, script: &str, arguments: &[&str]) -> bool {
    let Some(python) = std::env::var_os("EFFNET_REFERENCE_PYTHON") else {
        eprintln!("skipped: {test}: EFFNET_REFERENCE_PYTHON is not set");
        return false;
    };
    let output = Command::new(python)
        .arg(repository().join("scripts/reference").join(script))
        .arg(folder)
        .args(arguments)
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {complaint}");
    true
}

/// Returns the shared photographs, sorted by path. Prints why if there are none.
pub(crate) fn photos(test: &str) -> Option<Vec<PathBuf>> {
    let data = std::env::var_os("EFFNET_SHARED_DATA")
        .map_or_else(|| repository().join("../shared/data"), PathBuf::from);
    let mut photos = Vec::new();
    for folder in [data.join("images"), data.join("images/imagenet")] {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        photos.extend(entries.map(|entry| entry.path()).filter(|path| {
            let extension = path.extension().unwrap_or_default();
            extension.eq_ignore_ascii_case("jpg") || extension.eq_ignore_ascii_case("jpeg")
        }));
    }
    if photos.is_empty() {
        eprintln!("skipped: {test}: no photos under {}", data.display());
        return None;
    }
    photos.sort();
    Some(photos)
}
