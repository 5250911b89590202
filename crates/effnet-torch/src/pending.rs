//! A result that may be on its way.

use std::fmt;

use tch::Tensor;

use crate::error::Error;

/// What a network computes, or has computed: a CUDA device goes on while its caller does something
/// else, such as to prepare the next batch.
#[derive(Debug)]
pub struct Pending(Progress);

enum Progress {
    Done(Tensor),
    Later(Box<dyn FnOnce() -> Result<Tensor, Error> + Send>),
}

impl Pending {
    /// A result that is there.
    pub fn done(result: Tensor) -> Self {
        Self(Progress::Done(result))
    }

    /// A result that `wait` waits for.
    pub fn later(wait: impl FnOnce() -> Result<Tensor, Error> + Send + 'static) -> Self {
        Self(Progress::Later(Box::new(wait)))
    }

    /// Whether there is nothing to wait for.
    pub fn is_done(&self) -> bool {
        matches!(self.0, Progress::Done(_))
    }

    /// The result, once it is there.
    ///
    /// # Errors
    /// [`Error::Native`] when the device failed.
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
