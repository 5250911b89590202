//! The computing side of a pipeline: gathers batches and runs them, one batch ahead of the results.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;

use super::{Output, Reader, Source};
use crate::{Backend, BackendError, Images, Pending};

pub(super) struct Batches<T, B> {
    reader: Reader<T>,
    backend: B,
    /// Pixels of the images for the next call, contiguous; the memory is reused.
    gathered: Vec<f32>,
    batch_size: usize,
    /// The value of [`Pipeline::reduced_batch_size`](super::Pipeline::reduced_batch_size), 0 unless reduced.
    reduced: Arc<AtomicUsize>,
}

/// A submitted batch.
struct Batch<T> {
    images: Vec<Output<T>>,
    /// Its results; `None` if none of its images could be decoded.
    rows: Option<Pending>,
}

impl<T> Batch<T> {
    fn is_done(&self) -> bool {
        self.rows.as_ref().is_none_or(Pending::is_done)
    }
}

impl<T: Source, B: Backend> Batches<T, B> {
    pub(super) fn new(reader: Reader<T>, backend: B, batch_size: usize, reduced: Arc<AtomicUsize>) -> Self {
        Self {
            reader,
            backend,
            gathered: Vec::new(),
            batch_size,
            reduced,
        }
    }

    /// Sends the results batch by batch, until the inputs end, the receiver is gone or a call fails.
    pub(super) fn run(mut self, results: &SyncSender<Result<Vec<Output<T>>, BackendError>>) {
        let outcome = self.run_all(|batch| results.send(Ok(batch)).is_ok());
        if let Err(error) = outcome {
            let _ = results.send(Err(error));
        }
    }

    /// Runs all batches, stopping early if `deliver` reports that the receiver is gone.
    fn run_all(&mut self, deliver: impl Fn(Vec<Output<T>>) -> bool) -> Result<(), BackendError> {
        let mut images = Vec::new();
        let mut pending = None;
        loop {
            self.reader.fill(&mut images, self.batch_size);
            let next = self.start(&mut images);
            // Deliver the previous results first, even if submitting this batch failed.
            if let Some(batch) = pending.take()
                && !deliver(Self::finish(batch)?)
            {
                return Ok(());
            }
            match next? {
                Some(batch) if batch.is_done() => {
                    if !deliver(Self::finish(batch)?) {
                        return Ok(());
                    }
                }
                Some(batch) => pending = Some(batch),
                None => return Ok(()),
            }
        }
    }

    /// Submits the next batch from the front of `images`; `None` if there are no images, or once stopped.
    fn start(&mut self, images: &mut Vec<Output<T>>) -> Result<Option<Batch<T>>, BackendError> {
        while !images.is_empty() && !self.reader.is_stopped() {
            // After the batch size was reduced, `images` holds more than one batch.
            let count = images.len().min(self.batch_size);
            match self.submit(&images[..count]) {
                Ok(rows) => {
                    let images = images.drain(..count).map(|image| self.without_pixels(image));
                    let images = images.collect();
                    return Ok(Some(Batch { images, rows }));
                }
                Err(error) if error.is_out_of_memory() && count > 1 => self.reduce(count / 2),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn reduce(&mut self, batch_size: usize) {
        self.batch_size = batch_size;
        self.reduced.store(batch_size, Ordering::Relaxed);
        self.reader.look_ahead(batch_size);
    }

    /// Submits the images that could be decoded; `None` if there are none.
    fn submit(&mut self, images: &[Output<T>]) -> Result<Option<Pending>, BackendError> {
        self.gathered.clear();
        let decoded = images.iter().filter_map(|image| image.result.as_deref().ok());
        let mut count = 0;
        for pixels in decoded {
            self.gathered.extend_from_slice(pixels);
            count += 1;
        }
        if count == 0 {
            return Ok(None);
        }
        let images = Images::new(&self.gathered, self.reader.batch_shape(count))?;
        self.backend.submit(images).map(Some)
    }

    fn without_pixels(&self, mut image: Output<T>) -> Output<T> {
        if let Ok(pixels) = &mut image.result {
            let most = self.batch_size.saturating_mul(2);
            self.reader.recycle(std::mem::take(pixels), most);
        }
        image
    }

    /// Waits for the results, and assigns one row to each image that could be decoded.
    fn finish(mut batch: Batch<T>) -> Result<Vec<Output<T>>, BackendError> {
        if let Some(rows) = batch.rows {
            let results = batch
                .images
                .iter_mut()
                .filter_map(|image| image.result.as_mut().ok());
            let results: Vec<&mut Vec<f32>> = results.collect();
            let rows = rows.wait()?;
            if rows.count() != results.len() {
                return Err(BackendError::Rows {
                    images: results.len(),
                    found: rows.count(),
                });
            }
            for (result, row) in results.into_iter().zip(rows.iter()) {
                *result = row.to_vec();
            }
        }
        Ok(batch.images)
    }
}
