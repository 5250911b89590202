//! `--engine plain`: the network's own layers, called through libtorch one after another, without folding.
//! The fused engine is checked against this engine.

use std::sync::{Mutex, MutexGuard, PoisonError};

use effnet::{Backend, BackendError, Images, MemoryNeed, Parameters, Pending};
use effnet_architecture::{Config, Precision};
use effnet_core::EfficientNet;
use libtorch_ext::device_name;
use tch::{Device, Kind, Tensor, nn};

use crate::engine::{memory, rows, tensor};
use crate::error::Error;

/// An unfused network.
#[derive(Debug)]
pub(crate) struct PlainNetwork {
    /// Two threads must not use tch tensors at the same time.
    network: Mutex<EfficientNet>,
    config: Config,
    device: Device,
    precision: Precision,
    features: bool,
}

impl PlainNetwork {
    /// Creates the network. With `features`, it returns the pooled activations of the head instead of logits.
    pub(crate) fn new(
        parameters: &Parameters,
        device: Device,
        precision: Precision,
        features: bool,
    ) -> Result<Self, effnet_core::Error> {
        let mut store = nn::VarStore::new(device);
        let network = EfficientNet::from_parameters(&store.root(), parameters)?;
        store.freeze();
        let precision = match precision {
            Precision::Auto => Precision::Fp32,
            chosen => chosen,
        };
        match precision {
            Precision::Bf16 => store.bfloat16(),
            Precision::Fp16 => store.half(),
            Precision::Auto | Precision::Fp32 => {}
        }
        Ok(Self {
            network: Mutex::new(network),
            config: parameters.config().clone(),
            device,
            precision,
            features,
        })
    }

    fn compute(&self, images: &Tensor) -> Result<Tensor, tch::TchError> {
        let kind = match self.precision {
            Precision::Bf16 => Kind::BFloat16,
            Precision::Fp16 => Kind::Half,
            Precision::Auto | Precision::Fp32 => Kind::Float,
        };
        let images = images.f_to_device(self.device)?.f_to_kind(kind)?;
        let network: MutexGuard<'_, EfficientNet> =
            self.network.lock().unwrap_or_else(PoisonError::into_inner);
        if self.features {
            let maps = network.extract_features(&images, false)?;
            return maps.f_mean_dim(&[2i64, 3][..], false, Kind::Float);
        }
        network.forward(&images, false)
    }
}

impl Backend for PlainNetwork {
    fn submit(&self, images: Images<'_>) -> Result<Pending, BackendError> {
        let images = tensor(images)?;
        let result = tch::no_grad(|| self.compute(&images)).map_err(Error::from)?;
        Ok(Pending::done(rows(&result)?))
    }

    fn engine(&self) -> &'static str {
        "plain"
    }

    fn kernels(&self) -> String {
        "libtorch".to_owned()
    }

    fn precision(&self) -> Precision {
        self.precision
    }

    fn memory_need(&self, size: [usize; 2]) -> Result<MemoryNeed, BackendError> {
        Ok(MemoryNeed::of_modules(&self.config, size))
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
}
