//! `effnet evaluate`.

use std::path::PathBuf;

use clap::Args;

use super::{InferenceArguments, InspectFormat};

#[derive(Debug, Args)]
pub struct EvaluateArguments {
    /// A folder with a folder of images for each class, or with val/ and such folders there; a CSV file
    /// with a path and a label a line; or a tar archive of such a folder. Classes are named as the
    /// network names them, or by their ImageNet ids or numbers
    #[arg(value_name = "DATA")]
    pub data: PathBuf,
    #[command(flatten)]
    pub inference: InferenceArguments,
    /// Measure all images, also those that the run of the weights was trained on
    #[arg(long)]
    pub all: bool,
    /// Write the confusion matrix as a table
    #[arg(long, value_name = "FILE")]
    pub confusion_csv: Option<PathBuf>,
    /// Draw the confusion matrix
    #[arg(long, value_name = "FILE")]
    pub confusion_png: Option<PathBuf>,
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: InspectFormat,
}
