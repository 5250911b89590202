//! How a network is computed.

use std::str::FromStr;

use clap::{Args, ValueEnum};
use effnet::Precision;

/// `--device`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first CUDA device if there is one and a libtorch that can use it, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// `None` for the one that is this process's: the first, or that of its rank on this machine.
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

/// `--engine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EngineChoice {
    /// Folded, packed and fused
    Fused,
    /// Layer by layer, as in training (libtorch)
    Plain,
}

/// What decides how a network is computed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Execution")]
pub struct ExecutionArguments {
    /// Where to compute: auto, cpu, cuda or cuda:N (cuda needs libtorch)
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceChoice,
    /// Numbers to compute with: auto, fp32, bf16 or fp16
    #[arg(long, value_name = "PRECISION", default_value = "auto", value_parser = precision)]
    pub precision: Precision,
    /// What computes: the fused engine, or the network layer by layer
    #[arg(long, value_name = "ENGINE", default_value = "fused")]
    pub engine: EngineChoice,
    /// Threads for decoding and computing [default: one per core; of several processes that
    /// torchrun starts on a machine, each has its share]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// On CUDA in fp32: multiply in TensorFloat-32, faster and with 10 bits of mantissa
    #[arg(long)]
    pub tf32: bool,
    /// On CUDA: time cuDNN's kernels for each shape of a batch and take the fastest, for long runs
    #[arg(long)]
    pub autotune: bool,
}

fn precision(text: &str) -> Result<Precision, String> {
    text.parse()
        .map_err(|error: effnet_architecture::Error| error.to_string())
}
