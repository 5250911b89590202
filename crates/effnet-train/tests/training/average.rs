use effnet_train::{Ema, EmaOptions};
use tch::Tensor;

use crate::{first_difference, narrow, network, parameter, turn, values};

/// Adds one to every tensor.
fn shift(network: &effnet_core::EfficientNet) {
    tch::no_grad(|| {
        for (_, tensor) in network.named_tensors() {
            let _ = tensor.shallow_clone().f_add_scalar_(1).unwrap();
        }
    });
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

#[test]
fn weights_and_statistics_follow_slowly_and_counters_are_copied() {
    let network = network(&narrow(), 1, &turn());
    let mut average = Ema::new(&network, EmaOptions::default().with_decay(0.9).with_warmup(false)).unwrap();
    for _ in 0..2 {
        shift(&network);
        average.update().unwrap();
    }
    // Behind 1 and 2: 0.1 * 1, then 0.9 * 0.1 + 0.1 * 2.
    for name in ["_fc.weight", "_blocks.3._bn1.running_var", "_bn0.bias"] {
        let (own, theirs) = (parameter(average.network(), name), parameter(&network, name));
        assert!(
            distance(&(theirs - own), &Tensor::from(2.0 - 0.29)) < 1e-5,
            "{name}"
        );
    }
    let counter = parameter(average.network(), "_bn0.num_batches_tracked");
    assert_eq!(counter.int64_value(&[]), 2);
}

#[test]
fn warm_up_remembers_less_in_the_beginning() {
    let network = network(&narrow(), 1, &turn());
    let mut average = Ema::new(&network, EmaOptions::default()).unwrap();
    shift(&network);
    average.update().unwrap();
    // min(0.9999, (1 + 1) / (10 + 1)) of the old value remains.
    let behind = parameter(&network, "_fc.bias") - parameter(average.network(), "_fc.bias");
    assert!(distance(&behind, &Tensor::from(2.0 / 11.0)) < 1e-6);
}

#[test]
fn an_average_of_what_does_not_move_stays_bit_for_bit() {
    let network = network(&narrow(), 1, &turn());
    let mut average = Ema::new(&network, EmaOptions::default().with_decay(0.99)).unwrap();
    for _ in 0..5 {
        average.update().unwrap();
    }
    assert_eq!(
        first_difference(&values(&network), &values(average.network())),
        None
    );
}

#[test]
fn a_restored_average_goes_on_bit_for_bit() {
    let network = network(&narrow(), 1, &turn());
    let mut average = Ema::new(&network, EmaOptions::default().with_decay(0.99)).unwrap();
    shift(&network);
    average.update().unwrap();
    let (updates, saved) = (average.updates(), average.network().state_dict().unwrap());
    let mut other = Ema::new(&network, EmaOptions::default().with_decay(0.99)).unwrap();
    other.restore(updates, &saved).unwrap();
    shift(&network);
    average.update().unwrap();
    other.update().unwrap();
    assert_eq!(
        first_difference(&values(average.network()), &values(other.network())),
        None
    );
}

#[test]
fn the_average_of_another_network_is_refused_and_changes_nothing() {
    let turn = turn();
    let network = network(&narrow(), 1, &turn);
    let wide = effnet_core::Config {
        num_classes: 5,
        ..narrow()
    };
    let saved = crate::network(&wide, 2, &turn).state_dict().unwrap();
    let mut average = Ema::new(&network, EmaOptions::default().with_decay(0.99)).unwrap();
    let error = average.restore(1, &saved).unwrap_err().to_string();
    assert!(error.contains("`_fc.weight` has the shape [5, "), "{error}");
    assert_eq!(
        first_difference(&values(&network), &values(average.network())),
        None
    );
}
