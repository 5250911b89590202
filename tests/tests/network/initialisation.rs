//! What new networks hold: `original_tf/efficientnet_model.py`, with timm's fan-out for depthwise
//! kernels.

use effnet_core::{EfficientNet, Initialisation, Variant};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::{new, seeded};

fn b0() -> (VarStore, EfficientNet) {
    new(&Variant::B0.config(), &seeded(21))
}

fn mean(tensor: &Tensor) -> f64 {
    tensor.mean(Kind::Double).double_value(&[])
}

#[test]
fn kernels_are_normal_with_two_over_fan_out() {
    let (_store, network) = b0();
    let kernels = network.named_tensors().filter(|(_, tensor)| tensor.dim() == 4);
    for (name, kernel) in kernels {
        let [output, _, height, width] = kernel.size()[..] else {
            unreachable!()
        };
        let depthwise = name.ends_with("_depthwise_conv.weight");
        let fan_out = if depthwise {
            height * width
        } else {
            output * height * width
        };
        let expected = (2.0 / fan_out as f64).sqrt();
        let count = kernel.numel() as f64;
        // Five standard errors of a standard deviation and of a mean.
        let deviation = kernel.std(true).double_value(&[]);
        let bound = 5.0 / (2.0 * count).sqrt();
        assert!(
            (deviation / expected - 1.0).abs() < bound,
            "{name}: {deviation}, not {expected}"
        );
        assert!(
            mean(kernel).abs() < 5.0 * expected / count.sqrt(),
            "{name}: mean {}",
            mean(kernel)
        );
        // A uniform distribution of that deviation ends at 1.73 of it.
        let largest = kernel.abs().max().double_value(&[]) / expected;
        assert!(
            count < 1000.0 || largest > 2.5,
            "{name} is not normal: largest {largest}"
        );
    }
}

#[test]
fn the_classifier_is_uniform_within_one_over_the_root_of_classes() {
    let (_store, network) = b0();
    let bound = 1.0 / 1000f64.sqrt();
    let (_, weight) = network
        .named_tensors()
        .find(|(name, _)| *name == "_fc.weight")
        .unwrap();
    let largest = weight.abs().max().double_value(&[]);
    assert!(
        largest <= bound && largest > 0.999 * bound,
        "largest {largest}, bound {bound}"
    );
    let deviation = weight.std(true).double_value(&[]);
    assert!(
        (deviation * 3f64.sqrt() / bound - 1.0).abs() < 0.01,
        "deviation {deviation}"
    );
}

#[test]
fn batch_norm_starts_as_the_identity_and_biases_at_zero() {
    let (_store, network) = b0();
    let mut seen = 0;
    for (name, tensor) in network.named_tensors().filter(|(_, tensor)| tensor.dim() < 2) {
        let one = name.ends_with("running_var") || (name.contains("_bn") && name.ends_with("weight"));
        let expected = if one { 1.0 } else { 0.0 };
        assert!(
            tensor.eq(expected).all().int64_value(&[]) == 1,
            "{name} is not all {expected}"
        );
        seen += 1;
    }
    // 49 batch normalisations of five tensors, 32 squeeze-and-excitation biases, one classifier's.
    assert_eq!(seen, 49 * 5 + 32 + 1);
}

#[test]
fn two_networks_are_drawn_differently_and_a_seed_repeats_one() {
    let ((_one, first), (_other, again)) = (b0(), b0());
    let (_third, different) = new(&Variant::B0.config(), &seeded(22));
    let stem = |network: &EfficientNet| network.named_tensors().next().unwrap().1.copy();
    assert!(stem(&first).equal(&stem(&again)));
    assert!(!stem(&first).equal(&stem(&different)));
}

/// PyTorch 2.11 gives `nn.Conv2d` and `nn.Linear` weights and biases from U(±1 / √fan-in), where the fan-in is that of the
/// weight; efficientnet_pytorch leaves them so.
#[test]
fn pytorchs_initialisation_is_uniform_by_the_fan_in_biases_included() {
    tch::manual_seed(5);
    let store = VarStore::new(Device::Cpu);
    let config = Variant::B0.config();
    let network = EfficientNet::with_initialisation(&store.root(), &config, Initialisation::PyTorch).unwrap();
    let tensors: Vec<(&str, &Tensor)> = network.named_tensors().collect();
    let mut biases = 0;
    for (name, tensor) in &tensors {
        let layer = name.rsplit_once('.').unwrap().0;
        let weight = tensors
            .iter()
            .find(|(other, _)| *other == format!("{layer}.weight"))
            .unwrap()
            .1;
        if weight.dim() < 2 {
            continue;
        }
        let fan_in = (weight.numel() as i64 / weight.size()[0]) as f64;
        let bound = 1.0 / fan_in.sqrt();
        let largest = tensor.abs().max().double_value(&[]);
        assert!(
            largest <= bound * (1.0 + 1e-6),
            "{name}: {largest}, bound {bound}"
        );
        let count = tensor.numel() as f64;
        if count > 200.0 {
            assert!(largest > 0.97 * bound, "{name}: {largest}, bound {bound}");
            // The kurtosis of a uniform distribution is 1.8: five standard errors of its standard deviation.
            let deviation = tensor.std(true).double_value(&[]) * 3f64.sqrt() / bound;
            assert!(
                (deviation - 1.0).abs() < 5.0 * (0.2 / count).sqrt(),
                "{name}: {deviation}"
            );
        }
        biases += usize::from(name.ends_with("bias"));
    }
    // Of 16 squeeze-and-excitation modules, and the classifier.
    assert_eq!(biases, 33);
}
