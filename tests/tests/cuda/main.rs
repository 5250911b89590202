//! What needs a CUDA device: the engine on it, its transfers, its graphs and NCCL. Skipped without one;
//! `scripts/gpu-check` brings this program to a machine that has one and no Rust toolchain.

#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests, which clippy.toml exempts only in #[test]

mod engine;
mod graphs;
mod nccl;
mod transfers;

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use effnet_core::{Config, EfficientNet, Variant};
use libtorch_ext::{allow_tf32, load_cuda};
use tch::{Cuda, Device, Kind, Tensor, nn};

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);
const CUDA: Device = Device::Cuda(0);

/// The device, for one test at a time; `None` without one, after saying so.
fn device(test: &str) -> Option<MutexGuard<'static, ()>> {
    static TURN: Mutex<()> = Mutex::new(());
    static FOUND: LazyLock<Result<(), String>> = LazyLock::new(|| match load_cuda(None) {
        Ok(true) if Cuda::is_available() => Ok(()),
        Ok(_) => Err("no CUDA device".to_owned()),
        Err(error) => Err(error.to_string()),
    });
    if let Err(reason) = FOUND.as_ref() {
        effnet_tests::skip(test, reason);
        return None;
    }
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    tch::manual_seed(3);
    allow_tf32(false);
    Some(turn)
}

/// The same network on the CPU and on the device: random, with the batch statistics of `images`, so
/// that its logits depend on every pixel. Residual branches are scaled down as training does it: at
/// full strength a deep random network amplifies rounding a hundredfold.
fn networks(config: &Config) -> (EfficientNet, EfficientNet) {
    let of_device = |config: &Config, device| {
        let store = nn::VarStore::new(device);
        EfficientNet::new(&store.root(), config).unwrap()
    };
    let calibrated = of_device(
        &Config {
            batch_norm_momentum: 1.0,
            drop_connect_rate: 0.0,
            ..config.clone()
        },
        Device::Cpu,
    );
    let blocks = config.blocks();
    let residual = |name: &str| {
        let index = name
            .strip_prefix("_blocks.")
            .and_then(|rest| rest.strip_suffix("._bn2.weight"));
        index.is_some_and(|index| blocks[index.parse::<usize>().unwrap()].skip)
    };
    let (on_cpu, on_device) = (of_device(config, Device::Cpu), of_device(config, CUDA));
    tch::no_grad(|| {
        for (name, tensor) in calibrated.named_tensors() {
            let mut tensor = tensor.shallow_clone();
            if name.contains("_bn") && (name.ends_with("weight") || name.ends_with("bias")) {
                tensor += Tensor::randn(tensor.size(), CPU) * 0.1;
            }
            if residual(name) {
                tensor *= 0.2;
            }
        }
        let _ = calibrated.forward(&images(8, [128, 128]), true).unwrap();
        for ((_, from), ((_, cpu), (_, cuda))) in calibrated
            .named_tensors()
            .zip(on_cpu.named_tensors().zip(on_device.named_tensors()))
        {
            cpu.shallow_clone().copy_(from);
            cuda.shallow_clone().copy_(from);
        }
    });
    (on_cpu, on_device)
}

/// A network that is quick to record.
fn narrow() -> Config {
    let config = Config {
        width_coefficient: 0.35,
        depth_coefficient: 0.5,
        depth_divisor: 4,
        ..Variant::B0.config()
    };
    config.with_num_classes(11)
}

/// With structure at several scales: noise alone averages out.
fn images(count: i64, size: [i64; 2]) -> Tensor {
    let mut images = Tensor::zeros([count, 3, size[0], size[1]], CPU);
    for side in [2, 5, 11] {
        images += Tensor::randn([count, 3, side, side], CPU).upsample_bicubic2d(size, false, None, None);
    }
    images
}

fn plain(network: &EfficientNet, images: &Tensor) -> Tensor {
    tch::no_grad(|| network.forward(images, false).unwrap())
}

#[track_caller]
fn assert_near(found: &Tensor, expected: &Tensor, bound: f64) {
    let found = found.to_device(Device::Cpu);
    let error = effnet_tests::relative_error(&found, expected);
    assert!(error <= bound, "{error:.1e}");
}
