//! The engine on a device against the plain network on the CPU.

use std::thread;

use effnet::Backend;
use effnet_core::{Config, Padding, Profile, Variant};
use effnet_torch::{Engine, EngineOptions, Precision};
use libtorch_ext::CudaGraph;
use tch::Tensor;

use crate::{CPU, CUDA, assert_near, device, images, narrow, networks, plain};

fn config(precision: Precision) -> EngineOptions {
    EngineOptions::default().with_precision(precision)
}

#[test]
fn fp32_agrees_in_every_profile_at_native_and_odd_sizes() {
    let Some(_turn) = device("fp32_agrees_in_every_profile_at_native_and_odd_sizes") else {
        return;
    };
    for profile in Profile::ALL {
        let (on_cpu, on_device) = networks(&Variant::B0.config().with_profile(profile));
        let engine = Engine::new(&on_device, config(Precision::Fp32)).unwrap();
        for (count, size) in [(1, [224, 224]), (3, [97, 131]), (2, [33, 33])] {
            // The second and third time it is a recording that runs, if any can be made.
            for _ in 0..3 {
                let images = images(count, size);
                assert_near(&engine.run(&images).unwrap(), &plain(&on_cpu, &images), 1e-4);
            }
        }
    }
    let (on_cpu, on_device) = networks(&Config {
        padding: Padding::StaticSame,
        ..narrow()
    });
    let engine = Engine::new(&on_device, config(Precision::Fp32)).unwrap();
    let images = images(2, [150, 131]);
    assert_near(&engine.run(&images).unwrap(), &plain(&on_cpu, &images), 1e-4);
}

#[test]
fn other_precisions_stay_near_and_are_used() {
    let Some(_turn) = device("other_precisions_stay_near_and_are_used") else {
        return;
    };
    let (on_cpu, on_device) = networks(&Variant::B0.config());
    let images = images(4, [224, 224]);
    let expected = plain(&on_cpu, &images);
    let tf32 = config(Precision::Fp32).with_tf32(true);
    let floats = Engine::new(&on_device, config(Precision::Fp32))
        .unwrap()
        .run(&images)
        .unwrap();
    for (config, bound) in [
        (tf32, 3e-2),
        (config(Precision::Fp16), 3e-2),
        (config(Precision::Auto), 3e-2),
        (config(Precision::Bf16), 2e-1),
    ] {
        let engine = Engine::new(&on_device, config).unwrap();
        let found = engine.run(&images).unwrap();
        assert_near(&found, &expected, bound);
        // Only a device without tensor cores computes TensorFloat-32 in full.
        assert!(config.tf32 || !found.equal(&floats), "{:?}", engine.precision());
    }
}

#[test]
fn replayed_batches_of_several_shapes_do_not_disturb_each_other() {
    let Some(_turn) = device("replayed_batches_of_several_shapes_do_not_disturb_each_other") else {
        return;
    };
    let (on_cpu, on_device) = networks(&narrow());
    let engine = Engine::new(&on_device, config(Precision::Fp32)).unwrap();
    let batches: Vec<Tensor> = [(2, 64), (5, 64), (1, 96), (2, 64), (5, 64), (1, 96)]
        .map(|(count, side)| images(count, [side, side]))
        .into();
    let expected: Vec<Tensor> = batches.iter().map(|batch| plain(&on_cpu, batch)).collect();
    let mut first: Vec<Tensor> = Vec::new();
    for round in 0..4 {
        // All are under way before the first is waited for.
        let pending: Vec<_> = batches
            .iter()
            .map(|batch| engine.submit(batch).unwrap())
            .collect();
        let found: Vec<Tensor> = pending.into_iter().map(|one| one.wait().unwrap()).collect();
        for (found, expected) in found.iter().zip(&expected) {
            assert_near(found, expected, 1e-4);
        }
        if round == 0 {
            first = found;
        } else {
            assert!(
                found.iter().zip(&first).all(|(found, first)| found.equal(first)),
                "other bits"
            );
        }
    }
    if CudaGraph::available().is_ok() {
        assert_eq!(
            (engine.kernels(), Engine::why_no_graphs(&engine)),
            ("cuda-graphs".to_owned(), None)
        );
    }
}

