//! The network: stem, blocks, head, classifier.

use std::collections::BTreeMap;
use std::ops::RangeBounds;
use std::sync::Arc;

use effnet::Endpoint;
use libtorch_ext::training::BatchNormGroup;
use tch::{Device, Kind, TchError, Tensor, nn};

use crate::fused::FusedMBConv;
use crate::init::{Init, Initialisation};
use crate::layers::{BatchNorm, Builder, Conv, ConvShape, Linear, Mode, Place};
use crate::mbconv::MBConv;
use crate::{BlockKind, Config, Error, channels_last};

/// EfficientNet on a tch variable store.
///
/// The variables have the names of the original PyTorch implementation (`_conv_stem.weight`,
/// `_blocks.{i}._expand_conv.weight`, ..., `_fc.bias`, and `num_batches_tracked` for batch normalisation), below
/// the path under which the network is built. The network is a [`nn::ModuleT`], so it works wherever tch accepts
/// one; its own methods return errors instead of panicking.
///
/// Training needs little memory for activations. On the CPU, the layers from one convolution to the next are a
/// single function that saves only its input. On other devices, libtorch's SiLU saves only its input, like the
/// original's `MemoryEfficientSwish`.
///
/// ```no_run
/// use effnet_core::{EfficientNet, Variant};
/// use tch::{Device, Kind, Tensor, nn};
///
/// # fn main() -> Result<(), effnet_core::Error> {
/// let store = nn::VarStore::new(Device::Cpu);
/// let network = EfficientNet::new(&store.root(), &Variant::B0.config())?;
/// let images = Tensor::zeros([1, 3, 224, 224], (Kind::Float, Device::Cpu));
/// let logits = network.forward(&images, false)?;
/// assert_eq!(logits.size(), [1, 1000]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct EfficientNet {
    config: Config,
    stem: Conv,
    stem_bn: BatchNorm,
    blocks: Vec<Block>,
    head: Conv,
    head_bn: BatchNorm,
    classifier: Option<Linear>,
    /// The processes whose batches are normalised together in training.
    batch_norm_group: Option<Arc<dyn BatchNormGroup>>,
    /// All parameters and buffers, in the order of PyTorch's `state_dict()`.
    tensors: Vec<(String, Tensor)>,
}

#[derive(Debug)]
enum Block {
    MBConv(Box<MBConv>),
    Fused(Box<FusedMBConv>),
}

impl Block {
    fn forward(&self, input: &Tensor, mode: Mode<'_>, drop_rate: f64) -> Result<Tensor, TchError> {
        match self {
            Self::MBConv(block) => block.forward(input, mode, drop_rate),
            Self::Fused(block) => block.forward(input, mode, drop_rate),
        }
    }
}

impl EfficientNet {
    /// Builds a network under `path`, and initialises it randomly as in the original implementation.
    ///
    /// # Errors
    /// [`Error::Architecture`] when a field is out of range, [`Error::Occupied`] when `path` already holds a
    /// network, [`Error::Torch`] when libtorch cannot create the tensors.
    pub fn new(path: &nn::Path<'_>, config: &Config) -> Result<Self, Error> {
        Self::with_initialisation(path, config, Initialisation::default())
    }

    /// Like [`new`](Self::new), but draws the parameters in the way of one of the implementations.
    ///
    /// # Errors
    /// Same as [`new`](Self::new).
    pub fn with_initialisation(
        path: &nn::Path<'_>,
        config: &Config,
        initialisation: Initialisation,
    ) -> Result<Self, Error> {
        Self::build(path, config, Init::Drawn(initialisation))
    }

    pub(crate) fn build(path: &nn::Path<'_>, config: &Config, init: Init) -> Result<Self, Error> {
        config.validate()?;
        if path.sub("_conv_stem").get("weight").is_some() {
            return Err(Error::Occupied {
                name: path.sub("_conv_stem").path("weight"),
            });
        }
        let mut builder = Builder::new(init);
        let builder = &mut builder;
        let root = Place::root(path);
        let conv = |builder: &mut Builder, name: &str, shape, size| {
            Conv::new(builder, &root.sub(name), shape, config.padding, size)
        };
        let batch_norm = |builder: &mut Builder, name: &str, channels| {
            BatchNorm::new(builder, &root.sub(name), channels, config)
        };

        let mut size = config.image_size;
        let mut channels = config.stem_channels();
        let stem = ConvShape {
            kernel: 3,
            stride: 2,
            ..ConvShape::pointwise(config.in_channels, channels)
        };
        let stem = conv(builder, "_conv_stem", stem, size)?;
        let stem_bn = batch_norm(builder, "_bn0", channels)?;
        size = size.map(|side| side.div_ceil(2));

        let mut blocks = Vec::new();
        for (index, block) in config.blocks().iter().enumerate() {
            let place = root.sub("_blocks").sub(index);
            if block.kind == BlockKind::MbConv {
                let (built, output_size) = MBConv::new(builder, &place, config, block, size)?;
                blocks.push(Block::MBConv(Box::new(built)));
                size = output_size;
            } else {
                let (built, output_size) = FusedMBConv::new(builder, &place, config, block, size)?;
                blocks.push(Block::Fused(Box::new(built)));
                size = output_size;
            }
            channels = block.output_channels;
        }

        let features = config.head_channels();
        let head = conv(
            builder,
            "_conv_head",
            ConvShape::pointwise(channels, features),
            size,
        )?;
        let head_bn = batch_norm(builder, "_bn1", features)?;
        let classifier = if config.include_top {
            Some(Linear::new(
                builder,
                &root.sub("_fc"),
                features,
                config.num_classes,
            )?)
        } else {
            None
        };
        let tensors = std::mem::take(&mut builder.tensors);
        Ok(Self {
            config: config.clone(),
            stem,
            stem_bn,
            blocks,
            head,
            head_bn,
            classifier,
            batch_norm_group: None,
            tensors,
        })
    }

