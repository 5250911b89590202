//! The packed network, and the memory and threads of a call.

use std::ffi::{CStr, c_char};
use std::iter;
use std::ptr::{self, NonNull};

use crate::error::check;
use crate::raw::{RawSpec, raw, raw_block, small};
use crate::{Error, Layers};

/// The instructions that kernels are compiled for, from those of every CPU to the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i32)] // as `Isa` in native/network.h, where 0 means the best that the CPU has
pub enum InstructionSet {
    /// What the compiler takes for granted.
    Baseline = 1,
    /// AVX2 and FMA.
    Avx2 = 2,
    /// AVX-512 F, BW, VL and DQ.
    Avx512 = 3,
    /// The same and AVX512_BF16.
    Avx512Bf16 = 4,
}

/// A layer of the network whose time [`Network::profile`] measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layer {
    /// The first convolution.
    Stem,
    /// A block's expansion and its depthwise convolution, which run as one.
    Filter(usize),
    /// A block's squeeze-and-excitation, up to the sigmoid.
    Gates(usize),
    /// A block's scaling, projection and skip connection, which run as one.
    Project(usize),
    /// The last convolution and the average over the pixels.
    Head,
    /// The classifier.
    Classifier,
}

/// How a [`Network`] is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct NetworkOptions {
    /// Weights and activations in bfloat16; sums, depthwise convolutions and squeeze-and-excitation
    /// in 32-bit floats. Correct on every CPU, fast where [`has_bf16_instructions`]. 32-bit floats
    /// throughout otherwise.
    pub bf16: bool,
    /// The kernels to take; the best that the CPU has by default.
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
    pub fn with_instruction_set(mut self, instruction_set: InstructionSet) -> Self {
        self.instruction_set = Some(instruction_set);
        self
    }
}

/// What a call computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Output {
    /// `[N, classes]`, of a network with a classifier.
    Logits,
    /// The averages of the head's activations over the pixels, `[N, features]`.
    Pooled,
    /// The head's activations, `[N, features, H', W']`.
    Features,
}

/// Bytes that calls of a [`Network`] take for activations, and that their context keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActivationMemory {
    /// Each thread of the context, whatever the batch.
    pub thread: u64,
    /// Each image of the batch.
    pub image: u64,
}

#[repr(C)]
struct RawNetwork {
    opaque: [u8; 0],
}

#[repr(C)]
struct RawContext {
    opaque: [u8; 0],
}

unsafe extern "C" {
    fn effnet_network_new(spec: *const RawSpec, network: *mut *mut RawNetwork) -> *mut c_char;
    fn effnet_network_free(network: *mut RawNetwork);
    fn effnet_network_isa(network: *const RawNetwork) -> *const c_char;
    fn effnet_network_bytes(network: *const RawNetwork) -> u64;
    fn effnet_network_feature_shape(
        network: *const RawNetwork,
        height: i32,
        width: i32,
        shape: *mut i32,
    ) -> *mut c_char;
    fn effnet_network_memory(
        network: *const RawNetwork,
        height: i32,
        width: i32,
        thread: *mut u64,
        image: *mut u64,
    ) -> *mut c_char;
    fn effnet_network_laps(network: *const RawNetwork) -> i32;
    fn effnet_context_new(threads: i32, context: *mut *mut RawContext) -> *mut c_char;
    fn effnet_context_free(context: *mut RawContext);
    fn effnet_context_bytes(context: *const RawContext) -> u64;
    fn effnet_network_run(
        network: *const RawNetwork,
        context: *mut RawContext,
        images: *const f32,
        count: i32,
        height: i32,
        width: i32,
        logits: *mut f32,
        pooled: *mut f32,
        features: *mut f32,
        seconds: *mut f64,
    ) -> *mut c_char;
    fn effnet_has_bf16() -> i32;
}

/// Whether this CPU multiplies bfloat16 (AVX512_BF16).
pub fn has_bf16_instructions() -> bool {
    // SAFETY: takes nothing and only reads what the CPU says about itself.
    unsafe { effnet_has_bf16() != 0 }
}

/// The memory and the threads of one call at a time.
///
/// Memory grows to what the largest call so far needed, and is reused. The threads sleep between calls.
#[derive(Debug)]
pub struct Context {
    handle: NonNull<RawContext>,
    threads: usize,
}

// SAFETY: the C++ object keeps nothing that belongs to the thread that made it; whoever has it mutably is
// its only user.
unsafe impl Send for Context {}
// SAFETY: through a shared reference only sizes are read, which change under a mutable one only.
unsafe impl Sync for Context {}

