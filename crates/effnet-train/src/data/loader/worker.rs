//! A thread that reads, decodes and transforms.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::super::error::panicked;
use super::super::random::{Purpose, stream};
use super::super::{BoxError, Dataset, Transform};
use super::window::Window;

pub(super) struct Worker {
    pub(super) window: Arc<Window>,
    pub(super) dataset: Arc<dyn Dataset>,
    pub(super) transform: Arc<dyn Transform>,
    /// The pictures of the epoch in order.
    pub(super) indices: Arc<[usize]>,
    pub(super) seed: u64,
    pub(super) epoch: u64,
}

impl Worker {
    pub(super) fn run(&self) {
        while let Some(mut task) = self.window.claim() {
            let index = self.indices[task.position];
            let read = AssertUnwindSafe(|| self.read(index, task.row.values()));
            let outcome = catch_unwind(read).unwrap_or_else(|panic| Err(panicked(panic.as_ref()).into()));
            self.window.put(task, outcome);
        }
    }

    fn read(&self, index: usize, output: &mut [f32]) -> Result<(), BoxError> {
        let image = self.dataset.image(index)?;
        let mut rng = stream(Purpose::Sample, self.seed, self.epoch, index as u64);
        self.transform.apply_into(&image, &mut rng, output)
    }
}
