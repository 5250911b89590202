//! Tests of synchronised batch normalisation with simulated groups in one process.

#![allow(clippy::unwrap_used)] // helpers of tests, which clippy.toml exempts only in #[test]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use libtorch_ext::Error;
use libtorch_ext::training::{BatchNorm, BatchNormGroup, norm_activation, sync_batch_norm};
use tch::{Device, Kind, Tensor};

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);
const CHANNELS: i64 = 5;

/// Two processes with the same batch.
#[derive(Debug)]
struct Twins;

impl BatchNormGroup for Twins {
    fn sum(&self, values: &Tensor) -> Result<(), Error> {
        assert_eq!((values.kind(), values.is_contiguous()), (Kind::Double, true));
        let _ = values.shallow_clone().f_mul_scalar_(2)?;
        Ok(())
    }
}

/// A process that fails at one of its calls.
#[derive(Debug)]
struct FailsAt {
    call: usize,
    calls: AtomicUsize,
    with: fn() -> Result<(), Error>,
}

impl FailsAt {
    fn group(call: usize, with: fn() -> Result<(), Error>) -> Arc<dyn BatchNormGroup> {
        let calls = AtomicUsize::new(0);
        Arc::new(Self { call, calls, with })
    }
}

impl BatchNormGroup for FailsAt {
    fn sum(&self, _: &Tensor) -> Result<(), Error> {
        if self.calls.fetch_add(1, Ordering::Relaxed) == self.call {
            return (self.with)();
        }
        Ok(())
    }
}

fn peer_is_gone() -> Result<(), Error> {
    Err(Error::Native("a peer is gone".to_owned()))
}

struct Layer {
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
}

impl Layer {
    fn new() -> Self {
        Self {
            weight: (Tensor::arange(CHANNELS, CPU) * 0.5 + 0.5).set_requires_grad(true),
            bias: Tensor::arange(CHANNELS, CPU).set_requires_grad(true),
            mean: Tensor::zeros([CHANNELS], CPU),
            variance: Tensor::ones([CHANNELS], CPU),
        }
    }

    fn norm<'a>(&'a self, group: Option<&'a Arc<dyn BatchNormGroup>>) -> BatchNorm<'a> {
        BatchNorm {
            weight: &self.weight,
            bias: &self.bias,
            running_mean: &self.mean,
            running_var: &self.variance,
            momentum: 0.1,
            epsilon: 1e-3,
            group,
        }
    }
}

type Normalise = fn(&Tensor, &BatchNorm<'_>) -> Result<Tensor, Error>;

const LAYERS: [Normalise; 2] = [|x, norm| norm_activation(x, norm, None), sync_batch_norm];

/// Returns the gradient of the input, the output, and the running statistics.
fn pass(x: &Tensor, group: Option<&Arc<dyn BatchNormGroup>>, normalise: Normalise) -> [Tensor; 4] {
    let (x, layer) = (x.detach().copy().set_requires_grad(true), Layer::new());
    let output = normalise(&x, &layer.norm(group)).unwrap();
    output.square().sum(Kind::Float).backward();
    [x.grad(), output.detach(), layer.mean, layer.variance]
}

fn batch() -> Tensor {
    let values = Tensor::arange(3 * CHANNELS * 4 * 2, CPU);
    (values * 0.7).sin().view([3, CHANNELS, 4, 2])
}

#[test]
fn two_processes_normalise_as_one_with_both_batches() {
    let (x, group): (_, Arc<dyn BatchNormGroup>) = (batch(), Arc::new(Twins));
    let expected = pass(&Tensor::cat(&[&x, &x], 0), None, LAYERS[0]);
    for normalise in LAYERS {
        let found = pass(&x, Some(&group), normalise);
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let expected = expected.narrow(0, 0, found.size()[0]);
            assert!(found.allclose(&expected, 1e-5, 1e-5, false), "result {index}");
        }
    }
    assert_eq!(Arc::strong_count(&group), 1, "the passes have released the group");
}

#[test]
fn one_value_per_channel_is_enough_in_a_group() {
    let (x, group): (_, Arc<dyn BatchNormGroup>) = (batch().narrow(0, 0, 1), Arc::new(Twins));
    let x = x.narrow(2, 0, 1).narrow(3, 0, 1);
    for normalise in LAYERS {
        let [_, output, ..] = pass(&x, Some(&group), normalise);
        let bias = Tensor::arange(CHANNELS, CPU);
        assert!(output.flatten(0, -1).allclose(&bias, 1e-5, 1e-5, false));
    }
}

#[test]
fn an_error_of_the_group_is_that_of_the_forward_pass() {
    type Fails = fn() -> Result<(), Error>;
    let failures: [(Fails, &str); 3] = [
        (peer_is_gone, "a peer is gone"),
        (|| Err(Error::OutOfMemory), "out of memory"),
        (|| panic!("inside"), "panicked"),
    ];
    for (with, expected) in failures {
        for normalise in LAYERS {
            let (layer, group) = (Layer::new(), FailsAt::group(0, with));
            let error = normalise(&batch(), &layer.norm(Some(&group))).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}

#[test]
fn an_error_of_the_group_is_that_of_the_backward_pass() {
    for normalise in LAYERS {
        let (layer, group) = (Layer::new(), FailsAt::group(1, peer_is_gone));
        let x = batch().set_requires_grad(true);
        let output = normalise(&x, &layer.norm(Some(&group))).unwrap();
        let error = output.sum(Kind::Float).f_backward().unwrap_err();
        assert!(error.to_string().contains("a peer is gone"), "{error}");
    }
}

#[test]
fn synchronised_normalisation_without_a_group_is_refused() {
    let error = sync_batch_norm(&batch(), &Layer::new().norm(None)).unwrap_err();
    assert!(error.to_string().contains("requires a group"), "{error}");
}