impl Context {
    /// Starts `threads - 1` threads, 1 to 1024: the caller's is the other.
    ///
    /// # Errors
    /// [`Error::Native`] when the system gives no thread, [`Error::OutOfMemory`].
    pub fn new(threads: usize) -> Result<Self, Error> {
        let threads = threads.clamp(1, 1024);
        let mut context = ptr::null_mut();
        // SAFETY: the last argument is a place to write to.
        check(unsafe { effnet_context_new(small("the threads", threads)?, &raw mut context) })?;
        let handle = NonNull::new(context).ok_or_else(|| Error::Native("no context was made".to_owned()))?;
        Ok(Self { handle, threads })
    }

    /// The threads, the caller's included.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Bytes that it holds between calls.
    pub fn bytes(&self) -> u64 {
        // SAFETY: the context is alive.
        unsafe { effnet_context_bytes(self.handle.as_ptr()) }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: made by `effnet_context_new`, freed here only, and in use by nobody else now.
        unsafe { effnet_context_free(self.handle.as_ptr()) };
    }
}

/// A network in the form in which it is fastest on this CPU. It never changes.
#[derive(Debug)]
pub struct Network {
    handle: NonNull<RawNetwork>,
    input_channels: usize,
    features: usize,
    classes: Option<usize>,
    instruction_set: String,
}

// SAFETY: the C++ object is not changed after it was made, and all its functions take it as const.
unsafe impl Send for Network {}
// SAFETY: as above.
unsafe impl Sync for Network {}

impl Drop for Network {
    fn drop(&mut self) {
        // SAFETY: made by `effnet_network_new`, freed here only, and in use by nobody else now.
        unsafe { effnet_network_free(self.handle.as_ptr()) };
    }
}

