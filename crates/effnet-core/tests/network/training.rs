//! Tests of one training step.

use tch::Kind;

use crate::{Expected, assert_close, largest, load, narrow, narrow_weights, relative_error};

#[test]
fn a_step_has_the_originals_loss_gradients_and_running_statistics() {
    let expected = Expected::open();
    let (_store, network) = load(&narrow(), &narrow_weights());
    let logits = network.forward(&expected.get("training.images"), true).unwrap();
    let loss = logits.cross_entropy_for_logits(&expected.get("training.labels"));
    loss.backward();
    assert_close(&logits.detach(), &expected.get("training.logits"), "logits");
    assert_close(&loss.detach(), &expected.get("training.loss"), "loss");

    for (name, tensor) in network.named_tensors() {
        if !tensor.requires_grad() {
            assert_close(tensor, &expected.get(&format!("training.after.{name}")), name);
            continue;
        }
        let theirs = expected.get(&format!("training.gradient.{name}"));
        let error = match name.strip_suffix("_bn2.bias") {
            // The next batch normalisation subtracts whatever a block adds to all pixels of a channel, so this
            // gradient is zero except for rounding. The error is therefore relative to the neighbouring gradient.
            Some(block) => {
                let scale = expected.get(&format!("training.gradient.{block}_bn2.weight"));
                largest(&(tensor.grad() - theirs)) / largest(&scale)
            }
            None => relative_error(&tensor.grad(), &theirs),
        };
        assert!(error <= 1e-4, "gradient of {name}: {error:.1e}");
    }
}

#[test]
fn every_step_is_counted() {
    let (_store, network) = load(&narrow(), &narrow_weights());
    let images = Expected::open().get("even.images");
    let count = || {
        let counters = network
            .named_tensors()
            .filter(|(name, _)| name.ends_with("num_batches_tracked"));
        let counts: Vec<i64> = counters.map(|(_, tensor)| tensor.int64_value(&[])).collect();
        assert!(counts.iter().all(|&count| count == counts[0]), "{counts:?}");
        counts[0]
    };
    let before = count();
    for _ in 0..3 {
        let _ = network.forward(&images, true).unwrap();
    }
    assert_eq!(count(), before + 3);
}

#[test]
fn exactly_parameters_are_trainable_and_no_statistic_is() {
    let (store, network) = load(&narrow(), &narrow_weights());
    let trainable = network
        .named_tensors()
        .filter(|(_, tensor)| tensor.requires_grad());
    let trainable: Vec<(&str, u64)> = trainable
        .map(|(name, tensor)| (name, tensor.numel() as u64))
        .collect();
    assert_eq!(
        trainable.iter().map(|(_, count)| count).sum::<u64>(),
        narrow().parameters()
    );
    let statistic = |name: &str| name.contains("running_") || name.ends_with("num_batches_tracked");
    assert!(!trainable.iter().any(|(name, _)| statistic(name)));
    assert_eq!(store.trainable_variables().len(), trainable.len());
}

#[test]
fn a_step_in_bf16_stays_finite() {
    let (mut store, network) = load(&narrow(), &narrow_weights());
    store.bfloat16();
    let images = Expected::open().get("even.images").to_kind(Kind::BFloat16);
    let loss = network
        .forward(&images, true)
        .unwrap()
        .to_kind(Kind::Float)
        .square()
        .mean(Kind::Float);
    assert!(loss.double_value(&[]).is_finite());
}
