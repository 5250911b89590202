//! Where results go.

use effnet_core::Variant;
use effnet_tests::{Finished, effnet, finish};

use super::{images, weights, write_image};

fn classify(arguments: &[&str], folder: &std::path::Path) -> Finished {
    let mut command = effnet();
    command
        .current_dir(folder)
        .args(["classify", "--device", "cpu", "--image-size", "64"]);
    command.arg("--weights").arg(weights(Variant::B0, 1000));
    finish(command.args(arguments))
}

#[test]
fn a_file_has_the_text_without_colours() {
    let folder = images();
    let run = classify(
        &["a.png", "--output", "results.txt", "--color", "always"],
        folder.path(),
    );
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""), "{}", run.stderr);
    let text = std::fs::read_to_string(folder.path().join("results.txt")).unwrap();
    assert!(text.starts_with("a.png\n"), "{text}");
}

#[test]
fn a_folder_is_refused_before_anything_is_computed() {
    let folder = images();
    let run = classify(&["a.png", "--output", "sub"], folder.path());
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(
        run.stderr.contains("sub: cannot write this file"),
        "{}",
        run.stderr
    );
}

#[cfg(unix)]
#[test]
fn a_list_of_paths_need_not_be_utf8() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let folder = images();
    let name = OsStr::from_bytes(b"caf\xe9.png");
    write_image(&folder.path().join("plain.png"), 40, 40, 1);
    std::fs::rename(folder.path().join("plain.png"), folder.path().join(name)).unwrap();
    let mut command = effnet();
    command
        .current_dir(folder.path())
        .args(["classify", "-", "--device", "cpu", "--format", "json"]);
    command
        .arg("--weights")
        .arg(weights(Variant::B0, 1000))
        .args(["--image-size", "64"]);
    std::fs::write(folder.path().join("list"), b"caf\xe9.png\r\na.png\n").unwrap();
    command.stdin(std::fs::File::open(folder.path().join("list")).unwrap());
    let run = finish(&mut command);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.stdout.lines().count(), 2);
}

#[test]
fn two_names_of_weights_are_one_too_many() {
    let folder = images();
    let run = classify(&["a.png", "--model", "b0.advprop"], folder.path());
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("b0.advprop"), "{}", run.stderr);
}

#[test]
fn labels_may_begin_with_the_mark_of_windows_editors() {
    let folder = images();
    let names: Vec<String> = (0..1000).map(|class| format!("name {class}")).collect();
    let text = format!("\u{feff}{}", names.join("\r\n"));
    std::fs::write(folder.path().join("labels.txt"), text).unwrap();
    let run = classify(
        &[
            "a.png",
            "--labels",
            "labels.txt",
            "--top-k",
            "0",
            "--format",
            "csv",
        ],
        folder.path(),
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(
        run.stdout.lines().any(|line| line.contains(",0,name 0,")),
        "{}",
        run.stdout
    );
}
