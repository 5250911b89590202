//! Batches, decoded ahead on several threads.

mod window;
mod worker;

use std::sync::Arc;
use std::thread::JoinHandle;

use tch::Tensor;

use super::error::chain;
use super::order::Plan;
use super::{DataError, Dataset, Order, Shard, Transform, Unreadable};
use window::{Filled, Window};
use worker::Worker;

/// How a [`Loader`] makes batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Pictures a batch, at least 1.
    pub batch_size: usize,
    /// Threads that decode, at least 1. All processors by default.
    pub workers: usize,
    /// Batches that may be decoded ahead of the one that is taken, at least 1. 2 by default.
    pub prefetch: usize,
    /// The order of the pictures. Shuffled by default.
    pub order: Order,
    /// What order and augmentation follow from. 0 by default.
    pub seed: u64,
    /// Whether a last batch that is not full is left out.
    pub drop_last: bool,
    /// The share of this process. Everything by default.
    pub shard: Shard,
    /// Whether a picture that cannot be read ends the epoch; else it is left out of its batch and
    /// counted.
    pub strict: bool,
}

impl LoaderOptions {
    /// The defaults with batches of `batch_size`.
    pub fn new(batch_size: usize) -> Self {
        Self {
            batch_size,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            prefetch: 2,
            order: Order::Shuffled,
            seed: 0,
            drop_last: false,
            shard: Shard::default(),
            strict: false,
        }
    }

    fn check(&self, length: usize) -> Result<(), DataError> {
        let invalid = |expected, found: String| Err(DataError::Loader { expected, found });
        if self.batch_size == 0 || self.workers == 0 || self.prefetch == 0 {
            let found = format!("{}, {} and {}", self.batch_size, self.workers, self.prefetch);
            return invalid(
                "a batch size, workers and prefetched batches of at least 1",
                found,
            );
        }
        let Shard { rank, world_size } = self.shard;
        if rank >= world_size {
            return invalid(
                "a rank below the world size",
                format!("rank {rank} of {world_size}"),
            );
        }
        if length == 0 {
            return invalid("a data set with pictures", "an empty one".to_owned());
        }
        if length < world_size {
            return invalid(
                "a picture or more for each process",
                format!("{length} pictures and {world_size} processes"),
            );
        }
        if self.batch_size == 1 && !self.drop_last && !length.is_multiple_of(world_size) {
            return invalid(
                "a batch size of at least 2 where the processes have different numbers of pictures",
                format!("1, with {length} pictures and {world_size} processes"),
            );
        }
        if self.drop_last && length / world_size < self.batch_size {
            return invalid(
                "a batch size of no more than the number of pictures of a process, since smaller batches are left out",
                format!("{} and {}", self.batch_size, length / world_size),
            );
        }
        Ok(())
    }
}

/// Transformed pictures with their labels.
#[derive(Debug)]
pub struct Batch {
    /// `[N, 3, image_size, image_size]`, 32-bit floats on the CPU.
    pub images: Tensor,
    /// `[N]`, 64-bit integers on the CPU.
    pub labels: Tensor,
    /// The numbers of the pictures in the data set.
    pub indices: Vec<usize>,
    /// The number of the batch in its epoch, from 0. To go on after it is to start from `number + 1`.
    pub number: usize,
}

/// Makes the batches of a data set, epoch by epoch.
///
/// An epoch is the same to the bit, order and augmentation, whatever the number of workers and wherever
/// it was begun: both follow from the seed, the number of the epoch and the picture.
///
/// ```no_run
/// use std::sync::Arc;
/// use effnet_image::augment::TrainTransform;
/// use effnet_train::data::{ImageFolder, Loader, LoaderOptions};
///
/// # fn main() -> Result<(), effnet_train::data::DataError> {
/// let photos = Arc::new(ImageFolder::open("photos/train")?);
/// let loader = Loader::new(photos, TrainTransform::new(224), LoaderOptions::new(32))?;
/// for epoch in 0..10 {
///     for batch in loader.epoch(epoch)? {
///         let batch = batch?;
///         println!("{:?}", batch.images.size()); // [32, 3, 224, 224]
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Loader {
    dataset: Arc<dyn Dataset>,
    transform: Arc<dyn Transform>,
    options: LoaderOptions,
}

impl Loader {
    /// Decodes nothing yet.
    ///
    /// # Errors
    /// [`DataError::Loader`] for options that cannot be used with this data set.
    pub fn new(
        dataset: Arc<dyn Dataset>,
        transform: impl Transform + 'static,
        options: LoaderOptions,
    ) -> Result<Self, DataError> {
        options.check(dataset.len())?;
        transform.check().map_err(|error| DataError::Loader {
            expected: "a transform that can be used",
            found: chain(error.as_ref()),
        })?;
        Ok(Self {
            dataset,
            transform: Arc::new(transform),
            options,
        })
    }

    /// The pictures.
    pub fn dataset(&self) -> &Arc<dyn Dataset> {
        &self.dataset
    }

    /// Batches an epoch: the same number for all processes.
    pub fn batches(&self) -> usize {
        self.plan().batches()
    }

