//! Compares the training layers with libtorch's own, forward and backward.

#![allow(clippy::unwrap_used)] // helpers of tests, which clippy.toml exempts only in #[test]

use libtorch_ext::training::{
    Activation, BatchNorm, SqueezeExcite, depthwise, is_supported, norm_activation, norm_squeeze_excite,
};
use libtorch_ext::{Error, autocast};
use tch::{Device, Kind, Tensor};

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

/// Returns numbers between -1 and 1, the same in every run. (libtorch's generator is shared between tests.)
fn drawn(shape: &[i64], seed: u32) -> Tensor {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1664525).wrapping_add(1013904223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let values: Vec<f32> = (0..shape.iter().product::<i64>()).map(|_| next()).collect();
    Tensor::from_slice(&values).view(shape)
}

/// A leaf that requires a gradient.
fn leaf(tensor: &Tensor) -> Tensor {
    tensor.detach().copy().set_requires_grad(true)
}

const MOMENTUM: f64 = 0.1;
const EPSILON: f64 = 1e-3;

/// The parameters of a batch normalisation, and its running statistics.
struct Norm {
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
}

impl Norm {
    fn new(channels: i64) -> Self {
        Self {
            // Some outputs are beyond 6, where ReLU6 has no gradient.
            weight: leaf(&(drawn(&[channels], 1) * 2.0 + 2.5)),
            bias: leaf(&drawn(&[channels], 2)),
            mean: Tensor::zeros([channels], CPU),
            variance: Tensor::ones([channels], CPU),
        }
    }

    fn layer(&self) -> BatchNorm<'_> {
        BatchNorm {
            weight: &self.weight,
            bias: &self.bias,
            running_mean: &self.mean,
            running_var: &self.variance,
            momentum: MOMENTUM,
            epsilon: EPSILON,
            group: None,
        }
    }

    /// The same normalisation with libtorch's operators.
    fn reference(&self, x: &Tensor) -> Tensor {
        let [weight, bias] = [Some(&self.weight), Some(&self.bias)];
        let [mean, variance] = [Some(&self.mean), Some(&self.variance)];
        Tensor::batch_norm(x, weight, bias, mean, variance, true, MOMENTUM, EPSILON, false)
    }
}

/// The activation with libtorch's operators.
fn activated(x: &Tensor, activation: Activation) -> Tensor {
    match activation {
        Activation::Silu => x.silu(),
        Activation::Relu6 => x.relu6(),
    }
}

fn close(found: &Tensor, expected: &Tensor, bound: f64, what: &str) {
    assert_eq!(found.size(), expected.size(), "{what}");
    let (found, expected) = (found.to_kind(Kind::Double), expected.to_kind(Kind::Double));
    let difference = (&found - &expected).abs().max().double_value(&[]);
    let error = if difference == 0.0 {
        0.0
    } else {
        difference / expected.abs().max().double_value(&[])
    };
    // Not `error > bound`, which would let NaN pass.
    assert!(error <= bound, "{what}: {error:.1e}");
}

/// Runs both on the same input, and compares outputs, gradients and running statistics.
fn same(
    what: &str,
    x: &Tensor,
    norms: [&Norm; 2],
    parameters: [&[&Tensor]; 2],
    run: impl Fn(&Tensor) -> Tensor,
    reference: impl Fn(&Tensor) -> Tensor,
) {
    let (bound, gradient_bound) = if x.kind() == Kind::Float {
        (1e-5, 2e-5)
    } else {
        (1e-2, 3e-2)
    };
    let (own, other) = (leaf(x), leaf(&x.to_kind(Kind::Float)));
    let (found, expected) = (run(&own), reference(&other));
    assert_eq!(found.kind(), x.kind(), "{what}");
    close(
        &found.detach(),
        &expected.detach(),
        bound,
        &format!("{what}: output"),
    );
    let upstream = drawn(&expected.size(), 9);
    (found * upstream.to_kind(x.kind())).sum(Kind::Float).backward();
    (expected * upstream).sum(Kind::Float).backward();
    close(
        &own.grad(),
        &other.grad(),
        gradient_bound,
        &format!("{what}: gradient"),
    );
    for (index, (own, other)) in parameters[0].iter().zip(parameters[1]).enumerate() {
        let what = format!("{what}: gradient of parameter {index}");
        close(&own.grad(), &other.grad(), gradient_bound, &what);
    }
    let [own, other] = norms;
    close(&own.mean, &other.mean, bound, &format!("{what}: running mean"));
    close(
        &own.variance,
        &other.variance,
        bound,
        &format!("{what}: running variance"),
    );
}

/// Covers channel counts of several blocks and a remainder, of one block and of less, in both kinds.
fn inputs(mut each: impl FnMut(Tensor, String)) {
    for kind in [Kind::Float, Kind::BFloat16] {
        for [channels, side] in [[37, 9], [64, 6], [3, 40]] {
            // The offset is as large as the spread: batch statistics must not lose it.
            let x = (drawn(&[3, channels, side, side + 1], 7) + 0.5).to_kind(kind);
            each(x, format!("{kind:?}, {channels} channels of {side} pixels"));
        }
    }
}

