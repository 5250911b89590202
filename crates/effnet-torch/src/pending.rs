//! A result that a device may still be computing.

use std::fmt;

use tch::Tensor;

use crate::error::Error;

/// The result of a forward pass, finished or not. A CUDA device keeps computing while the caller does
/// something else, such as preparing the next batch.
#[derive(Debug)]
pub struct Pending(Progress);

enum Progress {
    Done(Tensor),
    Later(Box<dyn FnOnce() -> Result<Tensor, Error> + Send>),
}

impl Pending {
    /// Wraps a finished result.
    pub fn done(result: Tensor) -> Self {
        Self(Progress::Done(result))
    }

    /// Creates a result that `wait` waits for and returns.
    pub fn later(wait: impl FnOnce() -> Result<Tensor, Error> + Send + 'static) -> Self {
        Self(Progress::Later(Box::new(wait)))
    }

    /// Returns whether [`wait`](Self::wait) would return immediately.
    pub fn is_done(&self) -> bool {
        matches!(self.0, Progress::Done(_))
    }

    /// Waits for the result.
    ///
    /// # Errors
    /// [`Error::Native`] if the device failed.
    pub fn wait(self) -> Result<Tensor, Error> {
        match self.0 {
            Progress::Done(result) => Ok(result),
            Progress::Later(wait) => wait(),
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done(_) => "Done",
            Self::Later(_) => "Later",
        })
    }
}
