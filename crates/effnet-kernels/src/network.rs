//! The packed network.
//!
//! It is not one object with its [`Context`], because they are shared differently: a [`Network`] is immutable and
//! serves any number of threads, while a context serves one call at a time. A server holds one network and a few
//! contexts.

use std::ffi::CStr;
use std::ptr::{self, NonNull};

use crate::error::check;
use crate::raw::{
    BEST_INSTRUCTION_SET, RawNetwork, RawSpec, effnet_has_bf16, effnet_network_bytes,
    effnet_network_classifier_row, effnet_network_feature_shape, effnet_network_free, effnet_network_isa,
    effnet_network_laps, effnet_network_memory, effnet_network_new, effnet_network_run,
};
use crate::spec::{pointwise, raw, raw_block, small};
use crate::timing::Measured;
use crate::{Context, Error, Layer, Layers};

/// The instruction sets that kernels are compiled for, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i32)] // the numbers of `Isa` in native/network_api.h
#[non_exhaustive]
pub enum InstructionSet {
    /// The compiler's default: SSE2 on x86-64.
    Baseline = 1,
    /// AVX2 and FMA.
    Avx2 = 2,
    /// AVX-512 F, BW, VL and DQ.
    Avx512 = 3,
    /// The same as [`Avx512`](Self::Avx512), plus AVX512_BF16.
    Avx512Bf16 = 4,
}

/// Options for packing a [`Network`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct NetworkOptions {
    /// Whether to use bfloat16 for weights and activations. Sums, depthwise convolutions and
    /// squeeze-and-excitation stay in 32-bit floats. This is correct on every CPU, and fast on CPUs that [have the
    /// instructions](has_bf16_instructions). By default, everything is in 32-bit floats.
    pub bf16: bool,
    /// The instruction set of the kernels to use; by default, the best that the CPU supports.
    pub instruction_set: Option<InstructionSet>,
}

impl NetworkOptions {
    /// Sets [`bf16`](Self::bf16).
    #[must_use]
    pub fn with_bf16(mut self, bf16: bool) -> Self {
        self.bf16 = bf16;
        self
    }

    /// Sets [`instruction_set`](Self::instruction_set).
    #[must_use]
    pub fn with_instruction_set(mut self, instruction_set: impl Into<Option<InstructionSet>>) -> Self {
        self.instruction_set = instruction_set.into();
        self
    }
}

/// The output that a call computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Output {
    /// The logits `[N, classes]`, for a network with a classifier.
    Logits,
    /// The head's activations averaged over the pixels, `[N, features]`.
    Pooled,
    /// The head's activations, `[N, features, H', W']`.
    Features,
}

/// A layer whose output a call can return besides the logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Endpoint {
    /// The activations of the stem.
    Stem,
    /// The output of a block, counted from 0.
    Block(usize),
    /// The activations of the head, before pooling.
    #[default]
    Head,
}

/// The number of bytes that a call of a [`Network`] uses for activations, and that its context keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActivationMemory {
    /// Per thread of the context, for any batch size.
    pub thread: u64,
    /// Per image of the batch.
    pub image: u64,
}

/// Returns whether this CPU has instructions for bfloat16 products (AVX512_BF16).
pub fn has_bf16_instructions() -> bool {
    // SAFETY: the function has no arguments, and only queries the CPU.
    unsafe { effnet_has_bf16() != 0 }
}

/// An immutable network, packed for this CPU.
#[derive(Debug)]
pub struct Network {
    handle: NonNull<RawNetwork>,
    input_channels: usize,
    features: usize,
    classes: Option<usize>,
    instruction_set: String,
    /// What is measured of each block.
    blocks: Vec<Measured>,
}

/// Where a call writes its results. A target that is `None` is not computed.
#[derive(Default)]
struct Targets<'a> {
    logits: Option<&'a mut [f32]>,
    pooled: Option<&'a mut [f32]>,
    features: Option<(Endpoint, &'a mut [f32])>,
    /// As many as the network has laps.
    seconds: Option<&'a mut [f64]>,
}

// SAFETY: the C++ object is immutable once created: all of its functions take it as const.
unsafe impl Send for Network {}
// SAFETY: as above.
unsafe impl Sync for Network {}

