//! Batches: their order, their bits, and what happens when images fail.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

#[path = "../../effnet-data/tests/images/mod.rs"]
mod images;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use effnet_data::{BoxError, DataError, Dataset, Order, SampleRng, Shard, Transform};
use effnet_image::augment::{ColorJitter, ErasingMode, Policy, RandomErasing, TrainTransform};
use effnet_image::{EvalTransform, Image, Interpolation};
use effnet_train::Batch;
use effnet_train::data::{Loader, LoaderOptions};
use images::Painted;
use tch::{Kind, Tensor};

/// Every kind of augmentation that needs no large images.
fn train() -> TrainTransform {
    TrainTransform::new(8)
        .with_policy("rand-m9-mstd0.5".parse::<Policy>().unwrap())
        .with_jitter(ColorJitter::new(0.4, 0.4, 0.4, 0.1))
        .with_erasing(RandomErasing::timm(0.5, ErasingMode::RandomPixels))
}

fn options(workers: usize) -> LoaderOptions {
    LoaderOptions::default()
        .with_batch_size(4)
        .with_workers(workers)
        .with_seed(5)
}

fn loader(dataset: Painted, options: LoaderOptions) -> Loader {
    Loader::new(Arc::new(dataset), train(), options).unwrap()
}

/// All of a batch that is to be the same, with the bits of the images.
#[derive(Debug, PartialEq)]
struct Contents {
    number: usize,
    indices: Vec<usize>,
    labels: Vec<i64>,
    bits: Vec<u32>,
}

fn contents(batches: impl Iterator<Item = Result<Batch, DataError>>) -> Vec<Contents> {
    let contents = |batch: Result<Batch, DataError>| {
        let batch = batch.unwrap();
        assert_eq!(batch.images.size(), [batch.indices.len() as i64, 3, 8, 8]);
        let values: Vec<f32> = batch.images.flatten(0, -1).try_into().unwrap();
        Contents {
            number: batch.number,
            indices: batch.indices,
            labels: batch.targets.tensor().try_into().unwrap(),
            bits: values.into_iter().map(f32::to_bits).collect(),
        }
    };
    batches.map(contents).collect()
}

#[test]
fn an_epoch_is_the_same_to_the_bit_whatever_the_number_of_workers() {
    let epoch = |workers, prefetch, epoch| {
        let options = options(workers).with_prefetch(prefetch);
        contents(loader(Painted::new(23, 3), options).epoch(epoch).unwrap())
    };
    let one = epoch(1, 1, 0);
    assert_eq!(one.len(), 6);
    assert_eq!(epoch(3, 2, 0), one);
    assert_eq!(epoch(8, 7, 0), one);
    assert_ne!(epoch(1, 1, 1), one);
}

#[test]
fn an_epoch_has_every_image_once_with_its_label() {
    let batches = contents(loader(Painted::new(23, 3), options(2)).epoch(4).unwrap());
    let indices: Vec<usize> = batches.iter().flat_map(|batch| batch.indices.clone()).collect();
    assert_eq!(indices.iter().copied().collect::<BTreeSet<_>>().len(), 23);
    assert_eq!(indices.len(), 23);
    let labels = batches.iter().flat_map(|batch| batch.labels.clone());
    assert!(labels.eq(indices.into_iter().map(|index| index as i64 % 3)));
}

#[test]
fn the_augmentation_of_an_image_is_another_in_another_epoch() {
    let loader = Loader::new(
        Arc::new(Painted::new(1, 1)),
        train(),
        options(1).with_order(Order::Sequential),
    );
    let loader = loader.unwrap();
    let image = |epoch| contents(loader.epoch(epoch).unwrap()).remove(0).bits;
    assert_eq!(image(0), image(0));
    assert_ne!(image(0), image(1));
}

#[test]
fn an_epoch_goes_on_where_it_was_left() {
    let loader = loader(Painted::new(23, 3), options(2));
    let whole = contents(loader.epoch(2).unwrap());
    for first in [1, 3, 5, 6, 9] {
        let rest = contents(loader.epoch_from(2, first).unwrap());
        assert_eq!(rest, whole[first.min(6)..], "from batch {first}");
    }
}

