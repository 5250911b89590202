//! Memory for batches, handed out row by row to the decoding threads, so that images are written straight into
//! their batch.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use effnet_data::{BoxError, EpochPlan};
use libtorch_ext::{Row, RowBuffer};
use tch::Tensor;

/// An image to decode, and the row to which to write it.
pub(super) struct Task {
    /// The image's position in the epoch.
    pub(super) position: usize,
    /// The image's row in the batch, or the error if memory could not be allocated.
    pub(super) row: Result<Row, BoxError>,
}

/// The batches in progress, in order.
#[derive(Default)]
pub(super) struct Buffers(Mutex<VecDeque<RowBuffer>>);

impl Buffers {
    /// Returns the tensor of the first batch, whose rows must have been dropped, or `None` without a batch.
    pub(super) fn finish(&self) -> Option<Result<Tensor, BoxError>> {
        let buffer = self.lock().pop_front()?;
        let tensor = buffer.finish();
        Some(tensor.map_err(|_| "a row of a batch is still being written".into()))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<RowBuffer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Iterates over the rows of all batches in turn. The memory of a batch is allocated when its first row is
/// requested.
pub(super) struct Rows {
    plan: EpochPlan,
    /// The index of the batch that follows the `remaining` batches.
    next: usize,
    image_size: usize,
    /// The rows of the current batch that have not been handed out yet, in reverse order.
    remaining: Vec<Task>,
    buffers: Arc<Buffers>,
}

impl Rows {
    /// Creates the rows from batch number `first` on, for images of size `image_size` x `image_size`.
    pub(super) fn new(plan: EpochPlan, first: usize, image_size: usize, buffers: Arc<Buffers>) -> Self {
        Self {
            plan,
            next: first,
            image_size,
            remaining: Vec::new(),
            buffers,
        }
    }

    fn start_batch(&mut self) {
        let positions = self.plan.batch(self.next);
        self.next += 1;
        let side = self.image_size as i64;
        let made = RowBuffer::new(&[positions.len() as i64, 3, side, side]);
        let rows: Vec<Result<Row, BoxError>> = match made {
            Ok((buffer, rows)) => {
                self.buffers.lock().push_back(buffer);
                rows.into_iter().map(Ok).collect()
            }
            Err(error) => {
                let message = error.to_string();
                positions.clone().map(|_| Err(message.clone().into())).collect()
            }
        };
        let tasks = positions.zip(rows);
        self.remaining = tasks.map(|(position, row)| Task { position, row }).collect();
        self.remaining.reverse();
    }
}

impl Iterator for Rows {
    type Item = Task;

    fn next(&mut self) -> Option<Task> {
        if self.remaining.is_empty() && self.next < self.plan.batches() {
            self.start_batch();
        }
        self.remaining.pop()
    }
}
