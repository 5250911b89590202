//! The variables that PyTorch's `env://` reads, as set by torchrun, the Kubernetes PyTorchJob or a shell.

use crate::variables::{DEFAULT_PORT, Variables};
use crate::{Environment, EnvironmentError, Launcher, Master};

/// Returns whether any variables of a group are set, even if they are incomplete.
pub(crate) fn is_set(variables: Variables<'_>) -> bool {
    variables.has("RANK") || variables.has("WORLD_SIZE")
}

/// Returns the group that the variables describe.
pub(crate) fn environment(variables: Variables<'_>) -> Result<Environment, EnvironmentError> {
    const HINT: &str =
        "set RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, or use a launcher such as torchrun";
    let (rank, world_size) = variables.place("RANK", "WORLD_SIZE", HINT)?;
    let address = variables.require("MASTER_ADDR", "RANK", HINT)?;
    variables.require("MASTER_PORT", "RANK", HINT)?;
    let port = variables.master_port()?.unwrap_or(DEFAULT_PORT);
    let local_rank = variables.number("LOCAL_RANK", 0..=rank as u64)?;
    let local_world_size = variables.number("LOCAL_WORLD_SIZE", 1..=world_size as u64)?;
    let agent_store = variables
        .get("TORCHELASTIC_USE_AGENT_STORE")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    Ok(Environment {
        launcher: Launcher::Variables,
        rank,
        world_size,
        local_rank: local_rank.unwrap_or(rank as u64) as usize,
        local_world_size: local_world_size.map(|size| size as usize),
        master: Master { address, port },
        agent_store,
        restart_count: variables
            .number("TORCHELASTIC_RESTART_COUNT", 0..=u64::MAX)?
            .unwrap_or(0),
        run_id: variables.get("TORCHELASTIC_RUN_ID"),
    })
}
