//! `--check`: runs the exported file in a runtime, and compares it with the engine that `classify` uses.
//!
//! A file can be valid and still compute something else in a runtime. The runtime is the one of the user's Python,
//! because that is where most files are run first, and because linking one would make this program several times as
//! large.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use effnet::{Engine, EngineOptions, Images, Parameters};
use effnet_image::{EvalTransform, Image};
use effnet_onnx::{ExportInput, ExportOptions, ExportOutput};

use crate::Printer;
use crate::escape;
use crate::printer::counted;

const SCRIPT: &str = include_str!("check.py");
/// The exit code of the script if there is no runtime.
const NO_RUNTIME: i32 = 3;
/// The number of images, unless the file requires another one.
const IMAGES: usize = 2;
/// The largest differences that are not a fault, as fractions of the largest expected value.
const BOUND: f64 = 1e-4;
const BOUND_OF_F16: f64 = 2e-2;
/// OpenVINO has no doubles, so that some bytes of a resized image are one level off.
const BOUND_OF_BYTES_IN_OPENVINO: f64 = 5e-2;

/// A Python with ONNX Runtime or OpenVINO.
pub(crate) struct Runtime {
    python: &'static str,
    /// Name and version.
    name: String,
}

impl Runtime {
    /// Finds the Python on the PATH.
    pub(crate) fn find() -> anyhow::Result<Self> {
        for python in ["python3", "python"] {
            let Ok(output) = Command::new(python)
                .args(["-c", SCRIPT])
                .stdin(Stdio::null())
                .output()
            else {
                continue;
            };
            if output.status.success() {
                let name = last_line(&output.stdout);
                return Ok(Self { python, name });
            }
            ensure!(
                output.status.code() == Some(NO_RUNTIME),
                "--check: {python} cannot import its runtime: {}",
                last_line(&output.stderr)
            );
            bail!(
                "--check: {python} has neither onnxruntime nor openvino; install one (pip install onnxruntime) or omit \
                 --check"
            );
        }
        bail!("--check: no python3 on the PATH; install Python with onnxruntime or openvino, or omit --check")
    }

    /// Runs a file, and returns its output.
    fn run(&self, path: &Path, shape: [usize; 4], bytes: Vec<u8>) -> anyhow::Result<Vec<f32>> {
        let mut process = Command::new(self.python)
            .args(["-c", SCRIPT])
            .arg(path)
            .args(shape.map(|side| side.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", self.python))?;
        let stdin = process.stdin.take();
        // The script may fail before it reads its input; its own message says why.
        let writer = std::thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&bytes)));
        let output = process.wait_with_output()?;
        drop(writer.join());
        ensure!(
            output.status.success(),
            "{} cannot run the file: {}",
            self.name,
            last_line(&output.stderr)
        );
        let (values, rest) = output.stdout.as_chunks::<4>();
        ensure!(rest.is_empty(), "{}: the output was cut off", self.name);
        Ok(values.iter().map(|&value| f32::from_le_bytes(value)).collect())
    }
}

/// The file to check, described by what it was made from.
pub(crate) struct Check<'a> {
    pub(crate) transform: EvalTransform,
    pub(crate) options: &'a ExportOptions,
    pub(crate) parameters: &'a Parameters,
}

