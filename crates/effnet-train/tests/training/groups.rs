use std::collections::BTreeSet;

use effnet_train::{Freeze, LayerRates, ParamGroupOptions, ParameterGroup};

use crate::{narrow, network, turn};

fn names(groups: &[ParameterGroup]) -> Vec<&str> {
    let names = groups.iter().flat_map(|group| &group.parameters);
    names.map(|(name, _)| name.as_str()).collect()
}

fn scale_of(groups: &[ParameterGroup], parameter: &str) -> f64 {
    let holds = |group: &&ParameterGroup| group.parameters.iter().any(|(name, _)| name == parameter);
    groups.iter().find(holds).unwrap().rate_scale
}

#[test]
fn every_parameter_is_in_exactly_one_group() {
    let network = network(&narrow(), 1, &turn());
    for rates in [
        LayerRates::Uniform,
        LayerRates::Decay(0.7),
        LayerRates::From(0.01),
    ] {
        let groups = ParamGroupOptions::default()
            .with_rates(rates)
            .apply(&network)
            .unwrap();
        let found = names(&groups);
        let distinct: BTreeSet<&str> = found.iter().copied().collect();
        assert_eq!(distinct.len(), found.len(), "{rates:?}");
        let trainable = network
            .named_tensors()
            .filter(|(_, tensor)| tensor.requires_grad());
        assert_eq!(distinct, trainable.map(|(name, _)| name).collect(), "{rates:?}");
    }
}

#[test]
fn batch_normalisation_and_biases_have_no_weight_decay() {
    let network = network(&narrow(), 1, &turn());
    for group in ParamGroupOptions::default().apply(&network).unwrap() {
        for (name, _) in &group.parameters {
            let exempt = name.contains("_bn") || name.ends_with("bias");
            assert_eq!(group.weight_decay, if exempt { 0.0 } else { 1e-5 }, "{name}");
        }
    }
}

#[test]
fn weight_decay_of_everything_can_be_asked_for() {
    let network = network(&narrow(), 1, &turn());
    let options = ParamGroupOptions::default().with_decay_norms_and_biases(true);
    let groups = options.apply(&network).unwrap();
    assert!(groups.iter().all(|group| group.weight_decay == 1e-5));
}

#[test]
fn layer_decay_shrinks_the_rate_with_each_layer_below_the_classifier() {
    let network = network(&narrow(), 1, &turn());
    let options = ParamGroupOptions::default()
        .with_rates(LayerRates::Decay(0.5))
        .with_head_rate(3.0);
    let groups = options.apply(&network).unwrap();
    let blocks = narrow().blocks().len() as i32;
    assert_eq!(scale_of(&groups, "_fc.weight"), 3.0);
    assert_eq!(scale_of(&groups, "_conv_head.weight"), 0.5);
    assert_eq!(
        scale_of(&groups, &format!("_blocks.{}._bn2.bias", blocks - 1)),
        0.25
    );
    assert_eq!(scale_of(&groups, "_bn0.weight"), 0.5f64.powi(blocks + 2));
}

#[test]
fn discriminative_rates_span_from_the_stem_to_the_classifier() {
    let network = network(&narrow(), 1, &turn());
    let options = ParamGroupOptions::default().with_rates(LayerRates::From(0.01));
    let groups = options.apply(&network).unwrap();
    assert!((scale_of(&groups, "_conv_stem.weight") - 0.01).abs() < 1e-12);
    assert_eq!(scale_of(&groups, "_fc.bias"), 1.0);
    let scales: Vec<f64> = (0..narrow().blocks().len())
        .map(|block| scale_of(&groups, &format!("_blocks.{block}._project_conv.weight")))
        .collect();
    assert!(scales.is_sorted() && scales[0] > 0.01, "{scales:?}");
}

#[test]
fn frozen_convolutions_leave_batch_normalisation_and_the_classifier_to_train() {
    let network = network(&narrow(), 1, &turn());
    let options = ParamGroupOptions::default().with_freeze(Freeze::Convolutions);
    let groups = options.apply(&network).unwrap();
    for (name, tensor) in network.named_tensors() {
        let trained = name.starts_with("_fc") || (name.contains("_bn") && !name.contains("running"));
        let trained = trained && !name.ends_with("tracked");
        assert_eq!(tensor.requires_grad(), trained, "{name}");
        assert_eq!(names(&groups).contains(&name), trained, "{name}");
    }
}

#[test]
fn what_was_frozen_can_be_thawed() {
    let network = network(&narrow(), 1, &turn());
    let frozen = ParamGroupOptions::default().with_freeze(Freeze::Features);
    assert_eq!(
        names(&frozen.apply(&network).unwrap()),
        ["_fc.weight", "_fc.bias"]
    );
    ParamGroupOptions::default().apply(&network).unwrap();
    let stem = network
        .named_tensors()
        .find(|(name, _)| *name == "_conv_stem.weight");
    assert!(stem.unwrap().1.requires_grad());
}

#[test]
fn a_factor_out_of_its_range_is_refused() {
    let network = network(&narrow(), 1, &turn());
    let options = ParamGroupOptions::default().with_rates(LayerRates::Decay(1.5));
    let error = options.apply(&network).unwrap_err().to_string();
    assert_eq!(
        error,
        "the learning-rate factor of the layers is 1.5, expected above 0, at most 1"
    );
}
