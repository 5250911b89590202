//! Augmentation draws from the same distributions as torchvision and timm.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod reference;

use std::collections::HashMap;
use std::path::Path;

use effnet_image::Image;
use effnet_image::augment::{
    ColorJitter, ErasedContent, ErasingMode, InterpolationChoice, Operation, Policy, RandAugment,
    RandomErasing, RandomResizedCrop, TimmRandAugment, TrainTransform,
};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use reference::operation;

const DRAWS: usize = 40_000;

fn rng() -> SmallRng {
    SmallRng::seed_from_u64(11)
}

fn fixture(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/augment");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn policy(name: &str) -> Policy {
    if let Some(magnitude) = name.strip_prefix("randaugment ") {
        return Policy::RandAugment(
            RandAugment::default()
                .with_num_ops(1)
                .with_magnitude(magnitude.parse().unwrap()),
        );
    }
    match name.parse().unwrap() {
        Policy::TimmRandAugment(policy) => {
            Policy::TimmRandAugment(policy.with_num_layers(1).with_probability(1.0))
        }
        policy => policy,
    }
}

/// Returns a key. Operations with equal keys are equal except for the last digits, which depend on the math
/// library.
fn key(operations: impl Iterator<Item = Operation>) -> String {
    let key = |operation| format!("{operation:.12?};").replace("-0.000000000000", "0.000000000000");
    operations.map(key).collect()
}

#[test]
fn policies_draw_what_the_references_draw_and_as_often() {
    let mut expected: HashMap<(String, usize, usize), HashMap<String, f64>> = HashMap::new();
    for line in fixture("policies.tsv").lines() {
        let [name, width, height, probability, operations] =
            line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let parts = operations.split(';').filter(|part| !part.is_empty());
        let parsed = parts.map(|part| {
            let (name, parameter) = part.split_once(':').unwrap();
            operation(name, parameter.parse().unwrap())
        });
        let case = (name.to_owned(), width.parse().unwrap(), height.parse().unwrap());
        *expected.entry(case).or_default().entry(key(parsed)).or_default() +=
            probability.parse::<f64>().unwrap();
    }
    assert_eq!(expected.len(), 18);
    for ((name, width, height), expected) in expected {
        let policy = policy(&name);
        let mut rng = rng();
        let mut counts: HashMap<String, usize> = HashMap::new();
        for _ in 0..DRAWS {
            let operations = policy.sample(width, height, &mut rng);
            *counts
                .entry(key(operations.into_iter().map(|(operation, _)| operation)))
                .or_default() += 1;
        }
        for drawn in counts.keys() {
            assert!(
                expected.contains_key(drawn),
                "{name} {width} x {height} draws {drawn}"
            );
        }
        for (operations, probability) in expected {
            let share = counts.get(&operations).copied().unwrap_or(0) as f64 / DRAWS as f64;
            let deviation = (probability * (1.0 - probability) / DRAWS as f64).sqrt();
            assert!(
                (share - probability).abs() < 5.0 * deviation + 1e-12,
                "{name} {width} x {height} draws {operations} in {share} of the cases, expected {probability}"
            );
        }
    }
}

#[test]
fn crops_have_torchvisions_distribution() {
    let mut rng = rng();
    let crop = RandomResizedCrop::default();
    let drawn: Vec<_> = (0..DRAWS).map(|_| crop.sample(400, 300, &mut rng)).collect();
    for line in fixture("crops.tsv").lines() {
        let [name, threshold, expected] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let threshold: usize = threshold.parse().unwrap();
        let count = drawn.iter().filter(|crop| {
            let value = match name {
                "left" => crop.left,
                "top" => crop.top,
                "width" => crop.width,
                _ => crop.height,
            };
            value <= threshold
        });
        let share = count.count() as f64 / DRAWS as f64;
        let expected: f64 = expected.parse().unwrap();
        // Five standard deviations of the difference between two such fractions.
        assert!(
            (share - expected).abs() < 0.018,
            "{name} <= {threshold}: {share}, expected {expected}"
        );
    }
}

#[test]
fn an_image_that_no_crop_fits_into_gets_a_center_crop() {
    let crop = RandomResizedCrop::default();
    let mut rng = rng();
    let wide = crop.sample(400, 20, &mut rng);
    assert_eq!((wide.left, wide.top, wide.width, wide.height), (186, 0, 27, 20));
    let tall = crop.sample(20, 400, &mut rng);
    assert_eq!((tall.left, tall.top, tall.width, tall.height), (0, 186, 20, 27));
    let thin = crop.sample(3000, 1, &mut rng);
    assert_eq!((thin.width, thin.height), (1, 1));
}

#[test]
fn jitter_draws_every_order_and_stays_in_its_ranges() {
    let jitter = ColorJitter::new(0.4, 0.3, 1.5, 0.1);
    let mut rng = rng();
    let mut orders: HashMap<String, usize> = HashMap::new();
    for _ in 0..2400 {
        let operations = jitter.sample(&mut rng);
        let mut order = String::new();
        for operation in operations {
            let (letter, value, low, high) = match operation {
                Operation::Brightness(value) => ('b', value, 0.6, 1.4),
                Operation::Contrast(value) => ('c', value, 0.7, 1.3),
                Operation::Saturation(value) => ('s', value, 0.0, 2.5),
                Operation::Hue(value) => ('h', value, -0.1, 0.1),
                other => panic!("{other:?}"),
            };
            assert!((low..=high).contains(&value), "{operation:?}");
            order.push(letter);
        }
        *orders.entry(order).or_default() += 1;
    }
    assert_eq!(orders.len(), 24);
    assert!(
        orders.values().all(|count| (50..150).contains(count)),
        "{orders:?}"
    );
}

