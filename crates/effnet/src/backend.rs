//! The interface between the code that supplies images and the engines that run a network.
//!
//! [`Pipeline`](crate::Pipeline) and the commands call a network through [`Backend`]. The CPU engine of this
//! crate implements it, and so do the libtorch engines of effnet-torch; without it, every command would need
//! libtorch, or exist twice.

use std::fmt;

use effnet_architecture::Precision;
use effnet_checkpoint::TensorError;
use effnet_kernels::Layer;

use crate::MemoryNeed;

/// A batch of normalised images in memory.
#[derive(Debug, Clone, Copy)]
pub struct Images<'a> {
    pixels: &'a [f32],
    shape: [usize; 4],
}

impl<'a> Images<'a> {
    /// Wraps the values of images `[N, C, H, W]`, in row-major order.
    ///
    /// # Errors
    /// [`BackendError::Length`] when the number of values does not match the shape.
    pub fn new(pixels: &'a [f32], shape: [usize; 4]) -> Result<Self, BackendError> {
        let expected = shape
            .iter()
            .try_fold(1_usize, |product, &side| product.checked_mul(side));
        if expected == Some(pixels.len()) {
            return Ok(Self { pixels, shape });
        }
        Err(BackendError::Length {
            shape: shape.to_vec(),
            found: pixels.len(),
        })
    }

    /// The values, in row-major order.
    pub fn pixels(&self) -> &'a [f32] {
        self.pixels
    }

    /// The shape, `[N, C, H, W]`.
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// Number of images in the batch.
    pub fn count(&self) -> usize {
        self.shape[0]
    }
}

/// Results, one row per image.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    values: Vec<f32>,
    count: usize,
}

impl Rows {
    /// Creates `count` rows of equal length from values in row-major order.
    ///
    /// # Errors
    /// [`BackendError::Length`] when the values cannot be divided into `count` rows.
    pub fn new(values: Vec<f32>, count: usize) -> Result<Self, BackendError> {
        if values.len().is_multiple_of(count) {
            return Ok(Self { values, count });
        }
        Err(BackendError::Length {
            shape: vec![count],
            found: values.len(),
        })
    }

    /// Number of rows.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Length of a row.
    pub fn width(&self) -> usize {
        self.values.len().checked_div(self.count).unwrap_or(0)
    }

    /// All values, row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Converts the rows into their values, row after row.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// The rows in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        let width = self.width();
        (0..self.count).map(move |row| &self.values[row * width..(row + 1) * width])
    }
}

/// A result that may not be ready yet: a device can compute while its caller does something else, such as
/// preparing the next batch.
pub struct Pending(Progress);

enum Progress {
    Done(Rows),
    Later(Box<dyn FnOnce() -> Result<Rows, BackendError> + Send>),
}

impl Pending {
    /// A result that is ready.
    pub fn done(result: Rows) -> Self {
        Self(Progress::Done(result))
    }

    /// A result that is not ready yet; `wait` waits for it and returns it.
    pub fn later(wait: impl FnOnce() -> Result<Rows, BackendError> + Send + 'static) -> Self {
        Self(Progress::Later(Box::new(wait)))
    }

    /// Whether the result is ready.
    pub fn is_done(&self) -> bool {
        matches!(self.0, Progress::Done(_))
    }

    /// Waits for the result.
    ///
    /// # Errors
    /// [`BackendError::Device`] when the device failed.
    pub fn wait(self) -> Result<Rows, BackendError> {
        match self.0 {
            Progress::Done(result) => Ok(result),
            Progress::Later(wait) => wait(),
        }
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pending").field(&self.is_done()).finish()
    }
}

