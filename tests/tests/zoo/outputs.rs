//! Nothing that exists is lost by a conversion, and nothing half done is left by one that fails.

use std::process::Command;

use effnet_tests::finish;

use super::home::Home;
use super::{random_b0, refused, succeeded, text};

/// A home with `in.safetensors`, a B0 for three classes.
fn with_input() -> Home {
    let home = Home::new();
    random_b0(&home.join("in.safetensors"), 3);
    home
}

#[test]
#[cfg(unix)]
fn the_input_is_never_overwritten_whatever_it_is_called() {
    let home = with_input();
    let input = home.join("in.safetensors");
    let before = std::fs::read(&input).unwrap();
    std::os::unix::fs::symlink("in.safetensors", home.join("link.safetensors")).unwrap();
    std::fs::create_dir(home.join("sub")).unwrap();
    for (from, to) in [
        ("in.safetensors", "in.safetensors"),
        ("in.safetensors", "sub/../in.safetensors"),
        ("in.safetensors", "link.safetensors"),
        ("link.safetensors", "in.safetensors"),
    ] {
        for force in [&[][..], &["--force"]] {
            let run = home.run(&[&["convert", from, to, "--to", "timm"], force].concat());
            refused(&run, &["the output is the input"]);
            assert!(std::fs::read(&input).unwrap() == before, "{from} to {to}");
        }
    }
    assert!(home.join("link.safetensors").is_symlink());
}

#[test]
#[cfg(unix)]
fn a_hard_link_to_the_input_is_the_input() {
    let home = with_input();
    let input = home.join("in.safetensors");
    let before = std::fs::read(&input).unwrap();
    std::fs::hard_link(&input, home.join("hard.safetensors")).unwrap();
    let run = home.run(&["convert", "in.safetensors", "hard.safetensors", "--force"]);
    refused(&run, &["hard.safetensors", "the output is the input"]);
    assert!(std::fs::read(&input).unwrap() == before);
}

#[test]
fn an_output_that_exists_is_replaced_only_by_force() {
    let home = with_input();
    std::fs::write(home.join("out.pth"), "precious").unwrap();
    let arguments = ["convert", "in.safetensors", "out.pth"];
    let run = home.run(&arguments);
    refused(&run, &["out.pth", "already exists", "--force"]);
    assert_eq!(std::fs::read(home.join("out.pth")).unwrap(), b"precious");
    succeeded(&home.run(&[&arguments[..], &["--force"]].concat()));
    assert!(std::fs::metadata(home.join("out.pth")).unwrap().len() > 1 << 20);
}

#[test]
fn an_unknown_extension_is_named() {
    let home = with_input();
    for output in ["out.onnx", "out"] {
        let run = home.run(&["convert", "in.safetensors", output]);
        refused(&run, &[output, ".pth", ".safetensors"]);
    }
    assert_eq!(home.files(), ["in.safetensors"]);
}

#[test]
fn a_conversion_that_is_refused_leaves_nothing() {
    let home = with_input();
    let whole = std::fs::read(home.join("in.safetensors")).unwrap();
    std::fs::write(home.join("cut.safetensors"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(home.join("labels.txt"), "cat\ndog\n").unwrap();
    let before = home.files();
    for (arguments, words) in [
        (vec!["cut.safetensors", "out.pth"], vec!["cut.safetensors"]),
        (
            vec!["in.safetensors", "out.safetensors", "--labels", "labels.txt"],
            vec!["labels.txt", "2 names, but the weights have 3 classes"],
        ),
        (
            vec!["in.safetensors", "no/folder/out.pth"],
            vec!["no/folder/out.pth"],
        ),
        (vec!["labels.txt", "out.pth"], vec!["labels.txt"]),
    ] {
        let run = home.run(&[&["convert"][..], &arguments].concat());
        refused(&run, &words);
        assert_eq!(home.files(), before);
    }
}

#[test]
#[cfg(unix)]
fn a_write_that_fails_half_way_leaves_the_old_output() {
    let home = with_input();
    for output in ["out.pth", "out.safetensors"] {
        std::fs::write(home.join(output), "precious").unwrap();
        let before = home.files();
        let effnet = home.command(&[]);
        // The system refuses to make a file larger than a megabyte, as a full disk would.
        let script = "trap '' XFSZ; ulimit -f 2048; exec \"$@\"";
        let mut command = Command::new("sh");
        command
            .args(["-c", script, "sh", text(effnet.get_program().as_ref())])
            .args(["convert", "in.safetensors", output, "--force"])
            .current_dir(home.path());
        home.apply(&mut command);
        refused(&finish(&mut command), &[output, "cannot write"]);
        assert_eq!(home.files(), before);
        assert_eq!(std::fs::read(home.join(output)).unwrap(), b"precious");
    }
}
