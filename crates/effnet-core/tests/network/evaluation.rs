//! Tests of logits, features and endpoints.

use effnet_core::{Config, EfficientNet, Padding, Profile};
use tch::{Device, Kind, Tensor, nn};

use crate::{Expected, assert_close, load, narrow, narrow_weights, parameter, relative_error, state_dict};

const PLACES: [&str; 2] = ["even", "odd"];

fn logits(config: &Config, place: &str) -> Tensor {
    let (_store, network) = load(config, &narrow_weights());
    network
        .forward(&Expected::open().get(&format!("{place}.images")), false)
        .unwrap()
}

#[test]
fn logits_agree_with_the_original() {
    for place in PLACES {
        let theirs = Expected::open().get(&format!("{place}.logits"));
        assert_close(&logits(&narrow(), place), &theirs, place);
    }
}

#[test]
fn static_padding_agrees_with_the_original_also_at_another_size() {
    let config = Config {
        padding: Padding::StaticSame,
        ..narrow()
    };
    let expected = Expected::open();
    for place in PLACES {
        let theirs = expected.get(&format!("{place}.static_logits"));
        assert_close(&logits(&config, place), &theirs, place);
    }
    let dynamic = expected.get("odd.logits");
    assert!(
        relative_error(&logits(&config, "odd"), &dynamic) > 1e-3,
        "65 x 47 is not 64 x 48"
    );
}

#[test]
fn symmetric_padding_and_its_epsilon_agree_with_the_originals_layers_padded_so() {
    let config = narrow().with_profile(Profile::Timm);
    for place in PLACES {
        let theirs = Expected::open().get(&format!("{place}.symmetric_logits"));
        assert_close(&logits(&config, place), &theirs, place);
    }
}

#[test]
fn every_profile_gives_other_logits() {
    let [tf, timm, torchvision] = Profile::ALL.map(|profile| logits(&narrow().with_profile(profile), "even"));
    for (one, other) in [(&tf, &timm), (&timm, &torchvision), (&torchvision, &tf)] {
        assert!(
            relative_error(one, other) > 1e-3,
            "two profiles give the same logits"
        );
    }
}

#[test]
fn endpoints_and_features_agree_with_the_original() {
    let expected = Expected::open();
    let (_store, network) = load(&narrow(), &narrow_weights());
    for place in PLACES {
        let images = expected.get(&format!("{place}.images"));
        let endpoints = network.extract_endpoints(&images, false).unwrap();
        assert_eq!(endpoints.len(), 6);
        for (name, tensor) in &endpoints {
            assert_close(tensor, &expected.get(&format!("{place}.{name}")), name);
        }
        let features = network.extract_features(&images, false).unwrap();
        assert!(features.equal(&endpoints["reduction_6"]));
    }
}

#[test]
fn both_containers_hold_the_same_parameters() {
    let (_one, zip) = load(&narrow(), &narrow_weights());
    let (_other, legacy) = load(&narrow(), &state_dict("narrow-legacy.pth"));
    for (name, tensor) in zip.named_tensors() {
        assert!(tensor.detach().equal(&parameter(&legacy, name)), "{name}");
    }
}

#[test]
fn an_image_has_the_same_logits_alone_as_in_a_batch() {
    let (_store, network) = load(&narrow(), &narrow_weights());
    let images = Expected::open().get("even.images");
    let together = network.forward(&images, false).unwrap();
    let alone = network.forward(&images.narrow(0, 1, 1), false).unwrap();
    assert_close(&alone, &together.narrow(0, 1, 1), "the second image");
}

#[test]
fn a_network_without_a_classifier_gives_pooled_features() {
    let config = Config {
        include_top: false,
        ..narrow()
    };
    let store = nn::VarStore::new(Device::Cpu);
    let network = EfficientNet::new(&store.root(), &config).unwrap();
    let images = Expected::open().get("odd.images");
    let pooled = network.forward(&images, false).unwrap();
    assert_eq!(pooled.size(), [2, config.head_channels() as i64, 1, 1]);
    let features = network.extract_features(&images, false).unwrap();
    assert_close(
        &pooled,
        &features.mean_dim([2, 3].as_slice(), true, Kind::Float),
        "the mean",
    );
}

#[test]
fn evaluation_leaves_every_tensor_as_it_was() {
    let (_store, network) = load(&narrow(), &narrow_weights());
    let before: Vec<Tensor> = network.named_tensors().map(|(_, tensor)| tensor.copy()).collect();
    let _ = network
        .forward(&Expected::open().get("even.images"), false)
        .unwrap();
    for ((name, after), before) in network.named_tensors().zip(before) {
        assert!(after.equal(&before), "{name} changed");
    }
}

#[test]
fn images_of_another_shape_are_an_error_and_not_a_panic() {
    let (_store, network) = load(&narrow(), &narrow_weights());
    for dims in [
        &[1, 1, 64, 64][..],
        &[1, 4, 64, 64],
        &[3, 64, 64],
        &[1, 3, 64],
        &[],
    ] {
        let images = Tensor::zeros(dims, (Kind::Float, Device::Cpu));
        assert!(network.forward(&images, false).is_err(), "{dims:?}");
    }
    let doubles = Tensor::zeros([1, 3, 64, 64], (Kind::Double, Device::Cpu));
    assert!(network.forward(&doubles, false).is_err());
}
