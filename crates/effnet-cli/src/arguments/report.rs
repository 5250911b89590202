//! `effnet report`.

use std::path::PathBuf;

use clap::Args;

use super::{ExecutionArguments, ZooArguments};

#[derive(Debug, Args)]
pub struct ReportArguments {
    /// Run folder of a training run
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    #[command(flatten)]
    pub execution: ExecutionArguments,
    #[command(flatten)]
    pub zoo: ZooArguments,
}
