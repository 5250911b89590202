//! What can go wrong in training.

use std::fmt;
use std::path::PathBuf;

use tch::TchError;

/// An error of this crate's training loop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option has a value that it cannot have.
    #[error("{option} is {found}, expected {expected}")]
    InvalidOption {
        /// The option.
        option: &'static str,
        /// What it may be.
        expected: &'static str,
        /// Its value.
        found: String,
    },
    /// Images, targets and logits do not belong together.
    #[error("{what} has the shape {found:?}, expected {expected}")]
    Shape {
        /// The tensor.
        what: &'static str,
        /// The shape it should have, in words.
        expected: String,
        /// The shape it has.
        found: Vec<i64>,
    },
    /// The training diverged.
    #[error("{0}")]
    Diverged(Box<Divergence>),
    /// Saved state is that of another network or another optimizer.
    #[error(
        "{what} does not fit: {difference}; resume with the model and the optimizer that it was saved with"
    )]
    StateMismatch {
        /// What was to be restored.
        what: &'static str,
        /// The first difference.
        difference: String,
    },
    /// A checkpoint was made with other settings.
    #[error("{}: it was made with other settings:{}\nResume with the same settings, or start a new run in another folder", path.display(), listed(differences))]
    ConfigMismatch {
        /// The checkpoint.
        path: PathBuf,
        /// One text for each setting that differs.
        differences: Vec<String>,
    },
    /// A checkpoint lacks something, or contradicts itself.
    #[error("{}: {what}; it is no state of a training run, or it is damaged", path.display())]
    BadCheckpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A checkpoint could not be written.
    #[error("{source}{}", kept(last_good.as_ref()))]
    Write {
        /// Why.
        source: Box<effnet_checkpoint::WriteError>,
        /// The checkpoint before it, which is as it was.
        last_good: Option<PathBuf>,
    },
    /// A folder could not be used.
    #[error("{}: {source}; check the folder and its permissions", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The ranks of a group were not started with the same.
    #[error(
        "rank {rank}: the ranks do not agree:{}\nStart all ranks with the same data, model and settings",
        listed(differences)
    )]
    Disagreement {
        /// This process.
        rank: usize,
        /// One text for each thing that differs, with the ranks.
        differences: Vec<String>,
    },
    /// The group cannot go on.
    #[error(transparent)]
    Group(#[from] torch_c10d::GroupError),
    /// The data are not there, or cannot be loaded.
    #[error(transparent)]
    Data(#[from] effnet_data::DataError),
    /// Logits or labels cannot be measured.
    #[error(transparent)]
    Metrics(#[from] effnet_data::metrics::MetricsError),
    /// A checkpoint could not be read.
    #[error(transparent)]
    Read(#[from] effnet_checkpoint::Error),
    /// The network refused.
    #[error(transparent)]
    Network(#[from] effnet_core::Error),
    /// The shim beside tch refused.
    #[error(transparent)]
    Native(#[from] libtorch_ext::Error),
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] TchError),
}

impl Error {
    /// Whether it is memory that was short: a smaller batch may do.
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            Self::Native(error) => error.is_out_of_memory(),
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

fn kept(last_good: Option<&PathBuf>) -> String {
    last_good.map_or_else(
        || "; nothing was saved before".to_owned(),
        |path| format!("; the last good checkpoint is intact: {}", path.display()),
    )
}

/// Where and how a training diverged.
#[derive(Debug, Clone, PartialEq)]
pub struct Divergence {
    /// `the loss` or `the norm of the gradients`.
    pub what: &'static str,
    /// The number that is no number, or not finite.
    pub value: f64,
    /// Epochs that were complete.
    pub epoch: u64,
    /// Steps that were complete.
    pub step: u64,
    /// The learning rate of the step that failed.
    pub rate: f64,
    /// The checkpoint to go on from.
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
            None => write!(f, "no checkpoint was saved before; ")?,
        }
        write!(f, "try a lower rate, a longer warm-up or gradient clipping")
    }
}
