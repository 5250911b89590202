//! Flags for the images that `classify` and `features` read, and for where results and sorted images go.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::InferenceArguments;
use super::numbers::count;

/// The images to read.
#[derive(Debug, Args)]
pub struct InputArguments {
    /// Image files, folders (searched recursively), glob patterns, zip or tar archives, http(s) URLs, or `-` to
    /// read an image or a list of paths from standard input
    #[arg(required_unless_present = "list", value_name = "INPUT")]
    pub inputs: Vec<PathBuf>,
    /// Also read the paths in this file, one per line or separated by NUL
    #[arg(long, value_name = "FILE")]
    pub list: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ClassifyArguments {
    #[command(flatten)]
    pub input: InputArguments,
    /// Number of classes to report per image (0 = all) [default: 5 or, for several labels per image, those that reach
    /// their thresholds]
    #[arg(
        long,
        short = 'k',
        value_name = "N",
        value_parser = count(0..),
        help_heading = "Output"
    )]
    pub top_k: Option<usize>,
    /// Report only classes with at least this probability, from 0 to 1, in place of thresholds
    #[arg(
        long,
        value_name = "P",
        allow_negative_numbers = true,
        value_parser = probability,
        help_heading = "Output"
    )]
    pub min_probability: Option<f64>,
    /// Output format [default: by the extension of --output, or text]
    #[arg(long, value_name = "FORMAT", help_heading = "Output")]
    pub format: Option<Format>,
    /// Write results to FILE (- for standard output) instead of standard output
    #[arg(long, short, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub sorting: SortingArguments,
    #[command(flatten)]
    pub inference: InferenceArguments,
}

/// Flags that sort images into one folder per class.
#[derive(Debug, Args)]
pub struct SortingArguments {
    /// Copy each image to DIR/CLASS, the folder of its most likely class; nothing is overwritten
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub copy_to: Option<PathBuf>,
    /// Make a symbolic link to each image in DIR/CLASS
    #[arg(long, value_name = "DIR", conflicts_with = "copy_to", help_heading = "Output")]
    pub link_to: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Human-readable text
    Text,
    /// One JSON object per line
    Json,
    /// Comma-separated values with a header
    Csv,
}

fn probability(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("expected a probability from 0 to 1, such as 0.5".to_owned()),
    }
}
