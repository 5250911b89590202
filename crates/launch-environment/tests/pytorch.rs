//! Tests with PyTorch's variables, as torchrun, the PyTorchJob or a shell sets them.

use launch_environment::{Environment, EnvironmentError};

/// Returns the environment of a process with these variables.
fn environment(variables: &[(&str, &str)]) -> Result<Option<Environment>, EnvironmentError> {
    Environment::from_lookup(|name| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

const PLAIN: [(&str, &str); 4] = [
    ("RANK", "1"),
    ("WORLD_SIZE", "3"),
    ("MASTER_ADDR", "10.0.0.1"),
    ("MASTER_PORT", "1234"),
];

/// Returns `PLAIN` with `name` set to `value`.
fn with<'a>(name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let others = PLAIN.into_iter().filter(|(other, _)| *other != name);
    others.chain([(name, value)]).collect()
}

#[test]
fn a_process_by_itself_is_in_no_group() {
    assert_eq!(environment(&[]), Ok(None));
    assert_eq!(
        environment(&[("MASTER_ADDR", "host"), ("PATH", "/bin")]),
        Ok(None)
    );
}

#[test]
fn the_four_variables_of_pytorch_make_a_group() {
    let group = environment(&PLAIN).unwrap().unwrap();
    assert_eq!((group.rank, group.world_size, group.local_rank), (1, 3, 1));
    assert_eq!(group.master.to_string(), "10.0.0.1:1234");
    assert_eq!(
        (group.agent_store, group.restart_count, group.run_id),
        (false, 0, None)
    );
}

#[test]
fn torchrun_describes_its_store_and_restarts() {
    let mut variables = PLAIN.to_vec();
    variables.extend([
        ("LOCAL_RANK", "0"),
        ("LOCAL_WORLD_SIZE", "2"),
        ("TORCHELASTIC_USE_AGENT_STORE", "True"),
        ("TORCHELASTIC_RESTART_COUNT", "2"),
        ("TORCHELASTIC_RUN_ID", "b0"),
    ]);
    let group = environment(&variables).unwrap().unwrap();
    assert_eq!((group.local_rank, group.local_world_size), (0, Some(2)));
    assert!(group.agent_store);
    assert_eq!((group.restart_count, group.run_id.as_deref()), (2, Some("b0")));
}

#[test]
fn each_missing_variable_is_named() {
    for (name, _) in PLAIN {
        let error = environment(&with(name, "")).unwrap_err();
        assert!(
            matches!(error, EnvironmentError::Missing { missing, .. } if missing == name),
            "{error}"
        );
    }
}

#[test]
fn a_variable_out_of_range_is_named_with_its_value() {
    for (name, value) in [
        ("RANK", "3"),
        ("RANK", "-1"),
        ("RANK", "first"),
        ("WORLD_SIZE", "0"),
        ("WORLD_SIZE", "4294967296"),
        ("MASTER_PORT", "0"),
        ("MASTER_PORT", "65536"),
        ("LOCAL_RANK", "2"),
        ("LOCAL_WORLD_SIZE", "4"),
        ("TORCHELASTIC_RESTART_COUNT", "once"),
    ] {
        let message = environment(&with(name, value)).unwrap_err().to_string();
        assert!(
            message.contains(&format!("{name} is `{value}`, expected a whole number")),
            "{message}"
        );
    }
}