    /// The configuration from which the network was built.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns all parameters and buffers, with their names below the network's path, in the order of PyTorch's
    /// `state_dict()`. The tensors are those in the variable store, not copies.
    pub fn named_tensors(&self) -> impl ExactSizeIterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// The device of the parameters.
    pub fn device(&self) -> Device {
        self.tensors
            .first()
            .map_or(Device::Cpu, |(_, tensor)| tensor.device())
    }

    /// Makes batch normalisation in training use statistics over the batches of all processes in `group`, like
    /// PyTorch's `SyncBatchNorm`. With `None`, the default, it uses the statistics of this process's batch.
    pub fn set_batch_norm_group(&mut self, group: Option<Arc<dyn BatchNormGroup>>) {
        self.batch_norm_group = group;
    }

    fn mode(&self, train: bool) -> Mode<'_> {
        if train {
            Mode::Train(self.batch_norm_group.as_ref())
        } else {
            Mode::Evaluate
        }
    }

    /// Computes the logits `[N, num_classes]` for images `[N, in_channels, H, W]` or, without a classifier (if
    /// `include_top` is false), the pooled features `[N, C, 1, 1]`.
    ///
    /// `train` turns on dropout and drop connect, and makes batch normalisation use the statistics of the batch
    /// and update the running statistics.
    ///
    /// # Errors
    /// An error when libtorch fails: for example, when the number of dimensions or channels is wrong, when the
    /// device or kind differs from that of the parameters, or when memory runs out.
    pub fn forward(&self, images: &Tensor, train: bool) -> Result<Tensor, TchError> {
        self.classify(&self.extract_features(images, train)?, train)
    }

    /// Runs the layers after [`extract_features`](Self::extract_features): pooling, dropout and classifier.
    ///
    /// # Errors
    /// The errors of [`forward`](Self::forward).
    pub fn classify(&self, features: &Tensor, train: bool) -> Result<Tensor, TchError> {
        let pooled = features.f_adaptive_avg_pool2d([1, 1])?;
        match &self.classifier {
            Some(classifier) => {
                let pooled = pooled
                    .f_flatten(1, -1)?
                    .f_dropout(self.config.dropout_rate, train)?;
                classifier.forward(&pooled)
            }
            None => Ok(pooled),
        }
    }

    /// Computes the activations `[N, C, H / 32, W / 32]` after the head convolution.
    ///
    /// # Errors
    /// The errors of [`forward`](Self::forward).
    pub fn extract_features(&self, images: &Tensor, train: bool) -> Result<Tensor, TchError> {
        let mode = self.mode(train);
        let stem = self.run_stem(images, mode)?;
        self.run_head(&self.run_blocks(stem, 0.., mode, |_, _, _| {})?, mode)
    }

    /// Computes the output of one layer, `[N, C, H, W]`, in evaluation.
    ///
    /// # Errors
    /// The errors of [`forward`](Self::forward), and [`TchError::Torch`] for a block that does not exist.
    pub fn extract_layer(&self, images: &Tensor, layer: Endpoint) -> Result<Tensor, TchError> {
        let mode = Mode::Evaluate;
        let stem = self.run_stem(images, mode)?;
        match layer {
            Endpoint::Stem => Ok(stem),
            Endpoint::Block(index) => {
                self.check_block(index)?;
                self.run_blocks(stem, ..=index, mode, |_, _, _| {})
            }
            Endpoint::Head => self.run_head(&self.run_blocks(stem, 0.., mode, |_, _, _| {})?, mode),
        }
    }

    /// Computes the logits from the output of a layer, which [`extract_layer`](Self::extract_layer) returns.
    ///
    /// # Errors
    /// The errors of [`extract_layer`](Self::extract_layer).
    pub fn forward_from(&self, output: &Tensor, layer: Endpoint) -> Result<Tensor, TchError> {
        let (mode, output) = (Mode::Evaluate, output.shallow_clone());
        let first = match layer {
            Endpoint::Stem => 0,
            Endpoint::Block(index) => {
                self.check_block(index)?;
                index + 1
            }
            Endpoint::Head => return self.classify(&output, false),
        };
        let last = self.run_blocks(output, first.., mode, |_, _, _| {})?;
        self.classify(&self.run_head(&last, mode)?, false)
    }

    fn check_block(&self, index: usize) -> Result<(), TchError> {
        let count = self.blocks.len();
        if index < count {
            return Ok(());
        }
        Err(TchError::Torch(format!(
            "block {index}: no such block; expected 0 to {}",
            count - 1
        )))
    }

    /// Computes the last activations at each resolution, under the names of the original implementation: `reduction_1`
    /// has half the height and width of the input, and each following level halves them again. `reduction_5` is the
    /// last block's output, and `reduction_6` is the head's. Inputs that are too small to be halved five times give
    /// fewer levels.
    ///
    /// # Errors
    /// The errors of [`forward`](Self::forward).
    pub fn extract_endpoints(
        &self,
        images: &Tensor,
        train: bool,
    ) -> Result<BTreeMap<String, Tensor>, TchError> {
        let mode = self.mode(train);
        let mut reductions = Vec::new();
        let last = self.blocks.len() - 1;
        let stem = self.run_stem(images, mode)?;
        let last_output = self.run_blocks(stem, 0.., mode, |index, input, output| {
            if input.size()[2] > output.size()[2] {
                reductions.push(input.shallow_clone());
            } else if index == last {
                reductions.push(output.shallow_clone());
            }
        })?;
        reductions.push(self.run_head(&last_output, mode)?);
        let named = |(index, tensor)| (format!("reduction_{}", index + 1), tensor);
        Ok(reductions.into_iter().enumerate().map(named).collect())
    }

    fn run_stem(&self, images: &Tensor, mode: Mode<'_>) -> Result<Tensor, TchError> {
        let images = match mode {
            // The training kernels need this memory format, which every layer preserves.
            Mode::Train(group) if self.stem_bn.is_supported(images, group) => &channels_last(images)?,
            _ => images,
        };
        self.stem_bn.forward_activated(&self.stem.forward(images)?, mode)
    }

    /// Runs some of the blocks. `visit` is called with the index, the input and the output of each of them.
    fn run_blocks(
        &self,
        mut x: Tensor,
        range: impl RangeBounds<usize>,
        mode: Mode<'_>,
        mut visit: impl FnMut(usize, &Tensor, &Tensor),
    ) -> Result<Tensor, TchError> {
        let blocks = self.blocks.iter().enumerate();
        for (index, block) in blocks.filter(|(index, _)| range.contains(index)) {
            let output = block.forward(&x, mode, self.drop_connect_rate(index))?;
            visit(index, &x, &output);
            x = output;
        }
        Ok(x)
    }

    fn run_head(&self, x: &Tensor, mode: Mode<'_>) -> Result<Tensor, TchError> {
        self.head_bn.forward_activated(&self.head.forward(x)?, mode)
    }

    /// Returns the probability that block `index` drops its residual branch. It grows linearly with depth from
    /// zero, and is just short of the configured rate for the last block.
    pub fn drop_connect_rate(&self, index: usize) -> f64 {
        self.config.drop_connect_rate * index as f64 / self.blocks.len() as f64
    }

    /// Replaces the classifier with a new, randomly initialised one.
    ///
    /// The variables keep their names and their place in the store. An existing optimizer has state of the old
    /// shape, and must be rebuilt.
    ///
    /// # Errors
    /// [`Error::Architecture`] when the network does not have a classifier or `num_classes` is out of range,
    /// [`Error::Torch`] when libtorch cannot create the tensors.
    pub fn reset_classifier(&mut self, num_classes: usize) -> Result<(), Error> {
        let config = self.config.clone().with_num_classes(num_classes);
        config.validate()?;
        let Some(Linear { weight, bias }) = &mut self.classifier else {
            return Err(effnet_architecture::Error::InvalidConfig {
                field: "include_top",
                expected: "true, because the network does not have a classifier to reset",
                found: "false".to_owned(),
            }
            .into());
        };
        let options: (Kind, Device) = (weight.kind(), weight.device());
        let features = self.config.head_channels();
        let scratch = nn::VarStore::new(options.1);
        let drawn =
            Init::Drawn(Initialisation::TensorFlow).classifier([num_classes, features], &scratch.root())?;
        weight.set_data(&drawn.f_to_kind(options.0)?);
        bias.set_data(&Tensor::f_zeros([num_classes as i64], options)?);
        self.config = config;
        Ok(())
    }
}

impl nn::ModuleT for EfficientNet {
    /// Calls [`EfficientNet::forward`].
    ///
    /// # Panics
    /// If that returns an error, because tch's trait cannot return one.
    #[allow(clippy::expect_used)]
    fn forward_t(&self, images: &Tensor, train: bool) -> Tensor {
        self.forward(images, train)
            .expect("images should be [N, in_channels, H, W] on the network's device")
    }
}
