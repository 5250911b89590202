//! Compares maps with the arithmetic of grad-cam and captum on the networks of the reference packages, and explains
//! images of the bundled network.
#![allow(clippy::print_stderr, reason = "a skipped test says so")]
#![allow(clippy::unwrap_used, reason = "a test may panic if its own files are broken")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;

use effnet::{
    Checkpoint, ClassMap, Endpoint, Engine, EngineOptions, Error, ExplainError, ExplainMethod,
    ExplainOptions, ExplainedClasses, Explainer, Images, Labels, LoadOptions, Model, ModelFile, ModelOptions,
    Profile, StateDict, Weights, WeightsContent,
};
use effnet_image::Image;

/// The reference Python, or `None` after reporting why the test is skipped, also to the file `EFFNET_SKIP_LOG`.
fn python(test: &str) -> Option<PathBuf> {
    if let Some(python) = std::env::var_os("EFFNET_REFERENCE_PYTHON") {
        return Some(python.into());
    }
    let why = "EFFNET_REFERENCE_PYTHON is not set";
    eprintln!("skipped: {test}: {why}");
    if let Some(log) = std::env::var_os("EFFNET_SKIP_LOG") {
        let mut log = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(log)
            .unwrap();
        writeln!(log, "skipped: {test}: {why}").unwrap();
    }
    None
}

fn engine(path: PathBuf, profile: Profile) -> Engine {
    let weights = Weights {
        name: path.display().to_string(),
        content: WeightsContent::File(path),
        entry: None,
    };
    let file = ModelFile::open(weights, &ModelOptions::default().with_profile(profile)).unwrap();
    let config = file.config(file.num_classes());
    let parameters = file.parameters(&config, LoadOptions::default()).unwrap();
    Engine::new(&parameters, EngineOptions::default().with_threads(2)).unwrap()
}

/// Scales a map as grad-cam does, so that its values are from 0 to 1.
fn scaled(values: &[f32]) -> Vec<f32> {
    let values: Vec<f32> = values.iter().map(|value| value.max(0.0)).collect();
    let least = values.iter().copied().fold(f32::INFINITY, f32::min);
    let most = values.iter().copied().fold(0.0, f32::max) - least;
    values
        .iter()
        .map(|value| (value - least) / (1e-7 + most))
        .collect()
}

fn worst(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f32::max)
}

/// The method, and the layer, that the reference calls by this name.
fn method(name: &str) -> ExplainOptions {
    let options = ExplainOptions::default().with_batch_size(7);
    match name {
        "gradcam" => options,
        "layercam" => options.with_method(ExplainMethod::LayerCam),
        "occlusion" => options.with_method(ExplainMethod::Occlusion),
        "scorecam" => options.with_method(ExplainMethod::ScoreCam),
        "scorecam_block" => options
            .with_method(ExplainMethod::ScoreCam)
            .with_layer(Endpoint::Block(4)),
        _ => panic!("{name}"),
    }
}

fn explain(engine: &Engine, images: &effnet_checkpoint::Tensor, class: usize, name: &str) -> ClassMap {
    let shape: [usize; 4] = images.shape().try_into().unwrap();
    let pixels = images.floats().unwrap();
    let explainer = Explainer::new(engine.clone(), method(name)).unwrap();
    let images = Images::new(&pixels, shape).unwrap();
    let labels = Labels::numbered(1000);
    let classes = ExplainedClasses::Class(class);
    let explanation = explainer.explain(images, classes, &labels, &AtomicBool::new(false));
    let mut explanation = explanation.unwrap();
    assert_eq!(explanation.predictions[0].class, class);
    explanation.maps.remove(0)
}

/// Compares all maps of a case, and returns their number.
fn compare(engine: &Engine, expected: &StateDict) -> usize {
    let mut compared = 0;
    for (key, tensor) in expected {
        let [size, class, name] = key.split('.').collect::<Vec<_>>()[..] else {
            continue;
        };
        if matches!(name, "gradcam_block" | "layercam_block") {
            continue; // They need gradients; effnet-torch compares them.
        }
        let images = expected.get(&format!("{size}.images")).unwrap();
        let map = explain(engine, images, class.parse().unwrap(), name);
        assert_eq!(&[map.height(), map.width()], tensor.shape(), "{key}");
        let wanted = tensor.floats().unwrap();
        let difference = worst(&scaled(map.values()), &scaled(&wanted));
        assert!(difference < 1e-3, "{key}: {difference}");
        if name == "occlusion" {
            // The drops themselves, those below 0 included.
            let largest = wanted.iter().map(|drop| drop.abs()).fold(0.0, f32::max);
            assert!(worst(map.values(), &wanted) < 1e-3 * largest, "{key}");
        }
        compared += 1;
    }
    compared
}

