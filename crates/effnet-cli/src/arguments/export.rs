//! The flags of `effnet export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::numbers::count;
use super::{ModelArguments, PreprocessingArguments};

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
#[command(allow_missing_positional = true)]
pub struct ExportArguments {
    /// Weights to export, instead of --model and --weights: a checkpoint, a run or hub folder, or an id from `effnet
    /// models`
    #[arg(value_name = "IN", conflicts_with_all = ["model", "weights"])]
    pub input: Option<String>,
    /// File to write, with the extension .onnx
    #[arg(value_name = "OUT", required = true)]
    pub output: PathBuf,
    #[command(flatten)]
    pub model: ModelArguments,
    /// Class names to record in the file [default: from the weights]
    #[arg(long, value_name = "FILE", conflicts_with = "features")]
    pub labels: Option<PathBuf>,
    /// ONNX opset version
    #[arg(long, value_name = "N", default_value_t = 17, value_parser = count(13..=23))]
    pub opset: usize,
    /// Fixed batch size [default: any]
    #[arg(long, value_name = "N", value_parser = count(1..=65536))]
    pub batch_size: Option<usize>,
    /// Accept images of any size; with profile tf, this needs a runtime that supports `auto_pad` [default: the size of
    /// the network only]
    #[arg(long, conflicts_with_all = ["image_size", "with_preprocessing"])]
    pub dynamic_size: bool,
    /// Include the preprocessing: take RGB bytes [N, height, width, 3] of any size; resize, crop and normalise them
    #[arg(long)]
    pub with_preprocessing: bool,
    /// Output probabilities of one class per image instead of logits
    #[arg(long, conflicts_with = "features")]
    pub softmax: bool,
    /// Output probabilities of any number of labels per image instead of logits
    #[arg(long, conflicts_with_all = ["features", "softmax"])]
    pub sigmoid: bool,
    /// Output the pooled features before the classifier (embeddings)
    #[arg(long)]
    pub features: bool,
    /// Data type of weights and activations; the output is always f32, and the input, too, unless
    /// --with-preprocessing makes it bytes
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    pub dtype: ExportType,
    /// Write the weights to a second file, OUT.data; always done above 2 GB
    #[arg(long)]
    pub external_data: bool,
    /// Run OUT in ONNX Runtime or OpenVINO (from the python3 on the PATH), and compare its output with effnet's
    #[arg(long)]
    pub check: bool,
    /// Overwrite OUT if it exists
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub preprocessing: PreprocessingArguments,
}

/// The value of `--dtype`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportType {
    F32,
    F16,
}
