//! The rank, device and threads that a launcher such as torchrun assigns to this process.

use anyhow::ensure;
use launch_environment::{Environment, EnvironmentError};

/// Returns the value of an environment variable. A value that is not UTF-8 is not a number either; errors show its
/// readable part.
fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// Returns the group of this process. Processes that share only files do not need MASTER_ADDR and MASTER_PORT.
///
/// # Errors
/// If a variable is not a number, or if the numbers contradict each other.
pub fn group_without_address() -> Result<Option<Environment>, EnvironmentError> {
    Environment::from_lookup(|name| match (variable(name), name) {
        (None, "MASTER_ADDR") => Some("localhost".to_owned()),
        (None, "MASTER_PORT") => Some("29500".to_owned()),
        (value, _) => value,
    })
}

/// Refuses to run a command in several processes when each of them would do all of the work.
///
/// # Errors
/// If this is one of several processes.
pub fn refuse_group(command: &str) -> anyhow::Result<()> {
    let processes = group_without_address()?.map_or(1, |environment| environment.world_size);
    ensure!(
        processes == 1,
        "`effnet {command}` runs in one process, but was started as one of {processes}: start it without the launcher, \
         or unset RANK and WORLD_SIZE (only classify, features, train and finetune run on several processes)"
    );
    Ok(())
}

/// Returns the index of the device for this process, out of the `devices` on this machine.
///
/// # Errors
/// Same as [`group_without_address`].
pub fn device(devices: usize) -> Result<usize, EnvironmentError> {
    let local_rank = group_without_address()?.map_or(0, |environment| environment.local_rank);
    Ok(local_rank % devices.max(1))
}

/// Returns the number of threads for this process on a machine with this many `cores`.
pub fn threads(cores: usize) -> usize {
    share_of_cores(cores, variable)
}

/// Returns the number of threads for one of `LOCAL_WORLD_SIZE` processes: `OMP_NUM_THREADS`, or else its share of the
/// cores. If `OMP_NUM_THREADS` is unset, torchrun sets it to 1; that value does not count.
fn share_of_cores(cores: usize, variable: impl Fn(&str) -> Option<String>) -> usize {
    let number = |name| variable(name)?.trim().parse().ok().filter(|&number| number > 0);
    let processes = number("LOCAL_WORLD_SIZE").unwrap_or(1);
    if processes == 1 {
        return cores;
    }
    let is_of_torchrun = |threads: usize| threads == 1 && variable("TORCHELASTIC_RUN_ID").is_some();
    number("OMP_NUM_THREADS")
        .filter(|&threads| !is_of_torchrun(threads))
        .unwrap_or((cores / processes).max(1))
}

#[cfg(test)]
mod tests {
    use super::share_of_cores;

    fn of(cores: usize, variables: &[(&str, &str)]) -> usize {
        share_of_cores(cores, |name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_process_by_itself_has_all_cores() {
        assert_eq!(of(16, &[]), 16);
        assert_eq!(of(16, &[("LOCAL_WORLD_SIZE", "1"), ("OMP_NUM_THREADS", "2")]), 16);
    }

    #[test]
    fn processes_on_one_machine_share_its_cores() {
        assert_eq!(of(16, &[("LOCAL_WORLD_SIZE", "4")]), 4);
        assert_eq!(of(2, &[("LOCAL_WORLD_SIZE", "3")]), 1);
        assert_eq!(of(16, &[("LOCAL_WORLD_SIZE", "many")]), 16);
    }

    #[test]
    fn openmps_number_counts_unless_it_is_torchruns_default() {
        let group = ("LOCAL_WORLD_SIZE", "2");
        assert_eq!(of(16, &[group, ("OMP_NUM_THREADS", "1")]), 1);
        let torchrun = ("TORCHELASTIC_RUN_ID", "none");
        assert_eq!(of(16, &[group, torchrun, ("OMP_NUM_THREADS", "1")]), 8);
        assert_eq!(of(16, &[group, torchrun, ("OMP_NUM_THREADS", "3")]), 3);
    }
}
