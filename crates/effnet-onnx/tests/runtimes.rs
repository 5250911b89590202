//! Exports networks of the reference packages, and compares what ONNX Runtime and OpenVINO compute with what the
//! packages compute.
#![allow(clippy::print_stderr, reason = "the differences are printed")]
#![allow(clippy::unwrap_used, reason = "a test may panic if its own files are broken")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use effnet::{
    Backend as _, Engine, EngineOptions, Images, LoadOptions, ModelFile, ModelOptions, Parameters, Precision,
    Profile, Weights, WeightsContent,
};
use effnet_image::{EvalTransform, Interpolation, ResizeMode};
use effnet_onnx::{ExportInput, ExportOptions, ExportOutput};
use rten_tensor::NdTensorView;
use rten_tensor::prelude::*;
use serde_json::{Value, json};
use test_support::{interpreter_with, skip};

const SIZES: [[usize; 2]; 4] = [[223, 223], [224, 224], [225, 225], [300, 217]];

/// The reference Python, or `None` after reporting why the test is skipped.
fn python(test: &str) -> Option<PathBuf> {
    let python = interpreter_with("onnx, onnxruntime").map_err(|reason| skip(test, &reason));
    python.ok()
}

/// A folder with the weights and expected outputs of cases such as `timm:b0`, and jobs for the runtimes.
struct Bench {
    python: PathBuf,
    folder: tempfile::TempDir,
    jobs: Vec<Value>,
    /// The largest differences in ONNX Runtime and in OpenVINO.
    bounds: Vec<[f64; 2]>,
}

impl Bench {
    fn new(test: &str, cases: &[&str]) -> Option<Self> {
        let bench = Self {
            python: python(test)?,
            folder: tempfile::tempdir().unwrap(),
            jobs: Vec::new(),
            bounds: Vec::new(),
        };
        let mut make = bench.script("make");
        let output = make.args(cases).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Some(bench)
    }

    fn script(&self, task: &str) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/reference/onnx_reference.py");
        let mut command = Command::new(&self.python);
        command.arg(script).arg(task).arg(self.folder.path());
        command
    }

    /// Loads the weights of a case in the profile of its package.
    fn parameters(&self, case: &str) -> Parameters {
        let path = self.folder.path().join(format!("{}.pth", case.replace(':', "-")));
        let profile = match case.split_once(':').unwrap() {
            ("torchvision", "b5" | "b6" | "b7" | "v2-s") => Profile::Torchvision,
            ("timm" | "torchvision", _) => Profile::Timm,
            _ => Profile::Tf,
        };
        let weights = Weights {
            name: case.to_owned(),
            content: WeightsContent::File(path),
            entry: None,
        };
        let file = ModelFile::open(weights, &ModelOptions::default().with_profile(profile)).unwrap();
        file.parameters(&file.config(file.num_classes()), LoadOptions::default())
            .unwrap()
    }

    fn export(&self, name: &str, options: &ExportOptions, parameters: &Parameters) {
        let report = options.write(self.folder.path().join(name), parameters).unwrap();
        let file = |path: &Path| std::fs::metadata(path).unwrap().len();
        let bytes = file(&self.folder.path().join(name)) + report.external_data.as_deref().map_or(0, file);
        assert_eq!(report.bytes, bytes);
        assert_eq!(report.external_data.is_some(), options.external_data);
    }

    /// Asks for the outputs of a file for some images of a case, within `bound` of the expected ones. OpenVINO may
    /// differ five times as much: it multiplies in other orders and approximates the sigmoid otherwise.
    fn expect(&mut self, file: &str, case: &str, tensors: [&str; 2], batch: usize, bound: f64) {
        self.expect_within(file, case, tensors, batch, [bound, 5.0 * bound]);
    }

    fn expect_within(
        &mut self,
        file: &str,
        case: &str,
        [images, expected]: [&str; 2],
        batch: usize,
        bounds: [f64; 2],
    ) {
        self.jobs.push(json!({
            "file": file,
            "tensors": format!("{}.safetensors", case.replace(':', "-")),
            "images": images,
            "expected": expected,
            "batch": batch,
        }));
        self.bounds.push(bounds);
    }

    /// Runs all jobs and checks the differences. Returns the answers.
    fn run(self) -> Vec<Value> {
        let mut process = self
            .script("run")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = process.stdin.take().unwrap();
        let jobs: Vec<String> = self.jobs.iter().map(|job| format!("{job}\n")).collect();
        let writer = std::thread::spawn(move || stdin.write_all(jobs.concat().as_bytes()).unwrap());
        let output = process.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(output.status.success());
        let answers = String::from_utf8(output.stdout).unwrap();
        let answers: Vec<Value> = answers
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(answers.len(), self.jobs.len());
        for ((answer, job), bounds) in answers.iter().zip(&self.jobs).zip(self.bounds) {
            eprintln!("{} {}: {answer}", job["file"], job["expected"]);
            assert!(answer["onnxruntime"].is_f64(), "{answer}");
            for (runtime, bound) in ["onnxruntime", "openvino"].into_iter().zip(bounds) {
                let found = answer[runtime].as_f64().unwrap_or(0.0);
                assert!(found < bound, "{job}: {runtime}: {found}");
            }
        }
        answers
    }
}

