//! `effnet evaluate`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{InferenceArguments, InspectFormat};
use crate::training::values::TaskName;

#[derive(Debug, Args)]
pub struct EvaluateArguments {
    /// Labelled images: a folder with one subfolder per class (or with val/ containing such folders), a CSV or JSON
    /// Lines file with one path and label per line, or a tar or zip archive of such a folder. Classes are identified by the network's class
    /// names, ImageNet synset ids or class numbers
    #[arg(value_name = "DATA")]
    pub data: PathBuf,
    /// What the network was trained for; auto = as its weights say, which are classify unless `effnet train` wrote them
    #[arg(long, value_name = "TASK", default_value = "auto")]
    pub task: TaskName,
    /// Columns of a table with the labels or the numbers, such as `dx` or `width,height`; by default those of the weights' run,
    /// or those that the table tells
    #[arg(long, value_name = "NAME,...")]
    pub label_column: Option<String>,
    /// Evaluate all images, including those the weights were trained on
    #[arg(long)]
    pub all: bool,
    /// Evaluate the test images of DATA (test/ beside train/ and val/, or rows with split = test), which training does not
    /// see
    #[arg(long, conflicts_with = "all")]
    pub test: bool,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = "Output")]
    pub format: InspectFormat,
    /// Write the true class, the predicted class and all probabilities for each image to FILE (.csv or .jsonl)
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub predictions: Option<PathBuf>,
    /// Write the confusion matrix to a CSV file
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub confusion_csv: Option<PathBuf>,
    /// Draw the confusion matrix to a PNG file
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub confusion_png: Option<PathBuf>,
    /// Find the temperature at which the probabilities fit these images best (temperature scaling), and write the
    /// weights with a classifier scaled by it to FILE (.safetensors)
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub calibrate: Option<PathBuf>,
    /// Overwrite the file of --calibrate even if it does not hold calibrated weights
    #[arg(long, requires = "calibrate", help_heading = "Output")]
    pub force: bool,
    #[command(flatten)]
    pub inference: InferenceArguments,
}

/// The value of `--tta`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TestTimeAugmentation {
    None,
    Flip,
}

/// The format of a machine-readable table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// One JSON object per line
    Json,
    /// Comma-separated values with a header
    Csv,
}
