//! The engine: one network, prepared for one device and one precision.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use effnet_core::EfficientNet;
use libtorch_ext::{FusedNetwork, Part};
use tch::{Device, Kind, Tensor};

use crate::cuda::CudaNetwork;
use crate::fold::fold;
use crate::operators::{Kernels, OperatorNetwork};
use crate::{Error, MemoryNeed, Pending};

/// What the network is computed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// The fastest that keeps the classes of 99 % of photos whatever the classifier: fp32 on a CPU,
    /// where bf16 keeps them of 97 % with a random classifier of a thousand classes, whose best two
    /// are near each other, and of all with a fitted one; fp16 on CUDA, whose rounding was simulated
    /// only: it costs about 1 % of the logits. [`Engine::precision`] says which.
    #[default]
    Auto,
    /// 32-bit floats; logits within 1e-4 of the plain network's, unless [`EngineConfig::tf32`].
    Fp32,
    /// bfloat16 weights and activations, 32-bit sums; logits off by about 1 % (mean relative error, B0
    /// to B7). On a CPU the layers before the second stage stay in 32 bits; elsewhere every layer is in
    /// 16, for which 5 % to 8 % were simulated.
    Bf16,
    /// 16-bit floats; CUDA only.
    Fp16,
}

impl Precision {
    /// The name on the command line: `auto`, `fp32`, `bf16`, `fp16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Fp32 => "fp32",
            Self::Bf16 => "bf16",
            Self::Fp16 => "fp16",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How an [`Engine`] is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EngineConfig {
    /// What to compute in.
    pub precision: Precision,
    /// Threads on the CPU, the caller's included; `None` means as many as libtorch uses.
    pub threads: Option<usize>,
    /// On CUDA in fp32: multiply in TensorFloat-32, which rounds the factors to 10 bits of mantissa
    /// and adds in 32-bit floats. Tensor cores do it several times as fast as fp32.
    pub tf32: bool,
    /// On CUDA: choose cuDNN's kernels by timing them, anew for each shape of a batch in each thread.
    /// That takes seconds, and other runs of the program may choose others, which round otherwise. A
    /// batch smaller than one that was timed is filled up to it: the largest should be the first.
    pub autotune: bool,
}

/// A network made ready for inference.
///
/// It holds a copy of the weights: what happens to the [`EfficientNet`] afterwards does not reach
/// it. On a CPU equal inputs give equal bits, run after run, and whatever else is in the batch; on
/// CUDA equal batches do.
///
/// On CUDA, images on the CPU are brought to the device through pinned memory on a stream of their
/// own, beside the batch before them. The second batch of a shape is recorded as a CUDA graph where
/// [`libtorch_ext::CudaGraph`] is available, and later ones replay it.
///
/// ```no_run
/// use effnet_core::{EfficientNet, Variant};
/// use effnet_infer::{Engine, EngineConfig};
/// use tch::{Device, Kind, Tensor, nn};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = nn::VarStore::new(Device::Cpu);
/// let network = EfficientNet::new(&store.root(), &Variant::B0.config())?;
/// let engine = Engine::new(&network, EngineConfig::default())?;
/// let images = Tensor::zeros([8, 3, 224, 224], (Kind::Float, Device::Cpu));
/// assert_eq!(engine.run(&images)?.size(), [8, 1000]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Engine {
    path: Path,
    precision: Precision,
    device: Device,
    channels: i64,
}

#[derive(Debug)]
enum Path {
    Fused(FusedNetwork),
    Cuda(CudaNetwork),
    /// A tensor is not to be seen by two threads at a time.
    Operators(Mutex<OperatorNetwork>),
}

impl Engine {
    /// Folds and packs `network`, on the device where it lies.
    ///
    /// # Errors
    /// [`Error::Precision`] for a precision that the device lacks, [`Error::Fused`] and
    /// [`Error::Torch`] when memory is short.
    pub fn new(network: &EfficientNet, config: EngineConfig) -> Result<Self, Error> {
        tch::no_grad(|| Self::build(network, config))
    }

    fn build(network: &EfficientNet, config: EngineConfig) -> Result<Self, Error> {
        let device = network.device();
        let parts = fold(network)?;
        let (path, precision) = if device == Device::Cpu {
            let threads = config
                .threads
                .unwrap_or_else(|| usize::try_from(tch::get_num_threads()).unwrap_or(1));
            let precision = on_cpu(config.precision)?;
            let arithmetic = match precision {
                Precision::Bf16 => libtorch_ext::Precision::Bf16,
                _ => libtorch_ext::Precision::Fp32,
            };
            (
                Path::Fused(FusedNetwork::new(&parts, arithmetic, threads)?),
                precision,
            )
        } else {
            let (kind, precision) = match config.precision {
                Precision::Fp32 => (Kind::Float, Precision::Fp32),
                Precision::Bf16 => (Kind::BFloat16, Precision::Bf16),
                Precision::Auto | Precision::Fp16 => (Kind::Half, Precision::Fp16),
            };
            let kernels = Kernels {
                autotune: config.autotune,
                tf32: config.tf32,
            };
            let network = OperatorNetwork::new(parts, device, kind, kernels)?;
            let path = match device {
                Device::Cuda(index) => Path::Cuda(CudaNetwork::new(network, index, config.autotune)?),
                _ => Path::Operators(Mutex::new(network)),
            };
            (path, precision)
        };
        Ok(Self {
            path,
            precision,
            device,
            channels: network.config().in_channels,
        })
    }

    /// The precision in use; never [`Precision::Auto`].
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Where it computes: where the network lay.
    pub fn device(&self) -> Device {
        self.device
    }

