//! Many images through one network.
//!
//! Decoding takes as long as a small network's forward pass, so both go on at the same time: threads that decode
//! a few images ahead, in order and in bounded memory, and one that gathers batches and runs them.

mod batches;
mod reader;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use effnet_data::{BoxError, DecodeWindow, Decoded};
use effnet_image::Image;

use crate::{Backend, BackendError};
use batches::Batches;
pub use reader::Reader;

/// How long an interrupt may go unnoticed while nothing is finished.
const POLL: Duration = Duration::from_millis(50);

/// Something that a image can be had from.
pub trait Source: Send + 'static {
    /// Reads and decodes the image; called on any thread.
    ///
    /// # Errors
    /// Whatever is wrong with it; the others go on.
    fn image(&self) -> Result<Image, BoxError>;
}

impl Source for PathBuf {
    fn image(&self) -> Result<Image, BoxError> {
        Ok(Image::open(self)?)
    }
}

/// One input with what became of it: the row of the network's result that belongs to it, in 32-bit floats.
pub type Output<T> = Decoded<T, Vec<f32>>;

/// Images on their way through a network: an iterator over [`Output`]s in the order of the inputs.
///
/// A [`Reader`] decodes on threads of its own, ahead of the network, which runs on another; both
/// share the processors, so that neither waits for the other while there is work. No more than two
/// batches and a image for each thread are decoded at a time, however many inputs there are.
///
/// Memory that runs out makes batches smaller, see [`reduced_batch_size`](Self::reduced_batch_size).
/// After an error the iterator ends; a panic of the backend goes on in the thread that iterates.
///
/// Once the reader's stop flag is set, it yields what is finished and then ends, within a tenth of a
/// second: a call of the network that is under way is left to itself, and its thread ends after it.
/// Without the flag, dropping the pipeline waits for that call. A process that ends while such a call
/// goes on should not run the destructors of the libraries that compute: end it with `_exit`.
///
/// ```no_run
/// use std::path::PathBuf;
/// use effnet_image::EvalTransform;
/// # fn engine() -> effnet::Engine { unimplemented!() }
/// use effnet::{Pipeline, Reader};
///
/// # fn main() -> Result<(), effnet::BackendError> {
/// let photos = vec![PathBuf::from("a.jpg"), PathBuf::from("b.jpg")];
/// let transform = EvalTransform::with_crop_pct(224, 0.875);
/// let reader = Reader::start(photos, transform, 2, Default::default())?;
/// let engine = engine(); // decoding has begun
/// for output in Pipeline::new(reader, engine, 16)? {
///     let output = output?;
///     match output.result {
///         Ok(logits) => println!("{}: {} logits", output.input.display(), logits.len()),
///         Err(error) => println!("{}: {error}", output.input.display()),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Pipeline<T> {
    window: DecodeWindow<T, Vec<f32>>,
    stop: Arc<AtomicBool>,
    reduced: Arc<AtomicUsize>,
    finished: VecDeque<Output<T>>,
    /// `None` once the end was reached.
    results: Option<Receiver<Result<Vec<Output<T>>, BackendError>>>,
    runner: Option<JoinHandle<()>>,
}

impl<T: Source> Pipeline<T> {
    /// Puts what `reader` decodes through `backend`, `batch_size` images at a time (at least one).
    ///
    /// # Errors
    /// [`BackendError::Thread`].
    pub fn new(reader: Reader<T>, backend: impl Backend, batch_size: usize) -> Result<Self, BackendError> {
        let batch_size = batch_size.max(1);
        reader.look_ahead(batch_size);
        let (window, stop) = (reader.window(), reader.stop());
        let reduced = Arc::new(AtomicUsize::new(0));
        // One batch of results waits here while the next is computed, no more.
        let (sender, results) = sync_channel(1);
        let batches = Batches::new(reader, backend, batch_size, Arc::clone(&reduced));
        let runner = std::thread::Builder::new()
            .name("effnet-network".to_owned())
            .spawn(move || batches.run(&sender))?;
        Ok(Self {
            window,
            stop,
            reduced,
            finished: VecDeque::new(),
            results: Some(results),
            runner: Some(runner),
        })
    }
}

impl<T> Pipeline<T> {
    /// The size that batches were cut down to because memory ran out; `None` while it has not.
    pub fn reduced_batch_size(&self) -> Option<usize> {
        match self.reduced.load(Ordering::Relaxed) {
            0 => None,
            size => Some(size),
        }
    }

    /// How many outputs can be had without waiting.
    pub fn ready(&self) -> usize {
        self.finished.len()
    }

    /// The next batch of results; `None` at the end or once stopped.
    fn receive(&self) -> Option<Result<Vec<Output<T>>, BackendError>> {
        let results = self.results.as_ref()?;
        loop {
            match results.recv_timeout(POLL) {
                Ok(batch) => return Some(batch),
                Err(RecvTimeoutError::Timeout) if self.stop.load(Ordering::SeqCst) => return None,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Ends the threads, and waits for them unless stopped. What a panic of the runner left.
    fn end(&mut self) -> std::thread::Result<()> {
        // The runner sees that nobody listens, the decoders that nothing more is wanted.
        self.results = None;
        self.window.close();
        let stopped = self.stop.load(Ordering::SeqCst);
        match self.runner.take() {
            Some(runner) if !stopped || runner.is_finished() => runner.join(),
            _ => Ok(()),
        }
    }
}

impl<T> Iterator for Pipeline<T> {
    type Item = Result<Output<T>, BackendError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(output) = self.finished.pop_front() {
                return Some(Ok(output));
            }
            let error = match self.receive() {
                Some(Ok(batch)) => {
                    self.finished = batch.into();
                    continue;
                }
                Some(Err(error)) => Some(Err(error)),
                None => None,
            };
            if let Err(panic) = self.end() {
                std::panic::resume_unwind(panic);
            }
            return error;
        }
    }
}

impl<T> Drop for Pipeline<T> {
    fn drop(&mut self) {
        // Nobody wants the results any more, nor to know why there are none.
        let _ = self.end();
    }
}
