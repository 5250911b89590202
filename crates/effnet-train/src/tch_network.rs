//! [`TchNetwork`]: makes a [`Network`] of any tch modules.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use tch::nn::{self, ModuleT};
use tch::{Device, Tensor};

use crate::{Error, Network};

/// A body and a head made of tch modules, on a variable store of their own.
///
/// ```
/// use effnet_train::{Error, TchNetwork};
/// use tch::{Device, nn};
///
/// # fn main() -> Result<(), Error> {
/// let network = TchNetwork::new(Device::Cpu, |root| {
///     let strided = nn::ConvConfig { stride: 2, ..Default::default() };
///     let body = nn::seq_t()
///         .add(nn::conv2d(root / "body", 3, 16, 3, strided))
///         .add_fn(|x| x.relu().adaptive_avg_pool2d([1, 1]).flatten(1, -1));
///     let head = nn::seq_t().add(nn::linear(root / "head", 16, 5, Default::default()));
///     Ok((body, head))
/// })?;
/// # Ok(())
/// # }
/// ```
///
/// The variables of the head are those below `head`; all others belong to the body, which is one layer unless
/// [`with_layers`](Self::with_layers) divides it. Variables that are not trainable are buffers.
///
/// tch's modules panic when libtorch fails, for example when memory runs out or for images of a wrong shape. A network
/// that returns errors instead implements [`Network`] itself.
pub struct TchNetwork<B, H> {
    body: B,
    head: H,
    device: Device,
    build: Arc<Build<B, H>>,
    /// By name.
    tensors: Vec<(String, Tensor)>,
    buffers: HashSet<String>,
    /// The prefixes of the variables of each layer; the last is [`HEAD`].
    layers: Vec<String>,
}

type Build<B, H> = dyn Fn(&nn::Path<'_>) -> Result<(B, H), Error> + Send + Sync;

/// The path of the variables of the head.
const HEAD: &str = "head";
/// The name of a body that is not divided into layers.
const BODY: &str = "body";

impl<B: ModuleT, H: ModuleT> TchNetwork<B, H> {
    /// Builds a network on `device`. `build` creates body and head on the root of a variable store, the head's
    /// variables below `head`. It is called once more for each copy of the network, such as the EMA.
    ///
    /// # Errors
    /// The errors of `build`; [`Error::Torch`].
    pub fn new(
        device: Device,
        build: impl Fn(&nn::Path<'_>) -> Result<(B, H), Error> + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        Self::build(device, Arc::new(build), vec![BODY.to_owned(), HEAD.to_owned()])
    }

    fn build(device: Device, build: Arc<Build<B, H>>, layers: Vec<String>) -> Result<Self, Error> {
        let store = nn::VarStore::new(device);
        let (body, head) = build(&store.root())?;
        let mut tensors: Vec<_> = store.variables().into_iter().collect();
        tensors.sort_by(|left, right| left.0.cmp(&right.0));
        let buffers = tensors.iter().filter(|(_, tensor)| !tensor.requires_grad());
        Ok(Self {
            buffers: buffers.map(|(name, _)| name.clone()).collect(),
            body,
            head,
            device,
            build,
            tensors,
            layers,
        })
    }

    /// Divides the body into layers, from the input to the last one before the head, for learning rates that depend on
    /// the depth: the variables of a layer are those below its path, such as `body.blocks.3`. Variables below several
    /// paths belong to the longest; those below none, to the first layer.
    #[must_use]
    pub fn with_layers<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.layers = paths.into_iter().map(Into::into).collect();
        self.layers.push(HEAD.to_owned());
        self
    }

    /// The body.
    pub fn body(&self) -> &B {
        &self.body
    }

    /// The head.
    pub fn head_module(&self) -> &H {
        &self.head
    }
}

impl<B: ModuleT, H: ModuleT> Network for TchNetwork<B, H> {
    fn device(&self) -> Device {
        self.device
    }

    fn named_tensors(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    fn layers(&self) -> Vec<String> {
        self.layers.clone()
    }

    fn layer_of(&self, parameter: &str) -> usize {
        let is_below = |path: &str| {
            let rest = parameter.strip_prefix(path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let below = self
            .layers
            .iter()
            .enumerate()
            .filter(|(_, path)| is_below(path.as_str()));
        below
            .max_by_key(|(_, path)| path.len())
            .map_or(0, |(index, _)| index)
    }

    fn features(&self, images: &Tensor, train: bool) -> Result<Tensor, Error> {
        Ok(self.body.forward_t(images, train))
    }

    fn head(&self, features: &Tensor, train: bool) -> Result<Tensor, Error> {
        Ok(self.head.forward_t(features, train))
    }

    fn duplicate(&self) -> Result<Self, Error> {
        let copy = Self::build(self.device, Arc::clone(&self.build), self.layers.clone())?;
        tch::no_grad(|| -> Result<(), Error> {
            for ((_, own), (_, source)) in copy.tensors.iter().zip(&self.tensors) {
                own.shallow_clone().f_copy_(source)?;
            }
            Ok(())
        })?;
        Ok(copy)
    }

    fn is_buffer(&self, name: &str) -> bool {
        self.buffers.contains(name)
    }
}

impl<B, H> fmt::Debug for TchNetwork<B, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TchNetwork")
            .field("device", &self.device)
            .field("tensors", &self.tensors.len())
            .field("layers", &self.layers)
            .finish_non_exhaustive()
    }
}