#[test]
fn without_shuffling_the_order_is_the_data_sets_and_the_numbers_the_transforms() {
    let transform = EvalTransform::new(6)
        .with_resize_size(7)
        .with_interpolation(Interpolation::Bilinear);
    let dataset = Arc::new(Painted::new(10, 2));
    let sequential = options(3).with_order(Order::Sequential);
    let loader = Loader::new(Arc::clone(&dataset) as _, transform, sequential).unwrap();
    assert_eq!(loader.batches(), 3);
    let mut index = 0;
    for batch in loader.epoch(0).unwrap() {
        let batch = batch.unwrap();
        assert_eq!(
            (batch.images.kind(), batch.targets.tensor().kind()),
            (Kind::Float, Kind::Int64)
        );
        for (row, found) in batch.indices.iter().enumerate() {
            assert_eq!(*found, index);
            let values: Vec<f32> = batch.images.get(row as i64).flatten(0, -1).try_into().unwrap();
            assert_eq!(values, transform.apply(&dataset.image(index).unwrap()).unwrap());
            index += 1;
        }
    }
    assert_eq!(index, 10);
}

#[test]
fn a_last_batch_that_is_not_full_can_be_left_out() {
    let options = options(2).with_drop_last(true);
    let loader = loader(Painted::new(11, 2), options);
    assert_eq!(loader.batches(), 2);
    let sizes: Vec<usize> = loader
        .epoch(0)
        .unwrap()
        .map(|batch| batch.unwrap().indices.len())
        .collect();
    assert_eq!(sizes, [4, 4]);
}

#[test]
fn processes_share_an_epoch_and_augment_as_one_would() {
    let images = |rank, world_size| {
        let options = options(2).with_shard(Shard { rank, world_size });
        let batches = contents(loader(Painted::new(21, 3), options).epoch(1).unwrap());
        let rows = batches.into_iter().flat_map(|batch| {
            let rows = batch
                .bits
                .chunks_exact(192)
                .map(<[u32]>::to_vec)
                .collect::<Vec<_>>();
            batch.indices.into_iter().zip(rows)
        });
        rows.collect::<Vec<_>>()
    };
    let mut together: Vec<_> = (0..4).flat_map(|rank| images(rank, 4)).collect();
    together.sort();
    let mut alone = images(0, 1);
    alone.sort();
    assert_eq!(together, alone);
}

#[test]
fn images_that_fail_are_left_out_and_listed() {
    let mut dataset = Painted::new(8, 2);
    dataset.broken = vec![1, 4];
    dataset.panicking = vec![6];
    let sequential = options(2).with_order(Order::Sequential);
    let loader = loader(dataset, sequential);
    let mut epoch = loader.epoch(0).unwrap();
    let batches = contents(&mut epoch);
    assert_eq!(batches[0].indices, [0, 2, 3]);
    assert_eq!(batches[1].indices, [5, 7]);
    assert_eq!(batches[1].labels, [1, 1]);
    let left_out: Vec<usize> = epoch.unreadable().iter().map(|image| image.index).collect();
    assert_eq!(left_out, [1, 4, 6]);
    assert_eq!(epoch.unreadable()[0].reason, "it is broken");
    assert!(epoch.unreadable()[2].reason.contains("a bug in the decoder"));
}

#[test]
fn an_image_that_fails_changes_no_other() {
    let whole = contents(loader(Painted::new(8, 2), options(2)).epoch(0).unwrap());
    let mut dataset = Painted::new(8, 2);
    dataset.broken = vec![whole[0].indices[2]];
    let rest = contents(loader(dataset, options(2)).epoch(0).unwrap());
    assert_eq!(rest[0].bits[..2 * 192], whole[0].bits[..2 * 192]);
    assert_eq!(rest[0].bits[2 * 192..], whole[0].bits[3 * 192..]);
    assert_eq!(rest[1], whole[1]);
}

#[test]
fn an_image_that_fails_ends_a_strict_epoch() {
    let mut dataset = Painted::new(12, 2);
    dataset.broken = vec![5];
    let strict = options(2).with_order(Order::Sequential).with_strict(true);
    let loader = loader(dataset, strict);
    let mut epoch = loader.epoch(0).unwrap();
    assert_eq!(epoch.next().unwrap().unwrap().indices, [0, 1, 2, 3]);
    let error = epoch.next().unwrap().unwrap_err();
    assert!(error.to_string().contains("image 5"), "{error}");
    assert!(epoch.next().is_none());
}

#[test]
fn an_epoch_without_an_image_that_can_be_read_is_an_error() {
    let mut dataset = Painted::new(6, 2);
    dataset.broken = (0..6).collect();
    let loader = loader(dataset, options(2));
    let mut epoch = loader.epoch(0).unwrap();
    let error = epoch.next().unwrap().unwrap_err();
    assert!(
        error.to_string().contains("none of 6 images could be read"),
        "{error}"
    );
    assert!(epoch.next().is_none());
}

/// Counts how many images were asked for.
struct Counted {
    painted: Painted,
    read: AtomicUsize,
    pause: Duration,
}

impl Counted {
    fn new(length: usize, pause: Duration) -> Arc<Self> {
        Arc::new(Self {
            painted: Painted::new(length, 2),
            read: AtomicUsize::new(0),
            pause,
        })
    }
}

