//! Calls `effnet export` on the bundled weights: what it writes, what it refuses, and what `--check` says about runtimes
//! that are missing or compute something else.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use test_support::{interpreter_with, names_in, skip};

fn export(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut call = Command::new(env!("CARGO_BIN_EXE_effnet"));
    call.current_dir(folder)
        .arg("export")
        .args(arguments)
        .env("EFFNET_OFFLINE", "1");
    call
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Returns whether a file contains this text.
fn contains(path: &Path, text: &str) -> bool {
    let bytes = fs::read(path).unwrap();
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn the_file_says_what_it_was_made_from_and_how_to_use_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b0.onnx");
    let output = export(folder.path(), &["b0.cifar10", "b0.onnx"]);
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    let expected =
        "b0.onnx: b0, profile tf, f32, opset 17, images [batch, 3, 128, 128] -> logits [batch, 10]";
    assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    for text in [
        "weights_sha256",
        "b0.cifar10",
        "\"airplane\"",
        "[0.485,0.456,0.406]",
        "_blocks.15._project_conv.weight",
    ] {
        assert!(contains(&path, text), "{text}");
    }
    let size = fs::metadata(&path).unwrap().len();

    // Half as large, without the class names, under the name of another flag.
    let output = export(
        folder.path(),
        &[
            "half.onnx",
            "--weights",
            "b0.cifar10",
            "--features",
            "--dtype",
            "f16",
        ],
    );
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("features [batch, 1280]"),
        "{}",
        stderr(&output)
    );
    let half = folder.path().join("half.onnx");
    assert!(!contains(&half, "\"airplane\""));
    let ratio = size as f64 / fs::metadata(&half).unwrap().len() as f64;
    assert!((1.9..2.1).contains(&ratio), "{ratio}");

    let output = export(folder.path(), &["b0.cifar10", "split.onnx", "--external-data"]);
    assert!(stderr(&output).contains("split.onnx.data"), "{}", stderr(&output));
    assert_eq!(
        names_in(folder.path()),
        ["b0.onnx", "half.onnx", "split.onnx", "split.onnx.data"]
    );
    assert!(contains(&folder.path().join("split.onnx"), "split.onnx.data"));
}

#[test]
fn what_cannot_be_written_is_refused_before_anything_is() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("old.onnx"), "old").unwrap();
    fs::write(at("new.onnx.data"), "old").unwrap();
    for (arguments, expected) in [
        (
            &["b0.cifar10", "b0.tflite"][..],
            "b0.tflite: unknown extension, expected .onnx",
        ),
        (&["b0.cifar10", "b0"], "b0: unknown extension, expected .onnx"),
        (
            &["b0.cifar10", "old.onnx"],
            "old.onnx: already exists; pass --force",
        ),
        (
            &["old.onnx", "old.onnx", "--force"],
            "old.onnx: the output is the input",
        ),
        (
            &["b0.cifar10", "new.onnx", "--external-data"],
            "new.onnx.data: already exists; pass --force",
        ),
        (&["b0.cifar10", "new.onnx", "--opset", "12"], "from 13 to 23"),
        (
            &["b0.cifar10", "new.onnx", "--softmax", "--features"],
            "cannot be used with",
        ),
        (
            &["b0.cifar10", "new.onnx", "--softmax", "--sigmoid"],
            "cannot be used with",
        ),
        (
            &["b0.cifar10", "new.onnx", "--dynamic-size", "--with-preprocessing"],
            "cannot be used with",
        ),
        (
            &["b0.cifar10", "new.onnx", "--model", "b0"],
            "cannot be used with",
        ),
        (
            &["b0.cifar10", "nowhere/new.onnx"],
            "nowhere/new.onnx: cannot write",
        ),
        (&["missing.pth", "new.onnx"], "missing.pth"),
    ] {
        let output = export(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            stderr(&output).contains(expected),
            "{arguments:?}: {}",
            stderr(&output)
        );
    }
    assert_eq!(names_in(folder.path()), ["new.onnx.data", "old.onnx"]);
    assert_eq!(fs::read(at("old.onnx")).unwrap(), b"old");
    let output = export(folder.path(), &["b0.cifar10", "old.onnx", "--force"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(fs::metadata(at("old.onnx")).unwrap().len() > 1_000_000);
}

/// Makes a `python3` of this script, and exports with `--check`.
fn checked_by(folder: &Path, script: Option<&str>) -> Output {
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).unwrap();
    if let Some(script) = script {
        use std::os::unix::fs::PermissionsExt as _;
        let python = bin.join("python3");
        fs::write(&python, format!("#!/bin/sh\n{script}")).unwrap();
        fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
    }
    command(folder, &["b0.cifar10", "checked.onnx", "--force", "--check"])
        .env("PATH", bin)
        .output()
        .unwrap()
}

