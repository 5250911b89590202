//! Where to compute, and in which numbers.

use std::str::FromStr;

use anyhow::{Context, ensure};
use clap::ValueEnum;
use effnet_infer::Precision;
use libtorch_ext::load_cuda;
use tch::{Cuda, Device};

use crate::launcher;
use crate::printer::Printer;

/// `--device`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeviceChoice {
    Auto,
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

impl DeviceChoice {
    /// The device, after a look at what this machine has. It must be the first that a process does
    /// with libtorch, which looks for CUDA once, and remembers.
    pub(crate) fn resolve(self, printer: &Printer) -> anyhow::Result<Device> {
        let index = match self {
            Self::Cpu => return Ok(Device::Cpu),
            Self::Auto => {
                // A driver with a libtorch that has no CUDA, or of another version: the CPU will do.
                if let Err(error) = load_cuda(None) {
                    printer.detail(format!("CUDA is not used: {error}"));
                }
                if !Cuda::is_available() {
                    return Ok(Device::Cpu);
                }
                None
            }
            Self::Cuda(index) => {
                let missing = "no CUDA device: expected an NVIDIA driver and a libtorch with CUDA (scripts/setup \
                               --cuda), run `effnet env` to see what is found";
                load_cuda(None).context(missing)?;
                ensure!(Cuda::is_available(), missing);
                index
            }
        };
        let count = usize::try_from(Cuda::device_count())?;
        let index = match index {
            Some(index) => index,
            None => launcher::device(count)?,
        };
        ensure!(index < count, "no device cuda:{index}, this machine has {count}");
        Ok(Device::Cuda(index))
    }
}

/// `--precision`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PrecisionChoice {
    Auto,
    Fp32,
    Bf16,
    Fp16,
}

impl From<PrecisionChoice> for Precision {
    fn from(choice: PrecisionChoice) -> Self {
        match choice {
            PrecisionChoice::Auto => Self::Auto,
            PrecisionChoice::Fp32 => Self::Fp32,
            PrecisionChoice::Bf16 => Self::Bf16,
            PrecisionChoice::Fp16 => Self::Fp16,
        }
    }
}
