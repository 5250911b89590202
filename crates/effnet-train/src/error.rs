//! Errors of the training loop.

use std::fmt;
use std::path::PathBuf;

use tch::TchError;

/// An error of this crate's training loop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option has an invalid value.
    #[error("{option} is {found}, expected {expected}")]
    InvalidOption {
        /// The option.
        option: &'static str,
        /// The valid values.
        expected: &'static str,
        /// The invalid value.
        found: String,
    },
    /// The shapes of images, targets and logits do not match.
    #[error("{what} has the shape {found:?}, expected {expected}")]
    Shape {
        /// The tensor.
        what: &'static str,
        /// A description of the expected shape.
        expected: String,
        /// The actual shape.
        found: Vec<i64>,
    },
    /// The loss or the gradients are not finite.
    #[error("{0}")]
    Diverged(Box<Divergence>),
    /// A saved state belongs to a different network or optimizer.
    #[error(
        "{what} does not match: {difference}; resume with the same model and optimizer that the checkpoint was saved with"
    )]
    StateMismatch {
        /// A description of the state to restore.
        what: &'static str,
        /// The first difference.
        difference: String,
    },
    /// A checkpoint was saved with different settings.
    #[error("{}: was saved with different settings:{}\nResume with the same settings, or start a new run with --weights {}", path.display(), listed(differences), path.parent().unwrap_or(path).display())]
    ConfigMismatch {
        /// The checkpoint.
        path: PathBuf,
        /// One line per setting that differs.
        differences: Vec<String>,
    },
    /// A checkpoint is incomplete or contradicts itself.
    #[error("{}: {what}; the file is damaged, or is not the state of a training run", path.display())]
    BadCheckpoint {
        /// The checkpoint.
        path: PathBuf,
        /// A description of the problem.
        what: String,
    },
    /// A checkpoint could not be written.
    #[error("{source}{}", intact(last_good.as_ref()))]
    Write {
        /// The cause.
        source: Box<effnet_checkpoint::WriteError>,
        /// The previous checkpoint, which is intact.
        last_good: Option<PathBuf>,
    },
    /// A folder could not be used.
    #[error("{}: {source}; check the folder and its permissions", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// Validation failed.
    #[error("{0}")]
    Validation(Box<FailedValidation>, #[source] Box<Error>),
    /// The thread that uploads batches could not be started.
    #[error("cannot start the thread that uploads batches: {0}")]
    Thread(std::io::Error),
    /// The thread that uploads batches panicked.
    #[error("the upload thread panicked")]
    Panicked,
    /// The ranks of a group were started with different data, models or settings.
    #[error(
        "rank {rank}: the ranks disagree:{}\nStart all ranks with the same data, model and settings",
        listed(differences)
    )]
    Disagreement {
        /// This process.
        rank: usize,
        /// One line per difference, which names the ranks.
        differences: Vec<String>,
    },
    /// The process group failed.
    #[error(transparent)]
    Group(#[from] torch_c10d::GroupError),
    /// The data set is missing or cannot be loaded.
    #[error(transparent)]
    Data(#[from] effnet_data::DataError),
    /// Logits or labels are invalid.
    #[error(transparent)]
    Metrics(#[from] effnet_data::metrics::MetricsError),
    /// A checkpoint could not be read.
    #[error(transparent)]
    Read(#[from] effnet_checkpoint::Error),
    /// An error of effnet-core.
    #[error(transparent)]
    Network(#[from] effnet_core::Error),
    /// The CPU engine, which computes the layers below a frozen head, failed.
    #[error(transparent)]
    Inference(Box<effnet::BackendError>),
    /// An error of libtorch-ext.
    #[error(transparent)]
    Native(#[from] libtorch_ext::Error),
    /// An error of libtorch.
    #[error(transparent)]
    Torch(#[from] TchError),
}

impl Error {
    /// Returns whether memory ran out, in which case a smaller batch may fit.
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            Self::Native(error) => error.is_out_of_memory(),
            Self::Inference(error) => error.is_out_of_memory(),
            Self::Torch(error) => libtorch_ext::is_out_of_memory(error),
            _ => false,
        }
    }

    pub(crate) fn option(option: &'static str, expected: &'static str, found: &dyn fmt::Display) -> Self {
        let found = found.to_string();
        Self::InvalidOption {
            option,
            expected,
            found,
        }
    }
}

fn listed(differences: &[String]) -> String {
    differences
        .iter()
        .fold(String::new(), |text, difference| text + "\n  " + difference)
}

fn intact(last_good: Option<&PathBuf>) -> String {
    last_good.map_or_else(
        || "; no checkpoint has been saved yet".to_owned(),
        |path| format!("; the last good checkpoint is intact: {}", path.display()),
    )
}

/// Where a validation failed.
#[derive(Debug, Clone, PartialEq)]
pub struct FailedValidation {
    /// The number of completed epochs.
    pub epoch: u64,
    /// The number of completed steps.
    pub step: u64,
    /// The learning rate of the last step.
    pub rate: f64,
    /// The checkpoint to resume from.
    pub last_good: Option<PathBuf>,
}

impl fmt::Display for FailedValidation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (step, epoch, rate) = (self.step, self.epoch + 1, self.rate);
        write!(
            f,
            "validation failed after step {step} (epoch {epoch}) with a learning rate of {rate:.3e}; "
        )?;
        match &self.last_good {
            Some(path) => write!(f, "the last good checkpoint is {}; ", path.display())?,
            None => write!(f, "no checkpoint has been saved yet; ")?,
        }
        write!(f, "if numbers are not finite, try a lower learning rate")
    }
}

/// Where and how a training run diverged.
#[derive(Debug, Clone, PartialEq)]
pub struct Divergence {
    /// The quantity that is not finite: `the loss` or `the norm of the gradients`.
    pub what: &'static str,
    /// Its value: NaN or an infinity.
    pub value: f64,
    /// The number of completed epochs.
    pub epoch: u64,
    /// The number of completed steps.
    pub step: u64,
    /// The learning rate of the step that failed.
    pub rate: f64,
    /// The checkpoint to resume from.
    pub last_good: Option<PathBuf>,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            value,
            epoch,
            step,
            rate,
            last_good,
        } = self;
        write!(
            f,
            "{what} is {value} at step {step} (epoch {epoch}) with a learning rate of {rate:.3e}; "
        )?;
        match last_good {
            Some(path) => write!(f, "the last good checkpoint is {}; ", path.display())?,
            None => write!(f, "no checkpoint has been saved yet; ")?,
        }
        write!(
            f,
            "try a lower learning rate, a longer warm-up or gradient clipping"
        )
    }
}
