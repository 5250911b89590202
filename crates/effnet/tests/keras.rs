//! Numbers the layers of networks as Keras does, names them again, and reads the normalisation.
#![allow(clippy::unwrap_used, reason = "a test may panic if its own files are broken")]

mod support;

use effnet::{EfficientNetNames, Scheme, StateDict, Variant, keras_has, keras_normalisation, keras_weights};
use effnet_architecture::{NamingError, name_keras_layers, number_keras_layers};
use support::{b0, zeros};

fn numbered() -> StateDict {
    keras_weights(&b0("keras"), [0.5; 3], [0.25; 3]).unwrap()
}

fn named(tensors: &StateDict) -> Result<Vec<(String, String)>, NamingError> {
    Ok(name_keras_layers(&tensors.shapes())?.unwrap())
}

#[test]
fn numbers_and_names_lead_to_each_other() {
    let tensors = b0("keras");
    let mut sorted: Vec<_> = tensors.clone().into_iter().collect();
    // The order of the names does not matter.
    sorted.sort_by(|left, right| right.0.cmp(&left.0));
    for tensors in [tensors, sorted.into_iter().collect()] {
        let names = number_keras_layers(&tensors.shapes()).unwrap();
        let numbered: StateDict = names
            .iter()
            .map(|(name, numbered)| (numbered.as_str(), tensors.get(name).unwrap().clone()))
            .collect();
        assert!(
            numbered.contains("depthwise_conv2d_15.weight")
                && !numbered.contains("depthwise_conv2d_16.weight")
        );
        let layers = named(&numbered).unwrap();
        for (name, number) in &names {
            let (place, leaf) = number.rsplit_once('.').unwrap();
            let layer = &layers.iter().find(|(found, _)| found == place).unwrap().1;
            assert_eq!(*name, format!("{layer}.{leaf}"));
        }
    }
}

#[test]
fn every_variant_of_keras_is_walked_through() {
    let variants: Vec<_> = Variant::ALL
        .into_iter()
        .filter(|variant| keras_has(*variant))
        .collect();
    assert_eq!(variants.len(), 15);
    for variant in variants {
        let config = variant.config();
        let list = config.parameter_list();
        let tensors: StateDict = list
            .iter()
            .map(|one| (one.name.as_str(), zeros(&one.shape)))
            .collect();
        let tensors = tensors.to_scheme(Scheme::Lukemelas, Scheme::Keras, None).unwrap();
        let numbered = keras_weights(&tensors, [0.0; 3], [1.0; 3]).unwrap();
        // Of V2's normalisation, nothing is stored.
        let normalises = numbered.contains("normalization.mean");
        assert_eq!(normalises, keras_normalisation(variant).is_none(), "{variant}");
        let layers = named(&numbered).unwrap();
        let signature = tensors.signature().unwrap();
        assert_eq!(signature.scheme, Scheme::Keras);
        assert_eq!(Variant::recognise(&signature), Some(variant));
        let place = |name: &str| name.rsplit_once('.').unwrap().0.to_owned();
        for name in tensors
            .names()
            .filter(|name| !name.ends_with("num_batches_tracked"))
        {
            assert!(
                layers.iter().any(|(_, layer)| *layer == place(name)),
                "{variant}: {name}"
            );
        }
    }
}

/// The names of `keras.applications.EfficientNetV2S` and `B0`, as `[layer.name for layer in network.layers]` prints them.
#[test]
fn layers_of_v2_have_the_names_of_keras() {
    let names = |variant: Variant| -> StateDict {
        let config = variant.config();
        let list = config.parameter_list();
        let tensors: StateDict = list
            .iter()
            .map(|one| (one.name.as_str(), zeros(&one.shape)))
            .collect();
        tensors.to_scheme(Scheme::Lukemelas, Scheme::Keras, None).unwrap()
    };
    for (variant, expected, absent) in [
        (
            Variant::V2S,
            [
                "block1a_project_conv",
                "block1b_project_bn",
                "block2a_expand_conv",
                "block4a_dwconv2",
                "block6o_se_reduce",
            ],
            ["block1a_expand_conv", "block2a_dwconv2", "block4a_dwconv"],
        ),
        (
            Variant::V2B0,
            [
                "block1a_project_conv",
                "block3b_expand_bn",
                "block4a_dwconv2",
                "block5e_bn",
                "block6h_project_bn",
            ],
            ["block1b_project_conv", "block3b_dwconv2", "block6i_project_bn"],
        ),
    ] {
        let tensors = names(variant);
        let has = |layer: &str| tensors.contains(&format!("{layer}.weight"));
        for layer in expected {
            assert!(has(layer), "{variant}: {layer}");
        }
        for layer in absent {
            assert!(!has(layer), "{variant}: {layer}");
        }
        let numbered = keras_weights(&tensors, [0.5; 3], [0.5; 3]).unwrap();
        let layers = named(&numbered).unwrap();
        // A block that is missing is named, rather than taken for a smaller network.
        let mut damaged = numbered.clone();
        damaged.remove("conv2d_2.weight").unwrap();
        assert!(named(&damaged).is_err(), "{variant}");
        let of = |number: &str| &layers.iter().find(|(found, _)| found == number).unwrap().1;
        assert_eq!(of("conv2d_1"), "block1a_project_conv");
        assert_eq!(of("depthwise_conv2d"), "block4a_dwconv2");
    }
}

#[test]
fn layers_that_are_missing_or_too_many_are_named() {
    let changed = |change: &dyn Fn(&mut StateDict)| {
        let mut tensors = numbered();
        change(&mut tensors);
        named(&tensors).unwrap_err().to_string()
    };
    let error = changed(&|tensors| {
        tensors.remove("conv2d_7.weight").unwrap();
    });
    assert!(error.contains("layer `conv2d"), "{error}");
    let error = changed(&|tensors| {
        tensors.insert("conv2d_99.weight", zeros(&[3, 3, 1, 1]));
    });
    assert!(
        error.contains("layer `conv2d_99`: expected no further layer"),
        "{error}"
    );
    let error = changed(&|tensors| {
        tensors.insert("batch_normalization_4.weight", zeros(&[7]));
    });
    assert!(error.contains("layer `batch_normalization_4`"), "{error}");
    let error = changed(&|tensors| {
        tensors.insert("other.depthwise_conv2d.weight", zeros(&[8, 1, 3, 3]));
    });
    assert!(error.contains("one network"), "{error}");
}
