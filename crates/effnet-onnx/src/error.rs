//! Errors from writing an ONNX file.
//!
//! They name the command-line flags that fix them, because `effnet export` prints them unchanged.

use std::io;
use std::path::PathBuf;

use effnet_checkpoint::TensorError;
use effnet_image::ImageError;

use crate::graph::{FIRST_OPSET, LAST_OPSET};

/// The reason why a network could not be written. Existing files are unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The ONNX opset version is not supported.
    #[error("--opset {opset}: expected a version from {FIRST_OPSET} to {LAST_OPSET}")]
    Opset {
        /// The requested version.
        opset: u32,
    },
    /// The preprocessing cannot be expressed in ONNX.
    #[error("--with-preprocessing: expected {expected}, found {found}")]
    Preprocessing {
        /// The requirement.
        expected: String,
        /// The preprocessing of the weights.
        found: String,
    },
    /// The preprocessing has an option that is out of range.
    #[error(transparent)]
    Transform(#[from] ImageError),
    /// A size is out of range.
    #[error("{name}: expected a number from 1 to {most}, found {found}")]
    Size {
        /// The name of the size.
        name: &'static str,
        /// The largest size.
        most: usize,
        /// The requested size.
        found: usize,
    },
    /// The network has no classifier.
    #[error("these weights have no classifier; pass --features to export the pooled features")]
    NoClassifier,
    /// The extension is unknown.
    #[error("{}: unknown extension, expected .onnx", path.display())]
    Extension {
        /// The file.
        path: PathBuf,
    },
    /// A weight cannot be represented.
    #[error("`{name}`: the weight {value:.3e} is out of range of 16-bit floats; export with --dtype f32")]
    OutOfRange {
        /// The name of the tensor.
        name: String,
        /// The weight, after folding the batch normalisation.
        value: f32,
    },
    /// The values of a tensor cannot be read.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// The operating system returned an error.
    #[error("{}: cannot write: {source}; check the folder, its permissions and the free space", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
}