#[test]
fn normalisation_with_and_without_an_activation_agrees_with_libtorchs() {
    inputs(|x, what| {
        for activation in [None, Some(Activation::Silu), Some(Activation::Relu6)] {
            let [own, other] = [(); 2].map(|()| Norm::new(x.size()[1]));
            let parameters = [&[&own.weight, &own.bias][..], &[&other.weight, &other.bias]];
            let run = |x: &Tensor| norm_activation(x, &own.layer(), activation).unwrap();
            let reference = |x: &Tensor| {
                let normalised = other.reference(x);
                activation.map_or_else(|| normalised.shallow_clone(), |by| activated(&normalised, by))
            };
            same(
                &format!("{what}, {activation:?}"),
                &x,
                [&own, &other],
                parameters,
                run,
                reference,
            );
        }
    });
}

/// Covers SAME and symmetric padding for both kernel sizes and both strides.
const GEOMETRIES: [(i64, i64, [i64; 4]); 6] = [
    (3, 1, [1, 1, 1, 1]),
    (3, 2, [0, 1, 0, 1]),
    (3, 2, [1, 1, 0, 1]),
    (5, 1, [2, 2, 2, 2]),
    (5, 2, [1, 2, 2, 2]),
    (5, 2, [2, 2, 1, 2]),
];

fn reference_depthwise(
    x: &Tensor,
    kernels: &Tensor,
    stride: i64,
    [top, bottom, left, right]: [i64; 4],
) -> Tensor {
    let padded = x.constant_pad_nd([left, right, top, bottom]);
    padded.conv2d(kernels, None::<&Tensor>, [stride; 2], [0, 0], [1, 1], x.size()[1])
}

#[test]
fn a_depthwise_convolution_of_a_normalised_input_agrees_with_libtorchs() {
    inputs(|x, what| {
        let activations = [Activation::Silu, Activation::Relu6];
        let cases = activations.map(|activation| GEOMETRIES.map(|geometry| (activation, geometry)));
        for (activation, (side, stride, padding)) in cases.into_iter().flatten() {
            let channels = x.size()[1];
            let [own, other] = [(); 2].map(|()| Norm::new(channels));
            let [kernels, others] = [(); 2].map(|()| leaf(&drawn(&[channels, 1, side, side], 4)));
            let parameters = [
                &[&own.weight, &own.bias, &kernels][..],
                &[&other.weight, &other.bias, &others],
            ];
            let before = Some((own.layer(), activation));
            let before = before.as_ref().map(|(norm, activation)| (norm, *activation));
            let run = |x: &Tensor| depthwise(x, before, &kernels, stride, padding).unwrap();
            let reference = |x: &Tensor| {
                let normalised = activated(&other.reference(x), activation);
                reference_depthwise(&normalised, &others, stride, padding)
            };
            let what = format!("{what}, {activation:?}, kernel {side}, stride {stride}, padding {padding:?}");
            same(&what, &x, [&own, &other], parameters, run, reference);
        }
    });
}

#[test]
fn a_depthwise_convolution_alone_agrees_with_libtorchs() {
    inputs(|x, what| {
        for (side, stride, padding) in GEOMETRIES {
            let channels = x.size()[1];
            let [unused, other] = [(); 2].map(|()| Norm::new(channels));
            let [kernels, others] = [(); 2].map(|()| leaf(&drawn(&[channels, 1, side, side], 4)));
            let run = |x: &Tensor| depthwise(x, None, &kernels, stride, padding).unwrap();
            let reference = |x: &Tensor| reference_depthwise(x, &others, stride, padding);
            let what = format!("{what}, kernel {side}, stride {stride}, padding {padding:?}");
            same(
                &what,
                &x,
                [&unused, &other],
                [&[&kernels], &[&others]],
                run,
                reference,
            );
        }
    });
}

#[test]
fn squeeze_and_excitation_of_a_normalised_input_agrees_with_libtorchs() {
    inputs(|x, what| {
        let channels = x.size()[1];
        let [own, other] = [(); 2].map(|()| Norm::new(channels));
        let [layers, others] = [(); 2].map(|()| {
            [
                [5, channels, 1, 1].as_slice(),
                &[5],
                &[channels, 5, 1, 1],
                &[channels],
            ]
            .map(|shape| leaf(&drawn(shape, 3)))
        });
        let own_parameters: Vec<&Tensor> = layers.iter().chain([&own.weight, &own.bias]).collect();
        let other_parameters: Vec<&Tensor> = others.iter().chain([&other.weight, &other.bias]).collect();
        let run = |x: &Tensor| {
            let [reduce, reduce_bias, expand, expand_bias] = &layers;
            let layers = SqueezeExcite {
                reduce: [reduce, reduce_bias],
                expand: [expand, expand_bias],
            };
            // Autocast must not lower the precision of the gates.
            autocast(Device::Cpu, Kind::BFloat16, || {
                norm_squeeze_excite(x, &own.layer(), &layers)
            })
            .unwrap()
            .unwrap()
        };
        let reference = |x: &Tensor| {
            let [reduce, reduce_bias, expand, expand_bias] = &others;
            let pointwise =
                |x: &Tensor, kernels, bias| x.conv2d(kernels, Some(bias), [1, 1], [0, 0], [1, 1], 1);
            let y = other.reference(x).silu();
            let squeezed = pointwise(&y.adaptive_avg_pool2d([1, 1]), reduce, reduce_bias).silu();
            &y * pointwise(&squeezed, expand, expand_bias).sigmoid()
        };
        same(
            &what,
            &x,
            [&own, &other],
            [&own_parameters, &other_parameters],
            run,
            reference,
        );
    });
}

