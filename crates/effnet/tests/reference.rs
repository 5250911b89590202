//! Compares tensor names with the networks of the three Python packages.
#![allow(clippy::print_stderr, reason = "a skipped test says so")]
#![allow(clippy::unwrap_used, reason = "a test may panic if its own files are broken")]

use std::path::Path;
use std::process::Command;

use effnet::{EfficientNetNames, Scheme};
use effnet_checkpoint::Checkpoint;

/// Returns the Python interpreter that has PyTorch, or `None` after printing why the test is skipped.
fn reference_python(test: &str) -> Option<Command> {
    let Some(python) = std::env::var_os("EFFNET_REFERENCE_PYTHON") else {
        eprintln!("skipped: {test}: EFFNET_REFERENCE_PYTHON is not set");
        return None;
    };
    Some(Command::new(python))
}

/// Runs a script of scripts/reference and returns what it printed.
fn run_script(python: &mut Command, script: &str, arguments: &[&Path]) -> String {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/reference");
    let output = python.arg(scripts.join(script)).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_scheme_of_a_network_becomes_the_same_state_dict() {
    let test = "every_scheme_of_a_network_becomes_the_same_state_dict";
    let Some(mut python) = reference_python(test) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    run_script(&mut python, "checkpoint_networks.py", &[folder.path()]);
    for variant in ["b0", "b1", "b3"] {
        let open = |scheme: Scheme| {
            let checkpoint = Checkpoint::open(folder.path().join(format!("{variant}_{scheme}.pth"))).unwrap();
            assert_eq!(Scheme::recognise(checkpoint.state_dict().names()), Some(scheme));
            checkpoint.into_state_dict()
        };
        let canonical = open(Scheme::Lukemelas);
        let signature = canonical.signature().unwrap();
        assert_eq!(signature.num_classes, Some(10));
        // Keras does not write state_dicts.
        for scheme in Scheme::ALL.into_iter().filter(|scheme| *scheme != Scheme::Keras) {
            let theirs = open(scheme);
            assert_eq!(
                theirs.signature().unwrap().repeats_per_stage,
                signature.repeats_per_stage
            );
            let converted = theirs.to_canonical().unwrap();
            let names = converted.names().zip(canonical.names());
            assert_eq!(converted.len(), canonical.len());
            for (ours, wanted) in names {
                assert_eq!(ours, wanted, "{variant} {scheme}");
            }
            for (name, tensor) in &converted {
                assert_eq!(
                    tensor.bytes().unwrap(),
                    canonical.get(name).unwrap().bytes().unwrap(),
                    "{name}"
                );
            }
            let back = canonical.to_scheme(Scheme::Lukemelas, scheme, None).unwrap();
            assert!(back.names().eq(theirs.names()), "{variant} {scheme}");
        }
    }
}
