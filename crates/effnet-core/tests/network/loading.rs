//! Tests of what loading does in addition to copying, and of its report.

use effnet_architecture::Scheme;
use effnet_checkpoint::{DType, StateDict};
use effnet_core::{Config, EfficientNet, EfficientNetNames, Error, LoadOptions, Variant};
use tch::{Device, Kind, Tensor, nn};

use crate::{
    Expected, file_tensor, largest, load, load_with, narrow, narrow_weights, parameter, relative_error,
};

const NEW_CLASSIFIER: LoadOptions = LoadOptions::new().with_new_classifier(true);
const ADAPT_STEM: LoadOptions = LoadOptions::new().with_adapt_stem(true);

/// Returns the narrow weights with every floating-point tensor converted to another type.
fn weights_in(kind: Kind) -> StateDict {
    let (_store, network) = load(&narrow(), &narrow_weights());
    let convert = |(name, tensor): (&str, &Tensor)| {
        let kind = if tensor.is_floating_point() {
            kind
        } else {
            tensor.kind()
        };
        (name.to_owned(), file_tensor(tensor, kind))
    };
    network.named_tensors().map(convert).collect()
}

#[test]
fn an_exact_file_needs_nothing_reported_but_its_scheme() {
    let (_store, _network, report) = load_with(&narrow(), &narrow_weights(), LoadOptions::default());
    assert_eq!(report.scheme, Some(Scheme::Lukemelas));
    assert!(!report.new_classifier && report.skipped.is_empty() && report.converted.is_none());
    assert_eq!((report.adapted_stem_from, report.counters_started), (None, 0));
}

#[test]
fn a_new_classifier_keeps_the_rest() {
    let (_original, original) = load(&narrow(), &narrow_weights());
    let config = narrow().with_num_classes(3);
    let (store, network, report) = load_with(&config, &narrow_weights(), NEW_CLASSIFIER);
    assert!(report.new_classifier);
    assert_eq!(report.skipped, ["_fc.weight", "_fc.bias"]);
    for (name, tensor) in network
        .named_tensors()
        .filter(|(name, _)| !name.starts_with("_fc."))
    {
        assert!(tensor.detach().equal(&parameter(&original, name)), "{name}");
    }
    let weight = parameter(&network, "_fc.weight");
    assert_eq!(weight.size(), [3, config.head_channels() as i64]);
    let bound = 1.0 / 3f64.sqrt();
    assert!(
        largest(&weight) <= bound && largest(&weight) > 0.9 * bound,
        "drawn from U(-1/√3, 1/√3)"
    );
    assert_eq!(largest(&parameter(&network, "_fc.bias")), 0.0);
    assert!(
        store.variables()["_fc.weight"].equal(&weight),
        "the store holds the new one"
    );
}

#[test]
fn a_new_classifier_is_drawn_also_where_the_files_would_fit() {
    let (_store, network, report) = load_with(&narrow(), &narrow_weights(), NEW_CLASSIFIER);
    let (_original, original) = load(&narrow(), &narrow_weights());
    assert!(report.new_classifier);
    assert!(!parameter(&network, "_fc.weight").equal(&parameter(&original, "_fc.weight")));
}

#[test]
fn resetting_the_classifier_changes_nothing_else_and_keeps_it_trainable() {
    let (store, mut network) = load(&narrow(), &narrow_weights());
    let stem = parameter(&network, "_conv_stem.weight").copy();
    network.reset_classifier(5).unwrap();
    assert_eq!(network.config().num_classes, 5);
    assert!(stem.equal(&parameter(&network, "_conv_stem.weight")));
    let images = Expected::open().get("even.images");
    let logits = network.forward(&images, true).unwrap();
    assert_eq!(logits.size(), [2, 5]);
    logits.square().mean(Kind::Float).backward();
    assert_eq!(
        store.variables()["_fc.weight"].grad().size(),
        [5, network.config().head_channels() as i64]
    );
}

#[test]
fn a_network_without_a_classifier_leaves_the_files_aside_and_has_none_to_reset() {
    let config = Config {
        include_top: false,
        ..narrow()
    };
    let (_store, mut network, report) = load_with(&config, &narrow_weights(), LoadOptions::default());
    assert_eq!(report.skipped, ["_fc.weight", "_fc.bias"]);
    let message = network.reset_classifier(5).unwrap_err().to_string();
    assert!(message.contains("include_top"), "{message}");
}

#[test]
fn an_adapted_stem_has_the_kernels_that_timm_would_give_it() {
    let expected = Expected::open();
    for channels in [1, 4, 6] {
        let config = narrow().with_in_channels(channels);
        let (_store, network, report) = load_with(&config, &narrow_weights(), ADAPT_STEM);
        assert_eq!(report.adapted_stem_from, Some(3));
        let stem = parameter(&network, "_conv_stem.weight");
        let error = relative_error(&stem, &expected.get(&format!("stem.{channels}")));
        assert!(error < 1e-6, "{channels} channels: {error:.1e}");
        let images = Tensor::zeros([1, channels as i64, 64, 48], (Kind::Float, Device::Cpu));
        assert_eq!(network.forward(&images, false).unwrap().size(), [1, 10]);
    }
}

