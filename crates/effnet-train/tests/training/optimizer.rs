use effnet_checkpoint::StateDict;
use effnet_train::{Optimizer, OptimizerKind, ParameterGroup, clip_to_norm, global_norm};
use tch::{Device, Kind, Tensor};

use crate::close;

/// A parameter of one element.
fn scalar(value: f64) -> Tensor {
    Tensor::from_slice(&[value as f32]).set_requires_grad(true)
}

fn group(name: &str, tensors: &[&Tensor], weight_decay: f64) -> ParameterGroup {
    let named = |(index, tensor): (usize, &&Tensor)| (format!("{name}.{index}"), tensor.shallow_clone());
    ParameterGroup {
        name: name.to_owned(),
        parameters: tensors.iter().enumerate().map(named).collect(),
        rate_scale: 1.0,
        weight_decay,
    }
}

/// Gives a parameter this gradient and takes a step.
fn step(optimizer: &mut Optimizer, parameter: &Tensor, gradient: f64, rate: f64) -> f64 {
    optimizer.clear_gradients().unwrap();
    (parameter * gradient).sum(Kind::Float).backward();
    optimizer.step(rate).unwrap();
    parameter.double_value(&[0])
}

#[test]
fn sgd_carries_its_momentum_and_decays_weights() {
    let parameter = scalar(1.0);
    let mut optimizer = Optimizer::new(OptimizerKind::SGD, vec![group("p", &[&parameter], 0.1)]).unwrap();
    // buffer = 2 + 0.1 * 1
    close(step(&mut optimizer, &parameter, 2.0, 0.01), 1.0 - 0.01 * 2.1);
    let second = 0.9 * 2.1 + 2.0 + 0.1 * 0.979;
    close(step(&mut optimizer, &parameter, 2.0, 0.01), 0.979 - 0.01 * second);
}

#[test]
fn nesterovs_step_looks_ahead() {
    let parameter = scalar(1.0);
    let kind = OptimizerKind::Sgd {
        momentum: 0.9,
        nesterov: true,
    };
    let mut optimizer = Optimizer::new(kind, vec![group("p", &[&parameter], 0.0)]).unwrap();
    close(
        step(&mut optimizer, &parameter, 2.0, 0.1),
        1.0 - 0.1 * (2.0 + 0.9 * 2.0),
    );
}

#[test]
fn sgd_without_momentum_remembers_nothing() {
    let parameter = scalar(1.0);
    let kind = OptimizerKind::Sgd {
        momentum: 0.0,
        nesterov: false,
    };
    let mut optimizer = Optimizer::new(kind, vec![group("p", &[&parameter], 0.0)]).unwrap();
    close(step(&mut optimizer, &parameter, 2.0, 0.1), 0.8);
    assert!(optimizer.state_dict().unwrap().is_empty());
}

#[test]
fn the_first_step_of_adamw_is_the_rate_whatever_the_gradient() {
    let parameter = scalar(1.0);
    let mut optimizer = Optimizer::new(OptimizerKind::ADAM_W, vec![group("p", &[&parameter], 0.5)]).unwrap();
    // Weight decay is apart: 1 - 0.01 * 0.5, then the step of 0.01.
    close(step(&mut optimizer, &parameter, 123.0, 0.01), 0.995 - 0.01);
}