impl Dataset for Counted {
    fn len(&self) -> usize {
        self.painted.len()
    }

    fn classes(&self) -> &[String] {
        self.painted.classes()
    }

    fn label(&self, index: usize) -> usize {
        self.painted.label(index)
    }

    fn name(&self, index: usize) -> String {
        self.painted.name(index)
    }

    fn image(&self, index: usize) -> Result<Image, BoxError> {
        self.read.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(self.pause);
        self.painted.image(index)
    }
}

#[test]
fn no_more_is_decoded_ahead_than_was_allowed() {
    let dataset = Counted::new(400, Duration::ZERO);
    let loader = Loader::new(Arc::clone(&dataset) as _, train(), options(3)).unwrap();
    let mut epoch = loader.epoch(0).unwrap();
    let settle = |expected| {
        let start = Instant::now();
        while dataset.read.load(Ordering::SeqCst) < expected && start.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(1));
        }
        // Time for one too many.
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(dataset.read.load(Ordering::SeqCst), expected);
    };
    settle(8);
    epoch.next().unwrap().unwrap();
    settle(12);
}

#[test]
fn a_resumed_epoch_decodes_nothing_of_what_came_before() {
    let dataset = Counted::new(40, Duration::ZERO);
    let loader = Loader::new(Arc::clone(&dataset) as _, train(), options(2)).unwrap();
    assert_eq!(loader.epoch_from(0, 7).unwrap().count(), 3);
    assert_eq!(dataset.read.load(Ordering::SeqCst), 12);
}

#[test]
fn an_epoch_that_is_dropped_ends_after_the_images_at_hand() {
    let dataset = Counted::new(100_000, Duration::from_millis(2));
    let loader = Loader::new(Arc::clone(&dataset) as _, train(), options(2)).unwrap();
    let mut epoch = loader.epoch(0).unwrap();
    epoch.next().unwrap().unwrap();
    let start = Instant::now();
    drop(epoch);
    assert!(start.elapsed() < Duration::from_secs(2));
    let read = dataset.read.load(Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(dataset.read.load(Ordering::SeqCst), read);
    // The data set is free again: the threads are gone, not asleep.
    drop(loader);
    assert_eq!(Arc::strong_count(&dataset), 1);
}

#[test]
fn a_transform_of_ones_own_gets_numbers_of_its_own() {
    struct Random;
    impl Transform for Random {
        fn image_size(&self) -> usize {
            1
        }

        fn check(&self) -> Result<(), BoxError> {
            Ok(())
        }

        fn apply_into(&self, _: &Image, rng: &mut SampleRng, output: &mut [f32]) -> Result<(), BoxError> {
            assert_eq!(output, [0.0; 3]);
            output[0] = rand::RngExt::random(rng);
            Ok(())
        }
    }
    let loader = Loader::new(Arc::new(Painted::new(50, 1)), Random, options(2)).unwrap();
    let images: Vec<Tensor> = loader
        .epoch(0)
        .unwrap()
        .map(|batch| batch.unwrap().images)
        .collect();
    let values: Vec<f32> = Tensor::cat(&images, 0)
        .select(1, 0)
        .flatten(0, -1)
        .try_into()
        .unwrap();
    let distinct: BTreeSet<u32> = values.iter().map(|value| value.to_bits()).collect();
    assert_eq!(distinct.len(), 50);
}

#[test]
fn options_that_cannot_work_are_errors() {
    let good = options(2);
    let shard = |rank, world_size| good.clone().with_shard(Shard { rank, world_size });
    let bad = [
        good.clone().with_batch_size(0),
        good.clone().with_workers(0),
        good.clone().with_prefetch(0),
        good.clone().with_batch_size(11).with_drop_last(true),
        shard(0, 3).with_batch_size(1),
        shard(2, 2),
        shard(0, 0),
        shard(0, 11),
    ];
    for options in bad {
        let made = Loader::new(Arc::new(Painted::new(10, 2)), train(), options.clone());
        assert!(matches!(made, Err(DataError::Loader { .. })), "{options:?}");
    }
    let empty = Loader::new(Arc::new(Painted::new(0, 2)), train(), good.clone());
    assert!(empty.unwrap_err().to_string().contains("found an empty data set"));
    let transform = train().with_flip(2.0);
    let made = Loader::new(Arc::new(Painted::new(10, 2)), transform, good);
    assert!(made.unwrap_err().to_string().contains("flip probability"));
}

#[test]
fn a_batch_larger_than_the_data_set_is_all_of_it() {
    let options = options(2).with_batch_size(1000);
    let batches = contents(loader(Painted::new(5, 2), options).epoch(0).unwrap());
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].indices.len(), 5);
}
