//! Compares the engine with the plain network, whose parity with the reference is tested elsewhere.

#![allow(clippy::print_stdout, clippy::unwrap_used)] // helpers of tests, which clippy.toml exempts only in #[test]

use std::sync::{Mutex, MutexGuard, PoisonError};

use effnet::BackendError;
use effnet_core::{Config, EfficientNet, Padding, Profile, Variant};
use effnet_torch::{Engine, EngineOptions, Error, Precision};
use tch::{Device, Kind, Tensor, nn};

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

/// Returns images with structure at several scales. Noise alone would average out, and the logits would
/// hardly depend on the pixels at the border.
fn smooth(count: i64, size: [i64; 2]) -> Tensor {
    let mut images = Tensor::zeros([count, 3, size[0], size[1]], CPU);
    for side in [2, 5, 11] {
        let coarse = Tensor::randn([count, 3, side, side], CPU);
        images += coarse.upsample_bicubic2d(size, false, None, None);
    }
    images
}

/// Runs one test at a time: the tests share libtorch's random numbers, and each uses all threads.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    tch::manual_seed(11);
    turn
}

/// Returns a network whose running statistics are those of `smooth` images, so that its logits depend on
/// every pixel, as those of a trained network do. Residual branches are scaled down: at full strength, a deep
/// random network amplifies a rounding error a thousandfold, which a trained network does not.
fn calibrated(config: &Config, size: [i64; 2]) -> EfficientNet {
    let store = nn::VarStore::new(Device::Cpu);
    let momentum_one = Config {
        batch_norm_momentum: 1.0,
        drop_connect_rate: 0.0,
        ..config.clone()
    };
    let calibrating = EfficientNet::new(&store.root(), &momentum_one).unwrap();
    let network = EfficientNet::new(&nn::VarStore::new(Device::Cpu).root(), config).unwrap();
    let skipping: Vec<String> = (config.blocks().iter().enumerate())
        .filter(|(_, block)| block.skip)
        .map(|(index, _)| format!("_blocks.{index}._bn2.weight"))
        .collect();
    tch::no_grad(|| {
        for (name, tensor) in calibrating.named_tensors() {
            let mut tensor = tensor.shallow_clone();
            // The affine parameters must not be one and zero, or folding them would prove little.
            if name.contains("_bn") && (name.ends_with("weight") || name.ends_with("bias")) {
                tensor += Tensor::randn(tensor.size(), CPU) * 0.1;
            }
            if skipping.iter().any(|skipping| skipping == name) {
                tensor *= 0.2;
            }
        }
        let _ = calibrating.forward(&smooth(8, size), true).unwrap();
        for ((_, to), (_, from)) in network.named_tensors().zip(calibrating.named_tensors()) {
            to.shallow_clone().copy_(from);
        }
    });
    network
}

fn plain(network: &EfficientNet, images: &Tensor) -> Tensor {
    tch::no_grad(|| network.forward(images, false).unwrap())
}

/// Returns the largest difference divided by the largest magnitude.
fn worst(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.size(), expected.size());
    let difference = (found - expected).abs().max().double_value(&[]);
    difference / expected.abs().max().double_value(&[])
}

fn engine(network: &EfficientNet, precision: Precision, threads: usize) -> Engine {
    Engine::new(
        network,
        EngineOptions::default()
            .with_precision(precision)
            .with_threads(threads),
    )
    .unwrap()
}

#[track_caller]
fn agree(config: &Config, size: [i64; 2], batches: &[i64]) {
    let network = calibrated(config, size);
    let engine = engine(&network, Precision::Fp32, 2);
    for &batch in batches {
        let images = smooth(batch, size);
        let expected = plain(&network, &images);
        let error = worst(&engine.run(&images).unwrap(), &expected);
        println!("{size:?}, {:?}, batch {batch}: {error:.1e}", config.padding);
        assert!(error <= 1e-4, "batch {batch}, {size:?}: {error}");
        let spread = expected
            .std_dim(0, false, false)
            .mean(Kind::Float)
            .double_value(&[]);
        assert!(
            batch == 1 || spread > 1e-3,
            "the logits do not depend on the images: {spread}"
        );
    }
}

