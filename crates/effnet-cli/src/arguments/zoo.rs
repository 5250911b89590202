//! The commands around published weights.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use effnet::Variant;

use super::InspectFormat;

/// Where published weights come from. Global, so that `cache` takes them before and after its verb.
#[derive(Debug, Args)]
#[command(next_help_heading = "Published weights")]
pub struct ZooArguments {
    /// Fetch nothing: use what is on this machine [env: EFFNET_OFFLINE]
    #[arg(long, global = true)]
    pub offline: bool,
    /// Know the weights of this manifest too [env: EFFNET_MANIFEST]
    #[arg(long, global = true, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ModelsArguments {
    /// List timm's weights too
    #[arg(long, short)]
    pub all: bool,
    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: InspectFormat,
    #[command(flatten)]
    pub zoo: ZooArguments,
}

#[derive(Debug, Args)]
pub struct DownloadArguments {
    /// Ids that `effnet models --all` lists; a variant stands for its default weights
    #[arg(value_name = "ID", required_unless_present = "all_of")]
    pub ids: Vec<String>,
    /// All weights of a variant
    #[arg(long, value_name = "VARIANT")]
    pub all_of: Vec<Variant>,
    #[command(flatten)]
    pub zoo: ZooArguments,
}

#[derive(Debug, Args)]
pub struct CacheArguments {
    #[command(subcommand)]
    pub command: CacheCommand,
    #[command(flatten)]
    pub zoo: ZooArguments,
}

#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// List the files that were fetched
    List {
        /// What to print
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        format: InspectFormat,
    },
    /// Compute the digest of each file and compare it with the published one
    Verify,
    /// Remove what interrupted downloads left
    Prune {
        /// Remove files that belong to no known weights too
        #[arg(long)]
        unknown: bool,
        /// Say what would be removed, and remove nothing
        #[arg(long)]
        dry_run: bool,
    },
}
