//! Many pictures through one network.

mod batches;
mod reader;

use std::collections::VecDeque;
use std::error::Error as StdError;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use effnet_image::Image;
use tch::Tensor;

use crate::{Engine, Error, Pending};
use batches::Batches;
pub use reader::Reader;
use reader::Window;

/// How long an interrupt may go unnoticed while nothing is finished.
const POLL: Duration = Duration::from_millis(50);

/// An error of any type.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Something that a picture can be had from.
pub trait Source: Send + 'static {
    /// Reads and decodes the picture; called on any thread.
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

/// What a [`Pipeline`] puts its batches through.
pub trait Runner: Send + 'static {
    /// One row of results, `[N, ...]`, for each of the normalised images `[N, 3, H, W]`, which are
    /// 32-bit floats on the CPU.
    ///
    /// # Errors
    /// One that [is about memory](Error::is_out_of_memory) makes the batch smaller, any other ends
    /// the pipeline.
    fn run(&self, images: &Tensor) -> Result<Tensor, Error>;

    /// Starts a [`run`](Self::run), which may go on while the next batch is put together. It must not
    /// read `images` afterwards.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    fn submit(&self, images: &Tensor) -> Result<Pending, Error> {
        self.run(images).map(Pending::done)
    }
}

impl Runner for Engine {
    fn run(&self, images: &Tensor) -> Result<Tensor, Error> {
        Engine::run(self, images)
    }

    fn submit(&self, images: &Tensor) -> Result<Pending, Error> {
        Engine::submit(self, images)
    }
}

/// Why one input has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// It could not be read, decoded or transformed.
    #[error(transparent)]
    Image(BoxError),
    /// The decoder has a bug that this file brings out.
    #[error("the decoder failed on it ({0}); please report this, with the file")]
    Panicked(String),
}

/// One input with what became of it.
#[derive(Debug)]
pub struct Output<T> {
    /// As it went in.
    pub input: T,
    /// The row of the network's result that belongs to it, flattened, in 32-bit floats.
    pub result: Result<Vec<f32>, InputError>,
}

/// Pictures on their way through a network: an iterator over [`Output`]s in the order of the inputs.
///
/// A [`Reader`] decodes on threads of its own, ahead of the network, which runs on another; both
/// share the processors, so that neither waits for the other while there is work. No more than two
/// batches and a picture for each thread are decoded at a time, however many inputs there are.
///
/// Memory that runs out makes batches smaller, see [`reduced_batch_size`](Self::reduced_batch_size).
/// After an error the iterator ends; a panic of the runner goes on in the thread that iterates.
///
/// Once the reader's stop flag is set, it yields what is finished and then ends, within a tenth of a
/// second: a call of the network that is under way is left to itself, and its thread ends after it.
/// Without the flag, dropping the pipeline waits for that call. A process that ends while such a call
/// goes on should not run libtorch's destructors ([`libtorch_ext::exit_at_once`]).
///
/// ```no_run
/// use std::path::PathBuf;
/// use effnet_image::EvalTransform;
/// # fn engine() -> effnet_infer::Engine { unimplemented!() }
/// use effnet_infer::{Pipeline, Reader};
///
/// # fn main() -> Result<(), effnet_infer::Error> {
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
    window: Arc<Window<T>>,
    stop: Arc<AtomicBool>,
    reduced: Arc<AtomicUsize>,
    finished: VecDeque<Output<T>>,
    /// `None` once the end was reached.
    results: Option<Receiver<Result<Vec<Output<T>>, Error>>>,
    runner: Option<JoinHandle<()>>,
}

impl<T: Source> Pipeline<T> {
    /// Puts what `reader` decodes through `runner`, `batch_size` images at a time (at least one).
    ///
    /// # Errors
    /// [`Error::Thread`].
    pub fn new(reader: Reader<T>, runner: impl Runner, batch_size: usize) -> Result<Self, Error> {
        let batch_size = batch_size.max(1);
        reader.look_ahead(batch_size);
        let (window, stop) = (reader.window(), reader.stop());
        let reduced = Arc::new(AtomicUsize::new(0));
        // One batch of results waits here while the next is computed, no more.
        let (sender, results) = sync_channel(1);
        let batches = Batches::new(reader, runner, batch_size, Arc::clone(&reduced));
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
    fn receive(&self) -> Option<Result<Vec<Output<T>>, Error>> {
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
    type Item = Result<Output<T>, Error>;

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