#[test]
fn maps_equal_those_of_grad_cam_and_captum() {
    let Some(python) = python("maps_equal_those_of_grad_cam_and_captum") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("timm:b0", Profile::Timm),
        ("timm-tf:lite0", Profile::Tf),
        ("torchvision:v2-s", Profile::Torchvision),
    ];
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/reference/explain_reference.py");
    let names = cases.map(|(case, _)| case);
    let output = Command::new(python)
        .arg(script)
        .arg(folder.path())
        .args(names)
        .output();
    let output = output.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for (case, profile) in cases {
        let path = folder.path().join(case.replace(':', "-"));
        let engine = engine(path.with_extension("pth"), profile);
        let expected = Checkpoint::open(path.with_extension("safetensors")).unwrap();
        let compared = compare(&engine, expected.state_dict());
        let of_head = usize::from(case == "timm-tf:lite0");
        assert_eq!(compared, 2 * (3 * 2 + 2) + of_head, "{case}");
    }
}

/// The bundled network of ten classes.
fn model() -> Model {
    Model::open("b0.cifar10").unwrap()
}

const SHIP: &str = "../../docs/ship.png";

#[test]
fn the_mean_of_a_map_is_the_logit_and_the_predictions_are_those_of_classify() {
    let model = model();
    let all = ExplainedClasses::Best(99);
    let explanation = model.explain(SHIP, all, ExplainOptions::default()).unwrap();
    assert_eq!(explanation.predictions, model.classify(SHIP, 0).unwrap());
    assert_eq!(explanation.maps.len(), 10);
    // The mean differs from the logit by the bias of the class, which does not depend on the image.
    let bias = |image: &Image| {
        let explanation = model.explain(image, all, ExplainOptions::default()).unwrap();
        let classes = explanation.predictions.iter().zip(&explanation.maps);
        let mut biases: Vec<(usize, f32)> = classes
            .map(|(prediction, map)| {
                let mean = map.values().iter().sum::<f32>() / map.values().len() as f32;
                (prediction.class, prediction.logit - mean)
            })
            .collect();
        biases.sort_by_key(|&(class, _)| class);
        biases.into_iter().map(|(_, bias)| bias).collect::<Vec<_>>()
    };
    let ship = bias(&Image::open(SHIP).unwrap());
    let grey = bias(&Image::from_rgb8(40, 50, vec![90; 40 * 50 * 3]).unwrap());
    assert!(worst(&ship, &grey) < 1e-4, "{ship:?} {grey:?}");
}

#[test]
fn every_method_explains_the_smallest_image() {
    let model = model();
    let pixel = Image::from_rgb8(1, 1, vec![200, 10, 10]).unwrap();
    for method in [
        ExplainMethod::Cam,
        ExplainMethod::LayerCam,
        ExplainMethod::Occlusion,
    ] {
        let options = ExplainOptions::default().with_method(method);
        let explanation = model.explain(&pixel, ExplainedClasses::Best(2), options).unwrap();
        for map in &explanation.maps {
            assert!(map.scaled().iter().all(|value| (0.0..=1.0).contains(value)));
        }
    }
}

#[test]
fn what_cannot_be_explained_is_refused() {
    let model = model();
    let refused = |classes: ExplainedClasses, options: ExplainOptions| match model
        .explain(SHIP, classes, options)
        .unwrap_err()
    {
        Error::Explain(error) => error,
        error => panic!("{error}"),
    };
    let best = ExplainedClasses::Best(1);
    let options = ExplainOptions::default();
    let error = refused(ExplainedClasses::Class(10), options);
    assert!(matches!(error, ExplainError::Class { class: 10, last: 9 }));
    for method in [ExplainMethod::Cam, ExplainMethod::LayerCam] {
        let error = refused(best, options.with_method(method).with_layer(Endpoint::Block(3)));
        assert!(error.to_string().contains("needs gradients"), "{error}");
    }
    let error = refused(
        best,
        options
            .with_method(ExplainMethod::ScoreCam)
            .with_layer(Endpoint::Block(16)),
    );
    assert!(matches!(error, ExplainError::Block { index: 16, last: 15 }));
    let error = refused(
        best,
        options
            .with_method(ExplainMethod::Occlusion)
            .with_layer(Endpoint::Stem),
    );
    assert!(matches!(error, ExplainError::Layer));
}

#[test]
fn a_stopped_method_ends_before_its_next_pass() {
    let model = model();
    let options = ExplainOptions::default().with_method(ExplainMethod::ScoreCam);
    let explainer = Explainer::new(model.engine().clone(), options).unwrap();
    assert_eq!(explainer.passes(128).unwrap(), 1281);
    let pixels = vec![0.5; 3 * 128 * 128];
    let images = Images::new(&pixels, [1, 3, 128, 128]).unwrap();
    let best = ExplainedClasses::Best(1);
    let stopped = explainer.explain(images, best, model.labels(), &AtomicBool::new(true));
    assert!(matches!(stopped, Err(ExplainError::Stopped)));
}
