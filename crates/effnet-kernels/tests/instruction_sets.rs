//! Compares the kernels of all instruction sets that this CPU supports with one another. effnet-torch tests the
//! best of them against libtorch.

#![allow(clippy::unwrap_used)] // helpers of tests, which clippy.toml exempts only in #[test]

use effnet_kernels::{
    Activation, Block, Context, Convolution, Endpoint, InstructionSet, Layer, Layers, Network,
    NetworkOptions, Output, Padding, SqueezeExcite,
};

const SETS: [InstructionSet; 4] = [
    InstructionSet::Baseline,
    InstructionSet::Avx2,
    InstructionSet::Avx512,
    InstructionSet::Avx512Bf16,
];

/// Approximately normal random numbers, the same in every run.
struct Noise(fastrand::Rng);

impl Noise {
    fn values(&mut self, count: usize, deviation: f32) -> Vec<f32> {
        let mut value = || (0..6).map(|_| self.0.f32() - 0.5).sum::<f32>() * 2f32.sqrt();
        (0..count).map(|_| deviation * value()).collect()
    }

    fn convolution(&mut self, shape: [usize; 4], stride: usize, padding: Padding) -> Convolution<'static> {
        let inputs = shape[1..].iter().product::<usize>() as f32;
        let weight = self.values(shape.iter().product(), 1.0 / inputs.sqrt());
        Convolution::new(weight, shape, self.values(shape[0], 0.1))
            .with_stride(stride)
            .with_padding(padding)
    }

    fn pointwise(&mut self, outputs: usize, inputs: usize) -> Convolution<'static> {
        self.convolution([outputs, inputs, 1, 1], 1, Padding::Fixed([0; 4]))
    }

    fn block(
        &mut self,
        widths: [usize; 3],
        kernel: usize,
        stride: usize,
        padding: Padding,
    ) -> Block<'static> {
        let [inputs, expanded, outputs] = widths;
        Block {
            expand: (inputs != expanded).then(|| self.pointwise(expanded, inputs)),
            depthwise: Some(self.convolution([expanded, 1, kernel, kernel], stride, padding)),
            squeeze_excite: Some(SqueezeExcite {
                reduce: self.pointwise(5, expanded),
                excite: self.pointwise(expanded, 5),
            }),
            project: self.pointwise(outputs, expanded),
            skip: inputs == outputs && stride == 1,
        }
    }
}

impl Noise {
    /// A block without a depthwise convolution: Fused-MBConv or, without a number of expanded channels, a single
    /// convolution.
    fn dense_block(
        &mut self,
        [inputs, outputs]: [usize; 2],
        expanded: Option<usize>,
        [kernel, stride]: [usize; 2],
        padding: Padding,
    ) -> Block<'static> {
        let (expand, project) = match expanded {
            Some(expanded) => (
                Some(self.convolution([expanded, inputs, kernel, kernel], stride, padding)),
                self.pointwise(outputs, expanded),
            ),
            None => (
                None,
                self.convolution([outputs, inputs, kernel, kernel], stride, padding),
            ),
        };
        Block {
            expand,
            depthwise: None,
            squeeze_excite: None,
            project,
            skip: inputs == outputs && stride == 1,
        }
    }
}

fn noise() -> Noise {
    Noise(fastrand::Rng::with_seed(3))
}

/// Covers every kernel size, stride and padding, with widths that are and are not multiples of sixteen.
fn layers() -> Layers<'static> {
    let mut noise = noise();
    Layers {
        stem: noise.convolution([40, 3, 3, 3], 2, Padding::Same),
        blocks: vec![
            noise.block([40, 40, 24], 3, 1, Padding::Same),
            noise.block([24, 144, 24], 3, 1, Padding::Fixed([1; 4])),
            noise.block([24, 150, 20], 5, 2, Padding::Same),
            noise.block([20, 112, 33], 3, 2, Padding::Fixed([1; 4])),
            noise.block([33, 198, 33], 5, 1, Padding::Fixed([2; 4])),
        ],
        head: noise.pointwise(70, 33),
        classifier: Some(noise.pointwise(11, 70)),
        activation: Activation::Silu,
    }
}

fn run(network: &Network, images: &[f32], shape: [usize; 4], output: Output) -> Vec<f32> {
    let mut context = Context::new(2).unwrap();
    let length = network.output_shape(shape, output).unwrap().iter().product();
    let mut result = vec![0.0; length];
    network
        .run(&mut context, images, shape, output, &mut result)
        .unwrap();
    result
}

fn worst(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = |values: &mut dyn Iterator<Item = f32>| values.map(f32::abs).fold(0.0, f32::max);
    let differences = found
        .iter()
        .zip(expected)
        .map(|(found, expected)| found - expected);
    largest(&mut differences.into_iter()) / largest(&mut expected.iter().copied())
}