#[test]
fn check_needs_a_runtime_and_reports_one_that_computes_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checked.onnx");
    let prints = |bytes: &str| {
        format!("[ $# -eq 2 ] && echo Runtime 1.0 && exit\n/bin/cat >/dev/null\nprintf '{bytes}'")
    };
    // Two images, ten classes: zeros, infinity, and too few.
    let zeros = prints(&"\\000".repeat(80));
    let infinite = prints(&["\\000".repeat(76), "\\000\\000\\200\\177".to_owned()].concat());
    let few = prints(&"\\000".repeat(76));
    let fails = "[ $# -eq 2 ] && echo Runtime 1.0 && exit\necho 'ValueError: no operator' >&2\nexit 1";
    for (script, is_written, expected) in [
        (None, false, "no python3 on the PATH"),
        (
            Some("exit 3"),
            false,
            "python3 has neither onnxruntime nor openvino",
        ),
        (
            Some("echo 'ImportError: broken' >&2; exit 1"),
            false,
            "ImportError: broken",
        ),
        (
            Some(&*zeros),
            true,
            "Runtime 1.0: the logits differ by 1.0e0 of the largest",
        ),
        (Some(&infinite), true, "Runtime 1.0: the logits differ by inf"),
        (Some(&few), true, "expected 20 values, found 19"),
        (
            Some(fails),
            true,
            "Runtime 1.0 cannot run the file: ValueError: no operator",
        ),
    ] {
        let output = checked_by(folder.path(), script);
        assert_eq!(output.status.code(), Some(2), "{script:?}");
        assert!(
            stderr(&output).contains(expected),
            "{script:?}: {}",
            stderr(&output)
        );
        assert_eq!(path.exists(), is_written, "{script:?}");
        let _ = fs::remove_file(&path);
    }
}

/// The folder of the reference Python, or `None` after reporting why the test is skipped.
fn python_folder(test: &str) -> Option<PathBuf> {
    let python = interpreter_with("onnxruntime").map_err(|reason| skip(test, &reason));
    python.ok()?.parent().map(Path::to_owned)
}

#[test]
fn check_agrees_with_onnxruntime_for_every_kind_of_file() {
    let test = "check_agrees_with_onnxruntime_for_every_kind_of_file";
    let Some(bin) = python_folder(test) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for flags in [
        &[][..],
        &["--dynamic-size", "--softmax"],
        &["--sigmoid", "--dtype", "f16"],
        &["--with-preprocessing", "--batch-size", "3"],
        &["--features", "--dtype", "f16", "--image-size", "97"],
        &["--external-data", "--opset", "13", "--profile", "timm"],
    ] {
        let arguments = [&["b0.cifar10", "b0.onnx", "--force", "--check"], flags].concat();
        let output = command(folder.path(), &arguments)
            .env("PATH", &bin)
            .output()
            .unwrap();
        assert!(output.status.success(), "{flags:?}: {}", stderr(&output));
        let expected = "checked with ONNX Runtime ";
        assert!(
            stderr(&output).contains(expected),
            "{flags:?}: {}",
            stderr(&output)
        );
    }
}
