//! The flags of `effnet serve`.

use std::path::PathBuf;

use clap::Args;
use effnet::{ModelName, Precision, Profile};

use super::numbers::count;
use super::{BatchSize, PreprocessingArguments, ZooArguments};

#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Network: b0, lite0, v2-s or another of `effnet models`, or an id such as b3.advprop; repeat it to serve several
    /// [default: b0]
    #[arg(long, short, value_name = "NAME")]
    pub model: Vec<ModelName>,
    /// Weights: a .pth, .pt, .safetensors, .h5 or .keras file, a run or hub folder, `hf-hub:OWNER/NAME[@REVISION]`, or
    /// an id from `effnet models`; repeat it to serve several. Clients call the network by NAME [default: the id, or
    /// the name of the folder or file]
    #[arg(long, short, value_name = "[NAME=]ID|FILE|RUN")]
    pub weights: Vec<String>,
    /// Address to listen on; 0.0.0.0 lets other machines in. A socket from systemd takes precedence
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    pub host: String,
    /// Port to listen on; 0 picks a free one, which is printed
    #[arg(long, value_name = "PORT", default_value_t = 8000)]
    pub port: u16,
    /// Serve only clients that send one of the keys in this file (one per line) as `Authorization: Bearer KEY`
    #[arg(long, value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,
    /// Class names of all networks: a text file with one name per line, or JSON [default: from the weights]
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Padding and batch-norm epsilon all weights were trained with: tf, timm or torchvision [default: inferred from
    /// the weights]
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<Profile>,
    #[command(flatten)]
    pub limits: LimitArguments,
    #[command(flatten)]
    pub preprocessing: PreprocessingArguments,
    /// Numeric precision: auto, fp32 or bf16
    #[arg(long, value_name = "PRECISION", default_value = "auto", value_parser = super::execution::precision, help_heading = "Execution")]
    pub precision: Precision,
    /// Threads for decoding and for computing [default: one per core]
    #[arg(long, value_name = "N", value_parser = count(1..=1024), help_heading = "Execution")]
    pub threads: Option<usize>,
    /// Images per batch; more than 1 rarely pays on a CPU. auto picks a size that fits in free memory
    #[arg(long, value_name = "N|auto", default_value = "1", help_heading = "Execution")]
    pub max_batch_size: BatchSize,
    /// Microseconds to wait for more images to fill a batch; 0 takes those that are waiting
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = count(0..=60_000_000), help_heading = "Execution")]
    pub max_queue_delay_us: usize,
    #[command(flatten)]
    pub zoo: ZooArguments,
}

/// What clients may demand.
#[derive(Debug, Args)]
pub struct LimitArguments {
    /// Requests in progress at a time; further ones are answered with 429
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = count(1..=65536), help_heading = "Limits")]
    pub max_concurrent_requests: usize,
    /// Images queued or in progress; a request that exceeds this is answered with 503
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = count(1..=65536), help_heading = "Limits")]
    pub max_queue_size: usize,
    /// Largest request body, in MiB; a larger one is answered with 413
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = count(1..=2048), help_heading = "Limits")]
    pub max_body_mb: usize,
    /// Largest image, in megapixels; a larger one is answered with 413 [default: 178.9, as in other commands]
    #[arg(long, value_name = "N", value_parser = count(1..=178), help_heading = "Limits")]
    pub max_megapixels: Option<usize>,
    /// Timeout of a request, from its first byte to its answer
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = count(1..=3600), help_heading = "Limits")]
    pub timeout: usize,
    /// Time to finish requests after SIGTERM or Ctrl-C
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = count(0..=3600), help_heading = "Limits")]
    pub grace: usize,
}
