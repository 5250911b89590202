//! [`Body`]: the layers below the head, prepared for inference.
//!
//! While only the head is trained, and in validation, these layers need no gradients. On the CPU, the inference engine
//! then computes them several times as fast as libtorch. A body is a copy of the weights, so whoever keeps one has to
//! notice when they change: [`version`] changes with them.

use std::fmt::Debug;

use effnet::{Backend as _, BackendError, Engine, EngineOptions, Images, LoadOptions, Parameters};
use effnet_core::EfficientNet;
use tch::{Device, Tensor};

use crate::{Error, Network, Precision};

/// The layers of a [`Network`] below its head, prepared for inference by [`Network::body`].
pub trait Body: Debug {
    /// Computes what the head receives for images `[N, channels, H, W]`, like [`Network::compact_features`]. The result
    /// for an image does not depend on the other images of the batch.
    ///
    /// # Errors
    /// [`Error::Inference`], [`Error::Torch`].
    fn features(&self, images: &Tensor) -> Result<Tensor, Error>;
}

/// An EfficientNet without its classifier in the CPU engine of the crate `effnet`.
#[derive(Debug)]
pub(crate) struct EngineBody(Engine);

impl EngineBody {
    /// Prepares a network. Returns `None` where the engine cannot take the place of libtorch: on a CUDA device, and in
    /// fp16.
    pub(crate) fn new(network: &EfficientNet, precision: Precision) -> Result<Option<Self>, Error> {
        let precision = match (network.device(), precision) {
            (Device::Cpu, Precision::Fp32) => effnet::Precision::Fp32,
            (Device::Cpu, Precision::Bf16) => effnet::Precision::Bf16,
            _ => return Ok(None),
        };
        let weights = network.state_dict()?;
        let parameters = Parameters::from_state_dict(network.config(), &weights, LoadOptions::default());
        let parameters = parameters.map_err(effnet_core::Error::from)?;
        let options = EngineOptions::default()
            .with_precision(precision)
            .with_features(true)
            .with_threads(usize::try_from(tch::get_num_threads()).unwrap_or(1).max(1))
            .with_calls(1);
        Ok(Some(Self(Engine::new(&parameters, options).map_err(failed)?)))
    }
}

impl Body for EngineBody {
    fn features(&self, images: &Tensor) -> Result<Tensor, Error> {
        let size = images.size();
        let shape = <[i64; 4]>::try_from(size.as_slice()).map_err(|_| Error::Shape {
            what: "the batch",
            expected: "[N, channels, H, W]".to_owned(),
            found: size.clone(),
        })?;
        let images = images.f_contiguous()?;
        let mut pixels = vec![0_f32; images.numel()];
        images.f_copy_data(&mut pixels, images.numel())?;
        let images = Images::new(&pixels, shape.map(|side| side as usize)).map_err(failed)?;
        let rows = self.0.run(images).map_err(failed)?;
        let (count, width) = (rows.count() as i64, rows.width() as i64);
        Ok(Tensor::f_from_slice(rows.values())?.f_view([count, width, 1, 1])?)
    }
}

fn failed(error: BackendError) -> Error {
    Error::Inference(Box::new(error))
}

/// Returns a number that changes whenever libtorch changes a tensor below the head in place.
pub(crate) fn version<N: Network>(network: &N) -> Result<i64, Error> {
    let mut version = 0_i64;
    for tensor in below_head(network) {
        version = version.wrapping_add(tensor.f_internal_version()?);
    }
    Ok(version)
}

/// Returns whether two networks of the same kind have the same values below their heads.
pub(crate) fn is_same<N: Network>(one: &N, other: &N) -> Result<bool, Error> {
    for (left, right) in below_head(one).zip(below_head(other)) {
        if !left.f_equal(right)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The parameters and buffers below the head.
fn below_head<N: Network>(network: &N) -> impl Iterator<Item = &Tensor> {
    let head = network.layers().len().saturating_sub(1);
    let tensors = network.named_tensors();
    tensors
        .filter(move |(name, _)| network.layer_of(name) < head)
        .map(|(_, tensor)| tensor)
}
