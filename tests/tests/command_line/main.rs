//! The `effnet` binary as its user sees it: what it prints, where, and how it exits.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod bundled;
mod classify;
mod destinations;
mod engine;
mod features;
mod images;
mod inputs;
mod inspect;
mod interrupt;
mod outputs;
mod photos;
mod results;
mod sharding;
mod trainers;
mod weights;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use effnet_core::{Config, EfficientNet, Variant};
use tch::{Device, nn};
use tempfile::TempDir;

/// The folder of the build for files of tests. What several tests read stays there until the next run replaces it.
const SHARED: &str = env!("CARGO_TARGET_TMPDIR");

/// Random parameters of a variant, in the original names.
fn weights(variant: Variant, num_classes: usize) -> PathBuf {
    static MADE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let mut made = MADE.lock().unwrap();
    let path = Path::new(SHARED).join(format!("{variant}-{num_classes}.safetensors"));
    if made.insert(path.clone()) {
        let store = nn::VarStore::new(Device::Cpu);
        EfficientNet::new(&store.root(), &Config::new(variant).with_num_classes(num_classes)).unwrap();
        // Whole or not at all, whatever another process does.
        let written = path.with_extension(format!("{}.safetensors", std::process::id()));
        store.save(&written).unwrap();
        std::fs::rename(written, &path).unwrap();
    }
    path
}

/// A folder with a few images that differ: `a.png`, `b.png`, `sub/c.png`.
fn images() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    for (seed, name) in ["a.png", "b.png", "sub/c.png"].into_iter().enumerate() {
        write_image(&folder.path().join(name), 320, 240 + 40 * seed as u32, seed as u8);
    }
    folder
}

/// A smooth image: waves of a colour that depends on `seed`.
fn write_image(path: &Path, width: u32, height: u32, seed: u8) {
    let image = image::RgbImage::from_fn(width, height, |x, y| {
        let wave = |t: u32, k: u32| (127.0 + 120.0 * (t as f32 * k as f32 / 50.0).sin()) as u8;
        image::Rgb([
            wave(x, 1 + u32::from(seed)),
            wave(y, 2),
            wave(x + y, 3).wrapping_add(seed.wrapping_mul(40)),
        ])
    });
    image.save(path).unwrap();
}
