//! Tests of what strict loading rejects, and of its messages.

use effnet_checkpoint::StateDict;
use effnet_core::{Config, EfficientNet, Error, LoadError, LoadOptions, Mismatch, Variant};
use tch::{Device, Kind, Tensor, nn};

use crate::{file_tensor, load, narrow, narrow_weights, parameter};

fn refusal(config: &Config, weights: &StateDict) -> Error {
    refusal_with(config, weights, LoadOptions::default())
}

fn refusal_with(config: &Config, weights: &StateDict, options: LoadOptions) -> Error {
    let store = nn::VarStore::new(Device::Cpu);
    EfficientNet::from_state_dict(&store.root(), config, weights, options)
        .expect_err("the weights should not fit")
}

fn mismatch(config: &Config, weights: &StateDict) -> Mismatch {
    match refusal(config, weights) {
        Error::Load(LoadError::Mismatch(mismatch)) => *mismatch,
        other => panic!("{other}"),
    }
}

fn zeros(dims: &[i64], kind: Kind) -> Tensor {
    Tensor::zeros(dims, (kind, Device::Cpu))
}

/// Returns the weights of a published variant, all of them zero.
fn zeros_of(variant: Variant) -> StateDict {
    let store = nn::VarStore::new(Device::Cpu);
    let network = EfficientNet::new(&store.root(), &variant.config()).unwrap();
    let zero =
        |(name, tensor): (&str, &Tensor)| (name.to_owned(), file_tensor(&tensor.zeros_like(), tensor.kind()));
    network.named_tensors().map(zero).collect()
}

#[test]
fn a_missing_tensor_is_named() {
    let mut weights = narrow_weights();
    weights.remove("_blocks.3._se_reduce.bias").unwrap();
    let found = mismatch(&narrow(), &weights);
    assert_eq!(found.missing, ["_blocks.3._se_reduce.bias"]);
    assert!(found.unexpected.is_empty() && found.wrong_shape.is_empty());
}

#[test]
fn a_missing_running_statistic_is_no_counter() {
    let mut weights = narrow_weights();
    weights.remove("_bn0.running_var").unwrap();
    assert_eq!(mismatch(&narrow(), &weights).missing, ["_bn0.running_var"]);
}

#[test]
fn a_renamed_tensor_is_missing_and_unexpected() {
    let mut weights = narrow_weights();
    let moved = weights.remove("_bn1.bias").unwrap();
    weights.insert("_bn1.beta", moved);
    let found = mismatch(&narrow(), &weights);
    assert_eq!(
        (found.missing, found.unexpected),
        (vec!["_bn1.bias".into()], vec!["_bn1.beta".into()])
    );
}

#[test]
fn a_vector_of_one_number_is_not_broadcast() {
    let mut weights = narrow_weights();
    let name = "_blocks.2._bn1.running_var";
    weights.insert(name, file_tensor(&zeros(&[1], Kind::Float), Kind::Float));
    let found = mismatch(&narrow(), &weights);
    assert_eq!(found.wrong_shape.len(), 1);
    assert_eq!(
        (
            found.wrong_shape[0].name.as_str(),
            &found.wrong_shape[0].found[..]
        ),
        (name, &[1][..])
    );
}

#[test]
fn one_number_is_not_broadcast_to_a_matrix() {
    let mut weights = narrow_weights();
    let name = "_fc.weight";
    weights.insert(name, file_tensor(&zeros(&[1], Kind::Float), Kind::Float));
    let found = mismatch(&narrow(), &weights);
    assert_eq!(found.wrong_shape[0].expected, [10, narrow().head_channels()]);
    assert_eq!(found.wrong_shape[0].found, [1]);
}

#[test]
fn as_many_numbers_in_another_shape_do_not_fit() {
    let mut weights = narrow_weights();
    let transposed = zeros(&[narrow().head_channels() as i64, 10], Kind::Float);
    weights.insert("_fc.weight", file_tensor(&transposed, Kind::Float));
    assert_eq!(mismatch(&narrow(), &weights).wrong_shape.len(), 1);
}

