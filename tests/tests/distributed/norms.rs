//! Batch normalisation over all ranks is that of the joined batch.

use std::sync::Arc;

use libtorch_ext::training::{
    Activation, BatchNorm, BatchNormGroup, SqueezeExcite, depthwise, norm_activation, norm_squeeze_excite,
    sync_batch_norm,
};
use tch::{Device, Kind, Tensor};
use torch_c10d::{ProcessGroup, Reduction, SyncBatchNorm};

use super::ranks::{all_succeed, group};

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);
const CHANNELS: i64 = 12;
const IMAGES: i64 = 7;

struct Layer {
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    kernels: Tensor,
    squeeze: [Tensor; 4],
}

impl Layer {
    fn new() -> Self {
        tch::manual_seed(5);
        let leaf = |shape: &[i64]| Tensor::randn(shape, CPU).set_requires_grad(true);
        Self {
            weight: leaf(&[CHANNELS]),
            bias: leaf(&[CHANNELS]),
            mean: Tensor::zeros([CHANNELS], CPU),
            variance: Tensor::ones([CHANNELS], CPU),
            kernels: leaf(&[CHANNELS, 1, 3, 3]),
            squeeze: [
                leaf(&[3, CHANNELS, 1, 1]),
                leaf(&[3]),
                leaf(&[CHANNELS, 3, 1, 1]),
                leaf(&[CHANNELS]),
            ],
        }
    }

    /// All three layers with a normalisation, one after the other.
    fn forward(&self, x: &Tensor, group: Option<&Arc<dyn BatchNormGroup>>) -> Tensor {
        let norm = BatchNorm {
            weight: &self.weight,
            bias: &self.bias,
            running_mean: &self.mean,
            running_var: &self.variance,
            momentum: 0.1,
            epsilon: 1e-3,
            group,
        };
        let x = norm_activation(x, &norm, Some(Activation::Silu)).unwrap();
        let x = depthwise(&x, Some((&norm, Activation::Silu)), &self.kernels, 1, [1; 4]).unwrap();
        let [reduce, reduce_bias, expand, expand_bias] = &self.squeeze;
        let layers = SqueezeExcite {
            reduce: [reduce, reduce_bias],
            expand: [expand, expand_bias],
        };
        norm_squeeze_excite(&x, &norm, &layers).unwrap()
    }

    fn parameters(&self) -> impl Iterator<Item = &Tensor> {
        [&self.weight, &self.bias, &self.kernels]
            .into_iter()
            .chain(&self.squeeze)
    }
}

fn close(found: &Tensor, expected: &Tensor, what: &str) {
    let error = (found - expected).norm().double_value(&[]) / expected.norm().double_value(&[]);
    // Not `error > bound`: that lets a NaN pass.
    assert!(error <= 1e-5, "{what}: {error:.1e}");
}

fn norm_group(group: &ProcessGroup) -> Arc<dyn BatchNormGroup> {
    Arc::new(SyncBatchNorm::new(group).unwrap())
}

/// `side` pixels each way; the ranks have unequal numbers of images.
fn compare(group: &ProcessGroup, side: i64) {
    let drawn = |seed| {
        tch::manual_seed(seed);
        // Far from zero, where sums of squares cancel.
        Tensor::randn([IMAGES, CHANNELS, side, side], CPU) + 20.0
    };
    let (joined, upstream) = (drawn(1).set_requires_grad(true), drawn(2));
    let alone = Layer::new();
    let expected = alone.forward(&joined, None);
    (&expected * &upstream).sum(Kind::Float).backward();

    let (rank, world_size) = (group.rank() as i64, group.world_size() as i64);
    let size = IMAGES.div_euclid(world_size) + 1;
    let (start, images) = (rank * size, size.min(IMAGES - rank * size));
    let own = |tensor: &Tensor| tensor.detach().narrow(0, start, images).copy();
    let x = own(&joined).set_requires_grad(true);
    let layer = Layer::new();
    let found = layer.forward(&x, Some(&norm_group(group)));
    close(&found, &own(&expected), "the output");
    (&found * own(&upstream)).sum(Kind::Float).backward();
    close(&x.grad(), &own(&joined.grad()), "the gradient of the input");
    close(&layer.mean, &alone.mean, "the running mean");
    close(&layer.variance, &alone.variance, "the running variance");
    for (found, expected) in layer.parameters().zip(alone.parameters()) {
        let gradient = found.grad();
        group.all_reduce(&gradient.contiguous(), Reduction::Sum).unwrap();
        close(&gradient, &expected.grad(), "the gradient of a parameter");
    }
    // Without the group a batch is this rank's again.
    let (alone, again) = (Layer::new(), Layer::new());
    if images * side * side > 1 {
        assert!(alone.forward(&x, None).equal(&again.forward(&x, None)));
        assert!(!alone.mean.equal(&layer.mean));
    }
}

