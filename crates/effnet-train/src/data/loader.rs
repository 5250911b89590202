//! [`Loader`] decodes and augments batches on several threads, ahead of the training step.
//!
//! A resumed run must see the same batches as an uninterrupted run. So every random number is derived from seed,
//! epoch and image, never from the order in which threads finish.

mod options;
mod rows;

use std::sync::Arc;

use effnet_data::{
    BoxError, DataError, Dataset, DecodeWindow, EpochPlan, Purpose, Transform, Unreadable, chain, stream,
};
use tch::Tensor;

pub use options::LoaderOptions;
use rows::{Buffers, Rows, Task};

use crate::{Batch, FeatureCache, Targets};

/// Yields the batches of a data set, epoch by epoch: images `[N, 3, image_size, image_size]`, as 32-bit floats on
/// the CPU, and their classes.
///
/// The order and augmentation of an epoch are derived from the seed, the number of the epoch and the image.
/// Batches are bit-identical for any number of workers, even if an epoch is started in the middle.
///
/// ```no_run
/// use std::sync::Arc;
/// use effnet_image::augment::TrainTransform;
/// use effnet_data::ImageFolder;
/// use effnet_train::data::{Loader, LoaderOptions};
///
/// # fn main() -> Result<(), effnet_data::DataError> {
/// let images = Arc::new(ImageFolder::open("photos/train")?);
/// let loader = Loader::new(images, TrainTransform::new(224), LoaderOptions::default())?;
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
    targets: Option<Arc<MakeTargets>>,
    options: LoaderOptions,
}

/// Returns the targets of the images with these indices.
type MakeTargets = dyn Fn(&[usize]) -> Result<Targets, BoxError> + Send + Sync;

impl Loader {
    /// Creates a loader, which does not decode anything before [`epoch`](Self::epoch) is called.
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
            expected: "a valid transform",
            found: chain(error.as_ref()),
        })?;
        Ok(Self {
            dataset,
            transform: Arc::new(transform),
            targets: None,
            options,
        })
    }

    /// Yields batches with these targets instead of the classes of the data set: several labels per image, or values to
    /// predict. `targets` is called with the indices of the images of each batch.
    #[must_use]
    pub fn with_targets(
        mut self,
        targets: impl Fn(&[usize]) -> Result<Targets, BoxError> + Send + Sync + 'static,
    ) -> Self {
        self.targets = Some(Arc::new(targets));
        self
    }

    /// The data set.
    pub fn dataset(&self) -> &Arc<dyn Dataset> {
        &self.dataset
    }

    /// The options.
    pub fn options(&self) -> &LoaderOptions {
        &self.options
    }

    /// Returns the number of batches per epoch, which is the same in all processes.
    pub fn batches(&self) -> usize {
        self.plan().batches()
    }

    /// Starts an epoch.
    ///
    /// # Errors
    /// [`DataError::Thread`].
    pub fn epoch(&self, epoch: u64) -> Result<Epoch, DataError> {
        self.epoch_from(epoch, 0)
    }

    /// Starts an epoch at batch number `first`. The batches are the same as those of [`Loader::epoch`] from there
    /// on, and earlier batches are not decoded.
    ///
    /// # Errors
    /// [`DataError::Thread`].
    pub fn epoch_from(&self, epoch: u64, first: usize) -> Result<Epoch, DataError> {
        self.start(epoch, first, None)
    }

    /// Like [`Loader::epoch_from`], for steps that train only the head: images whose features are in `cache` are left
    /// blank.
    pub(super) fn epoch_with(
        &self,
        epoch: u64,
        first: usize,
        cache: &FeatureCache,
    ) -> Result<Epoch, DataError> {
        self.start(epoch, first, Some(cache.clone()))
    }

    fn start(&self, epoch: u64, first: usize, cache: Option<FeatureCache>) -> Result<Epoch, DataError> {
        let plan = self.plan();
        let indices: Arc<[usize]> = plan.indices(epoch).into();
        let buffers = Arc::new(Buffers::default());
        let rows = Rows::new(plan, first, self.transform.image_size(), Arc::clone(&buffers));
        let (dataset, transform) = (Arc::clone(&self.dataset), Arc::clone(&self.transform));
        let (seed, numbers) = (self.options.seed, Arc::clone(&indices));
        let partial = self.options.partial;
        let (augmentation, known) = (if self.options.repeat { 0 } else { epoch }, cache.clone());
        let decode = move |task: &mut Task| -> Result<(), BoxError> {
            let index = numbers[task.position];
            if known.as_ref().is_some_and(|known| known.contains(index)) {
                return Ok(());
            }
            let mut rng = stream(Purpose::Sample, seed, augmentation, index as u64);
            let Ok(row) = &mut task.row else {
                // Memory ran out; `fill` returns the error.
                return Ok(());
            };
            if !partial {
                return transform.apply_into(&dataset.image(index)?, &mut rng, row.values());
            }
            let needed = |width: usize, height: usize| transform.needed(width, height, &rng);
            let image = dataset.part(index, &needed)?;
            transform.apply_part_into(&image, &mut rng, row.values())
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
            targets: self.targets.clone(),
            cache,
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

/// The batches of one epoch, in order. Dropping this stops its threads, each after its current image.
pub struct Epoch {
    window: DecodeWindow<Task, ()>,
    buffers: Arc<Buffers>,
    dataset: Arc<dyn Dataset>,
    targets: Option<Arc<MakeTargets>>,
    cache: Option<FeatureCache>,
    indices: Arc<[usize]>,
    plan: EpochPlan,
    /// The number of the next batch.
    next: usize,
    strict: bool,
    unreadable: Vec<Unreadable>,
    /// Whether any image was readable.
    delivered: bool,
}

/// A batch whose rows have all been written.
struct Filled {
    number: usize,
    positions: std::ops::Range<usize>,
    images: Tensor,
    /// The numbers of the rows without an image, in order, with their errors.
    failures: Vec<(usize, BoxError)>,
}

impl Epoch {
    /// Returns the unreadable images so far.
    pub fn unreadable(&self) -> &[Unreadable] {
        &self.unreadable
    }

    /// Waits for the next batch. Returns `None` after the last batch, or when the epoch is closed.
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
        // All rows of the batch have been dropped by now.
        let images = self.buffers.finish()?;
        Some(images.map_err(DataError::Batch).map(|images| Filled {
            number,
            positions,
            images,
            failures,
        }))
    }

    /// Returns the batch without its unreadable images, or `None` if no image is left.
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
        Ok(Some(Batch {
            images,
            targets: self.targets_of(&indices)?,
            indices,
            cache: self.cache.clone(),
            number: filled.number,
        }))
    }

    fn targets_of(&self, indices: &[usize]) -> Result<Targets, DataError> {
        if let Some(targets) = &self.targets {
            return targets(indices).map_err(DataError::Batch);
        }
        let label = |index: &usize| self.dataset.label(*index) as i64;
        let labels: Vec<i64> = indices.iter().map(label).collect();
        Ok(Targets::Classes(Tensor::f_from_slice(&labels).map_err(refused)?))
    }

    /// Ends the epoch, and returns an error if none of its images was readable.
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

/// Converts an error from libtorch while creating a batch.
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
