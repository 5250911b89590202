//! [`Engine`]: a folded network on the device of an [`EfficientNet`].
//!
//! There is one type for all devices, so that callers need not care where they run: effnet-kernels on the
//! CPU, `CudaNetwork` on CUDA, and libtorch's operators on any other device.

use std::sync::{Mutex, MutexGuard, PoisonError};

use effnet::{Backend, BackendError, Images, Layer, LoadOptions, MemoryNeed, Parameters, Rows};
use effnet_architecture::{Config, Precision};
use effnet_core::EfficientNet;
use libtorch_ext::{concatenate, device_memory, device_name, float_slice};
use tch::{Device, Kind, Tensor};

use crate::cuda::CudaNetwork;
use crate::error::Error;
use crate::operators::{Kernels, OperatorNetwork};
use crate::pending::Pending;

/// Options for an [`Engine`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct EngineOptions {
    /// The precision to compute in.
    pub precision: Precision,
    /// CPU threads, including the caller's; all cores by default.
    pub threads: Option<usize>,
    /// On CUDA in fp32: multiply in TensorFloat-32, which rounds the factors to 10 bits of mantissa and
    /// accumulates as 32-bit floats. On tensor cores, this is several times as fast as fp32.
    pub tf32: bool,
    /// On CUDA: choose cuDNN's kernels by timing them, once per batch shape and thread. This takes seconds,
    /// and another run may choose different kernels, which round differently. A batch that is smaller than
    /// one already timed is padded to that size, so run the largest batch first.
    pub autotune: bool,
    /// Return the pooled activations of the head, `[N, features]`, even if the network has a classifier.
    pub features: bool,
}

impl EngineOptions {
    /// Sets [`precision`](Self::precision).
    #[must_use]
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Sets [`threads`](Self::threads).
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Sets [`tf32`](Self::tf32).
    #[must_use]
    pub fn with_tf32(mut self, tf32: bool) -> Self {
        self.tf32 = tf32;
        self
    }

    /// Sets [`autotune`](Self::autotune).
    #[must_use]
    pub fn with_autotune(mut self, autotune: bool) -> Self {
        self.autotune = autotune;
        self
    }

    /// Sets [`features`](Self::features).
    #[must_use]
    pub fn with_features(mut self, features: bool) -> Self {
        self.features = features;
        self
    }
}

/// A network prepared for inference.
///
/// It holds a copy of the weights, so later changes to the [`EfficientNet`] do not affect it. On a CPU, an
/// image yields the same bits in every run, whatever else is in the batch; on CUDA, equal batches yield equal
/// bits.
///
/// On CUDA, images on the CPU are copied through pinned memory on a separate stream while the device computes
/// the previous batch. The second batch of a shape is recorded as a CUDA graph if [`libtorch_ext::CudaGraph`]
/// is available, and later batches replay it.
#[derive(Debug)]
pub struct Engine {
    path: Path,
    precision: Precision,
    device: Device,
    config: Config,
}

#[derive(Debug)]
enum Path {
    Cpu(effnet::Engine),
    Cuda(CudaNetwork),
    /// Two threads must not use tch tensors at the same time.
    Operators(Mutex<OperatorNetwork>),
}

impl Engine {
    /// Folds and packs `network` for its device.
    ///
    /// # Errors
    /// [`Error::Engine`] if the device does not support the precision, or if memory runs out.
    pub fn new(network: &EfficientNet, options: EngineOptions) -> Result<Self, Error> {
        let refused = |error: &dyn std::fmt::Display| BackendError::Device(error.to_string());
        let state_dict = network.state_dict().map_err(|error| refused(&error))?;
        let parameters = Parameters::from_state_dict(network.config(), &state_dict, LoadOptions::default());
        let parameters = parameters.map_err(|error| refused(&error))?;
        Self::from_parameters(&parameters, network.device(), options)
    }

    /// Folds and packs parameters for a device.
    ///
    /// # Errors
    /// Same as [`new`](Self::new).
    pub fn from_parameters(
        parameters: &Parameters,
        device: Device,
        options: EngineOptions,
    ) -> Result<Self, Error> {
        let (path, precision) = if device == Device::Cpu {
            let mut cpu = effnet::EngineOptions::default()
                .with_precision(options.precision)
                .with_features(options.features);
            cpu.threads = options.threads;
            let engine = effnet::Engine::new(parameters, cpu)?;
            let precision = Backend::precision(&engine);
            (Path::Cpu(engine), precision)
        } else {
            tch::no_grad(|| Self::on_device(parameters, device, options))?
        };
        Ok(Self {
            path,
            precision,
            device,
            config: parameters.config().clone(),
        })
    }