#[test]
fn integers_are_no_weights_and_counters_have_any_type() {
    let mut weights = narrow_weights();
    weights.insert("_fc.bias", file_tensor(&zeros(&[10], Kind::Int64), Kind::Int64));
    let counter = "_bn0.num_batches_tracked";
    weights.insert(counter, file_tensor(&zeros(&[], Kind::Float), Kind::Float));
    let found = mismatch(&narrow(), &weights).wrong_type;
    assert_eq!(found, [("_fc.bias".into(), "i64".into())]);
}

#[test]
fn all_differences_stand_in_one_message() {
    let mut weights = narrow_weights();
    weights.remove("_bn0.weight").unwrap();
    weights.insert("ema_decay", file_tensor(&zeros(&[], Kind::Float), Kind::Float));
    weights.insert("_bn1.bias", file_tensor(&zeros(&[2], Kind::Float), Kind::Float));
    let message = refusal(&narrow(), &weights).to_string();
    for part in [
        "missing (1)",
        "_bn0.weight",
        "unexpected (1)",
        "ema_decay",
        "wrong shape (1)",
        "[2]",
    ] {
        assert!(message.contains(part), "{part} is not in: {message}");
    }
}

#[test]
fn another_variant_is_named_in_the_hint() {
    let hint = mismatch(&Variant::B1.config(), &zeros_of(Variant::B0))
        .hint
        .unwrap();
    assert!(hint.contains("b0") && hint.contains("b1"), "{hint}");
}

#[test]
fn another_number_of_classes_is_told_with_the_way_out() {
    let hint = mismatch(&narrow().with_num_classes(7), &narrow_weights())
        .hint
        .unwrap();
    assert!(
        hint.contains("10") && hint.contains('7') && hint.contains("classifier"),
        "{hint}"
    );
}

#[test]
fn another_number_of_channels_is_told_with_the_way_out() {
    let hint = mismatch(&narrow().with_in_channels(1), &narrow_weights())
        .hint
        .unwrap();
    assert!(
        hint.contains('3') && hint.contains('1') && hint.contains("stem"),
        "{hint}"
    );
}

#[test]
fn adapting_the_stem_excuses_no_other_difference_of_shape() {
    let options = LoadOptions::new().with_adapt_stem(true);
    let stem = narrow().stem_channels() as i64;
    for dims in [
        vec![stem, 3, 5, 5],
        vec![stem + 1, 3, 3, 3],
        vec![stem, 3, 3],
        vec![stem, 0, 3, 3],
    ] {
        let mut weights = narrow_weights();
        weights.insert(
            "_conv_stem.weight",
            file_tensor(&zeros(&dims, Kind::Float), Kind::Float),
        );
        let error = refusal_with(&narrow().with_in_channels(4), &weights, options);
        let Error::Load(LoadError::Mismatch(found)) = error else {
            panic!("{error}")
        };
        let found = found.wrong_shape[0].found.iter();
        assert!(found.map(|&side| side as i64).eq(dims));
    }
}

#[test]
fn names_of_another_network_are_refused_as_such() {
    let weights: StateDict = [(
        "layer1.0.conv1.weight",
        file_tensor(&zeros(&[4, 4, 3, 3], Kind::Float), Kind::Float),
    )]
    .into_iter()
    .collect();
    let message = refusal(&narrow(), &weights).to_string();
    assert!(message.contains("layer1.0.conv1.weight"), "{message}");
    assert!(!matches!(
        refusal(&narrow(), &StateDict::new()),
        Error::Load(LoadError::Mismatch(_))
    ));
}

#[test]
fn nothing_is_copied_unless_everything_fits() {
    let (_store, mut network) = load(&narrow(), &narrow_weights());
    let before = parameter(&network, "_conv_stem.weight").copy();
    let mut weights = narrow_weights();
    weights.insert(
        "_conv_stem.weight",
        file_tensor(&before.zeros_like(), Kind::Float),
    );
    weights.remove("_fc.bias").unwrap();
    network.load(&weights, LoadOptions::default()).unwrap_err();
    assert!(before.equal(&parameter(&network, "_conv_stem.weight")));
}