/// The same without squeeze-and-excitation, with ReLU6.
fn lite_layers() -> Layers<'static> {
    let mut layers = layers();
    for block in &mut layers.blocks {
        block.squeeze_excite = None;
    }
    layers.activation = Activation::Relu6;
    layers
}

/// Dense convolutions of several sizes, strides and paddings, with and without whole blocks of eight and sixteen
/// channels.
fn fused_layers() -> Layers<'static> {
    let mut noise = noise();
    Layers {
        stem: noise.convolution([24, 3, 3, 3], 2, Padding::Same),
        blocks: vec![
            noise.dense_block([24, 24], None, [3, 1], Padding::Same),
            noise.dense_block([24, 40], Some(96), [3, 2], Padding::Same),
            noise.dense_block([40, 40], Some(150), [5, 1], Padding::Fixed([2; 4])),
            noise.dense_block([40, 20], Some(40), [3, 2], Padding::Fixed([1; 4])),
            noise.dense_block([20, 33], Some(70), [3, 1], Padding::Same),
            noise.dense_block([33, 33], None, [3, 1], Padding::Fixed([1; 4])),
            noise.block([33, 132, 33], 3, 1, Padding::Same),
        ],
        head: noise.pointwise(70, 33),
        classifier: Some(noise.pointwise(11, 70)),
        activation: Activation::Silu,
    }
}

fn every_set_agrees(bf16: bool, bound: f32) {
    for layers in [layers(), lite_layers(), fused_layers()] {
        every_set_agrees_on(&layers, bf16, bound);
    }
}

fn every_set_agrees_on(layers: &Layers<'_>, bf16: bool, bound: f32) {
    let shape = [3, 3, 75, 52];
    let images = noise().values(shape.iter().product(), 1.0);
    let options = NetworkOptions::default().with_bf16(bf16);
    let with = |set| Network::new(layers, options.with_instruction_set(set));
    let baseline = with(InstructionSet::Baseline).unwrap();
    assert_eq!(baseline.instruction_set(), "baseline");
    let logits = run(&baseline, &images, shape, Output::Logits);
    let features = run(&baseline, &images, shape, Output::Features);
    let mut found = Vec::new();
    for set in SETS {
        let network = match with(set) {
            Ok(network) => network,
            Err(error) => {
                assert!(error.to_string().contains("does not support"), "{error}");
                continue;
            }
        };
        let one = &images[3 * 75 * 52..2 * 3 * 75 * 52];
        for (found, expected) in [
            (run(&network, &images, shape, Output::Logits), &logits[..]),
            (run(&network, &images, shape, Output::Features), &features),
            // With fewer images than threads, all threads share each image.
            (
                run(&network, one, [1, 3, 75, 52], Output::Logits),
                &logits[11..22],
            ),
        ] {
            let error = worst(&found, expected);
            assert!(error <= bound, "{set:?}: {error}");
        }
        found.push(network.instruction_set().to_owned());
    }
    assert_eq!(found[0], "baseline");
    // The default is the best supported set.
    let best = Network::new(layers, options).unwrap();
    let newest = found.iter().rfind(|name| bf16 || *name != "avx512bf16");
    assert_eq!(Some(best.instruction_set()), newest.map(String::as_str));
}

#[test]
fn every_instruction_set_gives_the_same_in_floats() {
    every_set_agrees(false, 1e-5);
}

#[test]
fn every_instruction_set_gives_the_same_in_bfloat16() {
    // Rounding a sum to the other of its two neighbours changes everything after it by 2^-8.
    every_set_agrees(true, 2e-2);
}

#[test]
fn a_profile_names_every_layer_once_and_gives_it_time() {
    let network = Network::new(&layers(), NetworkOptions::default()).unwrap();
    let mut context = Context::new(2).unwrap();
    for count in [1, 4] {
        let shape = [count, 3, 64, 64];
        let images = noise().values(shape.iter().product(), 1.0);
        let mut logits = vec![0.0; count * 11];
        let profile = network
            .profile(&mut context, &images, shape, Output::Logits, &mut logits)
            .unwrap();
        assert_eq!(profile.len(), 3 + 3 * 5);
        assert_eq!(profile[0].0, Layer::Stem);
        assert_eq!(profile[3 * 4 + 1].0, Layer::Filter(4));
        assert_eq!(profile[3 * 4 + 3].0, Layer::Project(4));
        assert_eq!(profile[profile.len() - 1].0, Layer::Classifier);
        assert!(profile.iter().all(|(_, seconds)| *seconds > 0.0), "{profile:?}");
    }
}

