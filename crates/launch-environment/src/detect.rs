//! Finds out which launcher started this process. The one place that knows all launchers and their order.

use std::env;

use crate::variables::Variables;
use crate::{Environment, EnvironmentError, pytorch, slurm};

impl Environment {
    /// The group that this process was started in; `None` for a process that was started by itself. A Slurm
    /// step with a single task and the script of a batch job are not groups.
    ///
    /// # Errors
    /// [`EnvironmentError`] when variables of a group are missing, or contradict each other.
    pub fn from_env() -> Result<Option<Self>, EnvironmentError> {
        // What is not UTF-8 is neither a number nor a host; the error shows its value.
        Self::from_lookup(|name| env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    /// [`from_env`](Self::from_env) with the variables that `lookup` returns.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, EnvironmentError> {
        let variables = Variables::new(&lookup);
        if pytorch::is_set(variables) {
            return pytorch::environment(variables).map(Some);
        }
        slurm::environment(variables)
    }
}
