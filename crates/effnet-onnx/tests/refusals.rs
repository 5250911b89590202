//! What cannot be exported is refused, in words that say what to do, and nothing is written.
#![allow(clippy::unwrap_used, reason = "a test may panic if its own files are broken")]

use effnet::{Config, LoadOptions, Parameters, Variant};
use effnet_checkpoint::{DType, StateDict, Tensor};
use effnet_image::{EvalTransform, Interpolation, ResizeMode};
use effnet_onnx::{ExportInput, ExportOptions, ExportOutput};

/// Lite0 with this value as every weight.
fn parameters(config: &Config, value: f32) -> Parameters {
    let tensors = config.parameter_list().into_iter().filter_map(|parameter| {
        let count = parameter.shape.iter().product::<usize>();
        let bytes = value.to_le_bytes().repeat(count);
        let tensor = Tensor::from_bytes(DType::F32, parameter.shape, bytes).unwrap();
        (!parameter.name.ends_with("num_batches_tracked")).then_some((parameter.name, tensor))
    });
    let state_dict: StateDict = tensors.collect();
    Parameters::from_state_dict(config, &state_dict, LoadOptions::default()).unwrap()
}

fn config() -> Config {
    Config::new(Variant::Lite0).with_num_classes(2)
}

/// Returns the message, after checking that nothing was written.
fn refused(options: &ExportOptions, name: &str, parameters: &Parameters) -> String {
    let folder = tempfile::tempdir().unwrap();
    let error = options.write(folder.path().join(name), parameters).unwrap_err();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{error}");
    error.to_string()
}

#[test]
fn options_out_of_range_are_refused() {
    let parameters = parameters(&config(), 0.5);
    let size = |height, width| ExportInput::Size { height, width };
    let options = ExportOptions::default;
    for (options, name, expected) in [
        (
            options().with_opset(12),
            "a.onnx",
            "--opset 12: expected a version from 13 to 23",
        ),
        (
            options().with_opset(24),
            "a.onnx",
            "--opset 24: expected a version from 13 to 23",
        ),
        (options(), "a.pb", "unknown extension, expected .onnx"),
        (
            options().with_batch_size(0),
            "a.onnx",
            "the batch size: expected a number from 1 to 65536, found 0",
        ),
        (
            options().with_input(size(0, 9)),
            "a.onnx",
            "the height: expected a number from 1 to 8192, found 0",
        ),
        (
            options().with_input(size(9, 9000)),
            "a.onnx",
            "the width: expected a number from 1 to 8192, found 9000",
        ),
    ] {
        let message = refused(&options, name, &parameters);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn preprocessing_that_a_graph_cannot_do_is_refused() {
    let input = |resize| {
        let mut transform = EvalTransform::new(224)
            .with_resize_size(256)
            .with_interpolation(Interpolation::Bilinear);
        transform.resize = resize;
        ExportOptions::default().with_input(ExportInput::Bytes(transform))
    };
    let rgb = parameters(&config(), 0.5);
    let message = refused(&input(ResizeMode::ShortSide(200)), "a.onnx", &rgb);
    assert_eq!(
        message,
        "--with-preprocessing: expected images that are resized to at least the size of the crop, 224 pixels, found a \
         resize to 200"
    );
    let message = refused(&input(ResizeMode::CropPct(f64::NAN)), "a.onnx", &rgb);
    assert!(message.contains("a crop fraction above 0"), "{message}");
    let nearest = EvalTransform::new(224)
        .with_resize_size(256)
        .with_interpolation(Interpolation::Nearest);
    let options = ExportOptions::default().with_input(ExportInput::Bytes(nearest));
    let message = refused(&options, "a.onnx", &rgb);
    assert!(
        message.contains("expected a bilinear or bicubic resize"),
        "{message}"
    );
    let mut grey = config();
    grey.in_channels = 1;
    let message = refused(
        &input(ResizeMode::ShortSide(256)),
        "a.onnx",
        &parameters(&grey, 0.5),
    );
    assert!(message.contains("found one with 1 input channels"), "{message}");
}

#[test]
fn weights_beyond_16_bits_are_refused_by_name() {
    // Folded into a convolution, a weight becomes 300 * 300 / sqrt(300).
    let parameters = parameters(&config(), 300.0);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.onnx");
    ExportOptions::default()
        .with_f16(true)
        .write(&path, &parameters)
        .unwrap();
    let large = self::parameters(&config(), 3000.0);
    let message = refused(&ExportOptions::default().with_f16(true), "a.onnx", &large);
    assert_eq!(
        message,
        "`_conv_stem.weight`: the weight 1.643e5 is out of range of 16-bit floats; export with --dtype f32"
    );
    let message = refused(
        &ExportOptions::default().with_f16(true).with_external_data(true),
        "a.onnx",
        &large,
    );
    assert!(message.starts_with("`_conv_stem.weight`"), "{message}");
}

#[test]
fn only_features_can_be_exported_without_a_classifier() {
    let mut config = config();
    config.include_top = false;
    let parameters = parameters(&config, 0.5);
    let message = refused(&ExportOptions::default(), "a.onnx", &parameters);
    assert_eq!(
        message,
        "these weights have no classifier; pass --features to export the pooled features"
    );
    let folder = tempfile::tempdir().unwrap();
    let options = ExportOptions::default().with_output(ExportOutput::Features);
    let report = options.write(folder.path().join("A.ONNX"), &parameters).unwrap();
    assert_eq!(report.input, ["batch", "3", "height", "width"]);
    assert_eq!(report.output, ["batch", "1280"]);
}
