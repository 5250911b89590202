//! Compares maps of layers before the last with the arithmetic of grad-cam on networks of the reference packages, and
//! the gradients of the last layer with the classifier's weights, which they are.
#![allow(clippy::unwrap_used, reason = "a test may panic if its own files are broken")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use effnet::{
    Endpoint, Engine, EngineOptions, ExplainError, ExplainMethod, ExplainOptions, ExplainedClasses,
    Explainer, Gradients, Images, Labels, LoadOptions, ModelFile, ModelOptions, Precision, Profile, Weights,
    WeightsContent, Zoo,
};
use effnet_checkpoint::{Checkpoint, StateDict};
use effnet_cli::TorchCommands as _;
use effnet_torch::Torch;
use test_support::{interpreter, skip};

/// A network for both: the engine and the gradients.
fn open(weights: Weights, profile: Profile) -> (Engine, Arc<dyn Gradients>) {
    let file = ModelFile::open(weights, &ModelOptions::default().with_profile(profile)).unwrap();
    let config = file.config(file.num_classes());
    let parameters = file.parameters(&config, LoadOptions::default()).unwrap();
    let options = EngineOptions::default()
        .with_threads(2)
        .with_precision(Precision::Fp32);
    let engine = Engine::new(&parameters, options).unwrap();
    (engine, Torch.gradients(&parameters, 2).unwrap())
}

fn bundled() -> (Engine, Arc<dyn Gradients>) {
    let zoo = Zoo::from_environment().unwrap();
    let weights = zoo.locate_one("b0.cifar10", &mut ()).unwrap();
    open(weights, Profile::Tf)
}

/// Scales a map as grad-cam does.
fn scaled(values: &[f32]) -> Vec<f32> {
    let values: Vec<f32> = values.iter().map(|value| value.max(0.0)).collect();
    let least = values.iter().copied().fold(f32::INFINITY, f32::min);
    let most = values.iter().copied().fold(0.0, f32::max) - least;
    let scaled = values.iter().map(|value| (value - least) / (1e-7 + most));
    scaled.collect()
}

fn worst(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f32::max)
}

/// Compares the maps of block 4 of a case, and returns their number.
fn compare((engine, gradients): &(Engine, Arc<dyn Gradients>), expected: &StateDict) -> usize {
    let mut compared = 0;
    for (key, tensor) in expected {
        let [size, class, name] = key.split('.').collect::<Vec<_>>()[..] else {
            continue;
        };
        let method = match name {
            "gradcam_block" => ExplainMethod::Cam,
            "layercam_block" => ExplainMethod::LayerCam,
            _ => continue,
        };
        let images = expected.get(&format!("{size}.images")).unwrap();
        let (pixels, shape) = (images.floats().unwrap(), images.shape().try_into().unwrap());
        let options = ExplainOptions::default()
            .with_method(method)
            .with_layer(Endpoint::Block(4));
        let explainer = Explainer::with_gradients(engine.clone(), options, Arc::clone(gradients)).unwrap();
        let classes = ExplainedClasses::Class(class.parse().unwrap());
        let (images, labels) = (Images::new(&pixels, shape).unwrap(), Labels::numbered(1000));
        let explanation = explainer.explain(images, classes, &labels, &AtomicBool::new(false));
        let map = &explanation.unwrap().maps[0];
        assert_eq!(&[map.height(), map.width()], tensor.shape(), "{key}");
        let difference = worst(&scaled(map.values()), &scaled(&tensor.floats().unwrap()));
        assert!(difference < 1e-3, "{key}: {difference}");
        compared += 1;
    }
    compared
}

#[test]
fn maps_of_earlier_layers_equal_those_of_grad_cam() {
    let python = match interpreter() {
        Ok(python) => python,
        Err(reason) => return skip("maps_of_earlier_layers_equal_those_of_grad_cam", &reason),
    };
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/reference/explain_reference.py");
    let cases = [("timm:b0", Profile::Timm), ("timm-tf:lite0", Profile::Tf)];
    let output = Command::new(python)
        .arg(script)
        .arg(folder.path())
        .args(cases.map(|(case, _)| case))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for (case, profile) in cases {
        let path: PathBuf = folder.path().join(case.replace(':', "-"));
        let network = open(
            Weights {
                name: case.to_owned(),
                content: WeightsContent::File(path.with_extension("pth")),
                entry: None,
            },
            profile,
        );
        let expected = Checkpoint::open(path.with_extension("safetensors")).unwrap();
        assert_eq!(compare(&network, expected.state_dict()), 2 * 3 * 2, "{case}");
    }
}

#[test]
fn at_the_head_the_gradients_are_the_weights_of_the_classifier() {
    let (engine, gradients) = bundled();
    let pixels: Vec<f32> = (0..3 * 70 * 64).map(|pixel| (pixel as f32 * 0.1).sin()).collect();
    let images = Images::new(&pixels, [1, 3, 70, 64]).unwrap();
    let found = gradients.gradients(images, Endpoint::Head, &[3, 8]).unwrap();
    let (features, shape) = engine.run_features(images).unwrap();
    assert_eq!(found.shape[..], shape[1..]);
    let largest = features.iter().copied().fold(0.0, f32::max);
    assert!(worst(&found.output, &features) < 1e-4 * largest);
    let places = found.shape[1] * found.shape[2];
    for (class, gradient) in [3, 8].into_iter().zip(&found.gradients) {
        let sums: Vec<f32> = gradient.chunks(places).map(|plane| plane.iter().sum()).collect();
        assert!(worst(&sums, &engine.classifier_row(class).unwrap()) < 1e-5);
    }
}

#[test]
fn layers_and_classes_that_do_not_exist_are_refused() {
    let (engine, gradients) = bundled();
    let options = ExplainOptions::default().with_layer(Endpoint::Block(16));
    let refused = Explainer::with_gradients(engine, options, Arc::clone(&gradients)).unwrap_err();
    assert!(matches!(refused, ExplainError::Block { index: 16, last: 15 }));
    let pixels = [0.5; 3 * 32 * 32];
    let images = Images::new(&pixels, [1, 3, 32, 32]).unwrap();
    for (layer, class, expected) in [
        (
            Endpoint::Block(16),
            0,
            "block 16: no such block; expected 0 to 15",
        ),
        (Endpoint::Stem, 10, "out of range"),
    ] {
        let error = gradients.gradients(images, layer, &[class]).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