/// A network that is ready to run.
pub trait Backend: Send + Sync + 'static {
    /// Runs a batch of normalised images, `[N, C, H, W]` as 32-bit floats. The result is logits `[N,
    /// classes]` or pooled features `[N, features]`. On a CPU it is ready on return; a device may still be
    /// computing while the caller assembles the next batch. The images are not accessed after the call
    /// returns.
    ///
    /// # Errors
    /// An [out-of-memory error](BackendError::is_out_of_memory) if a smaller batch may succeed, and any other
    /// failure to compute.
    fn submit(&self, images: Images<'_>) -> Result<Pending, BackendError>;

    /// Like [`submit`](Self::submit), but waits for the result.
    ///
    /// # Errors
    /// Same as [`submit`](Self::submit).
    fn run(&self, images: Images<'_>) -> Result<Rows, BackendError> {
        self.submit(images)?.wait()
    }

    /// Name of the engine: `fused` or `plain`.
    fn engine(&self) -> &'static str;

    /// Kernels in use: `avx512bf16`, `avx512`, `avx2` or `baseline` for the engine of this crate,
    /// `cuda-graphs` if batches are captured as CUDA graphs, otherwise `libtorch`.
    fn kernels(&self) -> String;

    /// The precision in use; never [`Precision::Auto`].
    fn precision(&self) -> Precision;

    /// Memory for the activations of images of `[height, width]` pixels, including what is kept for the next
    /// call; an estimate if another library allocates it.
    ///
    /// # Errors
    /// [`BackendError::Kernels`] for an invalid size.
    fn memory_need(&self, size: [usize; 2]) -> Result<MemoryNeed, BackendError>;

    /// Device that the network runs on: `cpu`, `cuda:0`, ...
    fn device(&self) -> String {
        "cpu".to_owned()
    }

    /// Free memory of the device in bytes; `None` on a CPU.
    ///
    /// # Errors
    /// [`BackendError::Device`] when the device cannot be queried.
    fn free_device_memory(&self) -> Result<Option<u64>, BackendError> {
        Ok(None)
    }

    /// Peak memory use on the device in bytes; `None` on a CPU.
    ///
    /// # Errors
    /// [`BackendError::Device`] when the device cannot be queried.
    fn peak_device_memory(&self) -> Result<Option<u64>, BackendError> {
        Ok(None)
    }

    /// Whether the device computes asynchronously, while the next batch is submitted.
    fn is_asynchronous(&self) -> bool {
        false
    }

    /// The reason why batches are not replayed as CUDA graphs on a device that supports them. It can change
    /// when a second batch of the same shape is run.
    fn why_no_graphs(&self) -> Option<String> {
        None
    }

    /// Time that each layer takes for these images, in seconds; `None` if it cannot be measured.
    ///
    /// # Errors
    /// Same as [`submit`](Self::submit).
    fn profile(&self, images: Images<'_>) -> Result<Option<Vec<(Layer, f64)>>, BackendError> {
        let _ = images;
        Ok(None)
    }
}

impl Backend for Box<dyn Backend> {
    fn submit(&self, images: Images<'_>) -> Result<Pending, BackendError> {
        (**self).submit(images)
    }

    fn engine(&self) -> &'static str {
        (**self).engine()
    }

    fn kernels(&self) -> String {
        (**self).kernels()
    }

    fn precision(&self) -> Precision {
        (**self).precision()
    }

    fn memory_need(&self, size: [usize; 2]) -> Result<MemoryNeed, BackendError> {
        (**self).memory_need(size)
    }

    fn device(&self) -> String {
        (**self).device()
    }

    fn free_device_memory(&self) -> Result<Option<u64>, BackendError> {
        (**self).free_device_memory()
    }

    fn peak_device_memory(&self) -> Result<Option<u64>, BackendError> {
        (**self).peak_device_memory()
    }

    fn is_asynchronous(&self) -> bool {
        (**self).is_asynchronous()
    }

    fn why_no_graphs(&self) -> Option<String> {
        (**self).why_no_graphs()
    }

    fn profile(&self, images: Images<'_>) -> Result<Option<Vec<(Layer, f64)>>, BackendError> {
        (**self).profile(images)
    }
}

/// Errors from preparing or running a network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The device does not support this precision.
    #[error("{precision} is not supported on {device}")]
    Precision {
        /// The requested precision.
        precision: Precision,
        /// The device.
        device: String,
    },
    /// The number of values does not match the shape.
    #[error("the number of values ({found}) does not match the shape {shape:?}")]
    Length {
        /// The shape.
        shape: Vec<usize>,
        /// The number of values.
        found: usize,
    },
    /// A backend returned a different number of rows than images.
    #[error("the result for a batch of size {images} has {found} rows, expected one per image")]
    Rows {
        /// Number of images in the batch.
        images: usize,
        /// Number of rows in the result.
        found: usize,
    },
    /// The values of a tensor cannot be read.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// The kernels failed.
    #[error(transparent)]
    Kernels(#[from] effnet_kernels::Error),
    /// The operating system cannot start a thread.
    #[error("cannot start a thread")]
    Thread(#[from] std::io::Error),
    /// This machine or a device is out of memory.
    #[error("out of memory: {0}")]
    OutOfMemory(String),
    /// Another library, or a device, failed.
    #[error("{0}")]
    Device(String),
}

impl BackendError {
    /// Whether memory ran out, so that a smaller batch may succeed.
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            Self::OutOfMemory(_) => true,
            Self::Kernels(error) => error.is_out_of_memory(),
            _ => false,
        }
    }
}