#[test]
fn jitter_leaves_out_what_changes_nothing() {
    let drawn = ColorJitter::new(0.0, 0.2, 0.0, 0.0).sample(&mut rng());
    assert!(matches!(drawn[..], [Operation::Contrast(_)]), "{drawn:?}");
}

#[test]
fn timms_levels_are_normal_and_cut_off() {
    let levels = |text: &str| -> Vec<f64> {
        let policy = policy(text);
        let mut rng = rng();
        let drawn = (0..DRAWS).flat_map(|_| policy.sample(100, 100, &mut rng));
        let level = |operation| match operation {
            Operation::Rotate(degrees) => Some(degrees.abs() / 3.0),
            _ => None,
        };
        drawn.filter_map(|(operation, _)| level(operation)).collect()
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let deviation = |values: &[f64]| {
        let mean = mean(values);
        (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
    };
    let narrow = levels("rand-m5-mstd0.5");
    assert!((mean(&narrow) - 5.0).abs() < 0.05 && (deviation(&narrow) - 0.5).abs() < 0.05);
    let cut = levels("rand-m9-mstd2");
    let full = cut.iter().filter(|level| **level == 10.0).count() as f64 / cut.len() as f64;
    // 1 - Phi(0.5)
    assert!((full - 0.3085).abs() < 0.04, "{full}");
    let even = levels("rand-m8-mstd101");
    assert!((mean(&even) - 4.0).abs() < 0.2 && even.iter().all(|level| *level <= 8.0));
}

#[test]
fn timms_notation_is_read() {
    let read: TimmRandAugment = "rand-m9-n3-mstd0.5-p0.7-mmax12-inc1".parse().unwrap();
    let expected = TimmRandAugment::default()
        .with_magnitude(9.0)
        .with_magnitude_std(0.5)
        .with_magnitude_max(12.0)
        .with_num_layers(3)
        .with_probability(0.7)
        .with_increasing(true)
        .with_interpolation(InterpolationChoice::Random)
        .with_fill([124, 116, 104]);
    assert_eq!(read, expected);
    for wrong in [
        "rand-x9",
        "rand-m",
        "rand-mx",
        "rand-p2",
        "rand--",
        "augmix-m3",
        "",
        "rand-m9-tweights",
    ] {
        let error = wrong.parse::<Policy>().unwrap_err().to_string();
        assert!(error.contains("rand") || error.contains("RandAugment"), "{error}");
    }
}

#[test]
fn erasing_takes_the_stated_share_and_fits() {
    let erasing = RandomErasing::timm(0.25, ErasingMode::RandomPixels).with_count((1, 3));
    let mut rng = rng();
    let drawn: Vec<_> = (0..8000).map(|_| erasing.sample(40, 30, &mut rng)).collect();
    let erased = drawn.iter().filter(|erasures| !erasures.is_empty()).count();
    assert!((1850..2150).contains(&erased), "{erased}");
    for erasures in drawn {
        let area: usize = erasures
            .iter()
            .map(|erasure| erasure.area.width * erasure.area.height)
            .sum();
        // Rounded to whole pixels.
        assert!(area as f64 <= 1200.0 / 3.0 + 60.0, "{area}");
        for erasure in erasures {
            let area = erasure.area;
            assert!(area.left + area.width <= 40 && area.top + area.height <= 30);
            let ErasedContent::Pixels(values) = erasure.content else {
                panic!()
            };
            assert_eq!(values.len(), 3 * area.width * area.height);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_image_and_another_seed_another() {
    let transform = TrainTransform::new(16)
        .with_policy(Policy::TimmRandAugment("rand-m9-mstd0.5".parse().unwrap()))
        .with_jitter(ColorJitter::new(0.4, 0.4, 0.4, 0.1))
        .with_erasing(RandomErasing::torchvision(1.0, ErasingMode::RandomColor));
    let pixels = (0..30 * 20 * 3).map(|n| (n * 7 % 251) as u8).collect();
    let image = Image::from_rgb8(30, 20, pixels).unwrap();
    let apply = |seed| {
        transform
            .apply(&image, &mut SmallRng::seed_from_u64(seed))
            .unwrap()
    };
    assert_eq!(apply(1), apply(1));
    assert_ne!(apply(1), apply(2));
}

#[test]
fn unusable_options_are_errors() {
    let good = TrainTransform::new(8);
    let crop = |scale, ratio| RandomResizedCrop::default().with_scale(scale).with_ratio(ratio);
    let erasing = RandomErasing::timm(0.5, ErasingMode::RandomColor);
    let bad = [
        good.with_image_size(0),
        good.with_flip(1.5),
        good.with_std([0.0; 3]),
        good.with_crop(crop((0.9, 0.1), (0.75, 1.33))),
        good.with_crop(crop((0.1, 2.0), (0.75, 1.33))),
        good.with_crop(crop((0.1, 1.0), (0.0, 1.33))),
        good.with_crop(crop((f64::NAN, 1.0), (0.75, 1.33))),
        good.with_jitter(ColorJitter::new(0.1, 0.1, 0.1, 0.6)),
        good.with_jitter(ColorJitter::new(f64::INFINITY, 0.1, 0.1, 0.0)),
        good.with_erasing(erasing.with_probability(-0.1)),
        good.with_erasing(erasing.with_count((0, 1))),
        good.with_policy(Policy::RandAugment(RandAugment::default().with_magnitude(31))),
    ];
    let image = Image::from_rgb8(4, 4, vec![0; 48]).unwrap();
    for transform in bad {
        assert!(transform.apply(&image, &mut rng()).is_err(), "{transform:?}");
    }
    assert!(good.apply_into(&image, &mut rng(), &mut [0.0; 5]).is_err());
}