#[test]
fn a_profile_names_only_the_layers_that_a_network_has() {
    let names = |layers: &Layers<'_>| -> Vec<Layer> {
        let network = Network::new(layers, NetworkOptions::default()).unwrap();
        let (shape, mut logits) = ([1, 3, 32, 32], vec![0.0; 11]);
        let images = noise().values(shape.iter().product(), 1.0);
        let mut context = Context::new(1).unwrap();
        let profile = network.profile(&mut context, &images, shape, Output::Logits, &mut logits);
        profile.unwrap().into_iter().map(|(layer, _)| layer).collect()
    };
    let lite = names(&lite_layers());
    assert!(
        !lite.contains(&Layer::Gates(0)) && lite.contains(&Layer::Project(4)),
        "{lite:?}"
    );
    let fused = names(&fused_layers());
    let expected = [Layer::Stem, Layer::Project(0), Layer::Fused(1), Layer::Fused(2)];
    assert_eq!(fused[..4], expected);
    assert_eq!(
        fused[fused.len() - 5..fused.len() - 2],
        [Layer::Filter(6), Layer::Gates(6), Layer::Project(6)]
    );
}

/// Computes a dense convolution with SAME padding plainly, `[N, C, H, W]` to `[N, O, H', W']`.
fn plain(
    input: &[f64],
    [channels, height, width]: [usize; 3],
    layer: &Convolution<'_>,
) -> (Vec<f64>, [usize; 3]) {
    let [outputs, _, kernel, _] = layer.shape;
    let (rows, columns) = (height.div_ceil(layer.stride), width.div_ceil(layer.stride));
    let before = |size: usize, output: usize| ((output - 1) * layer.stride + kernel).saturating_sub(size) / 2;
    let (top, left) = (before(height, rows), before(width, columns));
    let mut result = Vec::new();
    for output in 0..outputs {
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
            let mut sum = f64::from(layer.bias[output]);
            for (index, &weight) in layer
                .weight
                .chunks(channels * kernel * kernel)
                .nth(output)
                .unwrap()
                .iter()
                .enumerate()
            {
                let (channel, ky, kx) = (index / kernel / kernel, index / kernel % kernel, index % kernel);
                let y = (row * layer.stride + ky).checked_sub(top).filter(|&y| y < height);
                let x = (column * layer.stride + kx)
                    .checked_sub(left)
                    .filter(|&x| x < width);
                if let (Some(y), Some(x)) = (y, x) {
                    sum += f64::from(weight) * input[(channel * height + y) * width + x];
                }
            }
            result.push(sum);
        }
    }
    (result, [outputs, rows, columns])
}

#[test]
fn dense_convolutions_equal_plain_sums() {
    let silu = |values: &mut Vec<f64>| {
        for value in values {
            *value /= 1.0 + (-*value).exp();
        }
    };
    let mut noise = noise();
    let layers = Layers {
        stem: noise.convolution([24, 3, 3, 3], 2, Padding::Same),
        blocks: vec![
            noise.dense_block([24, 24], None, [3, 1], Padding::Same),
            noise.dense_block([24, 20], Some(36), [3, 2], Padding::Same),
            noise.dense_block([20, 20], Some(44), [5, 1], Padding::Same),
        ],
        head: noise.pointwise(18, 20),
        classifier: None,
        activation: Activation::Silu,
    };
    let (height, width) = (37, 22);
    let images = noise.values(3 * height * width, 1.0);
    let input: Vec<f64> = images.iter().map(|&value| f64::from(value)).collect();
    let (mut x, mut shape) = plain(&input, [3, height, width], &layers.stem);
    silu(&mut x);
    for block in &layers.blocks {
        let before = x.clone();
        if let Some(expand) = &block.expand {
            (x, shape) = plain(&x, shape, expand);
            silu(&mut x);
        }
        (x, shape) = plain(&x, shape, &block.project);
        if block.expand.is_none() {
            silu(&mut x);
        }
        if block.skip {
            x.iter_mut()
                .zip(before)
                .for_each(|(value, before)| *value += before);
        }
    }
    (x, _) = plain(&x, shape, &layers.head);
    silu(&mut x);
    let expected: Vec<f32> = x.iter().map(|&value| value as f32).collect();
    let network = Network::new(&layers, NetworkOptions::default()).unwrap();
    let found = run(&network, &images, [1, 3, height, width], Output::Features);
    let error = worst(&found, &expected);
    assert!(error <= 1e-5, "{error}");
}

