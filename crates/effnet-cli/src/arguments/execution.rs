//! Flags for the device, precision, engine and threads.

use std::str::FromStr;

use clap::{Args, ValueEnum};
use effnet::Precision;

/// The value of `--device`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first CUDA device if libtorch finds one, otherwise the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// A CUDA device by its index. `None` stands for the device of this process: the one for its local rank, or the
    /// first.
    Cuda(Option<usize>),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(None)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(|index| Self::Cuda(Some(index)))
                .ok_or_else(|| "expected auto, cpu, cuda or cuda:N".to_owned()),
        }
    }
}

/// The value of `--engine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EngineChoice {
    /// Batch norm folded, weights packed, kernels fused
    Fused,
    /// Layer by layer, as in training (needs libtorch)
    Plain,
}

/// How to run a network.
#[derive(Debug, Args)]
pub struct ExecutionArguments {
    /// Device: auto, cpu, cuda or cuda:N (cuda needs libtorch)
    #[arg(
        long,
        value_name = "DEVICE",
        default_value = "auto",
        help_heading = "Execution"
    )]
    pub device: DeviceChoice,
    /// Numeric precision: auto, fp32, bf16 or fp16
    #[arg(long, value_name = "PRECISION", default_value = "auto", value_parser = precision, help_heading = "Execution")]
    pub precision: Precision,
    /// Inference engine
    #[arg(
        long,
        value_name = "ENGINE",
        default_value = "fused",
        help_heading = "Execution"
    )]
    pub engine: EngineChoice,
    /// Threads for decoding and computing [default: one per core, split between the processes that torchrun
    /// starts on a machine]
    #[arg(long, value_name = "N", value_parser = super::count(1..=1024), help_heading = "Execution")]
    pub threads: Option<usize>,
    /// CUDA, fp32: multiply in TensorFloat-32 (faster, 10-bit mantissa)
    #[arg(long, help_heading = "Execution")]
    pub tf32: bool,
    /// CUDA: time cuDNN's kernels for each batch shape and use the fastest (for long runs)
    #[arg(long, help_heading = "Execution")]
    pub autotune: bool,
}

pub(super) fn precision(text: &str) -> Result<Precision, String> {
    text.parse()
        .map_err(|error: effnet_architecture::Error| error.to_string())
}
