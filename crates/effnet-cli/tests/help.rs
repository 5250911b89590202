//! Compares the help of every command with `tests/help/COMMAND.txt`. Every user reads the help, so a reviewer should
//! see every change to it.
//!
//! `EFFNET_UPDATE_HELP=1 cargo test -p effnet-cli --test help` updates the files that differ.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

/// Returns the help as printed to a pipe: 100 columns, no colours.
fn help(words: &[&str]) -> String {
    let mut call = Command::new(env!("CARGO_BIN_EXE_effnet"));
    let output = call
        .args(words)
        .arg("--help")
        .env_remove("COLUMNS")
        .output()
        .unwrap();
    assert!(output.status.success(), "{words:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the names below the heading `Commands:`.
fn commands(help: &str) -> Vec<String> {
    let (_, listed) = help.split_once("Commands:\n").unwrap_or_default();
    let lines = listed.lines().take_while(|line| !line.is_empty());
    // Names are indented by two spaces, and their descriptions by more.
    let lines = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = lines.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn the_help_of_every_command_is_the_one_that_was_reviewed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help");
    let update = std::env::var_os("EFFNET_UPDATE_HELP").is_some();
    let mut waiting = vec![Vec::new()];
    let (mut seen, mut changed) = (Vec::new(), Vec::new());
    while let Some(words) = waiting.pop() {
        let borrowed: Vec<&str> = words.iter().map(String::as_str).collect();
        let found = help(&borrowed);
        for name in commands(&found) {
            let mut longer = words.clone();
            longer.push(name);
            waiting.push(longer);
        }
        let name = format!("{}.txt", [&["effnet"][..], &borrowed].concat().join("-"));
        let path = folder.join(&name);
        if fs::read_to_string(&path).unwrap_or_default() != found {
            if update {
                fs::write(&path, &found).unwrap();
            }
            changed.push(name.clone());
        }
        seen.push(name);
    }
    assert!(seen.len() > 15, "{seen:?}");
    let stale = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    for name in stale {
        let name = name.to_string_lossy().into_owned();
        assert!(seen.contains(&name), "{name}: no such command");
    }
    assert!(
        update || changed.is_empty(),
        "{changed:?}: the help has changed; read it, and run this test with EFFNET_UPDATE_HELP=1"
    );
}
