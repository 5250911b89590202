//! Inputs that do not exist are reported before weights are looked for, which may be a long download, and in the format
//! of the results.

#![allow(clippy::unwrap_used, reason = "a test may panic if its own files are broken")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Calls a command with weights that are not on this machine.
fn call(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_effnet"))
        .args(arguments)
        .args(["--model", "b3", "--offline"])
        .current_dir(folder)
        .env_remove("EFFNET_MANIFEST")
        .env("HOME", folder)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_misspelt_name_is_reported_before_weights_are_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    for arguments in [
        &["classify", "nowhere.jpg"][..],
        &["explain", "nowhere.jpg"],
        &["explain", "nowhere.jpg", "-o", "-"],
        &["features", "nowhere.jpg"],
        &["features", "nowhere.jpg", "--output", "f.npy"],
        &["similar", "nowhere.jpg", "--index", "empty"],
        &["similar", "nowhere.jpg", "--index", "empty", "--output", "s.png"],
        &["check", "nowhere.jpg"],
        &["evaluate", "nowhere.jpg"],
    ] {
        let output = call(folder.path(), arguments);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(
            message.contains("nowhere.jpg: ") && !message.contains("b3"),
            "{arguments:?}: {message}"
        );
        let found = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(found, 1, "{arguments:?}");
    }
}

#[test]
fn inputs_that_do_not_exist_have_records_like_those_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["classify"][..],
        &["explain"],
        &["features"],
        &["similar", "--index", "f.npy"],
    ] {
        let both = [arguments, &["a.jpg", "b.jpg", "--format", "json"]].concat();
        let output = call(folder.path(), &both);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let records: Vec<Value> = text(&output.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(records.len(), 2, "{arguments:?}");
        for (record, name) in records.iter().zip(["a.jpg", "b.jpg"]) {
            assert_eq!(
                (&record["input"], &record["kind"]),
                (&name.into(), &"missing".into())
            );
        }

        let table = [arguments, &["a.jpg", "--format", "csv"]].concat();
        let output = call(folder.path(), &table);
        let rows: Vec<&str> = text(&output.stdout).lines().collect();
        let [header, row] = rows[..] else {
            panic!("{arguments:?}: {rows:?}")
        };
        assert!(header.ends_with("error") && row.starts_with("a.jpg,"), "{rows:?}");
        assert_eq!(header.split(',').count(), row.split(',').count(), "{rows:?}");
    }
}

#[test]
fn weights_are_looked_for_if_any_input_exists() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("here.jpg"), "not an image").unwrap();
    for command in ["classify", "explain", "features"] {
        let output = call(folder.path(), &[command, "nowhere.jpg", "here.jpg"]);
        assert_eq!(output.status.code(), Some(2), "{command}");
        assert!(
            text(&output.stderr).contains("b3"),
            "{command}: {}",
            text(&output.stderr)
        );
    }
}
