//! What computes a network: the CPU engine of this crate, or one of another crate on a device.
//!
//! Whatever feeds images to a network, the [`Pipeline`](crate::Pipeline) first of all, does so through
//! [`Backend`], and knows neither tensors nor devices.

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
    /// Images `[N, C, H, W]`, row by row.
    ///
    /// # Errors
    /// [`BackendError::Length`] when there are more or fewer values than the shape says.
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

    /// The values, row by row.
    pub fn pixels(&self) -> &'a [f32] {
        self.pixels
    }

    /// `[N, C, H, W]`.
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// Images in the batch.
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
    /// `count` rows of equal length, one after the other.
    ///
    /// # Errors
    /// [`BackendError::Length`] when the values cannot be divided into so many rows.
    pub fn new(values: Vec<f32>, count: usize) -> Result<Self, BackendError> {
        if values.len().is_multiple_of(count) {
            return Ok(Self { values, count });
        }
        Err(BackendError::Length {
            shape: vec![count],
            found: values.len(),
        })
    }

    /// The number of rows.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The length of a row.
    pub fn width(&self) -> usize {
        self.values.len().checked_div(self.count).unwrap_or(0)
    }

    /// All values, row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The rows in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        let width = self.width();
        (0..self.count).map(move |row| &self.values[row * width..(row + 1) * width])
    }
}

/// A result that may still be on its way: a device goes on computing while its caller does something
/// else, such as preparing the next batch.
pub struct Pending(Progress);

enum Progress {
    Done(Rows),
    Later(Box<dyn FnOnce() -> Result<Rows, BackendError> + Send>),
}

impl Pending {
    /// A result that is there.
    pub fn done(result: Rows) -> Self {
        Self(Progress::Done(result))
    }

    /// A result that `wait` waits for.
    pub fn later(wait: impl FnOnce() -> Result<Rows, BackendError> + Send + 'static) -> Self {
        Self(Progress::Later(Box::new(wait)))
    }

    /// Whether there is nothing to wait for.
    pub fn is_done(&self) -> bool {
        matches!(self.0, Progress::Done(_))
    }

    /// The result, once it is there.
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
    /// Starts on normalised images, `[N, C, H, W]` in 32-bit floats: logits `[N, classes]`, or averaged
    /// features `[N, features]`. A CPU computes before it returns; a device may go on while the next batch
    /// is put together. The images are not looked at afterwards.
    ///
    /// # Errors
    /// One that [is about memory](BackendError::is_out_of_memory) where a smaller batch may do, and
    /// whatever else keeps it from computing.
    fn submit(&self, images: Images<'_>) -> Result<Pending, BackendError>;

    /// [`submit`](Self::submit), and waits for the result.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    fn run(&self, images: Images<'_>) -> Result<Rows, BackendError> {
        self.submit(images)?.wait()
    }

    /// How it computes: `fused` or `plain`.
    fn engine(&self) -> &'static str;

    /// Whose kernels compute: `avx512bf16`, `avx512`, `avx2` or `baseline` for the engine of this crate,
    /// `cuda-graphs` where batches are recorded, `libtorch` elsewhere.
    fn kernels(&self) -> String;

    /// The precision in use; never [`Precision::Auto`].
    fn precision(&self) -> Precision;

    /// What activations of images of `[height, width]` take, and what is kept for the next call; an
    /// estimate where another library decides.
    ///
    /// # Errors
    /// [`BackendError::Kernels`] for a size that no image has.
    fn memory_need(&self, size: [usize; 2]) -> Result<MemoryNeed, BackendError>;

    /// Where it computes: `cpu`, `cuda:0`, ...
    fn device(&self) -> String {
        "cpu".to_owned()
    }

    /// Bytes that are free on the device, where that is not the memory of this machine.
    ///
    /// # Errors
    /// [`BackendError::Device`] when the device cannot be asked.
    fn free_device_memory(&self) -> Result<Option<u64>, BackendError> {
        Ok(None)
    }

    /// Most bytes that were taken on the device so far, where that is not the memory of this machine.
    ///
    /// # Errors
    /// [`BackendError::Device`] when the device cannot be asked.
    fn peak_device_memory(&self) -> Result<Option<u64>, BackendError> {
        Ok(None)
    }

    /// Whether a device computes while the next batch is submitted.
    fn works_beside(&self) -> bool {
        false
    }

    /// Why batches are not replayed as CUDA graphs where they could be. It can change when the second batch
    /// of a shape is run.
    fn without_graphs(&self) -> Option<String> {
        None
    }

    /// The seconds that each layer takes for these images; `None` where that cannot be measured.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
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

    fn works_beside(&self) -> bool {
        (**self).works_beside()
    }

    fn without_graphs(&self) -> Option<String> {
        (**self).without_graphs()
    }

    fn profile(&self, images: Images<'_>) -> Result<Option<Vec<(Layer, f64)>>, BackendError> {
        (**self).profile(images)
    }
}

/// Why a network cannot be prepared or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The device does not compute in this precision.
    #[error("{precision} is not available on {device}")]
    Precision {
        /// The precision asked for.
        precision: Precision,
        /// Where it was to be computed.
        device: String,
    },
    /// The values are not as many as the shape says.
    #[error("{found} values, which do not make the shape {shape:?}")]
    Length {
        /// The shape.
        shape: Vec<usize>,
        /// The number of values.
        found: usize,
    },
    /// A backend gave another number of rows than it was given images.
    #[error("{images} images gave {found} rows of results, expected {images}")]
    Rows {
        /// Images in the batch.
        images: usize,
        /// Rows in the result.
        found: usize,
    },
    /// The numbers of a tensor cannot be read.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// The kernels refused.
    #[error(transparent)]
    Kernels(#[from] effnet_kernels::Error),
    /// The system gave no thread.
    #[error("cannot start a thread")]
    Thread(#[from] std::io::Error),
    /// Memory of this machine or of a device is short.
    #[error("out of memory: {0}")]
    OutOfMemory(String),
    /// Another library, or a device, failed.
    #[error("{0}")]
    Device(String),
}

impl BackendError {
    /// Whether it is memory that was short: a smaller batch may do.
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            Self::OutOfMemory(_) => true,
            Self::Kernels(error) => error.is_out_of_memory(),
            _ => false,
        }
    }
}
