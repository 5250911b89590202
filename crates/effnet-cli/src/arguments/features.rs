//! `effnet features`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::NetworkArguments;

#[derive(Debug, Args)]
pub struct FeaturesArguments {
    /// Image files, folders (searched recursively), glob patterns, or `-` for a list of paths on
    /// standard input
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<PathBuf>,
    #[command(flatten)]
    pub network: NetworkArguments,
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "json")]
    pub format: FeaturesFormat,
    /// Write the results to a file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FeaturesFormat {
    /// One JSON object a line
    Json,
    /// Comma-separated values without a header: the input, then its features
    Csv,
}
