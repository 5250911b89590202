//! Tests the conversion of names from one scheme to another.
#![allow(clippy::unwrap_used, reason = "a test may panic if its own files are broken")]

mod support;

use effnet::{EfficientNetNames, Scheme};
use effnet_architecture::{NamingError, Relative};
use effnet_checkpoint::StateDict;
use support::{b0, listed, zeros};

fn names(state_dict: &StateDict) -> Vec<&str> {
    state_dict.names().collect()
}

#[test]
fn each_scheme_is_recognised() {
    for scheme in Scheme::ALL {
        assert_eq!(Scheme::recognise(b0(&scheme.to_string()).names()), Some(scheme));
        assert_eq!(scheme.to_string().parse(), Ok(scheme));
    }
    assert_eq!(Scheme::recognise(["conv1.weight", "layer1.0.conv1.weight"]), None);
}

/// The libraries list the same tensors in the same order, so the names at each position must agree.
#[test]
fn every_scheme_becomes_every_other() {
    for from in Scheme::ALL {
        for to in Scheme::ALL {
            let converted = b0(&from.to_string()).to_scheme(from, to, None).unwrap();
            let wanted = b0(&to.to_string());
            assert_eq!(names(&converted), names(&wanted), "{from} to {to}");
            for ((name, tensor), (_, other)) in converted.iter().zip(wanted.iter()) {
                assert_eq!(tensor.shape(), other.shape(), "{from} to {to}: {name}");
            }
        }
    }
}

#[test]
fn the_order_of_the_names_does_not_matter() {
    let mut sorted: Vec<_> = b0("lukemelas").into_iter().collect();
    sorted.sort_by(|left, right| left.0.cmp(&right.0));
    let sorted: StateDict = sorted.into_iter().collect();
    let mut converted = sorted.to_scheme(Scheme::Lukemelas, Scheme::Timm, None).unwrap();
    assert_eq!(
        converted.signature().unwrap().repeats_per_stage,
        [1, 2, 2, 3, 3, 4, 1]
    );
    for name in b0("timm").names() {
        converted.remove(name).unwrap();
    }
    assert!(converted.is_empty());
}

#[test]
fn a_name_that_the_scheme_does_not_know_is_kept() {
    let mut state_dict = b0("timm");
    state_dict.insert("blocks.0.0.attention.weight", zeros(&[1]));
    state_dict.insert("mean", zeros(&[3]));
    let converted = state_dict.to_canonical().unwrap();
    assert!(converted.contains("blocks.0.0.attention.weight") && converted.contains("mean"));
}

#[test]
fn a_network_without_a_head_is_converted() {
    let mut state_dict = b0("torchvision");
    for name in ["classifier.1.weight", "classifier.1.bias"] {
        state_dict.remove(name).unwrap();
    }
    let converted = state_dict.to_canonical().unwrap();
    assert_eq!(converted.len(), 358);
    assert_eq!(converted.signature().unwrap().num_classes, None);
}

#[test]
fn the_signature_is_the_same_in_every_scheme() {
    for scheme in Scheme::ALL {
        let signature = b0(&scheme.to_string()).signature().unwrap();
        assert_eq!(signature.scheme, scheme);
        assert_eq!(
            (
                signature.stem_channels,
                signature.in_channels,
                signature.head_channels
            ),
            (32, 3, 1280)
        );
        assert_eq!(signature.repeats_per_stage, [1, 2, 2, 3, 3, 4, 1]);
        assert_eq!(signature.stage_channels, [16, 24, 40, 80, 112, 192, 320]);
        assert_eq!(signature.stage_kernels, [3, 3, 5, 3, 5, 5, 3]);
        assert_eq!(signature.num_classes, Some(1000));
    }
}

/// A block of 8 channels, to which a width of 0.1 rounds every stage.
fn narrow(index: usize, kernel: usize, expansion: usize) -> Vec<(String, effnet_checkpoint::Tensor)> {
    let inner = 8 * expansion;
    let mut tensors = vec![
        (
            format!("_blocks.{index}._depthwise_conv.weight"),
            zeros(&[inner, 1, kernel, kernel]),
        ),
        (
            format!("_blocks.{index}._project_conv.weight"),
            zeros(&[8, inner, 1, 1]),
        ),
    ];
    if expansion > 1 {
        tensors.push((
            format!("_blocks.{index}._expand_conv.weight"),
            zeros(&[inner, 8, 1, 1]),
        ));
    }
    tensors
}

