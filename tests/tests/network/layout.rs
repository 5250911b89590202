//! Names, order and shapes of the parameters.

use effnet_core::{Config, Family, Variant};
use serde_json::{Value, json};

use crate::{new, seeded};

/// Builds each network and compares it with what the original makes of the request beside it.
fn same_layouts(test: &str, cases: impl IntoIterator<Item = (Config, Value)>) {
    for (config, mut request) in cases {
        request["request"] = "layout".into();
        match effnet_tests::ask(&request) {
            Ok(expected) => same_layout(&config, &request, &expected),
            Err(reason) => return effnet_tests::skip(test, &reason),
        }
    }
}

fn same_layout(config: &Config, request: &Value, expected: &Value) {
    let (_store, network) = new(config, &seeded(0));
    let theirs = expected["tensors"].as_array().expect("a list of tensors");
    assert_eq!(network.named_tensors().len(), theirs.len(), "{request}");
    for ((name, tensor), theirs) in network.named_tensors().zip(theirs) {
        assert_eq!(json!([name, tensor.size()]), *theirs, "{request}");
    }
    assert_eq!(config.parameters(), expected["parameters"], "{request}");

    let rates = expected["drop_connect_rates"]
        .as_array()
        .expect("a list of rates");
    assert_eq!(rates.len(), config.blocks().len(), "{request}");
    for (index, theirs) in rates.iter().enumerate() {
        let (ours, theirs) = (
            network.drop_connect_rate(index),
            theirs.as_f64().expect("a number"),
        );
        assert!(
            (ours - theirs).abs() < 1e-12,
            "{request} block {index}: {ours} against {theirs}"
        );
    }
}

#[test]
fn every_variant_has_the_originals_parameters_and_drop_connect_rates() {
    let test = "every_variant_has_the_originals_parameters_and_drop_connect_rates";
    // There is no original of V2 in PyTorch.
    let variants = Variant::ALL
        .into_iter()
        .filter(|variant| variant.family() != Family::V2);
    let cases = variants.map(|variant| (variant.config(), json!({"variant": variant.name()})));
    same_layouts(test, cases);
}

#[test]
fn b8_and_l2_have_their_known_parameter_counts() {
    assert_eq!(Variant::B8.config().parameters(), 87_413_142);
    assert_eq!(Variant::L2.config().parameters(), 480_309_308);
}

#[test]
fn overrides_shape_the_network_as_in_the_original() {
    let b0 = || Variant::B0.config();
    let b3 = || Variant::B3.config();
    let cases = [
        (
            Config {
                width_coefficient: 0.25,
                ..b0()
            },
            "b0",
            json!({"width_coefficient": 0.25}),
        ),
        (
            Config {
                depth_coefficient: 0.3,
                ..b0()
            },
            "b0",
            json!({"depth_coefficient": 0.3}),
        ),
        (
            Config {
                depth_divisor: 16,
                ..b3()
            },
            "b3",
            json!({"depth_divisor": 16}),
        ),
        (
            Config {
                width_coefficient: 0.1,
                depth_divisor: 4,
                ..b0()
            },
            "b0",
            json!({"width_coefficient": 0.1, "depth_divisor": 4}),
        ),
        (
            Config {
                width_coefficient: 0.3,
                min_depth: Some(24),
                ..b0()
            },
            "b0",
            json!({"width_coefficient": 0.3, "min_depth": 24}),
        ),
        (b0().with_num_classes(10), "b0", json!({"num_classes": 10})),
        (
            Config {
                include_top: false,
                ..b0()
            },
            "b0",
            json!({"include_top": false}),
        ),
        (
            Config {
                drop_connect_rate: 0.5,
                ..b0()
            },
            "b0",
            json!({"drop_connect_rate": 0.5}),
        ),
        (
            Config {
                width_coefficient: 0.0,
                depth_coefficient: 0.0,
                ..b3()
            },
            "b3",
            json!({"width_coefficient": 0.0, "depth_coefficient": 0.0}),
        ),
    ];
    let cases = cases
        .map(|(config, variant, overrides)| (config, json!({"variant": variant, "overrides": overrides})));
    same_layouts("overrides_shape_the_network_as_in_the_original", cases);
}

#[test]
fn the_stem_takes_any_number_of_input_channels_as_in_the_original() {
    let cases = [1, 4, 6].map(|channels| {
        let config = Variant::B0.config().with_in_channels(channels);
        (config, json!({"variant": "b0", "in_channels": channels}))
    });
    same_layouts(
        "the_stem_takes_any_number_of_input_channels_as_in_the_original",
        cases,
    );
}
