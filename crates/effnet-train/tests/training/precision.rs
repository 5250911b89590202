use effnet_train::{GradScaler, OptimizerKind, Precision, Trainer, TrainerOptions};
use tch::{Device, Tensor};

use crate::{batch, narrow, network, phase, turn};

#[test]
fn gradients_are_unscaled_and_found_finite() {
    let scaler = GradScaler::default();
    let gradients = [Tensor::from_slice(&[65536f32, -131072.0])];
    assert!(scaler.unscale(&gradients).unwrap());
    assert_eq!(Vec::<f32>::try_from(&gradients[0]).unwrap(), [1.0, -2.0]);
}

#[test]
fn an_overflow_is_found_and_halves_the_scale() {
    let mut scaler = GradScaler::default();
    for bad in [f32::INFINITY, f32::NAN] {
        let gradients = [Tensor::from_slice(&[1f32]), Tensor::from_slice(&[bad])];
        assert!(!scaler.unscale(&gradients).unwrap(), "{bad}");
    }
    scaler.update(false);
    assert_eq!(scaler.factor(), 32768.0);
}

#[test]
fn two_thousand_steps_without_overflow_double_the_scale() {
    let mut scaler = GradScaler::default();
    for _ in 0..1999 {
        scaler.update(true);
    }
    assert_eq!(scaler.factor(), 65536.0);
    scaler.update(true);
    assert_eq!(scaler.factor(), 131072.0);
    for _ in 0..1999 {
        scaler.update(true);
    }
    // An overflow starts the count again.
    scaler.update(false);
    scaler.update(true);
    assert_eq!(scaler.factor(), 65536.0);
}

#[test]
fn sixteen_bit_floats_are_refused_on_the_cpu() {
    let network = network(&narrow(), 1, &turn());
    assert_eq!(network.device(), Device::Cpu);
    let options = TrainerOptions::default().with_precision(Precision::Fp16);
    let error = Trainer::new(network, options, vec![phase(OptimizerKind::SGD, 0.1, 1)]).unwrap_err();
    assert!(error.to_string().contains("fp32 or bf16"), "{error}");
}

#[test]
fn a_network_learns_in_bf16_and_keeps_its_parameters_in_32_bits() {
    let turn = turn();
    let network = network(&narrow(), 1, &turn);
    let options = TrainerOptions::default().with_precision(Precision::Bf16);
    let mut trainer = Trainer::new(network, options, vec![phase(OptimizerKind::SGD, 0.05, 20)]).unwrap();
    let losses: Vec<f64> = (0..20)
        .map(|_| trainer.step(&[batch(0, 16)]).unwrap().loss)
        .collect();
    assert!(losses[19] < 0.7 * losses[0], "{losses:?}");
    let kinds = trainer.network().named_tensors().map(|(_, tensor)| tensor.kind());
    assert!(kinds.into_iter().all(|kind| kind != tch::Kind::BFloat16));
    assert_eq!(
        trainer.evaluate(&batch(0, 4).images).unwrap().kind(),
        tch::Kind::Float
    );
}
