//! [`ExportOptions`]: what is written for a network.

use std::collections::BTreeMap;
use std::path::Path;

use effnet_image::EvalTransform;

use crate::error::ExportError;
use crate::graph::{FIRST_OPSET, LAST_OPSET};

/// The largest side of an image in pixels, as elsewhere.
const MOST_PIXELS: usize = 8192;
const MOST_IMAGES: usize = 65536;

/// The input of an exported network.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum ExportInput {
    /// Normalised images `[N, 3, height, width]` of any size.
    #[default]
    AnySize,
    /// Normalised images `[N, 3, height, width]` of one size.
    Size {
        /// Height in pixels.
        height: usize,
        /// Width in pixels.
        width: usize,
    },
    /// Bytes `[N, height, width, 3]` in RGB order, of any size: the file contains this transform.
    Bytes(EvalTransform),
}

/// The output of an exported network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ExportOutput {
    /// Logits `[N, classes]`.
    #[default]
    Logits,
    /// Probabilities `[N, classes]` of one class per image, the softmax of the logits.
    Probabilities,
    /// Probabilities `[N, labels]` of any number of labels per image, the sigmoid of each logit.
    LabelProbabilities,
    /// Pooled features `[N, features]`, the embeddings before the classifier.
    Features,
}

impl ExportOutput {
    /// The name of the output in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Logits => "logits",
            Self::Probabilities | Self::LabelProbabilities => "probabilities",
            Self::Features => "features",
        }
    }
}

/// Options for writing a network as an ONNX file.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ExportOptions {
    /// The ONNX opset version, 13 to 23.
    pub opset: u32,
    /// The input.
    pub input: ExportInput,
    /// The batch size; `None` leaves it open.
    pub batch_size: Option<usize>,
    /// The output.
    pub output: ExportOutput,
    /// Whether weights and activations are 16-bit floats. Input and output remain 32-bit floats.
    pub f16: bool,
    /// Whether to write the weights to a file of their own, `NAME.onnx.data`. Models above 2 GB, the limit of the
    /// format, are always written this way.
    pub external_data: bool,
    /// Entries for the metadata of the model.
    pub metadata: BTreeMap<String, String>,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self {
            opset: 17,
            input: ExportInput::default(),
            batch_size: None,
            output: ExportOutput::default(),
            f16: false,
            external_data: false,
            metadata: BTreeMap::new(),
        }
    }
}

impl ExportOptions {
    /// Sets [`opset`](Self::opset).
    #[must_use]
    pub fn with_opset(mut self, opset: u32) -> Self {
        self.opset = opset;
        self
    }

    /// Sets [`input`](Self::input).
    #[must_use]
    pub fn with_input(mut self, input: ExportInput) -> Self {
        self.input = input;
        self
    }

    /// Sets [`batch_size`](Self::batch_size).
    #[must_use]
    pub fn with_batch_size(mut self, batch_size: impl Into<Option<usize>>) -> Self {
        self.batch_size = batch_size.into();
        self
    }

    /// Sets [`output`](Self::output).
    #[must_use]
    pub fn with_output(mut self, output: ExportOutput) -> Self {
        self.output = output;
        self
    }

    /// Sets [`f16`](Self::f16).
    #[must_use]
    pub fn with_f16(mut self, f16: bool) -> Self {
        self.f16 = f16;
        self
    }

    /// Sets [`external_data`](Self::external_data).
    #[must_use]
    pub fn with_external_data(mut self, external_data: bool) -> Self {
        self.external_data = external_data;
        self
    }

    /// Sets [`metadata`](Self::metadata).
    #[must_use]
    pub fn with_metadata(mut self, metadata: BTreeMap<String, String>) -> Self {
        self.metadata = metadata;
        self
    }

    /// Checks the options, as [`write`](Self::write) does.
    ///
    /// # Errors
    /// [`ExportError`] for the first option that is out of range.
    pub fn check(&self) -> Result<(), ExportError> {
        let opset = self.opset;
        if !(FIRST_OPSET..=LAST_OPSET).contains(&opset) {
            return Err(ExportError::Opset { opset });
        }
        size("the batch size", self.batch_size.unwrap_or(1), MOST_IMAGES)?;
        match self.input {
            ExportInput::AnySize => Ok(()),
            ExportInput::Size { height, width } => {
                size("the height", height, MOST_PIXELS)?;
                size("the width", width, MOST_PIXELS)
            }
            ExportInput::Bytes(transform) => size("the image size", transform.image_size, MOST_PIXELS),
        }
    }
}

/// Checks that a path has the extension of an ONNX file.
///
/// Public for the other crates of this workspace.
///
/// # Errors
/// [`ExportError::Extension`].
pub fn check_extension(path: &Path) -> Result<(), ExportError> {
    let extension = path
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default();
    if extension.eq_ignore_ascii_case("onnx") {
        return Ok(());
    }
    Err(ExportError::Extension {
        path: path.to_owned(),
    })
}

fn size(name: &'static str, found: usize, most: usize) -> Result<(), ExportError> {
    if (1..=most).contains(&found) {
        return Ok(());
    }
    Err(ExportError::Size { name, most, found })
}