#[test]
fn layers_and_their_gradients_are_those_of_the_joined_batch() {
    match group() {
        Some(group) => compare(&group, 6),
        None => {
            for world_size in [2, 3] {
                all_succeed(
                    "norms::layers_and_their_gradients_are_those_of_the_joined_batch",
                    world_size,
                );
            }
        }
    }
}

/// A rank by itself could not normalise it: the last one of three has one image of one pixel.
#[test]
fn one_value_for_each_channel_on_a_rank_is_enough() {
    match group() {
        Some(group) => compare(&group, 1),
        None => drop(all_succeed(
            "norms::one_value_for_each_channel_on_a_rank_is_enough",
            3,
        )),
    }
}

/// That of libtorch's own operators, which other devices have too, against libtorch's layer on the joined
/// batch.
fn compare_operators(group: &ProcessGroup, kind: Kind) {
    let drawn = |seed, shape: &[i64]| {
        tch::manual_seed(seed);
        Tensor::randn(shape, (Kind::Double, Device::Cpu))
    };
    let shape = [IMAGES, CHANNELS, 5, 4];
    // As the batches of ranks are in training.
    let batch = |tensor: Tensor| {
        let size = tensor.size();
        let dense = tensor.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
        assert_eq!(dense.size(), size);
        dense.to_kind(kind)
    };
    let (joined, upstream) = (batch(drawn(1, &shape) + 3.0), batch(drawn(2, &shape)));
    let floats = match kind {
        Kind::Double => Kind::Double,
        _ => Kind::Float,
    };
    let leaf = |seed| drawn(seed, &[CHANNELS]).to_kind(floats).set_requires_grad(true);
    let statistics = |value: f64| Tensor::full([CHANNELS], value, (floats, Device::Cpu));

    let (weight, bias, mean, variance) = (leaf(3), leaf(4), statistics(0.0), statistics(1.0));
    // In doubles: what is compared with is not rounded where the batch is.
    let joined_input = joined.to_kind(floats).set_requires_grad(true);
    let expected = Tensor::batch_norm(
        &joined_input,
        Some(&weight),
        Some(&bias),
        Some(&mean),
        Some(&variance),
        true,
        0.1,
        1e-3,
        false,
    );
    (&expected * upstream.to_kind(floats)).sum(floats).backward();

    let (rank, size) = (group.rank() as i64, IMAGES / group.world_size() as i64 + 1);
    let (start, images) = (rank * size, size.min(IMAGES - rank * size));
    let own = |tensor: &Tensor| tensor.detach().narrow(0, start, images);
    let x = own(&joined).set_requires_grad(true);
    let (own_weight, own_bias) = (leaf(3), leaf(4));
    let (own_mean, own_variance) = (statistics(0.0), statistics(1.0));
    let norm = BatchNorm {
        weight: &own_weight,
        bias: &own_bias,
        running_mean: &own_mean,
        running_var: &own_variance,
        momentum: 0.1,
        epsilon: 1e-3,
        group: Some(&norm_group(group)),
    };
    let found = sync_batch_norm(&x, &norm).unwrap();
    assert_eq!(found.kind(), kind);
    (&found * own(&upstream)).sum(floats).backward();

    let bound = match kind {
        Kind::Double => 1e-12,
        Kind::Float => 1e-5,
        _ => 1e-2,
    };
    let near = |found: &Tensor, expected: &Tensor, what: &str| {
        let (found, expected) = (found.to_kind(Kind::Double), expected.to_kind(Kind::Double));
        let error = (&found - &expected).norm().double_value(&[]) / expected.norm().double_value(&[]);
        assert!(error <= bound, "{what} of {kind:?}: {error:.1e}");
    };
    near(&found, &own(&expected), "the output");
    near(&x.grad(), &own(&joined_input.grad()), "the gradient of the input");
    near(&own_mean, &mean, "the running mean");
    near(&own_variance, &variance, "the running variance");
    for (found, expected) in [(&own_weight, &weight), (&own_bias, &bias)] {
        let gradient = found.grad();
        group.all_reduce(&gradient, Reduction::Sum).unwrap();
        near(&gradient, &expected.grad(), "the gradient of a parameter");
    }
}

#[test]
fn libtorchs_operators_normalise_over_ranks_too() {
    match group() {
        Some(group) => {
            for kind in [Kind::Double, Kind::Float, Kind::BFloat16] {
                compare_operators(&group, kind);
            }
        }
        None => {
            for world_size in [2, 3] {
                all_succeed("norms::libtorchs_operators_normalise_over_ranks_too", world_size);
            }
        }
    }
}
