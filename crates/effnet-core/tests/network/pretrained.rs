//! Tests of opening weights by name, with their labels and preprocessing.

use effnet_core::{ModelOptions, PreprocessingOverrides, Pretrained, PretrainedOptions, Profile, Variant};
use tch::nn::OptimizerConfig as _;
use tch::{Device, Kind, Tensor};

fn on_cpu() -> PretrainedOptions {
    PretrainedOptions::default().with_device(Device::Cpu)
}

#[test]
fn bundled_weights_bring_their_labels_and_their_image_size() {
    let opened = Pretrained::open("b0.cifar10", &on_cpu()).unwrap();
    let labels = opened.labels.unwrap();
    assert_eq!((labels.len(), labels.get(8)), (10, "ship"));
    assert_eq!(opened.transform.image_size, 128);
    assert_eq!(opened.network.config().num_classes, 10);
    assert_eq!(opened.network.config().image_size, [128, 128]);
    assert_eq!((opened.variant, opened.profile), (Variant::B0, Profile::Tf));
}

#[test]
fn the_profile_is_the_one_that_the_network_computes_with() {
    let options = on_cpu().with_model(ModelOptions::default().with_profile(Profile::Timm));
    let opened = Pretrained::open("b0.cifar10", &options).unwrap();
    assert_eq!(opened.profile, Profile::Timm);
    assert_eq!(opened.network.config().padding, Profile::Timm.padding());
}

#[test]
fn a_new_classifier_is_trained_with_the_features_of_the_weights() {
    let preprocessing = PreprocessingOverrides::default().with_image_size(64);
    let model = ModelOptions::default().with_preprocessing(preprocessing);
    let options = on_cpu().with_new_classes(3).with_model(model);
    let opened = Pretrained::open("b0.cifar10", &options).unwrap();
    assert!(opened.labels.is_none() && opened.report.new_classifier);
    let whole = Pretrained::open("b0.cifar10", &on_cpu()).unwrap();
    let stem = |network: &effnet_core::EfficientNet| {
        let (_, found) = network
            .named_tensors()
            .find(|(name, _)| *name == "_conv_stem.weight")
            .unwrap();
        found.detach().copy()
    };
    assert!(stem(&opened.network).equal(&stem(&whole.network)));

    let images = Tensor::rand([4, 3, 64, 64], (Kind::Float, Device::Cpu));
    let classes = Tensor::from_slice(&[0_i64, 1, 2, 0]);
    let mut optimizer = tch::nn::Sgd::default().build(&opened.store, 0.01).unwrap();
    let logits = opened.network.forward(&images, true).unwrap();
    assert_eq!(logits.size(), [4, 3]);
    optimizer.backward_step(&logits.cross_entropy_for_logits(&classes));
    assert!(!stem(&opened.network).equal(&stem(&whole.network)));
}
