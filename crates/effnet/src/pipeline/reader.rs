//! The decoding side of a pipeline.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use effnet_data::DecodeWindow;
use effnet_image::EvalTransform;

use super::{Output, Source};
use crate::BackendError;

/// Decodes images on its own threads, a few ahead of the consumer.
///
/// Decoding starts immediately, so that the first images are ready when the network is. Dropping the reader
/// ends the threads, each after its current image.
pub struct Reader<T> {
    window: DecodeWindow<T, Vec<f32>>,
    spare: Arc<Spare>,
    image_size: usize,
    threads: usize,
    stop: Arc<AtomicBool>,
}

/// Buffers of consumed images, kept for reuse because new memory would be faulted in page by page.
#[derive(Debug, Default)]
struct Spare(Mutex<Vec<Vec<f32>>>);

impl Spare {
    fn lock(&self) -> MutexGuard<'_, Vec<Vec<f32>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Source> Reader<T> {
    /// Decodes `inputs` on up to `threads` threads and applies `transform`. Inputs are pulled one by one, as
    /// needed. Once `stop` is true, no further image is started.
    ///
    /// # Errors
    /// [`BackendError::Thread`] when a thread cannot be started.
    pub fn start<I>(
        inputs: I,
        transform: EvalTransform,
        threads: usize,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, BackendError>
    where
        I: IntoIterator<Item = T>,
        I::IntoIter: Send + 'static,
    {
        let inputs = inputs.into_iter();
        let at_most = inputs.size_hint().1.unwrap_or(usize::MAX);
        let threads = threads.min(at_most).max(1);
        let spare = Arc::new(Spare::default());
        let pool = Arc::clone(&spare);
        let decode = move |input: &mut T| {
            let image = input.image()?;
            let mut pixels = pool.lock().pop().unwrap_or_default();
            pixels.resize(transform.output_len(), 0.0);
            transform.apply_into(&image, &mut pixels)?;
            let warnings = image.warnings().to_vec();
            drop(image);
            if !warnings.is_empty() {
                input.set_warnings(warnings);
            }
            Ok(pixels)
        };
        let pool = (threads, "effnet-decode");
        Ok(Self {
            window: DecodeWindow::start(inputs, threads, pool, &stop, decode)?,
            spare,
            image_size: transform.image_size,
            threads,
            stop,
        })
    }
}

impl<T> Reader<T> {
    /// Lets the threads decode one batch ahead, plus one image per thread.
    pub(super) fn look_ahead(&self, batch_size: usize) {
        self.window.look_ahead(batch_size.saturating_add(self.threads));
        self.spare.lock().truncate(batch_size);
    }

    /// Appends decoded images to `images` until it holds `count`, waiting for them. It ends up with fewer
    /// only at the end of the inputs.
    pub(super) fn fill(&self, images: &mut Vec<Output<T>>, count: usize) {
        while images.len() < count
            && let Some(image) = self.window.take()
        {
            images.push(image);
        }
    }

    /// Keeps the buffer of an image for reuse, unless `most` buffers are already kept.
    pub(super) fn recycle(&self, pixels: Vec<f32>, most: usize) {
        let mut spare = self.spare.lock();
        if spare.len() < most {
            spare.push(pixels);
        }
    }

    /// Shape of a batch of `count` images.
    pub(super) fn batch_shape(&self, count: usize) -> [usize; 4] {
        [count, 3, self.image_size, self.image_size]
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    pub(super) fn window(&self) -> DecodeWindow<T, Vec<f32>> {
        self.window.clone()
    }

    pub(super) fn stop(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        self.window.close();
    }
}

impl<T> fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("image_size", &self.image_size)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}
