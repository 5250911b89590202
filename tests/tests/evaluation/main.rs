//! How well a network does: the metrics against torch, and `effnet evaluate` as its user sees it.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod averages;
mod calibration;
mod classes;
mod command;
mod metrics;

use std::path::{Path, PathBuf};

use effnet::ModelMetadata;
use effnet_checkpoint::{Checkpoint, write_safetensors};
use effnet_core::{Config, EfficientNet, Variant};
use tch::{Device, nn};

/// A random B0 whose file says that its classes have these names, and its images 64 pixels.
fn weights(folder: &Path, labels: &[&str]) -> PathBuf {
    tch::manual_seed(11);
    let store = nn::VarStore::new(Device::Cpu);
    let config = Config::new(Variant::B0).with_num_classes(labels.len());
    EfficientNet::new(&store.root(), &config).unwrap();
    let bare = folder.join("bare.safetensors");
    store.save(&bare).unwrap();
    let checkpoint = Checkpoint::open(&bare).unwrap();
    let labels: Vec<String> = labels.iter().map(|&label| label.to_owned()).collect();
    let metadata = ModelMetadata::default()
        .with_variant(Variant::B0)
        .with_labels(labels)
        .with_image_size(64);
    let path = folder.join("named.safetensors");
    write_safetensors(&path, checkpoint.state_dict(), &metadata.to_entries()).unwrap();
    path
}

/// Writes `count` images that differ into a folder.
fn write_images(folder: &Path, count: u32) {
    std::fs::create_dir_all(folder).unwrap();
    let seed = folder.to_string_lossy().bytes().map(u32::from).sum::<u32>() % 97;
    for number in 0..count {
        let image = image::RgbImage::from_fn(80, 70, |x, y| {
            let wave = |t: u32, k: u32| (127.0 + 120.0 * (t as f32 * k as f32 / 60.0).sin()) as u8;
            image::Rgb([wave(x, 1 + number), wave(y, 2 + seed % 7), wave(x + y, 1 + seed)])
        });
        image.save(folder.join(format!("{number}.png"))).unwrap();
    }
}