impl Network {
    /// Packs the weights for this CPU. `layers` is not needed afterwards.
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::Length`] where two layers do not fit together, [`Error::OutOfRange`],
    /// [`Error::Native`] for a kernel or stride that there is no kernel for and for an instruction set that
    /// the CPU does not have, [`Error::OutOfMemory`].
    pub fn new(layers: &Layers<'_>, options: NetworkOptions) -> Result<Self, Error> {
        let input_channels = layers.stem.shape[1];
        let stem = raw(&layers.stem, "the stem", input_channels)?;
        let mut channels = layers.stem.shape[0];
        let mut blocks = Vec::with_capacity(layers.blocks.len());
        for block in &layers.blocks {
            blocks.push(raw_block(block, channels)?);
            channels = block.project.shape[0];
        }
        let head = raw(&layers.head, "the head", channels)?;
        let features = layers.head.shape[0];
        let classifier = match &layers.classifier {
            Some(classifier) => Some(raw(classifier, "the classifier", features)?),
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
            instruction_set: options.instruction_set.map_or(0, |set| set as i32),
        };
        let mut network = ptr::null_mut();
        // SAFETY: every pointer in `spec` points into `blocks` or a slice of `layers`, which outlive the
        // call, and `raw` has checked that each slice is as long as its sizes say.
        check(unsafe { effnet_network_new(&raw const spec, &raw mut network) })?;
        let handle = NonNull::new(network).ok_or_else(|| Error::Native("no network was made".to_owned()))?;
        // SAFETY: the network is alive and the string is a constant of the library.
        let name = unsafe { CStr::from_ptr(effnet_network_isa(network)) };
        Ok(Self {
            handle,
            input_channels,
            features,
            classes: layers.classifier.as_ref().map(|classifier| classifier.shape[0]),
            instruction_set: name.to_string_lossy().into_owned(),
        })
    }

    /// The instruction set of the kernels in use: `baseline`, `avx2`, `avx512` or `avx512bf16`.
    pub fn instruction_set(&self) -> &str {
        &self.instruction_set
    }

    /// Channels of the images.
    pub fn input_channels(&self) -> usize {
        self.input_channels
    }

    /// Classes of the classifier; `None` without one.
    pub fn classes(&self) -> Option<usize> {
        self.classes
    }

    /// Bytes of the packed weights.
    pub fn bytes(&self) -> u64 {
        // SAFETY: the network is alive.
        unsafe { effnet_network_bytes(self.handle.as_ptr()) }
    }

    /// What a call on images of `[height, width]` takes, without its input and its output.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a side that is too large, [`Error::Native`] for an image smaller than a
    /// kernel.
    pub fn activation_memory(&self, [height, width]: [usize; 2]) -> Result<ActivationMemory, Error> {
        let (height, width) = (small("the height", height)?, small("the width", width)?);
        let (mut thread, mut image) = (0, 0);
        // SAFETY: the network is alive, and the last two arguments are places to write to.
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

    /// The shape of an output for images `[N, C, height, width]`.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn output_shape(&self, shape: [usize; 4], output: Output) -> Result<Vec<usize>, Error> {
        let [count, channels, height, width] = shape;
        if channels != self.input_channels || height == 0 || width == 0 {
            return Err(Error::Shape {
                name: "the batch",
                expected: vec![-1, self.input_channels as i64, -1, -1],
                found: shape.iter().map(|&side| side as i64).collect(),
            });
        }
        let mut features = [0i32; 2];
        // Kernels address the pixels of an image, times 16 channels, with 32-bit numbers.
        small(
            "the number of pixels",
            height.saturating_mul(width).saturating_mul(16),
        )?;
        let (height, width) = (small("the height", height)?, small("the width", width)?);
        // SAFETY: the network is alive, and `features` has room for the two sizes.
        check(unsafe {
            effnet_network_feature_shape(self.handle.as_ptr(), height, width, features.as_mut_ptr())
        })?;
        match (output, self.classes) {
            (Output::Logits, Some(classes)) => Ok(vec![count, classes]),
            (Output::Logits, None) => Err(Error::Native(
                "logits were asked for, and the network has no classifier".to_owned(),
            )),
            (Output::Pooled, _) => Ok(vec![count, self.features]),
            (Output::Features, _) => {
                let [height, width] = features.map(|side| usize::try_from(side).unwrap_or(0));
                Ok(vec![count, self.features, height, width])
            }
        }
    }

    /// Computes an output of normalised images `[N, C, H, W]`, row by row, into `result`, which is as long
    /// as [`output_shape`](Self::output_shape) says. Equal images give equal bits, run after run, whatever
    /// else is in the batch and however many threads there are.
    ///
    /// # Errors
    /// [`Error::Shape`] for images of another shape, [`Error::Length`] where a slice is not as long as its
    /// shape says, [`Error::OutOfRange`], [`Error::OutOfMemory`].
    pub fn run(
        &self,
        context: &mut Context,
        images: &[f32],
        shape: [usize; 4],
        output: Output,
        result: &mut [f32],
    ) -> Result<(), Error> {
        self.compute(context, images, shape, output, result, None)
    }

    /// As [`run`](Self::run), with the seconds that each layer took, in the order of the network: the mean
    /// over the threads, so that they add up to the time of the call. Where a thread waits for another, that
    /// counts to the layer that follows.
    ///
    /// # Errors
    /// As [`run`](Self::run).
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
        self.compute(context, images, shape, output, result, Some(&mut seconds))?;
        let blocks = seconds.len().saturating_sub(3) / 3;
        let layers = iter::once(Layer::Stem)
            .chain((0..blocks).flat_map(|i| [Layer::Filter(i), Layer::Gates(i), Layer::Project(i)]))
            .chain([Layer::Head, Layer::Classifier]);
        Ok(layers.zip(seconds).collect())
    }

    /// `seconds`, if any, has room for the laps of the network.
    fn compute(
        &self,
        context: &mut Context,
        images: &[f32],
        shape: [usize; 4],
        output: Output,
        result: &mut [f32],
        seconds: Option<&mut [f64]>,
    ) -> Result<(), Error> {
        let rows = self.output_shape(shape, output)?;
        for (name, sides, found) in [
            ("the batch", &shape[..], images.len()),
            ("the result", &rows, result.len()),
        ] {
            let expected = sides
                .iter()
                .try_fold(1_usize, |product, &side| product.checked_mul(side));
            if expected != Some(found) {
                return Err(Error::Length {
                    name,
                    expected: expected.unwrap_or(usize::MAX),
                    found,
                });
            }
        }
        let [count, _, height, width] = shape;
        if count == 0 {
            return Ok(());
        }
        let mut targets = [ptr::null_mut(); 3];
        targets[output as usize] = result.as_mut_ptr();
        // SAFETY: the network and the context are alive, and `context` is borrowed mutably, which makes this
        // its only call. `images` has count * C * height * width floats, C being what the network was made
        // for, the one target that is not null has the size of that output, and `seconds` is null or long
        // enough by this function's contract.
        check(unsafe {
            effnet_network_run(
                self.handle.as_ptr(),
                context.handle.as_ptr(),
                images.as_ptr(),
                small("the batch", count)?,
                small("the height", height)?,
                small("the width", width)?,
                targets[0],
                targets[1],
                targets[2],
                seconds.map_or(ptr::null_mut(), <[f64]>::as_mut_ptr),
            )
        })
    }
}