fn sized([height, width]: [usize; 2], output: &str) -> [String; 2] {
    [
        format!("{height}x{width}.images"),
        format!("{height}x{width}.{output}"),
    ]
}

fn plain() -> ExportOptions {
    ExportOptions::default()
}

fn fixed([height, width]: [usize; 2]) -> ExportOptions {
    plain().with_input(ExportInput::Size { height, width })
}

const BOUND: f64 = 2e-5;
/// PyTorch's own logits of the random B7 in 32 bits are 2.4e-5 from those in 64 bits.
const BOUND_OF_B7: f64 = 5e-5;

#[test]
fn runtimes_compute_the_logits_of_every_package_at_every_size() {
    let mut cases = vec![
        "lukemelas:b0",
        "timm:b0",
        "lukemelas:lite0",
        "timm-tf:v2-s",
        "torchvision:v2-s",
    ];
    // The other variants differ in width and depth only, and take a few minutes.
    if std::env::var_os("EFFNET_EVERY_VARIANT").is_some() {
        cases.extend(["lukemelas:b1", "lukemelas:b2", "timm:b3", "timm:b4"]);
        cases.extend(["torchvision:b5", "lukemelas:b6", "torchvision:b7"]);
    }
    let test = "runtimes_compute_the_logits_of_every_package_at_every_size";
    let Some(mut bench) = Bench::new(test, &cases) else {
        return;
    };
    for case in &cases {
        let parameters = bench.parameters(case);
        let bound = if case.ends_with("b7") { BOUND_OF_B7 } else { BOUND };
        let name = case.replace(':', "-");
        let any = format!("{name}.any.onnx");
        bench.export(&any, &plain(), &parameters);
        for size in SIZES {
            let [images, expected] = sized(size, "logits");
            for batch in [1, 3] {
                bench.expect(&any, case, [&images, &expected], batch, bound);
            }
        }
        for size in &SIZES[2..] {
            let file = format!("{name}.{}.onnx", size[0]);
            bench.export(&file, &fixed(*size), &parameters);
            let [images, expected] = sized(*size, "logits");
            bench.expect(&file, case, [&images, &expected], 3, bound);
        }
    }
    bench.run();
}

/// Images of waves, which differ in direction and length.
fn waves([count, channels, height, width]: [usize; 4]) -> Vec<f32> {
    let planes = (0..count * channels).map(|plane| plane as f32);
    let pixels = planes.flat_map(|plane| {
        let places = (0..height * width).map(move |place| ((place / width) as f32, (place % width) as f32));
        places.map(move |(y, x)| (0.05 * plane * y + 0.3 * x).sin() + (0.7 * y - 0.02 * plane * x).cos())
    });
    pixels.collect()
}

/// Runs a file in RTen, a runtime in Rust.
fn run_in_rten(path: &Path, pixels: &[f32], shape: [usize; 4]) -> Vec<f32> {
    let model = rten::Model::load_file(path).unwrap();
    let images = NdTensorView::from_data(shape, pixels);
    let logits = model.run_one(images.into(), None).unwrap();
    logits.into_tensor::<f32>().unwrap().to_vec()
}

