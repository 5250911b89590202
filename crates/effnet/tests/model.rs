//! Tests that [`Model`] finds everything that belongs to weights by their name alone.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use effnet::{Error, Images, Model, ModelFile, ModelOptions, PreprocessingOverrides, Profile, Task, Zoo};
use effnet_image::Image;

fn ship() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ship.png")
}

fn model() -> Model {
    Model::open("b0.cifar10").unwrap()
}

#[test]
fn bundled_weights_bring_labels_preprocessing_and_profile() {
    let model = model();
    assert_eq!(model.name(), "b0.cifar10");
    assert_eq!((model.labels().len(), model.has_labels()), (10, true));
    assert_eq!(model.transform().image_size, 128);
    assert_eq!(model.profile(), Profile::Tf);
}

#[test]
fn numbers_are_not_read_as_classes_nor_classes_as_numbers() {
    let error = model().estimate(&ship()).unwrap_err();
    assert!(error.to_string().ends_with("call `classify` instead"), "{error}");
    let options = ModelOptions::default().with_task(Task::Regression);
    let regression = Model::open_with("b0.cifar10", &options).unwrap();
    assert_eq!(regression.estimate(&ship()).unwrap().len(), 10);
    let error = regression.classify(&ship(), 1).unwrap_err();
    assert!(error.to_string().ends_with("call `estimate` instead"), "{error}");
    assert!(matches!(
        regression.classify_all([ship()], 1).err(),
        Some(Error::OtherTask { .. })
    ));
}

#[test]
fn strings_and_shared_images_are_sources() {
    let model = model();
    let path = ship().display().to_string();
    let expected = model.classify(&path, 1).unwrap();
    let image = std::sync::Arc::new(Image::open(&path).unwrap());
    assert_eq!(model.classify(&image, 1).unwrap(), expected);
    for outcome in model
        .classify_all([std::sync::Arc::clone(&image), image], 1)
        .unwrap()
    {
        assert_eq!(outcome.unwrap().1.unwrap(), expected);
    }
    let paths: [&'static str; 1] = [concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ship.png")];
    let (path, classes) = model.classify_all(paths, 1).unwrap().next().unwrap().unwrap();
    assert_eq!((path, classes.unwrap()), (paths[0], expected));
}

#[test]
fn a_path_an_image_and_pixels_give_the_same_classes() {
    let model = model();
    let image = Image::open(ship()).unwrap();
    let by_path = model.classify(&ship(), 0).unwrap();
    assert_eq!(by_path[0].label, "ship");
    assert_eq!(by_path.len(), 10);
    assert_eq!(model.classify(&image, 0).unwrap(), by_path);
    assert_eq!(model.classify(ship().to_str().unwrap(), 0).unwrap(), by_path);
    let pixels = model.transform().apply(&image).unwrap();
    let rows = model
        .logits(Images::new(&pixels, [1, 3, 128, 128]).unwrap())
        .unwrap();
    assert_eq!(rows.values()[by_path[0].class], by_path[0].logit);
}

#[test]
fn many_images_come_in_order_and_a_bad_one_fails_alone() {
    let model = model();
    let alone = model.classify(&ship(), 2).unwrap();
    let features = model.features(&ship()).unwrap();
    assert_eq!(features.len(), 1280);
    let inputs = [ship(), PathBuf::from("missing.jpg"), ship()];
    let outcomes: Vec<_> = model
        .classify_all(inputs.clone(), 2)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(outcomes.len(), 3);
    for (index, (input, classes)) in outcomes.iter().enumerate() {
        assert_eq!(*input, inputs[index]);
        match classes {
            Ok(classes) => assert_eq!(*classes, alone),
            Err(error) => {
                assert_eq!(index, 1);
                assert!(matches!(error, Error::Image(_)), "{error}");
                assert!(error.to_string().contains("missing.jpg"), "{error}");
            }
        }
    }
    let rows = model.features_all([ship()]).unwrap().map(Result::unwrap);
    let rows: Vec<_> = rows.map(|(_, row)| row.unwrap()).collect();
    assert_eq!(rows, [features]);
}

#[test]
fn an_index_is_of_one_network_and_its_preprocessing() {
    let zoo = Zoo::from_environment().unwrap();
    let weights = zoo.locate_one("b0.cifar10", &mut ()).unwrap();
    let file = ModelFile::open(weights, &ModelOptions::default()).unwrap();
    let model = model();
    let source = model.index_source().unwrap();
    assert_eq!(source, file.index_source(model.transform()).unwrap());
    assert_eq!(
        (&*source.model, &*source.weights, source.weights_sha256.len()),
        ("b0", "b0.cifar10", 64)
    );
    let preprocessing = PreprocessingOverrides::default().with_image_size(96);
    let options = ModelOptions::default().with_preprocessing(preprocessing);
    let smaller = Model::open_with("b0.cifar10", &options).unwrap();
    let other = smaller.index_source().unwrap();
    assert_eq!(other.weights_sha256, source.weights_sha256);
    assert_ne!(other.preprocessing, source.preprocessing);
}

#[test]
fn options_count_more_than_what_the_weights_say() {
    let preprocessing = PreprocessingOverrides::default().with_image_size(96);
    let options = ModelOptions::default().with_preprocessing(preprocessing);
    let model = Model::open_with("b0.cifar10", &options).unwrap();
    assert_eq!(model.transform().image_size, 96);
    let options = ModelOptions::default().with_num_classes(5);
    let error = Model::open_with("b0.cifar10", &options).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Classes {
                found: 10,
                expected: 5,
                ..
            }
        ),
        "{error}"
    );
    let error = Model::open("b0.cifar11").unwrap_err();
    assert!(matches!(error, Error::UnknownWeights { .. }), "{error}");
}