#[test]
fn b0_agrees_at_its_native_size_in_every_profile_and_batch() {
    let _turn = alone();
    for profile in Profile::ALL {
        agree(
            &Variant::B0.config().with_profile(profile),
            [224, 224],
            &[1, 3, 16],
        );
    }
}

#[test]
fn every_variant_agrees_in_every_profile() {
    let _turn = alone();
    let variants = [
        Variant::B1,
        Variant::B2,
        Variant::B3,
        Variant::B4,
        Variant::B5,
        Variant::B6,
        Variant::B7,
    ];
    for (index, variant) in variants.into_iter().enumerate() {
        let profile = Profile::ALL[index % 3];
        agree(&variant.config().with_profile(profile), [128, 128], &[1, 3]);
        let profile = Profile::ALL[(index + 1) % 3];
        agree(&variant.config().with_profile(profile), [129, 101], &[2]);
    }
}

#[test]
fn lite_and_v2_agree_in_every_profile() {
    let _turn = alone();
    let variants = [
        Variant::Lite0,
        Variant::Lite2,
        Variant::Lite4,
        Variant::V2B0,
        Variant::V2B3,
        Variant::V2S,
        Variant::V2M,
        Variant::V2RwS,
    ];
    for (index, variant) in variants.into_iter().enumerate() {
        let profile = Profile::ALL[index % 3];
        agree(&variant.config().with_profile(profile), [128, 128], &[1, 3]);
        let profile = Profile::ALL[(index + 1) % 3];
        agree(&variant.config().with_profile(profile), [129, 101], &[2]);
    }
}

/// Compares every profile and batch size, at the variant's own size and at an odd size: 18 comparisons.
fn agree_everywhere(variant: Variant) {
    let _turn = alone();
    for profile in Profile::ALL {
        let config = variant.config().with_profile(profile);
        let [height, width] = config.image_size.map(|side| side as i64);
        agree(&config, [height, width], &[1, 3, 16]);
        agree(&config, [(height / 3) | 1, (width / 2) | 1], &[1, 3, 16]);
    }
}

/// These tests take a quarter of an hour in all, mostly in the plain path of the large variants.
mod everywhere {
    use super::{Variant, agree_everywhere};

    macro_rules! agrees {
        ($($name:ident: $variant:expr;)*) => {$(
            #[test]
            #[ignore = "takes minutes"]
            fn $name() {
                agree_everywhere($variant);
            }
        )*};
    }

    agrees! {
        b0_agrees: Variant::B0;
        b1_agrees: Variant::B1;
        b2_agrees: Variant::B2;
        b3_agrees: Variant::B3;
        b4_agrees: Variant::B4;
        b5_agrees: Variant::B5;
        b6_agrees: Variant::B6;
        b7_agrees: Variant::B7;
        lite0_agrees: Variant::Lite0;
        v2_b0_agrees: Variant::V2B0;
        v2_s_agrees: Variant::V2S;
    }
}

#[test]
fn odd_sizes_agree() {
    let _turn = alone();
    for profile in Profile::ALL {
        for size in [[33, 33], [97, 131], [227, 64], [300, 211]] {
            agree(&Variant::B0.config().with_profile(profile), size, &[2]);
        }
    }
}

#[test]
fn a_large_input_is_cut_into_strips() {
    let _turn = alone();
    agree(&Variant::B3.config(), [301, 450], &[1, 2]);
}

#[test]
fn static_padding_agrees_at_sizes_it_was_not_made_for() {
    let _turn = alone();
    let config = Config {
        padding: Padding::StaticSame,
        ..Variant::B0.config()
    };
    agree(&config, [224, 224], &[1]);
    agree(&config, [150, 131], &[2]);
}

#[test]
fn networks_with_other_channels_and_classes_agree() {
    let _turn = alone();
    let config = Config {
        width_coefficient: 0.35,
        depth_divisor: 4,
        ..Variant::B0.config()
    };
    let config = config.with_num_classes(7);
    let network = calibrated(&config, [64, 64]);
    let images = smooth(2, [64, 64]);
    let error = worst(
        &engine(&network, Precision::Fp32, 2).run(&images).unwrap(),
        &plain(&network, &images),
    );
    assert!(error <= 1e-4, "{error}");

    let config = Config {
        include_top: false,
        ..Variant::B0.config()
    };
    let network = calibrated(&config, [64, 64]);
    let pooled = engine(&network, Precision::Fp32, 1).run(&images).unwrap();
    assert!(worst(&pooled, &plain(&network, &images).flatten(1, -1)) <= 1e-4);
}

