//! The zoo as its user sees it: published weights by name, converted files, and the Python packages that read them.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout)]

mod commands;
mod conversion;
mod downloads;
mod home;
mod logits;
mod manifest;
mod outputs;
mod places;
mod published;
mod server;
mod trainings;
mod verification;
#[cfg(unix)]
mod wheels;

use std::path::Path;

use effnet_core::{Config, EfficientNet, Variant};
use effnet_tests::Finished;
use serde_json::Value;
use tch::{Device, nn};

/// Random parameters of a B0 in the original names and as safetensors: quick to make, no Python asked.
fn random_b0(path: &Path, num_classes: usize) {
    let store = nn::VarStore::new(Device::Cpu);
    EfficientNet::new(
        &store.root(),
        &Config::new(Variant::B0).with_num_classes(num_classes),
    )
    .unwrap();
    store.save(path).unwrap();
}

/// A smooth image.
fn write_image(path: &Path) {
    let wave = |t: u32, k: u32| (127.0 + 120.0 * (t as f32 * k as f32 / 50.0).sin()) as u8;
    image::RgbImage::from_fn(320, 260, |x, y| {
        image::Rgb([wave(x, 1), wave(y, 2), wave(x + y, 3)])
    })
    .save(path)
    .unwrap();
}

/// A path as an argument or as a part of a request.
fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}

/// The run went well; its standard output.
#[track_caller]
fn succeeded(run: &Finished) -> &str {
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    &run.stdout
}

/// The run was refused, and its message holds all of `words`.
#[track_caller]
fn refused(run: &Finished, words: &[&str]) {
    assert_eq!(run.code, Some(2), "{}{}", run.stdout, run.stderr);
    says(run, words);
}

/// Standard error holds all of `words`, and no panic.
#[track_caller]
fn says(run: &Finished, words: &[&str]) {
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    for word in words {
        assert!(run.stderr.contains(word), "`{word}` is not in:\n{}", run.stderr);
    }
}

/// Standard output as one JSON value.
#[track_caller]
fn json(run: &Finished) -> Value {
    serde_json::from_str(succeeded(run)).expect("standard output is JSON")
}

/// The logits of the only image, by class.
#[track_caller]
fn logits(run: &Finished) -> Vec<f64> {
    let record = json(run);
    let predictions = record["predictions"].as_array().unwrap();
    let mut by_class: Vec<_> = predictions
        .iter()
        .map(|prediction| {
            (
                prediction["class"].as_u64().unwrap(),
                prediction["logit"].as_f64().unwrap(),
            )
        })
        .collect();
    by_class.sort_by_key(|&(class, _)| class);
    by_class.into_iter().map(|(_, logit)| logit).collect()
}

/// `max |one - other| / max |other|`.
fn relative_difference(one: &[f64], other: &[f64]) -> f64 {
    assert_eq!(one.len(), other.len(), "the numbers of logits differ");
    let scale = other.iter().fold(0.0, |max: f64, value| max.max(value.abs()));
    let difference = one
        .iter()
        .zip(other)
        .fold(0.0, |max: f64, (a, b)| max.max((a - b).abs()));
    difference / scale
}
