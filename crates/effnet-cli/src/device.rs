//! Where to compute, and in which numbers.

use std::str::FromStr;

use anyhow::{bail, ensure};
use clap::ValueEnum;
use tch::{Cuda, Device, Kind};

/// `--device`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeviceChoice {
    Auto,
    Cpu,
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| "expected auto, cpu, cuda or cuda:N".to_owned()),
        }
    }
}

impl DeviceChoice {
    /// The device, after a look at what this machine has.
    pub(crate) fn resolve(self) -> anyhow::Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Auto => Ok(if Cuda::is_available() {
                Device::Cuda(0)
            } else {
                Device::Cpu
            }),
            Self::Cuda(index) => {
                ensure!(
                    Cuda::is_available(),
                    "no CUDA device: expected an NVIDIA driver and a libtorch with CUDA (scripts/setup \
                     --cuda), run `effnet env` to see what is found"
                );
                let count = Cuda::device_count();
                ensure!(
                    (index as i64) < count,
                    "no device cuda:{index}, this machine has {count}"
                );
                Ok(Device::Cuda(index))
            }
        }
    }
}

/// `--precision`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Precision {
    Auto,
    Fp32,
    Bf16,
    Fp16,
}

impl Precision {
    /// The kind of the parameters and activations.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Auto | Self::Fp32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
            Self::Fp16 => Kind::Half,
        }
    }
}

/// Sets the number of threads of libtorch and of the decoder.
pub(crate) fn set_threads(threads: Option<u16>) -> anyhow::Result<()> {
    let Some(threads) = threads else { return Ok(()) };
    tch::set_num_threads(i32::from(threads));
    if let Err(error) = rayon::ThreadPoolBuilder::new()
        .num_threads(usize::from(threads))
        .build_global()
    {
        bail!("cannot start {threads} threads: {error}");
    }
    Ok(())
}
