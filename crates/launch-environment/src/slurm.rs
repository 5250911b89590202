//! The variables that Slurm's `srun` sets for its tasks. They do not name a master, so the first host of the step
//! is used.

use crate::variables::{DEFAULT_PORT, Variables};
use crate::{Environment, EnvironmentError, Launcher, Master};

/// Returns the group formed by the tasks of a step.
pub(crate) fn environment(variables: Variables<'_>) -> Result<Option<Environment>, EnvironmentError> {
    const HINT: &str = "start one task per rank with srun";
    // A shell opened by salloc does not have SLURM_PROCID, and in a batch script it does not belong to a task.
    if !variables.has("SLURM_PROCID") || is_batch_script(variables) {
        return Ok(None);
    }
    // A step may have fewer tasks than its job.
    let size = if variables.has("SLURM_STEP_NUM_TASKS") {
        "SLURM_STEP_NUM_TASKS"
    } else {
        "SLURM_NTASKS"
    };
    let (rank, world_size) = variables.place("SLURM_PROCID", size, HINT)?;
    if world_size == 1 {
        return Ok(None);
    }
    let local_rank = variables.number("SLURM_LOCALID", 0..=rank as u64)?;
    let address = match variables.get("MASTER_ADDR") {
        Some(address) => address,
        None => first_node(variables)?,
    };
    let port = variables.master_port()?.unwrap_or(DEFAULT_PORT);
    Ok(Some(Environment {
        launcher: Launcher::Slurm,
        rank,
        world_size,
        local_rank: local_rank.unwrap_or(rank as u64) as usize,
        local_world_size: None,
        master: Master { address, port },
        agent_store: false,
        restart_count: variables
            .number("SLURM_RESTART_COUNT", 0..=u64::MAX)?
            .unwrap_or(0),
        run_id: variables.get("SLURM_JOB_ID"),
    }))
}

/// Returns whether this is the script of a batch job, which runs once, as process 0, however many tasks the job
/// allows.
fn is_batch_script(variables: Variables<'_>) -> bool {
    let is_step = ["SLURM_STEP_ID", "SLURM_STEP_NUM_TASKS"]
        .iter()
        .any(|name| variables.has(name));
    !is_step && variables.get("ENVIRONMENT").as_deref() == Some("BATCH")
}

/// Returns the host on which task 0 runs.
fn first_node(variables: Variables<'_>) -> Result<String, EnvironmentError> {
    let names = ["SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST"];
    let Some((name, list)) = names
        .iter()
        .find_map(|&name| variables.get(name).map(|list| (name, list)))
    else {
        return Err(EnvironmentError::Missing {
            missing: "MASTER_ADDR",
            present: "SLURM_PROCID",
            hint: "set it to the host of task 0, because SLURM_JOB_NODELIST, which would also name it, is not set",
        });
    };
    first_host(&list).ok_or_else(|| EnvironmentError::Invalid {
        name,
        value: list,
        expected: "a Slurm host list such as `node[01-04,07]`".to_owned(),
    })
}

/// Returns the first host in a list such as `rack[1-2]n[001-016,020],login1`.
fn first_host(list: &str) -> Option<String> {
    let mut host = String::new();
    let mut rest = list;
    loop {
        let end = rest.find(['[', ',', ']']).unwrap_or(rest.len());
        host.push_str(&rest[..end]);
        rest = &rest[end..];
        if !rest.starts_with('[') {
            break;
        }
        let (numbers, after) = rest[1..].split_once(']')?;
        let first = numbers.split(['-', ',']).next()?;
        let is_number = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit());
        host.push_str(is_number.then_some(first)?);
        rest = after;
    }
    let is_name = !host.is_empty() && !host.contains(char::is_whitespace) && !rest.starts_with(']');
    is_name.then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_hosts_are_read_as_slurm_writes_them() {
        for (list, first) in [
            ("node1", Some("node1")),
            ("node1,node2", Some("node1")),
            ("node[001-016,020],login1", Some("node001")),
            ("node[3,7]", Some("node3")),
            ("rack[1-2]n[01-02]-ib", Some("rack1n01-ib")),
            ("", None),
            ("node[", None),
            ("node[]", None),
            ("node[a-b]", None),
            ("node]", None),
        ] {
            assert_eq!(first_host(list).as_deref(), first, "{list}");
        }
    }
}
