//! Tensors from files, and their relative error.

use std::collections::BTreeMap;
use std::path::Path;

use effnet_checkpoint::{Checkpoint, DType, StateDict};
use tch::{Kind, Tensor};

/// One tensor of a state dict as a libtorch tensor, on the CPU.
///
/// # Panics
/// When it is missing or neither f32 nor i64.
pub fn tensor(state_dict: &StateDict, name: &str) -> Tensor {
    let found = state_dict
        .get(name)
        .unwrap_or_else(|| panic!("{name} is missing"));
    let shape: Vec<i64> = found.shape().iter().map(|&side| side as i64).collect();
    let kind = match found.dtype() {
        DType::F32 => Kind::Float,
        DType::I64 => Kind::Int64,
        other => panic!("{name} is {other}"),
    };
    Tensor::from_data_size(&found.bytes().expect("read a tensor"), &shape, kind)
}

/// All tensors of a file.
///
/// # Panics
/// When the file cannot be read.
pub fn tensors(path: &Path) -> BTreeMap<String, Tensor> {
    let checkpoint = Checkpoint::open(path).expect("open a file of tensors");
    let names: Vec<&str> = checkpoint.state_dict().names().collect();
    names
        .into_iter()
        .map(|name| (name.to_owned(), tensor(checkpoint.state_dict(), name)))
        .collect()
}

/// `max |actual - expected| / max |expected|`, and infinite if any number is NaN.
///
/// # Panics
/// When the shapes differ: the subtraction would broadcast.
pub fn relative_error(actual: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(actual.size(), expected.size(), "the shapes differ");
    let (actual, expected) = (actual.to_kind(Kind::Double), expected.to_kind(Kind::Double));
    let difference = (&actual - &expected).abs().max().double_value(&[]);
    let scale = expected.abs().max().double_value(&[]);
    match difference / scale {
        _ if difference == 0.0 => 0.0,
        error if error.is_nan() => f64::INFINITY,
        error => error,
    }
}
