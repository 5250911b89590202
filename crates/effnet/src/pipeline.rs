//! Runs many images through a network.
//!
//! Decoding an image takes as long as the forward pass of a small network, so the two overlap: several
//! threads decode a few images ahead, in order and in bounded memory, while another gathers batches and runs
//! them.

mod batches;
mod reader;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use effnet_data::{BoxError, DecodeWindow, Decoded};
use effnet_image::{Image, ImageWarning};

use crate::{Backend, BackendError};
use batches::Batches;
pub use reader::Reader;

/// Interval at which the stop flag is checked while waiting for results.
const POLL: Duration = Duration::from_millis(50);

/// A source of an image: a path ([`Path`], [`PathBuf`], `str` or [`String`]), a decoded [`Image`], or your own type.
pub trait Source: Send + 'static {
    /// Reads and decodes the image; may be called on any thread.
    ///
    /// # Errors
    /// When the image cannot be read or decoded; the other images are still processed.
    fn image(&self) -> Result<Cow<'_, Image>, BoxError>;

    /// Called once after [`image`](Self::image) if decoding had to repair anything. Keep the warnings to
    /// report them with the result; by default they are ignored.
    fn set_warnings(&mut self, warnings: Vec<ImageWarning>) {
        drop(warnings);
    }
}

impl Source for Image {
    fn image(&self) -> Result<Cow<'_, Image>, BoxError> {
        Ok(Cow::Borrowed(self))
    }
}

impl Source for Path {
    fn image(&self) -> Result<Cow<'_, Image>, BoxError> {
        Ok(Cow::Owned(Image::open(self)?))
    }
}

impl Source for PathBuf {
    fn image(&self) -> Result<Cow<'_, Image>, BoxError> {
        self.as_path().image()
    }
}

impl Source for str {
    fn image(&self) -> Result<Cow<'_, Image>, BoxError> {
        Path::new(self).image()
    }
}

impl Source for String {
    fn image(&self) -> Result<Cow<'_, Image>, BoxError> {
        self.as_str().image()
    }
}

impl<T: Source + Sync + ?Sized> Source for &'static T {
    fn image(&self) -> Result<Cow<'_, Image>, BoxError> {
        (**self).image()
    }
}

/// Shares an image, or a source of your own, without copying it. Its warnings are ignored.
impl<T: Source + Sync + ?Sized> Source for Arc<T> {
    fn image(&self) -> Result<Cow<'_, Image>, BoxError> {
        (**self).image()
    }
}

/// An input with its row of the network's results, or with its error.
pub type Output<T> = Decoded<T, Vec<f32>>;

/// Runs images through a network: an iterator over [`Output`]s in the order of the inputs.
///
/// A [`Reader`] decodes images on its own threads, ahead of the network, which runs on another thread. They
/// share the processors, so that neither waits for the other while there is work. At most two batches, and
/// one more image per decoding thread, are decoded at a time, however many inputs there are.
///
/// If memory runs out, batches become smaller; see [`reduced_batch_size`](Self::reduced_batch_size). After an
/// error the iterator ends. A panic in the backend is resumed on the iterating thread.
///
/// Once the reader's stop flag is set, the iterator yields the finished results and then ends, within a tenth
/// of a second. It does not wait for a running call of the network; the thread of that call ends when the
/// call does. Without the flag, dropping the pipeline waits for that call. A process that exits during such a
/// call should not run the destructors of the compute libraries: use `_exit`.
///
/// ```no_run
/// use std::path::PathBuf;
/// use effnet_image::EvalTransform;
/// # fn engine() -> effnet::Engine { unimplemented!() }
/// use effnet::{Pipeline, Reader};
///
/// # fn main() -> Result<(), effnet::BackendError> {
/// let photos = vec![PathBuf::from("a.jpg"), PathBuf::from("b.jpg")];
/// let transform = EvalTransform::new(224).with_crop_pct(0.875);
/// let reader = Reader::start(photos, transform, 2, Default::default())?;
/// let engine = engine(); // decoding has already started
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
    /// `None` after the iteration has ended.
    results: Option<Receiver<Result<Vec<Output<T>>, BackendError>>>,
    runner: Option<JoinHandle<()>>,
}

impl<T: Source> Pipeline<T> {
    /// Runs the images of `reader` through `backend` in batches of `batch_size` (at least 1).
    ///
    /// # Errors
    /// [`BackendError::Thread`] when a thread cannot be started.
    pub fn new(reader: Reader<T>, backend: impl Backend, batch_size: usize) -> Result<Self, BackendError> {
        let batch_size = batch_size.max(1);
        reader.look_ahead(batch_size);
        let (window, stop) = (reader.window(), reader.stop());
        let reduced = Arc::new(AtomicUsize::new(0));
        // At most one batch of results waits here while the next is computed.
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
    /// The reduced batch size, if memory ran out; otherwise `None`.
    pub fn reduced_batch_size(&self) -> Option<usize> {
        match self.reduced.load(Ordering::Relaxed) {
            0 => None,
            size => Some(size),
        }
    }

    /// Number of outputs that are ready.
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

    /// Ends the threads, and waits for the runner unless the stop flag is set. If the runner panicked,
    /// returns its panic as an error.
    fn end(&mut self) -> std::thread::Result<()> {
        // Tell the runner that nobody is receiving results, and tell the decoders to stop.
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
        // A panic in the runner no longer matters.
        let _ = self.end();
    }
}