impl Drop for Network {
    fn drop(&mut self) {
        // SAFETY: the network was created by `effnet_network_new`, is freed only here, and is not in use
        // elsewhere.
        unsafe { effnet_network_free(self.handle.as_ptr()) };
    }
}

impl Network {
    /// Packs the weights for this CPU. `layers` is not needed afterwards.
    ///
    /// # Errors
    /// [`Error::Shape`] if two layers do not fit together, [`Error::Length`] if the length of a slice does not
    /// match its shape, [`Error::OutOfRange`], [`Error::Native`] for a depthwise convolution of an unsupported
    /// size or stride and for an instruction set that the CPU does not support, [`Error::OutOfMemory`].
    pub fn new(layers: &Layers<'_>, options: NetworkOptions) -> Result<Self, Error> {
        let input_channels = layers.stem.shape[1];
        let stem = raw(&layers.stem, "the stem", input_channels)?;
        let mut channels = layers.stem.shape[0];
        let mut blocks = Vec::with_capacity(layers.blocks.len());
        for block in &layers.blocks {
            blocks.push(raw_block(block, channels)?);
            channels = block.project.shape[0];
        }
        let head = pointwise(&layers.head, "the head", channels)?;
        let features = layers.head.shape[0];
        let classifier = match &layers.classifier {
            Some(classifier) => Some(pointwise(classifier, "the classifier", features)?),
            None => None,
        };
        let spec = RawSpec {
            stem,
            head,
            blocks: blocks.as_ptr(),
            block_count: small("the number of blocks", blocks.len())?,
            has_classifier: i32::from(classifier.is_some()),
            classifier: classifier.unwrap_or(head),
            bf16: i32::from(options.bf16),
            isa: options
                .instruction_set
                .map_or(BEST_INSTRUCTION_SET, |set| set as i32),
            activation: layers.activation as i32,
        };
        let mut network = ptr::null_mut();
        // SAFETY: every pointer in `spec` points into `blocks` or a slice of `layers`, which outlive the call, and
        // `raw` has checked that the length of each slice matches its shape.
        check(unsafe { effnet_network_new(&raw const spec, &raw mut network) })?;
        let handle = NonNull::new(network).ok_or_else(|| Error::Native("no network was made".to_owned()))?;
        // SAFETY: the network is alive, and the string is a constant in the library.
        let name = unsafe { CStr::from_ptr(effnet_network_isa(network)) };
        Ok(Self {
            handle,
            input_channels,
            features,
            classes: layers.classifier.as_ref().map(|classifier| classifier.shape[0]),
            instruction_set: name.to_string_lossy().into_owned(),
            blocks: layers.blocks.iter().map(Measured::of).collect(),
        })
    }

    /// The instruction set of the kernels in use: `baseline`, `avx2`, `avx512` or `avx512bf16`.
    pub fn instruction_set(&self) -> &str {
        &self.instruction_set
    }

    /// The number of channels of the input images.
    pub fn input_channels(&self) -> usize {
        self.input_channels
    }

    /// The number of classes, or `None` without a classifier.
    pub fn classes(&self) -> Option<usize> {
        self.classes
    }

    /// The size of the packed weights in bytes.
    pub fn bytes(&self) -> u64 {
        // SAFETY: the network is alive.
        unsafe { effnet_network_bytes(self.handle.as_ptr()) }
    }

    /// Returns the memory that a call needs for images of size `[height, width]`, not counting its input and
    /// output.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a side that is too large, [`Error::Native`] for an image that is smaller
    /// than a kernel.
    pub fn activation_memory(&self, [height, width]: [usize; 2]) -> Result<ActivationMemory, Error> {
        let (height, width) = (small("the height", height)?, small("the width", width)?);
        let (mut thread, mut image) = (0, 0);
        // SAFETY: the network is alive, and the last two arguments are valid for writes.
        check(unsafe {
            effnet_network_memory(
                self.handle.as_ptr(),
                height,
                width,
                &raw mut thread,
                &raw mut image,
            )
        })?;
        Ok(ActivationMemory { thread, image })
    }

