//! Tests with Slurm's variables.

use launch_environment::{Environment, EnvironmentError, Launcher};

/// Returns the environment of a process with these variables.
fn environment(variables: &[(&str, &str)]) -> Result<Option<Environment>, EnvironmentError> {
    Environment::from_lookup(|name| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

const TASK: [(&str, &str); 5] = [
    ("SLURM_PROCID", "5"),
    ("SLURM_NTASKS", "8"),
    ("SLURM_LOCALID", "1"),
    ("SLURM_JOB_ID", "42"),
    ("SLURM_JOB_NODELIST", "gpu[07-08,11]"),
];

#[test]
fn the_tasks_of_a_step_are_a_group_that_meets_on_the_first_host() {
    let group = environment(&TASK).unwrap().unwrap();
    assert_eq!((group.rank, group.world_size, group.local_rank), (5, 8, 1));
    assert_eq!(group.master.to_string(), "gpu07:29500");
    assert_eq!(group.run_id.as_deref(), Some("42"));
    assert_eq!(group.launcher, Launcher::Slurm);
}

#[test]
fn master_addr_and_master_port_override_the_first_host() {
    let mut variables = TASK.to_vec();
    variables.extend([
        ("MASTER_ADDR", "head"),
        ("MASTER_PORT", "4000"),
        ("SLURM_RESTART_COUNT", "1"),
    ]);
    let group = environment(&variables).unwrap().unwrap();
    assert_eq!(group.master.to_string(), "head:4000");
    assert_eq!(group.restart_count, 1);
}

#[test]
fn variables_of_pytorch_take_precedence_over_those_of_slurm() {
    let mut variables = TASK.to_vec();
    variables.extend([
        ("RANK", "0"),
        ("WORLD_SIZE", "2"),
        ("MASTER_ADDR", "head"),
        ("MASTER_PORT", "4000"),
    ]);
    assert_eq!(environment(&variables).unwrap().unwrap().world_size, 2);
}

#[test]
fn a_batch_script_and_a_single_task_are_no_group() {
    let mut script = TASK.to_vec();
    script.push(("ENVIRONMENT", "BATCH"));
    assert_eq!(environment(&script), Ok(None));
    script.push(("SLURM_STEP_NUM_TASKS", "8"));
    assert!(environment(&script).unwrap().is_some());
    assert_eq!(
        environment(&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "1")]),
        Ok(None)
    );
}

#[test]
fn each_missing_variable_is_named() {
    let missing = |variables: &[(&str, &str)]| match environment(variables).unwrap_err() {
        EnvironmentError::Missing { missing, .. } => missing,
        other => panic!("{other}"),
    };
    assert_eq!(missing(&[("SLURM_PROCID", "1")]), "SLURM_NTASKS");
    assert_eq!(missing(&TASK[..4]), "MASTER_ADDR");
}
