//! The side of a pipeline that computes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;

use libtorch_ext::concatenate;
use tch::{Device, Kind};

use super::{Output, Reader, Runner, Source};
use crate::Error;

pub(super) struct Batches<T, R> {
    reader: Reader<T>,
    runner: R,
    batch_size: usize,
    /// For [`Pipeline::reduced_batch_size`](super::Pipeline::reduced_batch_size).
    reduced: Arc<AtomicUsize>,
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
        let mut pictures = Vec::new();
        while !self.reader.is_stopped() {
            self.reader.fill(&mut pictures, self.batch_size);
            if pictures.is_empty() || self.reader.is_stopped() {
                return;
            }
            // More than a batch lies here after memory ran out.
            let count = pictures.len().min(self.batch_size);
            let sent = match self.compute(&pictures[..count]) {
                Ok(rows) => results.send(Ok(self.finish(pictures.drain(..count), rows))),
                Err(error) if error.is_out_of_memory() && count > 1 => {
                    self.reduce(count / 2);
                    Ok(())
                }
                Err(error) => {
                    let _ = results.send(Err(error));
                    return;
                }
            };
            if sent.is_err() {
                return;
            }
        }
    }

    fn reduce(&mut self, batch_size: usize) {
        self.batch_size = batch_size;
        self.reduced.store(batch_size, Ordering::Relaxed);
        self.reader.look_ahead(batch_size);
    }

    /// A row of results for each picture that could be decoded.
    fn compute(&self, pictures: &[Output<T>]) -> Result<Vec<Vec<f32>>, Error> {
        let decoded: Vec<&[f32]> = pictures
            .iter()
            .filter_map(|picture| picture.result.as_deref().ok())
            .collect();
        if decoded.is_empty() {
            return Ok(Vec::new());
        }
        let images = concatenate(&decoded, &self.reader.batch_shape(decoded.len()))?;
        let rows = self.runner.run(&images)?;
        if rows.size().first() != Some(&(decoded.len() as i64)) {
            return Err(Error::Rows {
                images: decoded.len(),
                found: rows.size(),
            });
        }
        let rows = rows
            .f_detach()?
            .f_to_device(Device::Cpu)?
            .f_to_kind(Kind::Float)?
            .f_contiguous()?;
        let length = rows.numel() / decoded.len();
        let mut values = vec![0.0; rows.numel()];
        rows.f_copy_data(&mut values, rows.numel())?;
        Ok(match length {
            0 => vec![Vec::new(); decoded.len()],
            _ => values.chunks_exact(length).map(<[f32]>::to_vec).collect(),
        })
    }

    /// Puts the rows in the place of the pixels.
    fn finish(&self, pictures: impl Iterator<Item = Output<T>>, rows: Vec<Vec<f32>>) -> Vec<Output<T>> {
        let mut rows = rows.into_iter();
        let finish = |mut picture: Output<T>| {
            if let Ok(pixels) = &mut picture.result
                && let Some(row) = rows.next()
            {
                self.reader.recycle(std::mem::replace(pixels, row));
            }
            picture
        };
        pictures.map(finish).collect()
    }
}