    /// Returns the shape of an output for images `[N, C, height, width]`.
    ///
    /// # Errors
    /// Same as [`run`](Self::run).
    pub fn output_shape(&self, shape: [usize; 4], output: Output) -> Result<Vec<usize>, Error> {
        let count = shape[0];
        match (output, self.classes) {
            (Output::Logits, Some(classes)) => {
                self.endpoint_shape(shape, Endpoint::Head)?;
                Ok(vec![count, classes])
            }
            (Output::Logits, None) => Err(Error::Native(
                "cannot compute logits: the network does not have a classifier".to_owned(),
            )),
            (Output::Pooled, _) => {
                self.endpoint_shape(shape, Endpoint::Head)?;
                Ok(vec![count, self.features])
            }
            (Output::Features, _) => Ok(self.endpoint_shape(shape, Endpoint::Head)?.to_vec()),
        }
    }

    /// Returns the shape of a layer's output for images `[N, C, height, width]`.
    ///
    /// # Errors
    /// Same as [`run`](Self::run), and [`Error::OutOfRange`] for a block that does not exist.
    pub fn endpoint_shape(&self, shape: [usize; 4], endpoint: Endpoint) -> Result<[usize; 4], Error> {
        let [count, channels, height, width] = shape;
        if channels != self.input_channels || height == 0 || width == 0 {
            return Err(Error::Shape {
                name: "the batch",
                expected: vec![-1, self.input_channels as i64, -1, -1],
                found: shape.iter().map(|&side| side as i64).collect(),
            });
        }
        let mut features = [0i32; 3];
        // Kernels index the pixels of an image, times 16 channels, with 32-bit integers.
        small(
            "the number of pixels",
            height.saturating_mul(width).saturating_mul(16),
        )?;
        let (height, width) = (small("the height", height)?, small("the width", width)?);
        let step = self.step(endpoint)?;
        // SAFETY: the network is alive, and `features` has room for the three sizes.
        check(unsafe {
            effnet_network_feature_shape(self.handle.as_ptr(), step, height, width, features.as_mut_ptr())
        })?;
        let [channels, height, width] = features.map(|side| usize::try_from(side).unwrap_or(0));
        Ok([count, channels, height, width])
    }

    /// Returns the number by which the C++ code calls a layer.
    fn step(&self, endpoint: Endpoint) -> Result<i32, Error> {
        let last = self.blocks.len() + 1;
        let step = match endpoint {
            Endpoint::Stem => 0,
            Endpoint::Block(index) if index < self.blocks.len() => index + 1,
            Endpoint::Block(index) => {
                return Err(Error::OutOfRange {
                    name: "the block",
                    value: index,
                });
            }
            Endpoint::Head => last,
        };
        small("the layer", step)
    }

    /// The number of blocks.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Returns the weights of one class, `[features]`, as the kernels multiply them: rounded if the network is
    /// in bfloat16.
    ///
    /// # Errors
    /// [`Error::Native`] if the network has no such class.
    pub fn classifier_row(&self, class: usize) -> Result<Vec<f32>, Error> {
        let mut row = vec![0.0; self.features];
        // SAFETY: the network is alive, and `row` has room for one weight per feature.
        check(unsafe {
            effnet_network_classifier_row(self.handle.as_ptr(), small("the class", class)?, row.as_mut_ptr())
        })?;
        Ok(row)
    }

    /// Computes an output for normalised images `[N, C, H, W]`, row-major, and writes it to `result`, whose shape
    /// is given by [`output_shape`](Self::output_shape). Equal images give bit-identical results in every run, for
    /// any number of threads and whatever else is in the batch.
    ///
    /// # Errors
    /// [`Error::Shape`] for images of any other shape, [`Error::Length`] if the length of a slice does not match
    /// its shape, [`Error::OutOfRange`], [`Error::OutOfMemory`].
    pub fn run(
        &self,
        context: &mut Context,
        images: &[f32],
        shape: [usize; 4],
        output: Output,
        result: &mut [f32],
    ) -> Result<(), Error> {
        let mut targets = Targets::default();
        self.aim(&mut targets, shape, output, result)?;
        self.compute(context, images, shape, targets)
    }

