//! Memory for batches, handed out row by row to those who decode.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use effnet_data::{BoxError, EpochPlan};
use libtorch_ext::{Row, RowBuffer};
use tch::Tensor;

/// One image to be read, and where to.
pub(super) struct Task {
    /// Its place in the epoch.
    pub(super) position: usize,
    /// Its row in the batch, or why there is no memory for that.
    pub(super) row: Result<Row, BoxError>,
}

/// The batches whose rows are handed out, in order.
#[derive(Default)]
pub(super) struct Buffers(Mutex<VecDeque<RowBuffer>>);

impl Buffers {
    /// The tensor of the first batch, whose rows must be gone; `None` where there is no batch.
    pub(super) fn finish(&self) -> Option<Result<Tensor, BoxError>> {
        let buffer = self.lock().pop_front()?;
        let tensor = buffer.finish();
        Some(tensor.map_err(|_| "a row of a batch is still being written".into()))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<RowBuffer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rows of one batch after the other, each batch's memory taken when its first row is asked for.
pub(super) struct Rows {
    plan: EpochPlan,
    /// The number of the batch that follows `left`.
    next: usize,
    image_size: usize,
    /// Rows that are not handed out yet, the first one last.
    left: Vec<Task>,
    buffers: Arc<Buffers>,
}

impl Rows {
    /// From batch number `first` on, for images of this side.
    pub(super) fn new(plan: EpochPlan, first: usize, image_size: usize, buffers: Arc<Buffers>) -> Self {
        Self {
            plan,
            next: first,
            image_size,
            left: Vec::new(),
            buffers,
        }
    }

    fn begin(&mut self) {
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
        self.left = tasks.map(|(position, row)| Task { position, row }).collect();
        self.left.reverse();
    }
}

impl Iterator for Rows {
    type Item = Task;

    fn next(&mut self) -> Option<Task> {
        if self.left.is_empty() && self.next < self.plan.batches() {
            self.begin();
        }
        self.left.pop()
    }
}