#[test]
fn features_agree() {
    let _turn = alone();
    let network = calibrated(&Variant::B0.config(), [100, 100]);
    let engine = engine(&network, Precision::Fp32, 2);
    for count in [1, 3] {
        let images = smooth(count, [100, 100]);
        let expected = tch::no_grad(|| network.extract_features(&images, false).unwrap());
        assert!(worst(&engine.run_features(&images).unwrap(), &expected) <= 1e-4);
    }
}

#[test]
fn bf16_stays_near() {
    let _turn = alone();
    for (variant, size) in [
        (Variant::B0, 224),
        (Variant::B3, 300),
        (Variant::Lite0, 224),
        (Variant::V2B0, 224),
        (Variant::V2S, 224),
    ] {
        let network = calibrated(&variant.config(), [size, size]);
        let engine = engine(&network, Precision::Bf16, 2);
        let images = smooth(5, [size, size]);
        let expected = plain(&network, &images);
        let found = engine.run(&images).unwrap();
        let error = (&found - &expected).abs().mean(Kind::Float) / expected.abs().mean(Kind::Float);
        let error = error.double_value(&[]);
        println!("{variant} at {size}: {error:.1e}");
        assert!(error <= 2e-2, "{variant}: {error}");
        assert!(worst(&found, &expected) > 1e-7, "bf16 was not used");
    }
}

#[test]
fn equal_inputs_give_equal_bits_whatever_the_threads_and_the_batch() {
    let _turn = alone();
    let network = calibrated(&Variant::B0.config(), [96, 96]);
    let images = smooth(5, [96, 96]);
    for precision in [Precision::Fp32, Precision::Bf16] {
        let first = engine(&network, precision, 2);
        let expected = first.run(&images).unwrap();
        for _ in 0..3 {
            assert!(first.run(&images).unwrap().equal(&expected));
        }
        for threads in [1, 3] {
            assert!(
                engine(&network, precision, threads)
                    .run(&images)
                    .unwrap()
                    .equal(&expected)
            );
        }
        let alone = first.run(&images.narrow(0, 4, 1)).unwrap();
        assert!(alone.equal(&expected.narrow(0, 4, 1)));
    }
}

#[test]
fn other_layouts_kinds_and_sizes_are_taken_as_they_come() {
    let _turn = alone();
    let network = calibrated(&Variant::B0.config(), [64, 64]);
    let engine = engine(&network, Precision::Fp32, 2);
    let images = smooth(3, [64, 64]);
    let expected = engine.run(&images).unwrap();
    let last = images.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
    assert!(engine.run(&last).unwrap().equal(&expected));
    assert!(
        engine
            .run(&images.to_kind(Kind::Double))
            .unwrap()
            .equal(&expected)
    );
    // Run a larger batch and image after a smaller one, and back.
    let large = smooth(4, [160, 128]);
    assert!(worst(&engine.run(&large).unwrap(), &plain(&network, &large)) <= 1e-4);
    assert!(engine.run(&images).unwrap().equal(&expected));
    assert_eq!(engine.run(&images.narrow(0, 0, 0)).unwrap().size(), [0, 1000]);
}

#[test]
fn wrong_shapes_and_precisions_are_refused() {
    let _turn = alone();
    let network = calibrated(&Variant::B0.config(), [64, 64]);
    let engine = engine(&network, Precision::Auto, 1);
    assert_ne!(engine.precision(), Precision::Auto);
    for shape in [vec![3, 64, 64], vec![1, 4, 64, 64], vec![1, 3, 0, 64], vec![3]] {
        let error = engine.run(&Tensor::zeros(shape.as_slice(), CPU)).unwrap_err();
        assert!(matches!(error, Error::BatchShape { channels: 3, .. }), "{error}");
    }
    let options = EngineOptions::default().with_precision(Precision::Fp16);
    assert!(matches!(
        Engine::new(&network, options),
        Err(Error::Engine(BackendError::Precision { .. }))
    ));
}