    fn on_device(
        parameters: &Parameters,
        device: Device,
        options: EngineOptions,
    ) -> Result<(Path, Precision), Error> {
        let (kind, precision) = match options.precision {
            Precision::Fp32 => (Kind::Float, Precision::Fp32),
            Precision::Bf16 => (Kind::BFloat16, Precision::Bf16),
            Precision::Auto | Precision::Fp16 => (Kind::Half, Precision::Fp16),
        };
        let kernels = Kernels {
            autotune: options.autotune,
            tf32: options.tf32,
        };
        let mut layers = parameters.fold().map_err(BackendError::from)?;
        if options.features {
            layers.classifier = None;
        }
        let network = OperatorNetwork::new(&layers, device, kind, kernels)?;
        let path = match device {
            Device::Cuda(index) => Path::Cuda(CudaNetwork::new(network, index, options.autotune)?),
            _ => Path::Operators(Mutex::new(network)),
        };
        Ok((path, precision))
    }

    /// Returns the precision in use; never [`Precision::Auto`].
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Returns the device on which the engine computes.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Returns the reason why batches are not recorded as CUDA graphs; `None` if they are, and on devices
    /// other than CUDA. The answer can change when the second batch of a shape is run.
    pub fn why_no_graphs(&self) -> Option<String> {
        match &self.path {
            Path::Cuda(network) => network.not_recorded(),
            Path::Cpu(_) | Path::Operators(_) => None,
        }
    }

    /// Computes the logits `[N, classes]` of normalised images `[N, C, H, W]`, or the pooled features `[N,
    /// features]` if the network has no classifier, as 32-bit floats. The result is on the same device as the
    /// images: on the CPU, or on the engine's device.
    ///
    /// # Errors
    /// [`Error::BatchShape`], [`Error::Engine`] if memory runs out, [`Error::Torch`].
    pub fn run(&self, images: &Tensor) -> Result<Tensor, Error> {
        self.submit(images)?.wait()
    }

    /// Starts a [`run`](Self::run). For images on the CPU and a network on CUDA, this returns once the images
    /// are copied, before the device has started. In all other cases, it computes the result first.
    ///
    /// # Errors
    /// Same as [`run`](Self::run).
    pub fn submit(&self, images: &Tensor) -> Result<Pending, Error> {
        self.check(images)?;
        tch::no_grad(|| match &self.path {
            Path::Cpu(engine) => {
                let rows = with_pixels(images, |images| engine.run(images))?;
                let width = engine.output_width() as i64;
                let logits = concatenate(&[rows.values()], &[images.size()[0], width])?;
                Ok(Pending::done(logits))
            }
            Path::Cuda(network) => network.submit(images),
            Path::Operators(network) => Ok(Pending::done(lock(network).run(images)?)),
        })
    }

    /// Computes the head's activations `[N, features, H / 32, W / 32]` as 32-bit floats.
    ///
    /// # Errors
    /// Same as [`run`](Self::run).
    pub fn run_features(&self, images: &Tensor) -> Result<Tensor, Error> {
        self.check(images)?;
        tch::no_grad(|| match &self.path {
            Path::Cpu(engine) => {
                let (values, shape) = with_pixels(images, |images| engine.run_features(images))?;
                let shape: Vec<i64> = shape.into_iter().map(|side| side as i64).collect();
                Ok(concatenate(&[&values], &shape)?)
            }
            Path::Cuda(network) => network.submit_features(images)?.wait(),
            Path::Operators(network) => Ok(lock(network).run_features(images)?),
        })
    }

    fn check(&self, images: &Tensor) -> Result<(), Error> {
        let channels = self.config.in_channels;
        match images.size()[..] {
            [_, found, height, width] if found == channels as i64 && height > 0 && width > 0 => Ok(()),
            _ => Err(Error::BatchShape {
                channels,
                found: images.size(),
            }),
        }
    }
}

fn lock(network: &Mutex<OperatorNetwork>) -> MutexGuard<'_, OperatorNetwork> {
    network.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the values of a tensor in row-major order.
pub(crate) fn floats(tensor: &Tensor) -> Result<Vec<f32>, Error> {
    let local = tensor
        .f_detach()?
        .f_to_device(Device::Cpu)?
        .f_to_kind(Kind::Float)?
        .f_contiguous()?;
    let mut values = vec![0.0; local.numel()];
    local.f_copy_data(&mut values, local.numel())?;
    Ok(values)
}