#[test]
fn stages_of_equal_width_are_told_apart_by_kernel_and_expansion() {
    let blocks = [(3, 1), (3, 6), (3, 6), (5, 6), (3, 6)];
    let state_dict: StateDict = blocks
        .iter()
        .enumerate()
        .flat_map(|(index, &(kernel, expansion))| narrow(index, kernel, expansion))
        .collect();
    let timm = state_dict
        .to_scheme(Scheme::Lukemelas, Scheme::Timm, None)
        .unwrap();
    for name in [
        "blocks.1.1.conv_dw.weight",
        "blocks.2.0.conv_dw.weight",
        "blocks.3.0.conv_pwl.weight",
    ] {
        assert!(timm.contains(name), "{:?}", names(&timm));
    }
}

#[test]
fn given_repeats_decide_where_shapes_cannot() {
    let state_dict: StateDict = (0..4).flat_map(|index| narrow(index, 3, 6)).collect();
    let convert =
        |repeats: &[usize]| state_dict.to_scheme(Scheme::Lukemelas, Scheme::Torchvision, Some(repeats));
    assert!(
        convert(&[1, 3])
            .unwrap()
            .contains("features.2.2.block.1.0.weight")
    );
    assert!(matches!(
        convert(&[1, 2]),
        Err(NamingError::Repeats { blocks: 4, .. })
    ));
    assert!(matches!(convert(&[4, 0]), Err(NamingError::Repeats { .. })));
}

#[test]
fn a_missing_block_is_named() {
    let mut state_dict = b0("timm");
    let gone: Vec<String> = state_dict
        .names()
        .filter(|name| name.starts_with("blocks.3.1."))
        .map(str::to_owned)
        .collect();
    for name in &gone {
        state_dict.remove(name).unwrap();
    }
    let error = state_dict.to_canonical().unwrap_err();
    assert_eq!(
        error,
        NamingError::Missing {
            name: "blocks.3.1".to_owned()
        }
    );
}

#[test]
fn an_absurd_block_number_is_an_error_and_no_allocation() {
    let mut state_dict = b0("timm");
    state_dict.insert(format!("blocks.{}.0.conv_dw.weight", usize::MAX), zeros(&[1]));
    assert!(matches!(
        state_dict.to_canonical(),
        Err(NamingError::Missing { .. })
    ));
}

#[test]
fn two_tensors_for_one_name_are_refused() {
    let mut state_dict = b0("timm");
    state_dict.insert("_bn0.weight", zeros(&[1]));
    let error = state_dict.to_canonical().unwrap_err().to_string();
    assert!(error.contains("`bn1.weight` and `_bn0.weight`"), "{error}");
}

#[test]
fn a_second_classifier_is_not_dropped() {
    let mut state_dict = b0("timm");
    state_dict.insert("_fc.weight", zeros(&[1]));
    let canonical = state_dict.to_canonical().unwrap();
    let heads: Vec<_> = canonical
        .names()
        .filter(|name| name.starts_with("_fc."))
        .collect();
    assert_eq!(heads, ["_fc.weight", "_fc.bias", "_fc._fc.weight"]);
}

#[test]
fn another_network_is_named_as_such() {
    let state_dict: StateDict = [("layer1.0.conv1.weight", zeros(&[1]))].into_iter().collect();
    let error = state_dict.to_canonical().unwrap_err().to_string();
    assert!(error.contains("layer1.0.conv1.weight"), "{error}");
}

#[test]
fn relatives_with_the_names_of_timm_are_called_by_theirs() {
    for (list, relative, words) in [
        ("cc_b0_4e_timm", Relative::CondConv, "an EfficientNet-CondConv"),
        ("x_b3_timm", Relative::X, "an EfficientNet-X"),
    ] {
        let error = listed(list).signature().unwrap_err();
        assert_eq!(error, NamingError::Relative(relative));
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_pruned_network_is_told_apart_from_a_damaged_one() {
    assert!(listed("b1_pruned_timm").signature().unwrap().is_pruned);
    for scheme in Scheme::ALL {
        let mut state_dict = b0(&scheme.to_string());
        assert!(!state_dict.signature().unwrap().is_pruned, "{scheme}");
        if scheme == Scheme::Timm {
            state_dict.insert("blocks.1.0.conv_pw.weight", zeros(&[95, 16, 1, 1]));
            assert!(!state_dict.signature().unwrap().is_pruned);
        }
    }
}
