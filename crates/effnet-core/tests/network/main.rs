//! Tests with a narrow network of the original implementation, loaded from the files in `tests/fixtures`, which
//! `scripts/reference/network_fixtures.py` creates. The parity of the published networks is tested in the
//! workspace's `tests` package, which uses Python.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod evaluation;
mod loading;
mod mismatch;
mod pretrained;
mod training;

use std::path::{Path, PathBuf};

use effnet_checkpoint::{Checkpoint, DType, StateDict, Tensor as FileTensor};
use effnet_core::{Config, EfficientNet, LoadOptions, LoadReport, Parameters, Variant};
use tch::{Device, Kind, Tensor, nn};

/// Returns the configuration of the network in the fixtures.
fn narrow() -> Config {
    Config {
        width_coefficient: 0.1,
        depth_coefficient: 0.3,
        depth_divisor: 4,
        num_classes: 10,
        image_size: [64, 48],
        dropout_rate: 0.0,
        drop_connect_rate: 0.0,
        ..Variant::B0.config()
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn state_dict(name: &str) -> StateDict {
    Checkpoint::open(fixture(name)).unwrap().into_state_dict()
}

fn narrow_weights() -> StateDict {
    state_dict("narrow-zip.pth")
}

/// The results of the original implementation, under the names that the script gives them.
struct Expected(StateDict);

impl Expected {
    fn open() -> Self {
        Self(state_dict("narrow-expected.safetensors"))
    }

    fn get(&self, name: &str) -> Tensor {
        let found = self.0.get(name).unwrap_or_else(|| panic!("{name} is missing"));
        let kind = if found.dtype() == DType::I64 {
            Kind::Int64
        } else {
            Kind::Float
        };
        Tensor::from_data_size(&found.bytes().unwrap(), &dims(found), kind)
    }
}

fn dims(tensor: &FileTensor) -> Vec<i64> {
    tensor.shape().iter().map(|&side| side as i64).collect()
}

/// Loads a network strictly, on its own store.
fn load(config: &Config, weights: &StateDict) -> (nn::VarStore, EfficientNet) {
    let (store, network, _) = load_with(config, weights, LoadOptions::default());
    (store, network)
}

fn load_with(
    config: &Config,
    weights: &StateDict,
    options: LoadOptions,
) -> (nn::VarStore, EfficientNet, LoadReport) {
    let store = nn::VarStore::new(Device::Cpu);
    let parameters = Parameters::from_state_dict(config, weights, options).unwrap();
    let network = EfficientNet::from_parameters(&store.root(), &parameters).unwrap();
    (store, network, parameters.report().clone())
}

fn parameter(network: &EfficientNet, name: &str) -> Tensor {
    let (_, found) = network.named_tensors().find(|(own, _)| *own == name).unwrap();
    found.detach()
}

/// Returns a tensor as in a file, with these values converted to `kind`.
fn file_tensor(tensor: &Tensor, kind: Kind) -> FileTensor {
    let dtype = match kind {
        Kind::Double => DType::F64,
        Kind::Float => DType::F32,
        Kind::Half => DType::F16,
        Kind::BFloat16 => DType::BF16,
        Kind::Int64 => DType::I64,
        other => panic!("unsupported kind {other:?}"),
    };
    let tensor = tensor.detach().to_kind(kind).contiguous();
    let mut bytes = vec![0; tensor.numel() * kind.elt_size_in_bytes()];
    tensor.copy_data_u8(&mut bytes, tensor.numel());
    let shape: Vec<usize> = tensor.size().iter().map(|&side| side as usize).collect();
    FileTensor::from_bytes(dtype, shape, bytes).unwrap()
}

/// Returns `max |actual - expected| / max |expected|`.
fn relative_error(actual: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(actual.size(), expected.size(), "the shapes differ");
    largest(&(actual - expected)) / largest(expected).max(f64::MIN_POSITIVE)
}

fn largest(tensor: &Tensor) -> f64 {
    tensor.abs().max().double_value(&[])
}

fn assert_close(actual: &Tensor, expected: &Tensor, what: &str) {
    let error = relative_error(actual, expected);
    // Not `error > bound`, which would let NaN pass.
    assert!(error <= 2e-5, "{what}: {error:.1e}");
}