/// Calls `run` with the pixels of a batch `[N, C, H, W]`, which are copied unless they are contiguous 32-bit
/// floats on the CPU.
#[allow(unsafe_code)]
fn with_pixels<R>(
    images: &Tensor,
    run: impl FnOnce(Images<'_>) -> Result<R, BackendError>,
) -> Result<R, Error> {
    let size = images.size();
    let shape = std::array::from_fn(|side| size[side] as usize);
    // SAFETY: the slice is dropped at the end of this function. Until then, only the engine runs, and it only
    // reads the slice. A tensor is not shared between threads.
    if let Some(pixels) = unsafe { float_slice(images) } {
        return Ok(run(Images::new(pixels, shape)?)?);
    }
    let pixels = floats(images)?;
    Ok(run(Images::new(&pixels, shape)?)?)
}

/// Converts a libtorch result to rows.
pub(crate) fn rows(result: &Tensor) -> Result<Rows, Error> {
    let count = result.size().first().copied().unwrap_or(0);
    Ok(Rows::new(floats(result)?, count as usize)?)
}

/// Converts images to a tensor on the CPU.
pub(crate) fn tensor(images: Images<'_>) -> Result<Tensor, Error> {
    let shape = images.shape().map(|side| side as i64);
    Ok(concatenate(&[images.pixels()], &shape)?)
}

impl Backend for Engine {
    fn submit(&self, images: Images<'_>) -> Result<effnet::Pending, BackendError> {
        if let Path::Cpu(engine) = &self.path {
            return Backend::submit(engine, images);
        }
        let pending = Engine::submit(self, &tensor(images)?)?;
        if pending.is_done() {
            return Ok(effnet::Pending::done(rows(&pending.wait()?)?));
        }
        Ok(effnet::Pending::later(move || Ok(rows(&pending.wait()?)?)))
    }

    fn engine(&self) -> &'static str {
        "fused"
    }

    fn kernels(&self) -> String {
        match &self.path {
            Path::Cpu(engine) => engine.kernels(),
            Path::Cuda(network) if network.not_recorded().is_none() => "cuda-graphs".to_owned(),
            Path::Cuda(_) | Path::Operators(_) => "libtorch".to_owned(),
        }
    }

    fn precision(&self) -> Precision {
        self.precision
    }

    fn memory_need(&self, size: [usize; 2]) -> Result<MemoryNeed, BackendError> {
        match &self.path {
            Path::Cpu(engine) => engine.memory_need(size),
            Path::Cuda(_) | Path::Operators(_) => Ok(MemoryNeed::of_modules(&self.config, size)),
        }
    }

    fn device(&self) -> String {
        device_name(self.device)
    }

    fn free_device_memory(&self) -> Result<Option<u64>, BackendError> {
        Ok(memory(self.device)?.map(|memory| memory.free))
    }

    fn peak_device_memory(&self) -> Result<Option<u64>, BackendError> {
        Ok(memory(self.device)?.map(|memory| memory.peak))
    }

    fn is_asynchronous(&self) -> bool {
        self.device.is_cuda()
    }

    fn why_no_graphs(&self) -> Option<String> {
        Engine::why_no_graphs(self)
    }

    fn profile(&self, images: Images<'_>) -> Result<Option<Vec<(Layer, f64)>>, BackendError> {
        match &self.path {
            Path::Cpu(engine) => engine.profile(images),
            Path::Cuda(_) | Path::Operators(_) => Ok(None),
        }
    }
}

/// Returns the memory of a CUDA device.
pub(crate) fn memory(device: Device) -> Result<Option<libtorch_ext::DeviceMemory>, Error> {
    match device {
        Device::Cuda(index) => Ok(Some(device_memory(index)?)),
        _ => Ok(None),
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
        let options = EngineOptions::default()
            .with_precision(Precision::Fp32)
            .with_threads(2);
        let engine = Engine::new(&network, options).unwrap();
        let state_dict = network.state_dict().unwrap();
        let parameters =
            Parameters::from_state_dict(network.config(), &state_dict, LoadOptions::default()).unwrap();
        let operators = tch::no_grad(|| {
            let layers = parameters.fold().unwrap();
            OperatorNetwork::new(&layers, Device::Cpu, Kind::Float, Kernels::default()).unwrap()
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
