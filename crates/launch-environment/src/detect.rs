//! Finds out which launcher started this process.
//!
//! This is the one place that knows all launchers and their precedence: a job can have the variables of two
//! launchers, such as torchrun inside a Slurm allocation.

use std::env;

use crate::variables::Variables;
use crate::{Environment, EnvironmentError, pytorch, slurm};

impl Environment {
    /// Returns the group in which this process was started, or `None` for a process that was started on its own. A
    /// Slurm step with a single task is not a group, and neither is a batch script.
    ///
    /// # Errors
    /// [`EnvironmentError`] when a group's variables are missing or contradict each other.
    pub fn from_env() -> Result<Option<Self>, EnvironmentError> {
        // A value that is not UTF-8 is neither a number nor a host, and the error will quote it.
        Self::from_lookup(|name| env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    /// Like [`from_env`](Self::from_env), but with the variables that `lookup` returns.
    ///
    /// # Errors
    /// The errors of [`from_env`](Self::from_env).
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, EnvironmentError> {
        let variables = Variables::new(&lookup);
        if pytorch::is_set(variables) {
            return pytorch::environment(variables).map(Some);
        }
        slurm::environment(variables)
    }
}
