//! `effnet similar`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::numbers::count;
use super::{InputArguments, NetworkArguments};

#[derive(Debug, Args)]
pub struct SimilarArguments {
    #[command(flatten)]
    pub input: InputArguments,
    /// Images to search: a folder, or an index from `effnet features --output FILE.npy`. The index of a folder is kept
    /// in it as effnet-features.npy, and brought up to date when its images change
    #[arg(long, value_name = "DIR|FILE.npy")]
    pub index: PathBuf,
    /// Rebuild the index of a folder, for example for another network
    #[arg(long)]
    pub rebuild: bool,
    /// Number of similar images to report per query
    #[arg(
        long,
        short = 'k',
        value_name = "N",
        default_value_t = 5,
        value_parser = count(1..=100_000),
        help_heading = "Output"
    )]
    pub top_k: usize,
    /// Output format [default: by the extension of --output, or text]
    #[arg(long, value_name = "FORMAT", help_heading = "Output")]
    pub format: Option<SimilarFormat>,
    /// Write results to FILE (- for standard output) instead of standard output
    #[arg(long, short, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub network: NetworkArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SimilarFormat {
    /// Human-readable text
    Text,
    /// One JSON object per line
    Json,
    /// Comma-separated values with a header
    Csv,
    /// Contact sheet: one row per query, the query first
    Png,
}
