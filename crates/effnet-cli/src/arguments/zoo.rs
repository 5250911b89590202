//! Flags and commands for published weights.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use effnet::Variant;

use super::InspectFormat;

/// Where published weights come from. These flags are global, so that `cache` accepts them both before and after its
/// subcommand.
#[derive(Debug, Args)]
pub struct ZooArguments {
    /// Never download: use only weights on this machine [env: EFFNET_OFFLINE]
    #[arg(long, global = true, help_heading = "Published weights")]
    pub offline: bool,
    /// Also offer the weights listed in this manifest [env: EFFNET_MANIFEST]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Published weights")]
    pub manifest: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ModelsArguments {
    /// Also list the other weights of timm
    #[arg(long, short)]
    pub all: bool,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: InspectFormat,
    #[command(flatten)]
    pub zoo: ZooArguments,
}

#[derive(Debug, Args)]
pub struct DownloadArguments {
    /// Ids from `effnet models --all`; a variant selects its default weights
    #[arg(value_name = "ID", required_unless_present = "all_of")]
    pub ids: Vec<String>,
    /// Download all weights of a variant
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
    /// List downloaded files
    List {
        /// Output format
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        format: InspectFormat,
    },
    /// Check each file against its published SHA-256
    Verify,
    /// Remove leftovers of interrupted downloads
    Prune {
        /// Also remove files that do not belong to any known weights
        #[arg(long)]
        unknown: bool,
        /// Show what would be removed, without removing it
        #[arg(long)]
        dry_run: bool,
    },
}
