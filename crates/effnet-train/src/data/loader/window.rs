//! The batches between those who fill them and the one who takes them.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use libtorch_ext::{Row, RowBuffer};
use tch::Tensor;

use super::super::order::Plan;
use super::super::{BoxError, DataError};

/// Batches that are being filled, or are full and not yet taken, in order.
pub(super) struct Window {
    plan: Plan,
    prefetch: usize,
    image_size: usize,
    state: Mutex<State>,
    /// A row was filled, a batch was taken, the window was closed.
    changed: Condvar,
}

struct State {
    batches: VecDeque<Filling>,
    /// The number of the first of `batches`.
    first: usize,
    /// Why no more batches can be begun.
    error: Option<DataError>,
    closed: bool,
}

/// A batch that is being filled. It is full when no row is left, neither here nor with a worker.
struct Filling {
    buffer: RowBuffer,
    positions: Range<usize>,
    /// Those that no worker has begun, the first one last.
    rows: Vec<Row>,
    failures: Vec<(usize, BoxError)>,
}

/// One picture to be read, and where to.
pub(super) struct Task {
    /// Its place in the epoch.
    pub(super) position: usize,
    pub(super) row: Row,
    batch: usize,
    place: usize,
}

/// A batch whose rows are all written.
pub(super) struct Filled {
    pub(super) number: usize,
    pub(super) positions: Range<usize>,
    pub(super) images: Tensor,
    /// The rows that hold nothing, by number, in order.
    pub(super) failures: Vec<(usize, BoxError)>,
}

impl Window {
    pub(super) fn new(plan: Plan, first: usize, prefetch: usize, image_size: usize) -> Self {
        Self {
            plan,
            prefetch,
            image_size,
            state: Mutex::new(State {
                batches: VecDeque::new(),
                first,
                error: None,
                closed: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the workers; nothing more will be taken.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// The next picture, once there is room for its batch; `None` when there is no more to do.
    pub(super) fn claim(&self) -> Option<Task> {
        let mut state = self.lock();
        loop {
            if state.closed || state.error.is_some() {
                return None;
            }
            let batch = state.first + state.batches.len();
            if let Some(filling) = state.batches.back_mut()
                && let Some(row) = filling.rows.pop()
            {
                let place = filling.positions.len() - filling.rows.len() - 1;
                return Some(Task {
                    position: filling.positions.start + place,
                    row,
                    batch: batch - 1,
                    place,
                });
            }
            if batch >= self.plan.batches() {
                return None;
            }
            if state.batches.len() >= self.prefetch {
                state = self.wait(state);
                continue;
            }
            match self.begin(batch) {
                Ok(filling) => state.batches.push_back(filling),
                Err(error) => {
                    state.error = Some(error);
                    self.changed.notify_all();
                }
            }
        }
    }

    fn begin(&self, number: usize) -> Result<Filling, DataError> {
        let positions = self.plan.batch(number);
        let side = self.image_size as i64;
        let (buffer, mut rows) = RowBuffer::new(&[positions.len() as i64, 3, side, side])?;
        rows.reverse();
        Ok(Filling {
            buffer,
            positions,
            rows,
            failures: Vec::new(),
        })
    }

    /// Gives a row back, with what kept it from being written.
    pub(super) fn put(&self, task: Task, outcome: Result<(), BoxError>) {
        let mut state = self.lock();
        // Its batch cannot have been taken, for want of this row.
        let index = task.batch - state.first;
        if let (Err(error), Some(filling)) = (outcome, state.batches.get_mut(index)) {
            filling.failures.push((task.place, error));
        }
        drop(task);
        drop(state);
        self.changed.notify_all();
    }

    /// The next batch in order; `None` after the last one and when closed.
    pub(super) fn take(&self) -> Option<Result<Filled, DataError>> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(filling) = state.batches.pop_front() {
                match filling.finish(state.first) {
                    Ok(filled) => {
                        state.first += 1;
                        drop(state);
                        self.changed.notify_all();
                        return Some(Ok(filled));
                    }
                    Err(filling) => state.batches.push_front(filling),
                }
            } else if let Some(error) = state.error.take() {
                state.closed = true;
                return Some(Err(error));
            } else if state.first >= self.plan.batches() {
                return None;
            }
            state = self.wait(state);
        }
    }
}

impl Filling {
    fn finish(self, number: usize) -> Result<Filled, Self> {
        if !self.rows.is_empty() {
            return Err(self);
        }
        match self.buffer.finish() {
            Ok(images) => {
                let mut failures = self.failures;
                failures.sort_by_key(|(row, _)| *row);
                Ok(Filled {
                    number,
                    positions: self.positions,
                    images,
                    failures,
                })
            }
            Err(buffer) => Err(Self { buffer, ..self }),
        }
    }
}
