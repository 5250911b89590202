//! Padding fixed at construction, as the original has it by default.

use effnet_core::{Config, Padding, Variant};
use effnet_tests::{relative_error, tensors};
use serde_json::json;

use crate::{fixture, load, state_dict};

/// Images that B0 is run on, `[height, width]`.
const SIZES: [[i64; 2]; 4] = [[224, 224], [225, 225], [193, 161], [64, 97]];

/// Compares with the original built for `built_for`, and returns by how much the network that pads
/// dynamically differs from it at each of [`SIZES`].
fn dynamic_against_static(test: &str, built_for: [i64; 2]) -> Option<Vec<f64>> {
    let request =
        json!({"request": "static_padding", "variant": "b0", "image_size": built_for, "sizes": SIZES});
    let folder = fixture(test, request)?;
    let expected = tensors(&folder.path().join("expected.safetensors"));
    let weights = state_dict(&folder.path().join("zip.pth"));
    let config = Config {
        image_size: built_for.map(|side| side as usize),
        padding: Padding::StaticSame,
        ..Variant::B0.config()
    };
    let (_static_store, fixed) = load(&config, &weights);
    let (_dynamic_store, dynamic) = load(&Variant::B0.config(), &weights);
    let differences = SIZES.map(|[height, width]| {
        let images = &expected[&format!("{height}x{width}.images")];
        let theirs = &expected[&format!("{height}x{width}.logits")];
        let error = relative_error(&fixed.forward(images, false).unwrap(), theirs);
        assert!(
            error <= 2e-5,
            "built for {built_for:?}, run at {height}x{width}: {error:.1e}"
        );
        relative_error(&dynamic.forward(images, false).unwrap(), theirs)
    });
    Some(differences.to_vec())
}

#[test]
fn static_padding_equals_the_original_at_every_size() {
    let test = "static_padding_equals_the_original_at_every_size";
    let Some(differences) = dynamic_against_static(test, [224, 224]) else {
        return;
    };
    assert!(
        differences[0] <= 2e-5,
        "at the size it was built for, static is dynamic: {differences:?}"
    );
    assert!(
        differences[1..].iter().all(|&error| error > 1e-3),
        "elsewhere it is not: {differences:?}"
    );
}

#[test]
fn static_padding_for_a_rectangle_keeps_height_and_width_apart() {
    let test = "static_padding_for_a_rectangle_keeps_height_and_width_apart";
    let Some(differences) = dynamic_against_static(test, [64, 97]) else {
        return;
    };
    assert!(
        differences[3] <= 2e-5,
        "at the size it was built for, static is dynamic: {differences:?}"
    );
}