    /// Starts to decode an epoch.
    ///
    /// # Errors
    /// [`DataError::Thread`].
    pub fn epoch(&self, epoch: u64) -> Result<Epoch, DataError> {
        self.epoch_from(epoch, 0)
    }

    /// Starts to decode an epoch at batch number `first`: the batches are those that [`Loader::epoch`]
    /// would give after as many, and nothing before them is decoded.
    ///
    /// # Errors
    /// [`DataError::Thread`].
    pub fn epoch_from(&self, epoch: u64, first: usize) -> Result<Epoch, DataError> {
        let plan = self.plan();
        let indices: Arc<[usize]> = plan.indices(epoch).into();
        let window = Arc::new(Window::new(
            plan,
            first,
            self.options.prefetch,
            self.transform.image_size(),
        ));
        let mut started = Epoch {
            window: Arc::clone(&window),
            dataset: Arc::clone(&self.dataset),
            indices: Arc::clone(&indices),
            strict: self.options.strict,
            workers: Vec::new(),
            unreadable: Vec::new(),
            delivered: first > 0,
        };
        for _ in 0..self.options.workers {
            let worker = Worker {
                window: Arc::clone(&window),
                dataset: Arc::clone(&self.dataset),
                transform: Arc::clone(&self.transform),
                indices: Arc::clone(&indices),
                seed: self.options.seed,
                epoch,
            };
            let spawned = std::thread::Builder::new()
                .name("effnet-load".to_owned())
                .spawn(move || worker.run());
            // Dropping the epoch ends those that were started.
            started.workers.push(spawned.map_err(DataError::Thread)?);
        }
        Ok(started)
    }

    fn plan(&self) -> Plan {
        Plan {
            length: self.dataset.len(),
            batch_size: self.options.batch_size,
            drop_last: self.options.drop_last,
            order: self.options.order,
            seed: self.options.seed,
            shard: self.options.shard,
        }
    }
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader")
            .field("pictures", &self.dataset.len())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// The batches of one epoch, in order. Dropping it ends its threads, each after the picture that it is
/// at.
pub struct Epoch {
    window: Arc<Window>,
    dataset: Arc<dyn Dataset>,
    indices: Arc<[usize]>,
    strict: bool,
    workers: Vec<JoinHandle<()>>,
    unreadable: Vec<Unreadable>,
    /// Whether there was a picture.
    delivered: bool,
}

impl Epoch {
    /// The pictures that were left out so far.
    pub fn unreadable(&self) -> &[Unreadable] {
        &self.unreadable
    }

    /// The batch without what could not be read; `None` when that is all of it.
    fn batch(&mut self, filled: Filled) -> Result<Option<Batch>, DataError> {
        let mut indices = self.indices[filled.positions.clone()].to_vec();
        let mut images = filled.images;
        if !filled.failures.is_empty() {
            let mut failed = vec![false; indices.len()];
            for (row, error) in filled.failures {
                if self.strict {
                    return Err(DataError::Unreadable {
                        name: self.dataset.name(indices[row]),
                        error,
                    });
                }
                failed[row] = true;
                let reason = chain(error.as_ref());
                self.unreadable
                    .push(Unreadable::new(&*self.dataset, indices[row], reason));
            }
            let kept: Vec<usize> = (0..failed.len()).filter(|row| !failed[*row]).collect();
            if kept.is_empty() {
                return Ok(None);
            }
            let rows: Vec<i64> = kept.iter().map(|row| *row as i64).collect();
            images = images.f_index_select(0, &Tensor::f_from_slice(&rows)?)?;
            indices = kept.into_iter().map(|row| indices[row]).collect();
        }
        let labels: Vec<i64> = indices
            .iter()
            .map(|index| self.dataset.label(*index) as i64)
            .collect();
        Ok(Some(Batch {
            images,
            labels: Tensor::f_from_slice(&labels)?,
            indices,
            number: filled.number,
        }))
    }

    /// What is said at the end: an error when there was no picture at all.
    fn finish(&mut self) -> Option<Result<Batch, DataError>> {
        let first = self.unreadable.first().filter(|_| !self.delivered)?;
        self.delivered = true;
        Some(Err(DataError::NothingReadable {
            images: self.unreadable.len(),
            name: first.name.clone(),
            reason: first.reason.clone(),
        }))
    }
}

impl Iterator for Epoch {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let batch = match self.window.take() {
                None => return self.finish(),
                Some(filled) => filled.and_then(|filled| self.batch(filled)),
            };
            match batch {
                Ok(Some(batch)) => {
                    self.delivered = true;
                    return Some(Ok(batch));
                }
                Ok(None) => {}
                Err(error) => {
                    self.window.close();
                    self.delivered = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

impl Drop for Epoch {
    fn drop(&mut self) {
        self.window.close();
        for worker in self.workers.drain(..) {
            // A worker that panicked has said so, and there is nobody left to tell.
            let _ = worker.join();
        }
    }
}

impl std::fmt::Debug for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Epoch")
            .field("pictures", &self.indices.len())
            .field("unreadable", &self.unreadable.len())
            .finish_non_exhaustive()
    }
}