/// A greyscale image must give the same activations as one channel, as three channels and as six channels.
#[test]
fn an_adapted_stem_sees_a_grey_image_as_the_original_does() {
    let grey = Expected::open().get("even.images").narrow(1, 0, 1);
    let (_store, original) = load(&narrow(), &narrow_weights());
    let expected = original.forward(&grey.repeat([1, 3, 1, 1]), false).unwrap();
    for channels in [1, 6] {
        let config = narrow().with_in_channels(channels);
        let (_store, network, _) = load_with(&config, &narrow_weights(), ADAPT_STEM);
        let logits = network
            .forward(&grey.repeat([1, channels as i64, 1, 1]), false)
            .unwrap();
        let error = relative_error(&logits, &expected);
        assert!(error < 1e-4, "{channels} channels: {error:.1e}");
    }
}

#[test]
fn adapting_leaves_a_stem_that_fits_alone() {
    let (_store, network, report) = load_with(&narrow(), &narrow_weights(), ADAPT_STEM);
    let (_original, original) = load(&narrow(), &narrow_weights());
    assert_eq!(report.adapted_stem_from, None);
    let name = "_conv_stem.weight";
    assert!(parameter(&network, name).equal(&parameter(&original, name)));
}

#[test]
fn other_floating_point_types_are_converted_and_reported() {
    let expected = Expected::open();
    let floats = narrow_weights()
        .iter()
        .filter(|(_, tensor)| tensor.dtype().is_float())
        .count();
    let cases = [
        (Kind::Double, DType::F64, 2e-5),
        (Kind::Half, DType::F16, 0.05),
        (Kind::BFloat16, DType::BF16, 0.5),
    ];
    for (kind, dtype, tolerance) in cases {
        let (_store, network, report) = load_with(&narrow(), &weights_in(kind), LoadOptions::default());
        assert_eq!(report.converted, Some((floats, dtype)));
        let logits = network.forward(&expected.get("even.images"), false).unwrap();
        assert_eq!(logits.kind(), Kind::Float);
        let error = relative_error(&logits, &expected.get("even.logits"));
        assert!(error <= tolerance, "{dtype}: {error:.1e}");
    }
}

#[test]
fn a_file_older_than_the_counters_starts_them_at_zero() {
    let mut weights = narrow_weights();
    let counters: Vec<String> = weights
        .names()
        .filter(|name| name.ends_with("num_batches_tracked"))
        .map(str::to_owned)
        .collect();
    for name in &counters {
        weights.remove(name);
    }
    let (_store, network, report) = load_with(&narrow(), &weights, LoadOptions::default());
    assert_eq!(report.counters_started, counters.len());
    for name in &counters {
        assert_eq!(parameter(&network, name).int64_value(&[]), 0, "{name}");
    }
}

/// This must hold even if the network counted batches before: the counters must be those of the file.
#[test]
fn loading_such_a_file_into_a_trained_network_starts_the_counters_anew() {
    let (_store, mut network) = load(&narrow(), &narrow_weights());
    let counter = "_bn0.num_batches_tracked";
    assert_eq!(parameter(&network, counter).int64_value(&[]), 1);
    let mut weights = narrow_weights();
    weights.remove(counter);
    let report = network.load(&weights, LoadOptions::default()).unwrap();
    assert_eq!(report.counters_started, 1);
    assert_eq!(parameter(&network, counter).int64_value(&[]), 0);
}

#[test]
fn the_three_naming_schemes_load_the_same() {
    let store = nn::VarStore::new(Device::Cpu);
    let original = EfficientNet::new(&store.root(), &Variant::B0.config()).unwrap();
    let named = original.named_tensors();
    let weights: StateDict = named
        .map(|(name, tensor)| (name.to_owned(), file_tensor(tensor, tensor.kind())))
        .collect();
    for scheme in Scheme::ALL {
        let renamed = weights.to_scheme(Scheme::Lukemelas, scheme, None).unwrap();
        let (_store, network, report) = load_with(&Variant::B0.config(), &renamed, LoadOptions::default());
        assert_eq!(report.scheme, Some(scheme));
        for (name, tensor) in original.named_tensors() {
            assert!(
                tensor.detach().equal(&parameter(&network, name)),
                "{name} from {scheme}"
            );
        }
    }
}

#[test]
fn a_network_in_half_precision_is_filled_in_half_precision() {
    let (mut store, mut network) = load(&narrow(), &narrow_weights());
    store.bfloat16();
    let report = network.load(&narrow_weights(), LoadOptions::default()).unwrap();
    assert!(report.converted.is_some_and(|(_, dtype)| dtype == DType::F32));
    assert_eq!(parameter(&network, "_conv_stem.weight").kind(), Kind::BFloat16);
}

#[test]
fn two_networks_under_one_path_are_refused() {
    let (store, _network) = load(&narrow(), &narrow_weights());
    let second = EfficientNet::new(&store.root(), &narrow());
    assert!(matches!(second, Err(Error::Occupied { .. })));
    let root = store.root();
    assert!(EfficientNet::new(&(&root / "teacher"), &narrow()).is_ok());
}
