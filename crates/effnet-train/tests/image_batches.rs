//! The steps and the validation batches of a data set of images.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

use std::sync::Arc;

use effnet_data::{BoxError, Dataset, Order};
use effnet_image::{EvalTransform, Image, augment::TrainTransform};
use effnet_train::data::{FitData as _, ImageBatches, Loader, LoaderOptions, Mixup};
use effnet_train::{Batch, Error, Targets};
use tch::Tensor;

/// Grey images, of which image 5 cannot be read.
struct Greys {
    classes: Vec<String>,
    count: usize,
    has_bad: bool,
}

impl Dataset for Greys {
    fn len(&self) -> usize {
        self.count
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> usize {
        index % 2
    }

    fn name(&self, index: usize) -> String {
        format!("grey {index}")
    }

    fn image(&self, index: usize) -> Result<Image, BoxError> {
        if self.has_bad && index == 5 {
            return Err("torn".into());
        }
        Ok(Image::from_rgb8(10, 10, vec![index as u8 * 9; 300])?)
    }
}

fn greys(count: usize, has_bad: bool) -> Arc<Greys> {
    let classes = ["even", "odd"].map(str::to_owned).to_vec();
    Arc::new(Greys {
        classes,
        count,
        has_bad,
    })
}

fn options() -> LoaderOptions {
    LoaderOptions::default()
        .with_batch_size(4)
        .with_workers(2)
        .with_seed(3)
}

fn train() -> Loader {
    Loader::new(greys(22, false), TrainTransform::new(8), options()).unwrap()
}

/// The batches of each step: numbers, indices, and the bits of images and targets.
type Seen = Vec<Vec<(usize, Vec<usize>, Vec<u32>, Vec<u32>)>>;

fn seen(steps: impl Iterator<Item = Result<Vec<Batch>, Error>>) -> Seen {
    let bits = |tensor: &Tensor| {
        let values: Vec<f32> = tensor
            .to_kind(tch::Kind::Float)
            .flatten(0, -1)
            .try_into()
            .unwrap();
        values.into_iter().map(f32::to_bits).collect()
    };
    let batch = |batch: Batch| {
        let (images, targets) = (bits(&batch.images), bits(batch.targets.tensor()));
        (batch.number, batch.indices, images, targets)
    };
    steps
        .map(|parts| parts.unwrap().into_iter().map(batch).collect())
        .collect()
}

#[test]
fn a_step_accumulates_batches_and_the_last_one_what_is_left() {
    let data = ImageBatches::new(train()).with_accumulate(4);
    assert_eq!(data.steps_per_epoch(), 2);
    let steps = seen(data.steps(0, 0).unwrap());
    let numbers: Vec<Vec<usize>> = steps
        .iter()
        .map(|parts| parts.iter().map(|part| part.0).collect())
        .collect();
    assert_eq!(numbers, [vec![0, 1, 2, 3], vec![4, 5]]);
    let mut all: Vec<usize> = steps.iter().flatten().flat_map(|part| part.1.clone()).collect();
    all.sort_unstable();
    assert_eq!(all, (0..22).collect::<Vec<_>>());
}

#[test]
fn steps_from_the_middle_of_an_epoch_are_those_of_the_whole() {
    let mixup = Mixup::new(0.4, 2).with_cutmix_alpha(1.0);
    let data = ImageBatches::new(train()).with_accumulate(2).with_mixup(mixup);
    let whole = seen(data.steps(7, 0).unwrap());
    for first in 0..=whole.len() {
        assert_eq!(
            seen(data.steps(7, first as u64).unwrap()),
            whole[first..],
            "{first}"
        );
    }
    assert_ne!(seen(data.steps(8, 0).unwrap()), whole);
    let plain = ImageBatches::new(train()).with_accumulate(2);
    assert_ne!(seen(plain.steps(7, 0).unwrap()), whole);
}

#[test]
fn mixed_classes_become_probabilities() {
    let data = ImageBatches::new(train()).with_mixup(Mixup::new(0.4, 2).with_label_smoothing(0.0));
    let parts = data.steps(0, 0).unwrap().next().unwrap().unwrap();
    let Targets::Probabilities(rows) = &parts[0].targets else {
        panic!("{:?}", parts[0].targets)
    };
    assert_eq!(rows.size(), [4, 2]);
    let sums: Vec<f32> = rows.sum_dim_intlist(1, false, None).try_into().unwrap();
    assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-6), "{sums:?}");
}

#[test]
fn targets_of_ones_own_follow_their_images() {
    let loader = train().with_targets(|indices| {
        let doubled: Vec<f32> = indices.iter().map(|&index| 2.0 * index as f32).collect();
        Ok(Targets::Values(Tensor::f_from_slice(&doubled)?.f_unsqueeze(1)?))
    });
    for batch in loader.epoch(1).unwrap() {
        let batch = batch.unwrap();
        let doubled: Vec<f32> = batch.targets.tensor().flatten(0, -1).try_into().unwrap();
        let expected: Vec<f32> = batch.indices.iter().map(|&index| 2.0 * index as f32).collect();
        assert_eq!(doubled, expected);
    }
    let failing = train().with_targets(|_| Err("no such label".into()));
    let error = failing.epoch(0).unwrap().next().unwrap().unwrap_err();
    assert!(error.to_string().contains("no such label"), "{error}");
}

#[test]
fn unreadable_validation_images_are_left_out_and_listed() {
    let evaluate = EvalTransform::new(8).with_crop_pct(1.0);
    let options = options().with_order(Order::Sequential);
    let validation = Loader::new(greys(9, true), evaluate, options).unwrap();
    let data = ImageBatches::new(train()).with_validation(validation);
    assert_eq!(data.validation_batches(), 3);
    let mut batches = data.validation().unwrap().unwrap();
    let indices: Vec<usize> = batches
        .by_ref()
        .flat_map(|batch| batch.unwrap().indices)
        .collect();
    assert_eq!(indices, [0, 1, 2, 3, 4, 6, 7, 8]);
    let [bad] = data.unreadable(&batches) else {
        panic!("{:?}", data.unreadable(&batches))
    };
    assert_eq!((bad.name.as_str(), bad.reason.as_str()), ("grey 5", "torn"));
    let none = ImageBatches::new(train());
    assert!(none.validation().unwrap().is_none() && none.validation_batches() == 0);
}
