//! Tests the completion scripts by running them in the shell itself where it is installed.

#![allow(clippy::unwrap_used)]

use std::process::Command;

fn script(shell: &str) -> String {
    let mut call = Command::new(env!("CARGO_BIN_EXE_effnet"));
    let output = call.args(["completions", shell]).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// Returns what bash offers for the last word of a command line, in a folder with a file `b0.mine.pth`.
fn offered(line: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("b0.mine.pth"), b"").unwrap();
    std::fs::write(folder.path().join("effnet.bash"), script("bash")).unwrap();
    let words: Vec<&str> = line.split(' ').collect();
    let program = "source ./effnet.bash; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                   _effnet effnet \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\"; \
                   printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", program, "bash"])
        .args(words)
        .current_dir(folder.path());
    let output = bash.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.is_empty(), "{errors}");
    let offered = String::from_utf8(output.stdout).unwrap();
    offered.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_ids_of_networks_and_of_weights() {
    let models = offered("effnet classify --model b0");
    assert!(models.contains(&"b0".to_owned()), "{models:?}");
    assert!(models.contains(&"b0.advprop".to_owned()), "{models:?}");
    assert!(!models.iter().any(|name| name.contains(".pth")), "{models:?}");
}

#[test]
fn bash_completes_files_of_weights_too() {
    for flag in ["--weights", "-w"] {
        let weights = offered(&format!("effnet evaluate photos {flag} b0.m"));
        assert_eq!(weights, ["b0.mine.pth"], "{flag}");
        let weights = offered(&format!("effnet evaluate photos {flag} b0.adv"));
        assert_eq!(weights, ["b0.advprop"], "{flag}");
    }
}

#[test]
fn zsh_and_fish_offer_ids_and_files_of_weights() {
    let zsh = script("zsh");
    assert!(zsh.contains("_alternative \"ids:id:("), "{zsh}");
    assert!(zsh.contains("\"files:file:_files\""));
    let fish = script("fish");
    let weights: Vec<&str> = fish
        .lines()
        .filter(|line| line.contains(" -l weights "))
        .collect();
    assert!(!weights.is_empty());
    assert!(
        weights.iter().all(|line| line.contains(" -r -F -a ")),
        "{weights:?}"
    );
}
