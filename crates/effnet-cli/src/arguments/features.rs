//! `effnet features`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::NetworkArguments;

#[derive(Debug, Args)]
pub struct FeaturesArguments {
    /// Image files, folders (searched recursively), glob patterns, or `-` to read a list of paths from standard
    /// input
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<PathBuf>,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "json", help_heading = "Output")]
    pub format: FeaturesFormat,
    /// Write results to FILE instead of standard output
    #[arg(long, short, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub network: NetworkArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FeaturesFormat {
    /// One JSON object per line
    Json,
    /// Comma-separated values without a header: the input, then its features
    Csv,
}
