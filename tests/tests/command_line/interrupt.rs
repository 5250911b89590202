//! Ctrl-C.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use effnet_core::Variant;
use effnet_tests::{effnet, interrupt};
use serde_json::Value;

use super::{images, weights};

#[test]
fn an_interrupt_leaves_whole_lines_and_says_so_in_the_exit_code() {
    let folder = images();
    let mut child = effnet()
        .arg("classify")
        .arg("-")
        .arg("--weights")
        .arg(weights(Variant::B0, 3))
        .args(["--num-classes", "3", "--format", "json", "--batch-size", "1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let image = folder.path().join("a.png");
    let list = format!("{}\n", image.display()).repeat(20_000);
    child.stdin.take().unwrap().write_all(list.as_bytes()).unwrap();
    let mut results = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    results.read_line(&mut first).unwrap();
    interrupt(&child);
    let mut others = String::new();
    results.read_to_string(&mut others).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let lines: Vec<&str> = others.lines().collect();
    assert!(
        lines.len() < 19_000,
        "{} results after the interrupt",
        lines.len()
    );
    for line in [first.as_str()].iter().chain(&lines) {
        let record: Value = serde_json::from_str(line).expect("a whole line");
        assert_eq!(record["predictions"].as_array().unwrap().len(), 3);
    }
}