#[test]
fn contexts_of_several_callers_share_one_network_and_give_equal_bits() {
    let network = Network::new(&layers(), NetworkOptions::default()).unwrap();
    let shape = [2, 3, 64, 64];
    let images = noise().values(shape.iter().product(), 1.0);
    let expected = run(&network, &images, shape, Output::Logits);
    std::thread::scope(|scope| {
        for threads in [1, 2, 3] {
            let (network, images, expected) = (&network, &images, &expected);
            scope.spawn(move || {
                let mut context = Context::new(threads).unwrap();
                let mut logits = vec![0.0; expected.len()];
                for _ in 0..5 {
                    network
                        .run(&mut context, images, shape, Output::Logits, &mut logits)
                        .unwrap();
                    assert_eq!(&logits, expected);
                }
            });
        }
    });
}

#[test]
fn layers_that_do_not_fit_together_are_refused_by_name() {
    let mut wrong = layers();
    wrong.head = noise().pointwise(70, 34);
    let error = Network::new(&wrong, NetworkOptions::default()).unwrap_err();
    assert!(error.to_string().starts_with("the head has the shape"), "{error}");
    let network = Network::new(&layers(), NetworkOptions::default()).unwrap();
    let mut context = Context::new(1).unwrap();
    let error = network
        .run(
            &mut context,
            &[0.0; 10],
            [1, 3, 8, 8],
            Output::Logits,
            &mut [0.0; 11],
        )
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the batch: expected 192 values, found 10"),
        "{error}"
    );
}

#[test]
fn one_pass_returns_logits_and_the_output_of_any_layer() {
    let shape = [3, 3, 41, 33];
    let images = noise().values(3 * 3 * 41 * 33, 1.0);
    for bf16 in [false, true] {
        let options = NetworkOptions::default().with_bf16(bf16);
        let network = Network::new(&layers(), options).unwrap();
        let expected = run(&network, &images, shape, Output::Logits);
        let mut context = Context::new(2).unwrap();
        let mut at = |endpoint: Endpoint| {
            let sides = network.endpoint_shape(shape, endpoint).unwrap();
            let (mut logits, mut features) = (vec![0.0; expected.len()], vec![0.0; sides.iter().product()]);
            let target = (endpoint, &mut features[..]);
            network
                .run_with_endpoint(&mut context, &images, shape, &mut logits, target)
                .unwrap();
            assert_eq!(logits, expected, "{endpoint:?}");
            (sides, features)
        };
        let (_, head) = at(Endpoint::Head);
        assert_eq!(head, run(&network, &images, shape, Output::Features));
        // The head is pointwise, so that it can be computed again from the output of the last block.
        let (sides, last) = at(Endpoint::Block(4));
        assert_eq!(sides, [3, 33, 6, 5]);
        let pixels = 30;
        let (weights, found) = (&layers().head, &head);
        let again: Vec<f32> = (0..3 * 70 * pixels)
            .map(|index| {
                let (image, channel, pixel) = (index / (70 * pixels), index / pixels % 70, index % pixels);
                let terms = (0..33).map(|from| {
                    weights.weight[channel * 33 + from] * last[(image * 33 + from) * pixels + pixel]
                });
                let sum = terms.sum::<f32>() + weights.bias[channel];
                sum / (1.0 + (-sum).exp())
            })
            .collect();
        assert!(worst(found, &again) < if bf16 { 2e-2 } else { 1e-5 });
        // Blocks and the stem in the middle of a segment, and a block that does not exist.
        let (sides, stem) = at(Endpoint::Stem);
        assert_eq!(sides, [3, 40, 21, 17]);
        assert!(stem.iter().any(|&value| value != 0.0));
        let (sides, block) = at(Endpoint::Block(2));
        assert_eq!(sides, [3, 20, 11, 9]);
        assert!(block.iter().any(|&value| value != 0.0));
        assert!(network.endpoint_shape(shape, Endpoint::Block(5)).is_err());
    }
}

#[test]
fn the_classifier_can_be_read_back() {
    for set in SETS {
        let options = NetworkOptions::default().with_instruction_set(set);
        let Ok(network) = Network::new(&layers(), options) else {
            continue;
        };
        let layers = layers();
        let weights = &layers.classifier.as_ref().unwrap().weight;
        for class in 0..11 {
            let row = network.classifier_row(class).unwrap();
            assert_eq!(row, weights[class * 70..(class + 1) * 70], "{set:?} {class}");
        }
        assert!(network.classifier_row(11).is_err());
    }
    let network = Network::new(&layers(), NetworkOptions::default().with_bf16(true)).unwrap();
    let layers = layers();
    let expected = &layers.classifier.as_ref().unwrap().weight[10 * 70..];
    assert!(worst(&network.classifier_row(10).unwrap(), expected) < 1.0 / 256.0);
}