#[test]
fn a_momentum_of_the_step_takes_the_place_of_the_optimizers() {
    let step = |kind, momentum| {
        let parameter = scalar(1.0);
        let mut optimizer = Optimizer::new(kind, vec![group("p", &[&parameter], 0.0)]).unwrap();
        for gradient in [2.0, -1.0] {
            optimizer.clear_gradients().unwrap();
            (&parameter * gradient).sum(Kind::Float).backward();
            optimizer.step_with_momentum(0.01, momentum).unwrap();
        }
        parameter.double_value(&[0])
    };
    let sgd = |momentum| OptimizerKind::Sgd {
        momentum,
        nesterov: false,
    };
    // Buffers of 2 and of 0.5 * 2 - 1.
    close(step(sgd(0.9), Some(0.5)), 1.0 - 0.01 * 2.0);
    assert_eq!(step(sgd(0.9), Some(0.9)), step(sgd(0.9), None));
    assert_eq!(step(sgd(0.0), Some(0.5)), step(sgd(0.0), None));
    let adamw = |first| OptimizerKind::AdamW {
        betas: [first, 0.999],
        epsilon: 1e-8,
    };
    assert_eq!(step(adamw(0.9), Some(0.5)), step(adamw(0.5), None));
    assert_ne!(step(adamw(0.9), None), step(adamw(0.5), None));

    let parameter = scalar(1.0);
    let mut optimizer = Optimizer::new(adamw(0.9), vec![group("p", &[&parameter], 0.0)]).unwrap();
    let refusal = optimizer.step_with_momentum(0.01, Some(1.0)).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "a momentum or decay of the optimizer is 1, expected 0 or more, less than 1"
    );
}

#[test]
fn rms_prop_has_epsilon_in_the_root_ones_at_the_start_and_the_rate_in_the_momentum() {
    let parameter = scalar(1.0);
    let mut optimizer =
        Optimizer::new(OptimizerKind::RMS_PROP_TF, vec![group("p", &[&parameter], 0.0)]).unwrap();
    let square = 0.9 * 1.0 + 0.1 * 4.0;
    let buffer = 0.1 * 2.0 / f64::sqrt(square + 1e-3);
    close(step(&mut optimizer, &parameter, 2.0, 0.1), 1.0 - buffer);
    // The buffer keeps the first rate, though the second step has another.
    let square = 0.9 * square + 0.1 * 4.0;
    let second = 0.9 * buffer + 0.001 * 2.0 / f64::sqrt(square + 1e-3);
    close(
        step(&mut optimizer, &parameter, 2.0, 0.001),
        1.0 - buffer - second,
    );
}

#[test]
fn a_groups_factor_scales_its_rate() {
    let (slow, fast) = (scalar(1.0), scalar(1.0));
    let mut groups = vec![group("slow", &[&slow], 0.0), group("fast", &[&fast], 0.0)];
    groups[0].rate_scale = 0.1;
    let mut optimizer = Optimizer::new(OptimizerKind::SGD, groups).unwrap();
    (&slow + &fast).sum(Kind::Float).backward();
    optimizer.step(1.0).unwrap();
    close(slow.double_value(&[0]), 0.9);
    close(fast.double_value(&[0]), 0.0);
}

#[test]
fn a_parameter_without_a_gradient_stays_where_it_is() {
    let (used, unused) = (scalar(1.0), scalar(1.0));
    let mut optimizer =
        Optimizer::new(OptimizerKind::ADAM_W, vec![group("p", &[&used, &unused], 0.1)]).unwrap();
    step(&mut optimizer, &used, 1.0, 0.1);
    assert!(used.double_value(&[0]) < 1.0);
    assert_eq!(unused.double_value(&[0]), 1.0);
}

#[test]
fn a_gradient_in_another_order_in_memory_reaches_its_own_parameter() {
    let parameter = Tensor::zeros([2, 3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let gradient = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0, 5.0, 6.0])
        .view([3, 2])
        .tr();
    let kind = OptimizerKind::Sgd {
        momentum: 0.0,
        nesterov: false,
    };
    let mut optimizer = Optimizer::new(kind, vec![group("p", &[&parameter], 0.0)]).unwrap();
    (&parameter * &gradient).sum(Kind::Float).backward();
    optimizer.step(1.0).unwrap();
    assert!(parameter.detach().equal(&-gradient));
}

#[test]
fn cleared_gradients_are_gone_and_not_zero() {
    let parameter = scalar(1.0);
    let mut optimizer = Optimizer::new(OptimizerKind::SGD, vec![group("p", &[&parameter], 0.0)]).unwrap();
    step(&mut optimizer, &parameter, 1.0, 0.1);
    assert_eq!(optimizer.gradients().unwrap().len(), 1);
    optimizer.clear_gradients().unwrap();
    assert!(optimizer.gradients().unwrap().is_empty());
}