/// With equal inputs the normalised values are the biases: 0 and 6 themselves, where ReLU6 has no gradient, and 3.
#[test]
fn relu6_has_no_gradient_at_its_bounds() {
    let x = Tensor::zeros([2, 3, 4, 4], CPU);
    let [own, other] = [(); 2].map(|()| Norm {
        bias: leaf(&Tensor::from_slice(&[0f32, 6.0, 3.0])),
        ..Norm::new(3)
    });
    let kernels = drawn(&[3, 1, 3, 3], 4);
    let relu6 = Activation::Relu6;
    let upstream = drawn(&[2, 3, 4, 4], 9);
    let y = norm_activation(&x, &own.layer(), Some(relu6)).unwrap();
    let z = activated(&other.reference(&x), relu6);
    (y * &upstream).sum(Kind::Float).backward();
    (z * &upstream).sum(Kind::Float).backward();
    close(&own.bias.grad(), &other.bias.grad(), 1e-5, "alone");
    assert_eq!(Vec::<f32>::try_from(own.bias.grad()).unwrap()[..2], [0.0, 0.0]);
    let y = depthwise(&x, Some((&own.layer(), relu6)), &kernels, 1, [1; 4]).unwrap();
    let z = reference_depthwise(&activated(&other.reference(&x), relu6), &kernels, 1, [1; 4]);
    (y * &upstream).sum(Kind::Float).backward();
    (z * &upstream).sum(Kind::Float).backward();
    close(&own.bias.grad(), &other.bias.grad(), 1e-5, "before a convolution");
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let x = drawn(&[2, 48, 70, 31], 7);
    let run = |threads, activation| {
        tch::set_num_threads(threads);
        let (input, norm) = (leaf(&x), Norm::new(48));
        let kernels = leaf(&drawn(&[48, 1, 5, 5], 4));
        let y = depthwise(
            &input,
            Some((&norm.layer(), activation)),
            &kernels,
            2,
            [1, 2, 1, 2],
        )
        .unwrap();
        y.square().sum(Kind::Float).backward();
        [
            y.detach(),
            input.grad(),
            kernels.grad(),
            norm.weight.grad(),
            norm.mean,
        ]
    };
    for activation in [Activation::Silu, Activation::Relu6] {
        let [one, three] = [1, 3].map(|threads| run(threads, activation));
        for (index, (one, three)) in one.iter().zip(&three).enumerate() {
            assert!(one.equal(three), "{activation:?}, result {index}");
        }
    }
}

#[test]
fn a_constant_channel_has_no_variance_and_stays_finite() {
    let (x, norm) = (leaf(&Tensor::full([2, 5, 4, 4], 3.7, CPU)), Norm::new(5));
    let y = norm_activation(&x, &norm.layer(), Some(Activation::Silu)).unwrap();
    close(
        &y.detach().select(0, 0).select(1, 0).select(1, 0),
        &norm.bias.detach().silu(),
        1e-4,
        "output",
    );
    y.sum(Kind::Float).backward();
    assert!(x.grad().isfinite().all().int64_value(&[]) == 1);
}

#[test]
fn what_the_kernels_cannot_run_on_is_refused() {
    let (norm, kernels) = (Norm::new(4), drawn(&[4, 1, 3, 3], 4));
    let x = |shape: &[i64]| drawn(shape, 7);
    let one_value = x(&[1, 4, 1, 1]);
    assert!(!is_supported(&one_value, &norm.layer()));
    for x in [
        one_value,
        x(&[2, 5, 3, 3]),
        x(&[2, 4, 3]),
        x(&[2, 4, 3, 3]).to_kind(Kind::Double),
    ] {
        assert!(
            matches!(
                norm_activation(&x, &norm.layer(), Some(Activation::Silu)),
                Err(Error::Shape { .. })
            ),
            "{:?}",
            x.size()
        );
    }
    let x = x(&[2, 4, 3, 3]);
    for (stride, padding) in [(3, [1; 4]), (1, [3, 0, 0, 0]), (1, [-1, 0, 0, 0])] {
        let error = depthwise(&x, None, &kernels, stride, padding).unwrap_err();
        assert!(matches!(error, Error::OutOfRange { .. }), "{error}");
    }
    assert!(depthwise(&x, None, &drawn(&[4, 1, 7, 7], 4), 1, [3; 4]).is_err());
    assert!(depthwise(&x.narrow(2, 0, 1), None, &kernels, 1, [0; 4]).is_err());
}
