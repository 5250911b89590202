//! Puts a model together: input, network, output and metadata.

use std::path::{Path, PathBuf};

use effnet::Parameters;
use effnet_kernels::Layers;

use crate::error::ExportError;
use crate::file::ModelParts;
use crate::graph::{ElementType, Graph, Side};
use crate::network::NetworkNodes;
use crate::options::{ExportInput, ExportOptions, ExportOutput, check_extension};
use crate::preprocessing;
use crate::protobuf::Message;

const INPUT: &str = "images";
const BATCH: Side = Side::Named("batch");

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportReport {
    /// The dimensions of the input: numbers, or names for dimensions of any size.
    pub input: Vec<String>,
    /// The dimensions of the output.
    pub output: Vec<String>,
    /// Number of bytes in all files.
    pub bytes: u64,
    /// The file with the weights, if they are not in the ONNX file.
    pub external_data: Option<PathBuf>,
}

/// A network that is ready to be written. Its weights are folded and rounded while they are written.
#[derive(Debug)]
pub struct Export<'a> {
    parts: ModelParts<'a>,
    input: Vec<String>,
    output: Vec<String>,
}

impl ExportOptions {
    /// Writes the network as an ONNX file.
    ///
    /// # Errors
    /// [`ExportError`]; existing files are then unchanged.
    pub fn write(
        &self,
        path: impl AsRef<Path>,
        parameters: &Parameters,
    ) -> Result<ExportReport, ExportError> {
        self.prepare(parameters)?.write(path)
    }

    /// Prepares a network to be written with these options, to know which files that will be.
    ///
    /// # Errors
    /// [`ExportError`] for an option that is out of range or does not fit the network.
    pub fn prepare<'a>(&self, parameters: &'a Parameters) -> Result<Export<'a>, ExportError> {
        self.check()?;
        let layers = parameters.fold()?;
        let batch = self.batch_size.map_or(BATCH, Side::Fixed);
        let mut graph = Graph::default();
        let input = add_input(&mut graph, self, batch, parameters.config().in_channels)?;
        let width = add_network(&mut graph, self, layers, &input)?;
        let output = [batch, Side::Fixed(width)];
        graph.output(self.output.name(), ElementType::Float, &output);
        let sides = |sides: &[Side]| sides.iter().map(Side::to_string).collect();
        Ok(Export {
            parts: ModelParts::new(description(self), graph, self.external_data),
            input: sides(&input.shape),
            output: sides(&output),
        })
    }
}

impl Export<'_> {
    /// Returns the file of the weights next to `path`, or `None` if they are in `path` itself.
    pub fn external_data_path(&self, path: impl AsRef<Path>) -> Option<PathBuf> {
        self.parts.data_path(path.as_ref())
    }

    /// Writes the network, and its weights to [`external_data_path`](Self::external_data_path) if there is one. Both
    /// files appear, or neither does.
    ///
    /// # Errors
    /// [`ExportError`]; existing files are then unchanged.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<ExportReport, ExportError> {
        let path = path.as_ref();
        check_extension(path)?;
        Ok(ExportReport {
            input: self.input.clone(),
            output: self.output.clone(),
            bytes: self.parts.write(path)?,
            external_data: self.external_data_path(path),
        })
    }
}

/// Adds everything from the normalised images to the output, and returns the number of values per image.
fn add_network<'a>(
    graph: &mut Graph<'a>,
    options: &ExportOptions,
    mut layers: Layers<'a>,
    input: &Input,
) -> Result<usize, ExportError> {
    let classifier = match options.output {
        ExportOutput::Features => None,
        _ => Some(layers.classifier.take().ok_or(ExportError::NoClassifier)?),
    };
    let last = classifier.as_ref().unwrap_or(&layers.head);
    let width = last.shape[0];
    let mut value = input.images.clone();
    if options.f16 {
        value = graph.cast("to_half", &value, ElementType::Float16);
    }
    let name = options.output.name();
    // The last node has the name of the output.
    let [flatten, gemm, to_float] = match (options.output, options.f16) {
        (ExportOutput::Features, false) => [name, "", ""],
        (ExportOutput::Logits, false) => ["flatten", name, ""],
        (ExportOutput::Probabilities | ExportOutput::LabelProbabilities, _) => ["flatten", "_fc", "to_float"],
        (_, true) => ["flatten", "_fc", name],
    };
    let mut network = NetworkNodes {
        graph,
        activation: layers.activation,
        is_half: options.f16,
        size: input.size,
    };
    value = network.features(&mut layers, &value, flatten);
    if let Some(classifier) = classifier {
        value = network.classifier(classifier, &value, gemm);
    }
    if options.f16 {
        value = graph.cast(to_float, &value, ElementType::Float);
    }
    // In 32 bits, whatever the weights are.
    match options.output {
        ExportOutput::Probabilities => _ = graph.node_along("Softmax", name, &[&value], -1),
        ExportOutput::LabelProbabilities => _ = graph.node("Sigmoid", name, &[&value], &[]),
        ExportOutput::Logits | ExportOutput::Features => {}
    }
    Ok(width)
}

/// The input of a graph.
struct Input {
    /// The name of the normalised images.
    images: String,
    shape: Vec<Side>,
    /// Height and width of the normalised images, if they are known.
    size: Option<[usize; 2]>,
}

fn add_input(
    graph: &mut Graph<'_>,
    options: &ExportOptions,
    batch: Side,
    channels: usize,
) -> Result<Input, ExportError> {
    let any = [Side::Named("height"), Side::Named("width")];
    let ([height, width], size) = match options.input {
        ExportInput::Size { height, width } => ([height, width].map(Side::Fixed), Some([height, width])),
        ExportInput::AnySize | ExportInput::Bytes(_) => (any, None),
    };
    let channels_side = Side::Fixed(channels);
    if let ExportInput::Bytes(transform) = options.input {
        let kernel = preprocessing::check(&transform, channels)?;
        let shape = vec![batch, height, width, channels_side];
        let bytes = graph.input(INPUT, ElementType::UInt8, &shape);
        return Ok(Input {
            images: preprocessing::add(graph, &transform, kernel, &bytes),
            shape,
            size: Some([transform.image_size; 2]),
        });
    }
    let shape = vec![batch, channels_side, height, width];
    Ok(Input {
        images: graph.input(INPUT, ElementType::Float, &shape),
        shape,
        size,
    })
}

/// The fields of a `ModelProto` other than its graph.
fn description(options: &ExportOptions) -> Message {
    let entries = options
        .metadata
        .iter()
        .map(|(key, value)| Message::default().text(1, key).text(2, value));
    let opset = Message::default().text(1, "").int(2, i64::from(options.opset));
    Message::default()
        .int(1, format_version(options.opset))
        .text(2, "effnet")
        .text(3, env!("CARGO_PKG_VERSION"))
        .message(8, &opset)
        .messages(14, entries)
}

/// The version of the file format that was current with an opset: a runtime that supports the opset supports it as well.
fn format_version(opset: u32) -> i64 {
    match opset {
        ..=14 => 7,
        15..=18 => 8,
        19 | 20 => 9,
        21 | 22 => 10,
        _ => 11,
    }
}