impl Check<'_> {
    /// Runs the file on random images, and prints how much its output differs from that of the engine.
    pub(crate) fn run(&self, runtime: &Runtime, path: &Path, printer: &Printer) -> anyhow::Result<()> {
        let count = self.options.batch_size.unwrap_or(IMAGES);
        let (found, expected) = match self.options.input {
            ExportInput::Bytes(_) => self.of_bytes(runtime, path, count)?,
            _ => self.of_pixels(runtime, path, count)?,
        };
        ensure!(
            found.len() == expected.len(),
            "expected {} values, found {}",
            expected.len(),
            found.len()
        );
        let (bound, difference) = (self.bound(runtime), difference(&found, &expected));
        // NaN is not small either.
        ensure!(
            difference <= bound,
            "{}: the {} differ by {difference:.1e} of the largest, expected at most {bound:.0e}; please report this \
             with the weights and the version of the runtime",
            runtime.name,
            self.options.output.name()
        );
        printer.note(format!(
            "checked with {}: the {} of {} differ by at most {difference:.1e} of the largest",
            runtime.name,
            self.options.output.name(),
            counted(count, "random image")
        ));
        Ok(())
    }

    fn bound(&self, runtime: &Runtime) -> f64 {
        match self.options.input {
            ExportInput::Bytes(_) if runtime.name.starts_with("OpenVINO") => BOUND_OF_BYTES_IN_OPENVINO,
            _ if self.options.f16 => BOUND_OF_F16,
            _ => BOUND,
        }
    }

    /// Returns the outputs of the file and of the engine for normalised images.
    fn of_pixels(
        &self,
        runtime: &Runtime,
        path: &Path,
        count: usize,
    ) -> anyhow::Result<(Vec<f32>, Vec<f32>)> {
        let (height, width) = match self.options.input {
            ExportInput::Size { height, width } => (height, width),
            // Of two sides that differ by one, one is odd.
            _ => (self.transform.image_size, self.transform.image_size + 1),
        };
        let shape = [count, self.parameters.config().in_channels, height, width];
        let mut random = fastrand::Rng::with_seed(1);
        let pixels: Vec<f32> = std::iter::repeat_with(|| 4.0 * random.f32() - 2.0)
            .take(shape.iter().product())
            .collect();
        let bytes = pixels.iter().flat_map(|pixel| pixel.to_le_bytes()).collect();
        let found = runtime.run(path, shape, bytes)?;
        Ok((found, self.expected(&pixels, shape)?))
    }

    /// Returns the outputs of the file and of the engine for images in bytes, which this program transforms.
    fn of_bytes(&self, runtime: &Runtime, path: &Path, count: usize) -> anyhow::Result<(Vec<f32>, Vec<f32>)> {
        let side = self.transform.image_size;
        let (height, width) = (side * 2, side * 3 / 2 + 1);
        let mut random = fastrand::Rng::with_seed(1);
        let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
            .take(count * height * width * 3)
            .collect();
        let mut pixels = Vec::new();
        for image in bytes.chunks_exact(height * width * 3) {
            let image = Image::from_rgb8(width, height, image.to_vec())?;
            pixels.extend(self.transform.apply(&image)?);
        }
        let found = runtime.run(path, [count, height, width, 3], bytes)?;
        Ok((found, self.expected(&pixels, [count, 3, side, side])?))
    }

    fn expected(&self, pixels: &[f32], shape: [usize; 4]) -> anyhow::Result<Vec<f32>> {
        let features = self.options.output == ExportOutput::Features;
        let options = EngineOptions::default().with_features(features);
        let rows = effnet::Backend::run(
            &Engine::new(self.parameters, options)?,
            Images::new(pixels, shape)?,
        )?;
        let width = rows.width();
        let mut values = rows.into_values();
        match self.options.output {
            ExportOutput::Probabilities => values.chunks_exact_mut(width).for_each(softmax),
            ExportOutput::LabelProbabilities => values.iter_mut().for_each(sigmoid),
            _ => {}
        }
        Ok(values)
    }
}

fn softmax(row: &mut [f32]) {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<f64> = row.iter().map(|&logit| f64::from(logit - most).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    for (value, exponential) in row.iter_mut().zip(exponentials) {
        *value = (exponential / sum) as f32;
    }
}

fn sigmoid(value: &mut f32) {
    *value = (1.0 / (1.0 + f64::from(-*value).exp())) as f32;
}

/// The largest difference as a fraction of the largest expected value, or NaN.
fn difference(found: &[f32], expected: &[f32]) -> f64 {
    let most = |values: &mut dyn Iterator<Item = f32>| {
        values.fold(0.0_f32, |most, value| {
            if value.is_nan() || most.is_nan() {
                f32::NAN
            } else {
                most.max(value.abs())
            }
        })
    };
    let differences = &mut found
        .iter()
        .zip(expected)
        .map(|(found, expected)| found - expected);
    f64::from(most(differences)) / f64::from(most(&mut expected.iter().copied()))
}

/// The last line that a program printed, which has the message of Python's exceptions.
fn last_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let line = text.trim_end().lines().last().unwrap_or("no message");
    escape::line(&line.chars().take(400).collect::<String>()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_relative_and_nan_is_none() {
        assert_eq!(difference(&[1.0, -4.5], &[1.0, -4.0]), 0.125);
        assert!(difference(&[1.0, f32::NAN], &[1.0, -4.0]).is_nan());
        assert!(difference(&[1.0, f32::INFINITY], &[1.0, -4.0]).is_infinite());
    }

    #[test]
    fn probabilities_sum_to_one() {
        let mut row = [1000.0, 1000.0, -1000.0, 999.0];
        softmax(&mut row);
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert_eq!((row[0], row[2]), (row[1], 0.0));
        assert!((row[0] / row[3] - std::f32::consts::E).abs() < 1e-5);
    }
}
