//! A pass takes subnormal numbers for zero, and leaves its caller's arithmetic as it was.

#![allow(clippy::unwrap_used)] // helpers of tests, which clippy.toml exempts only in #[test]

use std::hint::black_box;

use effnet_kernels::{
    Activation, Context, Convolution, InstructionSet, Layers, Network, NetworkOptions, Output, Padding,
};

/// The logits of a network of a stem, a head and a classifier whose only weights are `classifier`.
fn logits(classifier: f32, set: InstructionSet, threads: usize) -> Option<Vec<f32>> {
    let layers = Layers {
        stem: Convolution::new(vec![0.1; 16 * 3 * 9], [16, 3, 3, 3], vec![0.5; 16])
            .with_stride(2)
            .with_padding(Padding::Same),
        blocks: Vec::new(),
        head: Convolution::new(vec![0.1; 32 * 16], [32, 16, 1, 1], vec![0.5; 32]),
        classifier: Some(Convolution::new(
            vec![classifier; 5 * 32],
            [5, 32, 1, 1],
            vec![0.0; 5],
        )),
        activation: Activation::Silu,
    };
    let options = NetworkOptions::default().with_instruction_set(set);
    let network = Network::new(&layers, options).ok()?; // fails where the processor does not have the set
    let mut context = Context::new(threads).unwrap();
    let mut logits = vec![f32::NAN; 2 * 5];
    network
        .run(
            &mut context,
            &[0.5; 2 * 3 * 64],
            [2, 3, 8, 8],
            Output::Logits,
            &mut logits,
        )
        .unwrap();
    Some(logits)
}

#[test]
fn subnormal_numbers_are_zero_during_a_pass_and_only_then() {
    let subnormal = f32::MIN_POSITIVE / 64.0;
    for set in [
        InstructionSet::Baseline,
        InstructionSet::Avx2,
        InstructionSet::Avx512,
    ] {
        for threads in [1, 2] {
            let Some(found) = logits(subnormal, set, threads) else {
                continue;
            };
            assert_eq!(found, [0.0; 10], "{set:?}, {threads} threads");
            let normal = logits(64.0 * subnormal, set, threads).unwrap();
            assert!(
                normal.iter().all(|logit| *logit > 0.0),
                "{set:?}, {threads} threads: {normal:?}"
            );
            assert!(
                black_box(f32::MIN_POSITIVE) / black_box(2.0) > 0.0,
                "{set:?}: the caller lost its subnormals"
            );
        }
    }
}
