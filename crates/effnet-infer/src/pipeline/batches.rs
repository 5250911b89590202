//! The side of a pipeline that computes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;

use libtorch_ext::concatenate;
use tch::{Device, Kind, Tensor};

use super::{Output, Reader, Runner, Source};
use crate::{Error, Pending};

pub(super) struct Batches<T, R> {
    reader: Reader<T>,
    runner: R,
    batch_size: usize,
    /// For [`Pipeline::reduced_batch_size`](super::Pipeline::reduced_batch_size).
    reduced: Arc<AtomicUsize>,
}

/// Pictures whose results are on their way.
struct Batch<T> {
    pictures: Vec<Output<T>>,
    /// `None` if none of them could be decoded.
    rows: Option<Pending>,
}

impl<T> Batch<T> {
    fn is_done(&self) -> bool {
        self.rows.as_ref().is_none_or(Pending::is_done)
    }
}

impl<T: Source, R: Runner> Batches<T, R> {
    pub(super) fn new(reader: Reader<T>, runner: R, batch_size: usize, reduced: Arc<AtomicUsize>) -> Self {
        Self {
            reader,
            runner,
            batch_size,
            reduced,
        }
    }

    /// Sends the results batch by batch, until the inputs end, nobody listens or a call fails.
    pub(super) fn run(mut self, results: &SyncSender<Result<Vec<Output<T>>, Error>>) {
        let outcome = self.run_all(|batch| results.send(Ok(batch)).is_ok());
        if let Err(error) = outcome {
            let _ = results.send(Err(error));
        }
    }

    /// Until `deliver` says that nobody listens.
    fn run_all(&mut self, deliver: impl Fn(Vec<Output<T>>) -> bool) -> Result<(), Error> {
        let mut pictures = Vec::new();
        let mut under_way = None;
        loop {
            self.reader.fill(&mut pictures, self.batch_size);
            let next = self.start(&mut pictures);
            // The results before come first, whatever becomes of these.
            if let Some(batch) = under_way.take()
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
                Some(batch) => under_way = Some(batch),
                None => return Ok(()),
            }
        }
    }

    /// Takes the next batch off the front of `pictures`; `None` if there are none, or once stopped.
    fn start(&mut self, pictures: &mut Vec<Output<T>>) -> Result<Option<Batch<T>>, Error> {
        while !pictures.is_empty() && !self.reader.is_stopped() {
            // More than a batch lies here after memory ran out.
            let count = pictures.len().min(self.batch_size);
            match self.submit(&pictures[..count]) {
                Ok(rows) => {
                    let pictures = pictures
                        .drain(..count)
                        .map(|picture| self.without_pixels(picture));
                    let pictures = pictures.collect();
                    return Ok(Some(Batch { pictures, rows }));
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

    /// A row of results for each picture that could be decoded, if there are any.
    fn submit(&self, pictures: &[Output<T>]) -> Result<Option<Pending>, Error> {
        let decoded: Vec<&[f32]> = pictures
            .iter()
            .filter_map(|picture| picture.result.as_deref().ok())
            .collect();
        if decoded.is_empty() {
            return Ok(None);
        }
        let images = concatenate(&decoded, &self.reader.batch_shape(decoded.len()))?;
        self.runner.submit(&images).map(Some)
    }

    fn without_pixels(&self, mut picture: Output<T>) -> Output<T> {
        if let Ok(pixels) = &mut picture.result {
            self.reader.recycle(std::mem::take(pixels));
        }
        picture
    }

    /// Waits for the rows, and gives each picture that could be decoded its own.
    fn finish(mut batch: Batch<T>) -> Result<Vec<Output<T>>, Error> {
        if let Some(rows) = batch.rows {
            let results = batch
                .pictures
                .iter_mut()
                .filter_map(|picture| picture.result.as_mut().ok());
            let results: Vec<&mut Vec<f32>> = results.collect();
            let rows = split(&rows.wait()?, results.len())?;
            for (result, row) in results.into_iter().zip(rows) {
                *result = row;
            }
        }
        Ok(batch.pictures)
    }
}

/// The rows of a result for this many images, each flattened.
fn split(rows: &Tensor, images: usize) -> Result<Vec<Vec<f32>>, Error> {
    if rows.size().first() != Some(&(images as i64)) {
        return Err(Error::Rows {
            images,
            found: rows.size(),
        });
    }
    let rows = rows
        .f_detach()?
        .f_to_device(Device::Cpu)?
        .f_to_kind(Kind::Float)?
        .f_contiguous()?;
    let mut values = vec![0.0; rows.numel()];
    rows.f_copy_data(&mut values, rows.numel())?;
    Ok(match rows.numel() / images {
        0 => vec![Vec::new(); images],
        length => values.chunks_exact(length).map(<[f32]>::to_vec).collect(),
    })
}
