//! The network that comes with the program.

use std::path::Path;

use effnet_tests::{Finished, effnet, finish};
use serde_json::Value;

/// `effnet` of a user who has nothing and no network, from a folder of theirs.
fn run(home: &Path, arguments: &[&str]) -> Finished {
    let mut command = effnet();
    command
        .current_dir(home)
        .args(arguments)
        .env("EFFNET_CACHE", home.join("cache"));
    finish(
        command
            .env("HOME", home)
            .env("EFFNET_OFFLINE", "1")
            .env_remove("EFFNET_MANIFEST"),
    )
}

#[test]
fn the_first_command_of_the_readme_needs_no_network() {
    let home = tempfile::tempdir().unwrap();
    let ship = effnet_tests::ship();
    let ship = ship.to_str().unwrap();
    for _ in 0..2 {
        let run = run(
            home.path(),
            &["classify", ship, "--model", "b0.cifar10", "--format", "json"],
        );
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let record: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(record["weights"], "b0.cifar10");
        assert_eq!(record["predictions"][0]["label"], "ship");
    }
}

#[test]
fn published_weights_that_cannot_be_fetched_name_the_network_that_is_here() {
    let home = tempfile::tempdir().unwrap();
    let ship = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ship.png");
    let run = run(home.path(), &["classify", ship, "--model", "b3"]);
    assert_eq!(run.code, Some(2));
    for word in [
        "`b3.imagenet` is not downloaded",
        "efficientnet-b3-5fb5a3c3.pth",
        "--model lite0 (from a Python package, downloaded by pip)",
        "--model b0.cifar10 (built in)",
    ] {
        assert!(run.stderr.contains(word), "{word} in {}", run.stderr);
    }
}
