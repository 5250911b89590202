//! [`Network`]: what a [`Trainer`](crate::Trainer) needs to know about a network.
//!
//! The trainer groups parameters by layer, averages and saves all tensors, and runs the layers below the head without
//! gradients while they are frozen. [`EfficientNet`] implements the trait;
//! [`TchNetwork`](crate::TchNetwork) makes a network of any tch modules.

use std::fmt::Debug;
use std::sync::Arc;

use effnet_checkpoint::StateDict;
use effnet_core::{EfficientNet, LoadOptions, from_torch};
use libtorch_ext::training::BatchNormGroup;
use tch::{Device, Tensor, nn};

use crate::body::{Body, EngineBody};
use crate::{Error, Precision};

/// A network that can be trained.
pub trait Network: Debug + Sized {
    /// The device of the parameters.
    fn device(&self) -> Device;

    /// Returns all parameters and buffers with their names, which are unique, in an order that is always the same.
    /// The tensors are those of the network, not copies. The parameters of a layer have the name of the layer, a dot
    /// and a name of their own, such as `_bn0.weight`.
    fn named_tensors(&self) -> impl Iterator<Item = (&str, &Tensor)>;

    /// Returns the names of the layers from the input to the head, which is the last one. Learning rates depend on the
    /// depth of the layer, and freezing the features freezes all layers but the last.
    fn layers(&self) -> Vec<String>;

    /// Returns the index in [`layers`](Self::layers) of the layer with this parameter.
    fn layer_of(&self, parameter: &str) -> usize;

    /// Computes what the head receives for images `[N, channels, H, W]`. `train` turns on dropout, and makes batch
    /// normalisation use the statistics of the batch.
    ///
    /// # Errors
    /// [`Error::Torch`].
    fn features(&self, images: &Tensor, train: bool) -> Result<Tensor, Error>;

    /// Runs the head on the result of [`features`](Self::features), and returns a row of outputs for each image.
    ///
    /// # Errors
    /// [`Error::Torch`].
    fn head(&self, features: &Tensor, train: bool) -> Result<Tensor, Error>;

    /// Computes the [`features`](Self::features) of images in evaluation, or something smaller for which
    /// [`head`](Self::head) returns the same. By default, the features; an EfficientNet averages them over the pixels.
    ///
    /// # Errors
    /// [`Error::Torch`].
    fn compact_features(&self, images: &Tensor) -> Result<Tensor, Error> {
        self.features(images, false)
    }

    /// Prepares the layers below the head for inference with their present values, if that is faster than
    /// [`compact_features`](Self::compact_features), and equal to it except for rounding. By default, `None`.
    ///
    /// # Errors
    /// [`Error::Inference`], [`Error::Network`] when memory runs out.
    fn body(&self, precision: Precision) -> Result<Option<Box<dyn Body>>, Error> {
        let _ = precision;
        Ok(None)
    }

    /// Creates a second network with the same values in tensors of its own, on the same device.
    ///
    /// # Errors
    /// [`Error::Torch`] and [`Error::Network`] when memory runs out.
    fn duplicate(&self) -> Result<Self, Error>;

    /// Computes the outputs `[N, outputs]` for images `[N, channels, H, W]`.
    ///
    /// # Errors
    /// The errors of [`features`](Self::features) and [`head`](Self::head).
    fn outputs(&self, images: &Tensor, train: bool) -> Result<Tensor, Error> {
        self.head(&self.features(images, train)?, train)
    }

    /// Returns whether a tensor with this name is saved but not trained. By default, the running statistics of batch
    /// normalisation: `running_mean`, `running_var` and `num_batches_tracked`.
    fn is_buffer(&self, name: &str) -> bool {
        is_statistic(name)
    }

    /// Returns a text that differs if the network computes differently, so that processes can find out that they train
    /// different networks. By default, it is empty, and only the shapes of the tensors are compared.
    fn settings(&self) -> String {
        String::new()
    }

    /// Makes batch normalisation use statistics over the batches of all processes in `group`; `None` for the
    /// statistics of this process's batch.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for a group, if the network does not support it, which is the default.
    fn set_batch_norm_group(&mut self, group: Option<Arc<dyn BatchNormGroup>>) -> Result<(), Error> {
        match group {
            None => Ok(()),
            Some(_) => Err(Error::option(
                "synchronised batch normalisation",
                "off, because this network does not support it",
                &"on",
            )),
        }
    }
}

/// Returns whether a tensor's name is that of a running statistic of batch normalisation.
pub(crate) fn is_statistic(name: &str) -> bool {
    name.ends_with(".running_mean")
        || name.ends_with(".running_var")
        || name.ends_with(".num_batches_tracked")
}

/// Copies all parameters and buffers of a network.
pub(crate) fn state_dict<N: Network>(network: &N) -> Result<StateDict, Error> {
    let copies = network
        .named_tensors()
        .map(|(name, tensor)| Ok((name, from_torch(tensor)?)));
    copies.collect()
}

/// The layers are the stem, each block, the head convolution and the classifier, which is the head.
impl Network for EfficientNet {
    fn device(&self) -> Device {
        self.device()
    }

    fn named_tensors(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.named_tensors()
    }

    fn layers(&self) -> Vec<String> {
        let blocks = 0..self.config().blocks().len();
        let mut layers = vec!["stem".to_owned()];
        layers.extend(blocks.map(|index| format!("block {index}")));
        layers.extend(["head convolution", "classifier"].map(str::to_owned));
        layers
    }

    fn layer_of(&self, parameter: &str) -> usize {
        let blocks = self.config().blocks().len();
        let mut parts = parameter.split('.');
        match parts.next() {
            Some("_blocks") => parts
                .next()
                .and_then(|index| index.parse().ok())
                .map_or(0, |index: usize| index + 1),
            Some("_conv_head" | "_bn1") => blocks + 1,
            Some("_fc") => blocks + 2,
            _ => 0,
        }
    }

    fn features(&self, images: &Tensor, train: bool) -> Result<Tensor, Error> {
        Ok(self.extract_features(images, train)?)
    }

    fn head(&self, features: &Tensor, train: bool) -> Result<Tensor, Error> {
        Ok(self.classify(features, train)?)
    }

    fn compact_features(&self, images: &Tensor) -> Result<Tensor, Error> {
        let features = self.extract_features(images, false)?;
        Ok(features.f_adaptive_avg_pool2d([1, 1])?)
    }

    fn body(&self, precision: Precision) -> Result<Option<Box<dyn Body>>, Error> {
        let body = EngineBody::new(self, precision)?;
        Ok(body.map(|body| Box::new(body) as Box<dyn Body>))
    }

    fn duplicate(&self) -> Result<Self, Error> {
        let store = nn::VarStore::new(self.device());
        let (weights, options) = (self.state_dict()?, LoadOptions::default());
        Ok(Self::from_state_dict(
            &store.root(),
            self.config(),
            &weights,
            options,
        )?)
    }

    fn settings(&self) -> String {
        format!("{:?}", self.config())
    }

    fn set_batch_norm_group(&mut self, group: Option<Arc<dyn BatchNormGroup>>) -> Result<(), Error> {
        self.set_batch_norm_group(group);
        Ok(())
    }
}
