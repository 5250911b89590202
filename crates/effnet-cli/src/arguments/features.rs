//! `effnet features`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{InputArguments, NetworkArguments};

#[derive(Debug, Args)]
pub struct FeaturesArguments {
    #[command(flatten)]
    pub input: InputArguments,
    /// Scale every feature vector to length 1, so that dot products are cosine similarities
    #[arg(long, help_heading = "Output")]
    pub normalize: bool,
    /// Output format [default: by the extension of --output, or json]
    #[arg(long, value_name = "FORMAT", help_heading = "Output")]
    pub format: Option<FeaturesFormat>,
    /// Write results to FILE (- for standard output) instead of standard output
    #[arg(long, short, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub network: NetworkArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FeaturesFormat {
    /// One JSON object per line
    Json,
    /// Comma-separated values with a header: the input, its features, the error
    Csv,
    /// NumPy array of float32 with one row per image; FILE.jsonl names the rows. An index for `effnet similar`
    Npy,
}
