//! The fused network: packed weights, threads and memory behind one handle.

use std::ffi::{CStr, c_char};
use std::iter;
use std::ptr::{self, NonNull};
use std::sync::{Mutex, PoisonError};

use tch::{Device, Kind, Tensor};

use crate::Error;
use crate::error::check;
use crate::raw::{RawSpec, dimension, floats, raw, raw_block, small};

/// What the kernels compute with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Weights, activations and sums in 32-bit floats.
    Fp32,
    /// Weights and activations in bfloat16; sums, depthwise convolutions and squeeze-and-excitation
    /// in 32-bit floats. Correct on every CPU, fast where [`has_bf16_instructions`].
    Bf16,
}

/// The instructions that kernels are compiled for, from those of every CPU to the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i32)] // as in network.h, where 0 means the best that the CPU has
pub enum InstructionSet {
    /// What the compiler takes for granted.
    Baseline = 1,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F, BW, VL and DQ.
    Avx512,
    /// The same and AVX512_BF16.
    Avx512Bf16,
}

/// A part of the network whose time [`FusedNetwork::profile`] tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
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

/// Pixels added around the input of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// TensorFlow's SAME, computed from the size of each input.
    Same,
    /// A fixed number of pixels at the top, bottom, left and right.
    Fixed([i64; 4]),
}

/// A convolution, and what batch normalisation after it comes to.
#[derive(Debug)]
pub struct Convolution {
    /// `[outputs, inputs / groups, kernel, kernel]`.
    pub weight: Tensor,
    /// What the weights of each output are multiplied by, `[outputs]`: in doubles, rounded once to
    /// floats.
    pub scale: Option<Tensor>,
    /// `[outputs]`; not scaled.
    pub bias: Tensor,
    /// Pixels between two outputs.
    pub stride: i64,
    /// Pixels added around the input.
    pub padding: Padding,
}

/// One inverted bottleneck. All but `depthwise` are pointwise convolutions.
#[derive(Debug)]
pub struct FusedBlock {
    /// To the expanded width, followed by SiLU; absent where the block does not expand.
    pub expand: Option<Convolution>,
    /// One filter per channel, 3 or 5 wide, stride 1 or 2, followed by SiLU.
    pub depthwise: Convolution,
    /// The first layer of squeeze-and-excitation, followed by SiLU.
    pub reduce: Convolution,
    /// Its second layer, followed by the sigmoid.
    pub excite: Convolution,
    /// To the output's width.
    pub project: Convolution,
    /// Whether the block's input is added to its output.
    pub skip: bool,
}

/// The layers of a network.
#[derive(Debug)]
pub struct NetworkParts {
    /// From the image, followed by SiLU.
    pub stem: Convolution,
    /// In order.
    pub blocks: Vec<FusedBlock>,
    /// Pointwise, followed by SiLU; averaged over the pixels afterwards.
    pub head: Convolution,
    /// `[classes, features, 1, 1]`; without it the network ends with the averages.
    pub classifier: Option<Convolution>,
}

#[repr(C)]
struct RawNetwork {
    opaque: [u8; 0],
}

unsafe extern "C" {
    fn effnet_network_new(spec: *const RawSpec, network: *mut *mut RawNetwork) -> *mut c_char;
    fn effnet_network_free(network: *mut RawNetwork);
    fn effnet_network_isa(network: *const RawNetwork) -> *const c_char;
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
        threads: *mut u64,
        image: *mut u64,
    ) -> *mut c_char;
    fn effnet_network_run(
        network: *mut RawNetwork,
        images: *const f32,
        count: i32,
        height: i32,
        width: i32,
        logits: *mut f32,
        pooled: *mut f32,
        features: *mut f32,
        seconds: *mut f64,
    ) -> *mut c_char;
    fn effnet_network_laps(network: *const RawNetwork) -> i32;
    fn effnet_has_bf16() -> i32;
}

/// Whether this CPU multiplies bfloat16 (AVX512_BF16).
pub fn has_bf16_instructions() -> bool {
    // SAFETY: takes nothing and only reads what the CPU says about itself.
    unsafe { effnet_has_bf16() != 0 }
}

/// A network in the form in which it is fastest on this CPU.
///
/// Weights are packed once. Memory for activations grows to what the largest batch so far needed
/// and is reused. The threads are the network's own and sleep between calls.
#[derive(Debug)]
pub struct FusedNetwork {
    /// Calls take turns: the activations live in the network.
    handle: Mutex<Handle>,
    input_channels: i64,
    feature_channels: i64,
    classes: Option<i64>,
    instruction_set: String,
}

