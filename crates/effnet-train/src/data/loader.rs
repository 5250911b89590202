//! Batches, decoded ahead on several threads.

mod rows;

use std::sync::Arc;

use effnet_data::{
    BoxError, DataError, Dataset, DecodeWindow, EpochPlan, Order, Purpose, Shard, Transform, Unreadable,
    chain, stream,
};
use tch::Tensor;

use rows::{Buffers, Rows, Task};

/// How a [`Loader`] makes batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Images per batch; at least 1.
    pub batch_size: usize,
    /// Data-loading threads, at least 1. All cores by default.
    pub workers: usize,
    /// Batches that may be decoded ahead of the one that is taken, at least 1. 2 by default.
    pub prefetch: usize,
    /// The order of the images. Shuffled by default.
    pub order: Order,
    /// What order and augmentation follow from. 0 by default.
    pub seed: u64,
    /// Whether a last batch that is not full is left out.
    pub drop_last: bool,
    /// The share of this process. Everything by default.
    pub shard: Shard,
    /// Whether a image that cannot be read ends the epoch; else it is left out of its batch and
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
            return invalid("a data set with images", "an empty one".to_owned());
        }
        if length < world_size {
            return invalid(
                "a image or more for each process",
                format!("{length} images and {world_size} processes"),
            );
        }
        if self.batch_size == 1 && !self.drop_last && !length.is_multiple_of(world_size) {
            return invalid(
                "a batch size of at least 2 where the processes have different numbers of images",
                format!("1, with {length} images and {world_size} processes"),
            );
        }
        if self.drop_last && length / world_size < self.batch_size {
            return invalid(
                "a batch size of no more than the number of images of a process, since smaller batches are left out",
                format!("{} and {}", self.batch_size, length / world_size),
            );
        }
        Ok(())
    }
}

/// Transformed images with their labels.
#[derive(Debug)]
pub struct Batch {
    /// `[N, 3, image_size, image_size]`, 32-bit floats on the CPU.
    pub images: Tensor,
    /// `[N]`, 64-bit integers on the CPU.
    pub labels: Tensor,
    /// The numbers of the images in the data set.
    pub indices: Vec<usize>,
    /// The number of the batch in its epoch, from 0. To go on after it is to start from `number + 1`.
    pub number: usize,
}

/// Makes the batches of a data set, epoch by epoch.
///
/// An epoch is the same to the bit, order and augmentation, whatever the number of workers and wherever
/// it was begun: both follow from the seed, the number of the epoch and the image.
///
/// ```no_run
/// use std::sync::Arc;
/// use effnet_image::augment::TrainTransform;
/// use effnet_data::ImageFolder;
/// use effnet_train::data::{Loader, LoaderOptions};
///
/// # fn main() -> Result<(), effnet_data::DataError> {
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

    /// The images.
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
        let buffers = Arc::new(Buffers::default());
        let rows = Rows::new(plan, first, self.transform.image_size(), Arc::clone(&buffers));
        let (dataset, transform) = (Arc::clone(&self.dataset), Arc::clone(&self.transform));
        let (seed, numbers) = (self.options.seed, Arc::clone(&indices));
        let decode = move |task: &mut Task| -> Result<(), BoxError> {
            let index = numbers[task.position];
            let image = dataset.image(index)?;
            let mut rng = stream(Purpose::Sample, seed, epoch, index as u64);
            let Ok(row) = &mut task.row else {
                // Whoever takes the batch is told why there is no memory for it.
                return Ok(());
            };
            transform.apply_into(&image, &mut rng, row.values())
        };
        let window = DecodeWindow::start(
            rows,
            self.options.prefetch * self.options.batch_size,
            (self.options.workers, "effnet-load"),
            &Arc::default(),
            decode,
        )
        .map_err(DataError::Thread)?;
        Ok(Epoch {
            window,
            buffers,
            dataset: Arc::clone(&self.dataset),
            indices,
            plan,
            next: first,
            strict: self.options.strict,
            unreadable: Vec::new(),
            delivered: first > 0,
        })
    }

    fn plan(&self) -> EpochPlan {
        EpochPlan {
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
            .field("images", &self.dataset.len())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// The batches of one epoch, in order. Dropping it ends its threads, each after the image that it is
/// at.
pub struct Epoch {
    window: DecodeWindow<Task, ()>,
    buffers: Arc<Buffers>,
    dataset: Arc<dyn Dataset>,
    indices: Arc<[usize]>,
    plan: EpochPlan,
    /// The number of the next batch.
    next: usize,
    strict: bool,
    unreadable: Vec<Unreadable>,
    /// Whether there was an image.
    delivered: bool,
}

/// A batch whose rows are all written.
struct Filled {
    number: usize,
    positions: std::ops::Range<usize>,
    images: Tensor,
    /// The rows that hold nothing, by number, in order.
    failures: Vec<(usize, BoxError)>,
}

impl Epoch {
    /// The images that were left out so far.
    pub fn unreadable(&self) -> &[Unreadable] {
        &self.unreadable
    }

    /// The next batch, once all of its rows are written; `None` after the last one and when closed.
    fn fill(&mut self) -> Option<Result<Filled, DataError>> {
        if self.next >= self.plan.batches() {
            return None;
        }
        let (number, positions) = (self.next, self.plan.batch(self.next));
        let tasks = self.window.take_many(positions.len())?;
        self.next += 1;
        let mut failures = Vec::new();
        for (place, task) in tasks.into_iter().enumerate() {
            if let Err(error) = task.input.row {
                return Some(Err(DataError::Batch(error)));
            }
            if let Err(failure) = task.result {
                failures.push((place, failure.into()));
            }
        }
        // Its rows are gone by now.
        let images = self.buffers.finish()?;
        Some(images.map_err(DataError::Batch).map(|images| Filled {
            number,
            positions,
            images,
            failures,
        }))
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
            images = Tensor::f_from_slice(&rows)
                .and_then(|rows| images.f_index_select(0, &rows))
                .map_err(refused)?;
            indices = kept.into_iter().map(|row| indices[row]).collect();
        }
        let labels: Vec<i64> = indices
            .iter()
            .map(|index| self.dataset.label(*index) as i64)
            .collect();
        Ok(Some(Batch {
            images,
            labels: Tensor::f_from_slice(&labels).map_err(refused)?,
            indices,
            number: filled.number,
        }))
    }

    /// What is said at the end: an error when there was no image at all.
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
            let batch = match self.fill() {
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
        self.window.close_and_wait();
    }
}

/// What libtorch says of a batch.
fn refused(error: tch::TchError) -> DataError {
    DataError::Batch(error.into())
}

impl std::fmt::Debug for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Epoch")
            .field("images", &self.indices.len())
            .field("unreadable", &self.unreadable.len())
            .finish_non_exhaustive()
    }
}