    /// What computes: `avx512bf16`, `avx512`, `avx2` or `baseline` for the fused kernels on a CPU,
    /// `cuda-graphs` where batches are recorded, `libtorch` elsewhere.
    pub fn backend(&self) -> &str {
        match &self.path {
            Path::Fused(network) => network.instruction_set(),
            Path::Cuda(network) if network.not_recorded().is_none() => "cuda-graphs",
            Path::Cuda(_) | Path::Operators(_) => "libtorch",
        }
    }

    /// Why batches are not recorded as CUDA graphs; `None` where they are, and where no CUDA device
    /// computes. It can change when the second batch of a shape is run.
    pub fn without_graphs(&self) -> Option<String> {
        match &self.path {
            Path::Cuda(network) => network.not_recorded(),
            Path::Fused(_) | Path::Operators(_) => None,
        }
    }

    /// Logits `[N, classes]` in 32-bit floats of normalised images `[N, C, H, W]`; of a network
    /// without a classifier the averaged features `[N, features]`. They lie where the images do: on
    /// the CPU or on the device. Calls from several threads take turns.
    ///
    /// # Errors
    /// [`Error::BatchShape`], [`Error::Fused`] when memory is short, [`Error::Torch`].
    pub fn run(&self, images: &Tensor) -> Result<Tensor, Error> {
        self.submit(images)?.wait()
    }

    /// Starts a [`run`](Self::run). For images on the CPU and a network on CUDA it returns before the
    /// device has begun, with the images copied; everywhere else it computes.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn submit(&self, images: &Tensor) -> Result<Pending, Error> {
        self.check(images)?;
        tch::no_grad(|| match &self.path {
            Path::Fused(network) => Ok(Pending::done(network.run(images)?)),
            Path::Cuda(network) => network.submit(images),
            Path::Operators(network) => {
                let network = network.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(Pending::done(network.run(images)?))
            }
        })
    }

    /// The head's activations `[N, features, H / 32, W / 32]` in 32-bit floats.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_features(&self, images: &Tensor) -> Result<Tensor, Error> {
        self.check(images)?;
        tch::no_grad(|| match &self.path {
            Path::Fused(network) => Ok(network.run_features(images)?),
            Path::Cuda(network) => network.submit_features(images)?.wait(),
            Path::Operators(network) => {
                let network = network.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(network.run_features(images)?)
            }
        })
    }

    /// One [`run`](Self::run) and the seconds that each part of the network took, which add up to its
    /// time. `None` where libtorch's operators compute.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn profile(&self, images: &Tensor) -> Result<Option<Vec<(Part, f64)>>, Error> {
        self.check(images)?;
        match &self.path {
            Path::Fused(network) => Ok(Some(tch::no_grad(|| network.profile(images))?)),
            Path::Cuda(_) | Path::Operators(_) => Ok(None),
        }
    }

    /// The memory that [`run`](Self::run) takes for activations of images of `[height, width]`, and
    /// keeps for the next call. `None` where libtorch's allocator decides.
    ///
    /// # Errors
    /// [`Error::Fused`] for a size that no image has.
    pub fn memory_need(&self, size: [i64; 2]) -> Result<Option<MemoryNeed>, Error> {
        match &self.path {
            Path::Fused(network) => {
                let memory = network.activation_memory(size)?;
                Ok(Some(MemoryNeed {
                    fixed: memory.threads,
                    per_image: memory.image,
                }))
            }
            Path::Cuda(_) | Path::Operators(_) => Ok(None),
        }
    }

    fn check(&self, images: &Tensor) -> Result<(), Error> {
        match images.size()[..] {
            [_, channels, height, width] if channels == self.channels && height > 0 && width > 0 => Ok(()),
            _ => Err(Error::BatchShape {
                channels: self.channels,
                found: images.size(),
            }),
        }
    }
}

fn on_cpu(asked: Precision) -> Result<Precision, Error> {
    match asked {
        Precision::Auto | Precision::Fp32 => Ok(Precision::Fp32),
        Precision::Bf16 => Ok(Precision::Bf16),
        Precision::Fp16 => Err(Error::Precision {
            precision: "fp16",
            device: "the CPU".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use effnet_core::Variant;
    use tch::nn;

    #[test]
    fn operators_and_fused_kernels_agree() {
        tch::manual_seed(7);
        let store = nn::VarStore::new(Device::Cpu);
        let network = EfficientNet::new(&store.root(), &Variant::B0.config()).unwrap();
        let images = Tensor::rand([2, 3, 65, 71], (Kind::Float, Device::Cpu));
        let config = EngineConfig {
            precision: Precision::Fp32,
            threads: Some(2),
            ..EngineConfig::default()
        };
        let engine = Engine::new(&network, config).unwrap();
        let operators = tch::no_grad(|| {
            let parts = fold(&network).unwrap();
            OperatorNetwork::new(parts, Device::Cpu, Kind::Float, Kernels::default()).unwrap()
        });
        for (fused, plain) in [
            (
                engine.run(&images).unwrap(),
                tch::no_grad(|| operators.run(&images).unwrap()),
            ),
            (
                engine.run_features(&images).unwrap(),
                tch::no_grad(|| operators.run_features(&images).unwrap()),
            ),
        ] {
            assert_eq!(fused.size(), plain.size());
            let difference = (&fused - &plain).abs().max().double_value(&[]);
            assert!(
                difference <= 1e-4 * plain.abs().max().double_value(&[]),
                "{difference}"
            );
        }
    }
}