#[derive(Debug)]
struct Handle(NonNull<RawNetwork>);

// SAFETY: the C++ object keeps nothing that belongs to the thread that made it, and is reached
// through the mutex only.
unsafe impl Send for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: made by `effnet_network_new`, freed here only, and in use by nobody else now.
        unsafe { effnet_network_free(self.0.as_ptr()) };
    }
}

/// Bytes that calls of a [`FusedNetwork`] take for activations and keep for the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActivationMemory {
    /// All threads together, whatever the batch.
    pub threads: u64,
    /// Each image of the batch.
    pub image: u64,
}

/// The end of the network at which a result is taken.
#[derive(Clone, Copy)]
enum Output {
    Logits,
    Pooled,
    Features,
}

impl FusedNetwork {
    /// Packs the weights for this CPU and starts `threads - 1` threads (the caller's is the other).
    ///
    /// # Errors
    /// [`Error::Shape`] where two layers do not fit together, [`Error::OutOfRange`],
    /// [`Error::Native`] for a kernel or stride that there is no kernel for,
    /// [`Error::OutOfMemory`], [`Error::Torch`].
    pub fn new(parts: &NetworkParts, precision: Precision, threads: usize) -> Result<Self, Error> {
        Self::build(parts, precision, threads, None)
    }

    /// The same with the kernels of one instruction set rather than the best that the CPU has.
    ///
    /// # Errors
    /// Those of [`new`](Self::new), and [`Error::Native`] if the CPU lacks the instructions.
    pub fn with_instruction_set(
        parts: &NetworkParts,
        precision: Precision,
        threads: usize,
        instruction_set: InstructionSet,
    ) -> Result<Self, Error> {
        Self::build(parts, precision, threads, Some(instruction_set))
    }

    fn build(
        parts: &NetworkParts,
        precision: Precision,
        threads: usize,
        instruction_set: Option<InstructionSet>,
    ) -> Result<Self, Error> {
        let mut keep = Vec::new();
        let input_channels = dimension(&parts.stem.weight, 1);
        let stem = raw(&parts.stem, "the stem", input_channels, &mut keep)?;
        let mut channels = i64::from(stem.outputs);
        let mut blocks = Vec::with_capacity(parts.blocks.len());
        for block in &parts.blocks {
            let block = raw_block(block, channels, &mut keep)?;
            channels = i64::from(block.project.outputs);
            blocks.push(block);
        }
        let head = raw(&parts.head, "the head", channels, &mut keep)?;
        let classifier = match &parts.classifier {
            Some(classifier) => Some(raw(
                classifier,
                "the classifier",
                i64::from(head.outputs),
                &mut keep,
            )?),
            None => None,
        };
        let spec = RawSpec {
            stem,
            head,
            blocks: blocks.as_ptr(),
            block_count: small("the number of blocks", blocks.len() as i64)?,
            has_classifier: i32::from(classifier.is_some()),
            classifier: classifier.unwrap_or(head),
            bf16: i32::from(precision == Precision::Bf16),
            threads: small("the number of threads", threads.clamp(1, 1024) as i64)?,
            instruction_set: instruction_set.map_or(0, |set| set as i32),
        };
        let mut network = ptr::null_mut();
        // SAFETY: every pointer in `spec` points into `blocks` or a tensor of `keep`, which outlive
        // the call, and `raw` has checked that each tensor holds as many floats as its sizes say.
        check(unsafe { effnet_network_new(&raw const spec, &raw mut network) })?;
        let handle = NonNull::new(network).ok_or_else(|| Error::Native("no network was made".to_owned()))?;
        // SAFETY: the network is alive and the string is a constant of the library.
        let name = unsafe { CStr::from_ptr(effnet_network_isa(network)) };
        Ok(Self {
            handle: Mutex::new(Handle(handle)),
            input_channels,
            feature_channels: i64::from(head.outputs),
            classes: classifier.map(|c| i64::from(c.outputs)),
            instruction_set: name.to_string_lossy().into_owned(),
        })
    }

    /// The instruction set of the kernels in use: `baseline`, `avx2`, `avx512` or `avx512bf16`.
    pub fn instruction_set(&self) -> &str {
        &self.instruction_set
    }