    /// Computes the logits and, in the same pass, the output of a layer, whose shape is given by
    /// [`endpoint_shape`](Self::endpoint_shape). The logits have the same bits as those of [`run`](Self::run).
    ///
    /// # Errors
    /// Same as [`run`](Self::run).
    pub fn run_with_endpoint(
        &self,
        context: &mut Context,
        images: &[f32],
        shape: [usize; 4],
        logits: &mut [f32],
        (endpoint, features): (Endpoint, &mut [f32]),
    ) -> Result<(), Error> {
        let mut targets = Targets::default();
        self.aim(&mut targets, shape, Output::Logits, logits)?;
        let sides = self.endpoint_shape(shape, endpoint)?;
        check_length("the features", &sides, features.len())?;
        targets.features = Some((endpoint, features));
        self.compute(context, images, shape, targets)
    }

    /// Sets the target of this output, after checking its length.
    fn aim<'a>(
        &self,
        targets: &mut Targets<'a>,
        shape: [usize; 4],
        output: Output,
        result: &'a mut [f32],
    ) -> Result<(), Error> {
        check_length("the result", &self.output_shape(shape, output)?, result.len())?;
        match output {
            Output::Logits => targets.logits = Some(result),
            Output::Pooled => targets.pooled = Some(result),
            Output::Features => targets.features = Some((Endpoint::Head, result)),
        }
        Ok(())
    }

    /// Like [`run`](Self::run), and returns the number of seconds that each layer took, in network order. Each
    /// time is the mean over the threads, so the times add up to that of the call. Time that a thread spends
    /// waiting for another counts towards the layer that follows.
    ///
    /// # Errors
    /// Same as [`run`](Self::run).
    pub fn profile(
        &self,
        context: &mut Context,
        images: &[f32],
        shape: [usize; 4],
        output: Output,
        result: &mut [f32],
    ) -> Result<Vec<(Layer, f64)>, Error> {
        // SAFETY: the network is alive.
        let laps = unsafe { effnet_network_laps(self.handle.as_ptr()) };
        let mut seconds = vec![0.0; usize::try_from(laps).unwrap_or(0)];
        let mut targets = Targets {
            seconds: Some(&mut seconds),
            ..Targets::default()
        };
        self.aim(&mut targets, shape, output, result)?;
        self.compute(context, images, shape, targets)?;
        // The stem, three laps per block, the head and the classifier.
        let (stem, rest) = seconds.split_first().unwrap_or((&0.0, &[]));
        let (laps, ends) = rest.as_chunks::<3>();
        let mut layers = vec![(Layer::Stem, *stem)];
        for (index, (&laps, block)) in laps.iter().zip(&self.blocks).enumerate() {
            layers.extend(block.layers(index, laps));
        }
        layers.extend(
            [Layer::Head, Layer::Classifier]
                .into_iter()
                .zip(ends.iter().copied()),
        );
        Ok(layers)
    }

    /// Runs the network. The targets must have the lengths of their outputs.
    fn compute(
        &self,
        context: &mut Context,
        images: &[f32],
        shape: [usize; 4],
        targets: Targets<'_>,
    ) -> Result<(), Error> {
        check_length("the batch", &shape, images.len())?;
        let [count, _, height, width] = shape;
        if count == 0 {
            return Ok(());
        }
        let (endpoint, features) = targets.features.unzip();
        let step = self.step(endpoint.unwrap_or_default())?;
        let pointer = |target: Option<&mut [f32]>| target.map_or(ptr::null_mut(), <[f32]>::as_mut_ptr);
        // SAFETY: the network and the context are alive, and `context` is borrowed mutably, so this is its only
        // call. `images` has count * C * height * width floats, where C is the network's number of channels. Each
        // target is null or, by this function's contract, long enough.
        check(unsafe {
            effnet_network_run(
                self.handle.as_ptr(),
                context.handle.as_ptr(),
                images.as_ptr(),
                small("the batch", count)?,
                small("the height", height)?,
                small("the width", width)?,
                pointer(targets.logits),
                pointer(targets.pooled),
                pointer(features),
                step,
                targets.seconds.map_or(ptr::null_mut(), <[f64]>::as_mut_ptr),
            )
        })
    }
}

/// Checks that a slice has the length of its shape.
fn check_length(name: &'static str, sides: &[usize], found: usize) -> Result<(), Error> {
    let expected = sides
        .iter()
        .try_fold(1_usize, |product, &side| product.checked_mul(side));
    if expected == Some(found) {
        return Ok(());
    }
    Err(Error::Length {
        name,
        expected: expected.unwrap_or(usize::MAX),
        found,
    })
}