#[test]
fn images_may_be_changed_once_they_are_submitted() {
    let Some(_turn) = device("images_may_be_changed_once_they_are_submitted") else {
        return;
    };
    let (on_cpu, on_device) = networks(&narrow());
    let engine = Engine::new(&on_device, config(Precision::Fp32)).unwrap();
    let mut pending = Vec::new();
    let mut expected = Vec::new();
    for _ in 0..20 {
        let mut batch = images(8, [128, 128]);
        expected.push(plain(&on_cpu, &batch));
        pending.push(engine.submit(&batch).unwrap());
        let _ = batch.fill_(f64::NAN);
    }
    for (pending, expected) in pending.into_iter().zip(&expected) {
        assert_near(&pending.wait().unwrap(), expected, 1e-4);
    }
}

#[test]
fn results_lie_where_the_images_do_and_last() {
    let Some(_turn) = device("results_lie_where_the_images_do_and_last") else {
        return;
    };
    let (on_cpu, on_device) = networks(&narrow());
    let engine = Engine::new(&on_device, config(Precision::Fp32)).unwrap();
    let batches: Vec<Tensor> = (0..4).map(|_| images(3, [64, 64])).collect();
    let found: Vec<Tensor> = (batches.iter())
        .map(|batch| engine.run(&batch.to_device(CUDA)).unwrap())
        .collect();
    for (found, batch) in found.iter().zip(&batches) {
        assert_eq!(found.device(), CUDA);
        assert_near(found, &plain(&on_cpu, batch), 1e-4);
        assert_eq!(engine.run(batch).unwrap().device(), CPU.1);
    }
    let features = engine.run_features(&batches[0]).unwrap();
    let expected = tch::no_grad(|| on_cpu.extract_features(&batches[0], false).unwrap());
    assert_near(&features, &expected, 1e-4);
}

#[test]
fn tuned_kernels_agree_and_smaller_batches_are_filled_up() {
    let Some(_turn) = device("tuned_kernels_agree_and_smaller_batches_are_filled_up") else {
        return;
    };
    let (on_cpu, on_device) = networks(&narrow());
    let tuned = config(Precision::Fp32).with_autotune(true);
    let engine = Engine::new(&on_device, tuned).unwrap();
    for count in [6, 6, 2, 6, 1, 5] {
        let batch = images(count, [64, 64]);
        assert_near(&engine.run(&batch).unwrap(), &plain(&on_cpu, &batch), 1e-4);
    }
}

#[test]
fn a_batch_that_does_not_fit_is_told_as_such_and_the_next_one_runs() {
    let Some(_turn) = device("a_batch_that_does_not_fit_is_told_as_such_and_the_next_one_runs") else {
        return;
    };
    let (on_cpu, on_device) = networks(&narrow());
    let engine = Engine::new(&on_device, config(Precision::Fp32)).unwrap();
    let batch = images(2, [64, 64]);
    let expected = plain(&on_cpu, &batch);
    for _ in 0..3 {
        assert_near(&engine.run(&batch).unwrap(), &expected, 1e-4);
    }
    // 192 GB of images, which are one and the same number here.
    let huge = Tensor::zeros([1, 1, 1, 1], (tch::Kind::Float, CUDA)).expand([1 << 16, 3, 500, 500], false);
    let error = engine.run(&huge).unwrap_err();
    assert!(error.is_out_of_memory(), "{error}");
    for _ in 0..3 {
        assert_near(&engine.run(&batch).unwrap(), &expected, 1e-4);
    }
}

#[test]
fn threads_take_turns() {
    let Some(_turn) = device("threads_take_turns") else {
        return;
    };
    let (on_cpu, on_device) = networks(&narrow());
    let engine = Engine::new(&on_device, config(Precision::Fp32)).unwrap();
    let work: Vec<(Tensor, Tensor)> = (1..5)
        .map(|count| {
            let batch = images(count % 3 + 1, [64, 64]);
            let expected = plain(&on_cpu, &batch);
            (batch, expected)
        })
        .collect();
    thread::scope(|scope| {
        for (batch, expected) in work {
            let engine = &engine;
            scope.spawn(move || {
                for _ in 0..10 {
                    assert_near(&engine.run(&batch).unwrap(), &expected, 1e-4);
                }
            });
        }
    });
}