    /// What a call on images of this height and width takes, without its input and its output.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a side that is no 32-bit number.
    pub fn activation_memory(&self, [height, width]: [i64; 2]) -> Result<ActivationMemory, Error> {
        let (height, width) = (small("the height", height)?, small("the width", width)?);
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut threads, mut image) = (0, 0);
        // SAFETY: the network is alive, and the last two arguments are places to write to.
        check(unsafe {
            effnet_network_memory(handle.0.as_ptr(), height, width, &raw mut threads, &raw mut image)
        })?;
        Ok(ActivationMemory { threads, image })
    }

    /// Logits `[N, classes]` of images `[N, C, H, W]`; without a classifier the averaged features
    /// `[N, features]`. The result is float on the CPU, whatever the images are.
    ///
    /// # Errors
    /// [`Error::Shape`] for images of another shape, [`Error::OutOfMemory`], [`Error::Torch`].
    pub fn run(&self, images: &Tensor) -> Result<Tensor, Error> {
        let output = if self.classes.is_some() {
            Output::Logits
        } else {
            Output::Pooled
        };
        self.compute(images, output, None)
    }

    /// One forward pass and the seconds that each part of it took, in the order of the network: the
    /// mean over the threads, so that they add up to the time of the pass. Where a thread waits for
    /// another, that counts to the part that follows.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn profile(&self, images: &Tensor) -> Result<Vec<(Part, f64)>, Error> {
        let laps = {
            let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: the network is alive.
            unsafe { effnet_network_laps(handle.0.as_ptr()) }
        };
        let mut seconds = vec![0.0; usize::try_from(laps).unwrap_or(0)];
        let output = if self.classes.is_some() {
            Output::Logits
        } else {
            Output::Pooled
        };
        let _ = self.compute(images, output, Some(&mut seconds))?;
        let blocks = seconds.len().saturating_sub(3) / 3;
        let parts = iter::once(Part::Stem)
            .chain((0..blocks).flat_map(|i| [Part::Filter(i), Part::Gates(i), Part::Project(i)]))
            .chain([Part::Head, Part::Classifier]);
        Ok(parts.zip(seconds).collect())
    }

    /// The head's activations `[N, features, H', W']`, before the average.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_features(&self, images: &Tensor) -> Result<Tensor, Error> {
        self.compute(images, Output::Features, None)
    }

    /// `seconds`, if any, has room for the laps of the network.
    fn compute(&self, images: &Tensor, output: Output, seconds: Option<&mut [f64]>) -> Result<Tensor, Error> {
        let size = images.size();
        let fits = size.len() == 4 && size[1] == self.input_channels && size[2] > 0 && size[3] > 0;
        if !fits {
            let expected = vec![-1, self.input_channels, -1, -1];
            return Err(Error::Shape {
                name: "the batch",
                expected,
                found: size,
            });
        }
        let images = floats(images)?;
        let (count, height, width) = (
            small("the batch", size[0])?,
            small("the height", size[2])?,
            small("the width", size[3])?,
        );
        // Kernels address the pixels of an image, times 16 channels, with 32-bit numbers.
        small(
            "the number of pixels",
            size[2].saturating_mul(size[3]).saturating_mul(16),
        )?;
        // A call that panicked left nothing half done that the next one would read.
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut features = [0i32; 2];
        // SAFETY: the network is alive, and `features` has room for the two sizes.
        check(unsafe {
            effnet_network_feature_shape(handle.0.as_ptr(), height, width, features.as_mut_ptr())
        })?;
        let shape = match (output, self.classes) {
            (Output::Logits, Some(classes)) => vec![size[0], classes],
            (Output::Features, _) => {
                vec![
                    size[0],
                    self.feature_channels,
                    i64::from(features[0]),
                    i64::from(features[1]),
                ]
            }
            _ => vec![size[0], self.feature_channels],
        };
        let result = Tensor::f_empty(shape.as_slice(), (Kind::Float, Device::Cpu))?;
        if count == 0 {
            return Ok(result);
        }
        let target = result.data_ptr().cast::<f32>();
        let mut targets = [ptr::null_mut(); 3];
        targets[output as usize] = target;
        // SAFETY: the network is alive and the lock makes this its only call. `images` is a
        // contiguous float tensor of count * C * height * width elements, C being what the network
        // was made for, the one target that is not null was made with the size of that output, and
        // `seconds` is null or long enough by this function's contract.
        check(unsafe {
            effnet_network_run(
                handle.0.as_ptr(),
                images.data_ptr().cast::<f32>(),
                count,
                height,
                width,
                targets[0],
                targets[1],
                targets[2],
                seconds.map_or(ptr::null_mut(), <[f64]>::as_mut_ptr),
            )
        })?;
        Ok(result)
    }
}
