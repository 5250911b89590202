//! The layers below the head where they need no gradients: in steps that train only the head, and in evaluation.

use tch::{Kind, Tensor};

use super::Trainer;
use crate::body::{Body, is_same, version};
use crate::{Batch, Error, Freeze, Network, Precision};

/// The frozen layers, prepared for inference.
#[derive(Debug)]
pub(super) struct Frozen {
    /// `None` if the network itself is as good.
    body: Option<Box<dyn Body>>,
    /// The [`version`] of the weights.
    version: i64,
}

impl<N: Network> Trainer<N> {
    /// Returns whether the next step trains only the head.
    pub(crate) fn is_frozen(&self) -> bool {
        self.phase().groups.freeze == Freeze::Features
    }

    /// Returns the version of the frozen layers if an epoch of `steps` steps, which has begun, trains only the head from
    /// its first step to its last.
    pub(crate) fn frozen_epoch(&self, steps: u64) -> Result<Option<i64>, Error> {
        let position = self.position;
        let remaining = self.phase().schedule.steps().saturating_sub(position.phase_step);
        let is_whole = position.phase_step >= position.epoch_step
            && remaining >= steps.saturating_sub(position.epoch_step);
        if self.is_frozen() && is_whole {
            version(&self.network).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Returns a number that identifies the features of the [evaluated](Self::evaluated) network as long as only the
    /// head is trained; `None` if they change even then.
    pub(crate) fn features_version(&self) -> Result<Option<i64>, Error> {
        // An EMA approaches the frozen values in every step, unless it has them already.
        match &self.average {
            Some(average) if !is_same(average.network(), &self.network)? => Ok(None),
            _ => version(&self.network).map(Some),
        }
    }

    /// Prepares the frozen layers, unless they are and have not changed since.
    pub(super) fn prepare_frozen(&mut self) -> Result<(), Error> {
        let version = version(&self.network)?;
        if self
            .frozen
            .as_ref()
            .is_none_or(|frozen| frozen.version != version)
        {
            let body = self.network.body(self.options.precision)?;
            self.frozen = Some(Frozen { body, version });
        }
        Ok(())
    }

    /// Returns what the head receives for a batch, from its cache as far as that knows it.
    pub(super) fn frozen_features(&self, batch: &Batch) -> Result<Tensor, Error> {
        let body = self.frozen.as_ref().and_then(|frozen| frozen.body.as_deref());
        let compute = |images: &Tensor| features(&self.network, body, self.options.precision, images);
        let images = batch.images.size().first().copied().unwrap_or(0);
        match &batch.cache {
            None => compute(&batch.images),
            Some(_) if batch.indices.len() as i64 != images => Err(Error::Shape {
                what: "the batch",
                expected: format!("one image for each of its {} indices", batch.indices.len()),
                found: batch.images.size(),
            }),
            Some(cache) => cache.complete(&batch.indices, self.network.device(), |places| {
                let places = places.f_to_device(batch.images.device())?;
                compute(&batch.images.f_index_select(0, &places)?)
            }),
        }
    }

    /// Computes the outputs of the [evaluated](Self::evaluated) network from features of [`Evaluator::features`].
    pub(crate) fn evaluate_head(&self, features: &Tensor) -> Result<Tensor, Error> {
        head(self.evaluated(), self.options.precision, features)
    }

    /// Prepares the [evaluated](Self::evaluated) network for inference.
    ///
    /// # Errors
    /// The errors of [`Network::body`].
    pub fn evaluator(&self) -> Result<Evaluator<'_, N>, Error> {
        let network = self.evaluated();
        Ok(Evaluator {
            network,
            body: network.body(self.options.precision)?,
            precision: self.options.precision,
        })
    }
}

/// Evaluates a network with its values of the moment: on the CPU, an EfficientNet in the inference engine, several times
/// as fast as [`Trainer::evaluate`] and equal to it except for rounding.
///
/// Features can be kept, and given to [`head`](Self::head) again after steps that train only the head.
#[derive(Debug)]
pub struct Evaluator<'t, N> {
    network: &'t N,
    body: Option<Box<dyn Body>>,
    precision: Precision,
}

impl<N: Network> Evaluator<'_, N> {
    /// Computes what the head receives for images `[N, channels, H, W]` on any device.
    ///
    /// # Errors
    /// [`Error::Inference`], [`Error::Torch`].
    pub fn features(&self, images: &Tensor) -> Result<Tensor, Error> {
        features(self.network, self.body.as_deref(), self.precision, images)
    }

    /// Computes the outputs, such as logits `[N, classes]`, as 32-bit floats, from the result of
    /// [`features`](Self::features).
    ///
    /// # Errors
    /// [`Error::Torch`].
    pub fn head(&self, features: &Tensor) -> Result<Tensor, Error> {
        head(self.network, self.precision, features)
    }
}

/// Computes what the head receives for images on any device, without gradients.
fn features<N: Network>(
    network: &N,
    body: Option<&dyn Body>,
    precision: Precision,
    images: &Tensor,
) -> Result<Tensor, Error> {
    if let Some(body) = body {
        return body.features(images);
    }
    let device = network.device();
    let images = effnet_core::channels_last(&images.f_to_device(device)?)?;
    tch::no_grad(|| precision.autocast(device, || network.compact_features(&images)))?
}

/// Computes outputs, as 32-bit floats, in evaluation.
fn head<N: Network>(network: &N, precision: Precision, features: &Tensor) -> Result<Tensor, Error> {
    let outputs = tch::no_grad(|| precision.autocast(network.device(), || network.head(features, false)))??;
    Ok(outputs.f_to_kind(Kind::Float)?)
}
