//! Measures the images per second of a loader.
//!
//! `cargo run --release -p effnet-train --example loader_speed -- FOLDER [BATCH_SIZE [WORKERS [IMAGES]]]`
//! loads an epoch per line on stdin and prints its images per second; `scripts/bench/loader/run` compares
//! it with torchvision. The images below FOLDER are repeated until there are IMAGES of them.
//! `EFFNET_AUGMENT` names an augmentation policy; `EFFNET_DECODE=fast` decodes only what the crops need, as `effnet train
//! --decode fast` does; `EFFNET_CROP_SCALE` is the smallest area of a crop.

#![allow(clippy::print_stdout, reason = "a benchmark prints its results")]

use std::error::Error;
use std::io::stdin;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use effnet_data::{BoxError, Dataset, Subset};
use effnet_image::augment::{Policy, RandomResizedCrop, TrainTransform};
use effnet_image::{Image, Needed, PartialImage};
use effnet_train::data::{Loader, LoaderOptions};
use walkdir::WalkDir;

/// All images below a folder, as one class.
struct Images {
    paths: Vec<PathBuf>,
    classes: Vec<String>,
}

impl Dataset for Images {
    fn len(&self) -> usize {
        self.paths.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, _: usize) -> usize {
        0
    }

    fn name(&self, index: usize) -> String {
        self.paths[index].display().to_string()
    }

    fn image(&self, index: usize) -> Result<Image, BoxError> {
        Ok(Image::open(&self.paths[index])?)
    }

    fn part(
        &self,
        index: usize,
        needed: &dyn Fn(usize, usize) -> Option<Needed>,
    ) -> Result<PartialImage, BoxError> {
        Ok(PartialImage::open(&self.paths[index], needed)?)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments
        .next()
        .ok_or("usage: loader_speed FOLDER [BATCH_SIZE [WORKERS [IMAGES]]]")?;
    let mut number = |default| arguments.next().map_or(Ok(default), |text| text.parse::<usize>());
    let options = LoaderOptions::default().with_batch_size(number(32)?);
    let workers = number(options.workers)?;
    let is_fast = std::env::var("EFFNET_DECODE").is_ok_and(|mode| mode == "fast");
    let options = options.with_workers(workers).with_partial(is_fast);
    let images = number(1000)?;

    // Batches are large and short-lived.
    libtorch_ext::keep_freed_memory();
    let entries = WalkDir::new(folder).into_iter().filter_map(Result::ok);
    let is_image = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "jpg");
    let mut paths: Vec<PathBuf> = entries
        .map(walkdir::DirEntry::into_path)
        .filter(is_image)
        .collect();
    paths.sort();
    let count = paths.len();
    let classes = vec!["image".to_owned()];
    let repeated = Subset::new(
        Images { paths, classes },
        (0..images).map(|number| number % count).collect(),
    );
    let policy = std::env::var("EFFNET_AUGMENT").ok();
    let crop_scale = std::env::var("EFFNET_CROP_SCALE").map_or(Ok(0.08), |text| text.parse())?;
    let transform = TrainTransform::new(224)
        .with_crop(RandomResizedCrop::default().with_scale((crop_scale, 1.0)))
        .with_policy(policy.map(|name| name.parse::<Policy>()).transpose()?);
    let loader = Loader::new(Arc::new(repeated), transform, options)?;

    for (epoch, _) in stdin().lines().enumerate() {
        let start = Instant::now();
        let mut seen = 0;
        for batch in loader.epoch(epoch as u64)? {
            seen += batch?.indices.len();
        }
        println!("{:.1}", seen as f64 / start.elapsed().as_secs_f64());
    }
    Ok(())
}
