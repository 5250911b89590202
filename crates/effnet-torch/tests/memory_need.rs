//! Compares the memory estimated for a batch with what Linux measures. There is a single test, because the
//! measured memory is that of the whole process.

#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(clippy::unwrap_used)] // helpers of tests, which clippy.toml exempts only in #[test]

use std::fs;

use effnet::{Backend, MemoryNeed};
use effnet_core::{EfficientNet, Profile, Variant};
use effnet_torch::{Engine, EngineOptions, Precision};
use tch::{Device, Kind, Tensor, nn};

const SIDE: i64 = 448;
const SIZE: [usize; 2] = [SIDE as usize; 2];

/// Returns a line of `/proc/self/status`, in bytes.
fn status(name: &str) -> f64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
}

#[allow(unsafe_code)] // a declaration that no safe library has
unsafe extern "C" {
    /// glibc's: returns the allocator's free memory to the system.
    safe fn malloc_trim(pad: usize) -> i32;
}

/// Returns the peak growth of the memory in use while `work` runs.
fn growth<T>(work: impl FnOnce() -> T) -> f64 {
    // Otherwise `work` is given memory that was freed before, which does not count as growth.
    malloc_trim(0);
    // "5" resets the peak to the current memory use.
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS:");
    work();
    status("VmHWM:") - before
}

fn images(count: i64) -> Tensor {
    Tensor::rand([count, 3, SIDE, SIDE], (Kind::Float, Device::Cpu))
}

#[track_caller]
fn assert_near(estimate: f64, measured: f64, factor: f64, what: &str) {
    assert!(
        estimate / factor < measured && measured < estimate * factor,
        "{what}: {measured:.0} bytes, estimated {estimate:.0}"
    );
}

#[test]
fn what_a_batch_takes_is_what_was_estimated() {
    let config = Variant::B0.config();
    let store = nn::VarStore::new(Device::Cpu);
    let network = EfficientNet::new(&store.root(), &config).unwrap();
    let (few, many) = (images(2), images(64));
    // The engines are kept alive, or the second would be given the memory of the first, which has already
    // grown.
    let mut engines = Vec::new();
    for precision in [Precision::Fp32, Precision::Bf16] {
        let options = EngineOptions::default().with_precision(precision).with_threads(2);
        let engine = Engine::new(&network, options).unwrap();
        let need = engine.memory_need(SIZE).unwrap();
        let estimate = |count: u64| (need.fixed + count * need.per_image) as f64;
        let first = growth(|| Engine::run(&engine, &few).unwrap());
        assert_near(estimate(2), first, 1.5, &format!("{precision}, 2 images"));
        // The memory of the first batch is returned before that of the larger batch is allocated.
        let second = growth(|| Engine::run(&engine, &many).unwrap());
        let further = estimate(64) - estimate(2);
        assert_near(further, second, 1.25, &format!("{precision}, 62 images more"));
        let again = growth(|| Engine::run(&engine, &many).unwrap());
        assert!(again < estimate(64) / 10.0, "the memory is not kept: {again}");
        engines.push(engine);
    }

    for (variant, profile) in [(Variant::B0, Profile::Tf), (Variant::B3, Profile::Timm)] {
        let config = variant.config().with_profile(profile);
        let store = nn::VarStore::new(Device::Cpu);
        let network = EfficientNet::new(&store.root(), &config).unwrap();
        let need = MemoryNeed::of_modules(&config, SIZE);
        // What libtorch needs varies by a third from run to run.
        let forward = || tch::no_grad(|| network.forward(&few, false).unwrap());
        let measured = (0..4).map(|_| growth(forward)).fold(0.0, f64::max);
        let estimate = (need.fixed + 2 * need.per_image) as f64;
        assert_near(
            estimate,
            measured,
            2.0,
            &format!("libtorch's modules, {variant}, {profile}"),
        );
    }
}
