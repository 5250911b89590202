//! Drop connect, end to end, in a narrow network.

use std::collections::HashMap;

use effnet_core::{Config, EfficientNet, Variant};
use tch::{Device, Kind, Tensor};

use crate::{new, seeded};

const DRAWS: i64 = 2000;

/// A network of ten blocks, of which 4, 6 and 8 have a skip.
fn narrow() -> Config {
    Config {
        width_coefficient: 0.1,
        depth_coefficient: 0.5,
        depth_divisor: 4,
        num_classes: 4,
        dropout_rate: 0.0,
        // The least likely outcome must stay the dropped one, or it could not be told.
        drop_connect_rate: 0.5,
        ..Variant::B0.config()
    }
}

/// The blocks that have a residual branch to drop.
fn droppable(config: &Config) -> Vec<usize> {
    let blocks = config.blocks();
    (0..blocks.len()).filter(|&index| blocks[index].skip).collect()
}

/// How often each distinct row of logits comes for copies of one image.
fn outcomes(network: &EfficientNet, train: bool) -> Vec<usize> {
    // At half this size the last blocks would see one pixel, which batch normalisation makes zero.
    let image = Tensor::randn([1, 3, 64, 64], (Kind::Float, Device::Cpu));
    let copies = image.expand([DRAWS, 3, 64, 64], false);
    let logits = tch::no_grad(|| network.forward(&copies, train)).expect("run the network");
    let rows = Vec::<Vec<f32>>::try_from(logits).expect("a matrix");
    let mut counts = HashMap::<Vec<i32>, usize>::new();
    for row in rows {
        // Vectorised kernels may round the last rows of a batch differently.
        let key = row.iter().map(|logit| (logit * 1e3).round() as i32).collect();
        *counts.entry(key).or_default() += 1;
    }
    let mut counts: Vec<usize> = counts.into_values().collect();
    counts.sort_unstable();
    counts
}

/// Silences the residual branches of all blocks but one, so that only its draws can show.
fn silence_others(network: &EfficientNet, block: usize) {
    tch::no_grad(|| {
        for other in droppable(network.config()) {
            let scale = if other == block { 1.0 } else { 0.0 };
            let name = format!("_blocks.{other}._bn2.weight");
            let found = network.named_tensors().find(|(own, _)| *own == name);
            let _ = found.expect("a block has _bn2").1.shallow_clone().fill_(scale);
        }
    });
}

#[test]
fn each_block_drops_samples_at_its_own_rate() {
    let turn = seeded(11);
    let (_store, network) = new(&narrow(), &turn);
    assert_eq!(droppable(network.config()), [4, 6, 8]);
    for block in droppable(network.config()) {
        silence_others(&network, block);
        let counts = outcomes(&network, true);
        assert_eq!(
            counts.len(),
            2,
            "block {block}: a sample is dropped or kept, {counts:?}"
        );
        let dropped = counts[0] as f64 / DRAWS as f64;
        let rate = 0.5 * block as f64 / 10.0;
        // Four standard deviations of a binomial; neighbouring rates are 0.1 apart.
        let bound = 4.0 * (rate * (1.0 - rate) / DRAWS as f64).sqrt();
        assert!(
            (dropped - rate).abs() < bound,
            "block {block}: {dropped} dropped, {rate} expected"
        );
    }
}

#[test]
fn blocks_drop_independently_of_each_other() {
    let turn = seeded(11);
    let (_store, network) = new(&narrow(), &turn);
    let counts = outcomes(&network, true);
    assert_eq!(counts.len(), 8, "three blocks make eight outcomes: {counts:?}");
    let rates = droppable(network.config())
        .into_iter()
        .map(|block| network.drop_connect_rate(block));
    let mut expected = vec![DRAWS as f64];
    for rate in rates {
        expected = expected
            .iter()
            .flat_map(|&count| [count * rate, count * (1.0 - rate)])
            .collect();
    }
    expected.sort_unstable_by(f64::total_cmp);
    for (count, expected) in counts.iter().zip(&expected) {
        assert!(
            (*count as f64 - expected).abs() < 5.0 * expected.sqrt(),
            "{counts:?}, not {expected:?}"
        );
    }
}

#[test]
fn nothing_is_dropped_in_evaluation() {
    let turn = seeded(11);
    let (_store, network) = new(&narrow(), &turn);
    assert_eq!(outcomes(&network, false), [DRAWS as usize]);
}

#[test]
fn nothing_is_dropped_at_rate_zero() {
    let turn = seeded(11);
    let (_store, network) = new(
        &Config {
            drop_connect_rate: 0.0,
            ..narrow()
        },
        &turn,
    );
    assert_eq!(outcomes(&network, true), [DRAWS as usize]);
}

#[test]
fn dropout_zeroes_features_at_its_rate_and_keeps_their_expectation() {
    let config = Config {
        dropout_rate: 0.4,
        num_classes: 1,
        ..narrow()
    };
    let turn = seeded(11);
    let (_store, network) = new(&config, &turn);
    let features = config.head_channels();
    tch::no_grad(|| {
        for (name, tensor) in network
            .named_tensors()
            .filter(|(name, _)| name.starts_with("_fc."))
        {
            let _ = tensor
                .shallow_clone()
                .fill_(if name == "_fc.weight" { 1.0 } else { 0.0 });
        }
    });
    let ones = Tensor::ones([DRAWS, features as i64, 1, 1], (Kind::Float, Device::Cpu));
    let sums = tch::no_grad(|| network.classify(&ones, true)).unwrap();
    let kept = sums.mean(Kind::Double).double_value(&[]) / features as f64;
    assert!(
        (kept - 1.0).abs() < 0.01,
        "the expectation is {kept} of what it is without dropout"
    );
    // Each sum is a binomial over the features, divided by the kept fraction.
    let deviation = sums.std(true).double_value(&[]);
    let expected = (features as f64 * 0.4 / 0.6).sqrt();
    assert!(
        (deviation / expected - 1.0).abs() < 0.06,
        "{deviation} against {expected}"
    );
}