#[test]
fn a_runtime_in_rust_computes_the_logits_of_the_engine() {
    let cases = ["timm:b0", "lukemelas:lite0", "torchvision:v2-s"];
    let Some(bench) = Bench::new("a_runtime_in_rust_computes_the_logits_of_the_engine", &cases) else {
        return;
    };
    for case in cases {
        let parameters = bench.parameters(case);
        let options = EngineOptions::default()
            .with_precision(Precision::Fp32)
            .with_threads(1);
        let engine = Engine::new(&parameters, options).unwrap();
        bench.export("any.onnx", &plain(), &parameters);
        for (size, count) in [([65, 65], 1), ([96, 71], 3)] {
            bench.export("fixed.onnx", &fixed(size), &parameters);
            let shape = [count, 3, size[0], size[1]];
            let pixels = waves(shape);
            let expected = engine.run(Images::new(&pixels, shape).unwrap()).unwrap();
            let largest = expected
                .values()
                .iter()
                .fold(0.0_f32, |most, value| most.max(value.abs()));
            for file in ["any.onnx", "fixed.onnx"] {
                let found = run_in_rten(&bench.folder.path().join(file), &pixels, shape);
                assert_eq!(found.len(), expected.values().len());
                let differences = found.iter().zip(expected.values()).map(|(a, b)| (a - b).abs());
                let worst = differences.fold(0.0, f32::max) / largest;
                eprintln!("{case} {file} {shape:?}: {worst:.1e}");
                assert!(worst < 1e-4, "{case} {file} {shape:?}: {worst}");
            }
        }
    }
}

#[test]
fn options_change_the_output_the_type_and_the_files() {
    let test = "options_change_the_output_the_type_and_the_files";
    let cases = ["timm:b0", "lukemelas:lite0"];
    let Some(mut bench) = Bench::new(test, &cases) else {
        return;
    };
    let metadata: BTreeMap<String, String> = [("labels", "[\"Hündchen\"]"), ("profile", "timm")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    let probabilities = plain().with_output(ExportOutput::Probabilities);
    let features = plain().with_output(ExportOutput::Features);
    let options = [
        ("opset13", "logits", plain().with_opset(13), BOUND),
        ("opset18", "logits", plain().with_opset(18), BOUND),
        ("opset20", "logits", plain().with_opset(20), BOUND),
        ("opset22", "logits", plain().with_opset(22), BOUND),
        ("opset23", "logits", plain().with_opset(23), BOUND),
        // A probability near 1 has few digits to lose, and one near 0 does not count.
        ("probabilities", "probabilities", probabilities, 1e-4),
        ("features", "features", features, BOUND),
        ("f16", "logits", plain().with_f16(true), 1e-2),
        ("batch3", "logits", plain().with_batch_size(3), BOUND),
        ("data", "logits", plain().with_external_data(true), BOUND),
        ("metadata", "logits", plain().with_metadata(metadata), BOUND),
    ];
    for case in cases {
        let parameters = bench.parameters(case);
        for (name, output, options, bound) in &options {
            let file = format!("{}.{name}.onnx", case.replace(':', "-"));
            bench.export(&file, options, &parameters);
            let [images, expected] = sized(SIZES[3], output);
            bench.expect(&file, case, [&images, &expected], 3, *bound);
        }
    }
    let answers = bench.run();
    let metadata = &answers[options.len() - 1]["metadata"];
    assert_eq!(metadata, &json!({"labels": "[\"Hündchen\"]", "profile": "timm"}));
}

#[test]
fn bytes_are_resized_cropped_and_normalised_as_by_pillow() {
    let test = "bytes_are_resized_cropped_and_normalised_as_by_pillow";
    let case = "timm:b0";
    let Some(mut bench) = Bench::new(test, &[case]) else {
        return;
    };
    let parameters = bench.parameters(case);
    for (filter, interpolation, side) in [
        ("bilinear", Interpolation::Bilinear, 256),
        ("bicubic", Interpolation::Bicubic, 232),
    ] {
        for mode in ["short", "squash"] {
            let mut transform = EvalTransform::new(224)
                .with_resize_size(side)
                .with_interpolation(interpolation);
            if mode == "squash" {
                transform.resize = ResizeMode::Squash(224.0 / side as f64);
            }
            let file = format!("{filter}.{mode}.onnx");
            let options = plain().with_input(ExportInput::Bytes(transform));
            bench.export(&file, &options.with_opset(13), &parameters);
            let sizes: &[&str] = match mode {
                "squash" => &["97x61"],
                _ => &["224x224", "480x641", "641x481", "150x999", "881x304"],
            };
            for size in sizes {
                let [images, expected] = [format!("{size}.bytes"), format!("{size}.{filter}")];
                // The same bytes as Pillow's in ONNX Runtime; OpenVINO has no doubles, and decides ties otherwise.
                bench.expect_within(&file, case, [&images, &expected], 1, [BOUND, 5e-2]);
            }
        }
    }
    bench.run();
}
