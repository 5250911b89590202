//! Finds out which launcher started this process.
//!
//! This is the one place that knows all launchers and their precedence: a job can carry the variables of two, such
//! as torchrun inside a Slurm allocation.

use std::env;

use crate::variables::Variables;
use crate::{Environment, EnvironmentError, pytorch, slurm};

impl Environment {
    /// The group that this process was started in; `None` for a process that was started on its own. A Slurm
    /// step with a single task and a batch script are not groups.
    ///
    /// # Errors
    /// [`EnvironmentError`] when variables of a group are missing or contradict each other.
    pub fn from_env() -> Result<Option<Self>, EnvironmentError> {
        // A value that is not UTF-8 is neither a number nor a host; the error quotes it.
        Self::from_lookup(|name| env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    /// [`from_env`](Self::from_env) with the variables that `lookup` returns.
    ///
    /// # Errors
    /// Same as [`from_env`](Self::from_env).
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, EnvironmentError> {
        let variables = Variables::new(&lookup);
        if pytorch::is_set(variables) {
            return pytorch::environment(variables).map(Some);
        }
        slurm::environment(variables)
    }
}
