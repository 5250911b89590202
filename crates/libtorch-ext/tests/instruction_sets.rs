//! The kernels of every instruction set that this CPU has against each other. That the best of them
//! gives what the network should is tested in effnet-infer.

#![allow(clippy::unwrap_used)] // helpers of tests, which clippy.toml exempts only in #[test]

use libtorch_ext::{
    Convolution, FusedBlock, FusedNetwork, InstructionSet, NetworkParts, Padding, Part, Precision,
};
use tch::{Device, Kind, Tensor};

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);
const SETS: [InstructionSet; 4] = [
    InstructionSet::Baseline,
    InstructionSet::Avx2,
    InstructionSet::Avx512,
    InstructionSet::Avx512Bf16,
];

fn convolution(shape: [i64; 4], stride: i64, padding: Padding) -> Convolution {
    let inputs = shape[1..].iter().product::<i64>() as f64;
    Convolution {
        weight: Tensor::randn(shape, CPU) / inputs.sqrt(),
        scale: None,
        bias: Tensor::randn([shape[0]], CPU) * 0.1,
        stride,
        padding,
    }
}

fn pointwise(outputs: i64, inputs: i64) -> Convolution {
    convolution([outputs, inputs, 1, 1], 1, Padding::Fixed([0; 4]))
}

fn block(widths: [i64; 3], kernel: i64, stride: i64, padding: Padding) -> FusedBlock {
    let [inputs, expanded, outputs] = widths;
    FusedBlock {
        expand: (inputs != expanded).then(|| pointwise(expanded, inputs)),
        depthwise: convolution([expanded, 1, kernel, kernel], stride, padding),
        reduce: pointwise(5, expanded),
        excite: pointwise(expanded, 5),
        project: pointwise(outputs, expanded),
        skip: inputs == outputs && stride == 1,
    }
}

/// Every kernel, stride and padding, with widths that are and are not multiples of sixteen.
fn parts() -> NetworkParts {
    tch::manual_seed(3);
    NetworkParts {
        stem: convolution([40, 3, 3, 3], 2, Padding::Same),
        blocks: vec![
            block([40, 40, 24], 3, 1, Padding::Same),
            block([24, 144, 24], 3, 1, Padding::Fixed([1; 4])),
            block([24, 150, 20], 5, 2, Padding::Same),
            block([20, 112, 33], 3, 2, Padding::Fixed([1; 4])),
            block([33, 198, 33], 5, 1, Padding::Fixed([2; 4])),
        ],
        head: pointwise(70, 33),
        classifier: Some(pointwise(11, 70)),
    }
}

fn worst(found: &Tensor, expected: &Tensor) -> f64 {
    (found - expected).abs().max().double_value(&[]) / expected.abs().max().double_value(&[])
}

fn every_set_agrees(precision: Precision, bound: f64) {
    let parts = parts();
    let images = Tensor::randn([3, 3, 75, 52], CPU);
    let with = |set| FusedNetwork::with_instruction_set(&parts, precision, 2, set);
    let baseline = with(InstructionSet::Baseline).unwrap();
    assert_eq!(baseline.instruction_set(), "baseline");
    let expected = (
        baseline.run(&images).unwrap(),
        baseline.run_features(&images).unwrap(),
    );
    let mut run = Vec::new();
    for set in SETS {
        let network = match with(set) {
            Ok(network) => network,
            Err(error) => {
                assert!(error.to_string().contains("lacks"), "{error}");
                continue;
            }
        };
        for (found, expected) in [
            (network.run(&images).unwrap(), &expected.0),
            (network.run_features(&images).unwrap(), &expected.1),
            // Fewer images than threads take the path on which all threads share one.
            (
                network.run(&images.narrow(0, 1, 1)).unwrap(),
                &expected.0.narrow(0, 1, 1),
            ),
        ] {
            let error = worst(&found, expected);
            assert!(error <= bound, "{set:?}: {error}");
        }
        run.push(network.instruction_set().to_owned());
    }
    assert_eq!(run[0], "baseline");
    // Without a choice the best of them is taken.
    let best = FusedNetwork::new(&parts, precision, 1).unwrap();
    let newest = run
        .iter()
        .rfind(|name| precision == Precision::Bf16 || *name != "avx512bf16");
    assert_eq!(Some(best.instruction_set()), newest.map(String::as_str));
}

#[test]
fn every_instruction_set_gives_the_same_in_floats() {
    every_set_agrees(Precision::Fp32, 1e-5);
}

#[test]
fn every_instruction_set_gives_the_same_in_bfloat16() {
    // A sum that is rounded to the other of two neighbours moves what follows by 2^-8.
    every_set_agrees(Precision::Bf16, 2e-2);
}

#[test]
fn a_profile_names_every_part_once_and_gives_it_time() {
    let network = FusedNetwork::new(&parts(), Precision::Fp32, 2).unwrap();
    for count in [1, 4] {
        let profile = network.profile(&Tensor::randn([count, 3, 64, 64], CPU)).unwrap();
        assert_eq!(profile.len(), 3 + 3 * 5);
        assert_eq!(profile[0].0, Part::Stem);
        assert_eq!(profile[3 * 4 + 1].0, Part::Filter(4));
        assert_eq!(profile[3 * 4 + 3].0, Part::Project(4));
        assert_eq!(profile[profile.len() - 1].0, Part::Classifier);
        assert!(profile.iter().all(|(_, seconds)| *seconds > 0.0), "{profile:?}");
    }
}
