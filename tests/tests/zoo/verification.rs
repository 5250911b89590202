//! `scripts/verify-published-weights`, on weights that this test publishes: the script itself is for the internet.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use effnet_tests::{Finished, effnet, finish, interpreter, skip};
use serde_json::{Value, json};

use super::home::Home;
use super::server::Server;
use super::{manifest, random_b0, succeeded, write_image};

/// Two entries for B0s, of the original and of timm, whose manifest knows no sizes and the beginnings of digests;
/// `break_digest` publishes a wrong one for the second.
fn published(break_digest: bool) -> (Home, Server) {
    let home = Home::new();
    write_image(&home.join("photo.png"));
    let mut files = BTreeMap::new();
    for (scheme, profile, name) in [
        ("lukemelas", "tf", "original.pth"),
        ("timm", "timm", "timm.safetensors"),
    ] {
        random_b0(&home.join("random.safetensors"), 1000);
        let convert = ["convert", "random.safetensors", name, "--to", scheme];
        succeeded(&home.run(&[&convert[..], &["--profile", profile]].concat()));
        files.insert(name.to_owned(), std::fs::read(home.join(name)).unwrap());
        std::fs::remove_file(home.join(name)).unwrap();
    }
    let server = Server::start(files.clone(), None);
    let entry = |id, name: &str| {
        let mut entry = manifest::entry(id, name, &[], &server.url(name), &files[name]);
        let file = &mut entry["files"][0];
        file["sha256"] = file["sha256"].as_str().unwrap()[..8].into();
        file.as_object_mut().unwrap().remove("bytes");
        entry
    };
    let (original, mut timm) = (
        entry("b0.mine", "original.pth"),
        entry("b0.theirs", "timm.safetensors"),
    );
    timm["scheme"] = "timm".into();
    timm["profile"] = "timm".into();
    timm["preprocessing"]["interpolation"] = "bilinear".into();
    if break_digest {
        timm["files"][0]["sha256"] = "00000000".into();
    }
    manifest::write(&home.join("mine.json"), &[original, timm]);
    (home, server)
}

fn verify(home: &Home, python: &Path, arguments: &[&str]) -> Finished {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut command = Command::new(root.join("scripts/verify-published-weights"));
    command.args(["photo.png", "--manifest", "mine.json", "--effnet"]);
    command.arg(effnet().get_program()).args(arguments);
    command
        .current_dir(home.path())
        .env("EFFNET_REFERENCE_PYTHON", python);
    home.apply(&mut command);
    finish(&mut command)
}

fn files_of(home: &Home) -> Vec<Value> {
    let text = std::fs::read_to_string(home.join("mine.json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let entries = document["entries"].as_array().unwrap();
    entries.iter().map(|entry| entry["files"][0].clone()).collect()
}

#[test]
fn right_weights_are_found_right_and_their_digests_filled_in() {
    let python = match interpreter() {
        Ok(python) => python,
        Err(reason) => {
            return skip(
                "right_weights_are_found_right_and_their_digests_filled_in",
                &reason,
            );
        }
    };
    let (home, _server) = published(false);
    let run = verify(&home, &python, &["--write"]);
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    let rows: Vec<Vec<&str>> = run
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows.last().unwrap().join(" "), "2 of 2 right");
    for (row, id) in rows[1..].iter().zip(["b0.mine", "b0.theirs"]) {
        assert_eq!([row[0], row[2], row[3], row[5]], [id, "ok", "ok", "equal"]);
        let difference: f64 = row[4].parse().unwrap();
        assert!(difference < 2e-5, "{id}: {difference}");
    }
    for file in files_of(&home) {
        let bytes = std::fs::read(home.cache().join(file["name"].as_str().unwrap())).unwrap();
        assert_eq!(file["sha256"], manifest::digest(&bytes));
        assert_eq!(file["bytes"], bytes.len());
    }
}

#[test]
fn wrong_weights_are_named_and_nothing_is_filled_in_for_them() {
    let python = match interpreter() {
        Ok(python) => python,
        Err(reason) => {
            return skip(
                "wrong_weights_are_named_and_nothing_is_filled_in_for_them",
                &reason,
            );
        }
    };
    let (home, _server) = published(true);
    let before = files_of(&home);
    let run = verify(&home, &python, &["--write", "b0.theirs"]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stdout.contains("0 of 1 right"), "{}", run.stdout);
    assert!(run.stdout.contains("00000000"), "{}", run.stdout);
    assert_eq!(json!(files_of(&home)), json!(before));
}