/// Three steps, the state in between taken into a new optimizer on a copy of the parameters.
fn same_after_a_restart(kind: OptimizerKind) {
    let parameter = Tensor::from_slice(&[0.3f32, -1.7, 2.9]).set_requires_grad(true);
    let mut optimizer = Optimizer::new(kind, vec![group("p", &[&parameter], 0.01)]).unwrap();
    let go = |optimizer: &mut Optimizer, parameter: &Tensor, factor: f64| {
        optimizer.clear_gradients().unwrap();
        (parameter.square() * factor).sum(Kind::Float).backward();
        optimizer.step(0.1 / factor).unwrap();
    };
    go(&mut optimizer, &parameter, 1.1);
    go(&mut optimizer, &parameter, 0.7);
    let state = optimizer.state_dict().unwrap();
    let copy = parameter.detach().copy().set_requires_grad(true);
    let mut other = Optimizer::new(kind, vec![group("p", &[&copy], 0.01)]).unwrap();
    other.load_state_dict(&state).unwrap();
    go(&mut optimizer, &parameter, 1.3);
    go(&mut other, &copy, 1.3);
    assert!(parameter.equal(&copy), "{kind:?}");
}

#[test]
fn a_restored_optimizer_takes_the_same_step_bit_for_bit() {
    for kind in [
        OptimizerKind::SGD,
        OptimizerKind::ADAM_W,
        OptimizerKind::RMS_PROP_TF,
    ] {
        same_after_a_restart(kind);
    }
}

#[test]
fn the_state_of_another_optimizer_is_refused() {
    let parameter = scalar(1.0);
    let new = |kind| Optimizer::new(kind, vec![group("p", &[&parameter], 0.0)]).unwrap();
    let refusal = |state: &StateDict| {
        new(OptimizerKind::SGD)
            .load_state_dict(state)
            .unwrap_err()
            .to_string()
    };
    let adam = refusal(&new(OptimizerKind::ADAM_W).state_dict().unwrap());
    assert!(adam.contains("`p.0.momentum_buffer` is missing"), "{adam}");
    let rms = refusal(&new(OptimizerKind::RMS_PROP_TF).state_dict().unwrap());
    assert!(rms.contains("it has 2 tensors, expected 1"), "{rms}");
    let wide = Tensor::zeros([2], (Kind::Float, Device::Cpu));
    let wide = Optimizer::new(OptimizerKind::SGD, vec![group("p", &[&wide], 0.0)]).unwrap();
    let wide = refusal(&wide.state_dict().unwrap());
    assert!(
        wide.contains("`p.0.momentum_buffer` has the shape [2], expected [1]"),
        "{wide}"
    );
}

#[test]
fn constants_out_of_range_are_refused() {
    let bad = [
        OptimizerKind::Sgd {
            momentum: 1.0,
            nesterov: false,
        },
        OptimizerKind::AdamW {
            betas: [0.9, -0.1],
            epsilon: 1e-8,
        },
        OptimizerKind::RmsPropTf {
            decay: 0.9,
            momentum: 0.9,
            epsilon: 0.0,
        },
    ];
    for kind in bad {
        assert!(Optimizer::new(kind, Vec::new()).is_err(), "{kind:?}");
    }
}

#[test]
fn gradients_are_clipped_by_their_common_norm() {
    let gradients = [Tensor::from_slice(&[3f32]), Tensor::from_slice(&[4f32])];
    let norm = global_norm(&gradients).unwrap();
    close(norm, 5.0);
    clip_to_norm(&gradients, norm, 10.0).unwrap();
    close(gradients[0].double_value(&[0]), 3.0);
    clip_to_norm(&gradients, norm, 1.0).unwrap();
    close(gradients[0].double_value(&[0]), 0.6);
    close(gradients[1].double_value(&[0]), 0.8);
}

#[test]
fn a_norm_with_a_number_that_is_none_is_none() {
    let gradients = [Tensor::from_slice(&[3f32]), Tensor::from_slice(&[f32::NAN])];
    assert!(global_norm(&gradients).unwrap().is_nan());
}
